"""Scenarios: a whole experiment in a YAML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from emulator.amounts import parse_duration, parse_rate
from emulator.errors import Problem, TopologyError, UsageError
from emulator.experiment.scenario_check import Place, contradictions, in_words, place_of
from emulator.experiment.spec import DEFAULT_MEASUREMENTS, BenchSpec, Measurement
from emulator.names import suggestion
from emulator.wording import what_is_wrong

if TYPE_CHECKING:
    import yaml

SUFFIXES = (".yaml", ".yml")
_MOST_BYTES = 1 << 20
_HINT = "its keys are in docs/reference/scenario.md"


def _words(value: object) -> object:
    """One value where a list is expected is a list of one."""
    return value if isinstance(value, list) else [value]


def _text(value: object) -> object:
    """YAML reads 64 as a number and true as a truth; a topology is given words."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _certify(value: object) -> object:
    """YAML reads no as false."""
    return "no" if value is False else value


def _seconds(value: object) -> object:
    return _amount(value, lambda text: parse_duration(text, where=""))


def _pps(value: object) -> object:
    return _amount(value, lambda text: parse_rate(text, where=""))


def _amount(value: object, parse: Any) -> object:
    if isinstance(value, bool):
        raise ValueError("is no amount")
    try:
        return parse(value) if isinstance(value, str) else value
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error


class _OrOne:
    """Says in the JSON schema what :func:`_words` allows: a list of one without being a list."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Text = Annotated[
    str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "boolean"]})
]
Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_words), _OrOne()]
Seconds = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(_seconds),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0}),
]
Pps = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(_pps),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0}),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TrafficPart(_Part):
    """What is sent in latency trials; each of several values is a case."""

    rate: Annotated[tuple[Pps, ...], Field(min_length=1), BeforeValidator(_words), _OrOne()] = ()
    """Packets per second on average, such as 1000, 10k or 1.5M; if not given 10k, and of a capture
    its own."""
    size: Texts = ("64",)
    """Frame sizes in bytes with the 4 of the FCS; imix; or a mix such as 2x64+1x1518."""
    pattern: Texts = ("const",)
    """Such as const, poisson, onoff(on=10ms, off=90ms), pareto(shape=1.5), burst(size=32)."""


class Scenario(_Part):
    """A whole experiment: what to start, what to send, what to measure, when to stop."""

    topology: str
    """FILE or FILE:NAME, the file from the scenario's folder; or a built-in one: linear,4."""
    settings: dict[str, Text] = {}
    """What the topology is given in every case, by the names of its parameters."""
    vary: dict[str, Texts] = {}
    """Of such settings, the values to combine; every combination is a case."""
    source: str | None = Field(None, alias="from")
    """The node that sends; the first host if not given."""
    destination: str | None = Field(None, alias="to")
    """The node that receives; the last host if not given."""
    measure: Annotated[
        tuple[Measurement, ...], Field(min_length=1), BeforeValidator(_words), _OrOne()
    ] = DEFAULT_MEASUREMENTS
    """What is measured of each case."""
    traffic: TrafficPart = TrafficPart()
    """What is sent in latency trials; its keys are below."""
    background: Annotated[
        float,
        Field(ge=0),
        BeforeValidator(_pps),
        WithJsonSchema({"type": ["number", "string"], "minimum": 0}),
    ] = 0.0
    """Packets per second of a second stream that loads the path during latency trials."""
    duration: Seconds = 2.0
    """Length of a latency trial, of an SLA's, and of a soak: 2, 500ms, 1min."""
    repeat: Annotated[int, Field(ge=1)] = 1
    """Rounds: how often each case is measured, each time on a new network."""
    probe: Literal["kernel", "app"] = "kernel"
    """Who makes and stamps the packets."""
    round_trip: bool = False
    """Whether latency is that of the way there and back."""
    telemetry: bool = False
    """Whether latency is split by links, queues and VNFs too."""
    core: int | None = None
    """The CPU that the generator is pinned to; left to the kernel if not given."""
    goal: Texts = ("quick",)
    """What counts as throughput: names of goals, or goals of your own."""
    profile: Annotated[tuple[Text, ...], BeforeValidator(_words), _OrOne()] = ()
    """Service levels that sla judges by: names, or files from the scenario's folder."""
    tools: Annotated[tuple[Text, ...], BeforeValidator(_words), _OrOne()] = ()
    """Tools that people know, to run on the same path: ping, iperf3:protocol=UDP."""
    schedule: str | None = None
    """A file that says how links change over time; the topology's own schedule if not given."""
    stop: StopPart | None = None
    """When not to begin with what is left; its keys are below."""
    certify: Annotated[
        Literal["require", "warn", "no"],
        BeforeValidator(_certify),
        WithJsonSchema({"enum": ["require", "warn", "no", False]}),
    ] = "require"
    """Whether impaired links are measured first, and what follows when they are not good."""
    seed: int | None = None
    """Decides the order of the cases, and of packets; drawn, and recorded, if not given."""
    output: str = "results"
    """The folder that the bundle is made in, from where the command is given."""

    def spec(self, folder: Path) -> BenchSpec:
        """The specification of the bench.

        Args:
            folder: of the scenario's file, from where its paths are meant.

        Raises:
            UsageError: values contradict each other.
        """
        stop = self.stop or StopPart()
        return BenchSpec(
            target=_beside(folder, self.topology),
            settings=self.settings,
            vary=self.vary,
            source=self.source,
            destination=self.destination,
            measurements=self.measure,
            rates_pps=self.traffic.rate,
            frames=self.traffic.size,
            patterns=self.traffic.pattern,
            background_pps=self.background,
            duration_s=self.duration,
            mechanism=self.probe,
            round_trip=self.round_trip,
            telemetry=self.telemetry,
            core=self.core,
            repeat=self.repeat,
            goals=self.goal,
            profiles=tuple(_beside(folder, profile) for profile in self.profile),
            tools=self.tools,
            schedule=None if self.schedule is None else folder / self.schedule,
            stop_after_s=stop.after,
            stop_on_violation=stop.on_violation,
            seed=self.seed,
            output=Path(self.output),
            certify=self.certify,
        )


class StopPart(_Part):
    """When not to begin with what is left; what has begun is measured to its end."""

    after: Seconds | None = None
    """So long after the first case began, such as 10min."""
    on_violation: bool = False
    """Once a service level was violated."""


Scenario.model_rebuild()


def is_scenario(file: str) -> bool:
    """Whether a file is one by its name."""
    return file.endswith(SUFFIXES)


def load_scenario(path: Path) -> BenchSpec:
    """The specification in a scenario's file.

    Raises:
        UsageError: the file cannot be read, or values contradict each other.
        TopologyError: it has mistakes, each with its line and column.
    """
    import yaml

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"is larger than {_MOST_BYTES >> 20} MiB", where=str(path))
        loader = yaml.SafeLoader(path.read_text())
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise UsageError("is no scenario: it has no keys", where=str(path), hint=_HINT)
        repeated = [_repeated(path, key) for key in _keys_twice(root)]
        if repeated:
            raise TopologyError(repeated, where=str(path), of="scenario")
        values = loader.construct_document(root)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not text", where=str(path)) from error
    except RecursionError:
        raise UsageError("is nested too deeply", where=str(path), hint=_HINT) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise UsageError(f"is not YAML: {error.problem}", where=place, hint=_HINT) from error
    except (yaml.YAMLError, ValueError) as error:
        text = f"is not YAML: {str(error).partition(chr(10))[0]}"
        raise UsageError(text, where=str(path), hint=_HINT) from error
    scenario, found = _read(path, root, values)
    wrong = {str(place[0]) for place, _ in found}
    target = _beside(path.parent, scenario.topology)
    profiles = [_beside(path.parent, profile) for profile in scenario.profile]
    for at, mistake in contradictions(scenario, target, profiles, path.parent, wrong):
        found.append((at, _contradiction(path, root, at, mistake)))
    if found:
        found.sort(key=lambda each: _mark(root, each[0]).index)
        problems = [problem for _, problem in found]
        raise TopologyError(problems, where=str(path), of="scenario")
    try:
        return scenario.spec(path.parent)
    except UsageError as error:
        rest = place_of(error)
        if rest is None:
            raise
        problem = _contradiction(path, root, rest, error)
        raise TopologyError([problem], where=str(path), of="scenario") from error


def _read(
    path: Path, root: yaml.Node, values: dict[Any, Any]
) -> tuple[Scenario, list[tuple[Place, Problem]]]:
    """The scenario as far as its keys are in order, and what is wrong with the others."""
    try:
        return Scenario.model_validate(values), []
    except ValidationError as error:
        mistakes = error.errors()
    wrong = {each["loc"][0] for each in mistakes}
    sound = {key: value for key, value in values.items() if key not in wrong}
    rest = Scenario.model_validate({"topology": "", **sound})
    return rest, [(each["loc"], _problem(path, root, each)) for each in mistakes]


def schema() -> dict[str, Any]:
    """The JSON schema of scenarios, for editors."""
    return Scenario.model_json_schema(by_alias=True)


def _beside(folder: Path, name: str) -> str:
    """A file that is named from the scenario's folder; anything else as it is."""
    file, colon, rest = name.partition(":")
    found = folder / file
    return f"{found}{colon}{rest}" if found.is_file() else name


def _problem(path: Path, root: yaml.Node, error: Mapping[str, Any]) -> Problem:
    location = error["loc"]
    mark = _mark(root, location)
    key = ".".join(str(part) for part in location if isinstance(part, str))
    message, hint = what_is_wrong(error), ""
    # YAML reads some words, such as on, as something else than a word.
    if error["type"] in ("extra_forbidden", "invalid_key"):
        parts: dict[object, type[_Part]] = {"traffic": TrafficPart, "stop": StopPart}
        fields = parts.get(location[0] if location[1:] else None, Scenario).model_fields.items()
        keys = [field.alias or name for name, field in fields]
        hint = suggestion(location[-1], keys) or f"its keys: {', '.join(keys)}"
    where = f"{path}:{mark.line + 1}:{mark.column + 1}"
    return Problem(f"{where}: {key}" if key else where, message, hint)


def _contradiction(path: Path, root: yaml.Node, place: Place, error: UsageError) -> Problem:
    mark = _mark(root, place)
    key = ".".join(part for part in place if isinstance(part, str))
    return Problem(f"{path}:{mark.line + 1}:{mark.column + 1}: {key}", *in_words(error))


def _mark(node: yaml.Node, location: tuple[str | int, ...]) -> Any:
    """Where in the file the value at a place in it begins; a key that is wrong, where it stands."""
    import yaml

    for part in location:
        if isinstance(node, yaml.MappingNode):
            pairs = {str(key.value): (key, value) for key, value in node.value}
            if str(part) not in pairs:
                break
            key, node = pairs[str(part)]
            if part == location[-1]:
                return key.start_mark
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return node.start_mark


def _keys_twice(node: yaml.Node) -> Iterator[yaml.Node]:
    """Keys that a mapping has once more: YAML would take the last of them in silence."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key
                seen.add(key.value)
            yield from _keys_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _keys_twice(value)


def _repeated(path: Path, key: yaml.Node) -> Problem:
    mark = key.start_mark
    return Problem(
        f"{path}:{mark.line + 1}:{mark.column + 1}: {key.value}", "stands here a second time", ""
    )
