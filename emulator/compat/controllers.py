"""Mininet's controllers, of which the engine runs those that have switches to control."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.compat.nodes import Node
from emulator.compat.unsupported import UnsupportedError

if TYPE_CHECKING:
    from emulator.topo import Topo

_PORT, _OLD_PORT = 6653, 6633
_TEST_CONTROLLERS = ("ovs-testcontroller", "test-controller", "ovs-controller")


class Controller(Node):
    """A controller that makes switches learn.

    It has something to do only where there are Open vSwitch bridges: Linux bridges learn by
    themselves.
    """

    needs_openflow = False
    """Whether a script that names it wants switches that it can control."""
    own_parameters = ("wait_s",)

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
        for key, value in (("command", command), ("cargs", cargs), ("cdir", cdir)):
            if value is not None:
                raise UnsupportedError(
                    f"{key}={value!r} of a controller is not supported",
                    where=name,
                    hint='run it yourself and reach it by RemoteController, or give Ryu("c0", '
                    '"app.py") an application',
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
        """Which of the engine's controllers it is: that of Open vSwitch, or else our own."""
        return "ovs" if OVSController.isAvailable() else "learning"

    def start(self) -> None:
        """Has it work; it begins with the lab."""

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
            topo.addController(self.name, **self.engine_options())

    def engine_options(self) -> dict[str, Any]:
        options = {"kind": self.kind, **self.params}
        if self.kind == "ovs" and self._may_be_old:
            # As Mininet's does: there, what no flow matches comes to the controller by itself, also
            # after the script has deleted all flows.
            options["options"] = "--protocols=OpenFlow10"
        if self.port is not None:
            options["port"] = self.port
        return options

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
    needs_openflow = True

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
    needs_openflow = True

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


def isController(x: Any) -> bool:
    """Whether something is a controller."""
    return isinstance(x, Controller)
