"""What the kernel's qdiscs are asked for."""

from __future__ import annotations

from pyroute2.netlink.rtnl.tcmsg import sched_netem, sched_tbf

from emulator.plan.model import ImpairmentPlan
from emulator.wire.netem import netem_arguments, tbf_arguments


def test_netem_gets_microseconds_and_percent():
    plan = ImpairmentPlan(
        delay_ns=5_000_000,
        jitter_ns=1_000_000,
        keep_order=False,
        loss=0.01,
        duplicate=0.002,
        reorder=0.25,
        corrupt=0.001,
    )
    arguments = netem_arguments(plan)
    assert arguments == {
        "delay": 5000.0,
        "jitter": 1000.0,
        "loss": 1.0,
        "duplicate": 0.2,
        "prob_reorder": 25.0,
        "prob_corrupt": 0.1,
        "limit": 1_000_000,
    }
    written = sched_netem.get_parameters(dict(arguments))
    assert abs(written["loss"] - 0.01 * (2**32 - 1)) < 2**24 / 100
    assert written["gap"] == 1
    assert {name for name, _ in written["attrs"]} == {"TCA_NETEM_REORDER", "TCA_NETEM_CORRUPT"}


def test_a_direction_without_anything_for_netem_gets_none():
    assert netem_arguments(ImpairmentPlan(rate_bps=1_000_000)) == {}
    assert tbf_arguments(ImpairmentPlan(delay_ns=1), 1500) == {}


def test_the_bucket_lasts_from_tick_to_tick_and_the_queue_counts_beside_it():
    slow = tbf_arguments(ImpairmentPlan(rate_bps=1_000_000, queue_packets=10), 1500)
    assert slow == {"rate": 125_000, "burst": 3200, "limit": 3200 + 10 * 1514}
    fast = tbf_arguments(ImpairmentPlan(rate_bps=1_000_000_000, queue_ns=2_000_000), 1500)
    assert fast == {"rate": 125_000_000, "burst": 500_000, "limit": 750_000}
    assert sched_tbf.get_parameters(dict(fast))["attrs"]
