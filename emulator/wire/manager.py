"""The impaired links of a lab: made, changed while they carry frames, counted, and taken down.

Most labs have none, so what makes one is imported when the first is made.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import BuildVnfError, LabError
from emulator.kernel.rtnl import Rtnl
from emulator.plan.model import ImpairmentPlan, LinkPlan, Plan

if TYPE_CHECKING:
    from emulator.fabric import Fabric
    from emulator.runtime.namespace import Processes
    from emulator.wire.netem import NetemLink
    from emulator.wire.process import WireProcess
    from emulator.wire.protocol import WireCounters
    from emulator.wire.spec import Spec
    from emulator.wire_hops import WirePorts

_NOTHING = ImpairmentPlan()
_DIRECTIONS_AT_ONCE = 512
_ALL_TOLD_NS = 20_000_000


@dataclass(frozen=True)
class LinkCounters:
    """What became of the frames of an impaired link, in each direction.

    Attributes:
        up: of those from the link's first node to its second.
        down: of those the other way.
        warnings: why whatever carries it does less well than it should.
    """

    up: WireCounters
    down: WireCounters
    warnings: tuple[str, ...] = ()


class Wires:
    """What impairs the links of a lab we own; nothing runs while no link is impaired.

    Args:
        processes: the lab's.
        fabric: holds the links' inner ends.
        log: takes what the process prints.
    """

    def __init__(self, processes: Processes, fabric: Fabric, log: Path) -> None:
        self._processes = processes
        self._fabric = fabric
        self._log = log
        self._process: WireProcess | None = None
        self._links: dict[str, tuple[LinkPlan, int, WirePorts]] = {}
        self._by_kernel: dict[str, NetemLink] = {}
        self._watcher: _Watcher | None = None
        self._lock = threading.Lock()
        self._lowered: set[str] = set()
        self._broken: str | None = None

    def add(self, plan: Plan, links: Iterable[LinkPlan]) -> None:
        """Begin to impair links whose interfaces are there.

        Raises:
            MachineError: ``vnf-wire`` is not compiled.
            LabError: it does not do what it should.
        """
        for link in links:
            if link.mechanism == "none" or link.id in self._links:
                continue
            mtu_bytes, ports = plan.interface(link.a).mtu, self._fabric.wire_ports(link.id)
            if link.mechanism == "wire":
                self._links[link.id] = (link, mtu_bytes, ports)
                self._serve(link.id)
            elif link.id not in self._by_kernel:
                from emulator.wire.netem import NetemLink

                netns = self._fabric.wires_netns
                assert netns is not None
                self._by_kernel[link.id] = NetemLink(netns, ports, link, mtu_bytes)

    def remove(self, links: Iterable[LinkPlan]) -> None:
        """Impair links no longer, which are just being removed."""
        for link in links:
            # The qdiscs go with the interfaces.
            self._by_kernel.pop(link.id, None)
            if link.id in self._links:
                _, _, ports = self._links.pop(link.id)
                self._lowered.discard(link.id)
                if self._process is not None and self._process.failure() is None:
                    from emulator.wire.protocol import remove_request

                    self._process.ask(remove_request(ports.number), where=link.id)

    def change(self, links: Sequence[LinkPlan], at_ns: int = 0) -> None:
        """Have links do to frames what their plans say from now on; frames that wait, wait on.

        Args:
            links: as they are to be; all of them change for frames that arrive at the same moment.
            at_ns: the moment, CLOCK_MONOTONIC; 0: now.

        Raises:
            LabError: the wires do not run.
        """
        from emulator.wire.protocol import change_request
        from emulator.wire.spec import spec_of

        changes: list[tuple[int, Spec]] = []
        afterwards = {}
        for link in links:
            if link.id in self._by_kernel:
                self._by_kernel[link.id].change(link)
                continue
            known, mtu_bytes, ports = self._links[link.id]
            afterwards[link.id] = (link, mtu_bytes, ports)
            for way, (before, after) in enumerate(((known.up, link.up), (known.down, link.down))):
                if before != after:
                    changes.append((2 * ports.number + way, spec_of(after or _NOTHING)))
        where = ", ".join(link.id for link in links)
        if len(changes) > _DIRECTIONS_AT_ONCE and not at_ns:
            # Several requests are in step only when none of them takes effect before the last.
            at_ns = time.monotonic_ns() + _ALL_TOLD_NS
        for start in range(0, len(changes), _DIRECTIONS_AT_ONCE):
            some = changes[start : start + _DIRECTIONS_AT_ONCE]
            self._running(where).ask(change_request(some, at_ns), where=where)
        self._links.update(afterwards)

    def counters(self, link: str) -> LinkCounters:
        """Those of an impaired link.

        Raises:
            LabError: the wires do not run.
        """
        if link in self._by_kernel:
            return LinkCounters(*self._by_kernel[link].counters())
        number = self._links[link][2].number
        process = self._running(link)
        return LinkCounters(
            process.counters(2 * number),
            process.counters(2 * number + 1),
            process.state().warnings,
        )

    def failure(self) -> str | None:
        """Why no impaired link carries anything; None while they do."""
        return self._broken if self._process is None else self._process.failure()

    def down(self) -> set[str]:
        """The links that carry nothing: those taken down, or all when the process has ended."""
        return self._lowered | (set() if self.failure() is None else self._links.keys())

    def restart(self) -> None:
        """Start the process anew; what waited in the links when it ended is lost.

        Raises:
            BuildVnfError: it does not start.
        """
        self._end()
        try:
            for link in self._links:
                self._serve(link)
        except BuildVnfError as error:
            self._end()
            self._broken = f"the process of the wires could not be started anew: {error.message}"
            raise
        self._broken = None
        up = self._links.keys() - self._lowered
        self._raise([self._links[link][2] for link in up], True)

    def raise_ports(self, link: str, up: bool) -> None:
        """Raise or lower the inner ends of a link: what the outer ones have is no carrier then."""
        ports = self._fabric.wire_ports(link)
        if up:
            self._lowered.discard(link)
        else:
            self._lowered.add(link)
        if not up or self.failure() is None:
            self._raise([ports], up)

    def describe(self) -> dict[str, Any]:
        """What another emulator needs to find the links' inner ends, and to read the counters."""
        netns = self._fabric.wires_netns
        if netns is None:
            return {}
        ports = {link: self._fabric.wire_ports(link) for link in (*self._links, *self._by_kernel)}
        described: dict[str, Any] = {
            "owner": os.getpid(),
            "netns": netns.fd,
            "ports": {link: (each.a.name, each.b.name) for link, each in ports.items()},
            "numbers": {link: ports[link].number for link in self._links},
        }
        if self._process is not None:
            described |= {"pid": self._process.pid, "counters": self._process.shared_fd}
        return described

    def close(self) -> None:
        """End the process, if it runs."""
        self._links.clear()
        self._by_kernel.clear()
        self._end()

    def let_go(self) -> None:
        """What a forked process does."""
        if self._process is not None:
            self._process.let_go()
            self._process = None
        self._links.clear()

    def _serve(self, name: str) -> None:
        from emulator.wire.process import WireProcess
        from emulator.wire.spec import spec_of

        link, mtu_bytes, ports = self._links[name]
        netns = self._fabric.wires_netns
        assert netns is not None
        if self._process is None:
            self._process = WireProcess(self._processes, netns, self._log)
            self._watcher = _Watcher(self._process.pid, self._lower_all)
        specs = [spec_of(each or _NOTHING) for each in (link.up, link.down)]
        self._process.add(
            ports.number, (ports.a.name, ports.b.name), mtu_bytes, specs, where=link.id
        )

    def _running(self, where: str) -> WireProcess:
        if self._process is None:
            raise LabError("no wire runs", where=where)
        failure = self._process.failure()
        if failure is not None:
            raise LabError(failure, where=where, hint="restart_wires() starts it anew")
        return self._process

    def _lower_all(self) -> None:
        # Who looks from another process must not find a process that has ended.
        self.failure()
        self._raise([ports for _, _, ports in list(self._links.values())], False)

    def _raise(self, ports: Sequence[WirePorts], up: bool) -> None:
        netns = self._fabric.wires_netns
        if netns is None:
            return
        with self._lock, Rtnl.inside(netns) as rtnl:
            for each in ports:
                for port in (each.a, each.b):
                    rtnl.set_up(port.index, up, where=port.name)
            rtnl.commit()

    def _end(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
        process, self._process = self._process, None
        if process is not None:
            process.close()


class _Watcher:
    """Does something when a process ends by itself: nobody may be asking for it."""

    def __init__(self, pid: int, then: Any) -> None:
        self._pidfd = os.pidfd_open(pid)
        self._stop, self._stopped = os.pipe()
        self._then = then
        self._thread = threading.Thread(target=self._watch, name="wires", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        os.close(self._pidfd)

    def _watch(self) -> None:
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        ended.register(self._stop, select.POLLIN)
        if any(fd == self._pidfd for fd, _ in ended.poll()):
            # The lab may be ending at the same time.
            with suppress(BuildVnfError, OSError):
                self._then()


def counters_of(described: Mapping[str, Any], link: str) -> LinkCounters:
    """The counters of a link of another emulator's lab.

    Raises:
        LabError: its wires have ended.
    """
    from emulator.wire.protocol import SHARED_BYTES, read_counters, read_state

    number = described["numbers"].get(link)
    if number is None:
        raise LabError("only the process that runs the lab can ask netem what it did", where=link)
    try:
        fd = os.open(f"/proc/{described['owner']}/fd/{described['counters']}", os.O_RDONLY)
    except OSError as error:
        raise LabError("its wires have ended", where=link) from error
    try:
        import mmap

        with mmap.mmap(fd, SHARED_BYTES, prot=mmap.PROT_READ) as memory:
            view = memoryview(memory)
            try:
                return LinkCounters(
                    read_counters(view, 2 * number),
                    read_counters(view, 2 * number + 1),
                    read_state(view).warnings,
                )
            finally:
                view.release()
    finally:
        os.close(fd)
