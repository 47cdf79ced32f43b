"""Ports of Open vSwitch that threads of its own poll: by XDP sockets, or by DPDK.

All bridges of a lab are one process, so how its threads wait for frames, and where they run, is
said once, by one of the bridges or by several that agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from emulator.errors import Problem
from emulator.idle import IdleMistake, parse_idle
from emulator.names import suggestion
from emulator.plan.process_options import read_cores
from emulator.plan.switch_model import PortDriver, PortType

if TYPE_CHECKING:
    from emulator.plan.wiring import Interface, Node

POLLED: tuple[PortType, ...] = ("afxdp", "dpdk")
"""The types of ports that threads poll."""
DEFAULT_IDLE = "sleep:50us"
"""A thread that finds nothing sleeps ever longer, up to that: it leaves its core to others."""
MAX_SLEEP_US = 10_000
"""The longest that Open vSwitch lets its threads sleep."""
MAX_MTU = {
    # A packet buffer, with all that XDP, DPDK and Open vSwitch put into it, has to fit a page.
    "af_xdp": 2800,
    # What the driver calls the longest frame, whatever the interface can do.
    "af_packet": 1500,
}
"""DPDK's poll mode drivers -> the longest frames that they take under Open vSwitch."""
_DRIVERS = get_args(PortDriver)
_OPTIONS = ("driver", "idle", "cores")


@dataclass
class PolledPorts:
    """What is asked for; None and empty where it is for the others, or the compiler, to say."""

    driver: PortDriver | None = None
    idle: str | None = None
    cores: tuple[int, ...] = ()


def read_polled_ports(
    where: str, options: dict[str, Any], port_type: PortType, problems: list[Problem]
) -> PolledPorts:
    """Take the options of polled ports out of ``options``; what they ask for."""
    given = {name: options.pop(name) for name in _OPTIONS if options.get(name) is not None}
    for name in _OPTIONS:
        options.pop(name, None)
    known: tuple[str, ...] = ()
    if port_type in POLLED:
        known = _OPTIONS if port_type == "dpdk" else ("idle", "cores")
    for name in [name for name in given if name not in known]:
        types = ("dpdk",) if name == "driver" else POLLED
        text = f"{name} is for ports of the type {' or '.join(types)}"
        problems.append(Problem(where, text, f'leave it out, or give port_type="{types[-1]}"'))
        del given[name]
    ports = PolledPorts()
    if port_type == "dpdk":
        ports.driver = _read_driver(where, given.get("driver"), problems)
    if "idle" in given:
        ports.idle = _read_idle(where, given["idle"], problems)
    ports.cores = read_cores(where, given.get("cores"), problems)
    return ports


def _read_driver(where: str, driver: Any, problems: list[Problem]) -> PortDriver:
    for known in _DRIVERS:
        if driver in (None, known):
            found: PortDriver = known
            return found
    hint = suggestion(driver, _DRIVERS) or f"its drivers: {', '.join(_DRIVERS)}"
    problems.append(Problem(where, f"ports of the type dpdk have no driver {driver}", hint))
    first: PortDriver = _DRIVERS[0]
    return first


def _read_idle(where: str, idle: Any, problems: list[Problem]) -> str | None:
    hint = f'write idle="poll", or "sleep:50us" for a sleep of 1 to {MAX_SLEEP_US} us'
    try:
        policy = parse_idle(idle)
    except IdleMistake as mistake:
        problems.append(Problem(where, f"idle: {mistake}", hint))
        return None
    sleep_us, rest = divmod(policy.sleep_ns, 1000)
    asleep = policy.then == "sleep" and not rest and 0 < sleep_us <= MAX_SLEEP_US
    if policy.spin_ns or not (policy.then == "poll" or asleep):
        text = f"idle: the threads of Open vSwitch cannot {policy}"
        problems.append(Problem(where, text, hint))
        return None
    return str(policy)


def sleep_us(idle: str) -> int:
    """How long a thread may sleep that finds nothing; 0: it polls without rest."""
    return parse_idle(idle).sleep_ns // 1000


def settle_polled_ports(bridges: Iterable[Node], problems: list[Problem]) -> None:
    """Have bridges agree on what is said for all of them, and refuse frames that are too long.

    Args:
        bridges: those of Open vSwitch.
        problems: a list that grows.
    """
    polled = [
        (node, node.wish.switch)
        for node in bridges
        if node.wish.switch is not None and node.wish.switch.port_type in POLLED
    ]
    first: dict[str, tuple[str, Any]] = {}
    for node, wish in polled:
        for name, value in (("idle", wish.ports.idle), ("cores", wish.ports.cores)):
            if not value:
                continue
            owner, agreed = first.setdefault(name, (node.name, value))
            if value != agreed:
                text = f"{name} is not what {owner} has, and one process polls for all of a lab"
                hint = f"give one of them {name}, or both the same"
                problems.append(Problem(node.wish.where, text, hint))
    for _, wish in polled:
        wish.ports.idle = first.get("idle", ("", DEFAULT_IDLE))[1]
        wish.ports.cores = first.get("cores", ("", ()))[1]
    for node, wish in polled:
        for interface in node.interfaces:
            if wish.ports.driver is not None:
                _check_mtu(interface, wish.ports.driver, problems)


def _check_mtu(interface: Interface, driver: PortDriver, problems: list[Problem]) -> None:
    limit = MAX_MTU[driver]
    if interface.wish.mtu > limit:
        text = f"an MTU of {interface.wish.mtu} is more than DPDK's {driver} driver takes, {limit}"
        hint = "give the link a smaller mtu"
        if interface.wish.mtu <= MAX_MTU["af_xdp"]:
            hint += f', or {interface.owner.name} driver="af_xdp"'
        problems.append(Problem(interface.wish.where, text, hint))
