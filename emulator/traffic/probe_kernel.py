"""The ``kernel`` mechanism: BPF makes packets in the kernel, XDP records them where they arrive."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.bpf import BpfObject, attach_xdp
from emulator.traffic.flow import SIZE, Flow
from emulator.traffic.generator import Generator
from emulator.traffic.native import (
    MAX_FLOWS,
    ROLE_GENERATE,
    Counts,
    FlowSettings,
    Progress,
    SharedBlock,
    open_bpf,
)
from emulator.traffic.offloads import receive_napi
from emulator.traffic.outcome import RECORD, Receiving, drain, view
from emulator.traffic.path import ProbeNode
from emulator.traffic.probe_spec import MAX_RECORDED_PACKETS, ProbeSpec
from emulator.traffic.schedule import OnOff

GENERATOR, RECORDER = "generator.bpf.o", "recorder.bpf.o"
_HEAD_BYTES = 64

# Pages per round of the generator, by the highest rate. One that is not due goes back unused and
# the next is looked at, so with one page per round a packet leaves within 0.1 us of when it is due.
# But a round has a price of its own, and packets of one round leave together. Measured on one core
# of the reference machine, to an interface that records: 1.8 million packets/s with rounds of 1
# (p50 of the delay 0.4 us), 3.3 with 4 (0.7 us), 4.3 with 16 (1.5 us), 4.7 with 64 (4.5 us), no
# more beyond.
_ROUNDS = ((800_000, 1), (1_600_000, 4), (2_200_000, 16))
_LARGEST_ROUND = 64


class KernelReception:
    """How the packets of one flow arrive, at the far end and of a round trip at the near one."""

    def __init__(self, flow: Flow, far: tuple[Recorder, int], near: tuple[Recorder, int]) -> None:
        self._flow = flow
        self._far = far
        self._near = near

    def drain(self, sent: int) -> tuple[Receiving, Receiving | None]:
        """Wait for the last packets: what was received, and of a round trip what turned round.

        Raises:
            MeasurementError: packets go on arriving without end.
        """
        recorder, place = self._near
        drain(recorder.counts[place], sent, self._flow)
        reflecting = None
        if self._flow.spec.round_trip:
            reflector, at = self._far
            reflecting = reflector.result(at)
        return recorder.result(place), reflecting


def receive_by_kernel(flows: Sequence[Flow], stack: ExitStack) -> list[KernelReception]:
    """Be ready for the packets of flows, until the stack is closed; one reception for each.

    Raises:
        UsageError: more flows arrive at one interface than can be told apart, or their records
            do not fit.
        LabError: an interface has an XDP program already.
        MachineError: the kernel or the machine cannot do it.
    """
    arriving: dict[tuple[int, str], list[tuple[Flow, bool]]] = {}
    nodes: dict[tuple[int, str], ProbeNode] = {}
    ends = []
    for flow in flows:
        far_end = (flow.destination, flow.path.destination_interface)
        near_end = (flow.source, flow.path.source_interface)
        stack.enter_context(receive_napi(*flow.source.far_end(flow.path.source_interface)))
        if flow.spec.round_trip:
            stack.enter_context(
                receive_napi(*flow.destination.far_end(flow.path.destination_interface))
            )
        placed = []
        for node, interface in (far_end, near_end) if flow.spec.round_trip else (far_end,):
            key = (os.fstat(node.netns.fd).st_ino, interface)
            nodes[key] = node
            there = arriving.setdefault(key, [])
            placed.append((key, len(there)))
            there.append((flow, flow.spec.round_trip and node is flow.destination))
        ends.append((flow, placed[0], placed[-1]))
    recorders = {
        key: stack.enter_context(Recorder(nodes[key], key[1], there))
        for key, there in arriving.items()
    }
    return [
        KernelReception(flow, (recorders[far], at_far), (recorders[near], at_near))
        for flow, (far, at_far), (near, at_near) in ends
    ]


class Recorder(Closing):
    """The XDP program that notes, and takes or sends back, the packets of flows.

    Attributes:
        counts: of each flow, live.
    """

    def __init__(self, node: ProbeNode, interface: str, flows: Sequence[tuple[Flow, bool]]) -> None:
        """Attach it. With each flow comes whether its packets are sent back."""
        if len(flows) > MAX_FLOWS:
            raise UsageError(
                f"{len(flows)} streams are too many for one interface, at most {MAX_FLOWS} can be "
                "told apart",
                where=f"{node.name} {interface}",
            )
        settings = (FlowSettings * MAX_FLOWS)()
        self._places: list[tuple[int, int]] = []
        records = 0
        for place, (flow, reflecting) in enumerate(flows):
            spec = flow.spec
            places = spec.places if spec.record else 0
            self._places.append((records, places))
            settings[place] = FlowSettings(
                number=flow.number,
                recording=spec.record,
                reflecting=reflecting,
                mixed=spec.frame_cycle is not None,
                count=spec.places,
                first=records,
            )
            records += places
        if records > MAX_RECORDED_PACKETS:
            raise UsageError(
                f"{records} packets are too many to record, at most {MAX_RECORDED_PACKETS} fit",
                where=f"{node.name} {interface}",
                hint="record one stream only, or use a shorter duration or a lower rate",
            )
        self._object = open_bpf(RECORDER)
        try:
            self._object.set_global("flow_count", struct.pack("=I", len(flows)))
            self._object.set_global("flows", bytes(settings))
            self._object.set_max_entries("records", max(1, records))
            self._object.load()
            self.counts = (Counts * MAX_FLOWS).from_buffer(self._object.global_view("counts"))
            self._link = attach_xdp(self._object.program("record"), interface, node.netns)
        except BaseException:
            self._object.close()
            raise

    def result(self, place: int) -> Receiving:
        """What became of the packets of a flow, by its place among the flows."""
        first, places = self._places[place]
        records: Any = None
        if places:
            memory = self._object.map("records").mmap(writable=False)
            records = view(memory, RECORD, places, first=first)
        return Receiving(self.counts[place], records)

    def close(self) -> None:
        """Detach it."""
        self._link.close()
        self._object.close()


def generate_by_kernel(flow: Flow, stack: ExitStack) -> Generator:
    """What will send a flow; what it needs is given back when the stack is closed.

    Raises:
        MachineError: the kernel or the machine cannot do it, or the native parts are not built.
    """
    spec = flow.spec
    program = stack.enter_context(open_bpf(GENERATOR))
    sizes, frame = flow.sizes(), flow.frame()
    program.set_global("ifindex", struct.pack("=I", flow.path.source_ifindex))
    program.set_global("recording", struct.pack("=I", spec.record))
    program.set_global("planned", struct.pack("=I", spec.is_planned))
    program.set_global("sizes", struct.pack("=I", 0 if sizes is None else len(sizes)))
    program.set_global("largest", struct.pack("=I", len(frame)))
    program.set_global("interval", struct.pack("=Q", spec.interval))
    program.set_global("count", struct.pack("=Q", spec.places))
    program.set_global("head", frame[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0"))
    program.set_max_entries("sent_ns", spec.places if spec.record else 1)
    program.set_max_entries("due_after_ns", spec.places if spec.is_planned else 1)
    program.set_max_entries("frame_sizes", 1 if sizes is None else len(sizes))
    program.load()
    if spec.is_planned:
        _fill(program, "due_after_ns", np.dtype(np.uint64), spec.offsets_ns)
    if sizes is not None:
        _fill(program, "frame_sizes", SIZE, sizes)
    block = SharedBlock(ROLE_GENERATE)
    stack.callback(block.close)
    value = block.value
    value.program_fd = program.program("generate").fd
    value.progress_fd = program.global_map(".bss").fd
    value.batch = _batch(spec)
    sent_ns: Any = None
    if spec.record:
        memory = program.map("sent_ns").mmap(writable=False)
        sent_ns = view(memory, np.uint64, spec.places)
    generator = Generator(
        flow,
        block,
        [value.program_fd, value.progress_fd],
        progress=Progress.from_buffer(program.global_view("progress")),
        sent_ns=sent_ns,
    )
    return stack.enter_context(generator)


def _fill(program: BpfObject, table: str, entry: np.dtype[Any], values: Any) -> None:
    memory = program.map(table).mmap()
    np.frombuffer(memory, dtype=entry, count=len(values))[:] = values


def _batch(spec: ProbeSpec) -> int:
    if not spec.has_pace or not spec.record:
        return _LARGEST_ROUND  # nobody will look at times
    fastest_pps = spec.places / spec.duration_s
    if isinstance(spec.pattern, OnOff):
        fastest_pps *= (spec.pattern.on_ns + spec.pattern.off_ns) / spec.pattern.on_ns
    return next((pages for rate, pages in _ROUNDS if fastest_pps <= rate), _LARGEST_ROUND)
