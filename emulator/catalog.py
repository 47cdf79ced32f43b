"""The VNFs there are: each a folder with a manifest ``vnf.toml`` that says what it is.

A manifest is data, and everything that has to know a VNF's shape reads it from there: the check
of a topology, the help of the command, the block of parameters in C. This is one in full::

    name = "drop"                      # the folder's name
    summary = "drops each every-th frame"
    ports = 2                          # or {min = 2, max = 8}; without max, any number from min

    [dataplanes.kernel]                # one table for each data plane the VNF can run on
    mechanism = "bridge"               # kernel: "bridge" or "ip-forwarding"
    [dataplanes.xdp]                   # the others: the source, relative to the folder; without
    source = "vnf.c"                   # one it is vnf.c, or vnf.py for the data plane python
    [dataplanes.dpdk]                  # dpdk may have, instead of a source, a program that is used
    program = "dpdk-testpmd"           # as it is: on the PATH, or with a / in it in the folder
    arguments = ["--burst={burst}"]    # its own; in braces a parameter, or one of PLACEHOLDERS
    threads = 2                        # optional, 1 without it: so many DPDK starts

    [parameters.every]
    type = "int"                       # int, float, bool, str, ipv4 or mac
    unit = "frames"                    # optional
    default = 1                        # optional; without one the user has to give a value
    minimum = 1                        # optional, for numbers
    maximum = 4294967295               # optional, for numbers
    choices = [1, 2, 4]                # optional: nothing else is allowed
    summary = "drop every n-th frame of each port"

    [counters]                         # optional: what the VNF counts beside its ports
    dropped = "frames dropped on purpose"

Whole numbers are 32 bits without a sign unless ``minimum`` or ``maximum`` ask for more. A key
``control = "control.py"`` at the top names a module that turns parameters into the content of the
VNF's tables and settings: see ``emulator.control``.
"""

from __future__ import annotations

import keyword
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from emulator.errors import Problem, UsageError
from emulator.names import NAME_RULE, choice_hint, is_name, suggestion
from emulator.parameters import Parameter, Value
from emulator.paths import share_dir
from emulator.plan.container_spellings import NAMES
from emulator.plan.model import Mechanism
from emulator.wording import what_is_wrong

AVAILABLE = ("kernel", "xdp", "afxdp", "dpdk", "packet", "python")
"""The data planes that can be asked for."""
_OF_THE_KERNEL = ("bridge", "ip-forwarding")
_NO_SOURCE = "no_source"
"""The kind of a mistake which is only that files are not there."""

# fmt: off
RESERVED = (
    "name", "vnf", "dataplane", "runtime", "ip", "ipv6", "mac", "cores", "idle", "seed", "driver",
    "eal", "hugepages", *sorted(NAMES),
)
# fmt: on
"""Names that no parameter can have, because ``addVNF`` or every VNF node takes them: those of the
options of a container are among them."""

# fmt: off
PLACEHOLDERS = {
    "portmask": "a bit for each port, in hexadecimal",
    "buffers": "how many packet buffers its ports need",
    "buffer_bytes": "how large each of them is, headroom included",
}
"""What can stand in braces in a program's arguments beside the parameters."""

_C_WORDS = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "while", "asm", "typeof",
    # Macros that compilers or the headers of the run loops bring along.
    "bool", "errno", "false", "linux", "static_assert", "stderr", "stdin", "stdout", "true", "unix",
))
# fmt: on


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ports(_Strict):
    """How many ports a VNF has."""

    min: int = Field(ge=1)
    max: int | None = None

    def __str__(self) -> str:
        if self.max is None:
            return f"at least {self.min}"
        return str(self.min) if self.min == self.max else f"{self.min} to {self.max}"

    def allow(self, count: int) -> bool:
        """Whether a VNF may have that many ports."""
        return count >= self.min and (self.max is None or count <= self.max)

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return {"min": value, "max": value} if type(value) is int else value

    @model_validator(mode="after")
    def _in_order(self) -> Ports:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class DataplaneSupport(_Strict):
    """How a VNF runs on one data plane."""

    mechanism: Mechanism = "process"
    source: str | None = None
    """The source file, relative to the VNF's folder; None for the data plane's usual one."""
    program: str | None = None
    """A DPDK program that runs as it is, in place of a source."""
    arguments: tuple[str, ...] = Field(default=(), strict=False)
    """What the program is given, with parameters in braces."""
    threads: int = Field(default=1, ge=1)
    """How many threads DPDK starts for the program, its first one included."""

    def placeholders(self) -> set[str]:
        """The names in braces in the arguments.

        Raises:
            ValueError: braces do not pair.
        """
        parsed = (part for text in self.arguments for part in Formatter().parse(text))
        return {name for _, name, _, _ in parsed if name is not None}


class Manifest(_Strict):
    """What ``vnf.toml`` says."""

    name: str
    summary: str
    ports: Ports
    dataplanes: dict[str, DataplaneSupport] = Field(min_length=1)
    parameters: dict[str, Parameter] = {}
    counters: dict[str, str] = {}
    control: str | None = None
    folder: Path = Field(exclude=True)

    def source(self, dataplane: str) -> Path | None:
        """The source file of a data plane; None for the kernel's, and for a ready program."""
        support = self.dataplanes[dataplane]
        if support.mechanism not in ("bpf", "process") or support.program is not None:
            return None
        return self.folder / (support.source or _usual_source(dataplane))

    def check_parameters(
        self,
        given: Mapping[str, object],
        *,
        where: str = "",
        near_misses: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[dict[str, Value], list[Problem]]:
        """The value of every parameter, defaults filled in, and what is wrong with those given.

        Args:
            given: parameter name -> value.
            where: the place that the problems name.
            near_misses: given name -> a parameter of the topology that it resembles.
        """
        problems = []
        values: dict[str, Value] = {}
        for name in given:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                hint = suggestion(name, self.parameters)
                if not hint and name in near_misses:
                    hint = f"did you mean {near_misses[name]}, a parameter of the topology?"
                hint = hint or suggestion(name, RESERVED) or f"its parameters: {known}"
                problems.append(Problem(where, f"VNF {self.name} has no parameter {name}", hint))
        for name, parameter in self.parameters.items():
            hint = f"{name}: {parameter.summary}; {parameter.describe()}"
            if name not in given and parameter.default is None:
                problems.append(Problem(where, f"parameter {name} must be given", hint))
                continue
            value, wrong = parameter.check(given.get(name, parameter.default))
            if value is None:
                problems.append(Problem(where, f"parameter {name}: {wrong}", hint))
            else:
                values[name] = value
        return values, problems

    @model_validator(mode="before")
    @classmethod
    def _name_mechanisms(cls, content: Any) -> Any:
        """Data planes other than the kernel's have one mechanism each, so nobody writes it."""
        planes = content.get("dataplanes") if isinstance(content, dict) else None
        if not isinstance(planes, dict) or not isinstance(planes.get("xdp"), dict):
            return content
        xdp = {"mechanism": "bpf", **planes["xdp"]}
        return {**content, "dataplanes": {**planes, "xdp": xdp}}

    @model_validator(mode="after")
    def _holds_together(self) -> Manifest:
        wrong = []
        if self.name != self.folder.name:
            wrong.append(f"name {self.name} is not the folder's, {self.folder.name}")
        if not is_name(self.name):
            wrong.append(f"{self.name!r} is not a usable name ({NAME_RULE})")
        # Both become fields in C; parameters also keyword arguments in Python.
        for kind, words in (("parameter", self.parameters), ("counter", self.counters)):
            for word in words:
                if not (word.isidentifier() and word.isascii()) or word.startswith("_"):
                    wrong.append(f"{kind} {word!r} is not a usable name (letters, digits and '_')")
                elif word in _C_WORDS:
                    wrong.append(f"{kind} {word} has a name that means something in C")
        for word in self.parameters:
            if keyword.iskeyword(word) and word not in _C_WORDS:
                wrong.append(f"parameter {word} has a name that means something in Python")
            elif word in RESERVED:
                wrong.append(f"parameter {word} has the name of an option of every VNF node")
        if self.control is not None and not (self.folder / self.control).is_file():
            wrong.append(f"control: there is no file {self.folder / self.control}")
        for name, support in self.dataplanes.items():
            wrong += [f"dataplanes.{name}: {text}" for text in self._unfit(name, support)]
        # A file that several data planes share is missed once.
        lost = [
            f"dataplanes.{', '.join(names)}: there is no file {source}"
            for source, names in self._lost_sources().items()
        ]
        if lost and not wrong:
            raise PydanticCustomError(_NO_SOURCE, "{text}", {"text": "; ".join(lost)})
        if wrong:
            raise ValueError("; ".join([*wrong, *lost]))
        return self

    def _lost_sources(self) -> dict[Path, list[str]]:
        """The sources that are not there, each with the data planes that want it."""
        lost: dict[Path, list[str]] = {}
        for name, support in self.dataplanes.items():
            own = support.program is None and support.mechanism not in _OF_THE_KERNEL
            if own and name in AVAILABLE and name != "kernel":
                source = self.folder / (support.source or _usual_source(name))
                if not source.is_file():
                    lost.setdefault(source, []).append(name)
        return lost

    def _unfit(self, name: str, support: DataplaneSupport) -> Iterator[str]:
        if name not in AVAILABLE:
            hint = suggestion(name, AVAILABLE) or ", ".join(AVAILABLE)
            yield f"no such data plane ({hint})"
        elif name == "kernel":
            if support.mechanism not in _OF_THE_KERNEL:
                yield 'mechanism must be "bridge" or "ip-forwarding"'
            if support.source is not None:
                yield "the kernel forwards by itself and takes no source"
        elif support.mechanism in _OF_THE_KERNEL:
            yield f"mechanism {support.mechanism} is the kernel's"
        yield from self._unfit_program(name, support)

    def _unfit_program(self, name: str, support: DataplaneSupport) -> Iterator[str]:
        if support.program is None:
            if support.arguments or support.threads > 1:
                yield "arguments and threads are for a program"
            return
        if name != "dpdk":
            yield "only dpdk takes a program"
        if support.source is not None:
            yield "it takes a program or a source, not both"
        known = (*self.parameters, *PLACEHOLDERS)
        try:
            wanted = support.placeholders()
        except ValueError as error:
            yield f"arguments: {error}"
            return
        for word in sorted(wanted.difference(known)):
            hint = suggestion(word, known) or f"there are: {', '.join(known)}"
            yield f"arguments: there is no parameter {word!r} ({hint})"


class Catalog:
    """The manifests, by name; iterating gives the names."""

    def __init__(self, manifests: Mapping[str, Manifest]) -> None:
        self._manifests = dict(sorted(manifests.items()))

    @classmethod
    def load(cls, extra: Sequence[Path] = ()) -> Catalog:
        """Read every manifest there is.

        The product's own VNFs come first, then the folders in ``$VNF_PATH`` (separated by
        colons), then ``extra``; of two VNFs with one name the later counts, so that a user's
        version of a VNF can stand in for ours.

        Args:
            extra: folders that hold VNF folders; one that does not exist holds none.

        Raises:
            UsageError: a manifest cannot be read or has mistakes.
        """
        folders = [share_dir() / "vnfs"]
        folders += [Path(part) for part in os.environ.get("VNF_PATH", "").split(":") if part]
        manifests = {}
        for folder in (*folders, *extra):
            for path in sorted(folder.glob("*/vnf.toml")):
                manifest = read_manifest(path)
                manifests[manifest.name] = manifest
        return cls(manifests)

    def names(self) -> list[str]:
        """The names of the VNFs, sorted."""
        return list(self._manifests)

    def __getitem__(self, name: str) -> Manifest:
        try:
            return self._manifests[name]
        except KeyError:
            raise UsageError(
                f"there is no VNF {name}", where="catalog", hint=self.hint_for(name)
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._manifests

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifests)

    def __len__(self) -> int:
        return len(self._manifests)

    def hint_for(self, name: object) -> str:
        """What to say to someone who asked for a VNF that does not exist."""
        return choice_hint(name, self._manifests)


def _usual_source(dataplane: str) -> str:
    return "vnf.py" if dataplane == "python" else "vnf.c"


def read_manifest(path: Path) -> Manifest:
    """Read one ``vnf.toml``.

    Raises:
        UsageError: it cannot be read, is not TOML, or is not a manifest; all mistakes at once.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is not TOML: {error}", where=str(path)) from error
    try:
        return Manifest.model_validate({**content, "folder": path.resolve().parent})
    except ValidationError as error:
        found = error.errors()
        hint = f"{share_dir() / 'vnfs/forward/vnf.toml'} is a good one"
        if all(detail["type"] == _NO_SOURCE for detail in found):
            hint = "write it, or name the file there is with source"
        text = "; ".join(_mistake(detail) for detail in found)
        raise UsageError(text, where=str(path), hint=hint) from error


def _mistake(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    text = what_is_wrong(detail, _keys_at(detail["loc"]))
    return f"{key}: {text}" if key else text


def _keys_at(place: Sequence[int | str]) -> Iterable[str]:
    """The keys that a table of a manifest may have, by the place of one of them."""
    tables: dict[object, type[BaseModel]] = {
        "ports": Ports,
        "dataplanes": DataplaneSupport,
        "parameters": Parameter,
    }
    return tables.get(place[0] if place[1:] else None, Manifest).model_fields
