"""The other mechanism: the kernel's own qdiscs, on the hop of an impaired link.

What comes in at one inner end is redirected to the other, and waits in the qdiscs there: netem for
delay, loss, duplicates, reordering and corruption, a token bucket (TBF) for the rate. They work on
that hop, so no data plane at the ends goes past them. Both directions are set up when the link is
made; there is no process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, MachineError
from emulator.kernel.netns import Netns
from emulator.plan.model import ImpairmentPlan, LinkPlan
from emulator.wire.protocol import WireCounters

if TYPE_CHECKING:
    from emulator.wire_hops import WirePorts

_INGRESS = 0xFFFF0000
_ROOT, _UNDER_NETEM = "1:", "2:"
_ETH_P_ALL = 3
_NETEM_QUEUE_PACKETS = 1_000_000
"""Frames on their way: netem's own default of 1000 would lose those of a fast link."""
_TBF_QUEUE_S = 0.05
_LEAST_BURST_BYTES = 2 * 1600
_HZ = 250
"""Timers of the slowest kernels in use: a bucket has to last from one tick to the next."""


def netem_arguments(plan: ImpairmentPlan) -> dict[str, Any]:
    """What pyroute2's netem is asked for; empty when there is nothing for it to do."""
    asked: dict[str, Any] = {
        "delay": plan.delay_ns / 1000,
        "jitter": plan.jitter_ns / 1000,
        "loss": 100 * plan.loss,
        "duplicate": 100 * plan.duplicate,
        "prob_reorder": 100 * plan.reorder,
        "prob_corrupt": 100 * plan.corrupt,
    }
    asked = {name: value for name, value in asked.items() if value}
    return {**asked, "limit": _NETEM_QUEUE_PACKETS} if asked else {}


def tbf_arguments(plan: ImpairmentPlan, mtu_bytes: int) -> dict[str, Any]:
    """What pyroute2's TBF is asked for; empty without a rate."""
    if plan.rate_bps is None:
        return {}
    bytes_per_s = plan.rate_bps / 8
    burst_bytes = plan.burst_bytes or max(_LEAST_BURST_BYTES, int(bytes_per_s / _HZ))
    queue_bytes = plan.queue_bytes
    if queue_bytes is None and plan.queue_packets is not None:
        queue_bytes = plan.queue_packets * (mtu_bytes + 14)
    if queue_bytes is None:
        wait_s = _TBF_QUEUE_S if plan.queue_ns is None else plan.queue_ns / 1e9
        queue_bytes = int(bytes_per_s * wait_s)
    # Its limit counts what the bucket may let through at once as well.
    return {"rate": int(bytes_per_s), "burst": burst_bytes, "limit": queue_bytes + burst_bytes}


class NetemLink:
    """One link that the kernel impairs.

    Args:
        netns: holds the inner ends.
        link: what is asked for.

    Raises:
        MachineError: the kernel lacks a qdisc.
        LabError: it refuses one.
    """

    def __init__(self, netns: Netns, ports: WirePorts, link: LinkPlan, mtu_bytes: int) -> None:
        self._netns = netns
        self._ports = ports
        self._mtu_bytes = mtu_bytes
        self._shapes: dict[int, tuple[bool, bool]] = {}
        netns.run(self._make, link)

    def change(self, link: LinkPlan) -> None:
        """Ask for something else; frames wait on in qdiscs that stay, and are lost in others.

        Raises:
            MachineError: the kernel lacks a qdisc that this takes.
            LabError: it refuses one.
        """
        self._netns.run(self._set, link, "replace")

    def counters(self) -> tuple[WireCounters, WireCounters]:
        """Those of both directions, as far as the kernel counts."""
        return self._netns.run(self._count)

    def _make(self, link: LinkPlan) -> None:
        self._set(link, "add")
        from pyroute2 import IPRoute

        with IPRoute() as routes, _told(link.id, "redirect"):
            for here, there in ((self._ports.a, self._ports.b), (self._ports.b, self._ports.a)):
                routes.tc("add", "ingress", here.index)
                routes.tc(
                    "add-filter",
                    "u32",
                    here.index,
                    parent=_INGRESS,
                    prio=1,
                    protocol=_ETH_P_ALL,
                    target=_INGRESS + 1,
                    keys=["0x0/0x0+0"],
                    action=[
                        {
                            "kind": "mirred",
                            "direction": "egress",
                            "action": "redirect",
                            "ifindex": there.index,
                        }
                    ],
                )

    def _set(self, link: LinkPlan, command: str) -> None:
        from pyroute2 import IPRoute

        with IPRoute() as routes:
            for port, plan in ((self._ports.b, link.up), (self._ports.a, link.down)):
                plan = plan or ImpairmentPlan()
                netem, tbf = netem_arguments(plan), tbf_arguments(plan, self._mtu_bytes)
                shape = (bool(netem), bool(tbf))
                if self._shapes.get(port.index, shape) != shape:
                    with _told(link.id, "qdisc"):
                        routes.tc("del", index=port.index, handle=_ROOT, root=True)
                self._shapes[port.index] = shape
                if tbf:
                    with _told(link.id, "tbf"):
                        routes.tc(command, "tbf", port.index, handle=_ROOT, **tbf)
                if netem:
                    parent = {"parent": _ROOT + "1"} if tbf else {}
                    handle = _UNDER_NETEM if tbf else _ROOT
                    with _told(link.id, "netem"):
                        routes.tc(command, "netem", port.index, handle=handle, **parent, **netem)

    def _count(self) -> tuple[WireCounters, WireCounters]:
        from pyroute2 import IPRoute

        with IPRoute() as routes:
            found = []
            for port in (self._ports.b, self._ports.a):
                (link,) = routes.get_links(port.index)
                stats = link.get_attr("IFLA_STATS64")
                drops = sum(_drops(each) for each in routes.get_qdiscs(port.index))
                out_packets, out_bytes = stats["tx_packets"], stats["tx_bytes"]
                nothing = dict.fromkeys(WireCounters.__dataclass_fields__, 0)
                counted = {
                    "in_packets": out_packets + drops,
                    "in_bytes": out_bytes,
                    "out_packets": out_packets,
                    "out_bytes": out_bytes,
                    "lost_packets": drops,
                }
                found.append(WireCounters(**{**nothing, **counted}))
        return found[0], found[1]


def _drops(qdisc: Any) -> int:
    stats = qdisc.get_attr("TCA_STATS2")
    queue = None if stats is None else stats.get_attr("TCA_STATS_QUEUE")
    return 0 if queue is None else int(queue["drops"])


@contextmanager
def _told(where: str, what: str) -> Iterator[None]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code == 2:
            raise MachineError(
                f"this kernel has no {what}",
                where=where,
                hint=f'modprobe sch_{what}, or mechanism="wire", which needs none of it',
            ) from error
        raise LabError(
            f"the kernel refuses {what}: {os.strerror(error.code)}", where=where
        ) from error
