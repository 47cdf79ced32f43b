"""The way that is measured, with the VNFs and the impaired links on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from emulator.errors import LabError, MeasurementError
from emulator.experiment.wires import WireTrouble, WireWatch
from emulator.measure.resources import ResourceReading
from emulator.network import Network
from emulator.node import Node
from emulator.traffic.machine import process_cpu_ns
from emulator.traffic.probe import ProbeResult, ProbeSpec, run_probe
from emulator.traffic.probe_streams import run_under_load

T = TypeVar("T")

_READY_WITHIN_S = 10.0
# A bridge that runs the spanning tree protocol listens and learns for 15 s each (IEEE 802.1D-1998,
# table 8-3) before it forwards.
_READY_WITHIN_STP_S = 45.0
_IDLE_S = 0.5


class MeasuredPath:
    """From one node to another, in a network that runs."""

    def __init__(self, network: Network, source: Node, destination: Node) -> None:
        self.network = network
        self.source = source
        self.destination = destination
        self.vnfs = network.vnfs
        self._wires = WireWatch(network)
        self.wire_trouble = WireTrouble()
        """Of the last trial."""
        self.readings: list[ResourceReading] = []
        """Of all trials until now, as the gate has them."""
        pids = {node.name: node.vnf.pid for node in self.vnfs if node.vnf is not None}
        self.processes = {name: pid for name, pid in pids.items() if pid is not None}

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.source.name} → {self.destination.name}"

    def probe(self, spec: ProbeSpec) -> ProbeResult:
        """One trial, on a path that is whole before and after it.

        Raises:
            LabError: a VNF has died, or what impairs links.
            MeasurementError: the probe failed.
        """
        processes = self.processes.values()
        return self.watched(
            lambda: run_probe(self.source, self.destination, spec, processes=processes)
        )

    def probe_loaded(
        self, measured: ProbeSpec, background: ProbeSpec
    ) -> tuple[ProbeResult, ProbeResult]:
        """One trial of two streams at the same time; raises as :meth:`probe`.

        Whether the load lasted as long as the measured stream is the caller's to see to.
        """
        return self.watched(
            lambda: run_under_load(self.source, self.destination, measured, background, ())
        )

    def await_packets(self, probe: ProbeSpec) -> None:
        """Send a few packets again and again until some arrive.

        Raises:
            LabError: a VNF has died.
            MeasurementError: the path carries nothing.
        """
        stp = any(switch.stp for switch in self.network.plan.switches())
        within_s = _READY_WITHIN_STP_S if stp else _READY_WITHIN_S
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                if self.probe(probe).received:
                    return
            except MeasurementError:
                if time.monotonic() > deadline_s:
                    raise
            if time.monotonic() > deadline_s:
                raise MeasurementError(
                    f"nothing that {self.source.name} sent has arrived at {self.destination.name} "
                    f"within {within_s:.0f} s",
                    where=self.name,
                    hint="is there a VNF on the way that drops everything, or a link that is down",
                )

    def idle_cpu_ratios(self) -> dict[str, float]:
        """The share of a core that each VNF's process takes while no packet comes."""
        before = {name: process_cpu_ns(pid) for name, pid in self.processes.items()}
        started_ns = time.monotonic_ns()
        time.sleep(_IDLE_S)
        elapsed_ns = time.monotonic_ns() - started_ns
        return {
            name: (process_cpu_ns(pid) - before[name]) / elapsed_ns
            for name, pid in self.processes.items()
        }

    def watched(self, run: Callable[[], T]) -> T:
        """A trial on a path that is whole before and after it; raises as :meth:`probe`."""
        self._wires.begin()
        try:
            result = run()
        except MeasurementError:
            self._check_vnfs()
            self._wires.trouble()
            raise
        self._check_vnfs()
        self.wire_trouble = self._wires.trouble()
        return result

    def _check_vnfs(self) -> None:
        for node in self.vnfs:
            failure = node.failure
            if failure is not None:
                raise LabError(failure, where=node.name)
