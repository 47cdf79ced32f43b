"""What samples of a link say of what was asked of it: the lines of a certificate.

Pure: from samples, the specification, and what the model of the wire says of the very frames that
were sent. Where a wire does the work, the model knows each frame's fate and time, and both are
compared frame by frame; the statistics of them stand beside.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from emulator.plan.model import ImpairmentPlan
from emulator.wire import statistics
from emulator.wire.certificate import Check
from emulator.wire.frames import Samples
from emulator.wire.lines import ANOTHER_FATE, TOO_EARLY, none, unknown, within
from emulator.wire.model import AQM_DROPPED, DELIVERED, LOST, OVERFLOWN, Decisions

if TYPE_CHECKING:
    from numpy.typing import NDArray

ERROR_P99_NS = 100_000
MEDIAN_NS, MEDIAN_RATIO = 10_000, 0.01
"""The median may be off by a hundredth of the delay, or by this when it is more."""
RATE_RATIO = 0.01
JITTER_RATIO = 0.03
LEAST_JITTER_NS = 100_000
"""Jitter smaller than this drowns in what the machine itself adds."""
INTERRUPTED_NS = 50_000
"""A frame that took longer to be sent tells nothing of the link: its sender was kept from it."""

_EARLY_NS = 10_000
_ENOUGH_FOR_P99 = 299
_MOST_INTERRUPTED_RATIO = 0.2
_SETTLED_RATIO = 0.3
_LEAST_RUNS = 30
_LEAST_ON_TIME_RATIO = 0.5
_UNHINDERED = 0.1
"""The quantile of what the machine adds that is taken for what it adds when nothing holds it up."""
_NOISE_SEED = 1
_AQM_RATIO, _AQM_FRAMES = 0.2, 5.0
_QUEUE_RATIO, _QUEUE_FRAMES = 0.02, 2.0


def sent_only(samples: Samples) -> Samples:
    """The same without frames that were never sent; numbers close up."""
    sent = samples.sent_ns != 0
    if sent.all():
        return samples
    given = {each.name: getattr(samples, each.name) for each in fields(samples)}
    arrays = {k: v[sent] if isinstance(v, np.ndarray) else v for k, v in given.items()}
    return Samples(**arrays)


# Delay ----------------------------------------------------------------------------------------


def undisturbed(samples: Samples) -> NDArray[np.bool_]:
    """Which frames left their sender at a moment that is known."""
    return (samples.done_ns - samples.sent_ns) <= INTERRUPTED_NS


def errors_ns(samples: Samples, decisions: Decisions) -> NDArray[np.int64]:
    """By how much frames came later than they were due, of those that came and should have."""
    chosen = (samples.first_ns != 0) & decisions.delivered & undisturbed(samples)
    found: NDArray[np.int64] = _lateness_ns(samples, decisions)[chosen]
    return found


def _lateness_ns(samples: Samples, decisions: Decisions) -> NDArray[np.int64]:
    """Of each frame, by how much its first copy came later than due; no sense if none came."""
    copies = decisions.copy_due_ns
    due = np.where(copies != 0, np.minimum(decisions.due_ns, copies), decisions.due_ns)
    late: NDArray[np.int64] = samples.first_ns.astype(np.int64) - due.astype(np.int64)
    return late


def delay_checks(
    plan: ImpairmentPlan,
    samples: Samples,
    decisions: Decisions,
    *,
    floor_ns: int = 0,
    spread_ns: int = 0,
) -> list[Check]:
    """How long frames take that come one by one: the median, the spread about it, none early.

    Args:
        floor_ns: what the way takes beside the link, as a median.
        spread_ns: by how much more that is at p99.
    """
    errors = errors_ns(samples, decisions)
    if not decisions.delivered.any():
        return []
    if not len(errors):
        return [unknown("delay, median", "ns", plan.delay_ns, "no frame came")]
    arrived = decisions.delivered
    expected = (decisions.due_ns[arrived] - samples.sent_ns[arrived]).astype(np.int64)
    asked = float(np.median(expected))
    error = float(np.median(errors)) - floor_ns
    margin = max(MEDIAN_NS, MEDIAN_RATIO * asked)
    if not plan.delay_ns and "delay" not in plan.trace_sets:
        # Nobody asked for a delay, but the hop takes the time of waking its process.
        margin = ERROR_P99_NS
    checks = [within("delay, median", "ns", asked, asked + error, asked - margin, asked + margin)]
    enough = len(errors) >= _ENOUGH_FOR_P99
    off = np.abs(errors - floor_ns)
    most = float(np.quantile(off, 0.99, method="inverted_cdf") if enough else off.max())
    what = "delay error, p99" if enough else "delay error, most"
    interrupted = float(np.mean(~undisturbed(samples)))
    if interrupted > _MOST_INTERRUPTED_RATIO:
        note = f"the sender was interrupted in {interrupted:.0%} of the frames"
        checks.append(unknown(what, "ns", 0.0, note))
    else:
        checks.append(within(what, "ns", 0.0, most, 0.0, ERROR_P99_NS + spread_ns))
    early = int(np.count_nonzero(errors < -_EARLY_NS))
    if early:
        checks.append(none(TOO_EARLY, early))
    return checks


def median_check(plan: ImpairmentPlan, samples: Samples, *, floor_ns: int = 0) -> list[Check]:
    """The same where nothing knows when each frame is due: of a mechanism that is not ours."""
    chosen = (samples.first_ns != 0) & undisturbed(samples)
    if not chosen.any():
        return [unknown("delay, median", "ns", plan.delay_ns, "no frame came")]
    sending_ns = (
        8e9 * (samples.size_bytes + plan.overhead_bytes) / plan.rate_bps if (plan.rate_bps) else 0.0
    )
    took = samples.first_ns[chosen].astype(np.int64) - samples.sent_ns[chosen].astype(np.int64)
    asked = plan.delay_ns + sending_ns
    margin = max(MEDIAN_NS, MEDIAN_RATIO * asked) + statistics.mean_margin(
        1.2533 * plan.jitter_ns, len(took)
    )
    measured = float(np.median(took)) - floor_ns
    return [within("delay, median", "ns", asked, measured, asked - margin, asked + margin)]


def jitter_checks(
    samples: Samples,
    reference_ns: NDArray[np.float64],
    decisions: Decisions | None,
    *,
    floor_ns: int = 0,
) -> list[Check]:
    """The distribution of delays that are independent of each other.

    What the machine adds is no jitter that was drawn, and the delay's checks judge it. A frame
    that it held up for longer than these allow is left out, because a few of them would move the
    mean and the deviation of all; of the others the median of what it added is taken out, and the
    distributions are compared with it in both.

    Args:
        reference_ns: delays that have the distribution, many more than the samples.
        decisions: when each frame was due; None where nothing knows, and all frames count.
        floor_ns: what a link adds by itself, used without ``decisions``.
    """
    deviation = float(reference_ns.std())
    chosen = (samples.first_ns != 0) & undisturbed(samples)
    added_ns = np.full(len(chosen), floor_ns, np.int64)
    if decisions is not None:
        chosen &= decisions.delivered
        added_ns = _lateness_ns(samples, decisions)
        if chosen.any():
            usual_ns = np.quantile(added_ns[chosen], _UNHINDERED)
            chosen &= added_ns <= usual_ns + ERROR_P99_NS
    took = samples.first_ns[chosen].astype(np.float64) - samples.sent_ns[chosen].astype(np.float64)
    if len(took) < max(_LEAST_RUNS, _LEAST_ON_TIME_RATIO * len(chosen)):
        reason = "too few frames came on time to tell"
        return [unknown("jitter, standard deviation", "ns", deviation, reason)]
    added_ns = added_ns[chosen]
    took -= np.median(added_ns)
    count, mean = len(took), float(reference_ns.mean())
    margin = max(JITTER_RATIO * deviation, statistics.mean_margin(deviation, count))
    spread = max(JITTER_RATIO, statistics.deviation_margin(reference_ns, count)) * deviation
    noise = added_ns[
        np.random.default_rng(_NOISE_SEED).integers(len(added_ns), size=len(reference_ns))
    ]
    alike = reference_ns + noise - np.median(added_ns)
    distance, bound = statistics.kolmogorov_smirnov(took, alike)
    return [
        within("jitter, mean", "ns", mean, float(took.mean()), mean - margin, mean + margin),
        within(
            "jitter, standard deviation",
            "ns",
            deviation,
            float(took.std()),
            deviation - spread,
            deviation + spread,
        ),
        within("jitter, distance of distributions", "", 0.0, distance, 0.0, bound),
    ]


# Fates ----------------------------------------------------------------------------------------


def fate_checks(
    plan: ImpairmentPlan, samples: Samples, decisions: Decisions | None, first_index: int = 0
) -> list[Check]:
    """What is lost, doubled, damaged and overtaken, as a ratio and frame by frame.

    Args:
        decisions: None where nothing knows the fate of each frame.
        first_index: of the first frame, in its direction of the link.
    """
    arrived = samples.copies > 0
    found = _loss_checks(plan, ~arrived, first_index)
    found += _ratio_checks("duplicated", plan.duplicate, samples.copies > 1, arrived)
    found += _ratio_checks("corrupted", plan.corrupt, samples.flipped >= 0, arrived)
    found += _order_checks(plan, samples, decisions)
    return found + certain_checks(plan, samples, decisions)


def certain_checks(
    plan: ImpairmentPlan, samples: Samples, decisions: Decisions | None
) -> list[Check]:
    """What no chance excuses: each frame has the fate that its number and the seed give it."""
    found = []
    if decisions is not None:
        wrong = samples.copies != _copies(decisions)
        arrived = samples.copies > 0
        wrong[arrived] |= samples.flipped[arrived] != decisions.flip_bit[arrived]
        found.append(none(ANOTHER_FATE, int(np.count_nonzero(wrong))))
    if plan.keep_order and not plan.reorder:
        overtaken = _in_order(samples)
        late = (
            np.count_nonzero(overtaken < np.maximum.accumulate(overtaken)) if len(overtaken) else 0
        )
        found.append(none("frames overtaken", int(late)))
    if samples.strangers:
        found.append(none("frames that nobody sent", samples.strangers))
    return found


def drop_checks(plan: ImpairmentPlan, samples: Samples, first_index: int = 0) -> list[Check]:
    """Whether frames that are to be dropped by their numbers were; nothing where there are none."""
    places = [index - first_index for index in plan.drop]
    listed = [place for place in places if 0 <= place < len(samples.copies)]
    if not listed:
        return []
    gone = int(np.count_nonzero(samples.copies[listed] == 0))
    asked = len(listed)
    return [within("frames dropped by number", "frames", asked, gone, asked, asked)]


def _loss_checks(plan: ImpairmentPlan, lost: NDArray[np.bool_], first_index: int) -> list[Check]:
    count = len(lost)
    if not count or "loss" in plan.trace_sets:
        return []
    places = (index - first_index for index in plan.drop)
    listed = np.array([place for place in places if 0 <= place < count], dtype=np.int64)
    others = np.ones(count, dtype=bool)
    others[listed] = False
    tried, gone = int(others.sum()), int(np.count_nonzero(lost & others))
    if plan.gemodel is not None:
        loss, _ = statistics.gilbert_elliott_loss(plan.gemodel)
        low, high = statistics.gilbert_elliott_interval(tried, plan.gemodel)
    else:
        loss = plan.loss
        low, high = statistics.binomial_interval(tried, loss)
    checks = []
    if loss or gone:
        note = f"{gone} of {tried} frames"
        measured, bounds = gone / max(1, tried), (low / max(1, tried), high / max(1, tried))
        checks.append(within("loss", "ratio", loss, measured, *bounds, note=note))
    if plan.gemodel is not None:
        runs = statistics.run_lengths(lost)
        burst = statistics.gilbert_elliott_burst(plan.gemodel)
        if len(runs) >= _LEAST_RUNS:
            margin = statistics.mean_margin(float(runs.std()), len(runs)) or MEDIAN_RATIO
            mean = float(runs.mean())
            bounds = (max(1.0, burst - margin), burst + margin)
            note = f"{len(runs)} bursts"
            checks.append(within("loss, length of bursts", "length", burst, mean, *bounds, note))
    return checks


def _ratio_checks(
    what: str, asked: float, happened: NDArray[np.bool_], arrived: NDArray[np.bool_]
) -> list[Check]:
    if not asked:
        return []
    tried, times = int(arrived.sum()), int(np.count_nonzero(happened))
    low, high = statistics.binomial_interval(tried, asked)
    tries = max(1, tried)
    note = f"{times} of {tried} frames"
    return [within(what, "ratio", asked, times / tries, low / tries, high / tries, note=note)]


def _order_checks(
    plan: ImpairmentPlan, samples: Samples, decisions: Decisions | None
) -> list[Check]:
    # Who goes at once is told from the others only where these take much longer.
    if not plan.reorder or plan.delay_ns < 4 * ERROR_P99_NS or 8 * plan.jitter_ns > plan.delay_ns:
        return []
    arrived = samples.copies > 0
    took = samples.first_ns[arrived].astype(np.int64) - samples.sent_ns[arrived].astype(np.int64)
    if decisions is not None:
        took -= decisions.waited_ns[arrived].astype(np.int64)
    happened = took < plan.delay_ns / 2
    return _ratio_checks("reordered", plan.reorder, happened, np.ones(len(took), dtype=bool))


def _in_order(samples: Samples) -> NDArray[np.int64]:
    """The numbers of the frames that came, in the order in which they did."""
    arrived = np.flatnonzero(samples.copies)
    found: NDArray[np.int64] = arrived[np.argsort(samples.place[arrived], kind="stable")]
    return found


def _copies(decisions: Decisions) -> NDArray[np.uint32]:
    found: NDArray[np.uint32] = decisions.delivered.astype(np.uint32)
    found += decisions.copy_due_ns != 0
    return found


# Rate and queue -------------------------------------------------------------------------------


def rate_bps_of(times_ns: NDArray[np.uint64], frame_bits: int) -> float | None:
    """The rate at which frames came, once it has settled; None for too few of them.

    Of the straight line through them, by least squares, so that neither jitter nor a frame at the
    ends matters.
    """
    arrivals = np.sort(times_ns)
    arrivals = arrivals[int(_SETTLED_RATIO * len(arrivals)) :]
    if len(arrivals) < 4 or arrivals[-1] == arrivals[0]:
        return None
    seconds = (arrivals - arrivals[0]).astype(np.float64) / 1e9
    numbers = np.arange(len(arrivals), dtype=np.float64)
    slope = float(np.polyfit(seconds, numbers, 1)[0])
    return slope * frame_bits


def rate_checks(
    plan: ImpairmentPlan, samples: Samples, decisions: Decisions | None, asked_bps: float
) -> list[Check]:
    """The rate of frames that came faster than they may leave.

    Args:
        asked_bps: the rate of the link; of a trace the mean.
    """
    bits = 8 * (samples.size_bytes + plan.overhead_bytes)
    offered = rate_bps_of(samples.sent_ns, bits)
    came = np.concatenate((samples.first_ns, samples.second_ns))
    measured = rate_bps_of(came[came != 0], bits)
    if offered is None or measured is None:
        return [unknown("rate", "bit/s", asked_bps, "too few frames came")]
    if offered * (1 - plan.loss) < asked_bps * (1 + 2 * RATE_RATIO) and plan.trace is None:
        note = f"no more than {offered / 1e6:.4g} Mbit/s can be sent here"
        return [unknown("rate", "bit/s", asked_bps, note)]
    expected = asked_bps
    if decisions is not None:
        due = np.concatenate((decisions.due_ns[decisions.delivered], decisions.copy_due_ns))
        expected = rate_bps_of(due[due != 0], bits) or asked_bps
    margin = RATE_RATIO * expected
    note = "" if abs(expected - asked_bps) <= margin else "of this time"
    bounds = (expected - margin, expected + margin)
    return [within("rate", "bit/s", expected, measured, *bounds, note=note)]


def aqm_checks(plan: ImpairmentPlan, samples: Samples, decisions: Decisions) -> list[Check]:
    """How many frames a queue's management drops, or marks, of those that came too fast."""
    if plan.aqm == "fifo":
        return []
    asked = int(np.count_nonzero(decisions.fate == AQM_DROPPED) + np.count_nonzero(decisions.mark))
    others = (decisions.fate != LOST) & (decisions.fate != OVERFLOWN)
    dropped = np.count_nonzero((samples.copies == 0) & others)
    measured = int(dropped + np.count_nonzero(samples.marked))
    margin = max(_AQM_FRAMES, _AQM_RATIO * asked)
    what = f"{plan.aqm}, frames dropped{' or marked' if plan.ecn else ''}"
    return [within(what, "frames", asked, measured, max(0.0, asked - margin), asked + margin)]


def queue_checks(samples: Samples, decisions: Decisions) -> list[Check]:
    """How many frames of a burst find room."""
    tried = decisions.fate != LOST
    asked = _before_the_first(decisions.fate[tried] != DELIVERED)
    measured = _before_the_first(samples.copies[tried] == 0)
    if asked is None:
        return [unknown("queue, frames that find room", "frames", None, "it did not fill up")]
    margin = max(_QUEUE_FRAMES, _QUEUE_RATIO * asked)
    return [
        within(
            "queue, frames that find room",
            "frames",
            asked,
            float(len(samples.copies)) if measured is None else measured,
            asked - margin,
            asked + margin,
        )
    ]


def _before_the_first(dropped: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(dropped)) if dropped.any() else None
