"""The options of a VNF that runs as a process: how it polls, where it runs, how it gets at its
ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator.errors import Problem
from emulator.idle import DEFAULT, IdleMistake, parse_idle
from emulator.names import suggestion
from emulator.plan.model import Mechanism

DRIVERS: Mapping[str, tuple[str, ...]] = {
    "dpdk": ("af_xdp", "af_packet", "null"),
    "python": ("packet", "afxdp"),
}
"""Data plane -> the drivers it can reach its ports by, the default first."""

_OPTIONS = ("idle", "cores", "driver", "eal", "hugepages")
_SEED_LIMIT = 2**64


def read_process_options(
    where: str,
    options: dict[str, Any],
    dataplane: str,
    mechanism: Mechanism | None,
    problems: list[Problem],
) -> dict[str, Any]:
    """Take the options out of those of a node; returns the fields of ``VnfPlan`` they ask for.

    ``mechanism`` is None when it cannot be known, because something else is wrong already.
    """
    fields: dict[str, Any] = {}
    seed = options.pop("seed", None)
    if seed is not None:
        if type(seed) is int and 0 <= seed < _SEED_LIMIT:
            fields["seed"] = seed
        else:
            problems.append(Problem(where, f"seed {seed!r} is not a whole number of 64 bits", ""))
    given = {name: options.pop(name) for name in _OPTIONS if name in options}
    given = {name: value for name, value in given.items() if value is not None}
    if mechanism is None:
        return fields
    if mechanism != "process":
        for name, value in given.items():
            text = f"{name}={value!r} is for a VNF that runs as a process"
            hint = f"the {dataplane} data plane works inside the kernel; leave {name} out"
            problems.append(Problem(where, text, hint))
        return fields
    try:
        fields["idle"] = str(parse_idle(given.get("idle", DEFAULT)))
    except IdleMistake as mistake:
        problems.append(Problem(where, f"idle: {mistake}", mistake.hint))
    cores = read_cores(where, given.get("cores"), problems)
    if cores:
        fields["cores"] = cores
    _read_driver(where, given.get("driver"), dataplane, fields, problems)
    _read_eal(where, given, dataplane, fields, problems)
    return fields


def added_devices(eal: Sequence[str]) -> list[str]:
    """The network devices that the user's arguments of the EAL make, each by its name."""
    names = []
    for number, word in enumerate(eal):
        option, _, value = word.partition("=")
        if option == "--vdev":
            device = value or "".join(eal[number + 1 : number + 2])
            if device.startswith(("net_", "eth_")):
                names.append(device.partition(",")[0])
    return names


def added_ports(eal: Sequence[str]) -> int:
    """How many ports the user's arguments of the EAL add to those a VNF has by its links."""
    allowed = sum(word.partition("=")[0] == "--allow" or word.startswith("-a") for word in eal)
    return len(added_devices(eal)) + allowed


def read_cores(where: str, cores: Any, problems: list[Problem]) -> tuple[int, ...]:
    """The CPUs that ``cores=`` names, in its order; none when it is not given."""
    if cores is None:
        return ()
    numbers = [cores] if type(cores) is int else cores
    if isinstance(cores, str):
        words = cores.split(",")
        numbers = [int(word) if word.strip().isdecimal() else -1 for word in words]
    if (
        not isinstance(numbers, Sequence)
        or not numbers
        or any(type(number) is not int or number < 0 for number in numbers)
    ):
        text = f"cores: {cores!r} is not a list of CPU numbers"
        problems.append(Problem(where, text, "write cores=[1] or cores=[0, 1]"))
        return ()
    return tuple(dict.fromkeys(numbers))


def _read_driver(
    where: str, driver: Any, dataplane: str, fields: dict[str, Any], problems: list[Problem]
) -> None:
    known = DRIVERS.get(dataplane, ())
    if driver is None:
        if known:
            fields["driver"] = known[0]
    elif not known:
        problems.append(
            Problem(
                where, f"the {dataplane} data plane has one way to its ports", "leave driver out"
            )
        )
    elif driver not in known:
        hint = suggestion(driver, known) or f"its drivers: {', '.join(known)}"
        problems.append(Problem(where, f"{dataplane} has no driver {driver}", hint))
    else:
        fields["driver"] = driver


def _read_eal(
    where: str,
    given: Mapping[str, Any],
    dataplane: str,
    fields: dict[str, Any],
    problems: list[Problem],
) -> None:
    if dataplane != "dpdk":
        problems += [
            Problem(where, f"{name} is for the data plane dpdk", "leave it out")
            for name in ("eal", "hugepages")
            if name in given
        ]
        return
    eal = given.get("eal", ())
    words = eal.split() if isinstance(eal, str) else eal
    if not isinstance(words, Sequence) or any(not isinstance(word, str) for word in words):
        text = f"eal: {eal!r} is not a list of arguments"
        problems.append(Problem(where, text, 'write eal=["--log-level=debug"]'))
    else:
        fields["eal"] = tuple(words)
    hugepages = given.get("hugepages", False)
    if type(hugepages) is not bool:
        problems.append(Problem(where, f"hugepages: {hugepages!r} is not True or False", ""))
    else:
        fields["hugepages"] = hugepages
