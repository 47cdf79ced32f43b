"""The REST interface as a WSGI application: routes, the token, and errors as JSON."""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from emulator.errors import BuildVnfError, LabError, MachineError, TopologyError, UsageError
from emulator.rest import containers, openapi
from emulator.runtime.usage import INTERVAL_S

if TYPE_CHECKING:
    from emulator.network import Network

_LONGEST_INTERVAL_S = 60.0
_STATUS: tuple[tuple[type[BuildVnfError], int], ...] = (
    (containers.NoContainerError, 404),
    (containers.NameTakenError, 409),
    (UsageError, 400),
    (LabError, 409),
    (MachineError, 503),
    (BuildVnfError, 500),
)
"""Errors of ours -> the status they are told with; the first that fits."""

_Answer = Callable[[Request, Mapping[str, Any]], Response]


@dataclass(frozen=True)
class _Route:
    operation: openapi.Operation
    answer: _Answer


class Api:
    """What answers the requests to one network.

    Args:
        net: the running network.
        token: what requests have to show; None lets everybody in who reaches the server.
        log: called with one line for each request.
    """

    def __init__(
        self, net: Network, token: str | None, log: Callable[[str], None] | None = None
    ) -> None:
        self._net = net
        self._token = token
        self._log = log
        answers: dict[str, _Answer] = {
            "list_containers": self._list,
            "add_container": self._add,
            "show_container": self._show,
            "remove_container": self._remove,
            "container_stats": self._stats,
            "container_logs": self._logs,
            "openapi": self._openapi,
            "docs": self._docs,
        }
        self._routes = {
            operation.name: _Route(operation, answers[operation.name])
            for operation in openapi.OPERATIONS
        }
        self._map = Map(
            [
                Rule(operation.rule, methods=[operation.method], endpoint=operation.name)
                for operation in openapi.OPERATIONS
            ],
            strict_slashes=False,
        )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request, by the rules of WSGI."""
        request = Request(environ)
        response = self._respond(request)
        if self._log is not None:
            self._log(
                f"{request.remote_addr} {request.method} {request.path} {response.status_code}"
            )
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        try:
            name, values = self._map.bind_to_environ(request.environ).match()
            route = self._routes[name]
            refusal = self._refusal(request, route.operation)
            if refusal is not None:
                return refusal
            return route.answer(request, values)
        except HTTPException as error:
            return _http_error(error, request)
        except BuildVnfError as error:
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            return _problem(status, **_told(error))

    def _refusal(self, request: Request, operation: openapi.Operation) -> Response | None:
        """The answer to a request that may not be carried out; None for one that may."""
        if self._token is None:
            # Whoever can reach the server may use it, but a page in somebody's browser may not
            # do so in their name. One that has its own name stand for our address (DNS rebinding)
            # names no origin when it reads: it is known by the name it came for.
            if "Origin" in request.headers or not self._is_called(request.headers.get("Host")):
                return _problem(
                    401,
                    "requests from web pages, and those to names of elsewhere, need a token",
                    "start with a token, or ask for the server by its address",
                )
            return None
        if not operation.protected:
            return None
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode(), self._token.encode()
        ):
            return None
        refused = _problem(
            401,
            "the token is missing" if not shown else "the token is not the right one",
            "send the header Authorization: Bearer TOKEN; rest-*.token in the lab's folder has it",
        )
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def _is_called(self, header: str | None) -> bool:
        """Whether a Host header names this server as one does who knows it."""
        if not header:
            # Of HTTP/1.0, which no browser speaks.
            return True
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        with suppress(ValueError):
            ip_address(name)
            return True
        known = {"localhost", socket.gethostname(), *(node.name for node in self._net.nodes)}
        return name in {each.lower() for each in known}

    # Containers ---------------------------------------------------------------------------------

    def _list(self, request: Request, _: Mapping[str, Any]) -> Response:
        return _json(containers.names_of(self._net, _query(request, "dhost").get("dhost")))

    def _add(self, request: Request, _: Mapping[str, Any]) -> Response:
        # Whatever the content type says: curl --data sends that of a form.
        try:
            given = json.loads(request.get_data())
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"the request's body is not JSON: {error}",
                hint='such as {"name": "c1", "dhost": "h1", "dimage": "nginx:1.27"}',
            ) from error
        try:
            new = containers.NewContainer.model_validate(given)
        except ValidationError as error:
            return _invalid(error)
        containers.add(self._net, **dict(new))
        return _json(containers.describe(self._net, new.name).model_dump())

    def _show(self, _: Request, values: Mapping[str, Any]) -> Response:
        return _json(containers.describe(self._net, values["name"]).model_dump())

    def _remove(self, _: Request, values: Mapping[str, Any]) -> Response:
        containers.remove(self._net, values["name"])
        return _json({"removed": values["name"]})

    def _stats(self, request: Request, values: Mapping[str, Any]) -> Response:
        text = _query(request, "interval").get("interval", str(INTERVAL_S))
        interval_s = _number(text, "interval", most=_LONGEST_INTERVAL_S)
        used = containers.usage(self._net, values["name"], interval_s=interval_s)
        return _json(used.to_json())

    def _logs(self, request: Request, values: Mapping[str, Any]) -> Response:
        text = _query(request, "lines").get("lines")
        lines = None if text is None else int(_number(text, "lines", whole=True))
        said = containers.node_of(self._net, values["name"]).logs(lines)
        return Response(said, mimetype="text/plain")

    # About itself -------------------------------------------------------------------------------

    def _openapi(self, request: Request, _: Mapping[str, Any]) -> Response:
        return _json(openapi.document(request.host_url.rstrip("/"), self._token is not None))

    def _docs(self, request: Request, _: Mapping[str, Any]) -> Response:
        page = openapi.page(
            request.host_url.rstrip("/"), self._net.id if self._net.running else "", self._token
        )
        response = Response(page, mimetype="text/html")
        # All of it is in the page: nothing is fetched from anywhere.
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'"
        )
        return response


def _json(data: object, status: int = 200) -> Response:
    return Response(json.dumps(data) + "\n", status, mimetype="application/json")


def _problem(
    status: int, message: str, hint: str = "", where: str = "", problems: Iterable[Any] = ()
) -> Response:
    body: dict[str, Any] = {"message": message, "hint": hint, "where": where}
    return _json({"error": body | {"problems": list(problems)}}, status)


def _told(error: BuildVnfError) -> dict[str, Any]:
    """An error of ours as data; the mistakes of a topology each for themselves."""
    if not isinstance(error, TopologyError):
        return {"message": error.message, "hint": error.hint, "where": error.where}
    problems = [
        {"message": each.message, "hint": each.hint, "where": each.where} for each in error.problems
    ]
    if len(problems) == 1:
        return {**problems[0]}
    return {"message": error.message, "problems": problems}


def _invalid(error: ValidationError) -> Response:
    problems = [
        {
            "message": f"{'.'.join(map(str, each['loc'])) or 'the body'}: {each['msg']}",
            "hint": "",
            "where": "",
        }
        for each in error.errors(include_url=False)
    ]
    known = ", ".join(containers.NewContainer.model_fields)
    message = problems[0]["message"] if len(problems) == 1 else f"{len(problems)} mistakes"
    return _problem(400, message, f"what there is: {known}", problems=problems)


def _http_error(error: HTTPException, request: Request) -> Response:
    """What the routes refuse: an unknown path, another method, a redirection."""
    if error.code == 404:
        return _problem(404, f"there is no {request.path}", "/docs tells what there is")
    if error.code == 405:
        refused = _problem(
            405, f"{request.path} has no {request.method}", "/docs tells its methods"
        )
        refused.headers.update(error.get_headers())
        refused.mimetype = "application/json"
        return refused
    return _problem(error.code or 500, error.description or "the request was refused")


def _query(request: Request, *known: str) -> dict[str, str]:
    for name in request.args:
        if name not in known:
            raise UsageError(
                f"there is no parameter {name}", hint=f"what there is: {', '.join(known)}"
            )
    return request.args.to_dict()


def _number(text: str, name: str, *, most: float | None = None, whole: bool = False) -> float:
    try:
        number = float(int(text)) if whole else float(text)
    except (ValueError, OverflowError):  # the latter: a whole number that no float can be
        number = -1.0
    if not 0 < number <= (most or float("inf")) or number == float("inf"):
        upto = "" if most is None else f", at most {most:g}"
        kind = "whole number" if whole else "number of seconds"
        raise UsageError(f"{name} is a {kind} above 0{upto}, not {text!r}")
    return number
