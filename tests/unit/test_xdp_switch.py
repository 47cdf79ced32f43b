"""What a plan says of xdp switches and of who is beside them, and what lies in their maps."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest

from emulator import Topo
from emulator.errors import TopologyError
from emulator.match import Match
from emulator.paths import share_dir
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference
from emulator.plan.model import InterfacePlan, Plan
from emulator.switches import xdp_memory
from emulator.switches.xdp_memory import Port


class Beside(Topo):
    def build(self, kind: str = "xdp") -> None:
        switch, other = self.addSwitch("s1", kind=kind), self.addSwitch("s2")
        self.addLink(self.addHost("h1"), switch)
        self.addLink(switch, other)
        self.addLink(self.addHost("h2"), other)
        self.addLink(self.addHost("h3"), switch, delay="1ms")
        self.addLink(self.addHost("h4"), self.addHost("h5"))


def interfaces(plan: Plan) -> dict[str, InterfacePlan]:
    return {each.name: each for node in plan.nodes for each in node.interfaces}


def test_nodes_beside_it_finish_their_frames_and_take_redirected_ones() -> None:
    found = interfaces(compile_plan(Beside()))
    for name in ("h1-eth0", "h2-eth0", "h3-eth0", "s2-eth1", "s2-eth2"):
        assert not found[name].frame_offload, name
    assert found["h4-eth0"].frame_offload
    # What impairs the link of h3 stands between it and the switch.
    napi = {name for name, each in found.items() if each.receive_napi}
    assert napi == {"h1-eth0", "s2-eth1"}
    assert all(
        each.frame_offload for each in interfaces(compile_plan(Beside(kind="bridge"))).values()
    )


def test_a_switch_of_another_kind_is_another_switch() -> None:
    before, after = compile_plan(Beside()), compile_plan(Beside(kind="bridge"))
    difference = Difference.between(before, after)
    assert [node.name for node in difference.nodes_gone] == ["s1"]
    assert [node.name for node in difference.nodes_new] == ["s1"]
    assert {link.id for link in difference.links_new} == {
        link.id for link in after.links if "s1-" in link.id
    }


def vlans(**params: Any) -> InterfacePlan:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addSwitch("s1", kind="xdp"), params2=params)
    return compile_plan(topo).node("s1").interface("s1-eth1")


def test_vlans_of_ports() -> None:
    assert (vlans().vlan, vlans().trunk) == (None, ())
    assert vlans(vlan=10).vlan == 10
    assert vlans(trunk=[20, 10, 20]).trunk == (10, 20)
    assert vlans(trunk=7).trunk == (7,)
    both = vlans(trunk=(10, 20), vlan=0)
    assert (both.vlan, both.trunk) == (0, (10, 20))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"vlan": 4095}, "params2 has the VLAN 4095"),
        ({"vlan": True}, "params2 has the VLAN True"),
        ({"vlan": "10"}, "params2 has the VLAN '10'"),
        ({"trunk": []}, "params2 has an empty trunk"),
        ({"trunk": [0]}, "params2 has a trunk of 0"),
        ({"trunk": "10,20"}, "params2 has a trunk of '10,20'"),
    ],
)
def test_bad_vlans(params: dict[str, Any], said: str) -> None:
    with pytest.raises(TopologyError, match=re.escape(said)):
        vlans(**params)


def test_it_takes_as_many_ports_as_it_says() -> None:
    topo = Topo()
    switch = topo.addSwitch("s1", kind="xdp")
    for number in range(1001):
        topo.addLink(topo.addHost(f"h{number}"), switch)
    with pytest.raises(TopologyError, match="1001 links, and an xdp switch takes 1000"):
        compile_plan(topo)


def test_ports_lie_in_memory_as_the_program_reads_them() -> None:
    port = Port(ifindex=7, slot=3, untagged=10, tagged=(1, 64, 4094), learns=False)
    packed = port.pack(switch=5, ageing_s=2.5, vlan_aware=True)
    ageing_ns, number, slot, vlan, flags = struct.unpack_from("=QIIHH", packed)
    assert (ageing_ns, number, slot, vlan, flags) == (2_500_000_000, 5, 3, 10, 1 | 2 | 4)
    words = struct.unpack_from("=64Q", packed, 24)
    assert words[0] == 1 << 1
    assert words[1] == 1
    assert words[63] == 1 << 62
    assert sum(word.bit_count() for word in words) == 3
    trunk = Port(ifindex=7, slot=3, untagged=None, tagged=(10,)).pack(0, 300, vlan_aware=True)
    assert struct.unpack_from("=H", trunk, 18)[0] == 1


def test_both_languages_have_the_same_limits() -> None:
    header = (share_dir() / "emulator" / "native" / "bpf" / "switch.h").read_text()
    found = {name: int(value) for name, value in re.findall(r"#define SWITCH_(\w+) +(\d+)", header)}
    assert found["SWITCHES"] == xdp_memory.SWITCHES
    assert found["RULES"] == xdp_memory.RULES
    assert found["LABELS"] == xdp_memory.LABELS
    counters = re.search(r"struct switch_counters \{(.*?)\};", header, re.DOTALL)
    assert counters is not None
    names = re.findall(r"(\w+)[,;]", re.sub(r"/\*.*?\*/", "", counters[1], flags=re.DOTALL))
    assert tuple(names) == xdp_memory.COUNTERS


def test_a_rule_has_the_size_that_the_program_expects() -> None:
    rule = xdp_memory.pack_rule(Match(), 0, Port(ifindex=9, slot=4), 2, learns=True)
    assert len(rule) == xdp_memory.RULE_BYTES
    assert struct.unpack_from("=IIIII", rule, len(rule) - 24) == (0, 9, 4, 2, 1)
