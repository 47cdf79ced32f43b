"""Mininet's interfaces, declared first and alive later."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING, Any

from emulator.compat.growth import user_place
from emulator.errors import LabError, UsageError
from emulator.kernel.rtnl import link_states
from emulator.link import SHAPERS
from emulator.names import choice_hint
from emulator.plan.impairments import SETTINGS

if TYPE_CHECKING:
    from emulator.compat.links import Link
    from emulator.compat.nodes import Node
    from emulator.kernel.netns import Netns
    from emulator.topo import Topo

_INTERFACE_WORDS = ("mac", "ip", "ifconfig", "up")
_AF_INET, _AF_PACKET = 2, 17


class Intf:
    """An interface of a node.

    Attributes:
        name: as the node's own programs see it.
        node, link: what it belongs to; without a link it is the loopback, or an interface of the
            machine that the node gets.
        mac, ip, prefixLen: its addresses; None for those that are not known yet, or not there.
        born: whether it is alive.
        params: what it was configured with.
    """

    def __init__(
        self,
        name: str,
        node: Node | None = None,
        port: int | None = None,
        link: Link | None = None,
        mac: str | None = None,
        **params: Any,
    ) -> None:
        if node is None:
            raise UsageError("an interface belongs to a node", where=name)
        self.name = name
        self.node = node
        self.link = link
        self.mac = mac
        self.ip: str | None = None
        self.prefixLen: int | None = None
        self.born = False
        self.impairments: dict[str, Any] = {}
        self.params = params
        self.engine_name = name
        self.place = user_place()
        self._home = node
        if name == "lo":
            self.ip, self.prefixLen, self.born = "127.0.0.1", 8, True
        node.addIntf(self, port=port)
        if link is None and name != "lo":
            node.growth.declare_external(self)
        self.config(**params)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str | None:
        """Its address with the prefix length."""
        return None if self.ip is None else f"{self.ip}/{self.prefixLen}"

    def cmd(self, *args: Any, **kwargs: Any) -> str:
        """Runs a command in the interface's node."""
        return self.node.cmd(*args, **kwargs)

    def config(
        self,
        mac: str | None = None,
        ip: str | None = None,
        ifconfig: str | None = None,
        up: bool = True,
        **params: Any,
    ) -> dict[str, Any]:
        """Sets addresses, and what is to happen to the frames that leave here.

        Args:
            mac, ip: the addresses.
            ifconfig: arguments for the program of that name.
            up: whether it is to be up.
            params: impairments, by Mininet's names or ours. Those that are not named are taken
                away, unless none is named.

        Raises:
            UsageError: there is no such parameter.
        """
        asked = {key: value for key, value in params.items() if key not in SHAPERS}
        for key in asked:
            if key not in SETTINGS:
                hint = choice_hint(key, ("bw", *SETTINGS, *_INTERFACE_WORDS))
                raise UsageError(f"an interface has no parameter {key}", where=self.name, hint=hint)
        result: dict[str, Any] = {}
        if mac is not None:
            result["setMAC"] = self.setMAC(mac)
        if ip is not None:
            result["setIP"] = self.setIP(ip)
        if ifconfig is not None:
            result["ifconfig"] = self.ifconfig(*shlex.split(ifconfig))
        if self.born and self.name != "lo":
            self._set_up(up)
        elif not up:
            raise UsageError("an interface begins up", where=self.name, hint="take it down later")
        if asked:
            self.impairments = {key: value for key, value in asked.items() if value is not None}
            if self.born:
                self._change_link()
        self.params.update(params)
        return result

    def setIP(self, ipstr: str, prefixLen: int | None = None) -> str:
        """Gives it an address, with the prefix length in it or beside it."""
        ip, slash, length = str(ipstr).partition("/")
        if not slash and prefixLen is None and ip not in ("0", "0.0.0.0"):
            raise UsageError(
                f"{ip} has no prefix length", where=self.name, hint=f"write it as {ip}/24"
            )
        wanted: tuple[str | None, int | None] = (ip, int(length) if slash else prefixLen)
        if ip in ("0", "0.0.0.0"):
            wanted = (None, None)
        if self.born and self.name != "lo" and wanted != (self.ip, self.prefixLen):
            self.node.living().setIP(ip, wanted[1] or 0, intf=self.engine_name)
        self.ip, self.prefixLen = wanted
        return ""

    def setMAC(self, macstr: str) -> str:
        """Gives it a MAC address."""
        if self.born and macstr != self.mac:
            self.node.living().setMAC(macstr, intf=self.engine_name)
        self.mac = macstr
        return ""

    def IP(self) -> str | None:
        """Its IPv4 address; None when it has none."""
        return self.ip

    def MAC(self) -> str | None:
        """Its MAC address."""
        if self.mac is None and self.name != "lo":
            self.node.growth.live()
        return self.mac

    def updateIP(self) -> str | None:
        """Its IPv4 address as the kernel has it now, which commands may have changed."""
        found = [each for each in self._addresses() if each.family == _AF_INET]
        if found:
            self.ip, self.prefixLen = found[0].address, _prefix_length(found[0].netmask)
        else:
            self.ip = self.prefixLen = None
        return self.ip

    def updateMAC(self) -> str | None:
        """Its MAC address as the kernel has it now."""
        found = [each.address for each in self._addresses() if each.family == _AF_PACKET]
        self.mac = found[0] if found else None
        return self.mac

    def updateAddr(self) -> tuple[str | None, str | None]:
        """Its addresses, IPv4 and MAC, as the kernel has them now."""
        return self.updateIP(), self.updateMAC()

    def isUp(self, setUp: bool = False) -> bool:
        """Whether it is up.

        Args:
            setUp: raise it first.
        """
        if setUp:
            self._set_up(True)
        state = link_states(self._netns()).get(self.kernel_name())
        # Whether it may carry frames, not whether its link lets it.
        return state is not None and state.up

    def ifconfig(self, *args: Any) -> str:
        """Runs ``ifconfig`` on it."""
        if args in (("up",), ("down",)) and self.name != "lo":
            self._set_up(args == ("up",))
            return ""
        return self.cmd("ifconfig", self.kernel_name(), *args)

    def rename(self, newname: str) -> str:
        """Gives it another name, in the kernel too."""
        if self.born:
            change_interface(self._netns(), self.kernel_name(), state="down")
            change_interface(self._netns(), self.kernel_name(), ifname=newname)
            change_interface(self._netns(), newname, state="up")
        known = self.node.nameToIntf
        known[newname] = known.pop(self.name)
        self.name = newname
        return newname

    def delete(self) -> None:
        """Takes it away, and its link with it."""
        if self.link is not None:
            self.link.delete()
        else:
            self.node.growth.remove_external(self)
            self.node.delIntf(self)

    def status(self) -> str:
        """``OK``, or ``MISSING`` when the node has no such interface."""
        return "OK" if self.kernel_name() in link_states(self._netns()) else "MISSING"

    # For the engine -----------------------------------------------------------------------------

    def declare(self, topo: Topo) -> None:
        """Adds it, as one that the machine is to lend, to the topology of a lab."""
        options = {"ip": self.address, **({} if self.mac is None else {"mac": self.mac})}
        is_switch = topo.isSwitch(self.node.name)
        topo.addExternal(self.name, self.node.name, **({} if is_switch else options))

    def be_born(self) -> None:
        """Takes note of what it is alive."""
        if self.mac is None and self._home.engine_node is not None:
            self.mac = self._home.engine_node.plan.interface(self.engine_name).mac

    def kernel_name(self) -> str:
        """What the kernel calls it, which is not its name where that is too long."""
        names = [name for _, name in self._netns().run(socket.if_nameindex)]
        if self.name in names:
            return self.name
        return self._home.living().plan.interface(self.engine_name).kernel_name

    # Inside -------------------------------------------------------------------------------------

    def _netns(self) -> Any:
        return self.node.living().netns

    def _addresses(self) -> list[Any]:
        import psutil

        found: list[Any] = self._netns().run(psutil.net_if_addrs).get(self.kernel_name(), [])
        return found

    def _set_up(self, up: bool) -> None:
        if self.isUp() != up:
            change_interface(self._netns(), self.kernel_name(), state="up" if up else "down")

    def _change_link(self) -> None:
        if self.link is None:
            raise UsageError(
                "what leaves an interface without a link cannot be impaired", where=self.name
            )
        engine_link = self.link.living()
        end = engine_link.intf1 if self is self.link.intf1 else engine_link.intf2
        end.config(**self.impairments)


class TCIntf(Intf):
    """An interface whose frames are impaired; here every interface can be."""


class OVSIntf(Intf):
    """An end of a patch between two Open vSwitch bridges; here, an end of any link."""


def _prefix_length(netmask: str) -> int:
    return sum(int(part).bit_count() for part in netmask.split("."))


def change_interface(netns: Netns, name: str, **change: Any) -> None:
    """Changes an interface by netlink.

    Args:
        change: as of pyroute2's ``link("set", …)``; a ``master`` may be given by name.

    Raises:
        LabError: there is no such interface.
    """
    from pyroute2 import IPRoute

    def apply() -> None:
        with IPRoute() as ipr:

            def index_of(name: str) -> int:
                found = ipr.link_lookup(ifname=name)
                if not found:
                    raise LabError("the interface is gone", where=name)
                return int(found[0])

            if isinstance(change.get("master"), str):
                change["master"] = index_of(change["master"])
            ipr.link("set", index=index_of(name), **change)

    netns.run(apply)
