"""Commands that send traffic between the hosts of a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli import shell_format
from emulator.cli.shell_registry import TRAFFIC, command, read_positive, read_whole, read_words

if TYPE_CHECKING:
    from emulator.cli.shell import Shell

_PING_HEADER = "*** Ping: testing ping reachability"


@command("pingall", "[TIMEOUT]", group=TRAFFIC)
def _pingall(shell: Shell, text: str) -> None:
    """Ping from every host to every other.

    TIMEOUT is how many seconds to wait for an answer, 1 by default.
    """
    words = read_words("pingall", text, 0, 1)
    timeout_s = read_positive(words[0], "pingall") if words else 1.0
    shell.print(_PING_HEADER)
    shell.flush()
    shell.print(shell_format.ping_text(shell.net.ping(timeout_s=timeout_s)))


@command("pingpair", group=TRAFFIC)
def _pingpair(shell: Shell, text: str) -> None:
    """Ping between the first two hosts, both ways."""
    read_words("pingpair", text, 0)
    hosts = shell.hosts("pingpair")[:2]
    shell.print(_PING_HEADER)
    shell.flush()
    shell.print(shell_format.ping_text(shell.net.ping(hosts)))


@command("iperf", "[NODE1 NODE2 [SECONDS]]", "host", "host", group=TRAFFIC)
def _iperf(shell: Shell, text: str) -> None:
    """Measure TCP throughput between two hosts.

    With iperf3; between the first and the last host and for 5 seconds unless told otherwise. The
    results are the rates at the receiver and at the sender.
    """
    words = read_words("iperf", text, 0, 2, 3)
    seconds = read_whole(words[2], "iperf") if len(words) == 3 else 5
    if words:
        ends = [shell.node(name, "iperf") for name in words[:2]]
    else:
        hosts = shell.hosts("iperf")
        ends = [hosts[0], hosts[-1]]
    shell.print(f"*** Iperf: testing TCP bandwidth between {ends[0].name} and {ends[1].name}")
    shell.flush()
    shell.print(shell_format.iperf_text(shell.net.iperf(ends, seconds=seconds)))
