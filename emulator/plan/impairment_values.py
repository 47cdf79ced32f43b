"""The options of an impaired link, one by one: what each sets in one direction.

A reader takes what the user wrote and gives fields of :class:`ImpairmentPlan`, or raises
:class:`QuantityMistake`. What options mean together is judged in ``impairment_checks``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from emulator.names import suggestion
from emulator.plan.impairment_files import find_trace, read_distribution, settings_of_trace
from emulator.plan.model import ImpairmentPlan
from emulator.plan.quantities import (
    QuantityMistake,
    read_count,
    read_duration_ns,
    read_megabits_bps,
    read_number,
    read_rate_bps,
    read_ratio,
    read_size_bytes,
    read_truth,
    shown,
)

MOST_DROPS = 4096
"""How many frames can be named in ``drop``."""
DISTRIBUTIONS = ("uniform", "normal", "pareto", "paretonormal")
QUEUE_PACKETS = 1000
"""What waits for a rate if nothing else is said, as in Mininet and tc."""

_PACKETS = range(1, 1_000_001)
_MOST_INDEX = 1 << 62
_CALL = re.compile(r"([a-z]+)\s*(?:\((.*)\))?", re.DOTALL)
_GEMODEL_HINT = 'write it "gemodel(p=1%, r=25%, h=0%, k=100%)"'
# Of the Ethernet frame itself, which are not in the length that the kernel counts: preamble, FCS
# and gap. Mininet's bw means the length that the kernel counts.
_ETHERNET_BYTES = 24
_MININET_RED = {
    "aqm": "red",
    "red_min_bytes": 30_000,
    "red_max_bytes": 35_000,
    "red_probability": 1.0,
    # What tc-red makes of "min 30000 avpkt 1500 burst 20".
    "red_weight": 0.5,
}
_AQM_KEYS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], int | float]]]] = {
    "fifo": {},
    "red": {
        "min": ("red_min_bytes", read_size_bytes),
        "max": ("red_max_bytes", read_size_bytes),
        "p": ("red_probability", read_ratio),
    },
    "codel": {
        "target": ("codel_target_ns", read_duration_ns),
        "interval": ("codel_interval_ns", read_duration_ns),
    },
}
_AQM_DEFAULTS: Mapping[str, Mapping[str, int | float]] = {
    "fifo": {},
    "red": {
        "red_min_bytes": 30_000,
        "red_max_bytes": 90_000,
        "red_probability": 0.1,
        "red_weight": 0.002,
    },
    "codel": {"codel_target_ns": 5_000_000, "codel_interval_ns": 100_000_000},
}

Fields = dict[str, Any]


def _delay(value: Any) -> Fields:
    return {"delay_ns": read_duration_ns(value)}


def _jitter(value: Any) -> Fields:
    return {"jitter_ns": read_duration_ns(value)}


def _floor(value: Any) -> Fields:
    if read_duration_ns(value) != 0:
        raise QuantityMistake(f"{shown(value)} is no floor there is", 'write floor="0ms"')
    return {"floor_ns": 0}


def _distribution(value: Any, folder: Path) -> Fields:
    if value in DISTRIBUTIONS:
        return {"distribution": value, "table": ()}
    if not isinstance(value, str) or not value.strip():
        raise QuantityMistake(f"{shown(value)} is not a distribution", _distribution_hint(value))
    if "/" not in value and "." not in value and not (folder / value).is_file():
        hint = _distribution_hint(value)
        raise QuantityMistake(f"there is no distribution {shown(value)}", hint)
    return {"distribution": "table", "table": read_distribution(folder / value, value)}


def _distribution_hint(value: Any) -> str:
    known = f"there are: {', '.join(DISTRIBUTIONS)}, or name a file"
    return suggestion(value, DISTRIBUTIONS) or known


def _loss(value: Any) -> Fields:
    return {"loss": read_ratio(value), "gemodel": None}


def _loss_model(value: Any) -> Fields:
    _, given = read_call(value, "a loss model", ("gemodel",), _GEMODEL_HINT)
    known = ("p", "r", "h", "k", "1-h", "1-k")
    wrong = [key for key in given if key not in known]
    if wrong or "p" not in given or {"h", "1-h"} <= given.keys() or {"k", "1-k"} <= given.keys():
        text = (
            f"gemodel has no {wrong[0]}" if wrong else f"{shown(value)} does not say it all, once"
        )
        raise QuantityMistake(text, _GEMODEL_HINT)
    ratios = {key: read_ratio(text) for key, text in given.items()}
    p = ratios["p"]
    # What is left out is what tc leaves out: bursts as good as single losses, a bad state that
    # loses all, a good one that loses nothing.
    r = ratios.get("r", 1 - p)
    bad = ratios.get("1-h", 1 - ratios.get("h", 0.0))
    good = ratios.get("1-k", 1 - ratios.get("k", 1.0))
    return {"gemodel": (p, r, bad, good), "loss": 0.0}


def _drop(value: Any) -> Fields:
    if isinstance(value, str):
        items: Iterable[Any] = [part for part in re.split(r"[,\s]+", value.strip(" []()")) if part]
    elif isinstance(value, list | tuple | set | frozenset | range):
        items = value
    else:
        raise QuantityMistake(f"{shown(value)} is not a list of frames", "write drop=[5, 9, 12]")
    frames = {read_count(item, "the number of a frame", range(_MOST_INDEX)) for item in items}
    if len(frames) > MOST_DROPS:
        text = f"{len(frames)} frames to drop are too many"
        raise QuantityMistake(text, f"name up to {MOST_DROPS}, or use loss")
    return {"drop": tuple(sorted(frames))}


def _rate(value: Any) -> Fields:
    return {"rate_bps": read_rate_bps(value), "overhead_bytes": _ETHERNET_BYTES}


def _bw(value: Any) -> Fields:
    return {"rate_bps": read_megabits_bps(value), "overhead_bytes": 0}


def _overhead(value: Any) -> Fields:
    return {"overhead_bytes": read_count(value, "a number of bytes per frame", range(1025))}


def _burst(value: Any) -> Fields:
    size = read_size_bytes(value)
    if size >= 1 << 32:
        raise QuantityMistake(f"{shown(value)} is too large", "give less than 4 GB")
    return {"burst_bytes": size}


def _queue(value: Any) -> Fields:
    hint = 'write packets, bytes or time: "100p", "50KB", "20ms", or several: "100p,20ms"'
    if not isinstance(value, str) or not value.strip():
        raise QuantityMistake(f"{shown(value)} is not the limit of a queue", hint)
    fields: Fields = {"queue_packets": None, "queue_bytes": None, "queue_ns": None}
    for part in value.split(","):
        field, limit = _queue_limit(part.strip(), hint)
        if fields[field] is not None:
            raise QuantityMistake(f"{shown(value)} gives the same limit twice", hint)
        fields[field] = limit
    return fields


def _queue_limit(text: str, hint: str) -> tuple[str, int]:
    unit = re.sub(r"[\d.\s]+", "", text).lower()
    if unit in ("p", "packet", "packets"):
        count = text.lower().rstrip("packets ")
        return "queue_packets", read_count(count, "a number of packets", _PACKETS)
    if unit in ("b", "kb", "mb", "gb", "kib", "mib", "gib"):
        return "queue_bytes", read_size_bytes(text)
    if not unit or unit[-1:] not in ("s", "c", "n"):
        raise QuantityMistake(f"{shown(text)} is not the limit of a queue", hint)
    limit_ns = read_duration_ns(text)
    if limit_ns == 0:
        raise QuantityMistake("a queue of no time holds nothing", hint)
    return "queue_ns", limit_ns


def _max_queue_size(value: Any) -> Fields:
    return {"queue_packets": read_count(value, "a number of packets", _PACKETS)}


def _latency_ms(value: Any) -> Fields:
    number = read_number(value, "a number of milliseconds")
    limit_ns = read_duration_ns(f"{number}ms")
    if limit_ns == 0:
        raise QuantityMistake("a queue of no time holds nothing")
    return {"queue_ns": limit_ns}


def _aqm(value: Any) -> Fields:
    hint = 'write "red(min=30KB, max=90KB, p=10%)", "codel(target=5ms, interval=100ms)" or "fifo"'
    name, given = read_call(value, "a queue discipline", _AQM_KEYS, hint)
    fields: Fields = {"aqm": name, **_AQM_DEFAULTS[name]}
    for key, text in given.items():
        if key not in _AQM_KEYS[name]:
            raise QuantityMistake(f"{name} has no {key}", hint)
        field, read = _AQM_KEYS[name][key]
        fields[field] = read(text)
    return fields


def _ecn(value: Any) -> Fields:
    return {"ecn": read_truth(value)}


def _enable_red(value: Any) -> Fields:
    return dict(_MININET_RED) if read_truth(value) else {}


def _enable_ecn(value: Any) -> Fields:
    return {**_MININET_RED, "ecn": True} if read_truth(value) else {}


def _keep_order(value: Any) -> Fields:
    return {"keep_order": read_truth(value)}


def _trace(value: Any, folder: Path) -> Fields:
    if not isinstance(value, str) or not value.strip():
        raise QuantityMistake(f"{shown(value)} is not the name of a trace", "name a file")
    path = find_trace(folder, value)
    return {"trace": str(path), "trace_sets": settings_of_trace(path)}


_READERS: Mapping[str, Callable[[Any], Fields]] = {
    "delay": _delay,
    "jitter": _jitter,
    "floor": _floor,
    "keep_order": _keep_order,
    "loss": _loss,
    "loss_model": _loss_model,
    "drop": _drop,
    "duplicate": lambda value: {"duplicate": read_ratio(value)},
    "reorder": lambda value: {"reorder": read_ratio(value)},
    "corrupt": lambda value: {"corrupt": read_ratio(value)},
    "rate": _rate,
    "bw": _bw,
    "overhead": _overhead,
    "burst": _burst,
    "queue": _queue,
    "max_queue_size": _max_queue_size,
    "latency_ms": _latency_ms,
    # After those of Mininet, which say yes or no to all of it.
    "enable_red": _enable_red,
    "enable_ecn": _enable_ecn,
    "aqm": _aqm,
    "ecn": _ecn,
}
_FILES: Mapping[str, Callable[[Any, Path], Fields]] = {
    "distribution": _distribution,
    "trace": _trace,
}

# What an option sets, for those that are to be as if they had never been given.
_SETS: Mapping[str, tuple[str, ...]] = {
    "delay": ("delay_ns",),
    "jitter": ("jitter_ns",),
    "floor": ("floor_ns",),
    "distribution": ("distribution", "table"),
    "loss": ("loss",),
    "loss_model": ("gemodel",),
    "rate": ("rate_bps", "overhead_bytes"),
    "bw": ("rate_bps", "overhead_bytes"),
    "overhead": ("overhead_bytes",),
    "burst": ("burst_bytes",),
    "queue": ("queue_packets", "queue_bytes", "queue_ns"),
    "max_queue_size": ("queue_packets",),
    "latency_ms": ("queue_ns",),
    "trace": ("trace", "trace_sets"),
    "enable_red": ("aqm",),
    "enable_ecn": ("aqm", "ecn"),
}

OPTIONS = (*_READERS, *_FILES)
"""The options that one direction of a link can have, apart from ``seed`` and ``speedup``."""


def read_option(name: str, value: Any, folder: Path) -> Fields:
    """The fields that an option sets; None and "none" set them as if it were not given.

    Raises:
        QuantityMistake: the option cannot have that value.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return {field: default_of(field) for field in _SETS.get(name, (name,))}
    if name in _FILES:
        return _FILES[name](value, folder)
    return _READERS[name](value)


def default_of(field: str) -> Any:
    """What a field of a plan is when nothing is said."""
    return getattr(ImpairmentPlan, field)


def read_call(value: Any, what: str, known: Iterable[str], hint: str) -> tuple[str, dict[str, str]]:
    """A known name with arguments, ``red(min=30KB, p=10%)``, as the name and a dict.

    Raises:
        QuantityMistake: it is not written like that, or an argument comes twice.
    """
    match = _CALL.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None:
        raise QuantityMistake(f"{shown(value)} is not {what}", hint)
    if match[1] not in known:
        raise QuantityMistake(
            f"there is no {what[2:]} {match[1]}", suggestion(match[1], known) or hint
        )
    given: dict[str, str] = {}
    for part in (match[2] or "").split(",") if (match[2] or "").strip() else ():
        key, equals, text = (word.strip() for word in part.partition("="))
        if not equals or not text or key in given:
            raise QuantityMistake(f"{shown(value)} is not {what}", hint)
        given[key] = text
    return match[1], given
