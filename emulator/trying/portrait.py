"""What there is to know of a VNF beside its manifest: where it runs here, and what it remembers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.doctor import diagnose

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.catalog import Manifest

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_TABLE = re.compile(
    r"\bVNF_(ARRAY|PER_CORE|HASH|LRU|LPM|SETTINGS)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)"
)
_KINDS = {
    "ARRAY": "array",
    "PER_CORE": "array for each CPU",
    "HASH": "hash",
    "LRU": "hash that forgets",
    "LPM": "longest prefix",
    "SETTINGS": "settings",
}


@dataclass(frozen=True)
class PlaneState:
    """A data plane that the manifest names: what runs there, and whether that works here."""

    name: str
    source: str
    state: str


@dataclass(frozen=True)
class Table:
    """A table or settings of the handler, in the words of its declaration."""

    name: str
    kind: str
    content: str
    entries: str


@dataclass(frozen=True)
class Portrait:
    """What ``portrait_of`` found.

    Attributes:
        about: the first paragraph of the README.
        planes: the data planes.
        tables: the tables and settings of the sources in C.
    """

    about: str
    planes: tuple[PlaneState, ...]
    tables: tuple[Table, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def portrait_of(manifest: Manifest) -> Portrait:
    """Look at a VNF's folder and at this machine; compiles nothing."""
    checks = {check.name: check for check in diagnose()}
    planes = []
    for name, support in manifest.dataplanes.items():
        check = checks.get(f"data plane {name}")
        state: str = "not known" if check is None else check.status
        if check is not None and check.reason:
            state = f"{check.reason}{f' ({check.fix})' if check.fix else ''}"
        source = manifest.source(name)
        handler = source.name if source else support.program or support.mechanism
        planes.append(PlaneState(name, handler, state))
    sources = {manifest.source(name) for name in manifest.dataplanes}
    found = {
        table.name: table
        for source in sorted(path for path in sources if path is not None)
        if source.suffix == ".c" and source.is_file()
        for table in tables_of(source.read_text(errors="replace"))
    }
    return Portrait(
        _first_paragraph(manifest.folder / "README.md"), tuple(planes), tuple(found.values())
    )


def tables_of(source: str) -> Iterator[Table]:
    """The tables and settings that a source in C declares."""
    for match in _TABLE.finditer(_COMMENT.sub(" ", source)):
        words = [" ".join(word.split()) for word in match[2].split(",")]
        if len(words) in (3, 4):
            yield Table(words[0], _KINDS[match[1]], " → ".join(words[1:-1]), words[-1])


def _first_paragraph(readme: Path) -> str:
    if not readme.is_file():
        return ""
    for paragraph in readme.read_text(errors="replace").split("\n\n"):
        text = paragraph.strip()
        if text and not text.startswith(("#", "|", "```", "<")):
            return text
    return ""
