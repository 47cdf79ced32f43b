"""The honesty gate: each rule, on what was watched during trials that went wrong in one way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.kernel.proc import NS_PER_TICK
from emulator.measure.honesty import (
    HINDRANCES,
    HOG_SHARE,
    MAX_DISTURBED_SHARE,
    MAX_LOADED_SHARE,
    MIN_TICKS,
    Finding,
    blind_spots,
    check_trial,
    is_valid,
)
from emulator.measure.sensors import Sensors
from tests.unit.readings import NONE, S, cpu_use, node_use, other, reading, sensors


def only(findings: list[Finding], rule: str) -> Finding:
    (finding,) = [each for each in findings if each.rule == rule]
    return finding


def severities(findings: list[Finding]) -> dict[str, str]:
    return {each.rule: each.severity for each in findings}


@pytest.mark.parametrize("exact", [True, False])
def test_nothing_is_said_of_a_trial_in_which_nothing_went_wrong(exact: bool) -> None:
    assert check_trial(sensors(), exact=exact) == []


@pytest.mark.parametrize(("unsent", "severity"), [(50, "warn"), (100, "warn"), (102, "invalid")])
def test_packets_that_were_not_sent_are_the_generators_failure(unsent: int, severity: str) -> None:
    watched = sensors(sent=10_000 - unsent, unsent=unsent)
    finding = only(check_trial(watched), "unsent")
    assert finding.severity == severity
    assert finding.value == pytest.approx(unsent / 10_000)
    assert f"{unsent} of 10000" in finding.text


def test_in_a_search_packets_that_were_not_sent_are_part_of_the_answer() -> None:
    watched = sensors(sent=5_000, unsent=5_000, offered_pps=5_000.0)
    findings = check_trial(watched, exact=False)
    assert severities(findings) == {"unsent": "warn", "generator": "warn"}
    assert is_valid(findings)


def test_a_generator_that_cannot_keep_up_is_told_with_what_it_can() -> None:
    finding = only(check_trial(sensors(offered_pps=7_500.0)), "generator")
    assert finding.severity == "invalid"
    assert "7,500 packets/s of the 10,000" in finding.text
    assert "all it can do" in finding.text
    assert (finding.value, finding.limit) == (0.75, 0.99)


def test_a_generator_that_was_kept_from_running_is_not_called_slow() -> None:
    watched = sensors(offered_pps=7_500.0, generator_wait_ns=S // 4)
    assert "kept from running for 25 %" in only(check_trial(watched), "generator").text


def test_as_fast_as_possible_is_always_enough() -> None:
    assert check_trial(sensors(asked_pps=None, offered_pps=1.0)) == []


@pytest.mark.parametrize(
    ("exact", "limit"), [(True, MAX_DISTURBED_SHARE), (False, MAX_LOADED_SHARE)]
)
def test_a_generator_without_a_cpu_spoils_a_trial(exact: bool, limit: float) -> None:
    at_most = sensors(generator_wait_ns=round(limit * S))
    assert check_trial(at_most, exact=exact) == []
    hog = reading(others=(other(0.5),))
    beyond = sensors(hog, generator_wait_ns=round(limit * S) + S // 100)
    finding = only(check_trial(beyond, exact=exact), "generator-wait")
    assert finding.severity == "invalid"
    assert finding.limit == limit
    assert "python3 hog.py (77)" in finding.text


@pytest.mark.parametrize(
    ("exact", "carriers_ns", "others_ns", "severity"),
    [
        (False, S // 10, 0, "warn"),
        (False, S // 10, S // 25, "warn"),
        (True, S // 10, 0, "invalid"),
        (False, S // 25, 0, "invalid"),
        (False, S // 10, S // 10, "invalid"),
    ],
)
def test_a_generator_that_waits_for_the_path_is_what_is_measured_at_high_loads(
    exact: bool, carriers_ns: int, others_ns: int, severity: str
) -> None:
    """It waited for a tenth of the time; somebody else explains at most half of that."""
    used = reading(others=(other(others_ns / S),) if others_ns else ())
    machine = replace(used.machine, carriers_cpu_ns=carriers_ns)
    watched = sensors(replace(used, machine=machine), generator_wait_ns=S // 10)
    finding = only(check_trial(watched, exact=exact), "generator-wait")
    assert finding.severity == severity
    assert ("threads that carry packets" in finding.text) == (severity == "warn")


def test_a_vnf_without_a_cpu_spoils_a_trial_when_others_had_it() -> None:
    waiting = node_use("fw", wait_ns=S // 4)
    finding = only(
        check_trial(sensors(reading(nodes=(waiting,), others=(other(0.5),)))), "vnf-wait"
    )
    assert finding.severity == "invalid"
    assert "fw was ready to work and had no CPU for 25 %" in finding.text
    assert "hog.py" in finding.text


def test_no_vnf_waits_for_more_than_all_of_the_time() -> None:
    threads = node_use("fw", wait_ns=13 * S // 10)
    finding = only(check_trial(sensors(reading(nodes=(threads,)))), "vnf-wait")
    assert "had no CPU for 1.3 s in all, where the trial took 1 s" in finding.text
    assert finding.value == pytest.approx(1.3)


def test_vnfs_that_wait_for_each_other_are_what_is_measured() -> None:
    crowd = tuple(node_use(f"fw{number}", wait_ns=S // 2) for number in range(3))
    findings = check_trial(sensors(reading(nodes=crowd)))
    assert [each.severity for each in findings] == ["warn"] * 3
    assert all("more CPUs than there are" in each.text for each in findings)


def test_a_hog_is_named_with_its_number_and_its_share() -> None:
    findings = check_trial(sensors(reading(others=(other(0.42),))))
    assert severities(findings) == {"hog": "warn"}
    assert "process 77 (python3 hog.py) took 42 % of a CPU" in findings[0].text
    assert findings[0].value == 0.42
    assert "lab" not in findings[0].text


def test_a_hog_that_disturbed_the_generator_spoils_the_trial() -> None:
    watched = sensors(reading(others=(other(0.42),)), generator_wait_ns=S // 5)
    assert only(check_trial(watched), "hog").severity == "invalid"


@pytest.mark.parametrize(("last_cpu", "severity"), [(1, "invalid"), (0, "warn")])
def test_a_hog_on_the_cpu_that_the_generator_is_pinned_to_spoils_the_trial(
    last_cpu: int, severity: str
) -> None:
    watched = sensors(reading(others=(other(last_cpu=last_cpu),)), generator_cpus=(1,))
    finding = only(check_trial(watched), "hog")
    assert finding.severity == severity
    assert ("CPU 1, which the probe" in finding.text) == (severity == "invalid")


def test_so_does_one_on_the_cpu_of_a_pinned_vnf_but_not_on_one_of_many() -> None:
    pinned, free = node_use("fw", cpus=(0,)), node_use("fw", cpus=(0, 1))
    hog = other(last_cpu=0)
    finding = only(check_trial(sensors(reading(nodes=(pinned,), others=(hog,)))), "hog")
    assert finding.severity == "invalid"
    assert "which fw cannot do without" in finding.text
    spared = only(check_trial(sensors(reading(nodes=(free,), others=(hog,)))), "hog")
    assert spared.severity == "warn"


def test_a_hog_inside_of_the_lab_is_told_as_such() -> None:
    findings = check_trial(sensors(reading(others=(other(in_lab=True),))))
    assert "inside of the lab" in findings[0].text


@pytest.mark.parametrize(
    "small", [other(HOG_SHARE / 2), other(0.5, cpu_ns=MIN_TICKS * NS_PER_TICK)]
)
def test_who_took_little_or_no_more_than_ticks_can_tell_is_no_hog(small: Any) -> None:
    assert check_trial(sensors(reading(others=(small,)))) == []


def test_cpu_time_of_processes_that_nobody_can_name_is_a_warning() -> None:
    findings = check_trial(sensors(reading(unexplained_ns=S // 2)))
    assert severities(findings) == {"unexplained": "warn"}
    assert check_trial(sensors(reading(unexplained_ns=S // 5))) == []


@pytest.mark.parametrize(
    ("steal_ns", "exact", "found"),
    [
        (MIN_TICKS * NS_PER_TICK, True, False),
        (3 * NS_PER_TICK, True, True),
        (3 * NS_PER_TICK, False, False),
        (6 * NS_PER_TICK, False, True),
    ],
)
def test_time_that_the_hypervisor_took_spoils_a_trial(
    steal_ns: int, exact: bool, found: bool
) -> None:
    findings = check_trial(sensors(reading(cpu_use(0), cpu_use(1, steal_ns=steal_ns))), exact=exact)
    assert severities(findings) == ({"steal": "invalid"} if found else {})
    assert all("CPU 1" in each.text for each in findings)


@pytest.mark.parametrize(
    ("lost", "exact", "severity"),
    [(0, True, "note"), (5, True, "warn"), (500, True, "invalid"), (500, False, "warn")],
)
def test_full_queues_spoil_a_trial_that_lost_packets(lost: int, exact: bool, severity: str) -> None:
    watched = sensors(reading(cpu_use(0, dropped=300), cpu_use(1, dropped=200)), lost=lost)
    finding = only(check_trial(watched, exact=exact), "softnet")
    assert finding.severity == severity
    assert "dropped 500 frames" in finding.text


@pytest.mark.parametrize(
    ("mode", "found"), [("native", False), ("generic", True), ("native+generic", True)]
)
def test_generic_xdp_spoils_a_trial(mode: str, found: bool) -> None:
    findings = check_trial(sensors(modes={"fw": mode, "fwd": "native, zero-copy"}))
    assert severities(findings) == ({"generic-xdp": "invalid"} if found else {})
    assert all("fw" in each.text for each in findings)


@pytest.mark.parametrize(
    ("end_hz", "found"), [(2_050_000_000, False), (3_000_000_000, True), (1_500_000_000, True)]
)
def test_a_change_of_frequency_is_a_warning(end_hz: int, found: bool) -> None:
    cpu = cpu_use(1, begin_hz=2_000_000_000, end_hz=end_hz)
    findings = check_trial(sensors(reading(cpu_use(0), cpu)))
    assert severities(findings) == ({"frequency": "warn"} if found else {})
    assert all("CPU 1 ran at 2.00 GHz" in each.text for each in findings)


def test_a_cpu_that_slowed_down_for_heat_spoils_a_trial() -> None:
    findings = check_trial(sensors(reading(cpu_use(0, throttled=2), cpu_use(1, throttled=0))))
    assert severities(findings) == {"throttled": "invalid"}
    assert "CPU 0 slowed itself down 2 times" in findings[0].text


@pytest.mark.parametrize(
    ("overrun", "exact", "severity"),
    [(5, True, "warn"), (500, True, "invalid"), (500, False, "warn")],
)
def test_a_receiver_that_is_too_slow_is_told(overrun: int, exact: bool, severity: str) -> None:
    watched = sensors(overrun=overrun, lost=overrun)
    assert only(check_trial(watched, exact=exact), "overrun").severity == severity


def test_wires_that_are_late_or_lose_what_they_should_not_are_told() -> None:
    findings = check_trial(sensors(wire_late=500, wire_unasked=1))
    assert severities(findings) == {"wire-unasked": "invalid", "wire-late": "invalid"}
    assert severities(check_trial(sensors(wire_late=5))) == {"wire-late": "warn"}


def test_deep_idle_states_are_noted_where_they_could_not_be_kept_out() -> None:
    assert severities(check_trial(sensors(idle_states_kept_out=False))) == {"idle-states": "note"}
    assert check_trial(sensors(idle_states_kept_out=None)) == []


def test_generic_xdp_is_no_hindrance_but_another_path() -> None:
    """It is the one rule whose trials say nothing, not even of a load that has arrived."""
    busy = sensors(generator_wait_ns=S, unsent=5_000, overrun=200, wire_late=300, wire_unasked=5)
    broken = {each.rule for each in check_trial(busy) if each.severity == "invalid"}
    assert len(broken) >= 5
    assert broken <= HINDRANCES
    generic = check_trial(sensors(modes={"vnf1": "generic XDP"}))
    assert not {each.rule for each in generic} & HINDRANCES


def test_the_worst_comes_first_and_only_it_makes_a_trial_invalid() -> None:
    findings = check_trial(
        sensors(
            reading(cpu_use(0, throttled=1), unexplained_ns=S),
            unsent=1,
            idle_states_kept_out=False,
        )
    )
    assert [each.severity for each in findings] == ["invalid", "warn", "warn", "note"]
    assert not is_valid(findings)
    assert is_valid(findings[1:])


def test_what_cannot_be_watched_is_told_apart_and_spoils_nothing() -> None:
    blind = sensors(reading(cpu_use(0, dropped=NONE)), generator_wait_ns=NONE)
    assert check_trial(blind) == []
    spots = blind_spots(blind)
    assert {each.rule for each in spots} == {"generator-wait", "softnet", "frequency", "throttled"}
    assert all(NONE.because in each.text and each.severity == "note" for each in spots)


@given(
    unsent=st.integers(0, 10_000),
    lost=st.integers(0, 10_000),
    overrun=st.integers(0, 10_000),
    wait_ns=st.integers(0, S),
    vnf_wait_ns=st.integers(0, S),
    steal_ns=st.integers(0, S),
    dropped=st.integers(0, 2**32),
    share=st.floats(0, 2),
)
def test_what_spoils_a_loaded_trial_spoils_an_exact_one_and_every_finding_is_whole(
    unsent: int,
    lost: int,
    overrun: int,
    wait_ns: int,
    vnf_wait_ns: int,
    steal_ns: int,
    dropped: int,
    share: float,
) -> None:
    watched: Sensors = sensors(
        reading(
            cpu_use(0, steal_ns=steal_ns, dropped=dropped),
            nodes=(node_use(wait_ns=vnf_wait_ns),),
            others=(other(share),),
        ),
        sent=10_000,
        unsent=unsent,
        lost=lost,
        overrun=overrun,
        generator_wait_ns=wait_ns,
    )
    exact, loaded = check_trial(watched), check_trial(watched, exact=False)
    assert not (is_valid(exact) and not is_valid(loaded))
    for finding in (*exact, *loaded):
        assert finding.text
        assert not finding.text.endswith(".")
        assert finding.severity in ("invalid", "warn", "note")
    calm = replace(watched, unsent=0, lost=0, overrun=0, generator_wait_ns=0, resources=reading())
    assert check_trial(calm) == []
