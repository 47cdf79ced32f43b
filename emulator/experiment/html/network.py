"""The network of a plan as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from emulator.errors import ResultsError
from emulator.experiment.canvas import COLOURS, INK, PAPER, SOFT, WIDTH, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emulator.experiment.bundle import Bundle
    from emulator.plan.model import Plan

_MOST_NODES = 60
_MOST_PICTURES, _MOST_PLANES = 6, 2
_CHARACTERS = 58
"""As many letters of names side by side as fit the width of a picture."""
_SHAPES = {"host": "s", "switch": "o", "router": "h", "vnf": "D", "controller": "^", "app": "p"}
_COLOURS = {
    "host": COLOURS[0],
    "switch": COLOURS[4],
    "router": COLOURS[3],
    "vnf": COLOURS[1],
    "controller": COLOURS[2],
    "app": COLOURS[5],
}


def networks(bundle: Bundle) -> tuple[list[Picture], list[str]]:
    """A picture for each network of a bundle that looks different from the others; and why there
    is none of some."""
    shapes: dict[object, list[tuple[str, Plan]]] = {}
    missing = []
    for case in bundle.summary.cases:
        if case.plan is None:
            continue
        try:
            plan = bundle.plan(case.name)
        except ResultsError as error:
            missing.append(f"{case.name}: no picture of the network: {error}")
            continue
        shapes.setdefault(_shape(plan), []).append((case.name, plan))
    pictures = []
    for number, cases in enumerate(shapes.values()):
        first, plan = cases[0]
        if len(plan.nodes) > _MOST_NODES:
            missing.append(
                f"{first}: {len(plan.nodes)} nodes are too many for a picture of the network; "
                "they are in its plan"
            )
        elif number < _MOST_PICTURES:
            name, title = "network", "The network"
            if len(shapes) > 1:
                more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
                name, title = f"network-{number + 1}", f"The network of {first}{more}"
            pictures.append(_picture(plan, _labels([each for _, each in cases]), name, title))
    if len(shapes) > _MOST_PICTURES:
        missing.append(f"{len(shapes) - _MOST_PICTURES} more networks are not drawn")
    return pictures, missing


def _shape(plan: Plan) -> object:
    """What is the same in plans that one picture can show: all but how VNFs are run."""
    nodes = tuple((node.name, node.kind, node.vnf and node.vnf.vnf) for node in plan.nodes)
    links = tuple((link.a.node, link.b.node, link.mechanism) for link in plan.links)
    return nodes, links


def _labels(plans: Sequence[Plan]) -> dict[str, str]:
    """What is told of each node beneath its name."""
    labels = {}
    for nodes in zip(*(plan.nodes for plan in plans), strict=True):
        node = nodes[0]
        text: str = node.kind
        if node.vnf is not None:
            planes = list(dict.fromkeys(each.vnf.dataplane for each in nodes if each.vnf))
            several = len(planes) > _MOST_PLANES
            text = f"{node.vnf.vnf} · "
            text += f"{len(planes)} data planes" if several else ", ".join(planes)
        if all(each.runtime == "docker" for each in nodes):
            text += " · docker"
        labels[node.name] = text
    return labels


def _picture(plan: Plan, labels: dict[str, str], name: str, title: str) -> Picture:
    places = _places(plan, labels)
    rows = len({round(y, 3) for _, y in places.values()})
    told = ", ".join(f"{node.name} ({labels[node.name]})" for node in plan.nodes)
    links = ", ".join(
        f"{link.a.node}–{link.b.node}{' (impaired)' if link.mechanism != 'none' else ''}"
        for link in plan.links
    )
    impaired = any(link.mechanism != "none" for link in plan.links)
    return Picture(
        name,
        title,
        f"The network as a graph. Nodes: {told or 'none'}. Links: {links or 'none'}.",
        "Dashed links are impaired." if impaired else "No link is impaired.",
        WIDTH,
        min(8.0, 0.7 + 0.75 * rows),
        partial(_draw, plan=plan, labels=labels, places=places),
    )


def _places(plan: Plan, labels: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Where each node stands: along the way from the first host, row by row where it is long."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(node.name for node in plan.nodes)
    graph.add_edges_from((link.a.node, link.b.node) for link in plan.links)
    # An app container lives in the network of another node.
    graph.add_edges_from((node.name, node.host) for node in plan.nodes if node.host)
    if _is_path(graph):
        return _snake(_along(graph, plan), labels)
    hosts = [node.name for node in plan.hosts()] or [node.name for node in plan.nodes[:1]]
    ranks = dict.fromkeys(graph, 0)
    if hosts and nx.is_connected(graph):
        # A tree is drawn from its middle, anything else from its first host.
        tree = nx.is_tree(graph)
        root = nx.center(graph)[0] if tree else hosts[0]
        ranks = nx.single_source_shortest_path_length(graph, root)
        widest = max(list(ranks.values()).count(rank) for rank in set(ranks.values()))
        if widest * 9 <= _CHARACTERS:
            for node, rank in ranks.items():
                graph.nodes[node]["layer"] = rank
            found = nx.multipartite_layout(graph, subset_key="layer", align="horizontal")
            return {node: (float(x), -2.0 * ranks[node]) for node, (x, _) in found.items()}
    found = nx.kamada_kawai_layout(graph) if len(graph) > 1 else dict.fromkeys(graph, (0.0, 0.0))
    scale = 1.0 + 0.22 * len(graph)
    return {node: (float(x) * scale, float(y) * scale) for node, (x, y) in found.items()}


def _is_path(graph: Any) -> bool:
    import networkx as nx

    degrees = [degree for _, degree in graph.degree()]
    return bool(
        len(graph) > 1 and nx.is_connected(graph) and max(degrees) <= 2 and degrees.count(1) == 2
    )


def _along(graph: Any, plan: Plan) -> list[str]:
    """The nodes of a path, from that end whose name was given first."""
    import networkx as nx

    first, last = sorted(
        (node for node, degree in graph.degree() if degree == 1),
        key=[node.name for node in plan.nodes].index,
    )
    found: list[str] = nx.shortest_path(graph, first, last)
    return found


def _snake(order: list[str], labels: dict[str, str]) -> dict[str, tuple[float, float]]:
    """A chain in rows, every second one from right to left, so that names have room."""
    lengths = [max(len(name), len(labels[name])) for name in order]
    # Names are centred, so between two nodes there are half of the one and half of the other.
    width = max((a + b) / 2 for a, b in pairwise(lengths)) + 2
    columns = max(2, min(len(order), int(_CHARACTERS / width)))
    places = {}
    for number, name in enumerate(order):
        row, column = divmod(number, columns)
        x = column if row % 2 == 0 else columns - 1 - column
        places[name] = (float(x), -2.0 * row)
    return places


def _draw(
    figure: Figure,
    *,
    plan: Plan,
    labels: dict[str, str],
    places: dict[str, tuple[float, float]],
) -> None:
    axes = figure.add_subplot()
    axes.set_axis_off()
    for link in plan.links:
        ends = [places[end.node] for end in (link.a, link.b)]
        impaired = link.mechanism != "none"
        axes.plot(
            [x for x, _ in ends],
            [y for _, y in ends],
            color=INK if impaired else SOFT,
            linewidth=1.6,
            linestyle=(0, (4, 2)) if impaired else "solid",
            zorder=1,
        )
    for node in plan.nodes:
        place = places[node.name]
        if node.host:
            ends = [place, places[node.host]]
            axes.plot(
                *zip(*ends, strict=True), color=SOFT, linewidth=1, linestyle=(0, (1, 2)), zorder=1
            )
        axes.plot(
            *place,
            marker=_SHAPES.get(node.kind, "o"),
            markersize=13,
            color=_COLOURS.get(node.kind, COLOURS[0]),
            markeredgecolor=PAPER,
            markeredgewidth=1.5,
            zorder=2,
        )
        texts = ((node.name, 9.5, 10, INK), (labels[node.name], 8, 21, SOFT))
        for text, size, distance, colour in texts:
            note = axes.annotate(
                text if len(text) <= 24 else f"{text[:23]}…",
                place,
                (0, -distance),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=size,
                color=colour,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
                zorder=3,
            )
            # Names may reach beyond the axes, which shall not be made smaller for them.
            note.set_in_layout(False)
    xs = [x for x, _ in places.values()] or [0.0]
    ys = [y for _, y in places.values()] or [0.0]
    axes.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
    axes.set_ylim(min(ys) - 1.4, max(ys) + 0.6)
