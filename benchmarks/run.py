"""Measures the emulator beside its peers: benchmarks/run.py [NAME…] [--repeat N] [--json FILE]

Needs root. Exit codes: 0 every target met, 1 one missed or not measured, 2 wrong use, 3 the machine
lacks something.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from benchmarks.model import Outcome, Row
    from benchmarks.session import Session

_LOG_COLUMNS = 170

Benchmark = Callable[["Session"], "list[Row]"]


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    from emulator.errors import BuildVnfError

    benchmarks = _benchmarks()
    arguments = _parse(benchmarks)
    if arguments.list:
        for name, benchmark in benchmarks.items():
            print(f"{name:15} {(benchmark.__doc__ or '').strip()}")
        return 0
    try:
        return _run({name: benchmarks[name] for name in arguments.names}, arguments)
    except BuildVnfError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _benchmarks() -> dict[str, Benchmark]:
    from benchmarks.agreement import agreement
    from benchmarks.chain import chain
    from benchmarks.commands import help_text, popen
    from benchmarks.containers import comnetsemu, docker_20, docker_one, docker_peers, image_size
    from benchmarks.labs import hosts_1000, linear_100, single_256
    from benchmarks.measuring import bench_ceiling, hop_sum, ndr_spread, planes_time
    from benchmarks.mininet import mininet_traffic, mn
    from benchmarks.planes import (
        docker_planes,
        handlers,
        idle,
        live,
        memif,
        polling,
        python,
        xdp_chain,
    )
    from benchmarks.probe import probe
    from benchmarks.report import report_speed
    from benchmarks.switches import switches
    from benchmarks.wire import wire_chance, wire_delay, wire_rate

    return {
        "single-256": single_256,
        "linear-100": linear_100,
        "hosts-1000": hosts_1000,
        "mn": mn,
        "mininet-traffic": mininet_traffic,
        "popen": popen,
        "help": help_text,
        "chain": chain,
        "switches": switches,
        "probe": probe,
        "agreement": agreement,
        "bench-limits": bench_ceiling,
        "ndr-spread": ndr_spread,
        "hop-sum": hop_sum,
        "planes-time": planes_time,
        "xdp-chain": xdp_chain,
        "polling": polling,
        "handlers": handlers,
        "idle": idle,
        "memif": memif,
        "python": python,
        "live": live,
        "wire-delay": wire_delay,
        "wire-rate": wire_rate,
        "wire-chance": wire_chance,
        "docker-20": docker_20,
        "docker-one": docker_one,
        "docker-peers": docker_peers,
        "docker-planes": docker_planes,
        "comnetsemu": comnetsemu,
        "image-size": image_size,
        "report-speed": report_speed,
    }


def _parse(benchmarks: dict[str, Benchmark]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure the emulator beside its peers; needs root."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to wait for an idle machine before each round (default: 30)",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in benchmarks]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are: {', '.join(benchmarks)}")
    if arguments.repeat < 1:
        parser.error("--repeat is at least 1")
    arguments.names = arguments.names or list(benchmarks)
    return arguments


def _run(chosen: dict[str, Benchmark], arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from benchmarks.model import Outcome
    from benchmarks.session import Session
    from benchmarks.table import render
    from emulator.errors import BuildVnfError
    from emulator.kernel.netns import ensure_root

    ensure_root("benchmarking")
    started_at = datetime.now(UTC)
    console = Console(width=None if sys.stdout.isatty() else _LOG_COLUMNS)
    outcomes: list[Outcome] = []
    with Console(stderr=True).status("starting") as status:
        tell = _teller(status.update)
        session = Session(arguments.repeat, arguments.patience, tell)
        try:
            for name, benchmark in chosen.items():
                outcomes.append(outcome := Outcome(name))
                session.begin(outcome)
                try:
                    outcome.rows = benchmark(session)
                except BuildVnfError as error:
                    outcome.error = str(error)
        except KeyboardInterrupt:
            outcomes[-1].error = "interrupted"
            raise
        finally:
            status.stop()
            console.print(render(outcomes))
            if arguments.json is not None:
                _write(arguments.json, outcomes, arguments.repeat, started_at)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _teller(update: Callable[[str], None]) -> Callable[[str], None]:
    """On a terminal the line is redrawn; a log gets one for each step."""
    if sys.stderr.isatty():
        return update
    return lambda text: print(f"bench: {text}", file=sys.stderr, flush=True)


def _write(path: Path, outcomes: list[Outcome], repeat: int, started_at: datetime) -> None:
    from emulator.errors import ResultsError
    from emulator.experiment.machine import describe_machine
    from emulator.revision import source_revision

    report: dict[str, Any] = {
        "version": 1,
        "started_at": started_at.isoformat(),
        "revision": source_revision(ROOT),
        "repeat": repeat,
        "machine": describe_machine().model_dump(mode="json"),
        "benchmarks": [outcome.as_json() for outcome in outcomes],
    }
    try:
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ResultsError(f"cannot be written: {error.strerror}", where=str(path)) from error


if __name__ == "__main__":
    sys.exit(main())
