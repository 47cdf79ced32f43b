"""What the containers of one lab must agree on: who lives in whom, and who has which port."""

from __future__ import annotations

import ipaddress

from emulator.errors import Problem
from emulator.names import choice_hint, kind_word
from emulator.plan.model import Plan, PublishedPortPlan
from emulator.plan.wiring import Node, Wiring


def check_apps(wiring: Wiring, previous: Plan | None, problems: list[Problem]) -> None:
    """Each app container lives in a container of the lab that has a network namespace.

    Args:
        wiring: the network.
        previous: the plan of the running lab that it is a change of.
        problems: a list that grows.
    """
    before = {node.name for node in previous.nodes} if previous is not None else set()
    orphans: dict[str, list[Node]] = {}
    for app in wiring.nodes.values():
        if app.kind != "app":
            continue
        name = app.wish.host
        host = wiring.nodes.get(name)
        if host is None and name in before:
            orphans.setdefault(name, []).append(app)
        elif host is None:
            able = [other.name for other in wiring.nodes.values() if _can_host(other)]
            hint = choice_hint(name, able) if able else 'add it with addDocker("…")'
            problems.append(Problem(app.wish.where, f"there is no node {name} to live in", hint))
        elif host is app:
            text = "an app container cannot live in itself"
            problems.append(Problem(app.wish.where, text, "name a host, a router or a VNF"))
        elif host.kind == "app":
            text = f"{name} is an app container itself"
            problems.append(Problem(app.wish.where, text, f"let it live in {host.wish.host}"))
        elif host.wish.runtime != "docker":
            text = f"{name} is a {kind_word(host.kind)} without a container"
            hint = f'give {name} runtime="docker"'
            if host.kind == "switch":
                hint = "let it live in a host, a router or a VNF"
            problems.append(Problem(app.wish.where, text, hint))
    for name, apps in orphans.items():
        text = f"it cannot be removed while app containers live in it: {_listed(apps)}"
        problems.append(Problem(f"node {name}", text, "remove them in the same change"))


def check_published_ports(wiring: Wiring, problems: list[Problem]) -> None:
    """A port of the machine leads to one node."""
    taken: list[tuple[PublishedPortPlan, Node]] = []
    for node in wiring.nodes.values():
        if node.wish.container is None:
            continue
        for port in node.wish.container.plan.ports:
            if port.host_port == 0:
                continue
            first = next((other for plan, other in taken if _collide(plan, port)), None)
            taken.append((port, node))
            if first is not None:
                whose = "itself" if first is node else first.name
                text = (
                    f"port {port.host_port}/{port.protocol} of the machine leads to {whose} already"
                )
                hint = "choose another, or 0 to get a free one"
                problems.append(Problem(node.wish.where, text, hint))


def _collide(a: PublishedPortPlan, b: PublishedPortPlan) -> bool:
    if (a.host_port, a.protocol) != (b.host_port, b.protocol):
        return False
    return a.host_address == b.host_address or any(
        ipaddress.ip_address(plan.host_address).is_unspecified for plan in (a, b)
    )


def _can_host(node: Node) -> bool:
    return node.kind != "app" and node.wish.runtime == "docker"


def _listed(apps: list[Node]) -> str:
    return ", ".join(app.name for app in apps)
