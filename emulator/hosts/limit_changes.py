"""What becomes of a node's limits when some of them are changed; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.errors import Problem, UsageError
from emulator.names import suggestion
from emulator.plan.host_model import LimitsPlan
from emulator.plan.host_options import HOST_OPTIONS, SHARED_WORDS, read_limits

_CHANGEABLE = ("cpu", "cpus", "period_us", "sched", "cores", "cpuset", "memory", "pids")
_FIELDS = {
    "cpu": "cpu_share",
    "cores": "cpuset",
    "cpuset_cpus": "cpuset",
    "memory": "memory_bytes",
    "mem_limit": "memory_bytes",
    "pids_limit": "pids",
    "cpu_quota": "cpus",
    "cpu_period": "cpus",
    "nano_cpus": "cpus",
}


def updated(current: LimitsPlan | None, changes: Mapping[str, Any], *, where: str) -> LimitsPlan:
    """The limits of a node after some of them were changed.

    Args:
        current: those it has.
        changes: the new ones, by the names that a topology has for them; None takes one away, and
            what is not named stays.

    Raises:
        UsageError: there is no such limit, or a value makes no sense.
    """
    hint = f"what can be: {', '.join(_CHANGEABLE)}"
    known = {*SHARED_WORDS, "cpu", "cores", "period_us", "sched"}
    if not changes:
        raise UsageError("nothing is given that is to change", where=where, hint=hint)
    for name in changes:
        if name not in known:
            text = f"there is no limit {name}"
            if name in HOST_OPTIONS:
                text = f"{name} cannot be changed while the node runs"
            raise UsageError(text, where=where, hint=suggestion(name, sorted(known)) or hint)
    current = current or LimitsPlan()
    problems: list[Problem] = []
    given = {name: value for name, value in changes.items() if value is not None}
    own = {name: given.pop(name) for name in HOST_OPTIONS if name in given}
    sched = own.setdefault("sched", current.sched if own.get("cpu") is not None else "cfs")
    if sched == "rt" and "cpu" not in changes:
        own["cpu"] = current.cpu_share
    wanted = read_limits(where, own, given, problems) or LimitsPlan()
    for problem in problems:
        raise UsageError(problem.message, where=where, hint=problem.hint)
    named = {_FIELDS.get(name, name) for name in changes}
    fields = {name: getattr(wanted, name) for name in named}
    if "cpu_share" in fields and fields["cpu_share"] is not None:
        fields["cpus"] = None
    elif "cpus" in fields and fields["cpus"] is not None:
        fields["cpu_share"] = None
    if changes.get("period_us") is not None:
        fields["period_us"] = changes["period_us"]
    sched = fields.get("sched", current.sched)
    if sched == "rt" and fields.get("cpu_share", current.cpu_share) is None:
        raise UsageError(
            "real-time processes need a share of the CPUs", where=where, hint="give cpu=0.2"
        )
    return current.model_copy(update=fields)
