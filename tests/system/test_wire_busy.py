"""Links that carry so much that they get a ring, and whose process cannot always keep up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from emulator import Network, Topo
from emulator.labs import list_labs
from emulator.native_parts import native_part
from emulator.wire import process
from emulator.wire.certify import certify
from emulator.wire.frames import LEAST_BYTES, Ends, Schedule
from emulator.wire.model import Decisions, Stream
from emulator.wire.protocol import WireCounters
from tests.system.waiting import until

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.root

MS = 1_000_000
RING_FRAMES = 2048
ENOUGH_FOR_A_RING = 3000
DEADLINE_S = 60.0


def wire_pid(net: Network) -> int:
    pid: int = next(lab.wires["pid"] for lab in list_labs() if lab.id == net.id)
    return pid


def rings_of(pid: int) -> int:
    """How many packet sockets have put their frames into its memory."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return sum("socket:[" in line for line in lines)


def sockets_of(pid: int) -> int:
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def sleeps(pid: int) -> bool:
    """Whether all of its threads are asleep, time after time; what spins is never seen so."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    for _ in range(10):
        states = [(task / "stat").read_text().rpartition(") ")[2][0] for task in tasks]
        if set(states) != {"S"}:
            return False
        time.sleep(0.01)
    return True


class Busy:
    """A link of two hosts, and what the model says of the frames that go up it."""

    def __init__(self, net: Network, ends: Ends) -> None:
        self.net, self.ends, self.pid = net, ends, wire_pid(net)
        plan = net.link("h1", "h2").plan.up
        assert plan is not None
        self._stream = Stream(plan)

    def counters(self) -> WireCounters:
        return self.net.link("h1", "h2").counters().up

    def send(self, count: int, *, stopped: bool = False) -> None:
        """Send so many as fast as possible; all do what the model says, and in order.

        Args:
            stopped: the process of the wires begins to run when all have been sent.
        """
        before = self.counters()
        told: list[Decisions] = []

        def all_in(sent_ns: NDArray[np.uint64]) -> int:
            assert sent_ns.all()
            if stopped:
                os.kill(self.pid, signal.SIGCONT)
            told.append(self._stream.decide(sent_ns, LEAST_BYTES))
            wanted = int(told[0].delivered.sum() + (told[0].copy_due_ns > 0).sum())
            until(lambda: self.counters().out_packets == before.out_packets + wanted)
            return time.monotonic_ns() + 50 * MS

        if stopped:
            os.kill(self.pid, signal.SIGSTOP)
        try:
            schedule = Schedule(count, 0, batch=64, realtime=False)
            samples = self.ends.run(schedule, back=False, until=all_in)
        finally:
            os.kill(self.pid, signal.SIGCONT)
        after = self.counters()
        assert after.unasked_packets == 0
        assert after.in_packets - before.in_packets == count
        copies = told[0].delivered.astype(int) + (told[0].copy_due_ns > 0)
        assert samples.overrun == 0
        assert np.array_equal(samples.copies, copies)
        came = samples.place[samples.copies > 0]
        assert np.array_equal(came, np.sort(came))

    def make_busy(self) -> None:
        """Have it get a ring, and use it."""
        deadline = time.monotonic() + DEADLINE_S
        while not rings_of(self.pid):
            assert time.monotonic() < deadline
            self.send(ENOUGH_FOR_A_RING, stopped=True)
        # It is there before it is begun.
        self.send(ENOUGH_FOR_A_RING)


@contextmanager
def busy_link(**options: Any) -> Iterator[Busy]:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **options)
    with Network(topo) as net:
        near, far = ((node.netns, node.plan.interfaces[0].kernel_name) for node in net.hosts)
        with Ends(near, far) as ends:
            yield Busy(net, ends)


def test_each_frame_has_its_fate_while_a_ring_begins_overflows_and_empties() -> None:
    with busy_link(delay="1ms", loss="10%", duplicate="5%", seed=3) as link:
        assert rings_of(link.pid) == 0
        link.send(10)
        assert rings_of(link.pid) == 0
        link.make_busy()
        # More than the ring has room for: the rest waits in the socket, and more comes after it.
        for count in (RING_FRAMES // 2, 3 * RING_FRAMES, 8 * RING_FRAMES, RING_FRAMES):
            link.send(count, stopped=True)
            link.send(count)
        assert rings_of(link.pid) == 1


def test_frames_overflow_while_others_are_taken_out() -> None:
    with busy_link(delay="1ms", loss="10%", seed=4) as link:
        ended = threading.Event()

        def interrupt() -> None:
            while not ended.wait(0.01):
                os.kill(link.pid, signal.SIGSTOP)
                ended.wait(0.02)
                os.kill(link.pid, signal.SIGCONT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            # The ring begins meanwhile.
            for _ in range(5):
                link.send(30_000)
            assert rings_of(link.pid) == 1
        finally:
            ended.set()
            thread.join()


def test_a_busy_link_goes_down_and_up() -> None:
    with busy_link(delay="1ms") as link:
        link.make_busy()
        link.net.link("h1", "h2").down()
        # A socket that is down is always ready, to tell so: who waits for it spins.
        until(lambda: sleeps(link.pid))
        link.net.link("h1", "h2").up()
        link.send(3 * RING_FRAMES, stopped=True)
        assert rings_of(link.pid) == 1


def test_what_a_busy_link_had_is_given_back_with_it() -> None:
    topo = Topo()
    for name in ("h1", "h2", "h3"):
        topo.addHost(name)
    topo.addLink("h1", "h3", delay="1ms")
    with Network(topo) as net:
        alone = sockets_of(wire_pid(net))
        for _ in range(2):
            net.addLink("h1", "h2", delay="1ms")
            near, far = (net[name].plan.interfaces[-1].kernel_name for name in ("h1", "h2"))
            with Ends((net["h1"].netns, near), (net["h2"].netns, far)) as ends:
                link = Busy(net, ends)
                link.make_busy()
                assert sockets_of(link.pid) == alone + 4
            net.delLink("h1", "h2")
            until(lambda: sockets_of(wire_pid(net)) == alone)
            assert rings_of(wire_pid(net)) == 0


def without_priority(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have wires run with all rights but that to a priority."""
    kept = "--inh-caps=-sys_nice --bounding-set=-sys_nice"
    program = folder / "vnf-wire"
    program.write_text(f'#!/bin/sh\nexec setpriv {kept} {native_part("vnf-wire")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(process, "native_part", lambda _: program)


def test_wires_without_priority_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with busy_link(delay="1ms") as link:
        assert "warning" not in link.net.link("h1", "h2").show()
    without_priority(tmp_path, monkeypatch)
    with busy_link(delay="1ms") as link:
        shown = "warning: no real-time priority (Operation not permitted)"
        assert shown in link.net.link("h1", "h2").show()
        with Network.attach(link.net.id) as attached:
            assert shown in attached.link("h1", "h2").show()
        (found,) = certify(link.net.plan).links
        (direction, _) = found.directions
        assert any("no real-time priority" in note for note in direction.notes)
