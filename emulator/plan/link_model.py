"""The part of a plan that is about links: their ends, what impairs them, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emulator.plan.record import Record

LinkKind = Literal["veth", "memif"]
LinkMechanism = Literal["none", "wire", "netem"]
TraceSetting = Literal["rate", "delay", "loss"]


@dataclass(frozen=True, kw_only=True)
class ImpairmentPlan(Record):
    """What one direction of a link does to frames; see ``emulator/native/impair.h``."""

    delay_ns: int = 0
    jitter_ns: int = 0
    """The standard deviation; for ``uniform`` how far the delay strays at most."""
    distribution: Literal["uniform", "normal", "pareto", "paretonormal", "table"] = "uniform"
    table: tuple[float, ...] = ()
    """``table`` only: quantiles of the jitter in units of ``jitter_ns``, at even steps of
    probability from 0 to 1."""
    floor_ns: Literal[0] | None = None
    """0: delays that jitter would make negative are 0; None: it makes none negative."""
    keep_order: bool = True
    loss: float = 0.0
    """Ratio of frames lost, each for itself."""
    gemodel: tuple[float, float, float, float] | None = None
    """Gilbert-Elliott in place of ``loss``: p, r, and the loss ratios in the bad (1-h) and in the
    good state (1-k)."""
    drop: tuple[int, ...] = ()
    """Frames that are lost, by their index in this direction, from 0; rising."""
    duplicate: float = 0.0
    reorder: float = 0.0
    """Ratio of frames that go at once, without the delay."""
    corrupt: float = 0.0
    """Ratio of frames in which one bit is flipped."""
    rate_bps: int | None = None
    overhead_bytes: int = 24
    """Per frame, counted with its length against the rate: preamble, FCS and gap of Ethernet."""
    burst_bytes: int = 0
    """What may go at once after a pause, of a token bucket; 0: nothing."""
    queue_packets: int | None = None
    queue_bytes: int | None = None
    queue_ns: int | None = None
    aqm: Literal["fifo", "red", "codel"] = "fifo"
    ecn: bool = False
    red_min_bytes: int = 0
    red_max_bytes: int = 0
    red_probability: float = 0.0
    red_weight: float = 0.002
    """Of the present queue in RED's average of it."""
    codel_target_ns: int = 5_000_000
    codel_interval_ns: int = 100_000_000
    trace: str | None = None
    """The file of a trace: Mahimahi's, or CSV."""
    trace_sets: tuple[TraceSetting, ...] = ()
    """What the trace says over time, in place of the fields of these names."""
    seed: int = 1
    """What the randomness of this direction begins with."""

    @property
    def impairs(self) -> bool:
        """Whether anything happens to frames at all."""
        ratios = (self.loss, self.duplicate, self.reorder, self.corrupt)
        files = (self.drop, self.trace, self.gemodel)
        times = (self.delay_ns, self.jitter_ns, self.rate_bps)
        return any(ratios) or any(files) or any(times)

    @property
    def has_rate(self) -> bool:
        """Whether frames may have to wait for others."""
        return self.rate_bps is not None or "rate" in self.trace_sets


@dataclass(frozen=True, kw_only=True)
class EndPlan(Record):
    """One end of a link."""

    node: str
    interface: str
    """The interface's ``name``."""


@dataclass(frozen=True, kw_only=True)
class LinkPlan(Record):
    """One link."""

    id: str
    """``h1-eth0<->s1-eth1``."""
    a: EndPlan
    b: EndPlan
    kind: LinkKind = "veth"
    """``veth`` is a pair of interfaces in the kernel, ``memif`` memory that two DPDK VNFs share."""
    mechanism: LinkMechanism = "none"
    """What impairs it."""
    up: ImpairmentPlan | None = None
    """What happens to frames from ``a`` to ``b``; None for a plain link, given for any other."""
    down: ImpairmentPlan | None = None
    """The same from ``b`` to ``a``."""


@dataclass(frozen=True, kw_only=True)
class LinkChangePlan(Record):
    """What changes of a link at one moment."""

    link: str
    """Its id."""
    state: Literal["up", "down"] | None = None
    """Whether it carries frames from then on; None: that stays as it is."""
    up: ImpairmentPlan | None = None
    """What happens from then on to frames from ``a`` to ``b``; None: that stays as it is."""
    down: ImpairmentPlan | None = None
    """The same from ``b`` to ``a``."""


@dataclass(frozen=True, kw_only=True)
class StepPlan(Record):
    """What changes at one moment of a schedule, all at once."""

    at_ns: int
    """From the start of the schedule."""
    changes: tuple[LinkChangePlan, ...]
