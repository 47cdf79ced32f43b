"""Mininet's controllers, of which the engine runs those that have switches to control."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.compat.nodes import Node
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import UsageError
from emulator.plan.switch_model import PORT_MARK

if TYPE_CHECKING:
    from emulator.topo import Topo

_PORT, _OLD_PORT = 6653, 6633
_PORT_MARKS = re.compile(r"%([%sdi])")
_SUDO = re.compile(r"\A\s*sudo\s+(?:-[EHnS]+\s+)*")
_TRAILING = re.compile(r"\s*(?<!&)&\s*\Z")
_SHELL_SIGN = re.compile(r"[|&;<>()$`*?~]|\A\s*\w+=")
_TEST_CONTROLLERS = ("ovs-testcontroller", "test-controller", "ovs-controller")


class Controller(Node):
    """A controller that makes switches learn.

    It has something to do only where there are Open vSwitch bridges: Linux bridges learn by
    themselves.
    """

    own_parameters = ("wait_s",)
    command: str | None = None
    """A program that is to be the controller, as in a shell; None for one that the lab has."""
    cargs = "-v ptcp:%d"
    """Its arguments, with ``%s`` or ``%d`` for the port."""
    cdir: str | None = None
    """The folder that it works in."""
    _begun = False

    def __init__(
        self,
        name: str,
        inNamespace: bool = False,
        command: str | None = None,
        cargs: str | None = None,
        cdir: str | None = None,
        ip: str = "127.0.0.1",
        port: int | None = None,
        protocol: str = "tcp",
        **params: Any,
    ) -> None:
        self.command = self.command if command is None else command
        self.cargs = self.cargs if cargs is None else cargs
        self.cdir = self.cdir if cdir is None else cdir
        if self.command is None and (cargs is not None or cdir is not None):
            raise UsageError(
                f"{'cargs' if cargs is not None else 'cdir'} of a controller needs a command",
                where=name,
                hint='give command="pox.py", or leave it out',
            )
        if self.command is not None and self.kind != "command":
            raise UsageError(
                f"a {type(self).__name__} has no command, which is {self.command!r}",
                where=name,
                hint="a Controller has one",
            )
        if protocol != "tcp":
            raise UnsupportedError(f"controllers speak tcp, not {protocol}", where=name)
        if inNamespace:
            raise UnsupportedError(
                "a controller in a network namespace of its own is not supported",
                where=name,
                hint="leave inNamespace out",
            )
        self.ip, self.port, self.protocol = ip, port, protocol
        super().__init__(name, **params)

    @property
    def kind(self) -> str:
        """Which of the engine's controllers it is: a program, that of Open vSwitch, or our own."""
        if self.command is not None:
            return "command"
        return "ovs" if OVSController.isAvailable() else "learning"

    @property
    def needs_openflow(self) -> bool:
        """Whether a script that names it wants switches that it can control."""
        return self.kind not in ("ovs", "learning") or self.starts_by_itself()

    def starts_by_itself(self) -> bool:
        """Whether its class has a ``start`` of its own, which runs whatever it likes."""
        return type(self).start is not Controller.start and self.kind != "remote"

    def lacks_switches(self) -> bool:
        """Whether what the script starts by itself is still without one of its switches."""
        waited_for = self.starts_by_itself() and not self._begun and self.engine_node is not None
        return waited_for and self.living().failure is not None

    def start(self) -> None:
        """Has it work; it begins with the lab, or now if its class has a ``start`` of its own."""
        if self._begun or not self.starts_by_itself():
            return
        self._begun = True
        if self.engine_node is not None:
            with self.growth.engine.change() as topo:
                topo.setNodeInfo(self.name, self._all_options())

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """Ends what it has under way; it ends with the lab."""
        self.cleanup()

    def IP(self, intf: Any = None) -> str:
        """The address that its switches reach it at."""
        return self.ip

    def checkListening(self) -> None:
        """Says nothing: whether it can be reached is found out when the lab starts."""

    @classmethod
    def isAvailable(cls) -> bool:
        """Whether the machine can run it."""
        return True

    # For the engine -----------------------------------------------------------------------------

    def declare(self, topo: Topo) -> None:
        if self.in_use:
            topo.addController(self.name, **self._all_options())

    def engine_options(self) -> dict[str, Any]:
        options = {"kind": self.kind, **self.params}
        if self.kind == "ovs" and self._may_be_old:
            # As Mininet's does: there, what no flow matches comes to the controller by itself, also
            # after the script has deleted all flows.
            options["options"] = "--protocols=OpenFlow10"
        if self.kind == "command":
            options.update(self._program())
        if self.port is not None:
            options["port"] = self.port
        return options

    def _all_options(self) -> dict[str, Any]:
        if self.starts_by_itself() and not self._begun:
            return {"kind": "manual", "port": self._own_port()}
        return self.engine_options()

    def _own_port(self) -> int:
        """Where a program listens that has not been told where: it keeps to Mininet's default."""
        return self.port if self.port is not None else _PORT

    def _program(self) -> dict[str, Any]:
        """Its command, as the engine has it."""
        assert self.command is not None
        arguments, marks = _PORT_MARKS.subn(_marked, self.cargs)
        # Mininet puts it into the background itself, and whoever runs a lab is root already.
        line = _TRAILING.sub("", f"{_SUDO.sub('', self.command)} {arguments}")
        # Mininet has a shell run it, which scripts may count on.
        command = ["sh", "-c", line] if _SHELL_SIGN.search(line) else line
        folder = os.path.expandvars(os.path.expanduser(self.cdir or os.getcwd()))
        port = {} if marks else {"port": self._own_port()}
        return {"command": command, "folder": os.path.abspath(folder), **port}

    @property
    def born(self) -> bool:
        """Whether it lives, or there is nothing yet that it would live for."""
        return self._born or not self.in_use

    @born.setter
    def born(self, lives: bool) -> None:
        self._born = lives and self.in_use

    @property
    def in_use(self) -> bool:
        """Whether there is a switch that it could control."""
        return any(node.is_ovs for node in self.growth.nodes.values())

    @property
    def _may_be_old(self) -> bool:
        """Whether all switches understand the first version of OpenFlow."""
        asked = [node.params.get("protocols") for node in self.growth.nodes.values()]
        return all("OpenFlow10" in each for each in asked if each)

    def be_born(self) -> None:
        if self.in_use:
            super().be_born()

    def _check_namespace(self) -> None:
        """Controllers live beside the switches."""

    def prepare(self) -> None:
        """A controller has no addresses of its own."""


class OVSController(Controller):
    """The controller that Open vSwitch brings for tests; our own where it is missing."""

    @classmethod
    def isAvailable(cls) -> bool:
        return any(shutil.which(name) for name in _TEST_CONTROLLERS)


class RemoteController(Controller):
    """A controller that listens on the machine, or beyond."""

    kind = "remote"

    def __init__(
        self, name: str, ip: str = "127.0.0.1", port: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name, ip=ip, port=port, **kwargs)

    def engine_options(self) -> dict[str, Any]:
        if self.port is None and not self.isListening(self.ip, _PORT):
            # The port before OpenFlow had one of its own; POX and older controllers keep to it.
            self.port = _OLD_PORT if self.isListening(self.ip, _OLD_PORT) else None
        return {**super().engine_options(), "ip": self.ip}

    @classmethod
    def isListening(cls, ip: str, port: int) -> bool:
        """Whether something listens there, as seen from the machine."""
        import socket

        with socket.socket() as asked:
            asked.settimeout(1)
            return asked.connect_ex((ip, port)) == 0


class Ryu(Controller):
    """Applications written for Ryu, run by os-ken."""

    kind = "app"

    def __init__(self, name: str, *ryuArgs: str | Sequence[str], **kwargs: Any) -> None:
        given = kwargs.pop("ryuArgs", None)
        words = [*ryuArgs, *([] if given is None else [given])]
        self.arguments: list[str] = []
        for each in words:
            self.arguments += each.split() if isinstance(each, str) else list(each)
        super().__init__(name, **kwargs)

    def engine_options(self) -> dict[str, Any]:
        options = super().engine_options()
        apps = [word for word in self.arguments if not word.startswith("-")]
        others = [word for word in self.arguments if word.startswith("-")]
        if not apps:
            # A learning switch is what Ryu's own default application is.
            return {**options, "kind": "learning"}
        return {**options, "apps": apps, **({"options": others} if others else {})}


DefaultControllers = (Controller, OVSController)


def findController(controllers: Sequence[type[Controller]] = DefaultControllers) -> Any:
    """The first class of controllers that the machine can run; None without any."""
    return next((each for each in controllers if each.isAvailable()), None)


def DefaultController(
    name: str, controllers: Sequence[type[Controller]] = DefaultControllers, **kwargs: Any
) -> Controller | None:
    """A controller of the first class that the machine can run."""
    found = findController(controllers)
    return None if found is None else found(name, **kwargs)


def NullController(*_args: Any, **_kwargs: Any) -> None:
    """No controller."""


def _marked(mark: re.Match[str]) -> str:
    return "%" if mark[1] == "%" else PORT_MARK


def isController(x: Any) -> bool:
    """Whether something is a controller."""
    return isinstance(x, Controller)
