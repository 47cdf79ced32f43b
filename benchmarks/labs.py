"""Starting and stopping: how long it takes beside Mininet, and how much memory hosts need."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.model import Row, Series, Target
from benchmarks.session import Session
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import LOOPBACK_INDEX, Rtnl

MININET = "Mininet (lxbr)"

_MANY = 1000
_LOOK_S = 0.01
_SLOW_S = 0.02
_QUIET_S = 0.3
_FREED_DEADLINE_S = 30.0

Report = dict[str, Any]


def single_256(session: Session) -> list[Row]:
    """256 hosts on one switch, up and down."""
    ours, peer = _side_by_side(session, "single", 256)
    return [
        _row("up", "up_s", ours, peer, Target(at_most=0.6, ratio=10)),
        _row("down", "down_s", ours, peer, Target(at_most=0.5, ratio=10)),
        *_remarks(ours, peer),
    ]


def linear_100(session: Session) -> list[Row]:
    """100 switches in a line, a host on each, up and down."""
    ours, peer = _side_by_side(session, "linear", 100)
    return [
        _row("up", "up_s", ours, peer, Target(ratio=10)),
        _row("down", "down_s", ours, peer, Target(ratio=10)),
        *_remarks(ours, peer),
    ]


def hosts_1000(session: Session) -> list[Row]:
    """1000 hosts on one switch: start, reachability and memory."""
    reports = []
    for number in session.rounds():
        session.step(number, "ours")
        reports.append(session.ours("many_hosts", str(_MANY)))
        wait_until_freed(reports[-1])
    parts = ", ".join(
        f"{label} {series_of(reports, f'{key}_mib_per_host').median:.2f}"
        for label, key in (("slab", "slab"), ("per-CPU", "percpu"), ("the emulator", "vmrss"))
    )
    session.note(f"MiB per host, of that: {parts}")
    again = int(max(report["asked_again"] for report in reports))
    if again:
        session.note(
            f"up to {again} hosts had to be asked again: all namespaces of the machine share one "
            "table of neighbours"
        )
    return [
        Row("up", "s", series_of(reports, "up_s"), target=Target(at_most=4)),
        Row(
            "hosts that answer the first",
            "",
            series_of(reports, "reached"),
            target=Target(at_least=_MANY - 1),
            more_is_better=True,
        ),
        Row(
            "memory per host", "MiB", series_of(reports, "mib_per_host"), target=Target(at_most=0.5)
        ),
        Row("ping from the first to all others", "s", series_of(reports, "ping_s")),
        Row("down", "s", series_of(reports, "down_s")),
    ]


def _side_by_side(session: Session, kind: str, size: int) -> tuple[list[Report], list[Report]]:
    ours: list[Report] = []
    peer: list[Report] = []
    for number in session.rounds():
        session.step(number, "ours")
        ours.append(session.ours("start_stop", f"{kind},{size}"))
        wait_until_freed(ours[-1])
        session.step(number, "Mininet")
        peer.append(session.mininet("mininet_start_stop", kind, str(size)))
        wait_until_freed(peer[-1])
    imports = (
        f"{series_of(ours, 'import_s').median:.2f} s, {series_of(peer, 'import_s').median:.2f} s"
    )
    session.note(f"importing ours and Mininet takes {imports} more, once")
    return ours, peer


def _remarks(ours: list[Report], peer: list[Report]) -> list[Row]:
    for report in (*ours, *peer):
        report["gone_s"] = report["down_s"] + report["freed_s"]
    return [
        _row("down, kernel's clean-up included", "gone_s", ours, peer),
        _row("whole process, import included", "process_s", ours, peer),
    ]


def _row(
    what: str, key: str, ours: list[Report], peer: list[Report], target: Target | None = None
) -> Row:
    return Row(what, "s", series_of(ours, key), series_of(peer, key), MININET, target)


def series_of(reports: list[Report], key: str) -> Series:
    """One value of each report."""
    return Series.of([report[key] for report in reports])


def wait_until_freed(report: Report) -> None:
    """Waits until the kernel has taken down what was let go of, and notes how long that took.

    The kernel cleans namespaces up behind the back of whoever closed them, and nobody can change an
    interface meanwhile; the next round must not have to wait for that, nor may it go unsaid.
    """
    stopped = last_slow = report["stopped_at_s"]
    began = time.monotonic()
    with Netns.create() as netns, Rtnl.inside(netns) as rtnl:
        while True:
            rtnl.set_up(LOOPBACK_INDEX, where="lo")
            rtnl.commit()
            now = time.monotonic()
            if now - began > _SLOW_S:
                last_slow = now
            if now - last_slow > _QUIET_S or now - stopped > _FREED_DEADLINE_S:
                break
            time.sleep(_LOOK_S)
            began = time.monotonic()
    report["freed_s"] = last_slow - stopped
