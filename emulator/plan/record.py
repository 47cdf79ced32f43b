"""What all parts of a plan have in common: frozen data that goes to JSON and back, checked.

They are dataclasses with the methods that pydantic's models have. Pydantic checks what is read, and
is imported no sooner: most labs never read a plan, and would wait longer for its import than for
their network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter


class Record:
    """A frozen dataclass of a plan."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """The same with some fields changed."""
        return replace(self, **(update or {}))

    def to_values(self) -> dict[str, Any]:
        """All of it as JSON has it: dicts, lists and plain values."""
        return {name: _values(getattr(self, name)) for name in self.__dataclass_fields__}

    def to_json(self, *, indent: int | None = 2) -> str:
        """All of it as JSON text."""
        separators = (",", ":") if indent is None else None
        return json.dumps(
            self.to_values(), indent=indent, separators=separators, ensure_ascii=False
        )

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """A choice of its fields, by pydantic's options: ``include``, ``exclude_defaults`` …"""
        chosen: dict[str, Any] = _adapter(type(self)).dump_python(self, **options)
        return chosen

    @classmethod
    def model_validate(cls, content: Any) -> Self:
        """What the content says: a dict, or something of this class already.

        Raises:
            ValidationError: of pydantic, which is a ValueError: the content says no such thing.
        """
        made: Self = _adapter(cls).validate_python(content)
        return made

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """What JSON text says.

        Raises:
            ValidationError: as :meth:`model_validate` does.
        """
        made: Self = _adapter(cls).validate_json(text)
        return made


_ADAPTERS: dict[type[Record], TypeAdapter[Any]] = {}


def _adapter(cls: type[Record]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _values(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_values()
    if isinstance(value, tuple):
        return [_values(each) for each in value]
    if isinstance(value, dict):
        return {key: _values(each) for key, each in value.items()}
    return value
