"""The answer of a run in words: what did best, by how much, and whether that can be told at all.

Pure: everything comes from the summary. Two numbers differ here when their intervals do not
overlap, which is the cautious way to tell: numbers whose intervals overlap a little may differ too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.experiment.cases import NO_VNF
from emulator.experiment.words import microseconds, rate, share, significant, span, whole

if TYPE_CHECKING:
    from emulator.experiment.measured import IntervalRecord
    from emulator.experiment.records import CaseRecord, SummaryRecord

_MOST_GROUPS = 7


@dataclass(frozen=True)
class Point:
    """One line of the answer: what it is about, and what there is to say."""

    topic: str
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer in a sentence, and the numbers it rests on, a line each."""

    sentence: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Metric:
    """A number that cases are compared by."""

    name: str
    best: str
    value: Callable[[CaseRecord], float | None]
    interval: Callable[[CaseRecord], IntervalRecord | None]
    text: Callable[[float], str]
    scale: float
    lower_is_better: bool
    valid: Callable[[CaseRecord], bool]
    limited: Callable[[CaseRecord], bool] = lambda _: False


@dataclass(frozen=True)
class _Entry:
    label: str
    value: float
    interval: IntervalRecord | None
    limited: bool


@dataclass(frozen=True)
class _Ranking:
    """Entries with the best one first; ``leaders``: it, and those not to be told from it."""

    entries: tuple[_Entry, ...]
    leaders: tuple[_Entry, ...]
    certain: bool

    @property
    def winner(self) -> str | None:
        return self.entries[0].label if len(self.leaders) == 1 and len(self.entries) > 1 else None


_METRICS = (
    _Metric(
        "Median latency",
        "the lowest median latency",
        lambda case: case.latency.p50_ns if case.latency else None,
        lambda case: case.latency_intervals.get("p50_ns"),
        lambda value: f"{microseconds(value)} µs",
        1e3,
        True,
        lambda case: case.valid,
    ),
    _Metric(
        "99th percentile",
        "the lowest p99",
        lambda case: case.latency.p99_ns if case.latency else None,
        lambda case: case.latency_intervals.get("p99_ns"),
        lambda value: f"{microseconds(value)} µs",
        1e3,
        True,
        lambda case: case.valid,
    ),
    _Metric(
        "Throughput",
        "the highest throughput",
        lambda case: case.throughput.rate_pps if case.throughput else None,
        lambda case: case.throughput.interval if case.throughput else None,
        lambda value: f"{significant(value / 1e6)} Mpps",
        1e6,
        False,
        lambda case: case.throughput is None or case.throughput.valid,
        lambda case: bool(
            case.throughput
            and (
                case.throughput.bench_limited
                or case.throughput.probe_limited
                or case.throughput.wire_limited
            )
        ),
    ),
    _Metric(
        "CPU cost",
        "the lowest CPU time per packet",
        lambda case: case.cost.cpu_ns_per_packet if case.cost else None,
        lambda case: case.cost.interval if case.cost else None,
        lambda value: f"{whole(value)} ns",
        1.0,
        True,
        lambda case: case.cost is None or case.cost.valid,
    ),
)


def answer(summary: SummaryRecord) -> Answer:
    """The answer of a run."""
    groups = _groups(summary)
    points: list[Point] = []
    wins: dict[str, list[str | None]] = {}
    doubts = _Doubts()
    for metric in _METRICS:
        for number, (context, cases) in enumerate(groups):
            ranking, left_out = _ranked(metric, cases)
            if ranking is None and not left_out:
                continue
            if ranking is None:
                doubts.invalid.setdefault(metric.name.lower())
            elif len(ranking.entries) > 1:
                wins.setdefault(metric.best, []).append(ranking.winner)
                doubts.by_chance |= ranking.winner is not None and not ranking.certain
            if number < _MOST_GROUPS:
                about = f" ({context})" if context else ""
                points.append(Point(metric.name + about, _told(metric, ranking, left_out)))
    points += _baselines(summary) + _verdicts(summary)
    points += [
        Point(case.name, f"{case.status}: {case.error or 'stopped'}", "bad")
        for case in summary.cases
        if case.status != "finished"
    ]
    return Answer(_sentence(summary, wins, points, doubts), tuple(points))


@dataclass
class _Doubts:
    """What the sentence must not be silent about.

    Attributes:
        by_chance: somebody won of whom there are no intervals.
        invalid: of what nothing valid was measured; a dictionary for its order.
    """

    by_chance: bool = False
    invalid: dict[str, None] = field(default_factory=dict)


def _sentence(
    summary: SummaryRecord,
    wins: dict[str, list[str | None]],
    points: Sequence[Point],
    doubts: _Doubts,
) -> str:
    if not summary.cases or not points:
        return "Nothing was measured."
    if not wins:
        return _only(points)
    won: dict[str, list[str]] = {}
    open_: list[str] = []
    for best, winners in wins.items():
        names = {winner for winner in winners if winner is not None}
        if len(names) == 1 and None not in winners:
            won.setdefault(names.pop(), []).append(best)
        else:
            open_.append(best)
    parts = [f"{name} has {_listed(found)}" for name, found in won.items()]
    if open_:
        several = any(len(winners) > 1 for winners in wins.values())
        why = "depends on the setting or cannot be told" if several else "cannot be told"
        which = "which case" if won else "Which case"
        parts.append(f"{which} has {_listed(open_, 'or')} {why}")
    if won and doubts.by_chance:
        parts[len(won) - 1] += ", though some of it without intervals, so that it may be chance"
    if doubts.invalid:
        parts.append(f"nothing valid is known of {_listed(list(doubts.invalid))}")
    return "; ".join(parts) + "."


def _only(points: Sequence[Point]) -> str:
    return "; ".join(f"{point.topic}: {point.text.rstrip('.')}" for point in points[:3]) + "."


def _groups(summary: SummaryRecord) -> list[tuple[str, list[tuple[str, CaseRecord]]]]:
    """Cases that may be compared, by what they have in common: rivals differ in their data plane
    if that varies, else in any setting of the topology, else in what is sent."""
    cases = [case for case in summary.cases if case.settings.get("dataplane") != NO_VNF]
    keys = list(dict.fromkeys(key for case in cases for key in case.varied))
    settings = [key for key in keys if any(key in case.settings for case in cases)]
    planes = {case.varied.get("dataplane") for case in cases}
    rivals = ["dataplane"] if "dataplane" in keys and len(planes) > 1 else settings or keys
    groups: dict[str, list[tuple[str, CaseRecord]]] = {}
    for case in cases:
        context = _words({k: v for k, v in case.varied.items() if k not in rivals})
        own = {key: value for key, value in case.varied.items() if key in rivals}
        label = next(iter(own.values())) if rivals == ["dataplane"] and own else _words(own)
        groups.setdefault(context, []).append((label or case.name, case))
    return list(groups.items())


def _words(settings: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _ranked(
    metric: _Metric, cases: Sequence[tuple[str, CaseRecord]]
) -> tuple[_Ranking | None, list[str]]:
    """The cases with the best one first; and those left out because they are invalid."""
    entries, left_out = [], []
    for label, case in cases:
        value = metric.value(case)
        if value is None:
            continue
        if metric.valid(case):
            entries.append(_Entry(label, value, metric.interval(case), metric.limited(case)))
        else:
            left_out.append(label)
    if not entries:
        return None, left_out
    entries.sort(key=lambda entry: entry.value if metric.lower_is_better else -entry.value)
    best = entries[0]
    leaders = (best, *(entry for entry in entries[1:] if _same(best, entry)))
    certain = all(entry.interval is not None for entry in entries[:2])
    return _Ranking(tuple(entries), leaders, certain), left_out


def _same(best: _Entry, other: _Entry) -> bool:
    """Whether the other one cannot be told to be worse."""
    if other.limited:
        # It may do more than what was seen of it.
        return True
    if best.interval is None or other.interval is None:
        return other.value == best.value
    return best.interval.low <= other.interval.high and other.interval.low <= best.interval.high


def _told(metric: _Metric, ranking: _Ranking | None, left_out: Sequence[str]) -> str:
    parts = []
    if ranking is not None:
        entries, best = ranking.entries, ranking.entries[0]
        if len(entries) == 1:
            parts.append(f"{best.label}: {_number(metric, best)}")
        elif len(ranking.leaders) == 1:
            head = f"{best.label} has {metric.best}, {_number(metric, best)}"
            parts.append(f"{head}; next is {_beside(metric, entries[1], best)}")
        else:
            parts.append(_tied(metric, ranking))
        if len(entries) > 2 and entries[-1] not in ranking.leaders:
            parts.append(f"last is {_beside(metric, entries[-1], best)}")
        if ranking.winner is not None and not ranking.certain:
            parts.append("there are no intervals, so chance is not ruled out")
    if left_out:
        parts.append(f"not counted, because invalid: {_listed(left_out)}")
    return "; ".join(parts) + "."


def _tied(metric: _Metric, ranking: _Ranking) -> str:
    named = _listed([f"{entry.label} ({_number(metric, entry)})" for entry in ranking.leaders])
    if any(entry.limited for entry in ranking.leaders[1:]):
        why = "the bench or the probe was at its own limit"
        return f"which of these does best cannot be told, {why}: {named}"
    return f"no significant difference between {named}"


def _number(metric: _Metric, entry: _Entry) -> str:
    interval = f" {span(entry.interval, metric.scale)}" if entry.interval else ""
    return f"{'at least ' if entry.limited else ''}{metric.text(entry.value)}{interval}"


def _beside(metric: _Metric, entry: _Entry, best: _Entry) -> str:
    """An entry, and how far behind the best it is."""
    worse, better = (
        (entry.value, best.value) if metric.lower_is_better else (best.value, entry.value)
    )
    text = f"{entry.label} with {_number(metric, entry)}"
    if better <= 0:
        return text
    ratio = worse / better
    if metric.lower_is_better:
        more = (
            f"{100 * (ratio - 1):.0f} % more"
            if ratio < 2
            else f"{significant(ratio)} times as much"
        )
    else:
        part = 100 * better / worse
        more = f"{100 - part:.0f} % less" if ratio < 2 else f"{part:.0f} % of that"
    return f"{text}, {more}"


def _baselines(summary: SummaryRecord) -> list[Point]:
    """What the path does without any VNF, to set the rest beside."""
    points = []
    for case in summary.cases:
        if case.settings.get("dataplane") != NO_VNF:
            continue
        found, invalid = [], []
        if case.latency and case.latency.p50_ns is not None:
            if case.valid:
                found.append(f"p50 {microseconds(case.latency.p50_ns)} µs")
            else:
                invalid.append("p50")
        if case.throughput and case.throughput.rate_pps is not None:
            if case.throughput.valid:
                found.append(f"throughput {rate(case.throughput.rate_pps)}")
            else:
                invalid.append("throughput")
        if found or invalid:
            others = _words({k: v for k, v in case.varied.items() if k != "dataplane"})
            about = f" ({others})" if others else ""
            parts = [", ".join(found)] if found else []
            parts += [f"not told, because invalid: {_listed(invalid)}"] if invalid else []
            points.append(Point(f"Without any VNF{about}", "; ".join(parts) + "."))
    return points[:_MOST_GROUPS]


def _verdicts(summary: SummaryRecord) -> list[Point]:
    points = []
    for profile in dict.fromkeys(found.profile for case in summary.cases for found in case.sla):
        by_verdict: dict[str, list[str]] = {}
        for case in summary.cases:
            for found in case.sla:
                if found.profile == profile:
                    verdict = found.verdict if found.valid else "invalid"
                    missed = f" ({share(found.availability)} available)"
                    text = case.name + (missed if verdict == "fail" else "")
                    by_verdict.setdefault(verdict, []).append(text)
        words = {"pass": "met by", "fail": "violated by", "unknown": "cannot be told of"}
        text = "; ".join(
            f"{words.get(verdict, 'invalid for')} {_listed(names)}"
            for verdict, names in sorted(by_verdict.items())
        )
        points.append(Point(f"Service level {profile}", f"{text}.", _tone(by_verdict)))
    for case in summary.cases:
        if case.soak is not None:
            found_bad = f"{case.soak.bad_intervals} of {len(case.soak.intervals)} intervals bad"
            tone = "bad" if case.soak.verdict == "fail" else ""
            text = f"{case.soak.verdict}: {found_bad}."
            points.append(Point(f"Soak of {case.name}", text, tone))
    return points


def _tone(by_verdict: dict[str, list[str]]) -> str:
    return "bad" if "fail" in by_verdict else ""


def _listed(names: Sequence[str], word: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
