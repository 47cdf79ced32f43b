"""Service levels: whether what a network did is good enough for a control loop.

A packet is sent in every cycle. A *miss* is a cycle whose packet is lost or later than the
deadline. What a control loop bears is not a percentile but so many misses in a row: its survival
time (3GPP TR 22.832 and TS 22.104). A verdict is about the trial it was made from, and about no
longer time than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.errors import MeasurementError, UsageError
from emulator.measure.latency import CONFIDENCE, packets_needed, place_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.traffic.probe import ProbeResult

Kind = Literal["one-way", "rtt"]
Verdict = Literal["pass", "fail", "unknown"]

_CYCLE_TOLERANCE = 0.1


@dataclass(frozen=True)
class SlaProfile:
    """What is asked of a network.

    Attributes:
        name: what it is called.
        deadline_ns: a packet that takes longer is missed.
        kind: whether that is the way to the destination, or there and back.
        cycle_ns: from one packet to the next; None: the profile does not say.
        consecutive_misses_allowed: one more in a row violates the profile; None: it sets no such
            limit.
        quantile: the share of packets that must be there in time, such as 0.99999; None: it sets
            none.
        payload_bytes: sizes to try, in bytes of payload: all there are, or the ends of a range.
        source: where the numbers come from.
        secondary: whether that is not the standard itself, but somebody who writes about it.
        caveats: what to keep in mind beside a verdict.

    Raises:
        UsageError: a value makes no sense.
    """

    name: str
    deadline_ns: int
    kind: Kind
    cycle_ns: int | None = None
    consecutive_misses_allowed: int | None = None
    quantile: float | None = None
    payload_bytes: tuple[int, ...] = ()
    source: str = ""
    secondary: bool = False
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.deadline_ns <= 0:
            raise self._bad("deadline", f"a deadline of {self.deadline_ns} ns cannot be met")
        if self.kind not in ("one-way", "rtt"):
            raise self._bad("kind", f"{self.kind!r} is neither one-way nor rtt")
        if self.cycle_ns is not None and self.cycle_ns <= 0:
            raise self._bad("cycle", f"a cycle of {self.cycle_ns} ns is none")
        if self.consecutive_misses_allowed is not None and self.consecutive_misses_allowed < 0:
            raise self._bad("consecutive_misses_allowed", "there are no fewer misses than none")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise self._bad("quantile", f"{self.quantile} does not lie between 0 and 1")
        if any(size < 1 for size in self.payload_bytes):
            raise self._bad("payload_bytes", "a payload has at least 1 byte")

    @property
    def round_trip(self) -> bool:
        """Whether the deadline is about the way there and back."""
        return self.kind == "rtt"

    @property
    def judges(self) -> bool:
        """Whether it sets a limit at all; if not, there is a share to report, and no verdict."""
        return self.consecutive_misses_allowed is not None or self.quantile is not None

    def _bad(self, key: str, message: str) -> UsageError:
        return UsageError(message, where=f"profile {self.name}, {key}")


@dataclass(frozen=True)
class SlaCheck:
    """One limit of a profile beside what was measured.

    Attributes:
        limit: ``consecutive misses`` or ``percentile``.
        text: both in one line.
    """

    limit: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class SlaVerdict:
    """How a trial did by a profile.

    Attributes:
        profile: what was asked.
        verdict: ``fail`` when a limit was violated, ``pass`` when all were kept; ``unknown`` when
            the sample cannot tell of one, or the profile sets none (:attr:`SlaProfile.judges`).
        reason: why, in one line.
        checks: each limit by itself.
        cycles: packets that were sent.
        unsent: packets that the generator never sent. They are no cycles: nothing can be said about
            them, and misses before and after one count as following each other.
        misses: packets ``lost`` or ``late``.
        within_deadline: share of the cycles that were no misses.
        availability: share of the cycles in which the service was up. It goes down with the first
            miss beyond those allowed in a row, and comes up with the next packet in time (3GPP TS
            22.104: survival time); without a limit on them, with every miss.
        run_lengths: how often so many misses came in a row, and no more.
        longest_run: the most that did.
        violations: how often more came in a row than are allowed; 0 where that is not judged.
        first_miss: the number of the first packet that was missed, counted from 0 over all that
            were due; None: none was.
        first_violation: the packet with which the profile was violated: the first miss beyond those
            allowed in a row; where it was a percentile alone that failed, the first miss.
        first_violation_ns: when that one was due, since the first packet was.
    """

    profile: SlaProfile
    verdict: Verdict
    reason: str
    checks: tuple[SlaCheck, ...]
    cycles: int
    unsent: int
    misses: int
    lost: int
    late: int
    within_deadline: float
    availability: float
    run_lengths: dict[int, int]
    longest_run: int
    violations: int
    first_miss: int | None
    first_violation: int | None
    first_violation_ns: int | None


def judge_result(profile: SlaProfile, result: ProbeResult) -> SlaVerdict:
    """Judge a recorded trial.

    Raises:
        UsageError: it was not recorded, or measured the way to the destination where the profile is
            about the way there and back, or the other way round.
        MeasurementError: nothing was sent.
    """
    intended_ns = result.intended_ns
    if intended_ns is None or result.received_ns is None:
        raise UsageError("this trial kept no times of packets", hint="probe with record=True")
    if result.spec.round_trip != profile.round_trip:
        raise UsageError(
            f"the deadline of {profile.name} is {_KINDS[profile.kind]}, which was not measured",
            where=f"{result.source} → {result.destination}",
            hint=f"probe with round_trip={profile.round_trip}",
        )
    return judge(profile, intended_ns, result.received_ns, sent_ns=result.sent_ns)


def judge(
    profile: SlaProfile,
    intended_ns: NDArray[np.uint64],
    received_ns: NDArray[np.uint64],
    *,
    sent_ns: NDArray[np.uint64] | None = None,
) -> SlaVerdict:
    """Judge packets by when they were due and when they arrived.

    Args:
        intended_ns: when each was due, in the order of their numbers.
        received_ns: when it arrived (at the source again, on a round trip); 0: it never did.
        sent_ns: when it was sent; 0: never, so that it cannot be missed. None: all were.

    Raises:
        UsageError: the arrays are not equally long.
        MeasurementError: nothing was sent.
    """
    import numpy as np

    if len(intended_ns) != len(received_ns) or len(intended_ns) != len(
        intended_ns if sent_ns is None else sent_ns
    ):
        raise UsageError(
            "the times to judge are not of the same packets",
            where="judge",
            hint="give all arrays for every packet, 0 for what never happened",
        )
    sent = None if sent_ns is None else np.flatnonzero(sent_ns)
    due, arrived = (
        (intended_ns, received_ns) if sent is None else (intended_ns[sent], received_ns[sent])
    )
    cycles = len(due)
    if not cycles:
        raise MeasurementError("nothing was sent, so there is nothing to judge", where=profile.name)
    lost = arrived == 0
    missed = lost | ((arrived - due).astype(np.int64) > profile.deadline_ns)
    lost_count, misses = int(np.count_nonzero(lost)), int(np.count_nonzero(missed))
    begins, lengths = _runs(missed)
    limit = profile.consecutive_misses_allowed
    too_long = np.flatnonzero(lengths > limit) if limit is not None else np.empty(0, np.int64)
    beyond = np.maximum(lengths - (limit or 0), 0)
    longest = int(lengths.max()) if len(lengths) else 0
    checks = []
    if limit is not None:
        checks.append(_check_runs(profile, limit, longest, _spacing_ns(intended_ns)))
        if checks[0].verdict == "unknown":
            too_long = too_long[:0]
    if profile.quantile is not None:
        checks.append(_check_quantile(profile, profile.quantile, cycles, misses))
    verdict = _worst([check.verdict for check in checks])

    def number(place: int) -> int:
        return place if sent is None else int(sent[place])

    first_miss = number(int(begins[0])) if misses else None
    first_violation = None
    if verdict == "fail":
        first_violation = first_miss
        if len(too_long):
            first_violation = number(int(begins[too_long[0]]) + (limit or 0))
    since_ns = None
    if first_violation is not None:
        since_ns = int(intended_ns[first_violation]) - int(intended_ns[0])
    return SlaVerdict(
        profile=profile,
        verdict=verdict,
        reason=_reason(profile, checks, cycles, misses),
        checks=tuple(checks),
        cycles=cycles,
        unsent=len(intended_ns) - cycles,
        misses=misses,
        lost=lost_count,
        late=misses - lost_count,
        within_deadline=(cycles - misses) / cycles,
        availability=(cycles - int(beyond.sum())) / cycles,
        run_lengths=_histogram(lengths),
        longest_run=longest,
        violations=len(too_long),
        first_miss=first_miss,
        first_violation=first_violation,
        first_violation_ns=since_ns,
    )


def _runs(missed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where misses in a row begin, and how many they are."""
    import numpy as np

    edges = np.flatnonzero(np.diff(missed, prepend=False, append=False))
    begins: NDArray[np.int64] = edges[::2]
    return begins, edges[1::2] - begins


def _histogram(lengths: NDArray[np.int64]) -> dict[int, int]:
    import numpy as np

    values, counts = np.unique(lengths, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _spacing_ns(intended_ns: NDArray[np.uint64]) -> float | None:
    """The mean time from one packet to the next; None with only one."""
    if len(intended_ns) < 2:
        return None
    return (int(intended_ns[-1]) - int(intended_ns[0])) / (len(intended_ns) - 1)


def _check_runs(
    profile: SlaProfile, limit: int, longest: int, spacing_ns: float | None
) -> SlaCheck:
    """Misses in a row beside those allowed; only of packets that were sent once in a cycle."""
    cycle_ns = profile.cycle_ns or spacing_ns
    if cycle_ns and spacing_ns and abs(spacing_ns - cycle_ns) > _CYCLE_TOLERANCE * cycle_ns:
        text = (
            f"packets were {_time(spacing_ns)} apart and not a cycle of {_time(cycle_ns)}, "
            "so their misses are not those of cycles"
        )
        return SlaCheck("consecutive misses", "unknown", text)
    text = f"at most {longest:,} missed in a row, {limit:,} allowed"
    return SlaCheck("consecutive misses", "pass" if longest <= limit else "fail", text)


def _check_quantile(profile: SlaProfile, quantile: float, cycles: int, misses: int) -> SlaCheck:
    """Whether the percentile, lost packets being later than any other, is within the deadline."""
    name = f"p{100 * quantile:.12g}"
    needed = packets_needed(quantile)
    if cycles >= needed:
        reached = cycles - misses > place_of(quantile, cycles)
        word = "within" if reached else "beyond"
        text = f"{name} is {word} {_time(profile.deadline_ns)}"
        return SlaCheck("percentile", "pass" if reached else "fail", text)
    if _at_least(misses, cycles, 1 - quantile) < 1 - CONFIDENCE:
        text = (
            f"{misses:,} of {cycles:,} missed is more than {name} within "
            f"{_time(profile.deadline_ns)} lets happen in one sample of 20"
        )
        return SlaCheck("percentile", "fail", text)
    return SlaCheck("percentile", "unknown", f"{name} needs {needed:,} packets, not {cycles:,}")


def _at_least(misses: int, cycles: int, probability: float) -> float:
    """How probable so many misses are, or more, when each cycle has that probability of one.

    It is asked of samples too small to state the quantile, in which fewer than 3 are expected.
    """
    if misses > 50:
        return 0.0
    fewer = 0.0
    for count in range(misses):
        ways = math.lgamma(cycles + 1) - math.lgamma(count + 1) - math.lgamma(cycles - count + 1)
        chance = count * math.log(probability) + (cycles - count) * math.log1p(-probability)
        fewer += math.exp(ways + chance)
    return max(0.0, 1 - fewer)


def _worst(verdicts: list[Verdict]) -> Verdict:
    if "fail" in verdicts:
        return "fail"
    return "unknown" if "unknown" in verdicts or not verdicts else "pass"


def _reason(profile: SlaProfile, checks: list[SlaCheck], cycles: int, misses: int) -> str:
    share = math.floor(1e6 * (cycles - misses) / cycles) / 1e4
    texts = [f"{share:g} % of {cycles:,} packets within {_time(profile.deadline_ns)}"]
    texts += [check.text for check in checks]
    if not checks:
        texts.append("the profile sets no limit to judge by")
    return "; ".join(texts)


def _time(value_ns: float) -> str:
    return f"{value_ns / 1e6:.6g} ms"


_KINDS: dict[Kind, str] = {
    "one-way": "about the way to the destination",
    "rtt": "about round trips",
}
