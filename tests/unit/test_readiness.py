"""When the spanning tree of a network stands."""

from __future__ import annotations

import pytest

from emulator import Plan, Topo, compile_plan
from emulator.kernel.rtnl import BLOCKING, FORWARDING, LinkState
from emulator.readiness import spans

LISTENING = 1


def ring() -> Plan:
    """s1, s2 and s3 in a ring: s1-eth1 - s2-eth1, s2-eth2 - s3-eth1, s3-eth2 - s1-eth2."""
    topo = Topo()
    for name in ("s1", "s2", "s3"):
        topo.addSwitch(name, stp=True)
    for a, b in (("s1", "s2"), ("s2", "s3"), ("s3", "s1")):
        topo.addLink(a, b)
    return compile_plan(topo)


def state(name: str, port_state: int, up: bool = True) -> LinkState:
    return LinkState(1, name, up, up, 1500, "", 0, 0, 0, 0, 0, 0, port_state)


def states(**differing: int | None) -> dict[str, LinkState]:
    """All ports forward but those given by name, with _ for -; None takes one down."""
    wanted: dict[str, int | None] = {
        f"s{switch}-eth{port}": FORWARDING for switch in (1, 2, 3) for port in (1, 2)
    }
    wanted.update({name.replace("_", "-"): value for name, value in differing.items()})
    return {
        name: state(name, port_state or 0, up=port_state is not None)
        for name, port_state in wanted.items()
    }


def test_one_blocked_port_makes_a_ring_a_tree() -> None:
    assert spans(ring(), states(s3_eth2=BLOCKING))


def test_a_ring_that_forwards_all_round_is_none() -> None:
    assert not spans(ring(), states())


@pytest.mark.parametrize("port_state", [BLOCKING, LISTENING])
def test_a_switch_cut_off_is_not_spanned(port_state: int) -> None:
    assert not spans(ring(), states(s3_eth1=BLOCKING, s3_eth2=port_state))


def test_a_switch_whose_links_are_down_is_not_waited_for() -> None:
    assert spans(ring(), states(s3_eth1=None, s3_eth2=None))


def test_a_ring_with_a_link_down_needs_no_blocked_port() -> None:
    assert spans(ring(), states(s1_eth1=None))
