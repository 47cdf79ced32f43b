"""Topologies by name: from a Python file, or one of those that come with the product.

A file either exports ``topos``, a dict from names to classes or functions as Mininet's
``--custom`` files do, or defines exactly one topology class.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from emulator.errors import UsageError
from emulator.foreign_topo import from_mininet, is_mininet_topo
from emulator.names import choice_hint, suggestion
from emulator.paths import share_dir
from emulator.settings import SettingsError, arguments_for, near_misses
from emulator.topo import Topo
from emulator.userfile import blaming, run_file

Factory = Callable[..., Any]


def load_topology(target: str, settings: Mapping[str, str] | None = None) -> Topo:
    """Build the topology that a target names.

    Args:
        target: ``FILE``, ``FILE:NAME`` for one of several in the file, or a built-in topology
            such as ``linear,4`` where there is no such file.
        settings: arguments of the topology as text; each is read as the type that its parameter
            of ``build`` has, by annotation or by default. None: no arguments.

    Raises:
        UsageError: there is no such file or topology, the file cannot be run, or it does not
            take the settings.
    """
    settings = settings or {}
    path, name = _split(target)
    if path is None:
        if target.partition(",")[0] in list_builtin():
            return builtin_topology(target, settings)
        raise _no_such_file(target)
    with _importing_beside(path):
        module = run_file(path, f"topology_{path.stem}")
        chosen, factory = _choose(module, path, name)
        return _build(factory, chosen, path, target, settings)


def require_target(target: str) -> None:
    """Check that what a target names is there, and look no further.

    Raises:
        UsageError: there is no such file and no such built-in topology.
    """
    if _split(target)[0] is None and target.partition(",")[0] not in list_builtin():
        raise _no_such_file(target)


def builtin_topology(spec: str, settings: Mapping[str, str]) -> Topo:
    """Build one of the topologies that come with the product.

    Args:
        spec: its name and, separated by commas, its arguments: ``linear,4,2`` or
            ``linear,k=4,n=2``.
        settings: further arguments, as for :func:`load_topology`.

    Raises:
        UsageError: there is no such topology, or it does not take the arguments.
    """
    name, *words = (word.strip() for word in spec.split(","))
    known = list_builtin()
    if name not in known:
        raise UsageError(
            f"there is no built-in topology {name}", where=spec, hint=choice_hint(name, known)
        )
    positional = [word for word in words if "=" not in word]
    inline: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in {**inline, **settings}:
            raise UsageError(f"{key} is given twice", where=spec, hint="keep one of them")
        if equals:
            inline[key] = value
    path = share_dir() / "topologies" / f"{name}.py"
    with _importing_beside(path):
        _, factory = _choose(run_file(path, f"topology_{path.stem}"), path, name)
        return _build(factory, name, path, spec, settings, positional, inline)


def list_builtin() -> dict[str, str]:
    """The names of the topologies that come with the product, each with a one-line summary."""
    summaries = {}
    for path in sorted((share_dir() / "topologies").glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        summaries[path.stem] = text.partition("\n")[0].rstrip(".")
    return summaries


def _split(target: str) -> tuple[Path | None, str | None]:
    """The file of a target and the name behind the colon; no file when there is none."""
    path = Path(target)
    if path.is_file():
        return path, None
    file, colon, name = target.rpartition(":")
    if colon and Path(file).is_file():
        return Path(file), name
    return None, None


def _no_such_file(target: str) -> UsageError:
    path = Path(target.partition(":")[0])
    if path.is_dir():
        return UsageError("is a folder", where=target, hint="name a file in it")
    near = [str(file) for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
    names = list_builtin()
    hint = suggestion(path, near) or suggestion(target.partition(",")[0], names)
    return UsageError(
        "there is no such file",
        where=target,
        hint=hint or f"write one, or take a built-in topology: {', '.join(names)}",
    )


@contextmanager
def _importing_beside(path: Path) -> Iterator[None]:
    """Let the file import its neighbours, as it could if Python ran it."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _choose(module: ModuleType, path: Path, name: str | None) -> tuple[str | None, Factory]:
    """The topology's name, if the file gives it one, and what builds it."""
    exported = getattr(module, "topos", None)
    if exported is not None and not isinstance(exported, Mapping):
        raise UsageError(
            "topos is not a dict", where=str(path), hint='write topos = {"chain": Chain}'
        )
    defined = {key: value for key, value in vars(module).items() if _is_topology(value, module)}
    choices: dict[str, Any] = dict(exported) if exported else defined
    if name is not None:
        found = choices.get(name, defined.get(name))
        if found is None:
            known = list(dict.fromkeys((*choices, *defined)))
            raise UsageError(
                f"has no topology {name}", where=str(path), hint=choice_hint(name, known)
            )
    elif len(choices) == 1:
        name, found = next(iter(choices.items()))
    elif choices:
        raise UsageError(
            f"has {len(choices)} topologies: {', '.join(choices)}",
            where=str(path),
            hint=f"choose one: {path}:{next(iter(choices))}",
        )
    else:
        raise UsageError(
            "has no topology",
            where=str(path),
            hint='write a class MyTopo(Topo) with a method build, and topos = {"mytopo": MyTopo}',
        )
    if not callable(found):
        raise UsageError(
            f"topology {name} is neither a class nor a function",
            where=str(path),
            hint=f'write topos = {{"{name}": {type(found).__name__}}}',
        )
    return (name if found is choices.get(name) and exported else None), found


def _is_topology(value: Any, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and value.__module__ == module.__name__
        and (issubclass(value, Topo) or all(hasattr(value, m) for m in ("addHost", "addSwitch")))
    )


def _build(
    factory: Factory,
    name: str | None,
    path: Path,
    target: str,
    settings: Mapping[str, str],
    positional: Sequence[str] = (),
    inline: Mapping[str, str] = MappingProxyType({}),
) -> Topo:
    try:
        arguments = arguments_for(factory, positional, {**inline, **settings})
    except SettingsError as error:
        where = f"--set {error.key}" if error.key in settings else target
        raise UsageError(error.message, where=where, hint=error.hint) from None
    with blaming(path):
        topo = factory(**arguments)
    if is_mininet_topo(topo):
        topo = from_mininet(topo)
    if not isinstance(topo, Topo):
        given = topo.__name__ if isinstance(topo, type) else type(topo).__name__
        raise UsageError(
            f"{name or 'it'} gives {given}, which is not a topology",
            where=str(path),
            hint="a topology is an object of a class that derives from emulator.Topo",
        )
    if name is not None:
        topo.name = name
    topo.near_misses = near_misses(factory, arguments)
    return topo
