"""The same link with VNFs of each data plane at its ends: does any of them go past what impairs it?

    h1 --- forward --- the link --- forward --- h2

What the way takes with an unimpaired link in that place is measured first, and subtracted.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from emulator.errors import BuildVnfError, MeasurementError
from emulator.plan.model import ImpairmentPlan, LinkPlan, Plan
from emulator.topo import Topo
from emulator.wire.certificate import Certificate, DirectionCertificate, LinkCertificate
from emulator.wire.certify import Progress, impaired_links, link_certificate, measured

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.kernel.netns import Netns
    from emulator.owned_lab import OwnedLab

PLANES: Final = ("kernel", "xdp", "afxdp", "dpdk", "packet")

_VNF = "forward"
_FLOOR_FRAMES, _FLOOR_INTERVAL_NS = 600, 1_000_000
_SLACK_NS = 100_000_000
_RARE_NS, _NEVER_NS = 400_000, 1 << 62
_KERNEL_PLANES = ("kernel", "xdp")
_FRESH_LABS = 3


def example_plan() -> Plan:
    """A link for those who have none: 5 ms with jitter, loss, and a rate."""
    from emulator.plan.compile import compile_plan

    topo = Topo()
    topo.addHost("h1")
    topo.addHost("h2")
    topo.addLink(
        "h1", "h2", delay="5ms", jitter="1ms", distribution="normal", loss="1%", rate="20mbit"
    )
    return compile_plan(topo, catalog=_catalog())


def certify_planes(
    plan: Plan, *, links: Container[str] | None = None, progress: Progress | None = None
) -> Certificate:
    """Measure every impaired link of a plan with VNFs of each data plane at its ends.

    A data plane that this machine does not have leaves its line uncertified, with the reason.

    Args:
        links: the ids of those to be measured; all by default.
        progress: told which link is measured, how many are done, and how many there are.

    Raises:
        MachineError: the machine cannot run any lab.
    """
    wanted = [link for link in impaired_links(plan) if links is None or link.id in links]
    pairs = [(link, plane) for link in wanted for plane in PLANES]
    mtus = {link.id: plan.interface(link.a).mtu for link in wanted}
    planes = iter(pairs)

    def measure(link: LinkPlan) -> LinkCertificate:
        _, plane = next(planes)
        try:
            return _certify_through(link, mtus[link.id], plane)
        except BuildVnfError as error:
            return LinkCertificate(
                link=link.id,
                mechanism=link.mechanism,
                directions=(),
                plane=plane,
                verdict="not certified",
                reason=f"{plane}: {error.message}",
            )

    return measured(plan.name, [link for link, _ in pairs], measure, progress)


def _certify_through(link: LinkPlan, mtu_bytes: int, plane: str) -> LinkCertificate:
    from emulator.owned_lab import OwnedLab
    from emulator.wire.trials import measure_direction
    from emulator.wire.way import FramesAstray, Pace, Way

    wakes = plane not in _KERNEL_PLANES
    pace = Pace(
        fast_pps=2000,
        fast_s=1.5,
        most_pps=20_000,
        # A sender that goes first would keep VNFs from their work.
        realtime_ns=_NEVER_NS if wakes else _RARE_NS,
        wakes=wakes,
        queue=False,
    )
    catalog = _catalog()
    with closing(OwnedLab.start(_plan_of(None, mtu_bytes, plane), catalog=catalog)) as lab:
        floors = {back: _floor(lab, back=back, wakes=wakes) for back in (False, True)}
    directions: list[DirectionCertificate] = []
    for name in ("up", "down"):
        spec: ImpairmentPlan | None = getattr(link, name)
        if spec is None or not spec.impairs:
            continue
        back = name == "down"
        for attempt in range(1, _FRESH_LABS + 1):
            through = _plan_of(link, mtu_bytes, plane)
            with closing(OwnedLab.start(through, catalog=catalog)) as lab:
                made = next(each for each in through.links if each.mechanism != "none")
                # Whatever crossed it at the start does not count.
                lab.restart_wires()
                near, far = _outer_ends(lab)
                way = Way(lab, made, near, far, mtu_bytes, back, pace, *floors[back])
                try:
                    found = measure_direction(way, spec)
                except FramesAstray as astray:
                    if attempt < _FRESH_LABS:
                        continue
                    found = astray.certificate
            break
        ends = ("h2", "h1") if back else ("h1", "h2")
        directions.append(found.model_copy(update={"source": ends[0], "destination": ends[1]}))
    floor_ns, spread_ns = (max(each) for each in zip(*floors.values(), strict=True))
    return link_certificate(link, directions, plane=plane, floor_ns=floor_ns, spread_ns=spread_ns)


def _plan_of(link: LinkPlan | None, mtu_bytes: int, plane: str) -> Plan:
    """The way, with the link as it is impaired; None for one that is not."""
    from emulator.plan.compile import compile_plan

    topo = Topo()
    for name in ("h1", "h2"):
        topo.addHost(name)
    for name in ("v1", "v2"):
        topo.addVNF(name, _VNF, dataplane=plane)
    # Any impairment will do: it is replaced below.
    impaired: dict[str, Any] = {} if link is None else {"delay": "1ms"}
    topo.addLink("h1", "v1", mtu=mtu_bytes)
    topo.addLink("v1", "v2", mtu=mtu_bytes, **impaired)
    topo.addLink("v2", "h2", mtu=mtu_bytes)
    plan = compile_plan(topo, catalog=_catalog())
    if link is None:
        return plan
    same = {"up": link.up, "down": link.down, "mechanism": link.mechanism}
    links = tuple(
        each if each.mechanism == "none" else each.model_copy(update=same) for each in plan.links
    )
    return plan.model_copy(update={"links": links, "name": "certificate"})


def _outer_ends(lab: OwnedLab) -> list[tuple[Netns, str]]:
    nodes = (lab.nodes["h1"], lab.nodes["h2"])
    return [(node.netns, node.plan.interfaces[0].kernel_name) for node in nodes]


def _floor(lab: OwnedLab, *, back: bool, wakes: bool) -> tuple[int, int]:
    """The median delay of the way, and by how much more it is at p99."""
    from emulator.wire.frames import Ends, Schedule

    near, far = _outer_ends(lab)
    schedule = Schedule(_FLOOR_FRAMES, _FLOOR_INTERVAL_NS, realtime=not wakes)
    with Ends(near, far) as ends:
        samples = ends.run(schedule, back=back, until=lambda sent: int(sent.max()) + _SLACK_NS)
    came = samples.first_ns != 0
    if not came.any():
        raise MeasurementError("nothing has come through the VNFs")
    took = (samples.first_ns - samples.sent_ns)[came]
    median = np.median(took)
    return int(median), int(np.quantile(took, 0.99) - median)


def _catalog() -> Catalog:
    from emulator.catalog import Catalog

    return Catalog.load()
