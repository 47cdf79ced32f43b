"""A VNF's XDP programs, tried by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.dataplane.bpf_memory import BpfMemory
from emulator.dataplane.build import MAX_PORTS, build_xdp
from emulator.dataplane.live import LiveParameters
from emulator.dataplane.running import PortCounters
from emulator.dataplane.xdp import read_counters
from emulator.errors import LabError
from emulator.kernel.bpf import BpfObject
from emulator.trying.model import START_NS, Dut, Outcome, example_ports

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

_XDP_ABORTED, _XDP_DROP, _XDP_PASS, _XDP_TX, _XDP_REDIRECT = range(5)
_MOST_ARRAY_ENTRIES = 4096
"""Emptying larger arrays, entry by entry, takes longer than loading the programs anew."""


class LoadedXdp(Closing):
    """The XDP programs of a VNF, loaded once and then tried from the start any number of times.

    Args:
        ports: how many the VNF has.
        fragments: whether frames may lie in several pieces.
    """

    def __init__(self, manifest: Manifest, ports: int, fragments: bool) -> None:
        self.manifest = manifest
        self.ports = ports
        self._stack = ExitStack()
        try:
            bpf = self._stack.enter_context(
                BpfObject(
                    build_xdp(manifest, fragments=fragments),
                    name=f"VNF {manifest.name}",
                    source=manifest.source("xdp"),
                )
            )
            bpf.set_global("port_count", struct.pack("=I", ports))
            # Nothing is sent, but no port may be the one that a frame came in by.
            bpf.set_global("port_ifindex", struct.pack(f"={MAX_PORTS}I", *range(1, MAX_PORTS + 1)))
            bpf.set_global("vnf_clock_is_set", b"\1")
            for number in range(ports, MAX_PORTS):
                bpf.disable(f"port{number}")
            bpf.load()
            self.programs = [bpf.program(f"port{number}") for number in range(ports)]
            self.counters = bpf.map("counters")
            self.memory: BpfMemory = self._stack.enter_context(BpfMemory.of(bpf))
            maps = [(name, bpf.map(name)) for name in bpf.map_names() if name != "all_ports"]
            self._tables = [each for name, each in maps if "." not in name]
            # The sections of variables; constants stay what they are.
            sections = [each for name, each in maps if "." in name and ".rodata" not in name]
            self._initial = [(each, each.lookup(bytes(4))) for each in sections]
        except BaseException:
            self._stack.close()
            raise

    @property
    def can_start_over(self) -> bool:
        """Whether it is worth the trouble."""
        arrays = (table.max_entries for table in self._tables if table.is_array)
        return sum(arrays) <= _MOST_ARRAY_ENTRIES

    def start_over(self) -> None:
        """Forget every frame and every parameter."""
        for section, content in self._initial:
            section.update(bytes(4), content)
        for table in self._tables:
            if table.is_array:
                nothing = bytes(table.update_bytes)
                for index in range(table.max_entries):
                    table.update(struct.pack("=I", index), nothing)
            else:
                for key in list(table.keys()):
                    table.delete(key)

    def close(self) -> None:
        self._stack.close()


class XdpDut(Dut):
    """XDP programs that have just been loaded, or have started over.

    Args:
        owned: whether the programs go when this is closed.
    """

    dataplane = "xdp"

    def __init__(
        self, loaded: LoadedXdp, values: Mapping[str, Value], seed: int, *, owned: bool
    ) -> None:
        manifest = loaded.manifest
        self._loaded = loaded
        self._owned = owned
        self._own = list(manifest.counters)
        self._ports = loaded.ports
        self._counters = loaded.counters
        self._programs = loaded.programs
        self.memory: BpfMemory = loaded.memory
        self.parameters = LiveParameters(
            manifest, example_ports(loaded.ports), values, loaded.memory, None
        )
        self.parameters.install()
        self.memory.set_random_state(seed)
        self.set_clock_ns(START_NS)

    def handle(self, port: int, frame: bytes) -> Outcome:
        before = self.counters()
        result = self._programs[port].test_run(frame)
        if result.verdict == _XDP_DROP:
            return Outcome({})
        if result.verdict == _XDP_PASS:
            return Outcome({}, result.packet)
        if result.verdict != _XDP_REDIRECT:
            raise LabError(f"the program ended with the code {result.verdict}", where=f"{port}")
        after = self.counters()
        return Outcome(
            {
                number: result.packet
                for number in range(self._ports)
                if after[number].tx_packets > before[number].tx_packets
            }
        )

    def counters(self) -> list[PortCounters]:
        return read_counters(self._counters, self._ports, self._own)

    def set_clock_ns(self, time_ns: int) -> None:
        self.memory.set_clock_ns(time_ns)

    def close(self) -> None:
        if self._owned:
            self._loaded.close()
