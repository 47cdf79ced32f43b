"""What can be sent through a running network, and how it can be looked at."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.network_nodes import NetworkNodes
from emulator.node import Node

if TYPE_CHECKING:
    from emulator.plan.model import Plan
    from emulator.terminals import Window
    from emulator.traffic.iperf import IperfResult
    from emulator.traffic.ping import PingMatrix
    from emulator.traffic.sniffer import Frame, Sniffer

_CONNECTED_POLL_S = 0.05


class WatchedNetwork(NetworkNodes):
    """The part of a network that is about traffic, captures, windows and pictures."""

    _captures: list[Sniffer]

    @property
    @abstractmethod
    def id(self) -> str: ...

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    # Traffic ------------------------------------------------------------------------------------

    def ping(
        self,
        nodes: Sequence[str | Node] | None = None,
        *,
        count: int = 1,
        timeout_s: float = 1.0,
        apart: bool = False,
    ) -> PingMatrix:
        """Pings between all pairs of nodes, both ways, all at the same time.

        Where Open vSwitch is told by controllers where frames go, one after the other: they
        learn from the order in which frames come.

        Args:
            nodes: which ones; by default every host and router with an address.
            count: requests per pair.
            timeout_s: how long to wait for a reply.
            apart: whether round-trip times matter: short ones are taken one after the other.

        Raises:
            UsageError: when a node that was named has no address.
        """
        from emulator.traffic.ping import Endpoint, ping

        chosen = [self[n] if isinstance(n, str) else n for n in nodes or self.hosts]
        endpoints = []
        for node in chosen:
            address = node.IP()
            if address is not None:
                endpoints.append(Endpoint(node.name, node.netns, address))
            elif nodes is not None:
                raise UsageError("the node has no address to ping", where=node.name)
        indices = range(len(endpoints))
        pairs = [(a, b) for a in indices for b in indices if a != b]
        plan = self._running().plan
        by_flows = bool(self.controllers) and any(
            node.switch is not None and node.switch.kind == "ovs" for node in plan.switches()
        )
        return ping(
            endpoints, pairs, count=count, timeout_s=timeout_s, apart=apart, in_turn=by_flows
        )

    def pingAll(self, timeout: float = 1.0) -> float:
        """Pings between all hosts; returns the percentage that was lost."""
        return self.ping(timeout_s=timeout).lost_percent

    def pingPair(self) -> float:
        """Pings between the first two hosts; returns the percentage that was lost."""
        return self.ping(self.hosts[:2]).lost_percent

    def iperf(
        self,
        hosts: Sequence[str | Node] | None = None,
        l4Type: str = "TCP",
        seconds: int = 5,
        *,
        udpBw: str | float | None = None,
        port: int = 5001,
    ) -> IperfResult:
        """Sends from one host to another by iperf3: the first and the last host by default.

        Args:
            l4Type: ``TCP`` or ``UDP``.
            udpBw: the rate for UDP: bits per second, or text such as ``10M``.

        Raises:
            UsageError, MachineError, MeasurementError: see ``emulator.traffic.iperf``.
        """
        from emulator.traffic.iperf import iperf, parse_rate_bps

        ends = list(hosts) if hosts is not None else [*self.hosts[:1], *self.hosts[1:][-1:]]
        if len(ends) != 2:
            raise UsageError(f"iperf runs between two hosts, not {len(ends)}")
        source, destination = (self[n] if isinstance(n, str) else n for n in ends)
        rate_bps = parse_rate_bps(udpBw) if udpBw is not None else None
        return iperf(
            source, destination, protocol=l4Type, seconds=seconds, rate_bps=rate_bps, port=port
        )

    def capture(
        self,
        target: str | Node,
        *,
        file: str | Path | None = None,
        filter: str = "",
        on_frame: Callable[[Frame], object] | None = None,
    ) -> Sniffer:
        """Begins to capture what a node sends and receives, on all its interfaces or on one.

        It goes on until the object that is returned is closed, or the network stops.

        Args:
            target: a node, or the name of an interface such as ``h1-eth0``.
            file: where frames are written: pcapng where the name ends so, or else plain pcap.
            filter: which frames, in the language of tcpdump.
            on_frame: is given each frame, on a thread of its own.

        Raises:
            UsageError: when there is no such interface, the filter is none, or nothing of it can
                be seen.
            ResultsError: when the file cannot be written.
        """
        from emulator.traffic.capturing import begin_capture

        self._captures = [each for each in self._captures if not each.closed]
        where = None if file is None else str(file)
        begun = begin_capture(self._running(), _name_of(target), where, filter, on_frame)
        self._captures.append(begun)
        return begun

    def open_window(
        self, node: str | Node, command: Sequence[str] = (), *, prefer: str | None = None
    ) -> Window:
        """Opens a window on a node: of the user's terminal, or of tmux where there is no display.

        It ends with the lab at the latest.

        Args:
            command: what runs in it; bash by default.
            prefer: the terminal to take if it is there, such as ``gnome-terminal``.

        Raises:
            MachineError: when there is neither.
            LabError: when it cannot be opened.
        """
        from emulator.terminals import open_window

        return open_window(self.id, self[_name_of(node)].name, command, prefer=prefer)

    def run_on_display(self, node: str | Node, command: str) -> None:
        """Starts a program in a node that opens windows of its own on the user's display.

        Raises:
            UsageError: when there is no display, or the node is in a container.
        """
        from emulator.terminals import run_on_display

        run_on_display(self._running(), self[_name_of(node)], command)

    def wait_connected(self, timeout_s: float | None = None) -> list[str]:
        """Waits until all switches are connected to their controllers.

        Args:
            timeout_s: how long at most.

        Returns:
            What is wrong with each controller that is not when the time is over.
        """
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            failures = {node.name: node.failure for node in self.controllers}
            away = [f"{name}: {why}" for name, why in failures.items() if why is not None]
            if not away or time.monotonic() > deadline_s:
                return away
            time.sleep(_CONNECTED_POLL_S)

    def draw(self, path: str | Path) -> None:
        """Draws the network: nodes, links, and what impairs these.

        Args:
            path: a file whose name ends in ``.png``, ``.svg`` or ``.pdf``; no display is needed.

        Raises:
            UsageError: when it ends otherwise.
            ResultsError: when it cannot be written.
        """
        from emulator.graph_picture import draw_plan

        failures = {node.name: node.failure for node in self.nodes}
        draw_plan(self.plan, path, failed={name for name, why in failures.items() if why})


def _name_of(node: str | Node) -> str:
    return node.name if isinstance(node, Node) else node
