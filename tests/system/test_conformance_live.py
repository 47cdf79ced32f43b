"""One source, every data plane: the same frames through real interfaces, the same bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from emulator.catalog import AVAILABLE, Catalog, Manifest
from emulator.dataplane import PortCounters, start_vnf
from emulator.plan.model import NodePlan
from emulator.trying.cases import load_cases
from emulator.trying.dut import planes_to_try
from emulator.trying.model import example_ports
from tests.frames import hand_picked
from tests.system.vnf_lab import PORT_MACS, VnfLab

pytestmark = [pytest.mark.root, pytest.mark.xdp]


@dataclass(frozen=True)
class Place:
    """A data plane, and the driver it reaches its ports by."""

    plane: str
    driver: str | None = None

    def __str__(self) -> str:
        return f"{self.plane}:{self.driver}" if self.driver else self.plane


CATALOG = Catalog.load()
# With their defaults these would drop nearly everything, or as much as the time allows.
PARAMETERS: dict[str, dict[str, int | float | bool | str]] = {
    "firewall": {"allow": "udp; tcp dport 80", "stateful": True},
    "ratelimiter": {"classes": "any: 40Gbit"},
    "drop": {"every": 3},
}
# What they write tells the time, which never is the same twice.
TIMED = ("timestamp", "telemetry")
# Starting DPDK takes seconds: these stand for all, whose code is the same as on afxdp and packet.
ON_DPDK = ("forward", "firewall", "xor")
# How often frames come together is a matter of time, and all that it counts.
NOT_COMPARED = ("bursts",)
# DPDK's driver of that name has the kernel put the fragments of IPv4 together first, and takes any
# VLAN tag for one of 802.1Q.
PACKET_DRIVER = Place("dpdk", "af_packet")
SERVICE_TAG = b"\x88\xa8"
SHORTEST_BYTES = 60


def places(manifest: Manifest) -> list[Place]:
    tried = {name for same in planes_to_try(manifest).values() for name in same}
    found = [Place(name) for name in manifest.dataplanes if name in tried and name in AVAILABLE]
    found = [each for each in found if each.plane != "dpdk"]
    if "dpdk" in tried and manifest.name in ON_DPDK:
        found += [Place("dpdk", driver) for driver in ("af_xdp", "af_packet")]
    return found


def frames() -> list[bytes]:
    """Frames as they come over a link, addressed to the ports of the lab."""
    known = {bytes.fromhex(port.mac.replace(":", "")): number for number, port in enumerate(PORTS)}
    ours = [bytes.fromhex(mac.replace(":", "")) for mac in PORT_MACS]
    padded = [frame.ljust(SHORTEST_BYTES, b"\0") for frame in hand_picked()]
    return [
        (ours[known[frame[:6]]] if frame[:6] in known else frame[:6]) + frame[6:]
        for frame in padded
    ]


PORTS = example_ports(2)
SEVERAL = [name for name in CATALOG if len(places(CATALOG[name])) > 1 and name not in NOT_COMPARED]


@pytest.mark.parametrize("name", SEVERAL)
def test_the_same_frames_come_out_of_every_data_plane(name: str) -> None:
    manifest = CATALOG[name]
    compare(manifest, [place for place in places(manifest) if place != PACKET_DRIVER], frames())


@pytest.mark.dpdk
@pytest.mark.parametrize("name", ON_DPDK)
def test_but_for_what_its_driver_changes_that_holds_for_dpdk_on_packet_sockets(name: str) -> None:
    unchanged = [
        frame for frame in frames() if not is_fragment(frame) and frame[12:14] != SERVICE_TAG
    ]
    compare(CATALOG[name], [Place("packet"), PACKET_DRIVER], unchanged)


def compare(manifest: Manifest, compared: Sequence[Place], given: Sequence[bytes]) -> None:
    told = {str(place): outcome(manifest, place, given) for place in compared}
    (first, wanted), *others = told.items()
    assert sum(map(len, wanted[0])) > 0
    for place, got in others:
        for port, pair in enumerate(zip(got[0], wanted[0], strict=True)):
            assert pair[0] == pair[1], f"{place} and {first} differ at what leaves by port {port}"
        assert got[1] == wanted[1], f"{place} and {first} count differently"


def is_fragment(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and int.from_bytes(frame[20:22], "big") & 0x3FFF != 0


def outcome(
    manifest: Manifest, place: Place, given: Sequence[bytes]
) -> tuple[list[list[bytes | int]], list[PortCounters]]:
    """What leaves by each port, only its length if it tells the time, and the counters."""
    ports = max(2, manifest.ports.min)
    with VnfLab(ports=ports) as lab:
        node = with_addresses(
            lab.node(
                manifest.name,
                place.plane,
                parameters=parameters_of(manifest),
                driver=place.driver,
                seed=7,
            )
        )
        with start_vnf(node, lab.vnf, manifest, lab.site) as vnf:
            batches = [(0, given), (1, given[:20]), (0, given[:10])]
            left = lab.exchange(vnf, batches)
            timed = manifest.name in TIMED
            shown = [[len(each) if timed else each for each in some] for some in left]
            return shown, list(vnf.counters().values())


def parameters_of(manifest: Manifest) -> dict[str, int | float | bool | str]:
    """The defaults, or what the first of the cases has if a parameter lacks one."""
    if manifest.name in PARAMETERS or not manifest.check_parameters({})[1]:
        return PARAMETERS.get(manifest.name, {})
    return manifest.check_parameters(load_cases(manifest)[0].parameters)[0]


def with_addresses(node: NodePlan) -> NodePlan:
    """The same node, its ports with the addresses that a VNF under test has."""
    ports = example_ports(len(node.interfaces))
    addressed = [
        interface.model_copy(update={"ipv4": port.ipv4, "ipv6": port.ipv6})
        for interface, port in zip(node.interfaces, ports, strict=True)
    ]
    return node.model_copy(update={"interfaces": tuple(addressed)})
