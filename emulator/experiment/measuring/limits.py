"""What the bench itself can do: the highest rate and the least latency on a link without a VNF."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from emulator.experiment.cases import Traffic
from emulator.experiment.measured_throughput import BenchLimitsRecord
from emulator.experiment.measuring.context import best_of
from emulator.experiment.measuring.gate import gated
from emulator.experiment.measuring.path import MeasuredPath
from emulator.measure.goals import goal_named
from emulator.measure.latency import summarise
from emulator.measure.search import search_throughput
from emulator.network import Network
from emulator.paths import cache_dir
from emulator.topo import Topo
from emulator.traffic.probe import ETHERNET_BYTES, FCS_BYTES
from emulator.traffic.schedule import is_capture

if TYPE_CHECKING:
    from emulator.experiment.spec import BenchSpec
    from emulator.measure.throughput import Trial

FRESH_S = 3600.0
"""For so long a measurement of the bench holds, on a machine that was not restarted."""

_RATE_PPS = 10_000.0
_LATENCY_S = 1.0
_SEARCH_S = 6.0
_USUAL_MTU_BYTES = 1500


def bench_limits(
    spec: BenchSpec, frames: str, tell: Callable[[str], None], *, cache: Path | None = None
) -> BenchLimitsRecord:
    """Those of one kind of frames; what was measured undisturbed on this machine not long ago is
    used again.

    Args:
        spec: of the bench, for its mechanism and core.
        frames: their size, or ``imix``, or those of a capture (``pcap:FILE``).
        tell: is told what is done.
        cache: the file that remembers; one of the user's by default.

    Raises:
        BuildVnfError: a link alone cannot be measured.
    """
    file = _cache_file() if cache is None else cache
    known = _read(file).get(_key(spec, frames))
    if known is not None and time.time() - known.measured_at.timestamp() < FRESH_S:
        return known.model_copy(update={"reused": True})
    measured = _measure(spec, Traffic(_RATE_PPS, frames), tell)
    # A file of the same name may hold another capture by then.
    if measured.valid and not is_capture(frames):
        remember(spec, measured, cache=file)
    return measured


def remember(spec: BenchSpec, measured: BenchLimitsRecord, *, cache: Path | None = None) -> None:
    """Have :func:`bench_limits` use this again; where it cannot be written, it is forgotten."""
    file = _cache_file() if cache is None else cache
    _write(file, {**_read(file), _key(spec, measured.frames): measured})


def _key(spec: BenchSpec, frames: str) -> str:
    return f"{_boot_id()} {spec.mechanism} {frames} {spec.core}"


def _measure(spec: BenchSpec, traffic: Traffic, tell: Callable[[str], None]) -> BenchLimitsRecord:
    topo = Topo()
    mtu_bytes = traffic.frame_mix().largest_bytes - ETHERNET_BYTES - FCS_BYTES
    topo.addLink(topo.addHost("source"), topo.addHost("sink"), mtu=max(_USUAL_MTU_BYTES, mtu_bytes))
    tell("measuring the bench itself")
    with Network(topo) as network:
        path = MeasuredPath(network, network["source"], network["sink"])

        def trial(rate_pps: float | None, duration_s: float) -> Trial:
            load = "at full load" if rate_pps is None else f"at {rate_pps / 1e6:.3g} Mpps"
            tell(f"measuring the bench itself, {load}")
            return gated(path, spec.probe(traffic, rate_pps, duration_s, record=False)).trial

        path.await_packets(spec.probe(traffic, 1000.0, 0.01, record=False))
        floor = spec.probe(traffic, _RATE_PPS, _LATENCY_S, record=True)
        delays = best_of(lambda: gated(path, floor, exact=True))
        found = search_throughput(trial, [goal_named("quick")], max_s=_SEARCH_S)
    latency, ceiling = summarise(delays.result), found.goals[0]
    return BenchLimitsRecord(
        mechanism=spec.mechanism,
        frames=traffic.frames,
        ceiling_pps=ceiling.throughput_pps,
        floor_p50_ns=latency.p50_ns,
        floor_p99_ns=latency.p99_ns,
        measured_at=datetime.now(UTC),
        valid=delays.valid and ceiling.valid,
    )


def _cache_file() -> Path:
    return cache_dir() / "bench-limits.json"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _read(file: Path) -> dict[str, BenchLimitsRecord]:
    """What is remembered; a damaged file, or one of another version, is as good as none."""
    with suppress(OSError, ValueError, ValidationError, AttributeError):
        entries = json.loads(file.read_text()).items()
        return {key: BenchLimitsRecord.model_validate(value) for key, value in entries}
    return {}


def _write(file: Path, known: dict[str, BenchLimitsRecord]) -> None:
    """A user without a place for it measures the bench again each time."""
    boot_id = _boot_id()
    text = json.dumps(
        {
            key: record.model_dump(mode="json")
            for key, record in known.items()
            if key.startswith(boot_id)
        }
    )
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        partial.write_text(text)
        partial.replace(file)
