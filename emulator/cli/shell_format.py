"""The texts of the shell, in the forms that users of Mininet know; pure, no network is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emulator.cli.container_format import interface_rows, usage_rows
from emulator.wire.words import link_text

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters
    from emulator.plan.model import EndPlan, NodePlan, Plan
    from emulator.plan.switch_model import ControllerPlan, SwitchPlan
    from emulator.runtime.usage import ContainerStats
    from emulator.traffic.iperf import IperfResult
    from emulator.traffic.ping import PingMatrix
    from emulator.vnf_stats import VnfStats

_KIND_TITLES = {
    "host": "Host",
    "switch": "Switch",
    "router": "Router",
    "vnf": "VNF",
    "app": "App",
    "controller": "Controller",
}


def nodes_text(plan: Plan, failed: Sequence[str] = ()) -> str:
    """All names in their natural order on one line; below, those in containers and the failed."""
    text = "available nodes are:\n" + " ".join(node.name for node in plan.nodes)
    enclosed = [node.name for node in plan.nodes if node.container is not None]
    if enclosed:
        text += f"\nin containers: {' '.join(enclosed)}"
    return f"{text}\nfailed: {' '.join(failed)}" if failed else text


def net_text(plan: Plan) -> str:
    """One line per node: its interfaces, each with the one at the other end of the link.

    An app container has those of its host.
    """
    lines = []
    for node in plan.nodes:
        words = [node.name] if node.host is None else [node.name, "in", node.host]
        words += [f"{i.name}:{plan.leads_to(node.name, i.name)}" for i in node.interfaces]
        lines.append(" ".join(words))
    return "\n".join(lines)


def links_text(plan: Plan, up: Container[EndPlan]) -> str:
    """One line per link with the state of its two ends, OK or DOWN, and what impairs it.

    Args:
        plan: the plan of the lab.
        up: the ends that carry packets.
    """
    lines = []
    for link in plan.links:
        states = " ".join("OK" if end in up else "DOWN" for end in (link.a, link.b))
        impaired = link_text(link)
        ends = f"{link.a.interface}<->{link.b.interface} ({states})"
        lines.append(f"{ends} {impaired}".rstrip())
    return "\n".join(lines)


def ports_text(plan: Plan) -> str:
    """One line per switch and VNF: the port number of each interface."""
    lines = [
        " ".join([node.name, *(f"{intf.name}:{intf.port}" for intf in node.interfaces)])
        for node in plan.nodes
        if node.kind in ("switch", "vnf")
    ]
    return "\n".join(lines)


def interfaces_text(plan: Plan) -> str:
    """One line per node: the names of its interfaces; of an app container, those of its host."""
    return "\n".join(
        f"{node.name}: "
        + ",".join(intf.name for intf in (plan.node(node.host) if node.host else node).interfaces)
        for node in plan.nodes
    )


def node_text(
    node: NodePlan, parameters: Mapping[str, object] | None = None, *, failed: bool = False
) -> str:
    """A node in one line: kind, name, what it runs and in what, interfaces with their addresses.

    Args:
        node: its plan.
        parameters: those of a VNF that are in force; the planned ones when None.
        failed: whether it does not do its work.
    """
    parts = []
    if node.vnf is not None:
        values = {**node.vnf.parameters, **(parameters or {})}
        given = ",".join(f"{key}={value}" for key, value in values.items())
        parts.append(f"{node.vnf.vnf}({given}) on {node.vnf.dataplane}")
    if node.container is not None:
        parts.append(f"docker({node.container.image})")
    if node.switch is not None and node.switch.kind != "bridge":
        parts.append(_switch_words(node.switch))
    if node.controller is not None:
        parts.append(_controller_words(node.controller))
    if failed:
        parts.append("FAILED")
    interfaces = ",".join(
        f"{intf.name}:{intf.ipv4.partition('/')[0] if intf.ipv4 else None}"
        for intf in node.interfaces
    )
    if node.kind != "controller":
        parts.append(interfaces if node.host is None else f"in {node.host}")
    return f"<{_KIND_TITLES[node.kind]} {node.name}: {' '.join(parts)}>"


def _switch_words(switch: SwitchPlan) -> str:
    """What does a switch's work: ``ovs(dpid=1,controllers=c0)``."""
    given: list[str] = []
    if switch.ovs is not None:
        given = [f"dpid={switch.ovs.dpid.lstrip('0') or '0'}", f"failMode={switch.ovs.fail_mode}"]
        given.append(f"datapath={switch.ovs.datapath}")
        given += [f"port_type={switch.ovs.port_type}"] if switch.ovs.port_type != "system" else []
        given += [f"driver={switch.ovs.driver}"] if switch.ovs.driver else []
        given += [f"protocols={'+'.join(switch.ovs.protocols)}"] if switch.ovs.protocols else []
        given += [f"controllers={'+'.join(switch.ovs.controllers) or 'none'}"]
    if switch.xdp is not None:
        given = [f"ageing_s={switch.xdp.ageing_s:g}"]
    return f"{switch.kind}({','.join(given)})" if given else switch.kind


def _controller_words(controller: ControllerPlan) -> str:
    """What a controller runs, and where: ``learning 127.0.0.1:6653``."""
    words = [controller.kind, *controller.runs]
    if controller.kind != "none":
        words.append(f"{controller.ip}:{controller.port}")
    return " ".join(words)


def dump_text(
    plan: Plan,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    failed: Container[str] = (),
) -> str:
    """Every node in one line each.

    Args:
        plan: the plan of the lab.
        parameters: for each VNF the parameters in force.
        failed: the nodes that do not do their work.
    """
    known = parameters or {}
    return "\n".join(
        node_text(node, known.get(node.name), failed=node.name in failed) for node in plan.nodes
    )


def ping_text(matrix: PingMatrix) -> str:
    """The matrix of who answered whom, and the line of results below it."""
    if not matrix.requests:
        return "*** Warning: no packets sent: fewer than two hosts have an address"
    lines = []
    for source in matrix.nodes:
        words = [
            destination if matrix.replied(source, destination) else "X"
            for destination in matrix.nodes
            if destination != source
        ]
        lines.append(" ".join([source, "->", *words]))
    return "\n".join([*lines, _ping_result(matrix)])


def ping_full_text(matrix: PingMatrix) -> str:
    """A line for each pair with the round-trip times of its replies, and the line of results."""
    if not matrix.requests:
        return ping_text(matrix)
    lines = ["*** Results:"]
    for (source, destination), replies in matrix.rtts_ns.items():
        text = f" {source}->{destination}: {len(replies)}/{matrix.sent}"
        rtt = matrix.round_trips(source, destination)
        if rtt is not None:
            ms = (rtt.min_ns / 1e6, rtt.mean_ns / 1e6, rtt.max_ns / 1e6, rtt.mdev_ns / 1e6)
            text += f", rtt min/avg/max/mdev {'/'.join(f'{each:.3f}' for each in ms)} ms"
        lines.append(text)
    return "\n".join([*lines, _ping_result(matrix)])


def _ping_result(matrix: PingMatrix) -> str:
    lost = matrix.requests - matrix.replies
    # A single loss among thousands must not read as none.
    dropped = max(1, 100 * lost // matrix.requests) if lost else 0
    return f"*** Results: {dropped}% dropped ({matrix.replies}/{matrix.requests} received)"


def iperf_text(result: IperfResult, asked: str | None = None) -> str:
    """The rates at the receiver and at the sender, behind the one that was asked for, if any."""
    rates = [rate_text(result.received_bps), rate_text(result.sent_bps)]
    if asked is not None:
        rates.insert(0, asked)
    text = f"*** Results: {rates}"
    if result.lost_percent is not None:
        text += f", {result.lost_percent:.3g}% of the datagrams lost"
    return text


def rate_text(rate_bps: float) -> str:
    """A rate with three significant digits: ``9.41 Gbits/sec``."""
    for scale, unit in ((1e9, "Gbits/sec"), (1e6, "Mbits/sec"), (1e3, "Kbits/sec")):
        if rate_bps >= scale:
            return f"{rate_bps / scale:.3g} {unit}"
    return f"{rate_bps:.3g} bits/sec"


def substitute_addresses(command: str, address_of: Callable[[str], str | None]) -> str:
    """A node's command with the names of nodes replaced by their addresses.

    Only whole words change, and never the first: that one is the program. A node without an
    address keeps its name.

    Args:
        command: what follows the node's name on the line.
        address_of: the address of a node, None for every other word.
    """
    first = re.match(r"\s*\S+", command)
    if first is None:
        return command
    rest = re.sub(
        # A word ends at white space or where the node's shell ends a command.
        r"(?<=\s)[^\s;&|()<>]+(?=[\s;&|)]|$)",
        lambda match: address_of(match[0]) or match[0],
        command[first.end() :],
    )
    return first[0] + rest


def aligned(rows: Iterable[Sequence[object]]) -> str:
    """Rows as columns two blanks apart; numbers to the right, all else to the left."""
    cells = [list(row) for row in rows]
    widths = [max(len(str(row[i])) for row in cells) for i in range(len(cells[0]))] if cells else []
    lines = []
    for row in cells:
        words = [
            str(cell).rjust(width) if isinstance(cell, int) else str(cell).ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)


def counters_text(counters: Mapping[str, Mapping[str, PortCounters]], whose: str = "vnf") -> str:
    """The packet counters of VNFs as a table; what VNFs count themselves stands at the end.

    Args:
        counters: for each VNF the counters of each of its ports.
        whose: the head of the column with their names.
    """
    own = list(
        dict.fromkeys(name for ports in counters.values() for n in ports.values() for name in n.own)
    )
    rows: list[Sequence[object]] = [
        (whose, "port", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "dropped_packets", *own)
    ]
    for vnf, ports in counters.items():
        for port, n in ports.items():
            row = (vnf, port, n.rx_packets, n.rx_bytes, n.tx_packets, n.tx_bytes, n.dropped_packets)
            rows.append((*row, *(n.own.get(name, "-") for name in own)))
    return aligned(rows)


def parameters_text(values: Mapping[str, object]) -> str:
    """Parameters as they are written after ``set``."""
    return " ".join(f"{name}={_word(value)}" for name, value in values.items())


def stats_text(stats: VnfStats) -> str:
    """A VNF at one moment: what it is, how it runs, and below each port what it counted."""
    facts = [
        ("status", stats.status),
        ("parameters", parameters_text(stats.parameters) or "none"),
    ]
    if stats.idle is not None:
        cores = ",".join(map(str, stats.cores)) or "any"
        driver = "" if stats.driver is None else f", driver {stats.driver}"
        number = "gone" if stats.pid is None else stats.pid
        facts.append(("process", f"{number}, idle {stats.idle}, cores {cores}{driver}"))
    if stats.container is not None:
        facts += usage_rows(stats.container)
    parts = [f"{stats.node}: {stats.vnf} on {stats.dataplane}, {stats.mode}", aligned(facts)]
    if stats.failure is not None:
        parts.append(f"failed: {stats.failure}")
    if stats.ports:
        parts += ["", aligned(_counter_rows(stats))]
    return "\n".join(parts)


def container_text(node: str, stats: ContainerStats) -> str:
    """A container at one moment: what it uses, and below each interface what went through it."""
    parts = [f"{node}: in a container", aligned(usage_rows(stats))]
    if stats.interfaces:
        parts += ["", aligned(interface_rows(stats))]
    return "\n".join(parts)


def _counter_rows(stats: VnfStats) -> list[Sequence[object]]:
    ports = list(stats.ports.values())
    fixed = [
        "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "dropped_packets", "back_packets",
        "to_host_packets", "unsent_packets", "no_port_packets",
    ]  # fmt: skip
    rows: list[Sequence[object]] = [("", *stats.ports)]
    rows += [(name, *(getattr(port, name) for port in ports)) for name in fixed]
    forwarded = [
        n.rx_packets - n.dropped_packets - n.back_packets - n.to_host_packets for n in ports
    ]
    if stats.dataplane != "kernel":
        rows.insert(5, ("forwarded_packets", *forwarded))
    own = dict.fromkeys(name for port in ports for name in port.own)
    return rows + [(name, *(port.own.get(name, 0) for port in ports)) for name in own]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if re.fullmatch(r"[^\s'\"\\#]+", text) else f'"{text}"'
