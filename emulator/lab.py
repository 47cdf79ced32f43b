"""One running lab: the nodes of a plan, what carries them, and the record others find it by."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from emulator import labs
from emulator.chains.steering import Count, read_counts
from emulator.errors import LabError, UsageError
from emulator.forking import Forked, let_go_when_forked
from emulator.hosts.keeper import Hosts
from emulator.kernel.netns import Netns, ensure_root
from emulator.node import Node
from emulator.paths import run_dir
from emulator.plan.model import EndPlan, LinkPlan, NodePlan, Plan
from emulator.reached import Reached
from emulator.runtime.namespace import Processes
from emulator.switches.control import (
    ControlView,
    control_log,
    port_states,
    surroundings,
)
from emulator.wire.manager import LinkCounters, counters_of

if TYPE_CHECKING:
    from emulator.closing import Closing
    from emulator.dataplane import RunningVnf
    from emulator.switches.xdp_view import XdpSwitchView


class Lab:
    """The nodes of a running lab, whoever owns it.

    Made by ``OwnedLab.start`` or by ``Lab.attach``.

    Attributes:
        plan: what was decided for the topology.
        nodes: by name, in the plan's order.
        record: what other processes know of the lab.
        lock: held while the lab is being changed, from looking at what it is to what it is then.
    """

    _processes: Processes
    _hold: Reached

    def __init__(self, plan: Plan, record: labs.LabRecord) -> None:
        self.plan = plan
        self.record = record
        self.nodes: dict[str, Node] = {}
        self.lock: AbstractContextManager[object] = threading.RLock()
        self._followed_ns = 0
        self._is_ours = True
        self._stack = ExitStack()
        self._parts: list[Forked] = []
        self._reached: Lab | None = None
        let_go_when_forked(self)

    @classmethod
    def attach(cls, record: labs.LabRecord) -> Self:
        """A lab that another process owns; closing leaves it running.

        Raises:
            LabError: when it ends just now.
        """
        ensure_root("reaching a running lab")
        try:
            plan = Plan.model_validate(record.plan)
        except ValueError as error:
            raise LabError(
                "the lab was started by another version, whose plans are not known here",
                where=record.id,
                hint="reach it with that version",
            ) from error
        lab = cls(plan, record)
        lab._followed_ns = labs.record_written_ns(record.id)
        with lab._closed_on_failure():
            try:
                processes = Processes.join(record.init_pid)
                lab._stack.callback(processes.close)
                hold = Reached(lab, processes, lab._drop_node)
                lab._stack.callback(hold.close)
                lab._stack.callback(lab._close_nodes)
                lab._parts += [processes, hold]
                lab._processes, lab._hold = processes, hold
                for node in plan.nodes:
                    hold.reach(node)
            except OSError as error:
                raise LabError("the lab is just ending", where=record.id) from error
        return lab

    def follow_links(self) -> None:
        """Take note of what the lab's owner has changed: nodes and links, and what is in them.

        Raises:
            LabError: the lab has ended.
        """
        self._require_ours()
        written_ns = labs.record_written_ns(self.record.id)
        if written_ns != self._followed_ns:
            before, self.record = self.record, labs.read_again(self.record)
            self._followed_ns = written_ns
            self.plan = Plan.model_validate(self.record.plan)
            try:
                self._hold.follow(before)
            except OSError as error:
                raise LabError("the lab is just ending", where=self.record.id) from error

    def restart(self, node: Node) -> None:
        """Start a node's VNF or its container anew; see ``Node.restart``."""
        raise _owners_own("restart its nodes", node.name)

    def update(self, node: Node, changes: Mapping[str, Any]) -> None:
        """Change the limits of a node's container; see ``Node.update``."""
        raise _owners_own("change the limits of its nodes", node.name)

    @property
    def notes(self) -> Sequence[str]:
        """What the lab has changed of the machine, or found there, that one should know."""
        return ()

    def ensure_changeable(self, name: str) -> None:
        """Raises ``LabError`` unless this process may change a node's addresses."""
        raise _owners_own("change the addresses of its nodes", name)

    @property
    def limited_nodes(self) -> Hosts:
        """What limits the nodes."""
        raise _owners_own("change the limits of its nodes", self.record.id)

    def note_node(self, plan: NodePlan) -> None:
        """Take note of how a node has been changed, and tell other processes."""
        raise _owners_own("change its nodes", plan.name)

    def control_failure(self, node: NodePlan) -> str | None:
        """Why a controller or an Open vSwitch bridge does not do its work; None while it does."""
        self.follow_links()
        folder, record = run_dir() / self.record.id, self.record
        return ControlView(self.plan, folder, record.control, record.holds).failure(node)

    def control_log(self, node: NodePlan) -> Path | None:
        """What a controller or Open vSwitch has printed; None for other nodes."""
        return control_log(run_dir() / self.record.id, node)

    def port_states(self) -> dict[str, str]:
        """What Open vSwitch says of its ports in the spanning tree, by kernel name."""
        return port_states(self.plan, run_dir() / self.record.id)

    def surroundings(self, node: NodePlan) -> dict[str, str]:
        """What programs in a node find in their environment besides the emulator's own."""
        return surroundings(self.plan, node, run_dir() / self.record.id)

    def chain_counts(self) -> dict[str, Count]:
        """What chains have steered, by the labels of their legs.

        Raises:
            LabError: the lab has ended.
        """
        self.follow_links()
        return read_counts(self.record.steering)

    def xdp_switch(self, name: str) -> XdpSwitchView:
        """What can be read of an ``xdp`` switch, until it is closed.

        Raises:
            LabError: it has gone.
        """
        from emulator.switches.xdp_view import XdpSwitchView

        self.follow_links()
        if name not in self.record.xdp_switches:
            raise LabError("the lab has no such switch any more", where=name)
        return XdpSwitchView.attach(name, self.record.xdp_switches[name])

    def wire_counters(self, link: str) -> LinkCounters:
        """What became of the frames of an impaired link.

        Raises:
            LabError: its wires have ended.
        """
        return counters_of(self.record.wires, link)

    def wires_failure(self) -> str | None:
        """Why no impaired link carries anything; None while they do."""
        self.follow_links()
        return "the process of the wires has ended" if self.record.wires_failed else None

    def raise_wire(self, link: str, up: bool) -> None:
        """Raise or lower the inner ends of an impaired link, so that both its ends notice."""
        raise _owners_own("take impaired links up and down", link)

    def change_links(
        self, links: Sequence[LinkPlan], *, at_ns: int = 0, recorded: bool = True
    ) -> None:
        """Have impaired links do to frames what their plans say; frames that wait, wait on.

        Args:
            links: as they are to be.
            at_ns: for frames that arrive from then on, CLOCK_MONOTONIC; 0: from now on.
            recorded: whether other processes are told; see :meth:`record_links`.
        """
        raise _owners_own("change its links", self.record.id)

    def record_links(self) -> None:
        """Tell other processes how links have been changed without telling them."""
        raise _owners_own("change its links", self.record.id)

    def restart_wires(self) -> None:
        """Start what impairs links anew; what waited in them is lost."""
        raise _owners_own("start its wires anew", self.record.id)

    def netns(self, node: str) -> Netns:
        """The network namespace that holds a node's interfaces."""
        return self.nodes[node].netns

    def running_vnf(self, node: str) -> RunningVnf | None:
        """The VNF that a node runs, as far as this process knows."""
        return self.nodes[node].running_vnf

    def far_end(self, node: str, kernel_name: str) -> tuple[Netns, str]:
        """The namespace and the kernel name of the veth that an interface is joined to.

        That is the other end of its link, or where something impairs that, the end of this half.

        Raises:
            UsageError: when the node has no such interface.
        """
        for interface in self.plan.node(node).interfaces:
            if interface.kernel_name == kernel_name:
                if interface.external is not None:
                    text = f"{interface.name} is an interface of the machine, whose far end is not"
                    raise UsageError(f"{text} in the lab", where=node)
                near = EndPlan(node=node, interface=interface.name)
                link = next(link for link in self.plan.links if near in (link.a, link.b))
                if link.mechanism != "none":
                    return self._wire_port(link, near)
                end = self.plan.peer(node, interface.name)
                return self.netns(end.node), self.plan.interface(end).kernel_name
        raise UsageError(f"there is no interface {kernel_name}", where=node)

    def _wire_port(self, link: LinkPlan, end: EndPlan) -> tuple[Netns, str]:
        """The inner end of one half of an impaired link."""
        return self._hold.wire_port(link, end)

    def close_with(self, part: Closing) -> None:
        """Have something closed together with what this process holds of the lab."""
        self._stack.callback(part.close)

    def close(self) -> None:
        """Ends what this process holds of the lab; closing twice is allowed."""
        self._stack.close()

    def let_go(self) -> None:
        """Gives up this process's part in the lab and leaves the lab to the one it was forked from.

        Copies of descriptors would keep the lab alive when its owner dies, and ending the lab is
        not for a child to do, which inherits even what is to happen at its exit.
        """
        self._is_ours = False
        # A thread that is not in this process may have held it.
        self.lock = threading.RLock()
        self._stack.pop_all()
        for node in self.nodes.values():
            node.let_go()
            node.netns.close()
        for part in self._parts:
            part.let_go()

    def reach_when_forked(self) -> None:
        """In a forked process: have commands reach the nodes as those of any other process do.

        Raises:
            UsageError: the lab has ended.
        """
        if self._is_ours or self._reached is not None:
            return
        reached = self._reached = Lab.attach(labs.read_again(self.record))
        self._stack.callback(reached.close)
        for name, node in self.nodes.items():
            if name in reached.nodes:
                node.reach_through(reached.nodes[name])

    def _require_ours(self) -> None:
        if not self._is_ours:
            raise LabError(
                "another process has the lab",
                where=self.record.id,
                hint="a forked process can reach it by Network.attach",
            )

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _close_nodes(self) -> None:
        with ExitStack() as each:  # goes on with the others whatever happens at one
            for name in list(self.nodes):
                each.callback(self._drop_node, name)

    def _drop_node(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is not None:
            node.close()


def _owners_own(what: str, where: str) -> LabError:
    return LabError(
        f"only the process that runs the lab can {what}",
        where=where,
        hint="do it in the terminal of vnf run, or in the script",
    )
