"""The idle policy of a data plane that polls: what it does while no frame comes.

Written as one text, the same for every polling data plane:

==================== ===========================================================================
``poll``             look again at once, for ever: the least latency, and a core that is never free
``yield``            let others run first, then look again
``wait``             sleep until a frame comes
``sleep:50us``       sleep that long, then look again
``spin:20us,wait``   look again at once for 20 µs after the last frame, then do what follows: wait,
                     yield or sleep; where frames come at longer gaps than that, do it at once
==================== ===========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT = "spin:20us,wait"
"""Short gaps between packets cost no wake-up, long ones cost no CPU."""

_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s)")
_LONGEST_NS = 1_000_000_000
_HINT = "write poll, yield, wait, sleep:50us, or a spin before them: spin:20us,wait"


@dataclass(frozen=True)
class IdlePolicy:
    """What a polling loop does while no frame comes.

    Attributes:
        spin_ns: how long after the last frame it looks again at once, as long as frames come at
            shorter gaps than that.
        then: what it does after that: ``poll``, ``yield``, ``wait`` or ``sleep``.
        sleep_ns: how long each sleep is.
    """

    then: str
    spin_ns: int = 0
    sleep_ns: int = 0

    def __str__(self) -> str:
        then = f"sleep:{_written(self.sleep_ns)}" if self.then == "sleep" else self.then
        return f"spin:{_written(self.spin_ns)},{then}" if self.spin_ns else then

    @property
    def option(self) -> str:
        """The policy as a VNF process takes it, in nanoseconds."""
        then = f"sleep={self.sleep_ns}" if self.then == "sleep" else self.then
        return f"spin={self.spin_ns},{then}" if self.spin_ns else then


class IdleMistake(ValueError):
    """A text that is no idle policy; ``hint`` says what would be one."""

    hint = _HINT


def parse_idle(text: object) -> IdlePolicy:
    """Read an idle policy.

    Raises:
        IdleMistake: the text is none.
    """
    if not isinstance(text, str):
        raise IdleMistake(f"{text!r} is not an idle policy")
    first, comma, rest = (part.strip() for part in text.partition(","))
    spin_ns = 0
    if first.startswith("spin:"):
        spin_ns = _time_ns(first.removeprefix("spin:"))
        if not comma:
            raise IdleMistake(f"{text!r} does not say what comes after the spin")
        first, comma = rest, ""
    if comma or first.startswith("spin"):
        raise IdleMistake(f"{text!r} is not an idle policy")
    if first.startswith("sleep:"):
        return IdlePolicy("sleep", spin_ns, _time_ns(first.removeprefix("sleep:")))
    if first not in ("poll", "yield", "wait") or (first == "poll" and spin_ns):
        raise IdleMistake(f"{text!r} is not an idle policy")
    return IdlePolicy(first, spin_ns)


def _time_ns(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise IdleMistake(f"{text!r} is not a time")
    time_ns = round(float(found[1]) * _UNITS_NS[found[2]])
    if not 0 < time_ns <= _LONGEST_NS:
        raise IdleMistake(f"{text} is not above 0 and at most 1 s")
    return time_ns


def _written(time_ns: int) -> str:
    for unit in ("s", "ms", "us"):
        if time_ns % _UNITS_NS[unit] == 0:
            return f"{time_ns // _UNITS_NS[unit]}{unit}"
    return f"{time_ns}ns"
