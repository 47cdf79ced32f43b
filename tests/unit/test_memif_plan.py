"""Links of shared memory between DPDK VNFs: what is planned, and what cannot be."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emulator import Topo
from emulator.catalog import Catalog
from emulator.dataplane.dpdk import buffer_count, data_room_bytes, eal_arguments, eal_devices
from emulator.dataplane.process import Site
from emulator.errors import MachineError, TopologyError, UsageError
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference
from emulator.plan.model import MemifPlan, NodePlan, Plan


@pytest.fixture(autouse=True)
def our_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)


def chain(
    *dataplanes: str, vnfs: tuple[str, ...] = (), link: dict[str, Any] | None = None, **options: Any
) -> Topo:
    """a – v0 – v1 … – b; between VNFs a memif link, unless ``link`` says otherwise."""
    topo = Topo()
    nodes = [topo.addHost("a")]
    for number, dataplane in enumerate(dataplanes):
        vnf = vnfs[number] if vnfs else "forward"
        nodes.append(topo.addVNF(f"v{number}", vnf, dataplane=dataplane, **options))
    nodes.append(topo.addHost("b"))
    for near, far in pairwise(nodes):
        inner = {near, far} <= set(topo.vnfs())
        topo.addLink(near, far, **(({"kind": "memif"} if link is None else link) if inner else {}))
    return topo


def mistakes(topo: Topo) -> list[tuple[str, str]]:
    with pytest.raises(TopologyError) as caught:
        compile_plan(topo)
    return [(problem.message, problem.hint) for problem in caught.value.problems]


def arguments(plan: Plan, node: str = "v0") -> list[str]:
    # The folder is only named; nothing is started.
    return eal_arguments(plan.node(node), Site.of_lab(None, Path("/lab")))  # type: ignore[arg-type]


def devices(node: NodePlan) -> list[str]:
    return [device.rstrip("0123456789") for device in eal_devices(node)]


def test_one_end_is_the_server_and_the_other_its_client() -> None:
    plan = compile_plan(chain("dpdk", "dpdk", "dpdk"))
    assert [link.kind for link in plan.links] == ["veth", "memif", "memif", "veth"]
    ends = [interface.memif for node in plan.vnfs() for interface in node.interfaces]
    first, second = "v0-eth1<->v1-eth0", "v1-eth1<->v2-eth0"
    assert ends == [
        None,
        MemifPlan(link=first, role="server"),
        MemifPlan(link=first, role="client"),
        MemifPlan(link=second, role="server"),
        MemifPlan(link=second, role="client"),
        None,
    ]
    assert Plan.from_json(plan.to_json()) == plan


def test_a_program_that_is_used_as_it_is_is_the_server() -> None:
    plan = compile_plan(chain("dpdk", "dpdk", vnfs=("forward", "testpmd")))
    near, far = plan.node("v0").interfaces[1], plan.node("v1").interfaces[0]
    assert near.memif is not None
    assert far.memif is not None
    assert (near.memif.role, far.memif.role) == ("client", "server")
    assert near.memif.link == far.memif.link


def test_two_such_programs_cannot_be_joined() -> None:
    found = mistakes(chain("dpdk", "dpdk", vnfs=("testpmd", "testpmd")))
    assert [text for text, _ in found] == [
        "neither v0 nor v1 calls again until the other answers",
    ]


def test_both_ends_have_to_run_on_dpdk() -> None:
    assert mistakes(chain("dpdk", "xdp")) == [
        (
            "a memif link joins VNFs on the data plane dpdk, and v1 runs on xdp",
            'give v1 dataplane="dpdk", or leave kind out',
        )
    ]
    topo = chain("dpdk")
    topo.removeLink("v0", "b")
    topo.addLink("v0", "b", kind="memif")
    assert mistakes(topo) == [
        ("a memif link joins VNFs on the data plane dpdk, and b is a host", "leave kind out")
    ]


def test_a_vnf_with_another_mistake_gets_no_second_one() -> None:
    found = mistakes(chain("dpdk", "dpkd"))
    assert [text for text, _ in found] == ["there is no data plane dpkd"]


def test_a_kind_that_is_none_gets_a_guess() -> None:
    assert mistakes(chain("dpdk", "dpdk", link={"kind": "memfi"})) == [
        ("there is no link of the kind memfi", "did you mean memif?")
    ]


def test_memory_has_no_addresses() -> None:
    found = mistakes(chain("dpdk", "dpdk", link={"kind": "memif", "params1": {"ip": "10.0.0.9/8"}}))
    assert [text for text, _ in found] == ["params1 gives an address to an end of a memif link"]
    topo = chain("dpdk", "dpdk", "dpdk")
    topo.nodeInfo("v1")["ip"] = "10.0.0.9/8"
    assert [text for text, _ in mistakes(topo)] == [
        "it has an address, and only memif links, which no network stack sees"
    ]


def test_the_address_of_a_vnf_goes_to_a_port_that_the_kernel_knows() -> None:
    topo = Topo()
    for name in ("v0", "v1"):
        topo.addVNF(name, "forward", dataplane="dpdk", ip="10.0.0.8/8" if name == "v1" else None)
    for host, vnf in (("a", "v0"), ("b", "v1")):
        topo.addHost(host)
        if vnf == "v1":
            topo.addLink("v0", "v1", kind="memif")
        topo.addLink(host, vnf)
    near, far = compile_plan(topo).node("v1").interfaces
    assert (near.memif is not None, near.ipv4, far.ipv4) == (True, None, "10.0.0.8/8")


def test_changing_the_kind_of_a_link_makes_it_another_link() -> None:
    before = compile_plan(chain("dpdk", "dpdk", link={}))
    after = compile_plan(chain("dpdk", "dpdk"), previous=before)
    change = Difference.between(before, after)
    assert [link.id for link in change.links_new] == ["v0-eth1<->v1-eth0"]
    assert {node.name for node in change.nodes_changed} == {"v0", "v1"}


def test_each_port_is_a_device_of_its_driver() -> None:
    plan = compile_plan(chain("dpdk", "dpdk"))
    assert eal_devices(plan.node("v0")) == ["net_af_xdp0", "net_memif1"]
    devs = [word for word in arguments(plan) if word.startswith("--vdev=")]
    assert devs[0] == "--vdev=net_af_xdp0,iface=v0-eth0,busy_budget=0"
    assert devs[1].startswith("--vdev=net_memif1,role=server,id=0,socket=/lab/memif-")
    plan = compile_plan(chain("dpdk", "dpdk", driver="af_packet"))
    assert devices(plan.node("v1")) == ["net_memif", "net_af_packet"]


def test_the_users_own_arguments_come_last_and_stand_in_for_ours() -> None:
    own = ["-a", "0000:03:00.0", "--lcores", "0@1"]
    topo = chain("dpdk")
    topo.removeLink("v0", "b")
    topo.nodeInfo("v0")["eal"] = own
    given = arguments(compile_plan(topo))
    assert given[-4:] == own
    assert "--no-pci" not in given
    assert given.count("--lcores") == 1
    plain = arguments(compile_plan(chain("dpdk", cores=[0])))
    assert "--no-pci" in plain
    assert "--no-huge" in plain
    assert plain[plain.index("--lcores") + 1] == "0@(0)"


@pytest.mark.parametrize(
    ("eal", "ports"),
    [
        (["--log-level=debug"], 2),
        (["-a", "0000:03:00.0"], 3),
        (["-a0000:03:00.0", "--vdev", "net_pcap0,rx_pcap=x"], 4),
        (["--vdev=crypto_openssl"], 2),
    ],
)
def test_devices_of_the_users_own_count_as_ports(eal: list[str], ports: int) -> None:
    topo = chain("dpdk", eal=eal)
    if ports == 2:
        compile_plan(topo)
    else:
        assert [text for text, _ in mistakes(topo)] == [
            f"it has {ports} ports, and VNF forward needs 2"
        ]


def test_a_frame_always_fits_into_one_buffer() -> None:
    topo = chain("dpdk", driver="af_packet")
    for link in topo.links(withInfo=True):
        link[-1]["mtu"] = 9000
    node = compile_plan(topo).node("v0")
    assert data_room_bytes(node) >= 9000 + 14 + 3 * 128
    assert buffer_count(node) >= 8191


def test_frames_too_large_for_af_xdp_are_refused() -> None:
    topo = chain("dpdk")
    for link in topo.links(withInfo=True):
        link[-1]["mtu"] = 9000
    with pytest.raises(UsageError, match="MTU of 9000 is more than") as caught:
        arguments(compile_plan(topo))
    assert caught.value.where == "v0-eth0"
    assert "af_packet" in caught.value.hint


def test_hugepages_have_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = tmp_path / "hugepages-2048kB" / "free_hugepages"
    free.parent.mkdir()
    monkeypatch.setattr("emulator.dataplane.dpdk._HUGEPAGES", tmp_path)
    plan = compile_plan(chain("dpdk", hugepages=True))
    free.write_text("3\n")
    with pytest.raises(MachineError, match="the machine has 6 MB free") as caught:
        arguments(plan)
    assert "sysctl vm.nr_hugepages=" in caught.value.hint
    free.write_text("100\n")
    assert "--no-huge" not in arguments(plan)


def test_a_plane_is_offered_by_the_vnfs_that_come_with_it() -> None:
    catalog = Catalog.load()
    assert {"dpdk"} <= set(catalog["forward"].dataplanes) & set(catalog["drop"].dataplanes)
