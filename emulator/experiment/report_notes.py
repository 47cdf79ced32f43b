"""What a reader must know to read the numbers of a run rightly: what they mean and what limits
them.

Pure: everything comes from the summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from emulator.experiment.sections.table import wholly_valid
from emulator.experiment.words import (
    BENCH_LIMITED,
    INVALID,
    PROBE_LIMITED,
    frames_text,
    grouped,
    microseconds,
    percent,
    rate,
)
from emulator.measure.throughput import packets_to_bound

if TYPE_CHECKING:
    from emulator.experiment.measured import FindingRecord
    from emulator.experiment.measured_throughput import ThroughputRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord

_MOST_LINKS = 8
_OF_THE_PATH = ("loss", "slow")
_AFTER_NAME = {"hog": " took ", "vnf-wait": " was "}
"""Rules that blame somebody -> what follows the name."""


def title(summary: SummaryRecord) -> str:
    """One line that says what was measured, for the head of the table and of the picture.

    Of the traffic, what varies is in the table.
    """
    ends = next(((c.source, c.destination) for c in summary.cases if c.source), None)
    parts = [summary.topology]
    if ends:
        parts.append(f"{ends[0]} {'⇄' if summary.round_trip else '→'} {ends[1]}")
    if measures_latency(summary) and (rates := _common(summary, "rate_pps")):
        parts.append(f"{grouped(round(float(rates), 2))} packets/s")
    if frames := _common(summary, "frames"):
        parts.append(f"{frames_text(frames)} frames")
    if (pattern := _common(summary, "pattern")) and pattern != "const":
        parts.append(pattern)
    return " · ".join([*parts, f"probe: {summary.mechanism}", summary.link])


def measures_latency(summary: SummaryRecord) -> bool:
    """Whether there are latency trials."""
    return any(case.trials for case in summary.cases)


def bench_lines(summary: SummaryRecord) -> list[str]:
    """What the bench itself can do, without what was measured."""
    lines = []
    for each in summary.bench:
        parts = []
        if each.ceiling_pps is not None:
            parts.append(f"ceiling {rate(each.ceiling_pps)}")
        if each.floor_p50_ns is not None:
            floor = f"floor p50 {microseconds(each.floor_p50_ns)}"
            if each.floor_p99_ns is not None:
                floor += f", p99 {microseconds(each.floor_p99_ns)}"
            parts.append(f"{floor} µs")
        frames = frames_text(each.frames)
        again = ", measured earlier" if each.reused else ""
        text = "; ".join(parts) or "could not be measured"
        if not each.valid:
            text += f" {INVALID} while the machine was busy, so it is no limit to go by"
        lines.append(f"Bench itself, a bare link ({each.mechanism}, {frames}{again}): {text}.")
    return lines


def notes(summary: SummaryRecord) -> list[str]:
    """What a reader must know to read the numbers rightly, a line each."""
    return [
        *_meanings(summary),
        *bench_lines(summary),
        *_impaired_links(summary),
        *_limits(summary),
        *_invalid(summary),
        *_peculiar(summary),
    ]


def findings(summary: SummaryRecord) -> list[tuple[str, str, str]]:
    """What the honesty gate saw: severity, where, and what; each thing once, the gravest first.

    What makes trials invalid, and faults of the path, are told of every case, other things of the
    run; and what several trials have in common, of the first of them, with how many more there are.
    """
    seen: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for case in summary.cases:
        for place, found in _all_findings(case):
            of = case.name if found.severity == "invalid" or found.rule in _OF_THE_PATH else ""
            # Every process and VNF that a rule blames is named.
            blamed = (
                found.text.partition(_AFTER_NAME[found.rule])[0]
                if found.rule in _AFTER_NAME
                else ""
            )
            places = seen.setdefault((of, found.severity, found.rule, blamed), {})
            places.setdefault(f"{case.name}, {place}", found.text)
    lines = []
    for (_, severity, rule, _), places in seen.items():
        where, text = next(iter(places.items()))
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        lines.append((severity, where + more, f"{rule}: {text}"))
    gravity = {"invalid": 0, "warn": 1, "note": 2}
    return sorted(lines, key=lambda line: gravity[line[0]])


def _all_findings(case: CaseRecord) -> Iterator[tuple[str, FindingRecord]]:
    def at(place: str, found: Iterable[FindingRecord]) -> Iterator[tuple[str, FindingRecord]]:
        return ((place, each) for each in found)

    for trial in case.trials:
        yield from at(f"trial {trial.number}", trial.findings)
    for point in case.loaded.points if case.loaded else ():
        yield from at(f"under {100 * point.load_ratio:g} % load", point.findings)
    for verdict in case.sla:
        yield from at(verdict.profile, verdict.findings)
    if case.soak:
        yield from at("soak", case.soak.findings)
    for found in case.throughputs:
        for search in found.searches:
            yield from at(f"search {search.round} for {found.goal.name}", search.findings)
    if case.back_to_back:
        yield from at("bursts", case.back_to_back.findings)
    for cost in case.cost.trials if case.cost else ():
        yield from at(f"cost, round {cost.round}", cost.findings)
    if case.hops:
        yield from at("by hops", case.hops.findings)


def _common(summary: SummaryRecord, field: str) -> str | None:
    """What all cases have in common of the traffic; None where it varies or is not known."""
    values = {str(getattr(case.traffic, field)) for case in summary.cases if case.traffic}
    return values.pop() if len(values) == 1 else None


def _meanings(summary: SummaryRecord) -> list[str]:
    lines = []
    if measures_latency(summary):
        rates = _common(summary, "rate_pps")
        way = "there and back" if summary.round_trip else "one-way"
        at = f", at {grouped(round(float(rates), 2))} packets/s" if rates else ""
        lines.append(f"Latency: {way}, received − intended send time of each packet{at}.")
    goals = {
        found.goal.name: found.goal
        for case in summary.cases
        for found in case.throughputs[:1]
        if found.goal
    }
    lines += [
        f"Rate: the highest with a loss of at most {percent(goal.loss_ratio)} (goal {name}); "
        "Gbit/s counts frames with their FCS."
        for name, goal in goals.items()
    ]
    if any(case.cost for case in summary.cases):
        lines.append(
            "CPU: time the whole path takes per packet at full load, generator and receiver "
            "included."
        )
    lines.append(
        f"Links are {summary.link}, the probe is {summary.mechanism}: compare with the same only."
    )
    if any(case.has_processes for case in summary.cases):
        lines += [
            "VNFs that are processes: their CPU by packets that arrived, the rest by packets sent.",
            "Idle: CPU time of the VNFs' processes while no packet comes, in percent of a core.",
        ]
    if summary.repeat > 1:
        whole = all(case.status == "finished" for case in summary.cases)
        rounds = f"{summary.repeat} rounds" if whole else "the rounds that were measured"
        lines.append(f"Percentiles and rates are medians over {rounds}; max is the largest of all.")
    return lines


def _impaired_links(summary: SummaryRecord) -> list[str]:
    """What impairs which link; those that differ between cases are told of each case."""
    told: dict[str, list[str]] = {}
    for case in summary.cases:
        for link, text in case.impaired_links.items():
            told.setdefault(f"{link}: {text}", []).append(case.name)
    lines = [
        f"{line} ({', '.join(names)})" if len(names) < len(summary.cases) else line
        for line, names in told.items()
    ]
    if len(lines) > _MOST_LINKS:
        more = len(lines) - _MOST_LINKS
        lines[_MOST_LINKS:] = [f"{more} more impaired links are in the plans of the bundle."]
    return lines


def _limits(summary: SummaryRecord) -> list[str]:
    lines = []
    throughputs = [found for case in summary.cases for found in case.throughputs]
    if any(found.probe_limited for found in throughputs):
        lines.append(
            f"{PROBE_LIMITED} probe-limited: the probe could not send or receive more, "
            "the path does at least this."
        )
    if any(found.wire_limited for found in throughputs):
        lines.append(
            f"{PROBE_LIMITED} wire-limited: what impairs links could not carry more, "
            "the rest of the path does at least this."
        )
    if any(found.bench_limited for found in throughputs):
        lines.append(
            f"{BENCH_LIMITED} bench-limited: within 10 % of the path without any VNF; "
            "the VNF itself may do more."
        )
    ceilings = {each.frames: each.ceiling_pps for each in summary.bench if each.ceiling_pps}
    for case in summary.cases:
        ceiling_pps = ceilings.get(case.traffic.frames) if case.traffic and case.trials else None
        if case.traffic and ceiling_pps and case.traffic.rate_pps > ceiling_pps:
            lines.append(
                f"{case.name}: {rate(case.traffic.rate_pps)} were asked for, and the bench's own "
                f"ceiling is {rate(ceiling_pps)}: ask for less with --rate."
            )
        for found in case.throughputs:
            if found.rate_pps is None:
                needed = grouped(packets_to_bound(found.goal.loss_ratio))
                lines.append(
                    f"{case.name}: no rate that was tried met the goal {found.goal.name}; to tell, "
                    f"a trial takes {needed} packets or more."
                )
            elif not found.converged:
                lines += [f"{case.name}: {text}." for text in _unsettled(found)]
    return lines


def _unsettled(found: ThroughputRecord) -> list[str]:
    """Why searches did not come as near to the limit as they were meant to; each reason once."""
    reasons = []
    for search in found.searches:
        if search.converged:
            continue
        near = f"before it was within {percent(found.goal.width)} of the limit"
        if search.ended == "generator":
            text = f"ended {near}: the probe was kept from rates that it had given before"
        elif search.ended == "packets":
            text = f"ended {near}: a trial at such rates has too few packets to tell a loss"
        elif search.ended == "time":
            text = f"ran out of time {near}"
        else:
            text = "found no rate that is carried for sure"
        if search.lower_pps is not None and search.upper_pps is not None:
            text += f"; that lies between {rate(search.lower_pps)} and {rate(search.upper_pps)}"
        reasons.append(f"the search for {found.goal.name} {text}")
    return list(dict.fromkeys(reasons))


def _invalid(summary: SummaryRecord) -> list[str]:
    lines = []
    if invalid := [case for case in summary.cases if not wholly_valid(case)]:
        lines.append(
            f"{INVALID} invalid: the probe, or what impairs links, was kept from its work, in "
            "every attempt; the machine is too busy, or the rate too high."
        )
        lines += [
            f"{case.name}: of the frames of impaired links {text}."
            for case in invalid
            if (text := _wire_trouble(case))
        ]
        if any(vnf.idle and not vnf.cores for case in invalid for vnf in case.vnfs):
            lines.append(
                "VNFs that are processes may be what the probe had to wait for: --core 0 and "
                "--set cores=1 keep them apart, where the topology takes cores."
            )
    lines += [
        f"{case.name}: latency leaves out what was invalid in every attempt, in round "
        f"{', '.join(map(str, case.invalid_rounds))} of {summary.repeat}."
        for case in summary.cases
        if case.valid and case.invalid_rounds
    ]
    if unsent := [case for case in summary.cases if case.unsent]:
        counts = ", ".join(f"{case.name} {grouped(case.unsent)}" for case in unsent)
        lines.append(f"Packets never sent, the generator's failure and no loss: {counts}.")
    return lines


def _peculiar(summary: SummaryRecord) -> list[str]:
    lines = [
        f"{case.name}: {vnf.node} ran XDP in {vnf.mode} mode; native is what this plane is about."
        for case in summary.cases
        for vnf in case.vnfs
        if vnf.dataplane == "xdp" and vnf.mode != "native"
    ]
    lines += [
        f"{case.name}: {each.node} was kept off the CPUs for {each.throttled_ns / 1e9:.2f} s, to "
        f"keep to the limit of its container{f', {each.cpus:g} CPUs' if each.cpus else ''}."
        for case in summary.cases
        for each in case.containers
        if each.throttled_ns
    ]
    return lines


def _wire_trouble(case: CaseRecord) -> str:
    late = sum(trial.wire_late for trial in case.counted_trials)
    unasked = sum(trial.wire_unasked for trial in case.counted_trials)
    parts = {
        f"{grouped(late)} went out more than 100 µs late": late,
        f"{grouped(unasked)} were lost that nobody asked to lose": unasked,
    }
    return " and ".join(text for text, count in parts.items() if count)
