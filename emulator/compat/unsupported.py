"""What scripts for other emulators may name and we do not have, each with the way out.

The tables are data: modules refuse names by them, and the parity table in the documentation is made
from them. Scripts import more than they use, often a list that a tool wrote for them: a name that
is known not to be there can be imported, and is refused as soon as it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from emulator.compat import passed_on
from emulator.errors import UsageError
from emulator.names import suggestion


class UnsupportedError(UsageError, ImportError):
    """A script names something that is not supported.

    It is an ``ImportError`` as well, so that a script which has a way of its own to do without
    a name, in ``try: … except ImportError:``, takes it.
    """


_VIRTUAL = "virtual machines are not supported; use Docker"
_WIRELESS = "links here are wires: use an ordinary host, with delay, loss and bw at its link"
_P4 = "P4 programs are not supported; a VNF is written in C: see vnf new"
_CLUSTER = "a lab lives on one machine: leave the placement out and use an ordinary Mininet"

NAMES: dict[str, dict[str, str]] = {
    "comnetsemu.node": {
        "P4DockerHost": "use DockerHost; there are no P4 switches",
        "P4Switch": "a VNF on the data plane xdp is programmable too: see vnf new",
    },
    "containernet.node": {"DockerSta": _WIRELESS, "LibvirtHost": _VIRTUAL},
    "mininet.net": {
        "MininetWithControlNet": "controllers reach their switches without a network of their "
        "own; use Mininet",
    },
    "mininet.node": {
        "DockerSta": _WIRELESS,
        "LibvirtHost": _VIRTUAL,
        "IVSSwitch": "Indigo's switch is no longer maintained; use OVSSwitch",
        "OVSLegacyKernelSwitch": "Open vSwitch has been without it since 1.9; use OVSSwitch",
        "NOX": 'NOX needs Python 2; give your application to Ryu("c0", "app.py"), or reach a '
        "controller of your own by RemoteController",
    },
}
"""Module -> name -> what to use instead."""

MODULES: dict[str, str] = {
    "comnetsemu.builder": _P4,
    "comnetsemu.overrides": "nothing of Mininet's is left that it would have to mend",
    "mininet.bmv2": _P4,
    "mininet.config": 'a fork of Mininet has it; subnets are given by ip="10.1.0.1/24"',
    "mininet.examples.cluster": _CLUSTER,
    "mininet.examples.clustercli": _CLUSTER,
    "mininet.examples.clusterdemo": _CLUSTER,
    "mininet.examples.clusterSanity": _CLUSTER,
    "mininet.examples.miniedit": "draw the lab with the shell's command graph",
    "mininet.examples.consoles": "open terminals with xterm in the shell",
    "mininet.wifi": _WIRELESS,
}
"""Submodules that are not there -> what to use instead."""

OTHERS: dict[str, str] = {
    "MaxiNet": _CLUSTER,
    "mininext": "use hosts with privateDirs, whose daemons the script starts by cmd",
    "mn_wifi": _WIRELESS,
    "p4_mininet": _P4,
    "p4runtime_switch": _P4,
    "p4utils": _P4,
}
"""Packages beside Mininet that scripts import -> what there is instead."""

ELSEWHERE: dict[str, dict[str, str]] = {
    "mininet.net": {
        "Containernet": "emulator.compat.containernet.net",
        "Dockernet": "emulator.compat.containernet.net",
    },
    "mininet.node": {"Docker": "emulator.compat.docker_hosts"},
    "mininet.topolib": {"TreeContainerNet": "emulator.compat.containernet.net"},
}
"""Names that Containernet, which takes Mininet's place, adds to its modules -> where ours are."""


def refused_module(fullname: str) -> UnsupportedError:
    """The error for a submodule that is not supported, by the name the script imports it by."""
    hint = MODULES.get(fullname, "")
    if not hint and fullname.startswith("mininet.examples."):
        file = f"{fullname.rpartition('.')[2]}.py"
        hint = (
            f"apt-get install mininet, which brings its examples, or put {file} beside the script"
        )
    return UnsupportedError(f"the module {fullname} is not supported", hint=hint)


class Refused:
    """What stands where there is nothing of ours: a class that cannot be used."""


def refuse_names(module: str, *, package: bool = False) -> Callable[[str], Any]:
    """A module's ``__getattr__``: what is elsewhere is found, what is not there refused.

    Args:
        module: its name as scripts import it: ``mininet.node``.
        package: whether it has submodules.
    """

    def getattr_(name: str) -> Any:
        if name == "__all__":
            return _starred(module)
        if name.startswith("__"):
            raise AttributeError(name)  # Python asks for these itself, to see what is there
        if package:
            found = submodule(f"emulator.compat.{module}.{name}")
            if found is not None:
                return found
        elsewhere = ELSEWHERE.get(module, {}).get(name)
        if elsewhere is not None:
            return getattr(importlib.import_module(elsewhere), name)
        if name in passed_on.names(module):
            return passed_on.found(module, name)
        if name in _known_to_lack(module):
            return _stand_in(module, name)
        raise refused_name(module, name)

    return getattr_


def _starred(module: str) -> list[str]:
    """What ``from module import *`` gives: the module's own names and those it passes on."""
    own = vars(importlib.import_module(f"emulator.compat.{module}"))
    public = [name for name in own if not name.startswith("_")]
    return [*dict.fromkeys((*public, *passed_on.names(module), *_known_to_lack(module)))]


def _known_to_lack(module: str) -> dict[str, str]:
    """The names of a module that are known not to be there, with what to do instead."""
    from emulator.compat.parity_reasons import DIFFERENT

    own = vars(importlib.import_module(f"emulator.compat.{module}"))
    reasons = {
        name: why
        for (group, _, name), why in ((key.rpartition("."), why) for key, why in DIFFERENT.items())
        if group == module and name.isidentifier() and name not in own
    }
    return {**reasons, **NAMES.get(module, {})}


def _stand_in(module: str, name: str) -> type[Refused]:
    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise refused_name(module, name)

    return type(name, (Refused,), {"__new__": refuse, "__init_subclass__": classmethod(refuse)})


def submodule(fullname: str) -> ModuleType | None:
    """One of our modules, imported; None where there is none of that name."""
    try:
        return importlib.import_module(fullname)
    except ModuleNotFoundError as error:
        if error.name != fullname:
            raise
        return None


def refused_name(module: str, name: str) -> UnsupportedError:
    """The error for a name that a module has not."""
    hint = _known_to_lack(module).get(name)
    if hint is None:
        known = [
            key
            for key in vars(importlib.import_module(f"emulator.compat.{module}"))
            if not key.startswith("_")
        ]
        hint = suggestion(name, known) or ""
    return UnsupportedError(f"{name} is not supported", where=module, hint=hint)
