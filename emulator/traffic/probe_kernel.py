"""The ``kernel`` mechanism: BPF makes packets in the kernel, XDP records them where they arrive."""

from __future__ import annotations

import struct
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

import numpy as np

from emulator.kernel.bpf import attach_xdp
from emulator.traffic.native import (
    ROLE_GENERATE,
    Counts,
    ProbeProcess,
    Progress,
    SharedBlock,
    open_bpf,
    udp_frame,
)
from emulator.traffic.offloads import receive_napi
from emulator.traffic.outcome import RECORD, CpuMeter, Receiving, Sending, drain, make_result, view
from emulator.traffic.path import NetworkPath, ProbeNode
from emulator.traffic.probe import FCS_BYTES, ProbeResult, ProbeSpec

GENERATOR, RECORDER = "generator.bpf.o", "recorder.bpf.o"
_HEAD_BYTES = 64
_END_WITHIN_S = 10.0

# Pages per round of the generator, by the highest rate. One that is not due goes back unused and
# the next is looked at, so with one page per round a packet leaves within 0.1 us of when it is due.
# But a round has a price of its own, and packets of one round leave together. Measured on one core
# of the reference machine, to an interface that records: 1.8 million packets/s with rounds of 1
# (p50 of the delay 0.4 us), 3.3 with 4 (0.7 us), 4.3 with 16 (1.5 us), 4.7 with 64 (4.5 us), no
# more beyond.
_ROUNDS = ((800_000, 1), (1_600_000, 4), (2_200_000, 16))
_LARGEST_ROUND = 64


def probe_by_kernel(
    source: ProbeNode,
    destination: ProbeNode,
    spec: ProbeSpec,
    path: NetworkPath,
    flow: int,
    *,
    processes: Collection[int],
    dma_latency_held: bool,
) -> ProbeResult:
    """Run one trial; see ``emulator.traffic.probe.run_probe``."""
    with ExitStack() as stack:
        stack.enter_context(receive_napi(*source.far_end(path.source_interface)))
        if spec.round_trip:
            stack.enter_context(receive_napi(*destination.far_end(path.destination_interface)))
        far = stack.enter_context(
            _Recorder(
                destination, path.destination_interface, spec, flow, reflecting=spec.round_trip
            )
        )
        near = far
        if spec.round_trip:
            near = stack.enter_context(
                _Recorder(source, path.source_interface, spec, flow, reflecting=False)
            )
        sending = _generate(source, spec, path, flow, processes)
        drain(near.counts, int(sending.progress.sent), spec, destination)
        return make_result(
            source,
            destination,
            spec,
            sending,
            near.result(),
            far.result() if spec.round_trip else None,
            dma_latency_held=dma_latency_held,
        )


class _Recorder:
    """The XDP program that notes, and takes or sends back, the probe's packets."""

    def __init__(
        self, node: ProbeNode, interface: str, spec: ProbeSpec, flow: int, *, reflecting: bool
    ) -> None:
        self._places = spec.places if spec.record else 0
        self._object = open_bpf(RECORDER)
        try:
            self._object.set_global("recording", struct.pack("=I", spec.record))
            self._object.set_global("reflecting", struct.pack("=I", reflecting))
            self._object.set_global("flow", struct.pack("=I", flow))
            self._object.set_global("count", struct.pack("=Q", spec.places))
            self._object.set_max_entries("records", max(1, self._places))
            self._object.load()
            self.counts = Counts.from_buffer(self._object.global_view("counts"))
            self._link = attach_xdp(self._object.program("record"), interface, node.netns)
        except BaseException:
            self._object.close()
            raise

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()
        self._object.close()

    def result(self) -> Receiving:
        records: Any = None
        if self._places:
            memory = self._object.map("records").mmap(writable=False)
            records = view(memory, RECORD, self._places)
        return Receiving(self.counts, records)


def _generate(
    source: ProbeNode,
    spec: ProbeSpec,
    path: NetworkPath,
    flow: int,
    processes: Collection[int],
) -> Sending:
    frame = udp_frame(
        source_mac=path.source_mac,
        destination_mac=path.next_hop_mac,
        source=path.source_address,
        destination=path.destination_address,
        flow=flow,
        size_bytes=spec.frame_size_bytes - FCS_BYTES,
    )
    with ExitStack() as stack:
        program = stack.enter_context(open_bpf(GENERATOR))
        program.set_global("ifindex", struct.pack("=I", path.source_ifindex))
        program.set_global("recording", struct.pack("=I", spec.record))
        program.set_global("interval", struct.pack("=Q", spec.interval))
        program.set_global("count", struct.pack("=Q", spec.places))
        program.set_global("head", frame[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0"))
        program.set_max_entries("sent_ns", spec.places if spec.record else 1)
        program.load()
        block = SharedBlock(ROLE_GENERATE)
        stack.callback(block.close)
        value = block.value
        value.program_fd = program.program("generate").fd
        value.progress_fd = program.global_map(".bss").fd
        value.core = -1 if spec.core is None else spec.core
        value.batch = _batch(spec)
        value.schedule.interval, value.schedule.count = spec.interval, spec.places
        value.duration_ns = round(spec.duration_s * 1e9)
        value.set_frame(frame)
        meter = CpuMeter(processes)
        with ProbeProcess(source, block, [value.program_fd, value.progress_fd]) as process:
            process.wait(spec.duration_s + _END_WITHIN_S)
            spent_ns, by_process_ns = meter.spent_ns(), meter.spent_by_process_ns()
        sent_ns: Any = None
        if spec.record:
            memory = program.map("sent_ns").mmap(writable=False)
            sent_ns = view(memory, np.uint64, spec.places)
        progress = Progress.from_buffer_copy(value.progress)
        return Sending(progress, value.cpu_ns + spent_ns, value.wait_ns, sent_ns, by_process_ns)


def _batch(spec: ProbeSpec) -> int:
    if spec.rate_pps is None or not spec.record:
        return _LARGEST_ROUND  # nobody will look at times
    return next((pages for rate, pages in _ROUNDS if spec.rate_pps <= rate), _LARGEST_ROUND)
