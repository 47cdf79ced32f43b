"""Makes a bundle of made-up samples and prints its folder: sample_bundle FOLDER PACKETS yes|no

The last word says whether trials have histograms, as a bench leaves them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.experiment.bundle import MACHINE, RUN, SUMMARY, BundleWriter
from emulator.experiment.machine import describe_machine
from emulator.experiment.measured import LatencyRecord, TrialRecord
from emulator.experiment.records import CaseRecord, RunRecord, SummaryRecord, TrafficRecord
from emulator.experiment.summary import latency_over
from emulator.measure.histogram import Histogram
from emulator.measure.latency import summarise_latency

_PLANES = {"xdp": 750.0, "kernel": 2400.0, "afxdp": 2100.0, "dpdk": 2200.0, "packet": 5800.0}
_ROUNDS = 2
_RATE_PPS = 100_000


def main() -> None:
    """Make it."""
    output, packets, histograms = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "yes"
    started_at = datetime.now(UTC)
    writer = BundleWriter.create(output, "chain", started_at=started_at)
    random = np.random.default_rng(1)
    each = packets // (len(_PLANES) * _ROUNDS)
    cases = []
    for name, median_ns in _PLANES.items():
        trials = []
        for number in range(1, _ROUNDS + 1):
            columns = _columns(random, each, median_ns)
            samples = writer.write_samples(f"dataplane={name}", number, columns, {})
            trials.append(_trial(number, columns, samples, histogram=histograms))
        record = CaseRecord(
            name=f"dataplane={name}",
            settings={"dataplane": name},
            varied={"dataplane": name},
            traffic=TrafficRecord(
                rate_pps=_RATE_PPS, frames="64", mean_frame_bytes=64, pattern="const"
            ),
            status="finished",
            source="client",
            destination="server",
            trials=tuple(trials),
            latency=latency_over(trials),
        )
        cases.append(record)
    about = RunRecord(
        command_line=("vnf", "bench"),
        spec={},
        seed=1,
        order=tuple(case.name for case in cases),
        started_at=started_at,
        outcome="finished",
    )
    summary = SummaryRecord(
        topology="chain",
        link="veth",
        mechanism="kernel",
        measurements=("latency",),
        duration_s=each / _RATE_PPS,
        repeat=_ROUNDS,
        cases=tuple(cases),
    )
    for name, content in ((MACHINE, describe_machine()), (RUN, about), (SUMMARY, summary)):
        writer.write_record(name, content)
    writer.release_reserve()
    print(json.dumps({"folder": str(writer.folder)}))


def _columns(
    random: np.random.Generator, packets: int, median_ns: float
) -> dict[str, NDArray[Any]]:
    """Delays with a long tail, and one packet in 100 000 lost."""
    begin_ns = 5_000_000_000_000
    number = np.arange(packets, dtype=np.uint64)
    intended = begin_ns + number * np.uint64(round(1e9 / _RATE_PPS))
    delays = median_ns * random.lognormal(0, 0.25, packets)
    slow = random.random(packets) < 0.001
    delays[slow] *= 5 + 20 * random.pareto(1.5, int(slow.sum()))
    received = intended + np.minimum(delays, 5e7).astype(np.uint64)
    received[random.random(packets) < 1e-5] = 0
    return {
        "seq": number.astype(np.uint32),
        "intended_ns": intended,
        "sent_ns": intended + random.integers(10, 60, packets).astype(np.uint64),
        "received_ns": received,
        "copies": (received > 0).astype(np.uint32),
        "arrival": number.astype(np.uint32),
    }


def _trial(
    number: int, columns: dict[str, NDArray[Any]], samples: str, *, histogram: bool
) -> TrialRecord:
    arrived = columns["received_ns"] != 0
    delays = (columns["received_ns"] - columns["intended_ns"])[arrived].astype(np.int64)
    sent, received = len(arrived), int(arrived.sum())
    return TrialRecord(
        number=number,
        round=number,
        rate_pps=_RATE_PPS,
        sent=sent,
        unsent=0,
        received=received,
        lost=sent - received,
        duplicated=0,
        reordered=0,
        damaged=0,
        overrun=0,
        elapsed_ns=round(sent / _RATE_PPS * 1e9),
        offered_pps=_RATE_PPS,
        received_pps=_RATE_PPS,
        wait_ns=0,
        dma_latency_held=True,
        valid=True,
        latency=LatencyRecord(**asdict(summarise_latency(delays))),
        samples=samples,
        histogram=Histogram.of(delays).encode() if histogram else None,
    )


if __name__ == "__main__":
    main()
