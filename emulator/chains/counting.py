"""Counts of chains that lie in maps of the kernel, one for each leg and CPU."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from emulator.chains.steering import Count
from emulator.kernel.maps import BpfMap

COUNT = struct.Struct("=2Q")
"""``struct steer_count``, and ``struct switch_steered`` too."""


def key_of(number: int) -> bytes:
    """The key of an entry of an array."""
    return struct.pack("=I", number)


def read_count(counts: BpfMap, number: int) -> Count:
    """What has been counted under a number, on all CPUs."""
    packets, size = 0, 0
    for value in counts.lookup_percpu(key_of(number)):
        one, more = COUNT.unpack(value)
        packets, size = packets + one, size + more
    return Count(packets, size)


def described(counts: BpfMap, numbers: Mapping[str, int]) -> dict[str, Any]:
    """What :func:`read_maps` needs."""
    return {"map": counts.id, "numbers": dict(numbers)}


def read_maps(described: Mapping[str, Any]) -> dict[str, Count]:
    """By the labels of legs, what another process has counted.

    Raises:
        LabError: it has ended.
    """
    with BpfMap.from_id(described["map"]) as counts:
        return {label: read_count(counts, number) for label, number in described["numbers"].items()}
