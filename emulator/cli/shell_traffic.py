"""Commands that send traffic between the hosts of a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli import shell_format
from emulator.cli.shell_registry import TRAFFIC, command, read_positive, read_whole, read_words
from emulator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.cli.shell import Shell
    from emulator.node import Node

_PING_HEADER = "*** Ping: testing ping reachability"
_FULL_COUNT = 3
"""Requests per pair where round-trip times are asked for: one says nothing of how they differ."""


@command("pingall", "[TIMEOUT]", group=TRAFFIC)
def _pingall(shell: Shell, text: str) -> None:
    """Ping from every host to every other: pingall

    All at the same time. TIMEOUT is how many seconds to wait for an answer, 1 by default.
    """
    words = read_words("pingall", text, 0, 1)
    timeout_s = read_positive(words[0], "pingall") if words else 1.0
    _begin_ping(shell)
    shell.print(shell_format.ping_text(shell.net.ping(timeout_s=timeout_s)))


@command("pingallfull", "[COUNT]", group=TRAFFIC)
def _pingallfull(shell: Shell, text: str) -> None:
    """Ping between all hosts, with their times.

    For each pair the shortest, the mean and the longest of COUNT round trips, 3 by default, and
    how much they differ: pingallfull 10. They say what differs from path to path; vnf bench
    measures what a path takes.
    """
    words = read_words("pingallfull", text, 0, 1)
    _ping_full(shell, None, _read_count(words, "pingallfull"))


@command("pingpair", group=TRAFFIC)
def _pingpair(shell: Shell, text: str) -> None:
    """Ping between the first two hosts, both ways."""
    read_words("pingpair", text, 0)
    hosts = shell.hosts("pingpair")[:2]
    _begin_ping(shell)
    shell.print(shell_format.ping_text(shell.net.ping(hosts)))


@command("pingpairfull", "[COUNT]", group=TRAFFIC)
def _pingpairfull(shell: Shell, text: str) -> None:
    """Ping between the first two, with times.

    As pingallfull does between all: pingpairfull 10.
    """
    words = read_words("pingpairfull", text, 0, 1)
    count = _read_count(words, "pingpairfull")
    _ping_full(shell, shell.hosts("pingpairfull")[:2], count)


@command("iperf", "[A B [SECONDS]]", "host", "host", group=TRAFFIC)
def _iperf(shell: Shell, text: str) -> None:
    """Measure TCP throughput: iperf h1 h2

    With iperf3; between the first and the last host and for 5 seconds unless told otherwise. The
    results are the rates at the receiver and at the sender.
    """
    words = read_words("iperf", text, 0, 2, 3)
    seconds = read_whole(words[2], "iperf") if len(words) == 3 else 5
    ends = _ends(shell, words[:2], "iperf")
    shell.print(f"*** Iperf: testing TCP bandwidth between {ends[0].name} and {ends[1].name}")
    shell.flush()
    shell.print(shell_format.iperf_text(shell.net.iperf(ends, seconds=seconds)))


@command("iperfudp", "[RATE [A B [SECONDS]]]", "", "host", "host", group=TRAFFIC)
def _iperfudp(shell: Shell, text: str) -> None:
    """Send UDP at a rate: iperfudp 50M h1 h2

    With iperf3; at 10 Mbit/s, between the first and the last host and for 5 seconds unless told
    otherwise. The results are the rate asked for, those at the receiver and at the sender, and what
    was lost on the way.
    """
    words = read_words("iperfudp", text, 0, 1, 3, 4)
    rate = words[0] if words else "10M"
    seconds = read_whole(words[3], "iperfudp") if len(words) == 4 else 5
    ends = _ends(shell, words[1:3], "iperfudp")
    shell.print(f"*** Iperf: testing UDP bandwidth between {ends[0].name} and {ends[1].name}")
    shell.flush()
    result = shell.net.iperf(ends, "UDP", seconds, udpBw=rate)
    shell.print(shell_format.iperf_text(result, rate))


def _ends(shell: Shell, names: Sequence[str], where: str) -> list[Node]:
    """The two nodes that are named, or else the first and the last host."""
    if names:
        return [shell.node(name, where) for name in names]
    hosts = shell.hosts(where)
    return [hosts[0], hosts[-1]]


def _begin_ping(shell: Shell) -> None:
    shell.print(_PING_HEADER)
    shell.flush()


def _ping_full(shell: Shell, hosts: Sequence[Node] | None, count: int) -> None:
    _begin_ping(shell)
    shell.print(shell_format.ping_full_text(shell.net.ping(hosts, count=count, apart=True)))


def _read_count(words: Sequence[str], name: str) -> int:
    if not words:
        return _FULL_COUNT
    if not words[0].isdecimal() or not 0 < int(words[0]) <= 1000:
        raise UsageError(f"{words[0]!r} is not a number of requests from 1 to 1000", where=name)
    return int(words[0])
