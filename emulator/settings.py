"""Arguments given as text, read as the types that a topology's ``build`` declares."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from emulator.names import closest, suggestion

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}
_BASES = ("emulator.topo", "mininet.topo")


class SettingsError(ValueError):
    """A setting that does not fit; ``key`` is the parameter's name."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message
        self.hint = hint


def arguments_for(
    factory: Callable[..., Any], positional: Sequence[str], named: Mapping[str, str]
) -> dict[str, Any]:
    """The keyword arguments to call ``factory`` with.

    A parameter's type is its annotation, or that of its default; without either, numbers and
    true and false are recognised. A catch-all ``**parameters`` takes any other key; one whose
    name starts with an underscore takes none, because the underscore says that it is ignored.

    Args:
        factory: a topology class, or a function that gives a topology.
        positional: values in the order of the parameters.
        named: parameter -> value.

    Raises:
        SettingsError: there is no such parameter, a value has the wrong type, or one is missing.
    """
    function = _entry(factory)
    parameters = _parameters(function, isinstance(factory, type))
    hints = _annotations(function)
    takes = _named(parameters)
    rest = any(
        parameter.kind is parameter.VAR_KEYWORD and not name.startswith("_")
        for name, parameter in parameters.items()
    )
    usage = "it takes: " + (", ".join(_shown(parameters[name]) for name in takes) or "nothing")
    if len(positional) > len(takes):
        raise SettingsError("", f"{positional[len(takes)]!r} is one argument too many", usage)
    given = dict(zip(takes, positional, strict=False))
    for key, text in named.items():
        if key in given:
            raise SettingsError(key, f"{key} is given twice", usage)
        if key not in takes and not rest:
            close = suggestion(key, takes)
            raise SettingsError(key, f"there is no parameter {key}", close or usage)
        given[key] = text
    for name in takes:
        if name not in given and parameters[name].default is inspect.Parameter.empty:
            raise SettingsError(name, f"{name} must be given", f"--set {name}=VALUE; {usage}")
    arguments = {}
    for key, text in given.items():
        kind = hints.get(key)
        if kind is None and key in takes:
            default = parameters[key].default
            kind = None if default in (None, inspect.Parameter.empty) else type(default)
        arguments[key] = _read(key, text, kind)
    return arguments


def assignments(words: Iterable[str], like: Mapping[str, Any]) -> dict[str, Any]:
    """``NAME=VALUE`` words as typed values.

    Args:
        words: what the user wrote.
        like: the values that are to be replaced; a new one is read as the type of the old one.
            Text that does not read as that type stays text, and an unknown name is kept: whoever
            gets the values knows better what to say of them.

    Raises:
        SettingsError: a word has no ``=``, or a name comes twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise SettingsError(name, f"{word!r} is not NAME=VALUE", 'write every=3 or text="a b"')
        if name in found:
            raise SettingsError(name, f"{name} is given twice", "keep one of them")
        value = _as(type(like.get(name, "")), text)
        found[name] = text if value is None else value
    return found


def near_misses(factory: Callable[..., Any], given: Iterable[str]) -> dict[str, str]:
    """Which of the parameters that only a catch-all takes look like one that ``factory`` names.

    Args:
        factory: a topology class, or a function that gives a topology.
        given: the names of the parameters that it was called with.

    Returns:
        Given name -> the name it resembles.
    """
    takes = _named(_parameters(_entry(factory), isinstance(factory, type)))
    others = [name for name in given if name not in takes]
    return {name: close for name in others if (close := closest(name, takes)) is not None}


def _entry(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The function that the arguments end up in: a class' own constructor, or its ``build``."""
    if not isinstance(factory, type):
        return factory
    constructor: Callable[..., Any] = factory.__init__  # type: ignore[misc]
    build: Callable[..., Any] = getattr(factory, "build", constructor)
    if getattr(constructor, "__module__", None) in _BASES:
        return build
    own = _parameters(constructor, is_method=True).values()
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    passes_on = any(own) and all(parameter.kind in catch_all for parameter in own)
    return build if passes_on else constructor


def _parameters(function: Callable[..., Any], is_method: bool) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(function).parameters)
    if is_method:
        parameters.pop(next(iter(parameters)), None)
    return parameters


def _named(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    return [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        # An annotation may name what only a type checker imports; the defaults serve then.
        return {}


def _read(key: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if str(choice) == text:
                return choice
        choices = [str(choice) for choice in get_args(kind)]
        hint = suggestion(text, choices) or f"one of {', '.join(choices)}"
        raise SettingsError(key, f"{text!r} is not possible", hint)
    if get_origin(kind) in (Union, types.UnionType):
        if type(None) in get_args(kind) and text.lower() == "none":
            return None
        kinds = [member for member in get_args(kind) if member is not type(None)]
        for member in (bool, int, float, str):
            if member in kinds and (member is not bool or text.lower() not in ("0", "1")):
                try:
                    return _read(key, text, member)
                except SettingsError:
                    continue
        kind = kinds[0] if len(kinds) == 1 else None
    if kind not in _WORDS:
        return _guess(text)
    value = _as(kind, text)
    if value is None:
        raise SettingsError(key, f"{text!r} is not {_WORDS[kind]}", f"write {key}={_example(kind)}")
    return value


def _as(kind: Any, text: str) -> Any:
    if kind is bool:
        word = text.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    try:
        return kind(text)
    except ValueError:
        return None


def _guess(text: str) -> Any:
    for kind in (int, float):
        value = _as(kind, text)
        if value is not None:
            return value
    return {"true": True, "false": False}.get(text.lower(), text)


def _example(kind: Any) -> str:
    return {int: "4", float: "0.5", bool: "true"}.get(kind, "text")


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default}"
