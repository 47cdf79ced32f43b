"""Write the traces of links that come along, or check that they are what this makes.

Run it as ``.venv/bin/python scripts/make_traces.py [--check]``. None of them was measured: each is
drawn from a simple model of such a link, said in ``topologies/traces/README.md``, from a seed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

TRACES = Path(__file__).resolve().parents[1] / "topologies" / "traces"
PACKET_BITS = 8 * 1500


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/make_traces.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail instead of writing")
    check = parser.parse_args().check
    stale = []
    for name, make in MAKERS.items():
        path, text = TRACES / name, make()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if stale:
        print(("not as made: " if check else "wrote ") + ", ".join(stale))
    return 1 if check and stale else 0


def lte() -> str:
    """Opportunities of a car's download over LTE: 20 s in steps of 20 ms.

    The logarithm of the rate walks about 8 Mbit/s and is drawn back to it; twice the signal fades
    away. Each ms has as many opportunities as a Poisson process of that rate.
    """
    random = Random(2019)
    lines = []
    drift = 0.0
    fades = [(6.0, 0.9), (14.5, 0.6)]
    for ms in range(20_000):
        if ms % 20 == 0:
            drift = 0.97 * drift + 0.16 * _normal(random)
        fade = max(math.exp(-(((ms / 1000 - at) / width) ** 2)) for at, width in fades)
        rate_bps = 8e6 * math.exp(drift) * (1 - 0.985 * fade)
        lines += [ms + 1] * _poisson(random, rate_bps / 1000 / PACKET_BITS)
    # The last line is where the trace begins anew.
    if lines[-1] != 20_000:
        lines.append(20_000)
    return "".join(f"{ms}\n" for ms in lines)


def satellite() -> str:
    """A path through low satellites: 60 s in steps of 0.5 s.

    Another satellite is taken every 15 s, which needs 80 ms in which nothing gets through; its
    distance gives the delay, and its height above the horizon the rate.
    """
    random = Random(2020)
    rows = ["time_s,rate_mbps,delay_ms,loss_percent"]
    for hop in range(4):
        nearest_ms, middle = 18 + 8 * random.random(), 15 * random.random()
        begin = 15.0 * hop
        rows.append(f"{begin:.2f},0,,")
        for step in range(30):
            since = max(0.08, 0.5 * step)
            away = (since - middle) / 15
            delay_ms = nearest_ms + 14 * away * away + 1.5 * random.random()
            rate_mbps = 120 * math.exp(-1.2 * away * away) * (0.85 + 0.3 * random.random())
            loss = 0.1 + 0.6 * away * away
            rows.append(f"{begin + since:.2f},{rate_mbps:.1f},{delay_ms:.2f},{loss:.2f}")
    rows.append("60,,,")
    return "\n".join(rows) + "\n"


def wifi() -> str:
    """Away from an access point and back: 40 s in steps of 0.5 s.

    The signal falls with the distance and flickers; the rate is the highest of IEEE 802.11a that
    it bears, times the 0.6 of it that are left of it above the medium access, and the loss grows
    where it hardly does.
    """
    random = Random(1999)
    # Mbit/s, and the dB of signal over noise that they need.
    rates = [
        (54, 24.6),
        (48, 24.1),
        (36, 18.8),
        (24, 16.0),
        (18, 11.0),
        (12, 9.0),
        (9, 7.8),
        (6, 6),
    ]
    rows = ["time,rate,loss"]
    for step in range(80):
        metres = 3 + 40 * (1 - abs(step - 40) / 40)
        signal_db = 55 - 30 * math.log10(metres) + 2.5 * _normal(random)
        rate, needed_db = next((rate for rate in rates if rate[1] <= signal_db), rates[-1])
        loss = 4 * math.exp(-max(0.0, signal_db - needed_db) / 1.5) + 0.2
        rows.append(f"{0.5 * step:g}s,{0.6 * rate:g}mbit,{loss:.1f}%")
    rows.append("40s,,")
    return "\n".join(rows) + "\n"


def _normal(random: Random) -> float:
    """Roughly normal, and the same with every version of Python and of the C library."""
    return sum(random.random() for _ in range(12)) - 6


def _poisson(random: Random, mean: float) -> int:
    return sum(1 for _ in _until_one(random, mean))


def _until_one(random: Random, mean: float) -> Iterator[float]:
    left = mean
    while (left := left + math.log(1 - random.random())) > 0:
        yield left


MAKERS: Mapping[str, Callable[[], str]] = {
    "lte.trace": lte,
    "satellite.csv": satellite,
    "wifi.csv": wifi,
}

if __name__ == "__main__":
    sys.exit(main())
