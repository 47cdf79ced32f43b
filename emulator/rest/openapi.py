"""What the REST interface offers, as data: routes, the OpenAPI document and a page come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic.json_schema import models_json_schema

from emulator import __version__
from emulator.rest.containers import ContainerInfo, NewContainer


@dataclass(frozen=True)
class Parameter:
    """A word behind the question mark of an address."""

    name: str
    kind: str
    summary: str


@dataclass(frozen=True)
class Operation:
    """Something that can be asked of the server.

    Attributes:
        name: of the operation, unique.
        method: GET, POST or DELETE.
        rule: its path as the routes have it: ``/containers/<name>``.
        summary: what it does.
        answer: what a good answer is, as a JSON schema, or the type of other content.
        example: the path and the arguments of curl that try it.
        body: the schema of what it takes.
        parameters: those it takes.
        refusals: status -> when, beside those that every protected one has.
        protected: whether the token is asked for.
    """

    name: str
    method: str
    rule: str
    summary: str
    answer: dict[str, Any] | str
    example: str = ""
    body: str = ""
    parameters: tuple[Parameter, ...] = ()
    refusals: dict[int, str] = field(default_factory=dict)
    protected: bool = True

    @property
    def path(self) -> str:
        """Its path as OpenAPI writes it: ``/containers/{name}``."""
        return self.rule.replace("<", "{").replace(">", "}")


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_UNKNOWN = {404: "there is no app container of that name"}
_NUMBER_OF_S = "seconds over which the use of the CPUs is measured, 0.25 by default"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "list_containers", "GET", "/containers",
        "The names of the app containers, in the order they were added.",
        {"type": "array", "items": {"type": "string"}},
        "/containers",
        parameters=(Parameter("dhost", "string", "only those of this host"),),
    ),
    Operation(
        "add_container", "POST", "/containers",
        "Start an app container beside a host; the answer comes when its program runs.",
        _ref("ContainerInfo"),
        """/containers --json '{"name": "c1", "dhost": "h1", "dimage": "nginx:1.27"}'""",
        body="NewContainer",
        refusals={
            400: "it cannot be had so",
            409: "a node of that name is there, or its program does not start",
            503: "the machine lacks something, such as the image",
        },
    ),
    Operation(
        "show_container", "GET", "/containers/<name>",
        "An app container as it is.",
        _ref("ContainerInfo"),
        "/containers/c1",
        refusals=_UNKNOWN,
    ),
    Operation(
        "remove_container", "DELETE", "/containers/<name>",
        "End an app container; the answer comes when it has gone.",
        {"type": "object", "properties": {"removed": {"type": "string"}}},
        "/containers/c1 -X DELETE",
        refusals=_UNKNOWN,
    ),
    Operation(
        "container_stats", "GET", "/containers/<name>/stats",
        "What an app container uses: CPU time, memory, processes, packets.",
        {"type": "object"},
        "/containers/c1/stats",
        parameters=(Parameter("interval", "number", _NUMBER_OF_S),),
        refusals=_UNKNOWN,
    ),
    Operation(
        "container_logs", "GET", "/containers/<name>/logs",
        "What the program of an app container has printed.",
        "text/plain",
        "/containers/c1/logs?lines=20",
        parameters=(Parameter("lines", "integer", "only so many of the last ones"),),
        refusals=_UNKNOWN,
    ),
    Operation(
        "openapi", "GET", "/openapi.json", "This interface as an OpenAPI document.",
        {"type": "object"}, protected=False,
    ),
    Operation(
        "docs", "GET", "/docs", "This interface as a page for people.", "text/html",
        protected=False,
    ),
)  # fmt: skip
"""All that the server answers."""

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "what was wrong"},
                "hint": {"type": "string", "description": "what to do about it"},
                "where": {"type": "string", "description": "the place, if there is one"},
                "problems": {"type": "array", "description": "each, when there are several"},
            },
        }
    },
}


def document(url: str, with_token: bool) -> dict[str, Any]:
    """The interface as an OpenAPI 3.1 document.

    Args:
        url: of the server.
        with_token: whether it asks for a token.
    """
    _, schemas = models_json_schema(
        [(NewContainer, "validation"), (ContainerInfo, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(
            operation, with_token
        )
    components: dict[str, Any] = {"schemas": {**schemas["$defs"], "Error": _ERROR}}
    if with_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "App containers of a build-vnf lab",
            "version": __version__,
            "description": "Requests that change something are carried out one after the other.",
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": components,
    }


def page(url: str, lab: str, token: str | None) -> str:
    """The interface as an HTML page that fetches nothing.

    Args:
        url: of the server.
        lab: the id of the lab.
        token: only whether there is one is told.
    """
    templates = Environment(
        loader=PackageLoader("emulator.rest", "."), autoescape=True, undefined=StrictUndefined
    )
    header = '-H "Authorization: Bearer $TOKEN" ' if token is not None else ""
    fields = NewContainer.model_fields
    return templates.get_template("docs.html.j2").render(
        url=url,
        lab=lab,
        header=header,
        operations=OPERATIONS,
        fields=[(name, one.is_required(), one.description) for name, one in fields.items()],
    )


def _described(operation: Operation, with_token: bool) -> dict[str, Any]:
    schema = operation.answer
    content = (
        {schema: {"schema": {"type": "string"}}}
        if isinstance(schema, str)
        else {"application/json": {"schema": schema}}
    )
    refusals = dict(operation.refusals)
    if operation.parameters:
        refusals.setdefault(400, "a parameter makes no sense")
    if operation.protected and with_token:
        refusals[401] = "the token is missing or wrong"
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            "200": {"description": "done", "content": content},
            **{
                str(status): {
                    "description": when,
                    "content": {"application/json": {"schema": _ref("Error")}},
                }
                for status, when in sorted(refusals.items())
            },
        },
    }
    parameters: list[dict[str, Any]] = [
        {
            "name": one.name,
            "in": "query",
            "description": one.summary,
            "schema": {"type": one.kind},
        }
        for one in operation.parameters
    ]
    if "{name}" in operation.path:
        where = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        parameters.insert(0, where)
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        body = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": body}
    if operation.protected and with_token:
        described["security"] = [{"token": []}]
    return described
