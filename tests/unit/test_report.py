"""The tables, the notes below them and the picture, from summaries as a run leaves them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from emulator.experiment.distribution import Distribution
from emulator.experiment.measured import FindingRecord, HopSegmentRecord, HopsRecord
from emulator.experiment.measured_throughput import (
    BackToBackRecord,
    BenchLimitsRecord,
    LoadedLatencyRecord,
    LoadPointRecord,
)
from emulator.experiment.measured_verdicts import SlaRecord, SoakIntervalRecord, SoakRecord
from emulator.experiment.plot import Curve, draw_cdf
from emulator.experiment.records import CaseRecord, ContainerRecord, SummaryRecord
from emulator.experiment.report import render
from emulator.experiment.report_notes import findings, notes, title
from emulator.experiment.summary import compared, latency_over
from emulator.experiment.words import grouped, microseconds, percent, share, significant
from tests.measured_runs import (
    QUICK,
    case,
    cost,
    interval,
    latency,
    search,
    throughput,
    traffic,
    trial,
)
from tests.measured_runs import summary as plain_summary


def summary(*cases: CaseRecord, **changed: Any) -> SummaryRecord:
    return plain_summary(*compared(cases), **changed)


def printed(of: SummaryRecord, width: int = 100) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(render(of))
    return file.getvalue()


def row(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(name))


NONE = case("none", 360, 4_500_000, 220, probe_limited=True)
XDP = case("xdp", 750, 3_520_000, 290)
KERNEL = case("kernel", 2420, 463_000, 2150, lost=250)


def test_a_row_tells_each_number_in_its_unit() -> None:
    text = printed(summary(NONE, XDP, KERNEL))
    latencies = ["0.750", "1.50", "2.25", "3.00", "75.0"]
    others = ["0/20000", "3.52", "1.80", "290"]
    assert row(text, "xdp") == ["xdp", *latencies, *others]
    assert row(text, "kernel")[6:8] == ["1.25", "%"]
    assert "client → server" in text
    assert "veth" in text


def numbers(text: str, name: str) -> list[str]:
    """The cells of a row, however far apart they are."""
    return row(text, name)[1:]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_a_terminal_and_cuts_no_number(width: int) -> None:
    busy = case("kernel", 5_870, 442_000, 1012, probe_limited=True)
    late = trial(latency(5_870)).model_copy(update={"valid": False})
    busy = busy.model_copy(
        update={
            "trials": (late,),
            "throughputs": (throughput(442_000, valid=False, probe_limited=True),),
            "cost": cost(1012, valid=False),
        }
    )
    of = summary(NONE, XDP, busy, PACKET)
    text = printed(of, width)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for name in ("none", "xdp", "kernel"):
        assert numbers(text, name) == numbers(printed(of, 1000), name)


def test_where_nothing_helps_numbers_go_on_in_the_next_line() -> None:
    text = printed(summary(NONE, XDP, KERNEL), 40)
    assert "…" not in text
    digits = "".join(char for char in printed(summary(KERNEL), 1000) if char.isdigit())
    folded = "".join(char for char in printed(summary(KERNEL), 40) if char.isdigit())
    assert sorted(folded) == sorted(digits)


def test_each_setting_that_varies_has_a_column() -> None:
    both = [
        each.model_copy(
            update={
                "name": f"{each.name},length=2",
                "settings": {"vnf": "forward", **each.settings, "length": "2"},
                "varied": {**each.settings, "length": "2"},
            }
        )
        for each in (NONE, XDP)
    ]
    text = printed(summary(*both))
    assert row(text, "dataplane")[:2] == ["dataplane", "length"]
    assert row(text, "xdp")[:3] == ["xdp", "2", "0.750"]


def test_a_case_without_settings_goes_by_its_name() -> None:
    only = XDP.model_copy(update={"name": "default", "settings": {}, "varied": {}})
    text = printed(summary(only))
    assert row(text, "case")[0] == "case"
    assert row(text, "default")[1] == "0.750"


def test_p999_is_printed_only_where_the_sample_supports_it() -> None:
    few = case("xdp", 750, 1_000_000, 290, p999=False)
    assert "p99.9" not in printed(summary(few))
    text = printed(summary(few, KERNEL))
    assert "p99.9" in text
    assert row(text, "xdp")[4] == "–"


def test_a_generator_at_its_limit_is_flagged_and_explained() -> None:
    text = printed(summary(NONE, XDP))
    assert row(text, "none")[7] == "≥4.50"
    assert "≥ probe-limited" in text
    assert "≥" not in printed(summary(XDP))


def test_a_rate_near_that_of_the_path_without_vnf_is_flagged_as_the_benchs() -> None:
    near = case("xdp", 750, 4_100_000, 290)
    text = printed(summary(NONE, near, KERNEL))
    assert row(text, "xdp")[7] == "†4.10"
    assert row(text, "kernel")[8] == "0.463"
    assert "† bench-limited" in text


def test_a_ceiling_from_a_disturbed_generator_limits_nothing() -> None:
    low = (throughput(2_000_000.0, valid=False),)
    found = summary(NONE.model_copy(update={"throughputs": low}), XDP).case("dataplane=xdp")
    assert found.throughput
    assert not found.throughput.bench_limited


PACKET = case("packet", 5_000, 400_000, 2_900, mode="AF_PACKET ring")
PACKET = PACKET.model_copy(
    update={"vnfs": (PACKET.vnfs[0].model_copy(update={"idle": "poll", "idle_cpu_ratio": 0.998}),)}
)


def test_idle_cpu_is_shown_where_a_vnf_is_a_process() -> None:
    assert "idle" not in printed(summary(NONE, XDP))
    calm = PACKET.vnfs[0].model_copy(update={"idle": "wait", "idle_cpu_ratio": 0.0021})
    several = PACKET.model_copy(
        update={
            "name": "dataplane=dpdk",
            "varied": {"dataplane": "dpdk"},
            "vnfs": (calm, calm, PACKET.vnfs[0]),
        }
    )
    quiet = PACKET.model_copy(
        update={
            "name": "dataplane=afxdp",
            "varied": {"dataplane": "afxdp"},
            "vnfs": (calm,),
        }
    )
    text = printed(summary(NONE, XDP, PACKET, quiet, several))
    shown = {name: row(text, name)[-1] for name in ("none", "xdp", "packet", "afxdp", "dpdk")}
    assert shown == {"none": "–", "xdp": "0", "packet": "100", "afxdp": "0.2", "dpdk": "100"}
    assert "in percent of a core" in text
    unknown = PACKET.model_copy(
        update={"vnfs": (PACKET.vnfs[0].model_copy(update={"idle_cpu_ratio": None}),)}
    )
    assert row(printed(summary(unknown)), "packet")[-1] == "–"


def test_the_hint_for_disturbed_trials_tells_how_to_keep_processes_apart() -> None:
    def disturbed(of: CaseRecord) -> CaseRecord:
        assert of.cost
        return of.model_copy(update={"cost": cost(of.cost.cpu_ns_per_packet, valid=False)})

    assert "--set cores=1" in printed(summary(disturbed(PACKET)))
    assert "--set cores=1" not in printed(summary(disturbed(XDP)))


def test_the_vnf_share_is_the_difference_to_the_path_without_vnf() -> None:
    shared = summary(NONE, XDP, KERNEL)
    share = shared.case("dataplane=xdp").vnf_share
    assert share is not None
    assert (share.baseline, share.p50_ns, share.cpu_ns_per_packet) == ("dataplane=none", 390, 70)
    assert shared.case("dataplane=none").vnf_share is None
    text = printed(shared).partition("VNF share")[2]
    assert row(text, "xdp") == ["xdp", "+0.390", "+70", "dataplane=none"]


def test_a_share_below_the_noise_stays_negative() -> None:
    text = printed(summary(NONE, case("xdp", 350, 4_000_000, 200))).partition("VNF share")[2]
    assert row(text, "xdp")[1:3] == ["-0.010", "-20"]


def test_without_a_baseline_there_is_no_share() -> None:
    assert "VNF share" not in printed(summary(XDP, KERNEL))


def test_a_failed_case_says_why_and_the_others_are_printed() -> None:
    failed = CaseRecord(
        name="dataplane=dpdk",
        settings={"dataplane": "dpdk"},
        varied={"dataplane": "dpdk"},
        status="failed",
        error="vnf1: clang is missing",
        error_hint="apt-get install clang",
    )
    text = printed(summary(XDP, failed))
    assert row(text, "dpdk")[1:] == ["–"] * 9
    assert "dataplane=dpdk: failed: vnf1: clang is missing (apt-get install clang)" in text
    assert row(text, "xdp")[1] == "0.750"
    alone = printed(summary(failed)).splitlines()
    assert len(alone) == 2
    assert "failed" in alone[1]


def test_cases_that_never_began_are_named() -> None:
    text = printed(summary(XDP, not_begun=[f"length={number}" for number in range(1, 15)]))
    assert "not begun: length=1; length=2; " in text
    assert text.rstrip().endswith("length=12; and 2 more")
    assert "not begun" not in printed(summary(XDP))


def test_unsent_packets_are_told_apart_from_lost_ones() -> None:
    text = printed(summary(case("xdp", 750, 1_000_000, 290, unsent=1234)))
    assert row(text, "xdp")[6] == "0/20000"
    assert "never sent, the generator's failure and no loss: dataplane=xdp 1 234." in text


def test_latencies_of_a_generator_off_its_schedule_are_called_invalid() -> None:
    late = trial(latency(5_000), unsent=9_000).model_copy(update={"valid": False})
    busy = case("xdp", 5_000, 1_000_000, 290).model_copy(update={"trials": (late,)})
    text = printed(summary(busy, KERNEL))
    assert row(text, "xdp")[1] == "‡5.00"
    assert row(text, "kernel")[1] == "2.42"
    assert "‡ invalid: the probe, or what impairs links, was kept from its work" in text
    assert "of the frames of impaired links" not in text
    assert "‡" not in printed(summary(KERNEL))


def test_what_wires_did_unasked_is_told_of_the_trials_it_makes_invalid() -> None:
    troubled = trial(latency(5_000)).model_copy(
        update={"valid": False, "wire_late": 1500, "wire_unasked": 2}
    )
    busy = case("xdp", 5_000, 1_000_000, 290).model_copy(update={"trials": (troubled,)})
    text = " ".join(printed(summary(busy, KERNEL)).split())
    assert (
        "dataplane=xdp: of the frames of impaired links 1 500 went out more than 100 µs late "
        "and 2 were lost that nobody asked to lose." in text
    )


def test_a_rate_that_the_wires_limited_is_a_lower_bound() -> None:
    slow = (throughput(1_000_000, wire_limited=True),)
    text = printed(summary(case("xdp", 5_000, None, 290, throughputs=slow)))
    assert "≥ wire-limited" in text
    assert "probe-limited" not in text


@pytest.mark.parametrize(("cores", "advised"), [((), True), ((1,), False)])
def test_cores_are_advised_where_a_process_may_have_disturbed_the_generator(
    cores: tuple[int, ...], advised: bool
) -> None:
    late = trial(latency(5_000), unsent=9_000).model_copy(update={"valid": False})
    busy = case("packet", 5_000, 1_000_000, 290)
    vnf = busy.vnfs[0].model_copy(update={"idle": "spin:20us,wait", "cores": cores})
    busy = busy.model_copy(update={"trials": (late,), "vnfs": (vnf,)})
    assert any("keep them apart" in note for note in notes(summary(busy))) is advised


def test_rates_and_costs_of_a_disturbed_generator_are_called_invalid() -> None:
    disturbed = {
        "throughputs": (throughput(3_520_000, valid=False),),
        "cost": cost(290, valid=False),
    }
    cells = row(printed(summary(XDP.model_copy(update=disturbed))), "xdp")
    assert cells[7:10] == ["‡3.52", "‡1.80", "‡290"]
    assert cells[1] == "0.750"
    share = printed(summary(NONE, XDP.model_copy(update=disturbed))).partition("VNF share")[2]
    assert row(share, "xdp")[1:3] == ["+0.390", "‡+70"]


def test_of_the_attempts_at_a_round_the_least_disturbed_one_counts() -> None:
    late = trial(latency(9_000), unsent=9_000, lost=50).model_copy(update={"valid": False})
    later = trial(latency(8_000), number=2, unsent=800).model_copy(update={"valid": False})
    good = trial(latency(700), number=3)
    other = trial(latency(900), number=4, lost=1).model_copy(update={"round": 2})
    record = case("xdp", 700, 1, 1).model_copy(update={"trials": (late, later, good, other)})
    assert record.counted_trials == (good, other)
    assert (record.valid, record.lost, record.unsent) == (True, 1, 0)
    assert record.model_copy(update={"trials": (late, later)}).counted_trials == (later,)
    assert not record.model_copy(update={"trials": (late, later)}).valid


def test_a_slow_xdp_mode_is_told() -> None:
    assert any(
        "generic mode" in note for note in notes(summary(case("xdp", 1, 1, 1, mode="generic")))
    )
    assert not any("mode" in note for note in notes(summary(XDP)))


def test_a_container_that_was_held_back_by_its_limit_is_told() -> None:
    box = ContainerRecord(node="fw", image="i", image_id="sha256:1", image_digest=None, cpus=0.5)
    free = XDP.model_copy(update={"containers": (box,)})
    assert not any("kept off" in note for note in notes(summary(free)))
    held = box.model_copy(update={"throttled_ns": 1_250_000_000})
    (note,) = notes(summary(XDP.model_copy(update={"containers": (held, box)})))[-1:]
    assert "fw was kept off the CPUs for 1.25 s" in note
    assert "0.5 CPUs" in note


def test_a_search_that_found_nothing_is_told() -> None:
    text = printed(summary(case("xdp", 750, None, 290)))
    assert row(text, "xdp")[7:9] == ["–", "–"]
    assert "no rate that was tried met the goal quick" in text


def test_several_trials_give_their_medians_and_the_extremes_of_all() -> None:
    found = latency_over([trial(latency(value)) for value in (700, 900, 800)])
    assert found is not None
    assert (found.p50_ns, found.p99_ns) == (800, 2400)
    assert (found.min_ns, found.max_ns, found.count) == (350, 90_000, 60_000)


def test_a_percentile_one_trial_cannot_support_stays_out() -> None:
    found = latency_over([trial(latency(700)), trial(latency(700, p999=False), number=2)])
    assert found is not None
    assert found.p999_ns is None
    assert found.p99_ns == 2100


def test_trials_of_which_nothing_arrived_have_no_latency() -> None:
    assert latency_over([trial(latency(None), lost=20_000)]) is None
    assert latency_over([]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.36, "0.360"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (12345.6, "12 346"),
        (-0.01, "-0.010"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_numbers_as_people_read_them() -> None:
    assert microseconds(None) == "–"
    assert microseconds(2420) == "2.42"
    assert grouped(1_000_000.0) == "1 000 000"
    assert grouped(0.5) == "0.5"
    assert percent(0.001) == "0.1 %"
    assert percent(0.000005) == "0.0005 %"


def sample(packets: int, seed: int = 1) -> Distribution:
    delays: NDArray[np.float64] = np.random.default_rng(seed).lognormal(6, 0.3, packets)
    return Distribution.of(delays.astype(np.int64))


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("one packet", [Distribution.of(np.array([500]))], 500, None)],
        [
            Curve(
                "nothing arrived", [Distribution.of(np.array([], dtype=np.int64))], None, None, 1.0
            )
        ],
        [Curve("in no time", [Distribution.of(np.zeros(1000, dtype=np.int64))], 0, 0)],
        [
            Curve(f"_dataplane=kernel,length={n},$x={'long' * 8}", [sample(500, n)], 400, 800, 0.1)
            for n in range(25)
        ],
        [Curve("three trials", [sample(3000, n) for n in range(3)], 400, 800, 0.01)],
    ],
    ids=["no case", "one packet", "nothing arrived", "zero", "many", "trials"],
)
def test_the_picture_is_drawn_whatever_was_measured(curves: list[Curve]) -> None:
    file = io.BytesIO()
    draw_cdf(file, curves, title="chain: one-way latency", subtitle="veth")
    width, height = png_size(file.getvalue())
    assert width >= 1200
    assert height >= 700


def test_the_picture_of_a_million_packets_takes_few_points() -> None:
    file = io.BytesIO()
    draw_cdf(file, [Curve("many", [sample(1_000_000)], 400, 800)], title="t", subtitle="s")
    assert len(file.getvalue()) < 300_000


def test_impaired_links_are_told_of_the_cases_that_have_them() -> None:
    near = {"h1-eth0<->s1-eth1": "5ms [wire]"}
    one = case("xdp", 750, 1_000_000, 290).model_copy(
        update={"impaired_links": {**near, "h2-eth0<->s1-eth2": "1% loss [wire]"}}
    )
    other = KERNEL.model_copy(update={"impaired_links": near})
    lines = [line.strip() for line in printed(summary(one, other)).splitlines()]
    assert "h1-eth0<->s1-eth1: 5ms [wire]" in lines
    assert "h2-eth0<->s1-eth2: 1% loss [wire] (dataplane=xdp)" in lines


def test_what_varies_of_the_traffic_is_in_the_table_and_the_rest_in_the_title() -> None:
    small, large = (
        case("xdp", 750, 1e6, 290, name=f"size={size}", varied={"size": size}, traffic=of)
        for size, of in (("64", traffic("64")), ("1518", traffic("1518")))
    )
    text = printed(summary(small, large))
    assert row(text, "size")[:2] == ["size", "µs"]
    assert row(text, "1518")[:2] == ["1518", "0.750"]
    assert "B frames" not in title(summary(small, large))
    assert "10 000 packets/s · 64 B frames · probe" in title(summary(small))
    mixed = case("xdp", 750, 1e6, 290, traffic=traffic("imix", mean=353.8, pattern="poisson"))
    assert "10 000 packets/s · imix frames · poisson · probe" in title(summary(mixed))


def section(text: str, heading: str) -> str:
    """From the heading of a section on."""
    before, found, after = text.partition(heading)
    assert found, before
    return after


def test_intervals_and_spread_are_told_where_there_are_any() -> None:
    assert "interval" not in printed(summary(XDP))
    rounds = throughput(
        3_520_000, rounds=(3_500_000, 3_520_000, 3_600_000), interval=interval(3.5e6, 3.6e6)
    )
    sure = XDP.model_copy(
        update={"throughputs": (rounds,), "latency_intervals": {"p50_ns": interval(740, 762)}}
    )
    text = section(printed(summary(sure, KERNEL)), "95 % intervals (bootstrap over rounds)")
    assert " ".join(row(text, "xdp")) == "xdp [0.740, 0.762] [3.50, 3.60] 2.84 %"
    assert "kernel" not in text.partition("Spread")[0]


def test_several_goals_have_a_table_of_their_own() -> None:
    strict = QUICK.model_copy(update={"name": "csit-ndr", "loss_ratio": 0.0})
    both = XDP.model_copy(update={"throughputs": (throughput(2e6), throughput(1e6, goal=strict))})
    text = section(printed(summary(both)), "Throughput by goal")
    lines = [line.split() for line in text.splitlines() if line.strip().startswith("xdp")]
    assert lines[0][:5] == ["xdp", "quick", "0.1", "%", "2.00"]
    assert lines[1][:5] == ["xdp", "csit-ndr", "0", "%", "1.00"]


def test_latency_under_load_has_a_row_for_each_load() -> None:
    points = tuple(
        LoadPointRecord(
            load_ratio=load,
            background_pps=load * 2e6,
            background_offered_pps=load * 2e6,
            background_loss_ratio=0.0,
            latency=latency(p50_ns),
            sent=18_000,
            lost=lost,
            valid=load < 0.9,
        )
        for load, p50_ns, lost in ((0.0, 800, 0), (0.9, 3000, 180))
    )
    loaded = LoadedLatencyRecord(goal=QUICK, rate_pps=2e6, probe_pps=9000, points=points)
    text = printed(summary(XDP.model_copy(update={"loaded": loaded})))
    text = section(text, "Latency under load")
    lines = [line.split() for line in text.splitlines() if line.strip().startswith("xdp")]
    assert lines[0] == ["xdp", "0", "%", "0", "0.800", "2.40", "3.20", "0/18000"]
    assert lines[1] == ["xdp", "90", "%", "1", "800", "‡3.00", "‡9.00", "‡12.0", "1", "%"]
    assert "stream of 9 000 packets/s" in text


def sla(**changed: Any) -> SlaRecord:
    fields: dict[str, Any] = {
        "profile": "franka-fci",
        "source": "the manual",
        "cycle_ns": 1_000_000,
        "deadline_ns": 1_000_000,
        "consecutive_misses_allowed": 19,
        "payload_bytes": 370,
        "round_trip": True,
        "verdict": "fail",
        "reason": "24 misses in a row, 19 are allowed",
        "cycles": 20_000,
        "misses": 200,
        "lost": 3,
        "availability": 0.99999,
        "within_deadline": 0.99,
        "longest_run": 24,
        "run_lengths": {1: 176, 24: 1},
        "first_violation": 8123,
        "first_violation_ns": 8_123_000_000,
        "latency": latency(500_000),
        "valid": True,
    }
    return SlaRecord(**(fields | changed))


def test_a_violated_service_level_says_when_and_why() -> None:
    bad = XDP.model_copy(update={"sla": (sla(),)})
    good = KERNEL.model_copy(
        update={"sla": (sla(verdict="pass", first_violation=None, first_violation_ns=None),)}
    )
    text = section(printed(summary(bad, good), 200), "Service levels")
    assert " ".join(row(text, "xdp")) == (
        "xdp franka-fci 370 fail 99.999 % 99 % 200 24 19 packet 8 123, 8.12 s"
    )
    assert row(text, "kernel")[1:4] == ["franka-fci", "370", "pass"]
    assert "dataplane=xdp: franka-fci: 24 misses in a row, 19 are allowed." in text


def test_a_soak_a_burst_and_the_hops_are_told() -> None:
    intervals = tuple(
        SoakIntervalRecord(
            start_s=n, sent=100, lost=n == 1, unsent=0, p50_ns=700, p99_ns=900, max_ns=5000
        )
        for n in range(30)
    )
    soak = SoakRecord(
        rate_pps=1e5,
        interval_s=1,
        loss_goal=0.001,
        intervals=intervals,
        bad_intervals=1,
        longest_outage_s=1.0,
        drift_ns_per_s=-2.5,
        verdict="fail",
        valid=True,
    )
    burst = BackToBackRecord(
        frames=12_000, frames_min=11_000, frames_max=13_000, repeats=50, rate_pps=4e6, at_limit=True
    )
    segments = tuple(
        HopSegmentRecord(name=name, kind="link", mean_ns=mean, p50_ns=1, p99_ns=2, share=mean / 800)
        for name, mean in (("client → fw (link)", 200.0), ("fw → server (link)", 600.0))
    )
    hops = HopsRecord(
        segments=segments,
        packets=20_000,
        left_out=7,
        worst_sum_error_ns=3,
        p50_without_ns=750,
        p50_with_ns=900,
    )
    whole = XDP.model_copy(update={"soak": soak, "back_to_back": burst, "hops": hops})
    text = printed(summary(whole), 160)
    assert " ".join(row(section(text, "Soak\n"), "xdp")) == "xdp 100 30.0 30 1 1.00 -2.50 fail"
    assert " ".join(row(section(text, "Back-to-back"), "xdp")) == (
        "xdp ≥12 000 11 000 13 000 50 4.00"
    )
    by_hop = section(text, "latency by hop")
    assert " ".join(row(by_hop, "xdp")) == "xdp client → fw (link) link 0.001 0.002 0.200 25 %"
    assert "telemetry itself: p50 0.750 → 0.900 µs (+0.150)" in by_hop
    assert "within 3 ns" in by_hop


def test_the_bench_itself_is_told() -> None:
    limits = BenchLimitsRecord(
        mechanism="kernel",
        frames="64",
        ceiling_pps=4_800_000,
        floor_p50_ns=355,
        floor_p99_ns=None,
        measured_at="2031-05-04T12:00:00Z",
        reused=True,
    )
    text = printed(summary(XDP, bench=(limits,)), 160)
    assert "(kernel, 64 B, measured earlier): ceiling 4.80 Mpps; floor p50 0.355 µs." in text


def test_what_makes_a_trial_invalid_is_named_once_for_each_case() -> None:
    def found(severity: Any, text: str) -> FindingRecord:
        return FindingRecord(rule="cpu-hog", severity=severity, text=text)

    hog = found("invalid", "stress (pid 7) took 98 % of CPU 0")
    trials = tuple(
        trial(latency(700), number=n, round=n, findings=(hog, found("warn", f"steal {n}")))
        for n in (1, 2, 3)
    )
    both = [of.model_copy(update={"trials": trials}) for of in (XDP, KERNEL)]
    lines = findings(summary(*both))
    assert lines == [
        ("invalid", "dataplane=xdp, trial 1 and 2 more", f"cpu-hog: {hog.text}"),
        ("invalid", "dataplane=kernel, trial 1 and 2 more", f"cpu-hog: {hog.text}"),
        ("warn", "dataplane=xdp, trial 1 and 5 more", "cpu-hog: steal 1"),
    ]
    text = printed(summary(*both), 200)
    assert "invalid: dataplane=xdp, trial 1 and 2 more: cpu-hog: stress (pid 7)" in text
    assert "honesty gate" not in printed(summary(XDP))


def test_each_process_that_was_in_the_way_is_named_and_each_case_that_lost_packets() -> None:
    def found(rule: str, text: str, severity: Any = "warn") -> FindingRecord:
        return FindingRecord(rule=rule, severity=severity, text=text)

    hogs = [
        found("hog", f"process {pid} (stress) took {pid} % of a CPU", "invalid") for pid in (7, 8)
    ]
    again = found("hog", "process 7 (stress) took 9 % of a CPU", "invalid")
    trials = (
        trial(latency(700), findings=(*hogs, found("loss", "3 of 5 packets were lost"))),
        trial(latency(700), number=2, round=2, findings=(again,)),
    )
    other = (trial(latency(700), findings=(found("loss", "1 of 5 packets was lost"),)),)
    lines = findings(
        summary(
            XDP.model_copy(update={"trials": trials}), KERNEL.model_copy(update={"trials": other})
        )
    )
    assert [(where, text) for _, where, text in lines] == [
        ("dataplane=xdp, trial 1 and 1 more", f"hog: {hogs[0].text}"),
        ("dataplane=xdp, trial 1", f"hog: {hogs[1].text}"),
        ("dataplane=xdp, trial 1", "loss: 3 of 5 packets were lost"),
        ("dataplane=kernel, trial 1", "loss: 1 of 5 packets was lost"),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"ended": "time", "lower_pps": 0.9e6, "upper_pps": 1e6},
            "within 2 % of the limit; that lies between 900 kpps and 1.00 Mpps.",
        ),
        ({"ended": "time", "upper_pps": None}, "ran out of time before it was within 2 % of"),
        ({"ended": "generator", "lower_pps": None}, "kept from rates that it had given before."),
        ({"ended": "packets", "lower_pps": None}, "too few packets to tell a loss"),
        ({"lower_pps": None}, "found no rate that is carried for sure"),
    ],
)
def test_a_search_that_did_not_settle_says_why(changed: dict[str, Any], said: str) -> None:
    early = search(1e6, converged=False, **changed)
    unsettled = throughput(1e6).model_copy(update={"searches": (early, early)})
    lines = notes(summary(XDP.model_copy(update={"throughputs": (unsettled,)})))
    (line,) = [each for each in lines if "the search for" in each]
    assert said in line


def test_only_throughput_has_only_its_columns() -> None:
    text = printed(summary(XDP.model_copy(update={"trials": (), "latency": None, "cost": None})))
    assert row(text, "dataplane") == ["dataplane", "Mpps", "Gbit/s"]
    assert row(text, "xdp") == ["xdp", "3.52", "1.80"]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0, "100 %"),
        (0.99, "99 %"),
        (0.99999, "99.999 %"),
        (0.9999999, "99.99999 %"),
        (0.5, "50 %"),
    ],
)
def test_an_availability_below_all_is_never_printed_as_all(ratio: float, text: str) -> None:
    assert share(ratio) == text
