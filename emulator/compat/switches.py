"""Mininet's switches, whatever does their work here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emulator.compat.interfaces import Intf, change_interface
from emulator.compat.machine_commands import without_sudo
from emulator.compat.mininet.log import warn
from emulator.compat.node_commands import command_line
from emulator.compat.nodes import Node
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.compat.controllers import Controller
    from emulator.topo import Topo

_OVS_ONLY = ("failMode", "datapath", "protocols", "reconnectms", "inband", "priority")


class Switch(Node):
    """A switch.

    Of this class, a Linux bridge that learns; or an Open vSwitch bridge, when the script has a
    controller of its own, or gives the switch options of one.

    A class of the script's own with a ``start`` of its own does a switch's work itself: it is a
    node with ports and a network namespace, and what it runs there makes it a router, or a switch.

    Attributes:
        dpid: its identity, 16 hexadecimal digits.
        controllers: those that it was started with; None: all.
    """

    portBase = 1
    dpidLen = 16
    kind: str | None = None
    """What does its work; None is decided when it comes to life."""
    own_parameters: tuple[str, ...] = (
        "dpid", "stp", "prio", "priority", "failMode", "datapath", "protocols", "reconnectms",
        "inband", "batch", "verbose", "controller", "ip", "mac",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        dpid: str | None = None,
        opts: str = "",
        listenPort: int | None = None,
        **params: Any,
    ) -> None:
        params.pop("isSwitch", None)
        if params.pop("inNamespace", False) and not self.works_alone():
            raise UnsupportedError(
                "a switch in a network namespace of its own is not supported",
                where=name,
                hint="all switches of a lab share one",
            )
        super().__init__(name, **params)
        self.opts = opts
        self.listenPort = listenPort
        self._given_dpid = dpid
        self.controllers: list[str] | None = None
        self._started = False
        self._out_of_service = False
        self._detached: set[str] = set()
        for word in ("ip", "mac"):
            if params.get(word):
                warn(
                    f"*** {name}: {word}={params[word]} of a switch has no effect, as in Mininet\n"
                )
        # Mininet's switches reach their controllers by it, and scripts count on it in the lists.
        Intf("lo", self, port=0)

    @classmethod
    def works_alone(cls) -> bool:
        """Whether its class does a switch's work by itself: Mininet's ``Switch`` has no start."""
        return cls.kind is None and cls.start is not Switch.start

    @property
    def dpid(self) -> str:
        """Its identity, 16 hexadecimal digits."""
        return self.defaultDpid(self._given_dpid)

    def defaultDpid(self, dpid: str | None = None) -> str:
        """An identity in full: the one given, or the number in the switch's name."""
        if dpid is not None:
            return dpid.replace(":", "").zfill(self.dpidLen)
        digits = "".join(char if char.isdigit() else " " for char in self.name).split()
        if not digits:
            raise UsageError(
                f"the name {self.name} has no number in it, of which a dpid could be made",
                where=self.place,
                hint='give one: dpid="1"',
            )
        return f"{int(digits[0]):x}".zfill(self.dpidLen)

    def defaultIntf(self) -> Intf | None:
        """The interface of its controller, the loopback."""
        return self.nameToIntf.get("lo")

    def begin(self, controllers: Iterable[Controller]) -> None:
        """Has :meth:`start` do its work.

        Raises:
            UnsupportedError: a class of the script's own does it all by itself.
        """
        self._started = False
        self.start(controllers)
        if not self._started and not self.works_alone():
            raise UnsupportedError(
                f"{type(self).__name__} starts a switch by itself, which is not supported",
                where=self.name,
                hint="a class of switches has to call start of OVSSwitch, or of LinuxBridge",
            )

    def start(self, controllers: Iterable[Controller]) -> None:
        """Has it work, under some controllers."""
        self._started = True
        names = [controller.name for controller in controllers]
        if self._out_of_service:
            self.growth.engine.set_switch(self.name, up=True)
            self._out_of_service = False
        if self.born and self.is_ovs and names != self.controllers:
            self._connect(names)
        self.controllers = names

    def stop(self, deleteIntfs: bool = True) -> None:
        """Takes it out of service, until :meth:`start`; with the network it ends altogether.

        Args:
            deleteIntfs: its interfaces stay with it, whatever is given.
        """
        self.cleanup()
        running = self.born and not self.growth.ending and not self._out_of_service
        if running and not self.works_alone():
            self.growth.engine.set_switch(self.name, up=False)
            self._out_of_service = True

    def attach(self, intf: str | Intf) -> None:
        """Takes an interface in as a port: one that was moved here, or let go of before.

        What a link brings is a port already.
        """
        known = self.living().plan.interfaces
        if str(intf) not in [each.name for each in known] or str(intf) in self._detached:
            self._detached.discard(str(intf))
            self._take_port(intf)

    def detach(self, intf: str | Intf) -> None:
        """Lets go of a port, whose interface stays."""
        self.living()
        self._detached.add(str(intf))
        self._let_go_of_port(intf)

    def _take_port(self, intf: str | Intf) -> None:
        bridge = self.living().plan.kernel_name
        change_interface(self.living().netns, self._port(intf), master=bridge, state="up")

    def _let_go_of_port(self, intf: str | Intf) -> None:
        change_interface(self.living().netns, self._port(intf), master=0)

    def _port(self, intf: str | Intf) -> str:
        """What the kernel calls an interface, which is not its name where that is too long."""
        found = self.intf(intf)
        return str(intf) if found is None else str(found.kernel_name())

    def connected(self) -> bool:
        """Whether it works, and has reached its controllers."""
        lacking = [
            node
            for node in self.growth.nodes.values()
            if getattr(node, "lacks_switches", bool)()
            and (self.controllers is None or node.name in self.controllers)
        ]
        return self.living().failure is None and not lacking

    def dpctl(self, *args: Any) -> str:
        """Runs ``ovs-ofctl`` on it."""
        words = command_line(args).split()
        return str(self.living().dpctl(" ".join(words)))

    def cmd(self, *args: Any, verbose: bool = False, printPid: bool = False) -> str:
        command = without_sudo(command_line(args))
        is_bridge = not self.is_ovs and not self.works_alone()
        if is_bridge and command.lstrip().startswith("ovs-"):
            raise UnsupportedError(
                f"{self.name} is a Linux bridge, which Open vSwitch's programs do not know",
                where=self.name,
                hint="name a class of Open vSwitch: Mininet(switch=OVSSwitch)",
            )
        return super().cmd(command, verbose=verbose, printPid=printPid)

    # For the engine -----------------------------------------------------------------------------

    @property
    def is_ovs(self) -> bool:  # type: ignore[override]
        """Whether it is an Open vSwitch bridge."""
        if self.kind is not None:
            return self.kind == "ovs"
        if self.works_alone():
            return False
        return self.growth.wants_openflow or any(self.params.get(key) for key in _OVS_ONLY)

    def declare(self, topo: Topo) -> None:
        if self.works_alone():
            topo.addHost(self.name, ip=None, **super().engine_options())
        else:
            topo.addSwitch(self.name, **self.engine_options())

    def engine_options(self) -> dict[str, Any]:
        known = [key for key in self.own_parameters if key not in ("ip", "mac")]
        options = {key: value for key, value in self.params.items() if key in known}
        if self.is_ovs:
            options["kind"] = "ovs"
            options.setdefault("failMode", "secure")
            nodes = self.growth.nodes
            if self.controllers is not None:
                options["controllers"] = [name for name in self.controllers if name in nodes]
        elif self.kind is not None:
            options["kind"] = self.kind
        if self._given_dpid is not None:
            options["dpid"] = self._given_dpid
        if self.listenPort is not None:
            options["listenPort"] = self.listenPort
        if self.opts:
            options["opts"] = self.opts
        return options

    def _connect(self, names: list[str]) -> None:
        with self.growth.engine.change() as topo:
            topo.setNodeInfo(self.name, {**topo.nodeInfo(self.name), "controllers": names})

    def _check_namespace(self) -> None:
        """Switches of a lab have one of their own."""

    def prepare(self) -> None:
        """A switch has no addresses."""


class OVSSwitch(Switch):
    """An Open vSwitch bridge."""

    kind = "ovs"
    own_parameters = (*Switch.own_parameters, "port_type", "driver", "idle", "cores")

    def __init__(
        self,
        name: str,
        failMode: str = "secure",
        datapath: str | None = None,
        inband: bool = False,
        protocols: str | list[str] | None = None,
        reconnectms: int = 1000,
        stp: bool = False,
        batch: bool = False,
        **params: Any,
    ) -> None:
        given: dict[str, Any] = {
            "failMode": failMode,
            "datapath": datapath,
            "inband": inband,
            "protocols": protocols,
            "reconnectms": reconnectms,
            "stp": stp,
            "batch": batch,
        }
        asked = {key: value for key, value in given.items() if value not in (None, False)}
        super().__init__(name, **asked, **params)
        self.failMode, self.datapath, self.inband = failMode, datapath, inband
        self.protocols, self.reconnectms, self.stp = protocols, reconnectms, stp

    @classmethod
    def isOldOVS(cls) -> bool:
        """Whether Open vSwitch is older than 1.10."""
        return False

    def vsctl(self, *args: Any) -> str:
        """Runs ``ovs-vsctl`` in the lab."""
        return self.cmd("ovs-vsctl", *args)

    def _take_port(self, intf: str | Intf) -> None:
        port = self._port(intf)
        change_interface(self.living().netns, port, state="up")
        self.vsctl("--may-exist", "add-port", self._bridge, port)

    def _let_go_of_port(self, intf: str | Intf) -> None:
        self.vsctl("--if-exists", "del-port", self._bridge, self._port(intf))

    @property
    def _bridge(self) -> str:
        """What Open vSwitch calls it, which is not its name where that is too long."""
        return self.living().plan.kernel_name or self.name


OVSKernelSwitch = OVSSwitch


class OVSBridge(OVSSwitch):
    """An Open vSwitch bridge that learns by itself, without any controller."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        kwargs["failMode"] = "standalone"
        super().__init__(name, *args, **kwargs)

    def start(self, controllers: Iterable[Controller]) -> None:
        """Has it work; it takes no notice of controllers."""
        super().start(())

    def engine_options(self) -> dict[str, Any]:
        return {**super().engine_options(), "controllers": []}


class UserSwitch(OVSSwitch):
    """A switch in user space, which here is an Open vSwitch bridge."""

    def __init__(self, name: str, dpopts: str = "", **kwargs: Any) -> None:
        if dpopts not in ("", "--no-slicing"):
            raise UnsupportedError(
                f"dpopts={dpopts!r} is not supported", where=name, hint="leave it out"
            )
        super().__init__(name, **{"datapath": "user", **kwargs})


class LinuxBridge(Switch):
    """A Linux bridge."""

    kind = "bridge"

    def __init__(
        self, name: str, stp: bool = False, prio: int | None = None, **kwargs: Any
    ) -> None:
        if prio is not None:
            raise UnsupportedError(
                f"prio={prio} is not supported by Linux bridges", where=name, hint="use OVSSwitch"
            )
        super().__init__(name, **{**kwargs, **({"stp": True} if stp else {})})
