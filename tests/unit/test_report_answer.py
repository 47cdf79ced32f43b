"""The answer in words: who won, by how much, and when that cannot be told."""

from __future__ import annotations

from typing import Any

from emulator.experiment.answer import Answer, answer
from emulator.experiment.records import CaseRecord
from tests.measured_runs import case, cost, interval, summary, throughput, traffic, trial
from tests.measured_runs import latency as latency_record


def plane(
    dataplane: str, p50_ns: int, *, low: float = 0.99, high: float = 1.01, **changed: Any
) -> CaseRecord:
    """A case with intervals of so much of its latency, and the same throughput as all others."""
    intervals = {
        "p50_ns": interval(low * p50_ns, high * p50_ns),
        "p99_ns": interval(low * 3 * p50_ns, high * 3 * p50_ns),
    }
    return case(dataplane, p50_ns, None, 100, **({"latency_intervals": intervals} | changed))


def said(found: Answer, topic: str) -> str:
    (text,) = [point.text for point in found.points if point.topic == topic]
    return text


def test_the_winner_is_told_with_its_interval_and_by_how_much() -> None:
    found = answer(summary(plane("kernel", 3000), plane("xdp", 1000), plane("dpdk", 1500)))
    assert said(found, "Median latency") == (
        "xdp has the lowest median latency, 1.00 µs [0.990, 1.01]; "
        "next is dpdk with 1.50 µs [1.49, 1.51], 50 % more; "
        "last is kernel with 3.00 µs [2.97, 3.03], 3.00 times as much."
    )
    assert "xdp has the lowest median latency and the lowest p99" in found.sentence


def test_overlapping_intervals_are_no_difference() -> None:
    near = plane("dpdk", 1010)
    found = answer(summary(plane("xdp", 1000), near, plane("kernel", 3000)))
    text = said(found, "Median latency")
    assert text.startswith("no significant difference between xdp (1.00 µs")
    assert "and dpdk (1.01 µs" in text
    assert "last is kernel" in text
    assert "Which case has the lowest median latency" in found.sentence
    assert "cannot be told" in found.sentence


def test_intervals_that_only_touch_are_no_difference_and_apart_they_are_one() -> None:
    def of(low: float) -> str:
        other = {"p50_ns": interval(low, 1200)}
        cases = plane("xdp", 1000, high=1.1), plane("dpdk", 1150, latency_intervals=other)
        return said(answer(summary(*cases)), "Median latency")

    assert of(1100).startswith("no significant difference")
    assert of(1100.5).startswith("xdp has the lowest")


def test_without_intervals_chance_is_not_ruled_out() -> None:
    cases = (plane(name, p50, latency_intervals={}) for name, p50 in (("xdp", 1), ("dpdk", 2)))
    found = answer(summary(*cases))
    assert "chance is not ruled out" in said(found, "Median latency")
    assert "may be chance" in found.sentence
    sure = answer(summary(plane("xdp", 1000, cost=None), plane("dpdk", 2000, cost=None)))
    assert sure.sentence == "xdp has the lowest median latency and the lowest p99."


def test_who_is_invalid_does_not_win() -> None:
    late = (trial(latency_record(500), valid=False),)
    found = answer(summary(plane("xdp", 500, trials=late), plane("kernel", 3000)))
    text = said(found, "Median latency")
    assert text == "kernel: 3.00 µs [2.97, 3.03]; not counted, because invalid: xdp."
    found = answer(summary(plane("xdp", 500, trials=late), plane("dpdk", 600, trials=late)))
    assert found.sentence.endswith("nothing valid is known of median latency and 99th percentile.")


def test_the_path_without_vnf_is_no_rival_but_told() -> None:
    found = answer(summary(case("none", 300, 5e6, 50), plane("xdp", 1000), plane("dpdk", 2000)))
    assert "xdp has the lowest median latency" in found.sentence
    assert said(found, "Without any VNF") == "p50 0.300 µs, throughput 5.00 Mpps."
    late = (trial(latency_record(300), valid=False),)
    found = answer(summary(case("none", 300, 5e6, 50, trials=late), plane("xdp", 1000)))
    told = said(found, "Without any VNF")
    assert told == "throughput 5.00 Mpps; not told, because invalid: p50."


def test_the_highest_rate_wins_and_a_limited_one_may_be_higher() -> None:
    def of(name: str, rate: float, **changed: Any) -> CaseRecord:
        rates = throughput(rate, interval=interval(0.98 * rate, 1.02 * rate), **changed)
        return plane(name, 1000, throughputs=(rates,))

    clear = answer(summary(of("xdp", 3e6), of("kernel", 1e6)))
    assert said(clear, "Throughput") == (
        "xdp has the highest throughput, 3.00 Mpps [2.94, 3.06]; "
        "next is kernel with 1.00 Mpps [0.980, 1.02], 33 % of that."
    )
    tied = answer(summary(of("xdp", 3e6), of("dpdk", 1e6, probe_limited=True), of("kernel", 5e5)))
    text = said(tied, "Throughput")
    assert text.startswith(
        "which of these does best cannot be told, the bench or the probe was at its own limit: xdp"
    )
    assert "dpdk (at least 1.00 Mpps" in text
    assert text.endswith("last is kernel with 0.500 Mpps [0.490, 0.510], 17 % of that.")


def test_rivals_are_compared_size_by_size() -> None:
    cases = [
        plane(
            name,
            p50,
            name=f"dataplane={name},size={size}",
            varied={"dataplane": name, "size": size},
            traffic=traffic(size),
        )
        for size, order in (("64", (1000, 2000)), ("1518", (4000, 2000)))
        for name, p50 in zip(("xdp", "dpdk"), order, strict=True)
    ]
    found = answer(summary(*cases))
    assert said(found, "Median latency (size=64)").startswith("xdp has the lowest")
    assert said(found, "Median latency (size=1518)").startswith("dpdk has the lowest")
    assert "depends on the setting" in found.sentence


def test_where_only_the_traffic_varies_it_is_what_is_compared() -> None:
    cases = [
        plane("xdp", p50, name=f"size={size}", varied={"size": size}, traffic=traffic(size))
        for size, p50 in (("64", 1000), ("1518", 2000))
    ]
    assert "size=64 has the lowest" in said(answer(summary(*cases)), "Median latency")


def test_a_single_case_is_told_by_its_numbers() -> None:
    found = answer(summary(plane("xdp", 1000, cost=cost(290))))
    assert found.sentence == (
        "Median latency: xdp: 1.00 µs [0.990, 1.01]; 99th percentile: xdp: 3.00 µs [2.97, 3.03]; "
        "CPU cost: xdp: 290 ns."
    )


def test_a_failed_case_and_an_empty_run_are_told() -> None:
    failed = plane("dpdk", 1, status="failed", error="DPDK is missing", trials=(), latency=None)
    found = answer(summary(plane("xdp", 1000), failed.model_copy(update={"cost": None})))
    assert said(found, "dataplane=dpdk") == "failed: DPDK is missing"
    assert answer(summary()).sentence == "Nothing was measured."
