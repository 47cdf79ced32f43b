"""The ``xdp`` data plane: the VNF runs as BPF programs in its interfaces' receive path.

Programs are loaded and attached from outside, so the node itself needs no privilege, and native
mode only: generic mode is slower than what it would replace, so it never stands in silently.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.control import port_infos
from emulator.dataplane.bpf_memory import BpfMemory, random_state
from emulator.dataplane.build import MAX_PORTS, build_xdp
from emulator.dataplane.live import LiveParameters
from emulator.dataplane.running import FIXED_COUNTERS, Description, PortCounters, RunningVnf
from emulator.errors import LabError, UsageError
from emulator.kernel.bpf import BpfId, BpfMap, BpfObject, attach_xdp, require_libbpf, xdp_state
from emulator.kernel.rtnl import link_states

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.process import Site
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

# veth runs XDP on one page per frame; with headroom and tailroom off, this is surely left of 4096.
PAGE_MTU_BYTES = 3000
_COUNTERS_KEY = bytes(4)


class XdpVnf(RunningVnf):
    """A VNF running as XDP programs, or one of another process whose counters we read."""

    dataplane = "xdp"

    def __init__(
        self,
        mode: str,
        ports: Mapping[str, str],
        counters: BpfMap,
        manifest: Manifest,
        memory: BpfMemory,
        parameters: LiveParameters,
        ids: Sequence[BpfId],
        held: ExitStack,
        resources: ExitStack,
    ) -> None:
        self.mode = mode
        self.memory = memory
        self._ports = dict(ports)
        self._counters = counters
        self._manifest = manifest
        self._parameters = parameters
        self._ids = list(ids)
        self._held = held
        self._resources = resources

    def counters(self) -> dict[str, PortCounters]:
        found = read_counters(self._counters, len(self._ports), list(self._manifest.counters))
        return dict(zip(self._ports, found, strict=True))

    def bpf_ids(self) -> list[BpfId]:
        return list(self._ids)

    def parameters(self) -> dict[str, Any]:
        return self._parameters.values

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        self._parameters.set(changes, where=where)

    def let_go(self) -> None:
        self._held.close()

    def describe(self) -> dict[str, Any]:
        return {
            "dataplane": self.dataplane,
            "manifest": str(self._manifest.folder / "vnf.toml"),
            "ports": self._ports,
            "counters_map": self._counters.id,
            "memory": self.memory.describe(),
            "parameters": self._parameters.describe(),
            "bpf": [[bpf.kind, bpf.id] for bpf in self._ids],
        }

    def close(self) -> None:
        self._resources.close()


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> XdpVnf:
    """Compile, load and attach the VNF of a node; see ``start_vnf``."""
    assert node.vnf is not None
    interfaces = node.interfaces
    if len(interfaces) > MAX_PORTS:
        raise UsageError(
            f"{len(interfaces)} ports are more than the xdp data plane handles, {MAX_PORTS}",
            where=node.name,
        )
    require_libbpf()
    fragments = any(interface.mtu > PAGE_MTU_BYTES for interface in interfaces)
    path = build_xdp(manifest, fragments=fragments)
    ports = {interface.name: interface.kernel_name for interface in interfaces}
    indices = _indices(netns, ports)
    with ExitStack() as undo:
        held = undo.enter_context(ExitStack())
        bpf = held.enter_context(
            BpfObject(
                path,
                name=f"{node.name}: VNF {manifest.name}",
                source=manifest.source("xdp"),
            )
        )
        bpf.set_global("port_count", struct.pack("=I", len(ports)))
        padded = indices + [0] * (MAX_PORTS - len(indices))
        bpf.set_global("port_ifindex", struct.pack(f"={MAX_PORTS}I", *padded))
        bpf.set_global("vnf_random_state", random_state(node.vnf.seed))
        for number in range(len(ports), MAX_PORTS):
            bpf.disable(f"port{number}")
        bpf.load()
        memory = held.enter_context(BpfMemory.of(bpf))
        file = None if site is None else site.file(node.name, "json")
        parameters = LiveParameters(
            manifest, port_infos(interfaces), node.vnf.parameters, memory, file
        )
        parameters.install()
        undo.callback(parameters.forget)
        # The kernel looks the interfaces' numbers up in the namespace of the thread that writes.
        netns.run(_fill_port_map, bpf.map("all_ports"), indices)
        links = [
            held.enter_context(attach_xdp(bpf.program(f"port{number}"), ifname, netns))
            for number, ifname in enumerate(ports.values())
        ]
        ids = [BpfId("program", program.id) for program in bpf.programs()]
        ids += [BpfId("map", each.id) for each in bpf.maps()]
        ids += [BpfId("link", link.id) for link in links]
        return XdpVnf(
            mode=_common_mode(link.mode for link in links),
            ports=ports,
            counters=bpf.map("counters"),
            manifest=manifest,
            memory=memory,
            parameters=parameters,
            ids=ids,
            held=held,
            resources=undo.pop_all(),
        )


def attach(description: Description, netns: Netns) -> XdpVnf:
    """Open the counters of a VNF that another process runs; see ``attach_vnf``."""
    from emulator.catalog import read_manifest

    manifest = read_manifest(Path(description["manifest"]))
    with ExitStack() as held:
        counters = held.enter_context(BpfMap.from_id(description["counters_map"]))
        memory = held.enter_context(BpfMemory.attached(description["memory"], held))
        ports = description["ports"]
        return XdpVnf(
            mode=_common_mode(xdp_state(ifname, netns).mode for ifname in ports.values()),
            ports=ports,
            counters=counters,
            manifest=manifest,
            memory=memory,
            parameters=LiveParameters.attached(manifest, description["parameters"], memory),
            ids=[BpfId(kind, number) for kind, number in description["bpf"]],
            held=(kept := held.pop_all()),
            resources=kept,
        )


def read_counters(counters: BpfMap, ports: int, own: Sequence[str]) -> list[PortCounters]:
    """The counters of each port, all CPUs together.

    Args:
        counters: the map of that name in ``vnfs/lib/xdp.bpf.c``.
        ports: how many the VNF has.
        own: the names of the VNF's own counters.
    """
    width = len(FIXED_COUNTERS) + len(own)
    layout = struct.Struct(f"={MAX_PORTS * width}Q")
    per_cpu = map(layout.unpack_from, counters.lookup_percpu(_COUNTERS_KEY))
    totals = [sum(column) for column in zip(*per_cpu, strict=True)]
    rows = (totals[number * width : (number + 1) * width] for number in range(ports))
    return [PortCounters.of_row(row, own) for row in rows]


def _fill_port_map(ports: BpfMap, indices: Sequence[int]) -> None:
    for number, index in enumerate(indices):
        ports.update(struct.pack("=I", number), struct.pack("=I", index))


def _indices(netns: Netns, ports: Mapping[str, str]) -> list[int]:
    states = link_states(netns)
    missing = [name for name, kernel_name in ports.items() if kernel_name not in states]
    if missing:
        raise LabError("the interface does not exist", where=missing[0])
    return [states[kernel_name].index for kernel_name in ports.values()]


def _common_mode(modes: Iterable[str]) -> str:
    return "+".join(sorted(set(modes)))
