"""Measuring a certificate: frames of our own across every impaired link, before anything else runs.

The links of a topology are made anew, with the same specifications and seeds, each between two
empty namespaces; so what is measured is the link and nothing else, on this machine and now. One
link after the other, because they would disturb each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from emulator.plan.model import (
    EndPlan,
    ImpairmentPlan,
    InterfacePlan,
    LinkPlan,
    NodePlan,
    Plan,
)
from emulator.wire.certificate import (
    Certificate,
    DirectionCertificate,
    LinkCertificate,
    worst,
)

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.owned_lab import OwnedLab

Progress = Callable[[str, int, int], None]

_NAME = "certificate"
_FRESH_LABS = 3
"""A lab whose wires missed a frame has lost count of them."""


def impaired_links(plan: Plan) -> list[LinkPlan]:
    """The links of a plan that do anything to frames."""
    return [
        link
        for link in plan.links
        if link.mechanism != "none"
        and any(each is not None and each.impairs for each in (link.up, link.down))
    ]


def certify(
    plan: Plan, *, links: Container[str] | None = None, progress: Progress | None = None
) -> Certificate:
    """Measure every impaired link of a plan; a plan without any has an empty certificate.

    Args:
        links: the ids of those to be measured; all by default.
        progress: told which link is measured, how many are done, and how many there are.

    Raises:
        MachineError: the machine cannot do it.
        LabError: the links cannot be made.
        MeasurementError: frames cannot be sent.
    """
    wanted = [link for link in impaired_links(plan) if links is None or link.id in links]
    mtus = {link.id: plan.interface(link.a).mtu for link in wanted}

    def measure(link: LinkPlan) -> LinkCertificate:
        return _certify_link(link, mtus[link.id])

    return measured(plan.name, wanted, measure, progress)


def measured(
    topology: str,
    links: Sequence[LinkPlan],
    measure: Callable[[LinkPlan], LinkCertificate],
    progress: Progress | None = None,
) -> Certificate:
    """The certificate of links, each measured by a function."""
    from emulator.traffic.machine import low_wakeup_latency

    began_s, began_at = time.monotonic(), datetime.now(UTC)
    found = []
    with low_wakeup_latency() as held:
        for done, link in enumerate(links):
            if progress is not None:
                progress(f"certifying {link.id}", done, len(links))
            found.append(measure(link))
    if progress is not None and links:
        progress("certifying", len(links), len(links))
    return Certificate(
        topology=topology,
        measured_at=began_at,
        duration_s=time.monotonic() - began_s,
        dma_latency_held=held,
        links=tuple(found),
        verdict=worst(each.verdict for each in found),
    )


def link_certificate(
    link: LinkPlan,
    directions: Sequence[DirectionCertificate],
    *,
    plane: str | None = None,
    floor_ns: int | None = None,
    spread_ns: int | None = None,
) -> LinkCertificate:
    """That of a link, from those of its directions."""
    verdict = worst(each.verdict for each in directions)
    reasons = [each.reason for each in directions if each.verdict == verdict and each.reason]
    return LinkCertificate(
        link=link.id,
        mechanism=link.mechanism,
        directions=tuple(directions),
        plane=plane,
        floor_ns=floor_ns,
        spread_ns=spread_ns,
        verdict=verdict,
        reason=reasons[0] if reasons else "",
    )


def _certify_link(link: LinkPlan, mtu_bytes: int) -> LinkCertificate:
    from emulator.owned_lab import OwnedLab
    from emulator.wire.trials import measure_direction
    from emulator.wire.way import FramesAstray, Way

    alone = _alone(link, mtu_bytes)
    made = alone.links[0]
    directions = []
    for way in ("up", "down"):
        spec: ImpairmentPlan | None = getattr(link, way)
        if spec is None or not spec.impairs:
            continue
        for attempt in range(1, _FRESH_LABS + 1):
            with closing(OwnedLab.start(alone)) as lab:
                near, far = _ends(lab, made)
                there = Way(lab, made, near, far, mtu_bytes, back=way == "down")
                try:
                    found = measure_direction(there, spec)
                except FramesAstray as astray:
                    if attempt < _FRESH_LABS:
                        continue
                    found = astray.certificate
            break
        ends = (link.a.node, link.b.node) if way == "up" else (link.b.node, link.a.node)
        directions.append(found.model_copy(update={"source": ends[0], "destination": ends[1]}))
    return link_certificate(link, directions)


def _alone(link: LinkPlan, mtu_bytes: int) -> Plan:
    """A plan of a link between two nodes that do nothing."""
    nodes = []
    for number, name in enumerate(("a", "b"), 1):
        interface = InterfacePlan(
            name=f"{name}-eth0",
            kernel_name=f"{name}-eth0",
            mac=f"02:00:00:00:00:{number:02x}",
            port=0,
            mtu=mtu_bytes,
            segment_offload=False,
        )
        nodes.append(NodePlan(name=name, kind="host", interfaces=(interface,)))
    a, b = (EndPlan(node=node.name, interface=node.interfaces[0].name) for node in nodes)
    made = link.model_copy(update={"id": link.id, "a": a, "b": b})
    return Plan(name=_NAME, ip_base="10.0.0.0/8", nodes=tuple(nodes), links=(made,))


def _ends(lab: OwnedLab, link: LinkPlan) -> list[tuple[Netns, str]]:
    return [
        (lab.nodes[end.node].netns, lab.plan.interface(end).kernel_name) for end in (link.a, link.b)
    ]
