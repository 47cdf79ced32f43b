"""Changing what a container may use while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.errors import Problem, UsageError
from emulator.names import suggestion
from emulator.plan.container_spellings import ALIASES, NAMES, read_values

if TYPE_CHECKING:
    from docker.models.containers import Container

    from emulator.plan.model import ContainerPlan

CHANGEABLE = ("cpus", "cpu_shares", "cpuset", "memory", "memory_swap", "pids")
"""What can be changed, in our spelling; those of others are taken too."""

_SPELLINGS: Mapping[str, str] = {
    **{option: option for option in CHANGEABLE},
    **{alias: option for alias, option in ALIASES.items() if option in CHANGEABLE},
    "cpu_quota": "cpus",
    "cpu_period": "cpus",
    "nano_cpus": "cpus",
    "cores": "cpuset",
}
# What the methods of Containernet that change limits pass for what is to stay as it is.
_STAYS_AT_MINUS_1 = ("cpu_period", "cpu_shares", "mem_limit")
_CPU_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1000
_USUAL_CPU_SHARES = 1024


def update_arguments(
    changes: Mapping[str, Any], current: ContainerPlan, *, where: str
) -> tuple[dict[str, Any], ContainerPlan]:
    """What to tell Docker so that a container's limits change, and its plan from then on.

    Args:
        changes: the new limits, under our names or under Containernet's, ComNetsEmu's or the
            Docker SDK's. None takes a limit away; what is not named stays.
        current: the container's plan until now.
        where: the node's name.

    Returns:
        The arguments for :func:`apply_limits`, and the plan.

    Raises:
        UsageError: there is no such limit, a value makes no sense, or Docker cannot change it so.
    """
    kept = {
        name: value
        for name, value in changes.items()
        if not (name in _STAYS_AT_MINUS_1 and type(value) is int and value == -1)
        and not (name == "cores" and value is None)
    }
    _ensure_changeable(kept or changes, where)
    problems: list[Problem] = []
    values = read_values(
        where, {"cpuset_cpus" if name == "cores" else name: kept[name] for name in kept}, problems
    )
    for problem in problems:
        raise UsageError(problem.message, where=where, hint=problem.hint)
    named = dict.fromkeys(_SPELLINGS[name] for name in kept)
    arguments: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if "cpus" in named:
        fields["cpus"] = cpus = values.get("cpus")
        quota_us = -1 if cpus is None else max(_LEAST_QUOTA_US, round(cpus * _CPU_PERIOD_US))
        arguments |= {"cpu_period": _CPU_PERIOD_US, "cpu_quota": quota_us}
    if "cpu_shares" in named:
        fields["cpu_shares"] = values.get("cpu_shares")
        arguments["cpu_shares"] = values.get("cpu_shares", _USUAL_CPU_SHARES)
    if "cpuset" in named:
        fields["cpuset"] = cpuset = values.get("cpuset", ())
        if cpuset:
            arguments["cpuset_cpus"] = ",".join(map(str, cpuset))
        elif current.cpuset:
            raise UsageError(
                "Docker cannot take back which CPUs a running container may run on",
                where=where,
                hint='name all of them, such as cpuset="0-3"',
            )
    if "memory" in named or "memory_swap" in named:
        fields |= _memory(named, values, current, where)
        arguments |= _memory_arguments(fields)
    if "pids" in named:
        fields["pids"] = values.get("pids")
        arguments["pids_limit"] = values.get("pids", -1)
    return arguments, current.model_copy(update=fields)


def apply_limits(container: Container, arguments: Mapping[str, Any]) -> None:
    """Change a container's limits as :func:`update_arguments` says.

    Raises:
        docker.errors.APIError: the engine refuses.
    """
    ours = dict(arguments)
    pids = ours.pop("pids_limit", None)
    if ours:
        container.update(**ours)
    if pids is not None:
        _update_pids(container, pids)


def _update_pids(container: Container, pids: int) -> None:
    """The engine can change this limit too, but the SDK's method has no argument for it."""
    from docker.errors import create_api_error_from_http_exception
    from requests import HTTPError

    assert container.client is not None
    api = container.client.api
    url = f"{api.base_url}/v{api.api_version}/containers/{container.id}/update"
    answer = api.post(url, json={"PidsLimit": pids}, timeout=api.timeout)
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)


def _ensure_changeable(changes: Mapping[str, Any], where: str) -> None:
    known = f"what can be: {', '.join(CHANGEABLE)}"
    if not changes:
        raise UsageError("nothing is given that is to change", where=where, hint=known)
    for name in changes:
        if name in _SPELLINGS:
            continue
        if name in NAMES:
            raise UsageError(
                f"{name} cannot be changed while the container runs", where=where, hint=known
            )
        raise UsageError(
            f"there is no limit {name}", where=where, hint=suggestion(name, _SPELLINGS) or known
        )


def _memory(
    named: Mapping[str, Any], values: Mapping[str, Any], current: ContainerPlan, where: str
) -> dict[str, int | None]:
    """Memory, and memory and swap together, as they are to be."""
    memory = values.get("memory") if "memory" in named else current.memory_bytes
    swap = values.get("memory_swap") if "memory_swap" in named else current.memory_swap_bytes
    if memory is None and current.memory_bytes is not None:
        raise UsageError(
            "Docker cannot take the memory limit of a running container away",
            where=where,
            hint='give it more, such as memory="64g"',
        )
    if memory is None and swap is not None:
        raise UsageError(
            "memory_swap without memory limits nothing", where=where, hint="give memory as well"
        )
    if memory is not None and swap is not None and -1 < swap < memory:
        raise UsageError(
            f"memory_swap, {swap} bytes, is less than memory, {memory} bytes, which it includes",
            where=where,
            hint="give both, or memory_swap=-1 for no limit",
        )
    return {"memory_bytes": memory, "memory_swap_bytes": swap}


def _memory_arguments(fields: Mapping[str, Any]) -> dict[str, int]:
    """Both limits at once: Docker keeps the other one, and refuses memory above it."""
    memory, swap = fields["memory_bytes"], fields["memory_swap_bytes"]
    if memory is None:
        return {}
    # What Docker makes of a container that starts with a memory limit only.
    return {"mem_limit": memory, "memswap_limit": 2 * memory if swap is None else swap}
