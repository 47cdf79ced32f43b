"""What Mininet's networks do to test themselves: pings, iperf and the test of CPU limits."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulator.compat.mininet.log import info, output
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.compat.nodes import Node
    from emulator.traffic.ping import PingMatrix

_PING_S = 5.0
"""How long to wait for a reply: links may delay, and the first request waits for addresses."""


class Lost(float):
    """How many percent of pings were lost: a number that says what it counts.

    So a test that returns it can be told from one that returns, say, a rate.
    """


FullPing = tuple[Any, Any, tuple[int, int, float, float, float, float]]


def announce_pings() -> None:
    """Says what is to come, as Mininet does of pings between all hosts, and of no others."""
    output("*** Ping: testing ping reachability\n")


def print_pings(hosts: Sequence[Node], timeout: str | float | None) -> Lost:
    """Pings between all pairs of hosts and shows who answered; the percentage that was lost."""
    matrix = _matrix(hosts, timeout, in_turn=_by_flows(hosts))
    lost = sent = 0
    for host in hosts:
        output(f"{host.name} -> ")
        for other in hosts:
            if other is host:
                continue
            answered = _answered(matrix, host, other)
            sent += 1
            lost += not answered
            output(f"{other.name} " if answered else "X ")
        output("\n")
    percent = Lost(100.0 * lost / sent if sent else 0.0)
    if sent:
        output(f"*** Results: {percent:.0f}% dropped ({sent - lost}/{sent} received)\n")
    else:
        output("*** Warning: No packets sent\n")
    return percent


def print_pings_to(hosts: Sequence[Node], address: str, timeout: str | float | None) -> Lost:
    """Pings from each host to an address and shows who got an answer; the percentage lost."""
    from emulator.traffic.ping import Endpoint, ping

    from_all = [Endpoint(host.name, host.living().netns, address) for host in hosts]
    pairs = [(place, len(hosts)) for place in range(len(hosts))]
    target = Endpoint("", hosts[0].living().netns, address)
    timeout_s = _PING_S if timeout is None else float(timeout)
    matrix = ping([*from_all, target], pairs, timeout_s=timeout_s, in_turn=_by_flows(hosts))
    answered = [matrix.replied(host.name, "") for host in hosts]
    for host, reply in zip(hosts, answered, strict=True):
        output(f"{host.name} -> {address if reply else 'X'} \n")
    percent = Lost(100.0 * answered.count(False) / len(hosts))
    output(f"*** Results: {percent:.0f}% dropped ({answered.count(True)}/{len(hosts)} received)\n")
    return percent


def print_full_pings(hosts: Sequence[Node], timeout: str | float | None) -> list[FullPing]:
    """Pings between all pairs of hosts and shows how long the replies took.

    Returns:
        For each pair ``(host, other, (sent, received, min, average, max, deviation))``, in ms.
    """
    output("*** Ping: testing ping reachability\n")
    matrix = _matrix(hosts, timeout, apart=True, in_turn=_by_flows(hosts))
    found: list[FullPing] = []
    for host in hosts:
        output(f"{host.name} -> ")
        for other in hosts:
            if other is host:
                continue
            known = (host.name, other.name) in matrix.rtts_ns
            times = matrix.round_trips(host.name, other.name) if known else None
            if times is None:
                found.append((host, other, (1, 0, 0.0, 0.0, 0.0, 0.0)))
                output("X ")
                continue
            values = (times.min_ns, times.mean_ns, times.max_ns, times.mdev_ns)
            low, mean, high, deviation = (value / 1e6 for value in values)
            found.append((host, other, (1, 1, low, mean, high, deviation)))
            output(f"{other.name} ")
        output("\n")
    output("*** Results: \n")
    for host, other, (sent, received, low, mean, high, deviation) in found:
        output(f" {host}->{other}: {sent}/{received}, ")
        output(f"rtt min/avg/max/mdev {low:.3f}/{mean:.3f}/{high:.3f}/{deviation:.3f} ms\n")
    return found


def iperf(
    hosts: Sequence[Node],
    l4Type: str = "TCP",
    udpBw: str = "10M",
    fmt: str | None = None,
    seconds: float = 5,
    port: int = 5001,
) -> list[str]:
    """Measures by iperf3 how much gets from the first of two hosts to the second.

    Returns:
        The rates as the receiver and the sender saw them; for UDP with the rate asked before.
    """
    # Scripts that measure nothing need not wait for what reads the tools' reports.
    from emulator.traffic.iperf import iperf as engine_iperf
    from emulator.traffic.iperf import parse_rate_bps

    if len(hosts) != 2:
        raise UsageError(f"iperf runs between two hosts, not {len(hosts)}")
    client, server = hosts
    output(f"*** Iperf: testing {l4Type} bandwidth between {client} and {server}\n")
    result = engine_iperf(
        client.living(),
        server.living(),
        protocol=l4Type,
        seconds=max(1, math.ceil(float(seconds))),
        rate_bps=parse_rate_bps(udpBw) if l4Type == "UDP" else None,
        port=port,
    )
    rates = [shown_rate(result.received_bps, fmt), shown_rate(result.sent_bps, fmt)]
    if l4Type == "UDP":
        rates.insert(0, udpBw)
    output(f"*** Results: {rates}\n")
    return rates


def shown_rate(bps: float, fmt: str | None = None) -> str:
    """A rate as iperf writes it: ``9.53 Mbits/sec``.

    Args:
        fmt: the unit, ``k``, ``m`` or ``g`` for bits and ``K``, ``M`` or ``G`` for bytes; by
            default bits in the unit that fits.

    Raises:
        UsageError: there is no such unit.
    """
    units = {"k": 1e3, "m": 1e6, "g": 1e9}
    if fmt is None:
        letter = next((each for each in "gmk" if bps >= units[each]), "")
        return f"{_three_digits(bps / units.get(letter, 1))} {letter.upper()}bits/sec"
    if fmt.lower() not in units:
        raise UsageError(f"iperf has no format {fmt}", hint="one of k, m, g, K, M, G")
    if fmt.isupper():
        scale = {"K": 2**10, "M": 2**20, "G": 2**30}[fmt]
        return f"{_three_digits(bps / 8 / scale)} {fmt}Bytes/sec"
    return f"{_three_digits(bps / units[fmt])} {fmt.upper()}bits/sec"


def measure_cpu_limits(hosts: Sequence[Node], cpu: float, duration: int) -> list[float]:
    """Has every host compute for all it is worth.

    Args:
        cpu: the fraction of the machine that each is to get.
        duration: seconds.

    Returns:
        What each host got in each second, in percent of the machine.
    """
    import psutil

    info(f"*** Testing CPU {cpu * 100:.0f}% bandwidth limit\n")
    cores = psutil.cpu_count() or 1
    busy = {
        host: [
            psutil.Process(host.popen(["sh", "-c", "while :; do :; done"]).pid)
            for _ in range(math.ceil(cores * cpu))
        ]
        for host in hosts
    }

    def used_s(host: Node) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in busy[host])

    found = []
    try:
        before = {host: (used_s(host), time.monotonic()) for host in hosts}
        for _ in range(duration):
            time.sleep(1)
            for host in hosts:
                now = (used_s(host), time.monotonic())
                share = (now[0] - before[host][0]) / (now[1] - before[host][1])
                found.append(100 * share / cores)
                before[host] = now
    finally:
        for processes in busy.values():
            for process in processes:
                process.kill()
    output(f"*** Results: {found}\n")
    return found


def _matrix(
    hosts: Sequence[Node],
    timeout: str | float | None,
    *,
    apart: bool = False,
    in_turn: bool = False,
) -> PingMatrix:
    from emulator.traffic.ping import Endpoint, ping

    endpoints = []
    for host in hosts:
        netns, address = host.living().netns, host.IP()
        if address is not None:
            endpoints.append(Endpoint(host.name, netns, address))
    places = range(len(endpoints))
    pairs = [(a, b) for a in places for b in places if a != b]
    timeout_s = _PING_S if timeout is None else float(timeout)
    return ping(endpoints, pairs, timeout_s=timeout_s, apart=apart, in_turn=in_turn)


def _by_flows(hosts: Sequence[Node]) -> bool:
    # Who is first then decides what switches learn: one after the other, as in Mininet.
    return any(node.is_ovs for host in hosts for node in host.growth.nodes.values())


def _answered(matrix: PingMatrix, host: Node, other: Node) -> bool:
    key = (host.name, other.name)
    return key in matrix.rtts_ns and matrix.replied(*key)


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
