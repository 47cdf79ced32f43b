"""Several streams of the probe at once: told apart, however they share nodes and interfaces."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from emulator import MeasurementError, Network, Topo, UsageError
from emulator.measure.latency import summarise
from emulator.traffic.frames import FrameMix
from emulator.traffic.probe import Mechanism, ProbeResult, ProbeSpec, run_loaded, run_probe
from emulator.traffic.probe_streams import ProbeStream, run_probes
from emulator.traffic.schedule import OnOff, Poisson
from tests.system.test_probe import Dropping, both_mechanisms, check_consistency

pytestmark = [pytest.mark.root, pytest.mark.xdp]


class Star(Topo):
    """Three hosts on a switch"""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2", "h3"):
            self.addLink(self.addHost(name), switch)


@pytest.fixture(scope="module")
def star() -> Iterator[Network]:
    with Network(Star()) as net:
        yield net


def stream(net: Network, source: str, destination: str, **more: Any) -> ProbeStream:
    spec = ProbeSpec(**{"rate_pps": 2000, "duration_s": 0.2, **more})
    return ProbeStream(net[source], net[destination], spec)


def check_whole(result: ProbeResult) -> None:
    check_consistency(result)
    assert result.received == result.sent > 0
    assert (result.duplicated, result.reordered) == (0, 0)


@both_mechanisms
@pytest.mark.parametrize("behind", ["kernel", "app"])
@pytest.mark.parametrize("round_trip", [False, True])
def test_a_stream_is_measured_beside_a_load(
    star: Network, mechanism: Mechanism, behind: Mechanism, round_trip: bool
) -> None:
    measured = ProbeSpec(1000, 0.2, mechanism=mechanism, round_trip=round_trip, pattern=Poisson())
    background = ProbeSpec(
        20_000, 1.0, mechanism=behind, record=False, frames=FrameMix.imix(), pattern=OnOff()
    )
    result, load = run_loaded(star["h1"], star["h2"], measured, background)
    check_whole(result)
    check_whole(load)
    assert load.received_bytes == load.sent_bytes
    assert summarise(result).count == result.received
    assert load.received_ns is None
    if len(os.sched_getaffinity(0)) > 1:
        assert result.spec.core != load.spec.core
    assert load.start_ns < result.start_ns
    assert load.start_ns + load.elapsed_ns > result.start_ns + result.elapsed_ns


def test_a_load_as_fast_as_possible_is_none_of_the_measured_stream(star: Network) -> None:
    measured, background = ProbeSpec(1000, 0.2), ProbeSpec(None, 1.0, record=False)
    result, load = run_loaded(star["h1"], star["h2"], measured, background)
    check_consistency(result)
    check_consistency(load)
    assert result.sent + result.unsent == 200
    assert load.sent > result.sent


def test_a_core_that_was_asked_for_is_kept(star: Network) -> None:
    for core in (0, min(1, len(os.sched_getaffinity(0)) - 1)):
        measured, background = ProbeSpec(1000, 0.05, core=core), ProbeSpec(1000, 0.05)
        result, _ = run_loaded(star["h1"], star["h2"], measured, background)
        assert result.spec.core == core
        _, load = run_loaded(star["h1"], star["h2"], background, measured)
        assert load.spec.core == core


def test_both_streams_may_be_recorded(star: Network) -> None:
    specs = ProbeSpec(1000, 0.2), ProbeSpec(3000, 0.2, pattern=Poisson())
    for result in run_loaded(star["h1"], star["h2"], *specs):
        check_whole(result)
        assert result.received_ns is not None
        assert np.count_nonzero(result.received_ns) == result.received


def test_what_is_lost_of_each_stream_is_told_apart() -> None:
    with Network(Dropping(every=10)) as net:
        client, server = net["client"], net["server"]
        result, load = run_loaded(
            client, server, ProbeSpec(1000, 0.5), ProbeSpec(9000, 1.0, record=False)
        )
    check_consistency(result)
    check_consistency(load)
    assert abs(result.lost + load.lost - (result.sent + load.sent) / 10) <= 1
    assert load.lost > 0


def test_streams_in_both_directions(star: Network) -> None:
    there, back = run_probes(
        [
            stream(star, "h1", "h2", round_trip=True),
            stream(star, "h2", "h1", round_trip=True, frames=FrameMix.imix(), rate_pps=1000),
        ]
    )
    for result in (there, back):
        check_whole(result)
        assert result.reflected == result.sent
    assert (there.source, there.destination, back.source) == ("h1", "h2", "h2")
    assert back.received_bytes == back.sent_bytes


def test_four_streams_meet_at_an_interface_and_no_more(star: Network) -> None:
    streams = [
        stream(star, "h1", "h2"),
        stream(star, "h3", "h2", record=False, frames=FrameMix.imix()),
        stream(star, "h1", "h2", rate_pps=1000, pattern=Poisson(), frames=FrameMix.imix()),
        stream(star, "h3", "h2", rate_pps=500, mechanism="app"),
        stream(star, "h3", "h2", rate_pps=500, round_trip=True),
    ]
    # Packets of the app mechanism need no place in a recorder.
    results = run_probes(streams)
    for result, asked in zip(results, streams, strict=True):
        assert result.spec == asked.spec
        check_consistency(result)
        assert result.received == result.sent > 0
    with pytest.raises(UsageError, match="at most 4 can be told apart"):
        run_probes([*streams, stream(star, "h1", "h2")])


def test_records_of_all_streams_have_to_fit(star: Network) -> None:
    streams = [stream(star, "h1", "h2", rate_pps=1e6, duration_s=45.0) for _ in range(2)]
    with pytest.raises(UsageError, match="too many to record"):
        run_probes(streams)


def test_probes_at_the_same_time_do_not_disturb_each_other(star: Network) -> None:
    """A short one that ends takes nothing away that a longer one needs."""
    client = star["h1"]
    ends = [(client.netns, "h1-eth0"), client.far_end("h1-eth0")]

    def offloads() -> list[str]:
        return [
            netns.run(subprocess.check_output, ["ethtool", "-k", name], text=True)
            for netns, name in ends
        ]

    before = offloads()
    for mechanism in ("kernel", "app"):
        with ThreadPoolExecutor(2) as pool:
            probes = [
                pool.submit(
                    run_probe,
                    client,
                    star[to],
                    ProbeSpec(1000, duration_s, mechanism=mechanism),
                )
                for to, duration_s in (("h2", 1.0), ("h3", 0.05))
            ]
            for each in probes:
                check_whole(each.result())
    assert offloads() == before


def test_a_stream_keeps_the_number_it_was_given(star: Network) -> None:
    client, server = star["h1"], star["h2"]
    streams = [
        ProbeStream(client, server, ProbeSpec(1000, 0.1), flow=flow) for flow in (7, None, 0)
    ]
    for result in run_probes(streams):
        check_whole(result)


def test_a_failing_stream_takes_the_others_with_it(star: Network) -> None:
    with pytest.raises(UsageError, match="core 1000"):
        run_probes([stream(star, "h1", "h2"), stream(star, "h1", "h2", core=1000)])
    with pytest.raises(UsageError, match="from one node to another"):
        run_probes([stream(star, "h1", "h2"), stream(star, "h1", "h1")])
    star["h3"].cmd("ip link set h3-eth0 down")
    with pytest.raises(MeasurementError, match="the link is down"):
        run_probes([stream(star, "h1", "h2"), stream(star, "h1", "h3")])
    star["h3"].cmd("ip link set h3-eth0 up")
    assert "prog/" not in star["h2"].cmd("ip link show h2-eth0")
