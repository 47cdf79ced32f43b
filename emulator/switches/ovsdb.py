"""Open vSwitch's database: what its bridges are to be, and what has become of them.

It speaks JSON-RPC over a UNIX socket, as RFC 7047 has it. Each request is a connection of its own,
so that any thread, and any process that may open the socket, can ask.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.errors import LabError

_DATABASE = "Open_vSwitch"
_CHUNK_BYTES = 1 << 18
_ANSWER_S = 20.0

Row = dict[str, Any]


class Ovsdb:
    """The database behind a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def transact(self, operations: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Carry out operations, all of them or none; what each of them gives.

        Raises:
            LabError: the server does not answer, or refuses one of them.
        """
        request = {"method": "transact", "params": [_DATABASE, *operations], "id": 0}
        answer = self._ask(json.dumps(request).encode())
        if answer.get("error"):
            raise LabError(f"the database of Open vSwitch refuses a request: {answer['error']}")
        results: list[Row] = [result or {} for result in answer["result"]]
        for result in results:
            if "error" in result:
                details = result.get("details") or result["error"]
                raise LabError(f"the database of Open vSwitch refuses a change: {details}")
        return results

    def select(self, table: str, columns: Sequence[str]) -> list[Row]:
        """These columns of all rows of a table; sets, maps and UUIDs as Python has them.

        Raises:
            LabError: the server does not answer.
        """
        operation = {"op": "select", "table": table, "where": [], "columns": [*columns]}
        rows = self.transact([operation])[0]["rows"]
        return [{name: _plain(value) for name, value in row.items()} for row in rows]

    def _ask(self, request: bytes) -> dict[str, Any]:
        decoder, text = json.JSONDecoder(), bytearray()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER_S)
                connection.connect(str(self.path))
                connection.sendall(request)
                while True:
                    data = connection.recv(_CHUNK_BYTES)
                    if not data:
                        raise LabError("the database of Open vSwitch has ended")
                    text += data
                    if data.endswith(b"}"):
                        try:
                            answer, _ = decoder.raw_decode(text.decode())
                        except ValueError:  # it may go on after this brace
                            continue
                        if "result" in answer:  # else a question whether we are still there
                            return dict(answer)
                        text.clear()
        except OSError as error:
            reason = error.strerror or "no answer in time"
            raise LabError(f"the database of Open vSwitch does not answer: {reason}") from error


def named(name: str) -> list[str]:
    """A reference to the row that the same transaction inserts under that name."""
    return ["named-uuid", name]


def set_of(values: Iterable[Any]) -> list[Any]:
    """A set, as the database writes it."""
    return ["set", [*values]]


def map_of(values: Mapping[str, str]) -> list[Any]:
    """A map, as the database writes it."""
    return ["map", [[key, value] for key, value in values.items()]]


def insert(table: str, row: Mapping[str, Any], name: str) -> Row:
    """The operation that inserts a row, which the transaction knows by a name."""
    return {"op": "insert", "table": table, "row": {**row}, "uuid-name": name}


def update(table: str, name: str, row: Mapping[str, Any]) -> Row:
    """The operation that changes columns of the row with that name in the database."""
    return {"op": "update", "table": table, "where": [["name", "==", name]], "row": {**row}}


def mutate(table: str, name: str | None, *mutations: Sequence[Any]) -> Row:
    """The operation that changes columns of a row as far as they go: by name, or the only row."""
    where = [] if name is None else [["name", "==", name]]
    return {"op": "mutate", "table": table, "where": where, "mutations": [*map(list, mutations)]}


def _plain(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "set":
            return [_plain(each) for each in content]
        if kind == "map":
            return {_plain(key): _plain(each) for key, each in content}
        if kind in ("uuid", "named-uuid"):
            return content
    return value
