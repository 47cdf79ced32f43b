"""Grades a move: measures it beside stop-and-copy, and says what is reached and what is missing.

    python labs/moving-state/check.py [FILE] [--image IMAGE] [--json]

FILE has a function ``move(net)``; without one it is move.py in this folder. The exit code is 0 when
all is reached and 1 when something is missing; 2 for a file that cannot be run, and 3 when this
machine lacks something, as with vnf.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import stop_and_copy
from topology import PORT, SERVICE, MovingState

from emulator import Network
from emulator.cli.outcome import report_error
from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.userfile import blaming, run_file

HERE = Path(__file__).parent
KEYS = 200_000
BEFORE_S = AFTER_S = 1.0


@dataclass(frozen=True)
class Requests:
    """What became of the requests of one move.

    Attributes:
        sent: how many there were.
        lost: how many of them were never answered.
        longest_wait_ms: the longest time until an answer.
        forgotten: answers with a count that is too low: earlier answers were not counted in.
        twice: answers with a count that is higher than the number of requests until then.
        late: requests sent when d1 had been taken away, and how many of them were answered.
    """

    sent: int
    lost: int
    longest_wait_ms: float
    forgotten: int
    twice: int
    late: tuple[int, int]


def measure(move: Callable[[Network], None], image: str | None) -> Requests:
    """Start a lab, ask for keys all the time, move, take d1 away, and ask on for a while."""
    with Network(MovingState(keys=KEYS, image=image)) as net:
        command = [sys.executable, str(HERE / "client.py"), SERVICE, str(PORT), "--keys", str(KEYS)]
        client = net["client"].popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise LabError("the service does not answer", where="client")
        time.sleep(BEFORE_S)
        move(net)
        time.sleep(AFTER_S)
        if "d1" in net:
            net.removeDocker("d1")
        taken_away_ns = time.monotonic_ns()
        time.sleep(AFTER_S)
        report, _ = client.communicate()
    return judged(json.loads(report), taken_away_ns)


def judged(requests: list[tuple[str, int, int | None, int | None]], taken_away_ns: int) -> Requests:
    """What became of requests as the client tells of them."""
    asked: dict[str, int] = defaultdict(int)
    counted: dict[str, int] = defaultdict(int)
    waits_ns, forgotten, twice, late, late_answered = [0], 0, 0, 0, 0
    for key, sent_ns, answered_ns, count in requests:
        asked[key] += 1
        late += sent_ns > taken_away_ns
        if answered_ns is None or count is None:
            continue
        late_answered += sent_ns > taken_away_ns
        waits_ns.append(answered_ns - sent_ns)
        # One that was not answered may have been counted, and may not.
        forgotten += count <= counted[key]
        twice += count > asked[key]
        counted[key] = max(counted[key], count)
    return Requests(
        sent=len(requests),
        lost=sum(answered_ns is None for _, _, answered_ns, _ in requests),
        longest_wait_ms=round(max(waits_ns) / 1e6, 1),
        forgotten=forgotten,
        twice=twice,
        late=(late, late_answered),
    )


def grade(yours: Requests, simple: Requests) -> dict[str, bool]:
    """What a move is to reach, and whether it does."""
    sent, answered = yours.late
    return {
        "d2 answers without d1": sent > 0 and answered == sent,
        "no count is forgotten": not yours.forgotten,
        "no request is counted twice": not yours.twice,
        "no more than a quarter of what stop-and-copy loses is lost": (
            yours.lost * 4 <= simple.lost
        ),
    }


def main() -> int:
    """Measure both, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=HERE / "move.py")
    parser.add_argument("--image", help="what the servers run instead of this folder's image")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        move = getattr(run_file(options.file, "the_move"), "move", None)
        if move is None:
            raise UsageError("there is no function move(net)", where=str(options.file))
        simple = measure(stop_and_copy.move, options.image)
        with blaming(options.file):
            yours = measure(move, options.image)
    except BuildVnfError as error:
        return report_error(error)
    grades = grade(yours, simple)
    if options.json:
        print(json.dumps({"simple": asdict(simple), "yours": asdict(yours), "grades": grades}))
    else:
        for name, each in (("stop-and-copy", simple), (options.file.name, yours)):
            print(
                f"{name:<14} {each.sent} requests, {each.lost} lost, "
                f"longest wait for an answer {each.longest_wait_ms:g} ms"
            )
        for what, reached in grades.items():
            print(f"{'reached' if reached else 'MISSING'}  {what}")
    return 0 if all(grades.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
