"""What the options of a link ask for, and which of them cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from emulator.errors import Problem
from emulator.multigraph import LinkEntry
from emulator.names import place_of, suggestion
from emulator.plan.model import LinkKind
from emulator.plan.options import AUTOMATIC, class_name, not_yet, pop_meant

_ADDRESSES = ("ip", "ipv6", "mac")
_LINK_CLASSES = ("Link", "TCLink")
# fmt: off
_IMPAIRMENTS = frozenset((
    "bw", "rate", "delay", "jitter", "loss", "max_queue_size", "queue", "duplication", "duplicate",
    "reordering", "reorder", "corruption", "corrupt", "trace", "speedup", "latency_ms",
    "enable_ecn", "enable_red",
))
# These choose how Mininet would shape a link and ask for nothing by themselves.
_SHAPERS = frozenset(("use_htb", "use_hfsc", "use_tbf", "gro", "txo", "rxo"))
_LINK_OPTIONS = (
    "port1", "port2", "params1", "params2", "intfName1", "intfName2", "addr1", "addr2", "mtu",
    "kind",
)
# fmt: on
_MTU_BYTES = range(68, 65536)


@dataclass
class EndWish:
    """What a link's options ask for at one of its ends."""

    node: str
    port: Any
    name: Any
    where: str
    mtu: int = 1500
    kind: LinkKind = "veth"
    ip: Any = AUTOMATIC
    ipv6: Any = AUTOMATIC
    mac: Any = AUTOMATIC


@dataclass
class LinkWish:
    """What a link's options ask for."""

    entry: LinkEntry
    where: str
    ends: tuple[EndWish, EndWish] = field(init=False)


def read_link(entry: LinkEntry, ipv6: bool, problems: list[Problem]) -> LinkWish:
    """What a link's options ask for; what they cannot have is added to ``problems``."""
    wish = LinkWish(entry, place_of(entry.place, f"link {entry.node1} - {entry.node2}"))
    info = entry.info
    first = EndWish(entry.node1, info.get("port1"), info.get("intfName1"), wish.where)
    second = EndWish(entry.node2, info.get("port2"), info.get("intfName2"), wish.where)
    wish.ends = (first, second)
    if entry.node1 == entry.node2:
        problems.append(
            Problem(wish.where, "both ends are the same node", "a link joins two nodes")
        )
    # Most links carry nothing but their two nodes and ports.
    if len(info) > 4:
        _read_link_options(wish, ipv6, problems)
    return wish


def _read_link_options(wish: LinkWish, ipv6: bool, problems: list[Problem]) -> None:
    options = {
        key: value
        for key, value in wish.entry.info.items()
        if key not in ("node1", "node2", "port1", "port2", "intfName1", "intfName2")
        and key not in _SHAPERS
    }
    chosen = options.pop("cls", None)
    if chosen is not None and class_name(chosen) not in _LINK_CLASSES:
        problems.append(
            not_yet(wish.where, f"links of the class {class_name(chosen)}", "plain links")
        )
    given = [pop_meant(options, _IMPAIRMENTS)]
    mtu = options.pop("mtu", None)
    if mtu is not None:
        least = 1280 if ipv6 else _MTU_BYTES.start
        if type(mtu) is not int or mtu not in _MTU_BYTES or mtu < least:
            text = f"an MTU of {mtu!r} is not possible"
            hint = f"give {least} to {_MTU_BYTES.stop - 1} bytes"
            problems.append(Problem(wish.where, text, hint))
        else:
            for end in wish.ends:
                end.mtu = mtu
    _read_kind(wish, options.pop("kind", None), problems)
    for end, number in zip(wish.ends, "12", strict=True):
        params = options.pop(f"params{number}", None) or {}
        end.mac = options.pop(f"addr{number}", None) or AUTOMATIC
        if not isinstance(params, Mapping):
            text = f"params{number} is {params!r}"
            problems.append(Problem(wish.where, text, 'give a dict: {"ip": "10.0.0.1/8"}'))
            continue
        params = dict(params)
        given.append(pop_meant(params, _IMPAIRMENTS))
        end.ip = params.pop("ip", AUTOMATIC)
        end.ipv6 = params.pop("ipv6", AUTOMATIC)
        mac = params.pop("mac", None) or AUTOMATIC
        if mac is not AUTOMATIC:
            if end.mac is not AUTOMATIC and end.mac != mac:
                text = f"addr{number} and params{number} give different MAC addresses"
                problems.append(Problem(wish.where, text, "keep one of them"))
            end.mac = mac
        if end.kind == "memif" and _gives_address(end):
            text = f"params{number} gives an address to an end of a memif link"
            problems.append(Problem(wish.where, text, "no network stack sees it; leave it out"))
        for key in params:
            hint = suggestion(key, _ADDRESSES) or f"its keys: {', '.join(_ADDRESSES)}"
            text = f"params{number} has no key {key}"
            problems.append(Problem(wish.where, text, hint))
    impaired = ", ".join(filter(None, given))
    if impaired:
        text = f"an impaired link ({impaired})"
        problems.append(not_yet(wish.where, text, "links without delay, loss or limits"))
    for key in options:
        hint = suggestion(key, (*_LINK_OPTIONS, *sorted(_IMPAIRMENTS)))
        hint = hint or f"its options: {', '.join(_LINK_OPTIONS)}"
        problems.append(Problem(wish.where, f"a link has no option {key}", hint))


def _read_kind(wish: LinkWish, kind: Any, problems: list[Problem]) -> None:
    known = get_args(LinkKind)
    if kind is None:
        return
    if kind not in known:
        hint = suggestion(kind, known) or f"its kinds: {', '.join(known)}"
        problems.append(Problem(wish.where, f"there is no link of the kind {kind}", hint))
        return
    for end in wish.ends:
        end.kind = kind


def _gives_address(end: EndWish) -> bool:
    return any(given is not AUTOMATIC and given is not None for given in (end.ip, end.ipv6))
