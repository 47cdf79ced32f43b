"""The VNFs there are: each a folder with a manifest ``vnf.toml`` that says what it is.

A manifest is data, and everything that has to know a VNF's shape reads it from there: the check
of a topology, the help of the command, the block of parameters in C. This is one in full::

    name = "drop"                      # the folder's name
    summary = "drops each every-th frame"
    ports = 2                          # or {min = 2, max = 8}; without max, any number from min

    [dataplanes.kernel]                # one table for each data plane the VNF can run on
    mechanism = "bridge"               # kernel: "bridge" or "ip-forwarding"
    [dataplanes.xdp]
    source = "vnf.c"                   # the others: the source, relative to the folder

    [parameters.every]
    type = "int"                       # int, float, bool or str
    unit = "frames"                    # optional
    default = 1                        # optional; without one the user has to give a value
    minimum = 1                        # optional, for numbers
    maximum = 4294967295               # optional, for numbers
    choices = [1, 2, 4]                # optional: nothing else is allowed
    summary = "drop every n-th frame of each port"

    [counters]                         # optional: what the VNF counts beside its ports
    dropped = "frames dropped on purpose"

Whole numbers are 32 bits without a sign unless ``minimum`` or ``maximum`` ask for more.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emulator.errors import Problem, UsageError
from emulator.names import NAME_RULE, choice_hint, is_name, suggestion
from emulator.paths import share_dir
from emulator.plan.model import Mechanism

AVAILABLE = ("kernel", "xdp")
"""The data planes that can be asked for."""
LATER = ("afxdp", "dpdk", "packet", "python")
"""The data planes that a manifest may already name and that cannot be asked for yet."""

RESERVED = ("name", "vnf", "dataplane", "runtime", "ip", "ipv6", "mac", "cores", "idle")
"""Names that no parameter can have, because ``addVNF`` or every VNF node takes them."""

Value = int | float | bool | str
ParameterType = Literal["int", "float", "bool", "str"]

_PYTHON_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
}
_UNSIGNED_32 = 2**32 - 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Parameter(_Strict):
    """One parameter of a VNF."""

    type: ParameterType
    summary: str
    unit: str = ""
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[Value, ...] | None = Field(default=None, strict=False)

    @property
    def bounds(self) -> tuple[int | float | None, int | float | None]:
        """The least and the greatest value allowed; None where there is no limit.

        A whole number always has both, so that it fits the field it gets in C.
        """
        low, high = self.minimum, self.maximum
        if self.type == "int":
            low = 0 if low is None else low
            high = (_UNSIGNED_32 if low >= 0 else 2**31 - 1) if high is None else high
        return low, high

    @property
    def c_type(self) -> str | None:
        """The type of the parameter's field in C; None for text and fractions, which have none."""
        if self.type == "bool":
            return "__u8"
        if self.type != "int":
            return None
        low, high = self.bounds
        if low is not None and low < 0:
            wide = low < -(2**31) or (high is not None and high > 2**31 - 1)
            return "__s64" if wide else "__s32"
        return "__u64" if high is not None and high > _UNSIGNED_32 else "__u32"

    def describe(self) -> str:
        """The parameter's type, unit and range in words: ``a whole number of frames from 1``."""
        text = _TYPE_WORDS[self.type]
        if self.choices:
            return "one of " + ", ".join(_written(choice) for choice in self.choices)
        if self.unit:
            text += f" in {self.unit}" if self.type == "float" else f" of {self.unit}"
        low, high = self.bounds
        if self.type in ("int", "float"):
            text += "" if low is None else f" from {low}"
            text += "" if high is None else f" up to {high}"
        return text

    def check(self, value: object) -> tuple[Value | None, str]:
        """A given value as the parameter's type and "", or None and what is wrong with it."""
        wanted = _PYTHON_TYPES[self.type]
        if self.type == "float" and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            return None, f"{_written(value)} is not {_TYPE_WORDS[self.type]}"
        assert isinstance(value, int | float | bool | str)
        if self.choices is not None and value not in self.choices:
            return None, f"{_written(value)} is not among its choices"
        if isinstance(value, int | float) and self.type != "bool":
            low, high = self.bounds
            if low is not None and value < low:
                return None, f"{_written(value)} is below the least value, {low}"
            if high is not None and value > high:
                return None, f"{_written(value)} is above the greatest value, {high}"
            if not math.isfinite(value):
                return None, f"{value} is not a number"
        return value, ""

    @model_validator(mode="after")
    def _fits_itself(self) -> Parameter:
        if self.type not in ("int", "float") and (
            self.minimum is not None or self.maximum is not None
        ):
            raise ValueError("only numbers have a minimum or a maximum")
        low, high = self.bounds
        if self.type == "int":
            if not (isinstance(low, int) and isinstance(high, int)):
                raise ValueError("minimum and maximum of a whole number are whole numbers")
            if low < -(2**63) or high > (2**63 - 1 if low < 0 else 2**64 - 1):
                raise ValueError("minimum and maximum do not fit 64 bits")
        if low is not None and high is not None and low > high:
            raise ValueError(f"the minimum {low} is above the maximum {high}")
        for choice in self.choices or ():
            wrong = self.model_copy(update={"choices": None}).check(choice)[1]
            if wrong:
                raise ValueError(f"choice {wrong}")
        if self.default is not None:
            wrong = self.check(self.default)[1]
            if wrong:
                raise ValueError(f"default {wrong}")
        return self


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

    mechanism: Mechanism = "bpf"
    source: str | None = None
    """The source file, relative to the VNF's folder; None for what the kernel does by itself."""


class Manifest(_Strict):
    """What ``vnf.toml`` says."""

    name: str
    summary: str
    ports: Ports
    dataplanes: dict[str, DataplaneSupport] = Field(min_length=1)
    parameters: dict[str, Parameter] = {}
    counters: dict[str, str] = {}
    folder: Path = Field(exclude=True)

    def source(self, dataplane: str) -> Path | None:
        """The source file of a data plane; None for what the kernel does by itself."""
        source = self.dataplanes[dataplane].source
        return None if source is None else self.folder / source

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
                hint = hint or f"its parameters: {known}"
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

    @model_validator(mode="after")
    def _holds_together(self) -> Manifest:
        wrong = []
        if self.name != self.folder.name:
            wrong.append(f"name {self.name} is not the folder's, {self.folder.name}")
        wrong += [
            f"{word!r} is not a usable name ({NAME_RULE})"
            for word in (self.name, *self.counters)
            if not is_name(word)
        ]
        for word in self.parameters:
            # Parameters become keyword arguments in Python and fields in C.
            if not (word.isidentifier() and word.isascii()) or word.startswith("_"):
                wrong.append(f"parameter {word!r} is not a usable name (letters, digits and '_')")
            elif word in RESERVED:
                wrong.append(f"parameter {word} has the name of an option of every VNF node")
        for name, support in self.dataplanes.items():
            wrong += [f"dataplanes.{name}: {text}" for text in self._unfit(name, support)]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _unfit(self, name: str, support: DataplaneSupport) -> Iterator[str]:
        known = (*AVAILABLE, *LATER)
        if name not in known:
            yield f"no such data plane ({suggestion(name, known) or ', '.join(known)})"
        elif name == "kernel":
            if support.mechanism == "bpf":
                yield 'mechanism must be "bridge" or "ip-forwarding"'
            if support.source is not None:
                yield "the kernel forwards by itself and takes no source"
        else:
            if support.mechanism != "bpf":
                yield f"mechanism {support.mechanism} is the kernel's"
            if support.source is None:
                yield "source is missing"
            elif not (self.folder / support.source).is_file():
                yield f"there is no file {self.folder / support.source}"


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
        raise UsageError(
            "; ".join(_mistake(detail) for detail in error.errors()),
            where=str(path),
            hint=f"{share_dir() / 'vnfs/forward/vnf.toml'} is a good one",
        ) from error


def _mistake(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    text = str(detail["msg"]).removeprefix("Value error, ")
    return f"{key}: {text}" if key else text


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str) else str(value)
