"""``vnf plan`` and ``vnf list``: what would run, and what there is to run; neither needs root."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.cli.container_format import limits_text, published
from emulator.cli.host_format import HOST_COLUMNS, host_rows
from emulator.cli.options import (
    FileArgument,
    Ipv6Option,
    JsonOption,
    ScheduleOption,
    SetOption,
    TopoOption,
    load_catalog,
    load_target,
    parse_settings,
)
from emulator.cli.output import print_json, print_table
from emulator.wire.words import impairments_text

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.plan.model import (
        ContainerPlan,
        InterfacePlan,
        LinkChangePlan,
        LinkPlan,
        NodePlan,
        Plan,
    )

_MOST_STEPS = 100


def plan(
    file: FileArgument = None,
    topo: TopoOption = None,
    settings: SetOption = None,
    schedule: ScheduleOption = None,
    ipv6: Ipv6Option = False,
    json: JsonOption = False,
) -> None:
    """Check a topology and print its plan: every name, address, MAC and port. Needs no root.

    \b
    Examples:
      vnf plan topologies/chain.py --set dataplane=kernel --set length=3
      vnf plan --topo tree,2,3 --json > plan.json
    """
    topology = load_target(file, topo, parse_settings(settings))
    if schedule is not None:
        topology.addSchedule(schedule)

    from emulator.plan.compile import compile_plan
    from emulator.plan.notices import notices

    compiled = compile_plan(topology, ipv6=ipv6, catalog=load_catalog(file))
    if json:
        sys.stdout.write(compiled.to_json() + "\n")
    else:
        _print_plan(compiled)
    sys.stdout.flush()
    for notice in notices(compiled):
        sys.stderr.write(f"*** {notice}\n")


def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="VNF", help="Show these VNFs only.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the VNFs with their parameters and counters, and the built-in topologies.

    \b
    Examples:
      vnf list
      vnf list forward --json
    """
    from emulator.topofile import list_builtin

    catalog = load_catalog(None)
    manifests = [catalog[name] for name in names or catalog.names()]
    topologies = {} if names else list_builtin()
    if json:
        print_json(
            {
                "vnfs": [
                    manifest.model_dump(mode="json", exclude={"folder"}) for manifest in manifests
                ],
                "topologies": topologies,
            }
        )
        return
    _print_manifests(manifests)
    if topologies:
        print_table(
            ("topology", "what it is"),
            topologies.items(),
            title="Built-in topologies (vnf run --topo NAME,ARGUMENTS)",
        )


def _print_switches(compiled: Plan) -> None:
    """What does the work of switches that are no Linux bridges."""
    rows: list[list[object]] = []
    for node in compiled.switches():
        if node.switch is None or node.switch.kind == "bridge":
            continue
        row: list[object] = [node.name, node.switch.kind]
        ovs = node.switch.ovs
        row += (
            [None] * 4
            if ovs is None
            else [ovs.datapath, ovs.dpid, ovs.fail_mode, ", ".join(ovs.controllers) or None]
        )
        rows.append(row)
    if rows:
        columns = ("switch", "kind", "datapath", "dpid", "fail mode", "controllers")
        print_table(columns, rows, title="Switches")


def _print_controllers(compiled: Plan) -> None:
    """What tells Open vSwitch bridges what to do, and where it listens."""
    rows = []
    for node in compiled.controllers():
        plan = node.controller
        if plan is not None:
            at = None if plan.kind == "none" else f"{plan.ip}:{plan.port}"
            words = (", " if plan.apps else " ").join(plan.runs)
            rows.append((node.name, plan.kind, at, words or None))
    if rows:
        columns = ("controller", "kind", "at", "runs")
        print_table(columns, rows, title="Controllers")


def _print_plan(compiled: Plan) -> None:
    with_vnfs = bool(compiled.vnfs())
    with_containers = any(node.container is not None for node in compiled.nodes)
    columns = ["node", "kind", "IPv4", "default route"]
    rows: list[list[object]] = [
        [node.name, node.kind, _addresses(node), node.default_route] for node in compiled.nodes
    ]
    if with_vnfs:
        columns += ["VNF", "data plane", "parameters"]
        for node, row in zip(compiled.nodes, rows, strict=True):
            vnf = node.vnf
            row += (
                [vnf.vnf, f"{vnf.dataplane} ({vnf.mechanism})", _settings(vnf.parameters)]
                if vnf
                else [None, None, None]
            )
    if with_containers:
        columns += ["runtime", "image"]
        for node, row in zip(compiled.nodes, rows, strict=True):
            row += [_runtime(node), node.container and node.container.image]
    print_table(columns, rows, title=f"Nodes of {compiled.name}")
    if with_containers:
        _print_containers(compiled)
    _print_switches(compiled)
    _print_controllers(compiled)

    rows = host_rows(compiled)
    if rows:
        print_table(HOST_COLUMNS, rows, title="Hosts")

    columns = ["interface", "port", "MAC", "IPv4"]
    if compiled.ipv6:
        columns.append("IPv6")
    ports = [intf for node in compiled.nodes for intf in node.interfaces]
    parted = any(intf.vlan is not None or intf.trunk for intf in ports)
    columns += ["MTU", *(["VLANs"] if parted else []), "peer"]
    renamed = any(
        intf.kernel_name != intf.name and intf.memif is None
        for node in compiled.nodes
        for intf in node.interfaces
    )
    if renamed:
        columns.append("name in the kernel")
    rows = []
    for node in compiled.nodes:
        for intf in node.interfaces:
            rows.append(
                [
                    intf.name,
                    intf.port,
                    intf.mac,
                    _written(intf, "."),
                    *([_written(intf, ":")] if compiled.ipv6 else []),
                    intf.mtu,
                    *([_vlans(intf)] if parted else []),
                    compiled.leads_to(node.name, intf.name),
                    *([None if intf.memif else intf.kernel_name] if renamed else []),
                ]
            )
    print_table(columns, rows, title="Interfaces", right=("port", "MTU"))

    columns = ["node", "interface", "interface", "node"]
    rows = [
        [link.a.node, link.a.interface, link.b.interface, link.b.node] for link in compiled.links
    ]
    if any(link.kind != "veth" for link in compiled.links):
        columns.append("kind")
        for link, row in zip(compiled.links, rows, strict=True):
            row.append(link.kind)
    if any(link.mechanism != "none" for link in compiled.links):
        columns += ["impaired by", "what happens to frames"]
        for link, row in zip(compiled.links, rows, strict=True):
            row += (
                [None, None]
                if link.mechanism == "none"
                else [link.mechanism, impairments_text(link)]
            )
    print_table(columns, rows, title="Links")
    if compiled.chains:
        print_table(
            ("chain", "way", "match", "both ways"),
            [
                (
                    each.name,
                    " - ".join((each.src, *each.via, each.dst)),
                    each.match,
                    "yes" if each.both_ways else "no",
                )
                for each in compiled.chains
            ],
            title="Chains",
        )
    if compiled.schedule:
        _print_schedule(compiled)


def _print_schedule(compiled: Plan) -> None:
    links = {link.id: link for link in compiled.links}
    rows: list[list[object]] = []
    for step in compiled.schedule[:_MOST_STEPS]:
        for change in step.changes:
            changed = links[change.link] = _changed(links[change.link], change)
            text = f"goes {change.state}" if change.state else impairments_text(changed)
            rows.append([f"{step.at_ns / 1e9:g}s", change.link, text])
    if len(compiled.schedule) > _MOST_STEPS:
        rows.append(["…", f"{len(compiled.schedule) - _MOST_STEPS} steps more", None])
    print_table(("at", "link", "what happens to frames from then on"), rows, title="Schedule")


def _changed(link: LinkPlan, change: LinkChangePlan) -> LinkPlan:
    given = {"up": change.up, "down": change.down}
    return link.model_copy(update={way: plan for way, plan in given.items() if plan is not None})


def _print_containers(compiled: Plan) -> None:
    """What each container may use and do; columns in which nothing stands are left out."""
    columns = {
        "runs": _program,
        "limits": limits_text,
        "capabilities": _capabilities,
        "published ports": _ports,
        "volumes": _volumes,
    }
    nodes = [(node.name, node.container) for node in compiled.nodes if node.container is not None]
    cells = {title: [of(each) or None for _, each in nodes] for title, of in columns.items()}
    used = {title: column for title, column in cells.items() if any(column)}
    print_table(
        ("container", *used),
        list(zip((name for name, _ in nodes), *used.values(), strict=True)),
        title="Containers",
    )


def _program(container: ContainerPlan) -> str:
    """What is run in place of what the image says."""
    return shlex.join((*(container.entrypoint or ()), *(container.command or ())))


def _capabilities(container: ContainerPlan) -> str:
    from emulator.plan.capabilities import DOCKER_DEFAULT

    has = set(container.capabilities)
    # Those are many, and the same for all hosts.
    usual = ["Docker's own"] if has >= DOCKER_DEFAULT else []
    return ", ".join([*usual, *sorted(has - DOCKER_DEFAULT if usual else has)]) or "none"


def _ports(container: ContainerPlan) -> str:
    return ", ".join(
        published(port, port.host_address, port.host_port or "any") for port in container.ports
    )


def _volumes(container: ContainerPlan) -> str:
    return ", ".join(
        f"{volume.source}:{volume.target}{':ro' if volume.read_only else ''}"
        for volume in container.volumes
    )


def _print_manifests(manifests: list[Manifest]) -> None:
    print_table(
        ("VNF", "data planes", "ports", "what it does"),
        [
            (manifest.name, ", ".join(manifest.dataplanes), manifest.ports, manifest.summary)
            for manifest in manifests
        ],
        title="VNFs",
    )
    parameters = [
        (manifest.name, name, parameter.describe(), parameter.default, parameter.summary)
        for manifest in manifests
        for name, parameter in manifest.parameters.items()
    ]
    if parameters:
        print_table(
            ("VNF", "parameter", "takes", "default", "meaning"),
            parameters,
            title="Parameters",
        )
    counters = [
        (manifest.name, name, summary)
        for manifest in manifests
        for name, summary in manifest.counters.items()
    ]
    if counters:
        print_table(("VNF", "counter", "meaning"), counters, title="Counters")


def _runtime(node: NodePlan) -> str | None:
    if node.kind == "switch":
        # All switches share one namespace, so nothing encloses any of them.
        return None
    return f"{node.runtime}, in {node.host}" if node.host is not None else node.runtime


def _addresses(node: NodePlan) -> str | None:
    return ", ".join(intf.ipv4 for intf in node.interfaces if intf.ipv4) or None


def _vlans(interface: InterfacePlan) -> str | None:
    """The VLANs of a switch's port: that of frames without a tag, and those of frames with one."""
    parts = [] if interface.vlan is None else [str(interface.vlan)]
    if interface.trunk:
        parts.append(f"tagged {','.join(map(str, interface.trunk))}")
    return "; ".join(parts) or None


def _written(interface: InterfacePlan, kind: str) -> str | None:
    """The addresses of an interface that have dots in them, or colons."""
    return ", ".join(each for each in interface.addresses if kind in each) or None


def _settings(parameters: dict[str, Any]) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in parameters.items()) or None
