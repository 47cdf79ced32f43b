"""What can be read of an ``xdp`` switch, by whichever process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.maps import BpfMap
from emulator.names import choice_hint
from emulator.switches import xdp_memory

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters
    from emulator.switches.tables import LearnedMac

T = TypeVar("T")


class XdpSwitchView(Closing):
    """What can be read of an ``xdp`` switch, also by another process than the lab's owner.

    Args:
        ports: by name, the interface's number and where its counters are.
        owned: whether closing it closes the maps.
    """

    def __init__(
        self,
        name: str,
        places: BpfMap,
        counters: BpfMap,
        ports: Mapping[str, Sequence[int]],
        ageing_s: float,
        *,
        owned: bool = False,
    ) -> None:
        self._owned = owned
        self.name = name
        self._places = places
        self._counters = counters
        self._ports = ports
        self._ageing_s = ageing_s

    @classmethod
    def attach(cls, name: str, description: Mapping[str, Any]) -> XdpSwitchView:
        """Open a switch by what :meth:`XdpSwitch.describe` said of it.

        Raises:
            LabError: it has gone.
        """
        with ExitStack() as undo:
            places = undo.enter_context(BpfMap.from_id(description["places"]))
            counters = undo.enter_context(BpfMap.from_id(description["counters"]))
            undo.pop_all()
            ports, ageing_s = description["ports"], description["ageing_s"]
            return cls(name, places, counters, ports, ageing_s, owned=True)

    def macs(self) -> list[LearnedMac]:
        """Whom it knows, and behind which port; by port, VLAN and address."""
        names = {ifindex: name for name, (ifindex, _) in self._ports.items()}
        order = {name: place for place, name in enumerate(self._ports)}
        found = [each for _, each in xdp_memory.read_places(self._places, names, self._ageing_s)]
        return sorted(found, key=lambda each: (order[each.port], each.vlan, each.mac))

    def flush(self, port: str | None = None) -> None:
        """Forget whom it knows, or only whom it knows behind one port.

        Raises:
            UsageError: it has no such port.
        """
        if port is None:
            keys = list(self._places.keys())
        else:
            keys = xdp_memory.keys_behind(
                self._places, [known_port(self._ports, port, self.name)[0]]
            )
        for key in keys:
            discard(self._places, key)

    def counters(self) -> dict[str, PortCounters]:
        """The counters of each port, by the interface's name."""
        return {
            name: xdp_memory.read_counters(self._counters, slot)
            for name, (_, slot) in self._ports.items()
        }

    def close(self) -> None:
        if self._owned:
            self._places.close()
            self._counters.close()


def known_port(ports: Mapping[str, T], name: str, switch: str) -> T:
    """What is there of a port; who asks for one that is not is told which there are."""
    try:
        return ports[name]
    except KeyError:
        hint = choice_hint(name, ports) if ports else "it has none"
        raise UsageError(f"there is no port {name}", where=switch, hint=hint) from None


def discard(table: BpfMap, key: bytes) -> None:
    """Remove a key, if it is there."""
    try:
        table.delete(key)
    except KeyError:  # the kernel, or a flush, was faster
        return
