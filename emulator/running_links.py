"""The links of a running network: found, changed, taken up and down, and changed by schedules."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, Problem, TopologyError, UsageError
from emulator.forking import let_go_when_forked
from emulator.hosts.addresses import set_static_arp
from emulator.interfaces import restore_routes, set_interface
from emulator.kernel.rtnl import forget_neighbours
from emulator.link import Link
from emulator.plan.impairments import changed_link
from emulator.plan.model import LinkPlan, Plan, StepPlan
from emulator.plan.schedules import LinkNames, compile_steps, read_entries
from emulator.readiness import wait_ready
from emulator.schedule import LinkSet, ScheduleEntry, read_schedule
from emulator.switches.tables import forget_behind
from emulator.wire.scheduling import ScheduleRun

if TYPE_CHECKING:
    from emulator.lab import Lab
    from emulator.topo import Topo
    from emulator.wire.manager import LinkCounters

_PULLED_FIRST = {"switch": 0, "vnf": 1, "router": 2, "host": 3}
"""A plain link goes down at the end that loses least: the other end then merely has no carrier, as
with a cable that is pulled, and keeps its addresses and routes."""
_RESTART = "restart_wires() starts them anew; in the shell: wires restart"


class RunningLinks:
    """The links of one network, and what has been changed of them since it was written.

    Args:
        lab: gives the running lab, or raises LabError.
        change: changes the topology, as ``Network.change``.

    Attributes:
        lock: held while the lab or its links are being changed; a schedule does that on a thread
            of its own.
        schedules: those under way, and those that are over.
    """

    def __init__(
        self, lab: Callable[[], Lab], change: Callable[[], AbstractContextManager[Topo]]
    ) -> None:
        self.lock = threading.RLock()
        self.schedules: list[ScheduleRun] = []
        self._lab = lab
        self._change = change
        # By id: the link as the topology has it, and as it is.
        self._changed: dict[str, tuple[LinkPlan, LinkPlan]] = {}
        let_go_when_forked(self)

    # Looking ------------------------------------------------------------------------------------

    def find(self, node1: str, node2: str | None) -> list[Link]:
        """The links between two nodes, or that of an id.

        Raises:
            UsageError: there is none.
        """
        plan = self._lab().plan
        if node2 is not None:
            found = plan.links_between(node1, node2)
            if not found:
                raise UsageError(f"there is no link between {node1} and {node2}")
            return [Link(self, link.id) for link in found]
        return [Link(self, self.plan_of(node1).id)]

    def plan_of(self, id: str) -> LinkPlan:
        """A link as it is now.

        Raises:
            UsageError: there is none of that id.
        """
        lab = self._lab()
        lab.follow_links()
        for link in lab.plan.links:
            if link.id == id:
                return link
        raise UsageError(f"there is no link {id}", hint="name its two nodes")

    def failure_of(self, link: LinkPlan) -> str | None:
        """Why a link carries nothing although it should."""
        return self._lab().wires_failure() if link.mechanism == "wire" else None

    def counters_of(self, link: LinkPlan) -> LinkCounters:
        """What became of the frames of an impaired link; see ``Link.counters``."""
        if link.mechanism == "none":
            raise UsageError(
                "nothing counts the frames of a plain link",
                where=_named(link),
                hint="its nodes' interfaces do: ip -s link",
            )
        return self._lab().wire_counters(link.id)

    # Changing -----------------------------------------------------------------------------------

    def set(
        self, ids: Sequence[str], settings: Mapping[str, Any], folder: Path | None = None
    ) -> list[str]:
        """Change some settings of links, all of them at the same moment.

        Returns:
            The ids of plain links that have been made anew, as wires.

        Raises:
            UsageError: a link cannot have them; nothing has changed then.
            LabError: another process runs the lab, or what impairs links has died.
        """
        with self.lock:
            lab = self._lab()
            now = [changed_link(lab.plan, self.plan_of(id), settings, folder=folder) for id in ids]
            self._check_failure(now)
            made = self._make_wires(ids)
            self._put(now)
        return made

    def overlaid(self, plan: Plan) -> Plan:
        """A plan just compiled from the topology, with what has been changed of links since.

        Where the topology itself has changed a link since, that holds.
        """
        links = tuple(
            self._changed[link.id][1]
            if link.id in self._changed and self._changed[link.id][0] == link
            else link
            for link in plan.links
        )
        return plan.model_copy(update={"links": links}) if links != plan.links else plan

    def settle(self, plan: Plan) -> None:
        """Forget what has been changed of links that the network has no more like that."""
        links = {link.id: link for link in plan.links}
        self._changed = {
            id: (before, now) for id, (before, now) in self._changed.items() if links.get(id) == now
        }

    def _make_wires(self, ids: Iterable[str]) -> list[str]:
        """Make plain links anew, as wires in which nothing happens yet."""
        lab = self._lab()
        wanted = set(ids)
        bare = {
            number: link
            for number, link in enumerate(lab.plan.links)
            if link.id in wanted and link.mechanism == "none"
        }
        if not bare:
            return []
        with self._change() as topo:
            entries = topo.link_entries()
            for number in bare:
                # In the order in which they were added, as those of the plan.
                entries[number].info["mechanism"] = "wire"
        return [link.id for link in bare.values()]

    def _put(self, links: Sequence[LinkPlan], *, at_ns: int = 0, recorded: bool = True) -> None:
        lab = self._lab()
        before = {link.id: link for link in lab.plan.links}
        lab.change_links(links, at_ns=at_ns, recorded=recorded)
        for link in links:
            written, _ = self._changed.get(link.id, (before[link.id], link))
            self._changed[link.id] = (written, link)

    def _check_failure(self, links: Iterable[LinkPlan]) -> None:
        failure = self._lab().wires_failure()
        wire = next((link for link in links if link.mechanism == "wire"), None)
        if failure is not None and wire is not None:
            raise LabError(failure, where=_named(wire), hint=_RESTART)

    # Up and down --------------------------------------------------------------------------------

    def set_status(self, links: Sequence[LinkPlan], *, up: bool, wait: bool = True) -> None:
        """Take links up or down; see ``Network.configLinkStatus``."""
        for link in links:
            if link.kind == "memif":
                raise UsageError(
                    "a memif link is memory that two VNFs share, and cannot be taken up or down",
                    where=_named(link),
                    hint="remove it with delLink, or stop the VNF at one of its ends",
                )
        with self.lock:
            lab = self._lab()
            if up:
                self._check_failure(links)
            for link in links:
                if link.mechanism == "none":
                    _set_end(lab, link, up)
                else:
                    lab.raise_wire(link.id, up)
            if up and wait:
                # The end that was left alone hears of its carrier a moment later: wait for both.
                ends = [end for link in links for end in (link.a, link.b)]
                wait_ready(lab.plan, lab.netns, ends, port_states=lab.port_states)
                # Who asked for a neighbour in vain meanwhile would not ask again for a second.
                hosts = [node for node in lab.nodes.values() if node.kind in ("host", "router")]
                forget_neighbours(node.netns for node in hosts)

    # Schedules ----------------------------------------------------------------------------------

    def run(self, steps: Sequence[StepPlan], name: str = "schedule") -> ScheduleRun:
        """Begin to carry out a schedule."""
        run = ScheduleRun(steps, self._carry_out, self._record, name=name)
        self.schedules.append(run)
        return run

    def run_written(self, schedule: str | Path | Iterable[Mapping[str, Any]]) -> ScheduleRun:
        """Begin a schedule from a file, or from entries as those of a file.

        Raises:
            UsageError: the file cannot be read.
            TopologyError: with all the mistakes in the schedule.
        """
        entries: Iterable[ScheduleEntry]
        sets: Mapping[str, LinkSet] = {}
        if isinstance(schedule, str | Path):
            name = str(schedule)
            file = read_schedule(schedule)
            entries, sets = file.entries, file.sets
        else:
            name = "schedule"
            entries = [ScheduleEntry(values) for values in schedule]
        with self.lock:
            problems: list[Problem] = []
            read = read_entries(entries, sets, LinkNames.of(self._lab().plan), problems)
            if not problems:
                self._make_wires(link for entry in read if entry.settings for link in entry.links)
                steps = compile_steps(read, self._lab().plan, problems)
            if problems:
                raise TopologyError(problems, where=name)
            return self.run(steps, name)

    def close(self) -> None:
        """End the schedules, and forget what has been changed."""
        for run in self.schedules:
            run.close()
        self.schedules.clear()
        self._changed.clear()

    def let_go(self) -> None:
        """Leaves everything to the process we were forked from."""
        self.lock = threading.RLock()
        self.schedules.clear()

    def _carry_out(self, step: StepPlan, at_ns: int) -> None:
        with self.lock:
            # Links may have been removed meanwhile.
            links = {link.id: link for link in self._lab().plan.links}
            changes = [change for change in step.changes if change.link in links]
            now = []
            for change in changes:
                fields = {"up": change.up, "down": change.down}
                given = {way: plan for way, plan in fields.items() if plan is not None}
                if given and links[change.link].mechanism != "none":
                    now.append(links[change.link].model_copy(update=given))
            if now:
                self._check_failure(now)
                self._put(now, at_ns=at_ns, recorded=False)
            states = [change for change in changes if change.state is not None]
            if states:
                time.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
            for state in ("down", "up"):
                some = [links[change.link] for change in states if change.state == state]
                if some:
                    self.set_status(some, up=state == "up", wait=False)

    def _record(self) -> None:
        with self.lock:
            self._lab().record_links()


def _set_end(lab: Lab, link: LinkPlan, up: bool) -> None:
    end = min((link.a, link.b), key=lambda end: _PULLED_FIRST[lab.nodes[end.node].kind])
    node = lab.nodes[end.node]
    set_interface(node.netns, node.plan.interface(end.interface), up=up)
    if not up:
        forget_behind(lab, link)
    else:
        restore_routes(node.netns, node.plan)
        if lab.plan.static_arp:
            # They went with the interface.
            set_static_arp(lab.plan.nodes, {node.name: node.netns})


def _named(link: LinkPlan) -> str:
    return f"{link.a.node} - {link.b.node}"
