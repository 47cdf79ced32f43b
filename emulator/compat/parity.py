"""The parity table: each name of Mininet's, Containernet's and ComNetsEmu's API, and ours.

Mininet's names are read from Mininet itself, where it is installed; what is asked of ours is only
whether the name is there and takes the parameter. What is better or different, and why, is data:
``parity_reasons``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from emulator.compat.parity_peers import PEERS
from emulator.compat.parity_reasons import BETTER, DIFFERENT
from emulator.compat.unsupported import MODULES, Refused, UnsupportedError, refused_module
from emulator.errors import MachineError

WALKED = (
    "net", "node", "nodelib", "link", "topo", "topolib", "cli", "log", "util", "clean", "term",
    "moduledeps",
)  # fmt: skip
"""Mininet's modules that scripts import."""
_EXAMPLES = "mininet.examples"
_CHOICES = {
    "SWITCHES": "switch", "HOSTS": "host", "CONTROLLERS": "controller", "LINKS": "link",
    "TOPOS": "topo", "TESTS": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A name of an API.

    Attributes:
        group: the module it is imported from, or ``mn``.
        path: what it is called there: ``Mininet.addHost``; empty for a module as a whole.
        parameter: one of its parameters, or empty for itself.
    """

    group: str
    path: str
    parameter: str = ""

    def __str__(self) -> str:
        if self.group == "mn":
            return f"mn {self.path}" + (f" {self.parameter}" if self.parameter else "")
        whole = ".".join(part for part in (self.group, self.path) if part)
        return f"{whole}({self.parameter})" if self.parameter else whole


@dataclass(frozen=True)
class Row:
    """A name and what a script finds under it."""

    name: Name
    verdict: Literal["same", "better", "different"]
    why: str = ""


def table(names: Sequence[Name]) -> list[Row]:
    """What a script finds under each name.

    Raises:
        ValueError: a name is missing without a reason, or a reason is given for what no name is.
    """
    texts = {str(name) for name in names}
    reasons = (*BETTER, *DIFFERENT)
    wrong = [f"{each}: a reason for what there is not" for each in reasons if each not in texts]
    wrong += [f"{each}: both better and different" for each in BETTER if each in DIFFERENT]
    rows = []
    for name in names:
        text = str(name)
        missing = not is_ours(name)
        if missing and any(str(each) in DIFFERENT and not is_ours(each) for each in _owners(name)):
            continue  # with what it belongs to, of which the table tells
        if missing and (why := DIFFERENT.get(text) or _reason_elsewhere(name)):
            rows.append(Row(name, "different", why))
        elif missing:
            wrong.append(f"{text}: missing, and nothing says why")
        elif text in DIFFERENT:
            rows.append(Row(name, "different", DIFFERENT[text]))
        elif text in BETTER:
            rows.append(Row(name, "better", BETTER[text]))
        else:
            rows.append(Row(name, "same"))
    if wrong:
        raise ValueError("\n".join(wrong))
    return rows


def _owners(name: Name) -> Iterator[Name]:
    """What a name belongs to: of a parameter its function, of a method its class."""
    if name.parameter:
        yield Name(name.group, name.path)
    path = name.path
    while "." in path:
        path = path.rpartition(".")[0]
        yield Name(name.group, path)


def all_names() -> list[Name]:
    """Every name that the table is about.

    Raises:
        MachineError: Mininet is not installed.
    """
    return [*mininet_names(), *mn_names(), *peer_names()]


# Whose they are -----------------------------------------------------------------------------------


def mininet_names() -> Iterator[Name]:
    """The public names of Mininet's modules: what they define, and what their parameters are."""
    for module in WALKED:
        real = _mininet(module)
        for name in _defined_in(real):
            value = getattr(real, name)
            yield Name(real.__name__, name)
            if inspect.isclass(value) and value.__name__ == name:
                yield from _members(real.__name__, name, value)
            elif inspect.isfunction(value):
                yield from _parameters(real.__name__, name, value)
    for found in pkgutil.iter_modules(_mininet("examples").__path__):
        if found.name != "test":
            yield Name(f"{_EXAMPLES}.{found.name}", "")


def mn_names() -> Iterator[Name]:
    """The options of ``mn``, and what can be chosen by them."""
    tree = ast.parse(_mn_script().read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = _texts(node.args)
            if called == "addDictOption":
                yield Name("mn", f"--{words[-1]}")
            elif called == "add_option":
                yield from (Name("mn", each) for each in words if each.startswith("--"))
    chosen = {
        (option, key)
        for node in ast.walk(tree)
        for option, keys in _chosen(node)
        for key in keys
        if key
    }
    yield from (Name("mn", f"--{option}", key) for option, key in sorted(chosen))


def peer_names() -> Iterator[Name]:
    """The names of Containernet's and ComNetsEmu's API."""
    for text, parameters in PEERS.items():
        group = ".".join(text.split(".")[:2])
        path = text.removeprefix(group).lstrip(".")
        yield Name(group, path)
        yield from (Name(group, path, each) for each in parameters.split())


def _mininet(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"mininet.{module}")
    except ModuleNotFoundError as error:
        raise MachineError(
            "Mininet is not installed, whose names are compared", hint="pip install mininet"
        ) from error


def _mn_script() -> Path:
    beside = Path(sys.executable).with_name("mn")
    found = str(beside) if beside.exists() else shutil.which("mn")
    if found is None:
        raise MachineError("mn is not installed, whose options are compared")
    return Path(found)


def _defined_in(module: ModuleType) -> list[str]:
    """The public names that a module defines, in its order; not those that it imports."""
    assert module.__file__ is not None
    names: dict[str, None] = {}
    for node in _statements(ast.parse(Path(module.__file__).read_text()).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names[node.name] = None
        elif isinstance(node, ast.Assign):
            targets = [each for target in node.targets for each in ast.walk(target)]
            names.update({each.id: None for each in targets if isinstance(each, ast.Name)})
    # What a function for an old Python would have stood in for is imported.
    return [
        name
        for name in names
        if not name.startswith("_")
        and hasattr(module, name)
        and getattr(getattr(module, name), "__module__", module.__name__).startswith("mininet.")
    ]


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under an ``if`` or a ``try`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(ast.iter_child_nodes(node))  # type: ignore[arg-type]


def _members(group: str, owner: str, cls: type) -> Iterator[Name]:
    for name, value in vars(cls).items():
        if name.startswith("_") and name != "__init__":
            continue
        path = f"{owner}.{name}"
        yield Name(group, path)
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(plain):
            yield from _parameters(group, path, plain)


def _parameters(group: str, path: str, function: Callable[..., Any]) -> Iterator[Name]:
    """The parameters that a caller may name."""
    for name, each in inspect.signature(function).parameters.items():
        starred = each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if not starred and not name.startswith("_") and name not in ("self", "cls", "mncls"):
            yield Name(group, path, name)


def _chosen(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """The option whose choices a statement of ``mn`` lists, and these."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        option = _CHOICES.get(node.targets[0].id)
        value = node.value
        if option and isinstance(value, ast.Dict):
            yield option, _texts(value.keys)
        elif option and isinstance(value, ast.DictComp):
            yield option, _texts(ast.walk(value.generators[0].iter))
    elif isinstance(node, ast.Call) and ast.unparse(node.func).removesuffix(".update") in _CHOICES:
        option = _CHOICES[ast.unparse(node.func).removesuffix(".update")]
        yield option, [each.arg or "" for each in node.keywords]


def _texts(nodes: Iterable[ast.AST | None]) -> list[str]:
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]


# Ours ---------------------------------------------------------------------------------------------


@cache
def is_ours(name: Name) -> bool:
    """Whether there is something of ours under a name, which takes the parameter."""
    if name.group == "mn":
        return _is_option(name)
    try:
        thing: Any = importlib.import_module(f"emulator.compat.{name.group}")
        for part in filter(None, name.path.split(".")):
            thing = getattr(thing, part)
    except (ModuleNotFoundError, AttributeError, UnsupportedError):
        return False
    if inspect.isclass(thing) and issubclass(thing, Refused):
        return False
    return not name.parameter or name.parameter in _taken(name, thing)


def _is_option(name: Name) -> bool:
    from emulator.cli.mn import HELP
    from emulator.compat import mn_choices
    from emulator.compat.mn_tests import TESTS

    if name.parameter:
        known: dict[str, Any] = {
            "--switch": mn_choices.SWITCHES,
            "--host": mn_choices.HOSTS,
            "--controller": mn_choices.CONTROLLERS,
            "--link": mn_choices.LINKS,
            "--topo": mn_choices.TOPOS,
            "--test": TESTS,
        }
        return name.parameter in known[name.path]
    return name.path in HELP


def _taken(name: Name, thing: Any) -> set[str]:
    """The parameters that something of ours takes, those behind ``**params`` included."""
    from emulator.compat.comnetsemu.node import DockerHost
    from emulator.compat.docker_hosts import ContainerHost, Docker
    from emulator.link import SHAPERS
    from emulator.plan.impairments import SETTINGS

    parameters = inspect.signature(thing).parameters
    taken = set(parameters)
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return taken
    if name.path.endswith("Intf.config"):
        return taken | set(SETTINGS) | set(SHAPERS)
    kinds: dict[str, type[ContainerHost]] = {"addDocker": Docker, "addDockerHost": DockerHost}
    makes = kinds.get(name.path.rpartition(".")[2])
    if makes is not None:
        return taken | set(makes.own_parameters) | set(inspect.signature(makes).parameters)
    return taken


def _reason_elsewhere(name: Name) -> str:
    from emulator.compat.mn_choices import REFUSED

    if name.group == "mn":
        return REFUSED.get(name.parameter, "")
    if name.group in MODULES or name.group.startswith(f"{_EXAMPLES}."):
        return refused_module(name.group).hint
    return ""


# The page -----------------------------------------------------------------------------------------


def page(rows: Sequence[Row]) -> str:
    """The table as a page of the documentation."""
    counts = Counter(row.verdict for row in rows)
    about = (
        "Written by `scripts/docs` from a walk over the names of Mininet's modules, classes, "
        "functions, parameters and options, and a list of Containernet's and ComNetsEmu's. "
        f"Of {len(rows)} names {counts['same']} are the same, {counts['better']} are better, and "
        f"{counts['different']} are different because of what stands beside them. A parameter "
        "stands in brackets. What is refused raises an error that names it; nothing is accepted "
        "and ignored. How to run such scripts: "
        "[Mininet's](../how-to/run-mininet-scripts.md), "
        "[ComNetsEmu's](../how-to/run-comnetsemu-scripts.md), "
        "[`vnf mn`](../how-to/use-vnf-mn.md)."
    )
    parts = ["# Parity with Mininet, Containernet and ComNetsEmu", about]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        group = _EXAMPLES if row.name.group.startswith(_EXAMPLES) else row.name.group
        groups.setdefault(group, []).append(row)
    for group, own in groups.items():
        parts.append(f"## {group}")
        lines = ["| name | verdict | because |", "|---|---|---|"]
        for owner, members in groupby(own, key=_owner):
            lines += _lines(owner, list(members))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _owner(row: Row) -> str:
    if row.name.group == "mn":
        return row.name.path
    return row.name.path.partition(".")[0] or row.name.group


def _lines(owner: str, rows: list[Row]) -> Iterator[str]:
    """One line for all that is the same in a class, or of a function; one for each other name."""
    same: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict == "same":
            parameters = same.setdefault(_within(row.name, owner), [])
            parameters += [row.name.parameter] if row.name.parameter else []
    if same:
        own = same.pop("", [])
        head = f"`{owner}{_bracketed(own)}`"
        others = ", ".join(f"`{each}{_bracketed(same[each])}`" for each in same)
        yield f"| {head}{': ' if others else ''}{others} | same | |"
    for row in rows:
        if row.verdict != "same":
            parameter = _bracketed([row.name.parameter] if row.name.parameter else [])
            within = _within(row.name, owner)
            label = f"`{owner}`: `{within}{parameter}`" if within else f"`{owner}{parameter}`"
            yield f"| {label} | {row.verdict} | {row.why.replace('|', '/')} |"


def _within(name: Name, owner: str) -> str:
    """What a name is called in the class, or under the option, that it belongs to."""
    return "" if name.path in (owner, "") else name.path.removeprefix(f"{owner}.")


def _bracketed(parameters: Sequence[str]) -> str:
    return f"({', '.join(parameters)})" if parameters else ""
