"""What hosts have beyond their links, as text; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.container_format import size_text

if TYPE_CHECKING:
    from emulator.plan.model import LimitsPlan, NodePlan, Plan

HOST_COLUMNS = ("node", "limits", "folders of its own", "leads out for")


def host_rows(plan: Plan) -> list[list[object]]:
    """A row below ``HOST_COLUMNS`` for each node that has any of it."""
    return [
        [node.name, limits_text(node.limits), _folders(node), _served(node)]
        for node in plan.nodes
        if node.limits is not None or node.private_dirs or node.nat is not None
    ]


def limits_text(limits: LimitsPlan | None) -> str | None:
    """Limits as they are written in a topology."""
    if limits is None:
        return None
    words = []
    if limits.cpu_share is not None:
        words.append(f"cpu={limits.cpu_share:g}")
    if limits.cpus is not None:
        words.append(f"cpus={limits.cpus:g}")
    if limits.sched != "cfs":
        words.append(f"sched={limits.sched}")
    if limits.period_us != type(limits).period_us:
        words.append(f"period_us={limits.period_us}")
    if limits.cpuset:
        words.append(f"cores={','.join(map(str, limits.cpuset))}")
    if limits.memory_bytes is not None:
        words.append(f"memory={size_text(limits.memory_bytes)}")
    if limits.pids is not None:
        words.append(f"pids={limits.pids}")
    words += [f"{name}={value}" for name, value in limits.others]
    return " ".join(words)


def _folders(node: NodePlan) -> str | None:
    texts = [
        each.path if each.source is None else f"{each.path} at {each.source}"
        for each in node.private_dirs
    ]
    return ", ".join(texts) or None


def _served(node: NodePlan) -> str | None:
    if node.nat is None:
        return None
    return ", ".join(node.nat.serves) or "nobody by default"
