"""Pictures of topologies: where nodes lie, and what the file shows."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from emulator.errors import ResultsError, UsageError
from emulator.graph_picture import draw_plan, lay_out
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.topo import Topo
from emulator.topofile import load_topology

Place = tuple[float, float]


def plan_of(spec: str) -> Plan:
    return compile_plan(load_topology(spec, {}))


@pytest.mark.parametrize("spec", ["minimal", "linear,4", "tree,2,4", "single,60", "torus,3,3"])
def test_nodes_keep_apart(spec: str):
    places = lay_out(plan_of(spec))
    nearest = min(math.dist(a, b) for a, b in itertools.combinations(places.values(), 2))
    assert nearest > 0.3


@pytest.mark.parametrize("spec", ["linear,6", "tree,2,4", "tree,3,3"])
def test_links_of_a_tree_do_not_cross(spec: str):
    plan = plan_of(spec)
    places = lay_out(plan)
    lines = [(link.a.node, link.b.node) for link in plan.links]
    for one, other in itertools.combinations(lines, 2):
        if not {*one} & {*other}:
            a, b, c, d = (places[name] for name in (*one, *other))
            assert not _cross(a, b, c, d), (one, other)


def test_a_chain_is_a_line_from_its_first_host_on():
    places = lay_out(plan_of("chain"))
    names = ("client", "vnf1", "server")
    assert [places[name][0] for name in names] == sorted(places[name][0] for name in names)
    assert max(abs(places[name][1] - places["client"][1]) for name in names) < 1e-6


def test_parts_without_a_link_between_them_lie_side_by_side():
    topo = Topo()
    for name in ("h1", "h2", "h3", "h4"):
        topo.addHost(name)
    topo.addLink("h1", "h2")
    topo.addLink("h3", "h4")
    places = lay_out(compile_plan(topo))
    assert max(places["h1"][0], places["h2"][0]) < min(places["h3"][0], places["h4"][0])


def test_a_picture_shows_names_kinds_impairments_and_failures(tmp_path: Path):
    topo = Topo()
    topo.addController("c0", kind="none")
    topo.addSwitch("s1", kind="ovs")
    for name in ("alice", "bob"):
        topo.addHost(name)
        topo.addLink(name, "s1", **({"delay": "5ms"} if name == "bob" else {}))
    path = tmp_path / "lab.svg"
    draw_plan(compile_plan(topo), path, failed={"alice"})
    # Letters are outlines there, and the texts stand beside them in comments.
    text = path.read_text()
    for shown in ("alice", "10.0.0.2/8", "ovs", "controller", "5ms [wire]", "impaired", "failed"):
        assert f"<!-- {shown}" in text, shown


def test_a_picture_can_be_of_pixels(tmp_path: Path):
    draw_plan(plan_of("tree,2,2"), tmp_path / "lab.png")
    assert (tmp_path / "lab.png").read_bytes().startswith(b"\x89PNG")


def test_names_that_cannot_be_written_are_told(tmp_path: Path):
    with pytest.raises(UsageError, match=r"lab\.jpg is no name for a picture"):
        draw_plan(plan_of("minimal"), tmp_path / "lab.jpg")
    with pytest.raises(ResultsError, match="No such file"):
        draw_plan(plan_of("minimal"), tmp_path / "nowhere" / "lab.png")
    with pytest.raises(UsageError, match="no node to draw"):
        draw_plan(compile_plan(Topo()), tmp_path / "lab.png")


def _cross(a: Place, b: Place, c: Place, d: Place) -> bool:
    def side(p: Place, q: Place, r: Place) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < -1e-9 and side(c, d, a) * side(c, d, b) < -1e-9
