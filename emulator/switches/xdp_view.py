"""What can be read of an ``xdp`` switch, by whichever process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.maps import BpfMap
from emulator.names import choice_hint
from emulator.switches import xdp_memory
from emulator.switches.xdp_memory import number_key

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters
    from emulator.switches.tables import LearnedMac

T = TypeVar("T")


@dataclass(frozen=True)
class XdpMaps:
    """The maps of a switch that are read while it is at work.

    Attributes:
        places: whom it knows.
        shares: what its ports have counted.
        generations: what has to change whenever something that it knew is true no more.
    """

    places: BpfMap
    shares: BpfMap
    generations: BpfMap


class XdpSwitchView(Closing):
    """What can be read of an ``xdp`` switch, also by another process than the lab's owner.

    Args:
        number: by which the program knows it.
        ports: by name, the interface's number and where its counters are.
        owned: whether closing it closes the maps.
    """

    def __init__(
        self,
        name: str,
        maps: XdpMaps,
        number: int,
        ports: Mapping[str, Sequence[int]],
        ageing_s: float,
        *,
        owned: bool = False,
    ) -> None:
        self._owned = owned
        self.name = name
        self._maps = maps
        self._number = number
        self._ports = ports
        self._ageing_s = ageing_s

    @classmethod
    def attach(cls, name: str, description: Mapping[str, Any]) -> XdpSwitchView:
        """Open a switch by what :meth:`XdpSwitch.describe` said of it.

        Raises:
            LabError: it has gone.
        """
        with ExitStack() as undo:
            maps = XdpMaps(
                *(
                    undo.enter_context(BpfMap.from_id(description[map_name]))
                    for map_name in ("places", "shares", "generations")
                )
            )
            undo.pop_all()
            ports, ageing_s = description["ports"], description["ageing_s"]
            return cls(name, maps, description["number"], ports, ageing_s, owned=True)

    def macs(self) -> list[LearnedMac]:
        """Whom it knows, and behind which port; by port, VLAN and address."""
        names = {ifindex: name for name, (ifindex, _) in self._ports.items()}
        order = {name: place for place, name in enumerate(self._ports)}
        found = [
            each for _, each in xdp_memory.read_places(self._maps.places, names, self._ageing_s)
        ]
        return sorted(found, key=lambda each: (order[each.port], each.vlan, each.mac))

    def flush(self, port: str | None = None) -> None:
        """Forget whom it knows, or only whom it knows behind one port.

        Raises:
            UsageError: it has no such port.
        """
        if port is None:
            keys = list(self._maps.places.keys())
        else:
            keys = xdp_memory.keys_behind(
                self._maps.places, [known_port(self._ports, port, self.name)[0]]
            )
        for key in keys:
            discard(self._maps.places, key)
        begin_generation(self._maps.generations, self._number)

    def counters(self) -> dict[str, PortCounters]:
        """The counters of each port, by the interface's name."""
        return {
            name: xdp_memory.read_counters(self._maps.shares, slot)
            for name, (_, slot) in self._ports.items()
        }

    def close(self) -> None:
        if self._owned:
            for each in (self._maps.places, self._maps.shares, self._maps.generations):
                each.close()


def known_port(ports: Mapping[str, T], name: str, switch: str) -> T:
    """What is there of a port; who asks for one that is not is told which there are."""
    try:
        return ports[name]
    except KeyError:
        hint = choice_hint(name, ports) if ports else "it has none"
        raise UsageError(f"there is no port {name}", where=switch, hint=hint) from None


def begin_generation(generations: BpfMap, number: int) -> None:
    """Have every port look again where frames go, after something that was known is no more."""
    generations.update(number_key(number), secrets.token_bytes(generations.value_size))


def discard(table: BpfMap, key: bytes) -> None:
    """Remove a key, if it is there."""
    try:
        table.delete(key)
    except KeyError:  # the kernel, or a flush, was faster
        return
