"""What lies in the maps of the ``xdp`` switches, as ``emulator/native/bpf/switch.h`` has it."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from emulator.dataplane.running import PortCounters
from emulator.kernel.maps import BpfMap
from emulator.match import MATCH_BYTES, Match
from emulator.switches.tables import LearnedMac

SWITCHES, RULES, LABELS = 4096, 128, 1024
"""At most: switches of a lab, rules of one switch, and labels of all of a lab's rules."""

VLANS = range(1, 4095)
"""Those that a tag can name: IEEE 802.1Q keeps 0 and 4095 for itself."""

_PROGRAMS_CLOCK = 6
"""CLOCK_MONOTONIC_COARSE, by which the program tells ages: it lags by up to a tick."""

_VLAN_AWARE, _TAKES_UNTAGGED, _NO_LEARN = 1, 2, 4
_RULE_LEARNS = 1
_FIXED = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
_OWN = ("flooded", "steered", "moved", "same_port", "reserved", "vlan", "malformed")
COUNTERS = (*_FIXED, *_OWN)
"""What each port counts, in the order in which it lies in memory."""

_DROPPED = ("same_port", "reserved", "vlan", "malformed")

_PORT = struct.Struct("=QIIHH4x512s")
_COUNTERS = struct.Struct(f"={len(COUNTERS)}Q")
_ADDRESS = struct.Struct("=6sH")
_PLACE = struct.Struct("=IIQ")
_RULE = struct.Struct(f"={MATCH_BYTES}sIIIII4x")
_STEERED = struct.Struct("=2Q")
_DEVICE = struct.Struct("=Ii")

PLACE_BYTES, ADDRESS_BYTES, RULE_BYTES = _PLACE.size, _ADDRESS.size, _RULE.size
DEVICE_BYTES = _DEVICE.size


@dataclass(frozen=True)
class Steered:
    """What rules of one label have steered."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class Port:
    """A port as the program in the kernel knows it.

    Attributes:
        ifindex: the interface's number.
        slot: where its counters are.
        untagged: the VLAN of frames without a tag; None: there must be none.
        tagged: the VLANs whose frames have a tag.
        floods: whether what is flooded leaves by it.
        learns: whether senders are learnt from what comes in by it.
    """

    ifindex: int
    slot: int
    untagged: int | None = 0
    tagged: tuple[int, ...] = ()
    floods: bool = True
    learns: bool = True

    @property
    def has_vlan(self) -> bool:
        """Whether it is told apart by its VLAN."""
        return self.untagged != 0 or bool(self.tagged)

    def pack(self, switch: int, ageing_s: float, *, vlan_aware: bool) -> bytes:
        flags = _VLAN_AWARE * vlan_aware | _NO_LEARN * (not self.learns)
        if self.untagged is not None:
            flags |= _TAKES_UNTAGGED
        bits = sum(1 << vlan for vlan in set(self.tagged))
        # One array of 64-bit words, the lowest VLANs first.
        words = (bits >> shift & (1 << 64) - 1 for shift in range(0, 4096, 64))
        tagged = struct.pack("=64Q", *words)
        ageing_ns = round(ageing_s * 1e9)
        return _PORT.pack(ageing_ns, switch, self.slot, self.untagged or 0, flags, tagged)


def number_key(number: int) -> bytes:
    """A key of the maps that go by a number."""
    return struct.pack("=I", number)


def pack_device(ifindex: int, program_fd: int) -> bytes:
    """An interface to flood to, and the program that each copy goes through."""
    return _DEVICE.pack(ifindex, program_fd)


def pack_rule(match: Match, source: int, target: Port, label: int, *, learns: bool) -> bytes:
    """A rule; ``source`` is an interface's number, 0 for any."""
    flags = _RULE_LEARNS if learns else 0
    return _RULE.pack(match.pack(), source, target.ifindex, target.slot, label, flags)


def read_counters(shares: BpfMap, slot: int) -> PortCounters:
    """The counters of a port, all CPUs together."""
    totals = _sums(_COUNTERS, shares.lookup_percpu(number_key(slot)))
    fixed = dict(zip(_FIXED, totals, strict=False))
    own = dict(zip(_OWN, totals[len(_FIXED) :], strict=True))
    dropped = sum(own[name] for name in _DROPPED)
    return PortCounters(**fixed, dropped_packets=dropped, own=own)


def read_steered(steered: BpfMap, label: int) -> Steered:
    """What rules of a label have steered."""
    return Steered(*_sums(_STEERED, steered.lookup_percpu(number_key(label))))


def read_places(
    places: BpfMap, ports: Mapping[int, str], ageing_s: float
) -> Iterator[tuple[bytes, LearnedMac]]:
    """Whom a switch knows, with the keys of the map; who was silent for too long is left out.

    Args:
        ports: the names of its interfaces by their numbers.
    """
    now_ns = time.clock_gettime_ns(_PROGRAMS_CLOCK)
    for key, value in places.items():
        ifindex, _, seen_ns = _PLACE.unpack(value)
        age_s = max(0.0, (now_ns - seen_ns) / 1e9)
        if ifindex not in ports or age_s >= ageing_s:
            continue
        mac, vlan = _ADDRESS.unpack(key)
        yield key, LearnedMac(mac.hex(":"), vlan, ports[ifindex], age_s)


def keys_behind(places: BpfMap, ifindices: Iterable[int]) -> list[bytes]:
    """The keys of all addresses that were seen behind some interfaces, however long ago."""
    wanted = set(ifindices)
    return [key for key, value in places.items() if _PLACE.unpack(value)[0] in wanted]


def _sums(layout: struct.Struct, values: Iterable[bytes]) -> list[int]:
    columns = zip(*(layout.unpack_from(value) for value in values), strict=True)
    return [sum(column) for column in columns]
