"""A trial at one load, and how many packets it takes to say anything about loss."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.measure.throughput import Trial, packets_to_bound

TRIAL = Trial(
    rate_pps=None,
    offered_pps=2000.0,
    sent=1000,
    received=900,
    lost=100,
    unsent=0,
    elapsed_ns=500_000_000,
    cpu_ns=0,
    overrun=60,
)


def test_what_arrived_counts_by_the_time_of_sending() -> None:
    assert TRIAL.received_pps == 1800


def test_what_the_receiver_lost_is_told_from_what_the_path_lost() -> None:
    assert TRIAL.loss_ratio == 0.1
    assert TRIAL.path_loss_ratio == 0.04


def test_nothing_sent_is_nothing_lost() -> None:
    nothing = replace(TRIAL, sent=0, received=0, lost=0, overrun=0)
    assert nothing.loss_ratio == 0
    assert nothing.path_loss_ratio == 0


@pytest.mark.parametrize(
    ("loss_goal", "packets"), [(0.001, 3000), (0.01, 300), (0.0007, 4286), (0.9, 4), (0.0, 1)]
)
def test_the_rule_of_three_says_how_many_packets_bound_a_loss(
    loss_goal: float, packets: int
) -> None:
    assert packets_to_bound(loss_goal) == packets
