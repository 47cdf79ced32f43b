"""What a script has declared, and the lab in which it lives.

Scripts for Mininet make nodes and links one by one, and each of them is alive at once. Here they
are written down first, and come to life together: when the network starts, or as soon as something
needs one of them alive. What is declared later joins the lab in the same way.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.compat.hints import hints_in_classes
from emulator.compat.mininet.log import info, warn
from emulator.compat.ovs_wanted import ovs_call_of_script
from emulator.errors import LabError, UsageError
from emulator.forking import let_go_when_forked
from emulator.kernel.netns import ensure_root
from emulator.network import Network
from emulator.owned_lab import OnFailure
from emulator.paths import run_dir
from emulator.topo import Topo
from emulator.warned import tell_by

if TYPE_CHECKING:
    from emulator.compat.interfaces import Intf
    from emulator.compat.links import Link
    from emulator.compat.nodes import Node
    from emulator.node import Node as EngineNode

ON_FAILURE: OnFailure = "stop"
"""What a node that does not start, or a controller that is not reached, does to a lab."""

_PACKAGE = str(Path(__file__).resolve().parents[1]) + "/"
_COMMAND = str(Path(__file__).resolve().with_name("mn.py"))


class Growth:
    """The nodes and links of one network of a script, declared or alive.

    Attributes:
        engine: the network that they live in.
        nodes: by name, in the order they were declared.
        links: in the order they were declared.
        externals: interfaces of the machine that nodes have, or are to have.
        ending: whether the script has begun to take it back.
        wants_openflow: whether switches of no class of their own are to be Open vSwitch bridges.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """
        Args:
            name: what the lab is called after.
            options: further ones of the engine's ``Network``.

        Raises:
            MachineError: without root.
        """
        ensure_root("a lab")
        topo = _Written()
        topo.name = name
        self.engine = Network(topo, on_failure=ON_FAILURE, **options)
        self.nodes: dict[str, Node] = {}
        self.links: list[Link] = []
        self.externals: list[Intf] = []
        ovs_call = ovs_call_of_script()
        self.wants_openflow = bool(ovs_call)
        if ovs_call:
            info(f"*** The script calls {ovs_call}: its switches are Open vSwitch's by default\n")
        self._ended = False
        self.ending = False
        self._told: list[str] = []
        # What the variables were that lead to the lab's Open vSwitch.
        self._environment: dict[str, str | None] = {}
        self._lock = threading.RLock()
        # What lives and has not taken note of it yet, and nodes with something to do since then.
        self._newborn: list[Node | Link | Intf] = []
        self._young: list[Node] = []
        tell_by(lambda text: warn(f"*** {text}\n"))
        _ALL.append(self)
        let_go_when_forked(self)

    @property
    def alive(self) -> bool:
        """Whether the lab runs."""
        return self.engine.running

    def live(self) -> None:
        """Brings everything that has been declared to life.

        Where a script's own class raises something, the rest lives all the same, and the next call
        goes on.

        Raises:
            TopologyError: with all the mistakes in what was declared.
            LabError: the network has been stopped.
        """
        with self._lock, hints_in_classes():
            if self._ended:
                raise LabError("the network has been stopped", hint="make another one")
            if not self.alive and any(each.engine_node for each in self.nodes.values()):
                raise LabError(
                    f"the lab has ended: {self.engine.why_ended or 'it was stopped'}",
                    hint="make another network",
                )
            nodes: list[Node] = [node for node in self.nodes.values() if not node.born]
            links: list[Link] = [link for link in self.links if not link.born]
            lent = [intf for intf in self.externals if not intf.born]
            items: list[Node | Link | Intf] = [*nodes, *links, *lent]
            if items or not self.alive:
                self._have_live(items)
            # What they do when they come to life may ask for something alive again.
            if self._newborn:
                self._greet()
            if self._young:
                self._grow_up()

    def _have_live(self, items: list[Node | Link | Intf]) -> None:
        """Declare things to the engine, which then has them."""
        before = self.engine.topo
        with self.engine.change() as topo:
            assert isinstance(topo, _Written)
            for item in items:
                topo.written_at = item.place
                item.declare(topo)
            topo.written_at = ""
        if not self.alive:
            try:
                self.engine.start()
            except BaseException:
                self.engine.topo = before
                raise
        for item in items:
            item.born = True
        self._newborn += items

    def _greet(self) -> None:
        """Have what lives take note of it; what fails to do so is asked again the next time."""
        waiting, self._newborn = self._newborn, []
        failures: list[tuple[Node | Link | Intf, Exception]] = []
        aware = set()
        try:
            while waiting:
                try:
                    waiting[0].be_born()
                    aware.add(id(waiting[0]))
                except Exception as failure:  # noqa: BLE001 - classes of scripts may raise anything
                    failures.append((waiting[0], failure))
                waiting.pop(0)
        finally:
            self._newborn += [*(item for item, _ in failures), *waiting]
        nodes = [node for node in self.nodes.values() if id(node) in aware]
        self._young += nodes
        self._point_to_ovs(nodes)
        self._tell_notes(nodes)
        if failures:
            raise failures[0][1]

    def _grow_up(self) -> None:
        """Have nodes do what was to be done as soon as they live; after a failure, the rest of it
        is done the next time."""
        young, self._young = self._young, []
        try:
            while young:
                if self.nodes.get(young[0].name) is young[0]:
                    young[0].grow_up()
                young.pop(0)
        finally:
            self._young = [*young, *self._young]

    def _point_to_ovs(self, nodes: list[Node]) -> None:
        """Has ``ovs-vsctl`` and the like, run by the script on the machine, reach the lab's own."""
        if any(node.is_ovs for node in nodes):
            from emulator.switches.ovs_daemons import OVS_FOLDER, environment

            pointed = environment(run_dir() / self.engine.id / OVS_FOLDER)
            for name, folder in pointed.items():
                self._environment.setdefault(name, os.environ.get(name))
                os.environ[name] = folder

    def _tell_notes(self, nodes: list[Node]) -> None:
        for node in nodes:
            engine_node = node.engine_node
            if engine_node is None:
                continue
            # A remote controller starts even where nothing answers: what it lacks is its switches.
            is_controller = engine_node.kind == "controller"
            controller = engine_node.plan.controller
            if controller is not None and controller.kind == "manual":
                continue  # the script starts it, later than this
            failure = engine_node.failure if is_controller else engine_node.start_failure
            if failure is not None:
                warn(f"*** {node.name} failed: {failure}\n")
        for note in self.engine.notes:
            if note not in self._told:
                self._told.append(note)
                warn(f"*** {note}\n")

    def adopt(self, node: Node) -> None:
        """Takes a new node in.

        Raises:
            UsageError: there is another one of that name.
        """
        if node.name in self.nodes:
            raise UsageError(
                f"there is a node {node.name} already",
                where=node.place,
                hint="every node needs a name of its own",
            )
        self.nodes[node.name] = node

    def take_over(self, node: Node) -> None:
        """Takes in a node that was made outside the network."""
        if node.growth is not self:
            node.growth.nodes.pop(node.name, None)
            node.growth = self
            self.adopt(node)

    def want_openflow(self, name: str) -> None:
        """Has switches without a class of their own be ones that a controller can control.

        Raises:
            UsageError: there are Linux bridges alive already.
        """
        if self.alive and not self.wants_openflow:
            raise UsageError(
                f"{name} is added when the switches live already, as Linux bridges",
                hint="add the controller first, or name a class: Mininet(switch=OVSSwitch)",
            )
        self.wants_openflow = True

    def declare_external(self, intf: Intf) -> None:
        """Has a node get an interface of the machine, until the network ends."""
        self.externals.append(intf)

    def remove_external(self, intf: Intf) -> None:
        """Gives an interface back to the machine."""
        with self._lock:
            if intf in self.externals:
                self.externals.remove(intf)
                self._newborn = [each for each in self._newborn if each is not intf]
                if intf.born and self.alive:
                    self.engine.removeExternal(intf.engine_name)

    def remove_node(self, node: Node) -> None:
        """Takes a node and its links away."""
        with self._lock:
            for intf in [intf for intf in self.externals if intf.node is node]:
                self.remove_external(intf)
            for link in [link for link in self.links if node in (link.intf1.node, link.intf2.node)]:
                self.remove_link(link)
            self.nodes.pop(node.name, None)
            self._newborn = [each for each in self._newborn if each is not node]
            self._young = [each for each in self._young if each is not node]
            if self.alive and node.name in self.engine:
                self.engine.delNode(node.name)

    def remove_link(self, link: Link) -> None:
        """Takes a link away."""
        with self._lock:
            self.links.remove(link)
            self._newborn = [each for each in self._newborn if each is not link]
            if link.born and self.alive:
                with self.engine.change() as topo:
                    topo.removeLink(link.intf1.node.name, link.intf2.node.name, link.key)

    def end(self) -> None:
        """Takes the lab back; ending twice is allowed."""
        self._ended = True
        if self in _ALL:
            _ALL.remove(self)
        while self._environment:
            name, before = self._environment.popitem()
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        self.engine.stop()

    def let_go(self) -> None:
        """What a forked process does: a thread that is not in it may have held the lock."""
        self._lock = threading.RLock()

    @contextmanager
    def adopting(self) -> Iterator[None]:
        """Nodes that are made in this block belong here."""
        _CURRENT.append(self)
        try:
            yield
        finally:
            _CURRENT.pop()


def current() -> Growth:
    """Where a node that is made now belongs; nodes of no network have a lab of their own."""
    if _CURRENT:
        return _CURRENT[-1]
    for growth in _ALL:
        if growth in _IMPLICIT:
            return growth
    growth = Growth(script_name())
    _IMPLICIT.append(growth)
    return growth


def end_all() -> list[str]:
    """Ends every lab of the script that it has not ended itself; the ids of those that ran."""
    ids = []
    while _ALL:
        growth = _ALL[-1]
        if growth.alive:
            ids.append(growth.engine.id)
        growth.end()
    _IMPLICIT.clear()
    return ids


def alive_networks() -> list[Network]:
    """The networks of the script that are alive, in the order in which they were made."""
    return [growth.engine for growth in _ALL if growth.alive]


def user_place() -> str:
    """The file and the line of the script that is at work: ``/my/lab.py:12``.

    Where it is the command ``vnf mn``, there is no script.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_code.co_filename == _COMMAND:
            return "vnf mn"
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def script_name() -> str:
    """What a lab is called after where nothing better is known: the script's file."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).stem if file else "script"


class Living:
    """Something of a script that has a node of the engine.

    Attributes:
        name: its name.
        growth: the network's nodes and links.
        engine_node: the engine's node, once it lives.
    """

    name: str
    growth: Growth
    engine_node: EngineNode | None = None

    def living(self) -> EngineNode:
        """The engine's node; it comes to life if it does not yet.

        Raises:
            LabError: it has been removed.
        """
        self.growth.live()
        if self.engine_node is None:
            raise LabError("there is no such node in the lab", where=self.name)
        return self.engine_node


class _Written(Topo):
    """A topology of what was written down elsewhere, if so: ``written_at`` says where."""

    written_at = ""

    def _place(self) -> str:
        return self.written_at or super()._place()


_ALL: list[Growth] = []
_IMPLICIT: list[Growth] = []
_CURRENT: list[Growth] = []
