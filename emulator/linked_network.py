"""The links of a running network: looked at, changed, taken down and up, and impaired over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.network_nodes import name_of
from emulator.watched_network import WatchedNetwork

if TYPE_CHECKING:
    from emulator.link import Link
    from emulator.node import Node
    from emulator.plan.model import LinkPlan
    from emulator.running_links import RunningLinks
    from emulator.wire.scheduling import ScheduleRun


class LinkedNetwork(WatchedNetwork):
    """The part of a network that is about what its links do, while they stay the same links."""

    _links: RunningLinks

    @property
    def links(self) -> tuple[LinkPlan, ...]:
        """The links, in the order they were added."""
        return self.plan.links

    def configLinkStatus(self, node1: str, node2: str, status: str) -> None:
        """Takes every link between two nodes ``up`` or ``down``.

        Raises:
            UsageError: when they are not linked, or for another status.
        """
        if status not in ("up", "down"):
            raise UsageError(f"a link cannot be {status}", hint="up or down")
        self._links.set_status(
            [link.plan for link in self._links.find(node1, node2)], up=status == "up"
        )

    def set_switch(self, switch: str | Node, *, up: bool) -> None:
        """Takes a switch out of service, so that its links lose their carrier, or back.

        Links that were down before stay down after, and until then none of them goes up or down.

        Raises:
            UsageError: when it is no switch.
        """
        from emulator.switch_service import set_switch

        with self._links.lock:
            set_switch(self._running(), name_of(switch), up=up)

    def link(self, node1: str | Node, node2: str | Node | None = None) -> Link:
        """A link of the running network, to look at and to change.

        Args:
            node1: a node; or, without ``node2``, the id of a link.
            node2: another node; with several links between them it is the one added first.

        Raises:
            UsageError: when there is no such link.
            LabError: when the network is not running.
        """
        return self._links.find(name_of(node1), None if node2 is None else name_of(node2))[0]

    def linksBetween(self, node1: str | Node, node2: str | Node) -> list[Link]:
        """All links between two nodes, in the order they were added.

        Raises:
            UsageError: when there is none.
        """
        return self._links.find(name_of(node1), name_of(node2))

    def setLinks(self, links: Iterable[Link], **settings: Any) -> None:
        """Changes settings of several links at the same moment; see ``Link.set``."""
        self._links.set([link.id for link in links], settings)

    def run_schedule(
        self, schedule: str | Path | Iterable[Mapping[str, Any]] | None = None
    ) -> ScheduleRun:
        """Begins to change links over time.

        Plain links that it is to impair are made anew at once, as wires.

        Args:
            schedule: the path of a YAML file, or entries as those of a file:
                ``{"at": "10s", "links": "h1-s1", "loss": "5%"}``; that of the topology by default.

        Returns:
            The schedule under way, which ends with its last step or with the lab.

        Raises:
            UsageError: when the file cannot be read.
            TopologyError: with all the mistakes in the schedule.
        """
        if schedule is None:
            return self._links.run(self._running().plan.schedule)
        return self._links.run_written(schedule)

    @property
    def schedules(self) -> tuple[ScheduleRun, ...]:
        """The schedules that were begun: first that of the topology, if it has one."""
        return tuple(self._links.schedules)

    @property
    def wires_failure(self) -> str | None:
        """Why no impaired link carries anything; None as long as they do."""
        return self._running().wires_failure()

    def restart_wires(self) -> None:
        """Starts what impairs links anew; what waited in them is lost, and they count from zero.

        Raises:
            LabError: when it does not start, or another process runs the lab.
        """
        with self._links.lock:
            self._running().restart_wires()
