"""A picture of a topology: nodes, links, and what impairs these; drawn without a display.

Trees, which most labs are, are laid out around their middle, so that no links cross; all else by
distances in the graph.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import ResultsError, UsageError
from emulator.names import choice_hint, natural
from emulator.wire.words import link_text

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from emulator.plan.model import LinkPlan, NodePlan, Plan

    Places = dict[str, tuple[float, float]]

FORMATS = (".png", ".svg", ".pdf")
"""What the name of a picture may end in."""

_LOOKS: Mapping[str, tuple[str, str, str]] = {
    # kind -> colour, marker, word in the legend
    "host": ("#4c78a8", "o", "host"),
    "switch": ("#7f7f7f", "s", "switch"),
    "router": ("#72b7b2", "D", "router"),
    "vnf": ("#f58518", "h", "VNF"),
    "app": ("#b279a2", "v", "app container"),
    "controller": ("#54a24b", "^", "controller"),
}
_FAILED, _IMPAIRED, _PLAIN = "#d62728", "#c44e52", "#9a9a9a"
_MANY = 40
"""With more nodes than this all is smaller, and addresses give way."""
_FEW, _STAR = 30, 6
"""Trees of more nodes, or with one that has more neighbours, are best left on their circles."""
_STEPS, _LARGE = 300, 150
"""Steps towards the best places; fewer, and from one beginning only, with more nodes than that."""
_MARGIN = 0.6
_INCHES, _INCHES_OF_MANY = 1.6, 1.0
"""For the length of a link."""
_LEAST_INCHES, _BESIDE_INCHES = 5.0, 0.9
"""The least width, and the height of the title and the legend together."""


def draw_plan(plan: Plan, path: str | Path, *, failed: Collection[str] = ()) -> None:
    """Draw a plan into a file.

    Args:
        path: where to; its name ends in one of ``FORMATS``.
        failed: the nodes that do not do their work.

    Raises:
        UsageError: the name is none of a picture, or there is nothing to draw.
        ResultsError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{path.name} is no name for a picture",
            hint=choice_hint(path.suffix, FORMATS),
        )
    if not plan.nodes:
        raise UsageError("there is no node to draw", where=plan.name)
    # Not pyplot, which would look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = lay_out(plan)
    left, right, bottom, top = _bounds(places)
    scale = _INCHES if len(places) <= _MANY else _INCHES_OF_MANY
    width, height = max(_LEAST_INCHES, scale * (right - left)), scale * (top - bottom)
    figure = Figure(figsize=(width, height + _BESIDE_INCHES))
    FigureCanvasAgg(figure)
    below = _BESIDE_INCHES / 2 / (height + _BESIDE_INCHES)
    axes = figure.add_axes((0, below, 1, 1 - 2 * below))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    _draw(axes, plan, places, failed)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ResultsError(
            f"the picture cannot be written: {error.strerror or error}", where=str(path)
        ) from error


def lay_out(plan: Plan) -> Places:
    """Where each node of a plan lies, with about one between neighbours; pure."""
    import networkx as nx

    graph = _graph_of(plan)
    found = [sorted(part, key=natural) for part in nx.connected_components(graph)]
    found.sort(key=lambda names: (-len(names), natural(names[0])))
    parts = [graph.subgraph(names) for names in found]
    places: Places = {}
    edge = 0.0
    for part in parts:
        if not nx.is_tree(part):
            laid = _by_distance(part, _beginnings(part))
        elif len(part) <= _FEW and max(degree for _, degree in part.degree()) <= _STAR:
            laid = _by_distance(part, [_tree(part)])
        else:
            laid = _tree(part)
        laid = _turned(laid)
        left = min(x for x, _ in laid.values())
        for name, (x, y) in laid.items():
            places[name] = (x - left + edge, y)
        edge = max(x for x, _ in places.values()) + 1.5
    return places


def _graph_of(plan: Plan) -> nx.Graph[str]:
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(node.name for node in plan.nodes)
    graph.add_edges_from((link.a.node, link.b.node) for link in plan.links)
    graph.add_edges_from((node.name, node.host) for node in plan.nodes if node.host)
    graph.add_edges_from(_controlled(plan))
    return graph


def _controlled(plan: Plan) -> list[tuple[str, str]]:
    """Each controller with each of its switches."""
    pairs = []
    for node in plan.nodes:
        ovs = None if node.switch is None else node.switch.ovs
        pairs += [(name, node.name) for name in (() if ovs is None else ovs.controllers)]
    return pairs


def _tree(graph: nx.Graph[str]) -> Places:
    """Around the middle, each branch in a sector as wide as it has leaves."""
    import networkx as nx

    if len(graph) == 1:
        return dict.fromkeys(graph, (0.0, 0.0))
    root = min(nx.center(graph), key=lambda name: (-graph.degree(name), natural(name)))
    children: dict[str, list[str]] = {
        name: sorted(found, key=natural) for name, found in nx.bfs_successors(graph, root)
    }
    leaves: dict[str, int] = {}
    for name in reversed(list(nx.bfs_tree(graph, root))):
        leaves[name] = sum(leaves[child] for child in children.get(name, ())) or 1
    depth = nx.eccentricity(graph, root)
    # So that leaves, which are most crowded, have room on the outmost circle.
    room = 0.9 if len(graph) <= _MANY else 0.45
    step = max(1.0, room * leaves[root] / (2 * math.pi * depth))
    places: Places = {}

    def place(name: str, level: int, begin: float, end: float) -> None:
        angle = (begin + end) / 2
        places[name] = (level * step * math.cos(angle), level * step * math.sin(angle))
        width = (end - begin) / leaves[name]
        for child in children.get(name, ()):
            place(child, level + 1, begin, begin + width * leaves[child])
            begin += width * leaves[child]

    place(root, 0, math.pi, -math.pi)
    return places


def _beginnings(graph: nx.Graph[str]) -> Iterator[Places]:
    """Several places to begin from, each of which may lead to another tangle, or to none."""
    import networkx as nx

    names = sorted(graph, key=natural)
    searched = list(nx.dfs_preorder_nodes(graph, names[0]))
    turns = range(len(names))
    for order in (names, searched):
        places = nx.circular_layout(order)
        yield {
            # Never in perfect balance on top of each other.
            name: (places[name][0] + math.cos(3 * i) / 100, places[name][1] + math.sin(5 * i) / 100)
            for i, name in zip(turns, order, strict=True)
        }
    for seed in range(1, 4):
        yield nx.spring_layout(graph, seed=seed)


def _by_distance(graph: nx.Graph[str], beginnings: Iterable[Places]) -> Places:
    """So that nodes are as far apart as there are links between them, as well as that can be.

    Stress majorization: from where they are, each step can only come closer (Gansner, Koren and
    North, 2004). The best of what the beginnings lead to.
    """
    import networkx as nx
    import numpy as np

    names = sorted(graph, key=natural)
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    apart = np.array([[lengths[a][b] for b in names] for a in names], dtype=float)
    with np.errstate(divide="ignore"):
        weights = np.where(apart > 0, apart**-2.0, 0.0)
    inverse = np.linalg.pinv(np.diag(weights.sum(axis=1)) - weights)
    found: list[tuple[float, NDArray[np.float64]]] = []
    large = len(names) > _LARGE
    for begin in islice(beginnings, 1 if large else None):
        points = np.array([begin[name] for name in names]) * math.sqrt(len(names)) / 2
        for _ in range(_STEPS // 8 if large else _STEPS):
            points = inverse @ _pull(points, apart, weights) @ points
        between = np.linalg.norm(points[:, None] - points[None], axis=2)
        found.append((float((weights * (between - apart) ** 2).sum()), points))
    _, best = min(found, key=lambda each: each[0])
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, best, strict=True)}


def _pull(
    points: NDArray[np.float64], apart: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    between = np.linalg.norm(points[:, None] - points[None], axis=2)
    ratio = np.divide(apart, between, out=np.zeros_like(apart), where=between > 1e-9)
    pulled: NDArray[np.float64] = -weights * ratio
    pulled -= np.diag(pulled.sum(axis=1))
    return pulled


def _turned(places: Places) -> Places:
    """With the longest way from left to right, as pages are wider than high."""
    import numpy as np

    points = np.array(list(places.values()))
    if len(points) < 2:
        return places
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    if axes.shape[0] < 2:
        axes = np.array([axes[0], [-axes[0][1], axes[0][0]]])
    turned = centred @ axes.T
    # The first node on the left and above, whatever signs the axes came out with.
    first = turned[min(range(len(places)), key=[natural(name) for name in places].__getitem__)]
    turned *= np.where(first * (1, -1) > 1e-6, -1, 1)
    return {name: (float(x), float(y)) for name, (x, y) in zip(places, turned, strict=True)}


def _bounds(places: Places) -> tuple[float, float, float, float]:
    """Left, right, bottom and top, with room for the nodes' own pictures and names."""
    xs, ys = zip(*places.values(), strict=True)
    return (min(xs) - _MARGIN, max(xs) + _MARGIN, min(ys) - _MARGIN, max(ys) + _MARGIN)


def _draw(axes: Axes, plan: Plan, places: Places, failed: Collection[str]) -> None:
    small = len(plan.nodes) > _MANY
    _draw_links(axes, plan, places, small)
    for node in plan.nodes:
        colour, marker, _ = _LOOKS[node.kind]
        x, y = places[node.name]
        axes.plot(
            [x], [y], marker=marker, markersize=13 if small else 22, color=colour,
            markeredgecolor=_FAILED if node.name in failed else "white",
            markeredgewidth=3 if node.name in failed else 1.2, zorder=3,
        )  # fmt: skip
        axes.annotate(
            _label(node, small), (x, y), (0, -10 if small else -16), textcoords="offset points",
            ha="center", va="top", fontsize=6.5 if small else 8.5, zorder=4, linespacing=1.15,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )  # fmt: skip
    _add_legend(axes, plan, failed)
    axes.set_title(f" {plan.name}", loc="left", fontsize=11)
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_links(axes: Axes, plan: Plan, places: Places, small: bool) -> None:
    drawn: dict[frozenset[str], int] = {}
    for link in plan.links:
        pair = frozenset((link.a.node, link.b.node))
        number = drawn[pair] = drawn.get(pair, -1) + 1
        text = link_text(link)
        colour = _IMPAIRED if link.mechanism != "none" else _PLAIN
        if link.kind == "memif":
            text = "memif"
        bend = 0.12 * ((number + 1) // 2) * (-1) ** number
        axes.annotate(
            "", places[link.a.node], places[link.b.node], zorder=1,
            arrowprops={
                "arrowstyle": "-", "color": colour, "lw": 1.6 if text else 1.1,
                "ls": ":" if link.kind == "memif" else "-",
                "connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0,
            },
        )  # fmt: skip
        if text:
            _name_link(axes, link, places, text, bend, small)
    for node in plan.nodes:
        if node.host:
            _dash(axes, places[node.name], places[node.host], _LOOKS["app"][0])
    for controller, switch in _controlled(plan):
        _dash(axes, places[controller], places[switch], _LOOKS["controller"][0])


def _name_link(
    axes: Axes, link: LinkPlan, places: Places, text: str, bend: float, small: bool
) -> None:
    (ax, ay), (bx, by) = places[link.a.node], places[link.b.node]
    # A quadratic curve goes half as far out as its control point.
    x, y = (ax + bx) / 2 - bend * (ay - by) / 2, (ay + by) / 2 + bend * (ax - bx) / 2
    angle = math.degrees(math.atan2(by - ay, bx - ax))
    angle = (angle + 90) % 180 - 90
    x, y = x - 0.05 * math.sin(math.radians(angle)), y + 0.05 * math.cos(math.radians(angle))
    axes.text(
        x, y, _wrapped(text), fontsize=5 if small else 6.5, color=_IMPAIRED, ha="center",
        va="bottom", rotation=angle, rotation_mode="anchor", zorder=2, linespacing=1.1,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.7},
    )  # fmt: skip


def _dash(axes: Axes, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
    axes.plot([a[0], b[0]], [a[1], b[1]], ls=(0, (3, 3)), lw=1.0, color=colour, zorder=1)


def _label(node: NodePlan, small: bool) -> str:
    lines = [node.name]
    if node.vnf is not None:
        lines.append(f"{node.vnf.vnf}, {node.vnf.dataplane}")
    elif node.switch is not None and node.switch.kind != "bridge":
        lines.append(node.switch.kind)
    elif node.controller is not None:
        lines.append(node.controller.kind)
    address = next((each.ipv4 for each in node.interfaces if each.ipv4), None)
    if address is not None and not small:
        lines.append(address)
    if node.container is not None and not small:
        lines.append(node.container.image)
    return "\n".join(lines)


def _wrapped(text: str, most: int = 24) -> str:
    """Broken between its parts, so that it does not reach the nodes at its ends."""
    return "\n".join(textwrap.fill(way, most) for way in text.split("; "))


def _add_legend(axes: Axes, plan: Plan, failed: Collection[str]) -> None:
    from matplotlib.lines import Line2D

    def mark(colour: str, marker: str, word: str, **more: Any) -> Line2D:
        return Line2D([], [], ls="", marker=marker, color=colour, label=word, **more)

    kinds = {node.kind for node in plan.nodes}
    handles = [mark(*look, markersize=8) for kind, look in _LOOKS.items() if kind in kinds]
    if any(link.mechanism != "none" for link in plan.links):
        handles.append(Line2D([], [], color=_IMPAIRED, lw=1.6, label="impaired link"))
    if failed:
        handles.append(
            mark("white", "o", "failed", markersize=8, markeredgecolor=_FAILED, markeredgewidth=2)
        )
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False,
        fontsize=8, ncols=min(6, len(handles)),
    )  # fmt: skip
