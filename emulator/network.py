"""The live network: a plan brought to life, and taken back."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from emulator import labs
from emulator.errors import LabError, UsageError
from emulator.fabric import Progress
from emulator.foreign_topo import as_topo
from emulator.growing_network import GrowingNetwork
from emulator.lab import Lab
from emulator.node import Node
from emulator.owned_lab import OnFailure, OwnedLab
from emulator.plan.compile import compile_plan
from emulator.plan.difference import keep_limits
from emulator.plan.model import Plan
from emulator.plan.switch_model import Datapath
from emulator.running_links import RunningLinks
from emulator.switches.ovs_machine import auto_datapath, leaves_datapath_open
from emulator.topo import Topo

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.rest.server import RestServer
    from emulator.traffic.sniffer import Sniffer


class Network(GrowingNetwork):
    """A topology as a running network.

    Used as a context manager, it starts on entry and stops on exit; ``start`` and ``stop`` do the
    same by hand. Without a topology it begins empty and nodes and links are added one by one,
    before the start or while it runs.

    Args:
        topo: a ``Topo``, or an object made with Mininet's ``mininet.topo.Topo``.
        name: the lab's id; made from the topology's name when not given.
        ip_base: the network that hosts get their addresses from.
        ipv6: give hosts IPv6 addresses too.
        static_arp: have nodes know each other's MAC addresses from the start, so that none asks.
        set_macs: have the hosts' MAC addresses count like the hosts: 00:00:00:00:00:01 and on.
        catalog: the VNFs to choose from; those that ship with the product by default.
        on_failure: whether a node that fails at the start ends the lab (``stop``), or is marked
            as failed while the others go on (``keep``).
        progress: called with (stage, done, total) while the lab starts.

    Attributes:
        topo: the topology; change it through this class while the lab runs.
        why_ended: what ended the lab, where that was not ``stop``.

    Raises:
        TopologyError: on ``start``, with all the mistakes in the topology.
        MachineError: on ``start``, when the machine lacks something.
    """

    def __init__(
        self,
        topo: Any = None,
        *,
        name: str | None = None,
        ip_base: str = "10.0.0.0/8",
        ipv6: bool = False,
        static_arp: bool = False,
        set_macs: bool = False,
        catalog: Catalog | None = None,
        on_failure: OnFailure = "stop",
        progress: Progress | None = None,
    ) -> None:
        if on_failure not in get_args(OnFailure):
            raise UsageError(f"on_failure cannot be {on_failure!r}", hint='"stop" or "keep"')
        self.topo = Topo() if topo is None else as_topo(topo)
        self._wanted_id = name
        self._ip_base = ip_base
        self._ipv6 = ipv6
        self._static_arp = static_arp
        self._set_macs = set_macs
        self._catalog = catalog
        self._on_failure = on_failure
        self._progress = progress
        self._lab: Lab | None = None
        self.why_ended = ""
        self._links = RunningLinks(self._running, self.change)
        self._changing = False
        self._servers: list[RestServer] = []
        # What the topology of the running lab asked for, before any container was updated.
        self._asked: Plan | None = None
        self._captures: list[Sniffer] = []

    @classmethod
    def attach(cls, lab: str) -> Network:
        """A lab that another process runs, found by its id or the beginning of it.

        Commands, pings, counters and links up and down work as at home; nodes and links can be
        changed only by the owner. ``stop`` leaves the lab running.

        Raises:
            UsageError: when there is no such lab.
        """
        attached = Lab.attach(labs.find_lab(lab))
        net = cls(name=attached.record.id, ipv6=attached.plan.ipv6)
        net._lab = attached
        return net

    # Life ---------------------------------------------------------------------------------------

    def start(self, *, schedule: bool = True) -> Self:
        """Checks the topology, then brings it to life; returns when packets can flow.

        Whatever fails, nothing stays behind.

        Args:
            schedule: whether that of the topology, if it has one, begins at once; otherwise
                :meth:`run_schedule` begins it.
        """
        if self._lab is not None:
            raise UsageError("the network is running already", where=self.id)
        self._asked = self._compile()
        self.why_ended = ""
        self._lab = OwnedLab.start(
            self._asked,
            lab_id=self._wanted_id,
            catalog=self._catalog,
            progress=self._progress,
            on_failure=self._on_failure,
            lock=self._links.lock,
        )
        atexit.register(self.stop)
        if schedule and self._lab.plan.schedule:
            try:
                self.run_schedule()
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Ends the lab and everything in it; stopping twice is allowed."""
        atexit.unregister(self.stop)
        with contextlib.ExitStack() as undo:
            undo.callback(self._close_lab)
            undo.callback(self._links.close)
            while self._servers:
                undo.callback(self._servers.pop().close)
            while self._captures:
                undo.callback(self._captures.pop().close)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the network is up."""
        return self._lab is not None

    @property
    def id(self) -> str:
        """The lab's id, such as ``chain-3f2a``.

        Raises:
            LabError: when it is not running.
        """
        return self._running().record.id

    @property
    def plan(self) -> Plan:
        """Everything that was decided for the topology; compiled on demand before the start.

        Raises:
            TopologyError: when the topology has mistakes.
        """
        return self._lab.plan if self._lab is not None else self._compile()

    # Nodes and links ----------------------------------------------------------------------------

    @property
    def notes(self) -> tuple[str, ...]:
        """What the lab has changed of the machine, or found there, that one should know."""
        return tuple(self._lab.notes) if self._lab is not None else ()

    @contextlib.contextmanager
    def change(self) -> Iterator[Topo]:
        """Changes several things at once: edit the topology it gives, and leave the block.

        The result is checked as a whole before anything is touched. What was there before keeps
        its addresses and names.

        Raises:
            TopologyError: when the changed topology has mistakes; the network then stays as it is.
            UsageError: within another change, which knows nothing of this one.
        """
        if self._lab is not None and not isinstance(self._lab, OwnedLab):
            raise LabError(
                "only the process that runs the lab can change its nodes and links",
                where=self.id,
                hint="do it in the terminal of vnf run, or in the script",
            )
        # From here on: of two threads that change it, none may lose what the other one does.
        try:
            with self._links.lock, self._changing_once():
                topo = self.topo.copy()
                yield topo
                if self._lab is not None:
                    self._apply(topo, self._lab)
                self.topo = topo
        except BaseException as error:
            if self._lab is not None and self._lab.ended:
                self.stop()
                self.why_ended = f"a change ended it: {error or type(error).__name__}"
            raise

    # Others -------------------------------------------------------------------------------------

    def serve_rest(
        self,
        address: str = "127.0.0.1",
        port: int = 8000,
        *,
        token: str | None = "",
        log: Callable[[str], None] | None = None,
    ) -> RestServer:
        """Has app containers managed over HTTP until the network stops, or the server is closed.

        Args:
            address: of this machine, or of a node, whose programs then reach it.
            port: 0 takes a free one.
            token: what requests have to show; one is made unless it is given, and None lets
                everybody in who reaches the address.
            log: called with a line for each request.

        Raises:
            UsageError: nothing can listen there.
            LabError: the network is not running, or another process runs it.
        """
        from emulator.rest.server import RestServer

        if not isinstance(self._running(), OwnedLab):
            raise LabError(
                "only the process that runs the lab can serve it",
                where=self.id,
                hint="do it in the terminal of vnf run, or in the script",
            )
        server = RestServer(self, address, port, token, log)
        self._servers.append(server)
        return server

    # Inside -------------------------------------------------------------------------------------

    def _close_lab(self) -> None:
        # Not while a server's thread still changes it.
        with self._links.lock:
            if self._lab is not None:
                self._lab.close()
                self._lab = None

    def _apply(self, topo: Topo, lab: OwnedLab) -> None:
        # As asked for before: what was changed since then is put on top of it below.
        asked = self._compile(topo, self._asked or lab.plan)
        kept = keep_limits(asked, asked=self._asked or asked, running=lab.plan)
        plan = self._links.overlaid(kept)
        lab.apply(plan)
        self._asked = asked
        self._links.settle(plan)

    @contextlib.contextmanager
    def _changing_once(self) -> Iterator[None]:
        if self._changing:
            raise UsageError(
                "the network is just being changed",
                where=self.topo.name,
                hint="change the topology that `with net.change() as topo` gives",
            )
        self._changing = True
        try:
            yield
        finally:
            self._changing = False

    def _compile(self, topo: Topo | None = None, previous: Plan | None = None) -> Plan:
        def compiled(datapath: Datapath) -> Plan:
            return compile_plan(
                topo if topo is not None else self.topo,
                ip_base=self._ip_base,
                ipv6=self._ipv6,
                static_arp=self._static_arp,
                set_macs=self._set_macs,
                catalog=self._catalog,
                previous=previous,
                ovs_datapath=datapath,
            )

        plan = compiled("auto")
        # This is where it is to run, so what it has can be looked at.
        return compiled(auto_datapath()) if leaves_datapath_open(plan) else plan

    def _running(self) -> Lab:
        if self._lab is None:
            raise LabError(
                "the network is not running" + (self.why_ended and f" any more: {self.why_ended}"),
                hint="call start() or use `with Network(…)`",
            )
        self._lab.reach_when_forked()
        return self._lab

    def _live(self) -> dict[str, Node]:
        return self._lab.nodes if self._lab is not None else {}
