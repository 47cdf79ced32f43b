"""The ``kernel`` data plane: the VNF is what Linux itself does between a node's interfaces.

``bridge`` joins them to a bridge inside the node's namespace; ``ip-forwarding`` has the node route
between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.dataplane.running import Description, PortCounters, RunningVnf
from emulator.errors import LabError, UsageError
from emulator.kernel.bpf import BpfId
from emulator.kernel.rtnl import LinkState, Rtnl, link_states

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.process import Site
    from emulator.kernel.netns import Netns
    from emulator.plan.model import InterfacePlan, NodePlan

_SYSCTL = Path("/proc/sys/net")
# Far above the indices that the interfaces of a node get, also those added later.
_BRIDGE_INDEX = 1 << 20


@dataclass(frozen=True)
class _Setting:
    """A sysctl of the node's namespace to write; some exist only on some machines."""

    name: str
    value: str
    optional: bool = False
    """Whether a kernel that lacks it does what we want anyway."""


# A bridge hands its frames to iptables by default where the kernel offers it: a firewall of the
# machine would drop them, and even an empty one costs a third of the throughput.
_BRIDGE_SETTINGS = tuple(
    _Setting(f"bridge/bridge-nf-call-{family}", "0", optional=True)
    for family in ("iptables", "ip6tables", "arptables")
)
_QUIET_SETTINGS = (
    # A transparent VNF must not send router solicitations or duplicate address probes of its own.
    _Setting("ipv6/conf/all/disable_ipv6", "1", optional=True),
)


class KernelVnf(RunningVnf):
    """A VNF that is the kernel's own forwarding, or one of another process that we read."""

    dataplane = "kernel"

    def __init__(
        self,
        mechanism: str,
        ports: Mapping[str, str],
        netns: Netns,
        baseline: Mapping[str, PortCounters],
        *,
        bridge: int | None = None,
        owned: bool = True,
    ) -> None:
        self.mode = mechanism
        self._ports = dict(ports)
        self._netns = netns
        self._baseline = dict(baseline)
        self._bridge = bridge
        self._owned = owned

    def counters(self) -> dict[str, PortCounters]:
        now = _read(self._netns, self._ports)
        return {port: _difference(now[port], self._baseline[port]) for port in self._ports}

    def bpf_ids(self) -> list[BpfId]:
        return []

    def describe(self) -> dict[str, Any]:
        return {
            "dataplane": self.dataplane,
            "mode": self.mode,
            "ports": self._ports,
            "baseline": {port: asdict(counters) for port, counters in self._baseline.items()},
        }

    def close(self) -> None:
        if not self._owned:
            return
        self._owned = False
        if self._bridge is not None:
            with Rtnl.inside(self._netns) as rtnl:
                rtnl.delete_link(self._bridge, where=self.mode)
                rtnl.commit()
        else:
            self._netns.run(_apply, _forwarding_settings(enabled=False))


def start(node: NodePlan, netns: Netns, manifest: Manifest, _site: Site | None) -> KernelVnf:
    """Have the kernel forward between a node's interfaces; see ``start_vnf``."""
    assert node.vnf is not None
    ports = {interface.name: interface.kernel_name for interface in node.interfaces}
    mechanism = node.vnf.mechanism
    states = link_states(netns)
    for port, kernel_name in ports.items():
        if kernel_name not in states:
            raise LabError("the interface does not exist", where=port)
    if mechanism == "bridge":
        if not any(interface.ipv6 for interface in node.interfaces):
            netns.run(_apply, _QUIET_SETTINGS)
        bridge = _add_bridge(node, netns, states)
        return KernelVnf(mechanism, ports, netns, _read(netns, ports), bridge=bridge)
    if mechanism == "ip-forwarding":
        netns.run(_apply, _forwarding_settings(enabled=True, interfaces=node.interfaces))
        return KernelVnf(mechanism, ports, netns, _read(netns, ports))
    raise UsageError(
        f"the kernel data plane cannot do {mechanism}",
        where=str(manifest.folder / "vnf.toml"),
        hint="use bridge or ip-forwarding",
    )


def attach(description: Description, netns: Netns) -> KernelVnf:
    """Read the counters of a VNF that another process runs; see ``attach_vnf``."""
    baseline = {port: PortCounters(**row) for port, row in description["baseline"].items()}
    return KernelVnf(description["mode"], description["ports"], netns, baseline, owned=False)


def _add_bridge(node: NodePlan, netns: Netns, states: Mapping[str, LinkState]) -> int:
    name = next(f"bridge{n}" for n in range(len(states) + 1) if f"bridge{n}" not in states)
    ports = [states[interface.kernel_name] for interface in node.interfaces]
    with Rtnl.inside(netns) as rtnl:
        rtnl.add_bridge(name, _BRIDGE_INDEX, stp=False, mac=ports[0].mac, where=node.name)
        rtnl.commit()
        try:
            netns.run(_apply, _BRIDGE_SETTINGS)
            for port in ports:
                rtnl.set_master(port.index, _BRIDGE_INDEX, where=f"{node.name}: {port.name}")
            rtnl.commit()
        except BaseException:
            rtnl.delete_link(_BRIDGE_INDEX, where=node.name)
            rtnl.commit()
            raise
    return _BRIDGE_INDEX


def _forwarding_settings(
    *, enabled: bool, interfaces: tuple[InterfacePlan, ...] = ()
) -> tuple[_Setting, ...]:
    settings = [_Setting("ipv4/ip_forward", str(int(enabled)))]
    # Strict reverse path filtering drops what comes back another way than it would be sent.
    settings += [
        _Setting(f"ipv4/conf/{name}/rp_filter", "0")
        for name in ("all", *(interface.kernel_name for interface in interfaces))
    ]
    if any(interface.ipv6 for interface in interfaces) or not enabled:
        settings.append(_Setting("ipv6/conf/all/forwarding", str(int(enabled)), optional=True))
    return tuple(settings)


def _apply(settings: tuple[_Setting, ...]) -> None:
    for setting in settings:
        try:
            (_SYSCTL / setting.name).write_text(setting.value)
        except FileNotFoundError:
            if not setting.optional:
                raise LabError("this kernel has no such setting", where=setting.name) from None
        except OSError as error:
            raise LabError(
                f"the setting cannot be written: {error.strerror}", where=setting.name
            ) from error


def _read(netns: Netns, ports: Mapping[str, str]) -> dict[str, PortCounters]:
    states = link_states(netns)
    try:
        return {port: _port_counters(states[kernel_name]) for port, kernel_name in ports.items()}
    except KeyError as error:
        raise LabError("the interface does not exist any more", where=error.args[0]) from None


def _port_counters(state: LinkState) -> PortCounters:
    return PortCounters(
        rx_packets=state.rx_packets,
        rx_bytes=state.rx_bytes,
        tx_packets=state.tx_packets,
        tx_bytes=state.tx_bytes,
        dropped_packets=state.rx_dropped + state.tx_dropped,
    )


def _difference(now: PortCounters, before: PortCounters) -> PortCounters:
    return PortCounters(
        rx_packets=now.rx_packets - before.rx_packets,
        rx_bytes=now.rx_bytes - before.rx_bytes,
        tx_packets=now.tx_packets - before.tx_packets,
        tx_bytes=now.tx_bytes - before.tx_bytes,
        dropped_packets=now.dropped_packets - before.dropped_packets,
    )
