"""Runs as a bench leaves them, made up: records for the reports, and whole bundles of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.experiment.bundle import BundleWriter
from emulator.experiment.machine import describe_machine
from emulator.experiment.measured import IntervalRecord, LatencyRecord, TrialRecord
from emulator.experiment.measured_throughput import (
    CostRecord,
    CostTrialRecord,
    GoalRecord,
    SearchRecord,
    SearchTrialRecord,
    ThroughputRecord,
)
from emulator.experiment.records import (
    CaseRecord,
    RunRecord,
    SummaryRecord,
    TrafficRecord,
    VnfRecord,
)
from emulator.measure.histogram import Histogram

NOON = datetime(2031, 5, 4, 12, 0, 0, tzinfo=UTC)
QUICK = GoalRecord(
    name="quick",
    loss_ratio=0.001,
    exceed_ratio=0.5,
    final_trial_s=0.5,
    duration_sum_s=5.0,
    width=0.02,
)


def latency(p50_ns: int | None, *, count: int = 20_000, p999: bool = True) -> LatencyRecord:
    """With a p90 of twice the median, and so on."""
    if p50_ns is None:
        nothing: dict[str, Any] = dict.fromkeys(
            ("min_ns", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")
        )
        return LatencyRecord(count=0, **nothing)
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


def trial(
    found: LatencyRecord, *, number: int = 1, lost: int = 0, unsent: int = 0, **changed: Any
) -> TrialRecord:
    """Of 20 000 packets."""
    fields: dict[str, Any] = {
        "number": number,
        "round": 1,
        "rate_pps": 10_000,
        "sent": 20_000,
        "unsent": unsent,
        "received": 20_000 - lost,
        "lost": lost,
        "duplicated": 0,
        "reordered": 0,
        "damaged": 0,
        "overrun": 0,
        "wait_ns": 0,
        "dma_latency_held": True,
        "valid": True,
        "elapsed_ns": 2_000_000_000,
        "offered_pps": 10_000,
        "received_pps": 10_000,
        "latency": found,
        "samples": "samples/x.parquet",
    }
    return TrialRecord(**(fields | changed))


def search(rate_pps: float | None, *, number: int = 1, **changed: Any) -> SearchRecord:
    """A search of one trial."""
    step = SearchTrialRecord(
        load_pps=rate_pps or 1.0,
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
    fields: dict[str, Any] = {
        "round": number,
        "rate_pps": rate_pps,
        "loss_ratio": None if rate_pps is None else 0.0,
        "lower_pps": rate_pps,
        "upper_pps": rate_pps,
        "probe_limited": False,
        "valid": True,
        "converged": True,
        "warm_up": step,
        "trials": (step,),
    }
    return SearchRecord(**(fields | changed))


def throughput(
    rate_pps: float | None,
    *,
    goal: GoalRecord = QUICK,
    frame_bytes: float = 64,
    rounds: tuple[float, ...] = (),
    interval: IntervalRecord | None = None,
    **changed: Any,
) -> ThroughputRecord:
    """Of one search, or of one for each of the rounds."""
    rates: tuple[float | None, ...] = rounds or (rate_pps,)
    spread = (max(rounds) - min(rounds)) / (rate_pps or 1) if rounds else None
    return ThroughputRecord(
        goal=goal,
        rate_pps=rate_pps,
        rate_bps=None if rate_pps is None else rate_pps * frame_bytes * 8,
        loss_ratio=None if rate_pps is None else 0.0,
        spread=spread,
        interval=interval,
        searches=tuple(
            search(rate, number=number, **changed) for number, rate in enumerate(rates, 1)
        ),
    )


def interval(low: float, high: float) -> IntervalRecord:
    """With 95 % confidence."""
    return IntervalRecord(low=low, high=high, confidence=0.95, method="bootstrap over rounds")


def cost(*cpu_ns_per_packet: float, **changed: Any) -> CostRecord:
    """Of a million packets in each of so many rounds."""
    return CostRecord.over(
        [
            CostTrialRecord(
                round=number,
                cpu_ns_per_packet=each_ns,
                cpu_ns=round(each_ns * 1e6),
                sent=10**6,
                received=10**6,
                elapsed_ns=10**9,
                softirq_accounting="in-task",
                **({"valid": True} | changed),
            )
            for number, each_ns in enumerate(cpu_ns_per_packet, 1)
        ]
    )


def traffic(frames: str = "64", *, mean: float | None = None, **changed: Any) -> TrafficRecord:
    """At 10 000 packets per second."""
    return TrafficRecord(
        **(
            {"rate_pps": 10_000, "frames": frames, "pattern": "const"}
            | {"mean_frame_bytes": mean or float(frames)}
            | changed
        )
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
    **changed: Any,
) -> CaseRecord:
    """A case of a run that varies the data plane; ``none`` has no VNF."""
    found = latency(p50_ns, p999=p999)
    vnf = VnfRecord(node="vnf1", vnf="forward", dataplane=dataplane, mode=mode, parameters={})
    fields: dict[str, Any] = {
        "name": f"dataplane={dataplane}",
        "settings": {"dataplane": dataplane},
        "varied": {"dataplane": dataplane},
        "traffic": traffic(),
        "status": "finished",
        "source": "client",
        "destination": "server",
        "vnfs": () if dataplane == "none" else (vnf,),
        "trials": (trial(found, lost=lost, unsent=unsent),),
        "latency": found,
        "throughputs": (throughput(rate_pps, probe_limited=probe_limited),),
        "cost": cost(cost_ns),
    }
    return CaseRecord(**(fields | changed))


def summary(*cases: CaseRecord, **changed: Any) -> SummaryRecord:
    """The summary of a run of ``chain``."""
    fields: dict[str, Any] = {
        "topology": "chain",
        "link": "veth",
        "mechanism": "kernel",
        "measurements": ("latency", "throughput", "cost"),
        "duration_s": 2.0,
        "repeat": 1,
        "cases": cases,
    }
    return SummaryRecord(**(fields | changed))


def run(*, started_at: datetime = NOON, **changed: Any) -> RunRecord:
    """``run.json`` of a run of ``chain``."""
    fields: dict[str, Any] = {
        "command_line": ("vnf", "bench", "--topo", "chain"),
        "spec": {"target": "chain", "repeat": 1},
        "seed": 7,
        "order": ("dataplane=xdp",),
        "started_at": started_at,
        "ended_at": started_at,
        "outcome": "finished",
    }
    return RunRecord(**(fields | changed))


def columns(
    packets: int, *, median_ns: float = 750, lost: int = 0, seed: int = 1, rate_pps: float = 10_000
) -> dict[str, NDArray[Any]]:
    """Samples of a trial whose delays are spread as those of a busy machine are."""
    random = np.random.default_rng(seed)
    begin = 5_000_000_000_000
    intended = begin + (np.arange(packets) * (1e9 / rate_pps)).astype(np.uint64)
    delays = random.lognormal(math.log(median_ns), 0.25, packets)
    slow = random.random(packets) < 0.001
    delays[slow] *= random.pareto(1.5, int(slow.sum())) * 20 + 5
    received = intended + np.minimum(delays, 5e7).astype(np.uint64)
    received[random.choice(packets, lost, replace=False)] = 0
    return {
        "seq": np.arange(packets, dtype=np.uint32),
        "intended_ns": intended,
        "sent_ns": intended + np.uint64(20),
        "received_ns": received,
        "copies": (received > 0).astype(np.uint32),
        "arrival": np.arange(packets, dtype=np.uint32),
    }


def histogram(samples: dict[str, NDArray[Any]]) -> str:
    """The delays of samples, as a trial's record has them."""
    arrived = samples["received_ns"] != 0
    delays = (samples["received_ns"] - samples["intended_ns"])[arrived].astype(np.int64)
    return Histogram.of(delays).encode()


def write_bundle(
    output: Path, of: SummaryRecord, about: RunRecord | None = None, **files: Any
) -> Path:
    """A bundle with this summary, and nothing else but what every one has; gives its folder."""
    about = about or run()
    writer = BundleWriter.create(output, of.topology, started_at=about.started_at)
    writer.write_record("machine.json", describe_machine())
    writer.write_record("run.json", about)
    writer.write_record("summary.json", of)
    for name, record in files.items():
        writer.write_record(f"{name}.json", record)
    writer.release_reserve()
    return writer.folder
