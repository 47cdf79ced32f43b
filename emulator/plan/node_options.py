"""What the options of a node ask for, and which of them cannot be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from emulator.errors import Problem
from emulator.multigraph import NodeEntry
from emulator.names import NAME_RULE, is_name, kind_word, place_of, suggestion
from emulator.plan.container_options import (
    ContainerWish,
    option_hint,
    pop_container_options,
    read_container,
    refuse_container_options,
)
from emulator.plan.controller_options import ControllerWish, read_controller
from emulator.plan.host_options import (
    HOST_OPTIONS,
    NOTHING,
    HostWish,
    read_host_wish,
    refuse_useless_limits,
)
from emulator.plan.model import Runtime, VnfPlan
from emulator.plan.options import AUTOMATIC, class_name, not_yet, pop_meant
from emulator.plan.process_options import read_process_options
from emulator.plan.switch_options import SwitchWish, read_switch

if TYPE_CHECKING:
    from emulator.catalog import Catalog, Manifest
    from emulator.parameters import Value

RUNTIMES = get_args(Runtime)
"""What can enclose a node."""

_ADDRESSES = ("ip", "ipv6", "mac")
_HOST_CLASSES = ("Host", "Node", "CPULimitedHost")
_DOCKER_CLASSES = ("Docker", "DockerHost")
"""Containernet's and ComNetsEmu's classes of hosts in containers."""
# fmt: off
_SWITCH_LATER = frozenset(("inband", "dpopts", "opts", "verbose"))
# fmt: on


@dataclass
class NodeWish:
    """What a node's options ask for."""

    entry: NodeEntry
    where: str
    ip: Any = None
    ipv6: Any = AUTOMATIC
    mac: Any = AUTOMATIC
    more_addresses: tuple[Any, ...] = ()
    default_route: Any = None
    stp: bool = False
    own: HostWish = NOTHING
    runtime: Runtime = "namespace"
    container: ContainerWish | None = None
    host: Any = None
    """App containers only: the node they are to live in."""
    switch: SwitchWish | None = None
    controller: ControllerWish | None = None
    vnf: VnfPlan | None = None
    manifest: Manifest | None = None

    @property
    def forwards_frames(self) -> bool:
        """Whether what comes in by one port may leave, as it is, by another."""
        if self.vnf is not None:
            return self.vnf.mechanism != "ip-forwarding"
        return self.entry.kind == "switch"

    @property
    def ends_loops(self) -> bool:
        """Whether it is a switch that takes part in keeping frames from going round for ever."""
        return self.stp or (self.switch is not None and self.switch.told_of_loops)


def read_node(
    entry: NodeEntry,
    catalog: Catalog | None,
    problems: list[Problem],
    near_misses: Mapping[str, str] = MappingProxyType({}),
) -> NodeWish:
    """What a node's options ask for; what they cannot have is added to ``problems``.

    ``catalog`` may be None where the node is no VNF; ``near_misses`` is the topology's, for the
    hint to an unknown parameter of a VNF.
    """
    where = place_of(entry.place, f"{kind_word(entry.kind)} {entry.name}")
    wish = NodeWish(entry, where)
    if not is_name(entry.name):
        problems.append(Problem(where, "the name is not a usable one", f"use {NAME_RULE}"))
    if not entry.options and entry.kind in ("host", "router"):
        wish.ip = AUTOMATIC
        return wish
    options = {
        key: value
        for key, value in entry.options.items()
        if key != "isSwitch" and not (key == "inNamespace" and value in (True, None))
    }
    _read_runtime(wish, options, problems)
    given = pop_container_options(options)
    if entry.kind == "controller" and "command" in given:
        options["command"] = given.pop("command")
    in_container = wish.runtime == "docker"
    wish.own = read_host_wish(
        where, entry, options, given, in_container=in_container, problems=problems
    )
    if entry.kind == "vnf":
        assert catalog is not None
        _read_vnf(wish, options, catalog, problems, near_misses)
    elif entry.kind == "switch":
        wish.stp = bool(options.get("stp", False))
        wish.switch, known = read_switch(where, options, problems)
        _refuse_later(wish, options, _SWITCH_LATER, problems)
        _refuse_rest(wish, options, known, problems)
    elif entry.kind == "controller":
        wish.controller, known = read_controller(where, options, entry.folder, problems)
        _refuse_rest(wish, options, known, problems)
    elif entry.kind == "app":
        _read_app(wish, options, problems)
    else:
        _read_host(wish, options, problems)
    if wish.runtime == "docker":
        # Without a VNF that is known, nothing can be said of the container it would be in.
        if entry.kind != "vnf" or wish.vnf is not None:
            wish.container = read_container(where, entry, given, wish.vnf, problems)
        _agree_on_cores(wish, problems)
    else:
        refuse_container_options(where, entry.kind, given, problems)
        refuse_useless_limits(where, wish.own.limits, wish.vnf, problems)
    return wish


def _read_runtime(wish: NodeWish, options: dict[str, Any], problems: list[Problem]) -> None:
    runtime = options.pop("runtime", None)
    default = "docker" if wish.entry.kind == "app" else "namespace"
    if class_name(options.get("cls")) in _DOCKER_CLASSES and wish.entry.kind == "host":
        del options["cls"]
        default = "docker"
    if runtime is None:
        runtime = default
    if runtime not in RUNTIMES:
        hint = suggestion(runtime, RUNTIMES) or f"there are: {', '.join(RUNTIMES)}"
        problems.append(Problem(wish.where, f"there is no runtime {runtime}", hint))
        runtime = default
    elif runtime != default and wish.entry.kind in ("switch", "app", "controller"):
        what = f"{_article(wish.entry.kind)} {kind_word(wish.entry.kind)}"
        text = f"{what} cannot have the runtime {runtime}"
        problems.append(Problem(wish.where, text, "leave runtime out"))
        runtime = default
    elif runtime != default == "docker":
        text = f"a host of a class for containers cannot have the runtime {runtime}"
        problems.append(Problem(wish.where, text, "leave one of them out"))
        runtime = default
    wish.runtime = runtime


def _agree_on_cores(wish: NodeWish, problems: list[Problem]) -> None:
    """The CPUs of a VNF's process are those of its container, unless it is told which of them."""
    vnf, container = wish.vnf, wish.container
    if vnf is None or container is None or vnf.mechanism != "process":
        return
    cpuset = container.plan.cpuset
    outside = [core for core in vnf.cores if core not in cpuset] if cpuset else []
    if outside:
        text = f"cores {', '.join(map(str, outside))} are outside the container's cpuset"
        problems.append(Problem(wish.where, text, "take them in, or leave one of the two out"))
    elif cpuset and not vnf.cores:
        wish.vnf = vnf.model_copy(update={"cores": cpuset})


def _read_app(wish: NodeWish, options: dict[str, Any], problems: list[Problem]) -> None:
    wish.host = options.pop("host", None)
    for name in (*_ADDRESSES, "defaultRoute"):
        if options.pop(name, None) is not None:
            text = f"{name}: an app container has no interfaces of its own"
            problems.append(Problem(wish.where, text, f"give {name} to {wish.host}"))
    _refuse_rest(wish, options, (), problems)


def _read_host(wish: NodeWish, options: dict[str, Any], problems: list[Problem]) -> None:
    wish.ip = options.pop("ip", AUTOMATIC)
    wish.ipv6 = options.pop("ipv6", AUTOMATIC)
    wish.mac = options.pop("mac", None) or AUTOMATIC
    wish.default_route = options.pop("defaultRoute", None)
    chosen = options.pop("cls", None)
    if chosen is not None and class_name(chosen) not in _HOST_CLASSES:
        hint = "hosts, routers (addRouter) and VNFs (addVNF) are"
        text = f"nodes of the class {class_name(chosen)} are not available"
        problems.append(Problem(wish.where, text, hint))
        # The other options may be that class's own.
        return
    known = (*_ADDRESSES, "defaultRoute", "runtime", *HOST_OPTIONS, "cpus", "memory", "pids")
    _refuse_rest(wish, options, known, problems)


def _refuse_later(
    wish: NodeWish, options: dict[str, Any], names: frozenset[str], problems: list[Problem]
) -> None:
    later = pop_meant(options, names)
    if later:
        problems.append(not_yet(wish.where, later, "the options of its kind of switch"))


def _read_vnf(
    wish: NodeWish,
    options: dict[str, Any],
    catalog: Catalog,
    problems: list[Problem],
    near_misses: Mapping[str, str],
) -> None:
    where = wish.where
    wish.ip = options.pop("ip", None)
    wish.ipv6 = options.pop("ipv6", None if wish.ip is None else AUTOMATIC)
    wish.mac = options.pop("mac", None) or AUTOMATIC
    name, dataplane = options.pop("vnf", None), options.pop("dataplane", "kernel")
    manifest = catalog[name] if isinstance(name, str) and name in catalog else None
    planes_known = _check_dataplane(where, dataplane, manifest, problems)
    if manifest is None:
        problems.append(Problem(where, f"there is no VNF {name}", catalog.hint_for(name)))
        return
    wish.manifest = manifest
    mechanism = manifest.dataplanes[dataplane].mechanism if planes_known else None
    process = read_process_options(where, options, dataplane, mechanism, problems)
    values, wrong = manifest.check_parameters(options, where=where, near_misses=near_misses)
    problems += wrong
    if mechanism in ("bridge", "ip-forwarding"):
        problems += _without_effect(where, values, manifest)
    if mechanism is not None:
        wish.vnf = VnfPlan(
            vnf=manifest.name,
            dataplane=dataplane,
            mechanism=mechanism,
            parameters=values,
            **process,
        )


def _without_effect(
    where: str, values: Mapping[str, Value], manifest: Manifest
) -> Iterator[Problem]:
    """What is wrong with parameters where the kernel forwards by itself: it knows none."""
    from emulator.catalog import AVAILABLE

    others = [name for name in manifest.dataplanes if name in AVAILABLE and name != "kernel"]
    hint = f"leave it out, or use dataplane={'|'.join(others)}" if others else "leave it out"
    for name, value in values.items():
        if value != manifest.parameters[name].default:
            yield Problem(where, f"parameter {name} does nothing on the data plane kernel", hint)


def _check_dataplane(
    where: str, dataplane: object, manifest: Manifest | None, problems: list[Problem]
) -> bool:
    from emulator.catalog import AVAILABLE

    available = ", ".join(AVAILABLE)
    if dataplane not in AVAILABLE:
        hint = suggestion(dataplane, AVAILABLE) or f"available: {available}"
        problems.append(Problem(where, f"there is no data plane {dataplane}", hint))
        return False
    if manifest is not None and dataplane not in manifest.dataplanes:
        text = f"VNF {manifest.name} does not run on the data plane {dataplane}"
        runs_on = [name for name in manifest.dataplanes if name in AVAILABLE]
        problems.append(Problem(where, text, f"it runs on: {', '.join(runs_on) or 'none yet'}"))
        return False
    return True


def _refuse_rest(
    wish: NodeWish, options: Mapping[str, Any], known: tuple[str, ...], problems: list[Problem]
) -> None:
    for key in options:
        if wish.runtime == "docker":
            hint = option_hint(key, known)
        else:
            hint = suggestion(key, known) or f"its options: {', '.join(known)}"
        text = f"{_article(wish.entry.kind)} {kind_word(wish.entry.kind)} has no option {key}"
        problems.append(Problem(wish.where, text, hint))


def _article(kind: str) -> str:
    return "an" if kind == "app" else "a"
