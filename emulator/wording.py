"""What pydantic finds wrong with a file, in the words of the rest of our messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from emulator.names import suggestion

_SHOULD_BE = {
    "greater_than": "should be greater than {gt}",
    "greater_than_equal": "should be {ge} or more",
    "less_than": "should be less than {lt}",
    "less_than_equal": "should be {le} or less",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "dict_type": "should be keys with values",
    "model_type": "should be keys with values",
    "model_attributes_type": "should be keys with values",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "too_short": "should have {min_length} or more values",
    "literal_error": "should be {expected}",
}


def what_is_wrong(detail: Mapping[str, Any], keys: Iterable[str] = ()) -> str:
    """One mistake that a validation found, without its place.

    Args:
        detail: one of ``ValidationError.errors()``.
        keys: those there are where an unknown one was found.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind in ("extra_forbidden", "invalid_key"):
        close = suggestion(detail["loc"][-1], keys)
        return "there is no such key" + (f" ({close})" if close else "")
    if kind in _SHOULD_BE:
        given = detail["input"]
        shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
        return _SHOULD_BE[kind].format(**context) + shown
    text = re.sub(r"^Value error, |^Input (?=should )", "", str(detail["msg"]))
    return text[:1].lower() + text[1:] if text.startswith("Value ") else text
