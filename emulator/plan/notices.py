"""What a plan does that its author may not have meant, though it is no mistake; pure."""

from __future__ import annotations

from collections.abc import Iterable

from emulator.plan.model import Plan


def notices(plan: Plan) -> list[str]:
    """What one should know of a plan, one line each."""
    switches = list(plan.switches())
    heard = {name for node in switches for name in _controllers_of(node.switch)}
    idle = [
        node.name
        for node in plan.nodes
        if node.controller is not None and node.controller.kind != "none" and node.name not in heard
    ]
    kinds = {"bridge" if node.switch is None else node.switch.kind for node in switches}
    return [idle_controllers(idle, kinds)] if idle else []


def idle_controllers(names: Iterable[str], kinds: Iterable[str] = ("bridge",)) -> str:
    """That controllers have nothing to do.

    Args:
        names: the controllers.
        kinds: those of all switches that there are.
    """
    why = {
        frozenset({"bridge"}): "Linux bridges learn by themselves",
        frozenset(): "there is no switch",
    }.get(frozenset(kinds), "no switch listens to it")
    return f"{', '.join(names)}: nothing to control, {why}"


def _controllers_of(switch: object) -> tuple[str, ...]:
    ovs = getattr(switch, "ovs", None)
    return ovs.controllers if ovs is not None else ()
