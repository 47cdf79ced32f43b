"""The ``app`` mechanism: processes that send, receive and reflect through AF_PACKET sockets."""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from typing import Any

import numpy as np

from emulator.closing import Closing
from emulator.traffic.flow import SIZE, Flow
from emulator.traffic.generator import END_WITHIN_S, Generator
from emulator.traffic.native import (
    DESTINATION_PORT,
    ROLE_RECEIVE,
    ROLE_REFLECT,
    ROLE_SEND,
    SOURCE_PORT,
    Counts,
    ProbeProcess,
    SharedBlock,
    monotonic_ns,
    shared_memory,
)
from emulator.traffic.offloads import udp_cut_before_the_link
from emulator.traffic.outcome import BRIEF_QUIET_S, ENDLESS_S, RECORD, Receiving, endless, view
from emulator.traffic.path import ProbeNode
from emulator.traffic.sink import swallow

# Packets that are due at the same moment go to the kernel in one call of at most so many.
_BATCH = 64


class AppReception:
    """How the packets of one flow arrive, at the far end and of a round trip at the near one."""

    def __init__(self, flow: Flow, far: _Receiver, near: _Receiver) -> None:
        self._flow = flow
        self._far = far
        self._near = near

    def drain(self, sent: int) -> tuple[Receiving, Receiving | None]:
        """Wait for the last packets: what was received, and of a round trip what turned round.

        Raises:
            MeasurementError: packets go on arriving without end, or a receiver failed.
        """
        for receiver in {self._far, self._near}:
            receiver.sending_ended(sent)
        for receiver in {self._far, self._near}:
            receiver.wait(self._flow)
        reflecting = self._far.result() if self._flow.spec.round_trip else None
        return self._near.result(), reflecting


def receive_by_app(flow: Flow, stack: ExitStack, *, lasting_s: float) -> AppReception:
    """Be ready for the packets of a flow, until the stack is closed.

    Args:
        lasting_s: when sending has ended for certain.

    Raises:
        MachineError: the machine cannot do it, or the native parts are not built.
        MeasurementError: a receiver does not start.
    """
    path, round_trip = flow.path, flow.spec.round_trip
    stack.enter_context(swallow(flow.destination, path.destination_interface, flow.number))
    if round_trip:
        stack.enter_context(swallow(flow.source, path.source_interface, flow.number))
    far = stack.enter_context(
        _Receiver(
            flow,
            flow.destination,
            path.destination_ifindex,
            DESTINATION_PORT,
            role=ROLE_REFLECT if round_trip else ROLE_RECEIVE,
            lasting_s=lasting_s,
        )
    )
    near = far
    if round_trip:
        near = stack.enter_context(
            _Receiver(
                flow,
                flow.source,
                path.source_ifindex,
                SOURCE_PORT,
                role=ROLE_RECEIVE,
                lasting_s=lasting_s,
            )
        )
    return AppReception(flow, far, near)


class _Receiver(Closing):
    """A vnf-probe that receives, and if asked sends back, the packets of a flow."""

    def __init__(
        self,
        flow: Flow,
        node: ProbeNode,
        ifindex: int,
        port: int,
        *,
        role: int,
        lasting_s: float,
    ) -> None:
        spec = flow.spec
        self._places = spec.places if spec.record else 0
        self._memory: mmap.mmap | None = None
        self._block = SharedBlock(role)
        value = self._block.value
        value.ifindex, value.port, value.flow = ifindex, port, flow.number
        value.schedule.count = spec.places
        value.quiet_ns = round(spec.drain_s * 1e9)
        value.deadline_ns = monotonic_ns() + round((lasting_s + 2 * END_WITHIN_S) * 1e9)
        with ExitStack() as stack:
            stack.callback(self._block.close)
            passed = []
            if self._places:
                fd, self._memory = _memory(stack, self._places * RECORD.itemsize)
                value.memory_fd = fd
                passed.append(fd)
            self._process = ProbeProcess(node, self._block, passed)

    def sending_ended(self, sent: int) -> None:
        """Tell it that no more packets will be sent, so that silence means the end."""
        value = self._block.value
        if value.counts.received >= sent:
            value.quiet_ns = round(BRIEF_QUIET_S * 1e9)
        now_ns = monotonic_ns()
        value.deadline_ns = now_ns + round(ENDLESS_S * 1e9)
        value.sending_ended_ns = now_ns

    def wait(self, flow: Flow) -> None:
        """Wait until nothing more arrives."""
        self._process.wait(flow.spec.drain_s + ENDLESS_S + END_WITHIN_S)
        value = self._block.value
        if value.ended_ns >= value.deadline_ns:
            raise endless(flow.destination)

    def result(self) -> Receiving:
        """What became of the packets."""
        records: Any = None
        if self._memory is not None:
            records = view(self._memory, RECORD, self._places)
        value = self._block.value
        return Receiving(Counts.from_buffer_copy(value.counts), records, int(value.overrun))

    def close(self) -> None:
        """End it, if it has not ended."""
        self._process.close()


def send_by_app(flow: Flow, stack: ExitStack) -> Generator:
    """What will send a flow; what it needs is given back when the stack is closed.

    Raises:
        MachineError: there is not enough memory, or the interface cannot do it.
    """
    spec = flow.spec
    stack.enter_context(udp_cut_before_the_link(flow.source.netns, flow.path.source_interface))
    block = SharedBlock(ROLE_SEND)
    stack.callback(block.close)
    value = block.value
    value.ifindex, value.flow, value.batch = flow.path.source_ifindex, flow.number, _BATCH
    sent_ns: Any = None
    if spec.record:
        value.memory_fd, memory = _memory(stack, spec.places * 8)
        sent_ns = view(memory, np.uint64, spec.places)
    if spec.is_planned:
        value.plan_fd = _table(stack, spec.offsets_ns, np.dtype(np.uint64))
    sizes = flow.sizes()
    if sizes is not None:
        value.sizes, value.sizes_fd = len(sizes), _table(stack, sizes, SIZE)
    passed = [fd for fd in (value.memory_fd, value.plan_fd, value.sizes_fd) if fd >= 0]
    return stack.enter_context(
        Generator(flow, block, passed, progress=value.progress, sent_ns=sent_ns)
    )


def _memory(stack: ExitStack, size_bytes: int) -> tuple[int, mmap.mmap]:
    """Memory that a vnf-probe shares: a descriptor that closes with the stack, and our map."""
    fd = shared_memory(size_bytes)
    stack.callback(os.close, fd)
    return fd, mmap.mmap(fd, size_bytes)


def _table(stack: ExitStack, values: Any, entry: np.dtype[Any]) -> int:
    """The same for a table that it reads; the descriptor."""
    fd, memory = _memory(stack, len(values) * entry.itemsize)
    np.frombuffer(memory, dtype=entry)[:] = values
    return fd
