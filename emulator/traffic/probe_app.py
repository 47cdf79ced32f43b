"""The ``app`` mechanism: processes that send, receive and reflect through AF_PACKET sockets."""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

import numpy as np

from emulator.traffic.native import (
    DESTINATION_PORT,
    ROLE_RECEIVE,
    ROLE_REFLECT,
    ROLE_SEND,
    SOURCE_PORT,
    Counts,
    ProbeProcess,
    Progress,
    SharedBlock,
    monotonic_ns,
    shared_memory,
    udp_frame,
)
from emulator.traffic.offloads import udp_cut_before_the_link
from emulator.traffic.outcome import (
    BRIEF_QUIET_S,
    ENDLESS_S,
    RECORD,
    CpuMeter,
    Receiving,
    Sending,
    endless,
    make_result,
    view,
)
from emulator.traffic.path import NetworkPath, ProbeNode
from emulator.traffic.probe import FCS_BYTES, ProbeResult, ProbeSpec
from emulator.traffic.sink import swallow

_END_WITHIN_S = 10.0
# Packets that are due at the same moment go to the kernel in one call of at most so many.
_BATCH = 64


def probe_by_app(
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
        stack.enter_context(swallow(destination, path.destination_interface, flow))
        if spec.round_trip:
            stack.enter_context(swallow(source, path.source_interface, flow))
        far = stack.enter_context(
            _Receiver(
                destination,
                path.destination_ifindex,
                DESTINATION_PORT,
                spec,
                flow,
                role=ROLE_REFLECT if spec.round_trip else ROLE_RECEIVE,
            )
        )
        near = far
        if spec.round_trip:
            near = stack.enter_context(
                _Receiver(source, path.source_ifindex, SOURCE_PORT, spec, flow, role=ROLE_RECEIVE)
            )
        stack.enter_context(udp_cut_before_the_link(source.netns, path.source_interface))
        sending = _send(source, spec, path, flow, processes)
        sent = int(sending.progress.sent)
        for receiver in {far, near}:
            receiver.sending_ended(sent)
        for receiver in {far, near}:
            receiver.wait(spec, destination)
        return make_result(
            source,
            destination,
            spec,
            sending,
            near.result(),
            far.result() if spec.round_trip else None,
            dma_latency_held=dma_latency_held,
        )


class _Receiver:
    """A vnf-probe that receives, and if asked sends back, the probe's packets."""

    def __init__(
        self, node: ProbeNode, ifindex: int, port: int, spec: ProbeSpec, flow: int, *, role: int
    ) -> None:
        self._places = spec.places if spec.record else 0
        self._memory: mmap.mmap | None = None
        self._block = SharedBlock(role)
        value = self._block.value
        value.ifindex, value.port, value.flow = ifindex, port, flow
        value.schedule.count = spec.places
        value.quiet_ns = round(spec.drain_s * 1e9)
        value.deadline_ns = monotonic_ns() + round((spec.duration_s + 2 * _END_WITHIN_S) * 1e9)
        with ExitStack() as stack:
            stack.callback(self._block.close)
            passed = []
            if self._places:
                fd, self._memory = _records(stack, self._places * RECORD.itemsize)
                value.memory_fd = fd
                passed.append(fd)
            self._process = ProbeProcess(node, self._block, passed)

    def __enter__(self) -> _Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def sending_ended(self, sent: int) -> None:
        """Tell it that no more packets will be sent, so that silence means the end."""
        value = self._block.value
        if value.counts.received >= sent:
            value.quiet_ns = round(BRIEF_QUIET_S * 1e9)
        now_ns = monotonic_ns()
        value.deadline_ns = now_ns + round(ENDLESS_S * 1e9)
        value.sending_ended_ns = now_ns

    def wait(self, spec: ProbeSpec, destination: ProbeNode) -> None:
        self._process.wait(spec.drain_s + ENDLESS_S + _END_WITHIN_S)
        value = self._block.value
        if value.ended_ns >= value.deadline_ns:
            raise endless(destination)

    def result(self) -> Receiving:
        records: Any = None
        if self._memory is not None:
            records = view(self._memory, RECORD, self._places)
        value = self._block.value
        return Receiving(Counts.from_buffer_copy(value.counts), records, int(value.overrun))


def _send(
    source: ProbeNode,
    spec: ProbeSpec,
    path: NetworkPath,
    flow: int,
    processes: Collection[int],
) -> Sending:
    with ExitStack() as stack:
        block = SharedBlock(ROLE_SEND)
        stack.callback(block.close)
        value = block.value
        value.ifindex, value.flow, value.batch = path.source_ifindex, flow, _BATCH
        value.core = -1 if spec.core is None else spec.core
        value.schedule.interval, value.schedule.count = spec.interval, spec.places
        value.duration_ns = round(spec.duration_s * 1e9)
        value.set_frame(
            udp_frame(
                source_mac=path.source_mac,
                destination_mac=path.next_hop_mac,
                source=path.source_address,
                destination=path.destination_address,
                flow=flow,
                size_bytes=spec.frame_size_bytes - FCS_BYTES,
            )
        )
        passed: list[int] = []
        sent_ns: Any = None
        if spec.record:
            fd, memory = _records(stack, spec.places * 8)
            value.memory_fd = fd
            passed.append(fd)
            sent_ns = view(memory, np.uint64, spec.places)
        meter = CpuMeter(processes)
        with ProbeProcess(source, block, passed) as process:
            process.wait(spec.duration_s + _END_WITHIN_S)
            spent_ns, by_process_ns = meter.spent_ns(), meter.spent_by_process_ns()
        progress = Progress.from_buffer_copy(value.progress)
        return Sending(progress, value.cpu_ns + spent_ns, value.wait_ns, sent_ns, by_process_ns)


def _records(stack: ExitStack, size_bytes: int) -> tuple[int, mmap.mmap]:
    """Memory to record into: a descriptor that closes with the stack, and our map of it."""
    fd = shared_memory(size_bytes)
    stack.callback(os.close, fd)
    return fd, mmap.mmap(fd, size_bytes)
