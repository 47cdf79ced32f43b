"""Several streams of the probe at the same time, and one measured while another loads the path."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from emulator.errors import UsageError
from emulator.traffic.flow import Flow
from emulator.traffic.frames import FCS_BYTES
from emulator.traffic.generator import Generator
from emulator.traffic.machine import low_wakeup_latency
from emulator.traffic.outcome import Sending, make_result
from emulator.traffic.path import ProbeNode, resolve_path
from emulator.traffic.probe import ProbeResult
from emulator.traffic.probe_app import AppReception, receive_by_app, send_by_app
from emulator.traffic.probe_kernel import (
    KernelReception,
    generate_by_kernel,
    receive_by_kernel,
)
from emulator.traffic.probe_spec import ETHERNET_BYTES, ProbeSpec

_LEAD_S = 0.2
"""How long a background stream is there before the measured one begins."""
_TAIL_S = 0.5
"""How long it stays at least, less what the measured one takes to begin."""


@dataclass(frozen=True, eq=False)
class ProbeStream:
    """What to send, from where to where; ``flow`` is the number its packets carry, None: drawn."""

    source: ProbeNode
    destination: ProbeNode
    spec: ProbeSpec
    flow: int | None = None


def run_probes(
    streams: Sequence[ProbeStream], *, processes: Collection[int] = (), lead_s: float = 0.0
) -> list[ProbeResult]:
    """Send several streams at the same time and say what became of each packet.

    Up to four may arrive at one interface. A generator of the ``kernel`` mechanism keeps a core
    busy, so each wants one of its own: see ``ProbeSpec.core``.

    Args:
        streams: what to send.
        processes: by number, those on the way whose CPU time shall be told: VNFs.
        lead_s: how long a stream is sending before the next one begins; 0: all begin at once.

    Raises:
        UsageError: source and destination of a stream are the same node, a frame is larger than
            the path carries, or too many streams arrive at one interface.
        MeasurementError: there is no way between nodes, or the probe failed.
        MachineError: the kernel or the machine cannot do it, or the native parts are not built.
    """
    flows = [
        _flow(stream, number, processes)
        for stream, number in zip(streams, _numbers(streams), strict=True)
    ]
    with ExitStack() as stack:
        held = stack.enter_context(low_wakeup_latency())
        receptions = _receptions(flows, stack, lead_s)
        generators = {flow: _generator(flow, stack) for flow in flows}
        for flow in flows:
            generators[flow].start()
        for flow in flows:
            generators[flow].go()
            if lead_s and flow is not flows[-1]:
                generators[flow].await_beginning()
                time.sleep(lead_s)
        sendings: dict[Flow, Sending] = {}
        for flow in sorted(flows, key=lambda flow: flow.spec.duration_s):
            sendings[flow] = generators[flow].wait()
        results = []
        for flow in flows:
            receiving, reflecting = receptions[flow].drain(int(sendings[flow].progress.sent))
            results.append(
                make_result(flow, sendings[flow], receiving, reflecting, dma_latency_held=held)
            )
        return results


def run_under_load(
    source: ProbeNode,
    destination: ProbeNode,
    measured: ProbeSpec,
    background: ProbeSpec,
    processes: Collection[int],
) -> tuple[ProbeResult, ProbeResult]:
    """See ``emulator.traffic.probe.run_loaded``."""
    measured, background = _on_different_cores(measured, background)
    if background.seed == measured.seed:
        background = replace(background, seed=measured.seed + 1)
    background = replace(background, duration_s=_LEAD_S + measured.duration_s + _TAIL_S)
    streams = [ProbeStream(source, destination, spec) for spec in (background, measured)]
    load, result = run_probes(streams, processes=processes, lead_s=_LEAD_S)
    return result, load


def lasted(load: ProbeResult, measured: ProbeResult) -> bool:
    """Whether a load was there before a measured stream began and until it had ended."""
    ended_ns = measured.start_ns + measured.elapsed_ns
    return load.start_ns <= measured.start_ns and ended_ns <= load.start_ns + load.elapsed_ns


def _numbers(streams: Sequence[ProbeStream]) -> list[int]:
    """A number for each stream, no two alike.

    Packets of an earlier trial that are still on their way must not count in this one.
    """
    given = {stream.flow for stream in streams}
    free = (number for number in _drawn(len(streams) + len(given)) if number not in given)
    return [next(free) if stream.flow is None else stream.flow for stream in streams]


def _drawn(count: int) -> list[int]:
    return random.SystemRandom().sample(range(1 << 16), count)


def _flow(stream: ProbeStream, number: int, processes: Collection[int]) -> Flow:
    source, destination, spec = stream.source, stream.destination, stream.spec
    if source.name == destination.name:
        raise UsageError("a probe goes from one node to another", where=source.name)
    path = resolve_path(source, destination)
    largest = path.mtu_bytes + ETHERNET_BYTES + FCS_BYTES
    if spec.largest_frame_bytes > largest:
        raise UsageError(
            f"frames of {spec.largest_frame_bytes} bytes do not fit: the MTU of {path.mtu_bytes} "
            f"allows {largest}",
            where="frame_size_bytes",
            hint="use smaller frames, or links with a larger mtu",
        )
    return Flow(source, destination, spec, path, number, processes)


def _receptions(
    flows: Sequence[Flow], stack: ExitStack, lead_s: float
) -> dict[Flow, KernelReception | AppReception]:
    lasting_s = sum(flow.spec.duration_s + lead_s for flow in flows)
    by_kernel = [flow for flow in flows if flow.spec.mechanism == "kernel"]
    found: dict[Flow, KernelReception | AppReception] = dict(
        zip(by_kernel, receive_by_kernel(by_kernel, stack), strict=True)
    )
    for flow in flows:
        if flow.spec.mechanism == "app":
            found[flow] = receive_by_app(flow, stack, lasting_s=lasting_s)
    return found


def _generator(flow: Flow, stack: ExitStack) -> Generator:
    if flow.spec.mechanism == "kernel":
        return generate_by_kernel(flow, stack)
    return send_by_app(flow, stack)


def _on_different_cores(measured: ProbeSpec, background: ProbeSpec) -> tuple[ProbeSpec, ProbeSpec]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return measured, background
    if background.core is None:
        other = next(core for core in reversed(cores) if core != measured.core)
        background = replace(background, core=other)
    if measured.core is None:
        measured = replace(measured, core=next(core for core in cores if core != background.core))
    return measured, background
