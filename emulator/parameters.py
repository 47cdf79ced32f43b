"""What a VNF's manifest says of one parameter: its type, its range, and how C sees it."""

from __future__ import annotations

import ipaddress
import math
import re
import struct
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = int | float | bool | str
ParameterType = Literal["int", "float", "bool", "str", "ipv4", "mac"]

_PYTHON_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool}
_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "ipv4": "an IPv4 address",
    "mac": "a MAC address",
}
_C_FIELDS = {"bool": "__u8 {};", "ipv4": "__be32 {};", "mac": "__u8 {}[6];"}
_FORMATS = {"__u8": "B", "__s32": "i", "__u32": "I", "__s64": "q", "__u64": "Q"}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSIGNED_32 = 2**32 - 1


class Parameter(BaseModel):
    """One parameter of a VNF."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

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
    def c_field(self) -> str | None:
        """The parameter's field in C, its name as ``{}``; None for text and fractions.

        They have none: the VNF's control module makes of them what C needs.
        """
        if self.type == "int":
            return f"{self._c_type} {{}};"
        return _C_FIELDS.get(self.type)

    def pack(self, value: Value) -> tuple[bytes, int]:
        """A checked value as the bytes of its field, and the field's alignment."""
        if self.type == "ipv4":
            return ipaddress.IPv4Address(value).packed, 4
        if self.type == "mac":
            return bytes.fromhex(str(value).replace(":", "")), 1
        letter = _FORMATS[self._c_type if self.type == "int" else "__u8"]
        return struct.pack(f"={letter}", value), struct.calcsize(letter)

    @property
    def _c_type(self) -> str:
        low, high = self.bounds
        if low is not None and low < 0:
            wide = low < -(2**31) or (high is not None and high > 2**31 - 1)
            return "__s64" if wide else "__s32"
        return "__u64" if high is not None and high > _UNSIGNED_32 else "__u32"

    def describe(self) -> str:
        """The parameter's type, unit and range in words: ``a whole number of frames from 1``."""
        text = _TYPE_WORDS[self.type]
        if self.choices:
            return "one of " + ", ".join(written(choice) for choice in self.choices)
        if self.unit:
            text += f" in {self.unit}" if self.type == "float" else f" of {self.unit}"
        low, high = self.bounds
        if self.type in ("int", "float"):
            text += "" if low is None else f" from {low}"
            text += "" if high is None else f" up to {high}"
        return text

    def check(self, value: object) -> tuple[Value | None, str]:
        """A given value as the parameter's type and "", or None and what is wrong with it."""
        wanted = _PYTHON_TYPES.get(self.type, str)
        if self.type == "float" and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            return None, f"{written(value)} is not {_TYPE_WORDS[self.type]}"
        assert isinstance(value, int | float | bool | str)
        if isinstance(value, str) and not self._reads_as_address(value):
            return None, f"{written(value)} is not {_TYPE_WORDS[self.type]}"
        if self.choices is not None and value not in self.choices:
            return None, f"{written(value)} is not among its choices"
        if isinstance(value, int | float) and self.type != "bool":
            low, high = self.bounds
            if low is not None and value < low:
                return None, f"{written(value)} is below the least value, {low}"
            if high is not None and value > high:
                return None, f"{written(value)} is above the greatest value, {high}"
            if not math.isfinite(value):
                return None, f"{value} is not a number"
        return value, ""

    def _reads_as_address(self, text: str) -> bool:
        if self.type == "mac":
            return _MAC.fullmatch(text) is not None
        if self.type == "ipv4":
            try:
                ipaddress.IPv4Address(text)
            except ValueError:
                return False
        return True

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


def written(value: object) -> str:
    """A value as one writes it in a manifest."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str) else str(value)
