"""What Mininet's nodes do with their interfaces, and with addresses and routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from emulator.compat.growth import Living
from emulator.compat.interfaces import Intf
from emulator.compat.links import Link
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.compat.nodes import Node


class NodeInterfaces(Living):
    """The part of a node that is about its interfaces.

    Attributes:
        intfs, ports, nameToIntf: its interfaces by port, the ports by interface, and by name.
    """

    portBase = 0
    intfs: dict[int, Intf]
    ports: dict[Intf, int]
    nameToIntf: dict[str, Intf]

    def newPort(self) -> int:
        """The number for the next port."""
        return max(self.ports.values()) + 1 if self.ports else self.portBase

    def addIntf(
        self, intf: Intf, port: int | None = None, moveIntfFn: Callable[..., Any] | None = None
    ) -> None:
        """Gives the node an interface.

        Args:
            port: its number; the next one by default.
        """
        intf.node = cast("Node", self)
        if intf.name == "lo" and port is None:
            self.nameToIntf[intf.name] = intf
            return
        port = self.newPort() if port is None else port
        self.intfs[port] = intf
        self.ports[intf] = port
        self.nameToIntf[intf.name] = intf

    def delIntf(self, intf: Intf) -> None:
        """Forgets an interface."""
        port = self.ports.pop(intf, None)
        if port is not None:
            del self.intfs[port]
            self.nameToIntf.pop(intf.name, None)

    def defaultIntf(self) -> Intf | None:
        """The interface with the lowest port; None without any."""
        return self.intfs[min(self.intfs)] if self.intfs else None

    def intf(self, intf: str | Intf | None = None) -> Any:
        """An interface by its name; without a name the default one. None where there is none."""
        if not intf:
            return self.defaultIntf()
        return self.nameToIntf.get(intf) if isinstance(intf, str) else intf

    def intfList(self) -> list[Intf]:
        """The interfaces by port."""
        return [self.intfs[port] for port in sorted(self.intfs)]

    def intfNames(self) -> list[str]:
        """The names of the interfaces, by port."""
        return [str(intf) for intf in self.intfList()]

    def connectionsTo(self, node: Node) -> list[tuple[Intf, Intf]]:
        """The links to another node, as pairs of interfaces, ours first."""
        found = []
        for intf in self.intfList():
            if intf.link:
                one, two = intf.link.intf1, intf.link.intf2
                if one.node is self and two.node is node:
                    found.append((one, two))
                elif one.node is node and two.node is self:
                    found.append((two, one))
        return found

    def linkTo(self, node: Node, link: Callable[..., Link] = Link) -> Link:
        """Links the node to another one."""
        return link(cast("Node", self), node)

    def deleteIntfs(self, checkName: bool = True) -> None:
        """Takes the interfaces, and the links at them, away.

        Args:
            checkName: only those whose name has the node's in it.
        """
        for intf in self.intfList():
            if self.name in intf.name or not checkName:
                intf.delete()

    def IP(self, intf: str | Intf | None = None) -> str | None:
        """The IPv4 address of an interface, by default that of the default one."""
        found = self.intf(intf)
        return None if found is None else found.IP()

    def MAC(self, intf: str | Intf | None = None) -> str | None:
        """The MAC address of an interface, by default that of the default one."""
        found = self.intf(intf)
        return None if found is None else found.MAC()

    def intfIsUp(self, intf: str | Intf | None = None) -> bool:
        """Whether an interface is up."""
        return bool(self._intf(intf).isUp())

    def setIP(
        self, ip: str, prefixLen: int | None = 8, intf: str | Intf | None = None, **kwargs: Any
    ) -> str:
        """Gives an interface an address, by default the default one."""
        return str(self._intf(intf).setIP(ip, prefixLen, **kwargs))

    def setMAC(self, mac: str, intf: str | Intf | None = None) -> str:
        """Gives an interface a MAC address, by default the default one."""
        return str(self._intf(intf).setMAC(mac))

    def setARP(self, ip: str, mac: str) -> str:
        """Tells the node the MAC address of a neighbour."""
        self.living().setARP(ip, mac)
        return ""

    def setHostRoute(self, ip: str, intf: str | Intf) -> str:
        """Has packets to an address leave by an interface."""
        self.living().setHostRoute(ip, str(self._intf(intf).engine_name))
        return ""

    def setDefaultRoute(self, intf: str | Intf | None = None) -> str:
        """Has packets without another route go ``via ADDRESS``, or leave by an interface."""
        is_route = isinstance(intf, str) and " " in intf
        self.living().setDefaultRoute(str(intf) if is_route else self._intf(intf).engine_name)
        return ""

    def _intf(self, intf: str | Intf | None) -> Any:
        found = self.intf(intf)
        if found is None:
            known = ", ".join(self.nameToIntf) or "none"
            what = "there is no interface" if intf is None else f"there is no interface {intf}"
            raise UsageError(what, where=self.name, hint=f"it has: {known}")
        return found
