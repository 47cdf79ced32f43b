"""The table, the notes below it and the picture, from summaries as a run leaves them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from emulator.experiment.plot import Curve, draw_cdf
from emulator.experiment.records import (
    CaseRecord,
    ContainerRecord,
    CostRecord,
    LatencyRecord,
    SearchTrialRecord,
    SummaryRecord,
    ThroughputRecord,
    TrialRecord,
    VnfRecord,
)
from emulator.experiment.report import grouped, microseconds, notes, percent, render, significant
from emulator.experiment.summary import compared, latency_over


def latency(p50_ns: int | None, *, count: int = 20_000, p999: bool = True) -> LatencyRecord:
    if p50_ns is None:
        return LatencyRecord(
            count=0,
            min_ns=None,
            mean_ns=None,
            p50_ns=None,
            p90_ns=None,
            p99_ns=None,
            p999_ns=None,
            max_ns=None,
        )
    return LatencyRecord(
        count=count,
        min_ns=p50_ns // 2,
        mean_ns=float(p50_ns),
        p50_ns=p50_ns,
        p90_ns=p50_ns * 2,
        p99_ns=p50_ns * 3,
        p999_ns=p50_ns * 4 if p999 else None,
        max_ns=p50_ns * 100,
    )


def trial(found: LatencyRecord, *, number: int = 1, lost: int = 0, unsent: int = 0) -> TrialRecord:
    return TrialRecord(
        number=number,
        round=1,
        rate_pps=10_000,
        sent=20_000,
        unsent=unsent,
        received=20_000 - lost,
        lost=lost,
        duplicated=0,
        reordered=0,
        damaged=0,
        overrun=0,
        wait_ns=0,
        dma_latency_held=True,
        valid=True,
        elapsed_ns=2_000_000_000,
        offered_pps=10_000,
        received_pps=10_000,
        latency=found,
        samples="samples/x.parquet",
    )


def throughput(rate_pps: float | None, *, probe_limited: bool = False) -> ThroughputRecord:
    step = SearchTrialRecord(
        rate_pps=None,
        offered_pps=rate_pps or 1.0,
        received_pps=rate_pps or 0.0,
        sent=1000,
        received=1000,
        lost=0,
        unsent=0,
        overrun=0,
        elapsed_ns=500_000_000,
        cpu_ns=500_000_000,
    )
    return ThroughputRecord(
        rate_pps=rate_pps,
        rate_bps=None if rate_pps is None else rate_pps * 64 * 8,
        loss_ratio=None if rate_pps is None else 0.0,
        loss_goal=0.001,
        probe_limited=probe_limited,
        converged=True,
        valid=True,
        warm_up=step,
        trials=(step,),
    )


def case(
    dataplane: str,
    p50_ns: int,
    rate_pps: float | None,
    cost_ns: float,
    *,
    lost: int = 0,
    unsent: int = 0,
    probe_limited: bool = False,
    mode: str = "native",
    p999: bool = True,
) -> CaseRecord:
    found = latency(p50_ns, p999=p999)
    vnf = VnfRecord(node="vnf1", vnf="forward", dataplane=dataplane, mode=mode, parameters={})
    return CaseRecord(
        name=f"dataplane={dataplane}",
        settings={"dataplane": dataplane},
        status="finished",
        source="client",
        destination="server",
        vnfs=() if dataplane == "none" else (vnf,),
        trials=(trial(found, lost=lost, unsent=unsent),),
        latency=found,
        throughput=throughput(rate_pps, probe_limited=probe_limited),
        cost=CostRecord(
            cpu_ns_per_packet=cost_ns,
            cpu_ns=10**9,
            received=10**6,
            elapsed_ns=10**9,
            softirq_accounting="in-task",
            valid=True,
        ),
    )


def summary(*cases: CaseRecord, repeat: int = 1) -> SummaryRecord:
    return SummaryRecord(
        topology="chain",
        link="veth",
        mechanism="kernel",
        rate_pps=10_000,
        duration_s=2.0,
        frame_size_bytes=64,
        repeat=repeat,
        loss_goal=0.001,
        cases=compared(cases),
    )


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
    assert busy.throughput
    assert busy.cost
    late = trial(latency(5_870)).model_copy(update={"valid": False})
    busy = busy.model_copy(
        update={
            "trials": (late,),
            "throughput": busy.throughput.model_copy(update={"valid": False}),
            "cost": busy.cost.model_copy(update={"valid": False}),
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
            }
        )
        for each in (NONE, XDP)
    ]
    text = printed(summary(*both))
    assert row(text, "dataplane")[:2] == ["dataplane", "length"]
    assert row(text, "xdp")[:3] == ["xdp", "2", "0.750"]


def test_a_case_without_settings_goes_by_its_name() -> None:
    only = XDP.model_copy(update={"name": "default", "settings": {}})
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
    assert NONE.throughput
    low = NONE.throughput.model_copy(update={"rate_pps": 2_000_000.0, "valid": False})
    found = summary(NONE.model_copy(update={"throughput": low}), XDP).case("dataplane=xdp")
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
            "settings": {"dataplane": "dpdk"},
            "vnfs": (calm, calm, PACKET.vnfs[0]),
        }
    )
    quiet = PACKET.model_copy(
        update={
            "name": "dataplane=afxdp",
            "settings": {"dataplane": "afxdp"},
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
        return of.model_copy(update={"cost": of.cost.model_copy(update={"valid": False})})

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
    limited = case("xdp", 5_000, 1_000_000, 290)
    assert limited.throughput is not None
    slow = limited.throughput.model_copy(update={"wire_limited": True})
    text = printed(summary(limited.model_copy(update={"throughput": slow})))
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
    assert XDP.throughput
    assert XDP.cost
    disturbed = {
        "throughput": XDP.throughput.model_copy(update={"valid": False}),
        "cost": XDP.cost.model_copy(update={"valid": False}),
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
    assert "no rate that was tried met the loss goal" in text


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


def sample(packets: int, seed: int = 1) -> NDArray[np.int64]:
    return np.random.default_rng(seed).lognormal(6, 0.3, packets).astype(np.int64)


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("one packet", [np.array([500])], 500, None)],
        [Curve("nothing arrived", [np.array([], dtype=np.int64)], None, None, 1.0)],
        [Curve("in no time", [np.zeros(1000, dtype=np.int64)], 0, 0)],
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
