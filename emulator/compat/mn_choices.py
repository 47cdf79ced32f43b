"""What the options of ``mn`` name: classes and topologies, ours and those of ``--custom`` files."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.compat.controllers import (
    Controller,
    DefaultController,
    NullController,
    OVSController,
    RemoteController,
    Ryu,
)
from emulator.compat.links import Link, OVSLink, TCLink, TCULink
from emulator.compat.mininet.topo import (
    LinearTopo,
    MinimalTopo,
    SingleSwitchReversedTopo,
    SingleSwitchTopo,
)
from emulator.compat.mininet.topolib import TorusTopo, TreeTopo
from emulator.compat.mininet.util import custom, makeNumeric, specialClass, splitArgs
from emulator.compat.nodes import CPULimitedHost, Host
from emulator.compat.switches import LinuxBridge, OVSBridge, OVSSwitch, Switch, UserSwitch
from emulator.compat.unsupported import NAMES, UnsupportedError
from emulator.errors import UsageError
from emulator.names import choice_hint
from emulator.settings import SettingsError, arguments_for
from emulator.userfile import blaming, run_file


class XdpSwitch(Switch):
    """A switch in BPF, on the ports' XDP hooks."""

    kind = "xdp"
    own_parameters = (*Switch.own_parameters, "ageing_s")


class LearningController(Controller):
    """The learning switch that comes with the product, on os-ken."""

    needs_openflow = True

    @property
    def kind(self) -> str:
        """Our own, also where Open vSwitch's is installed."""
        return "learning"


SWITCHES: dict[str, Any] = {
    "default": Switch,
    "bridge": LinuxBridge,
    "lxbr": LinuxBridge,
    "ovs": OVSSwitch,
    "ovsk": OVSSwitch,
    "ovsbr": OVSBridge,
    "user": UserSwitch,
    "xdp": XdpSwitch,
}
HOSTS: dict[str, Any] = {
    "proc": Host,
    "cfs": specialClass(CPULimitedHost, defaults={"sched": "cfs"}),
    "rt": specialClass(CPULimitedHost, defaults={"sched": "rt"}),
}
CONTROLLERS: dict[str, Any] = {
    "default": DefaultController,
    "none": NullController,
    "ref": Controller,
    "ovsc": OVSController,
    "learning": LearningController,
    "remote": RemoteController,
    "ryu": Ryu,
}
LINKS: dict[str, Any] = {"default": Link, "tc": TCLink, "tcu": TCULink, "ovs": OVSLink}
TOPOS: dict[str, Any] = {
    "minimal": MinimalTopo,
    "linear": LinearTopo,
    "reversed": SingleSwitchReversedTopo,
    "single": SingleSwitchTopo,
    "torus": TorusTopo,
    "tree": TreeTopo,
}
REFUSED = {
    "ivs": NAMES["mininet.node"]["IVSSwitch"],
    "nox": NAMES["mininet.node"]["NOX"],
}
"""Names that ``mn`` knows and we do not -> what to use instead."""

_DICTS = ("topos", "switches", "hosts", "controllers", "links", "tests")
_BOOLEANS = {"True": True, "False": False, "None": None}


class Choices:
    """What can be chosen.

    Attributes:
        tests: those of the user's own files, by name.
        validate: what a file has check the options with, if it does.
        shell: a class of shells that a file brings, if it does.
        files: the user's files.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {
            "topos": dict(TOPOS),
            "switches": dict(SWITCHES),
            "hosts": dict(HOSTS),
            "controllers": dict(CONTROLLERS),
            "links": dict(LINKS),
            "tests": {},
        }
        self._file_of: dict[int, Path] = {}
        self.files: list[Path] = []
        self.validate: Callable[..., Any] | None = None
        self.shell: Callable[..., Any] | None = None

    @property
    def tests(self) -> Mapping[str, Callable[..., Any]]:
        """The tests of the user's own files, by name."""
        return self._known["tests"]

    def read_custom(self, texts: Sequence[str]) -> None:
        """Runs files that bring topologies, classes and tests.

        Args:
            texts: each a file, or several separated by commas.

        Raises:
            UsageError: there is no such file, it cannot be run, or what it brings is no dict.
        """
        for text in texts:
            names = [text] if Path(text).is_file() else [name.strip() for name in text.split(",")]
            for name in names:
                self._read(Path(name))

    def _read(self, path: Path) -> None:
        # Its neighbours can be imported, as when Python runs it, also when it is at work later.
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        self.files.append(path)
        module = run_file(path, f"custom_{path.stem}")
        for name in _DICTS:
            brought = getattr(module, name, {})
            if not isinstance(brought, Mapping):
                raise UsageError(
                    f"{name} is not a dict", where=str(path), hint=f'{name} = {{"name": …}}'
                )
            for key, value in brought.items():
                if not callable(value):
                    raise UsageError(
                        f"{name}[{key!r}] is neither a class nor a function", where=str(path)
                    )
                self._file_of[id(value)] = path
            self._known[name].update(brought)
        self.validate = getattr(module, "validate", self.validate)
        own = getattr(module, "CLI", None)
        if own is not None and getattr(own, "__module__", "") == module.__name__:
            self.shell = own

    def topology(self, text: str) -> Any:
        """The topology of a name with its arguments: ``tree,2,3``.

        Raises:
            UsageError: there is none of that name, or it does not take the arguments.
        """
        name = text.partition(",")[0]
        factory = self._named("topos", "--topo", name)
        path = self._file_of.get(id(factory))
        if path is not None:
            _, arguments, named = _split(text)
            with blaming(path):
                topo = factory(*arguments, **named)
        else:
            words = text.split(",")[1:]
            given = [word for word in words if "=" not in word]
            pairs = dict(word.split("=", 1) for word in words if "=" in word)
            try:
                topo = factory(**arguments_for(factory, given, pairs))
            except SettingsError as error:
                hint = error.hint.replace("--set ", f"--topo {name},")
                raise UsageError(error.message, where=f"--topo {text}", hint=hint) from None
        if not all(hasattr(topo, method) for method in ("hosts", "switches", "links")):
            raise UsageError(
                f"{name} gives {type(topo).__name__}, which is not a topology",
                where=f"--topo {text}",
            )
        if getattr(topo, "vnfs", list)():
            raise UsageError(
                "it has VNFs, which Mininet's networks have not",
                where=f"--topo {text}",
                hint="vnf run opens such topologies",
            )
        return topo

    def switch(self, text: str, *, controlled: bool) -> Any:
        """The class of switches.

        Args:
            controlled: whether controllers were asked for: then it is Open vSwitch's by default.
        """
        if text.partition(",")[0] == "default" and controlled:
            text = text.replace("default", "ovs", 1)
        return self._class("switches", "--switch", text)

    def host(self, text: str) -> Any:
        """The class of hosts."""
        return self._class("hosts", "--host", text)

    def link(self, text: str) -> Any:
        """The class of links."""
        return self._class("links", "--link", text)

    def controllers(self, texts: Sequence[str]) -> list[Any]:
        """The classes of controllers, the default one if none is named."""
        return [self._class("controllers", "--controller", text) for text in texts or ["default"]]

    def _class(self, kind: str, option: str, text: str) -> Any:
        name, arguments, named = _split(text)
        cls = self._named(kind, option, name)
        if arguments and cls is Ryu:
            named["ryuArgs"] = [str(each) for each in arguments]
        elif arguments:
            raise UsageError(
                f"{name} takes parameters by name only",
                where=f"{option} {text}",
                hint=f"write {name},parameter={arguments[0]}",
            )
        if not named:
            return cls
        if cls is NullController:
            raise UsageError("none takes no parameters", where=f"{option} {text}")
        _check_parameters(cls, named, f"{option} {text}")
        return custom(cls, **named)

    def _named(self, kind: str, option: str, name: str) -> Any:
        known = self._known[kind]
        if name in known:
            return known[name]
        if name in REFUSED and kind in ("switches", "controllers"):
            raise UnsupportedError(
                f"{name} is not supported", where=f"{option} {name}", hint=REFUSED[name]
            )
        what = {"topos": "topology"}.get(kind, kind.removesuffix("s"))
        what = "switch" if kind == "switches" else what
        raise UsageError(
            f"there is no {what} {name}", where=option, hint=choice_hint(name, sorted(known))
        )


def _check_parameters(cls: Any, named: Mapping[str, Any], where: str) -> None:
    """Raises an error for parameters that one of our classes of nodes does not know."""
    own = getattr(cls, "own_parameters", None)
    if own is None or not cls.__module__.startswith("emulator."):
        return
    taken = set(own)
    for each in cls.__mro__:
        if "__init__" in vars(each):
            taken |= set(inspect.signature(each.__init__).parameters)
    taken -= {"self", "name", "params", "kwargs", "args"}
    for key in named:
        if key not in taken:
            raise UsageError(
                f"there is no parameter {key}", where=where, hint=choice_hint(key, sorted(taken))
            )


def _split(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    name, arguments, named = splitArgs(text)
    values = {key: _BOOLEANS.get(value, value) for key, value in named.items()}
    return name, [makeNumeric(str(each)) for each in arguments], values
