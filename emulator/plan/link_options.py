"""What the options of a link ask for, and which of them cannot be had."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from emulator.errors import Problem
from emulator.multigraph import LinkEntry
from emulator.names import place_of, suggestion
from emulator.plan.impairments import (
    IMPAIRMENT_OPTIONS,
    SETTINGS,
    UNIMPAIRED,
    Impairments,
    LinkEnds,
    read_impairments,
)
from emulator.plan.model import LinkKind
from emulator.plan.options import AUTOMATIC, class_name, not_yet
from emulator.plan.xdp_ports import OPTIONS as VLAN_OPTIONS
from emulator.plan.xdp_ports import read_vlans

_ADDRESSES = ("ip", "ipv6", "mac")
_LINK_CLASSES = ("Link", "TCLink", "TCULink")
# fmt: off
# These choose how Mininet would make or shape a link and ask for nothing by themselves.
_SHAPERS = frozenset((
    "use_htb", "use_hfsc", "use_tbf", "gro", "disable_gro", "txo", "rxo", "fast",
))
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
    more_addresses: tuple[Any, ...] = ()
    vlan: int | None = None
    trunk: tuple[int, ...] = ()


@dataclass
class LinkWish:
    """What a link's options ask for."""

    entry: LinkEntry
    where: str
    ends: tuple[EndWish, EndWish] = field(init=False)
    impairments: Impairments = UNIMPAIRED


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
    impaired, options = _parted(options, IMPAIRMENT_OPTIONS)
    own1 = _read_end(wish.ends[0], "1", options, problems)
    own2 = _read_end(wish.ends[1], "2", options, problems)
    _read_impairments(wish, impaired, (own1, own2), problems)
    for key in options:
        hint = suggestion(key, (*_LINK_OPTIONS, *IMPAIRMENT_OPTIONS))
        hint = hint or f"its options: {', '.join(_LINK_OPTIONS)}, delay, rate, loss, …"
        problems.append(Problem(wish.where, f"a link has no option {key}", hint))


def _read_end(
    end: EndWish, number: str, options: dict[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """Take the options of one end; the impairments among them are given back."""
    params = options.pop(f"params{number}", None) or {}
    end.mac = options.pop(f"addr{number}", None) or AUTOMATIC
    if not isinstance(params, Mapping):
        text = f"params{number} is {params!r}"
        problems.append(Problem(end.where, text, 'give a dict: {"ip": "10.0.0.1/8"}'))
        return {}
    impaired, params = _parted(params, SETTINGS)
    read_vlans(end, params, f"params{number}", problems)
    end.ip = params.pop("ip", AUTOMATIC)
    end.ipv6 = params.pop("ipv6", AUTOMATIC)
    mac = params.pop("mac", None) or AUTOMATIC
    if mac is not AUTOMATIC:
        if end.mac is not AUTOMATIC and end.mac != mac:
            text = f"addr{number} and params{number} give different MAC addresses"
            problems.append(Problem(end.where, text, "keep one of them"))
        end.mac = mac
    if end.kind == "memif" and _gives_address(end):
        text = f"params{number} gives an address to an end of a memif link"
        problems.append(Problem(end.where, text, "no network stack sees it; leave it out"))
    for key in params:
        if key not in _SHAPERS:
            hint = suggestion(key, (*_ADDRESSES, *VLAN_OPTIONS, *SETTINGS))
            hint = hint or f"its keys: {', '.join(_ADDRESSES)}, delay, rate, loss, …"
            problems.append(Problem(end.where, f"params{number} has no key {key}", hint))
    return impaired


def _read_impairments(
    wish: LinkWish,
    options: dict[str, Any],
    own: tuple[dict[str, Any], dict[str, Any]],
    problems: list[Problem],
) -> None:
    entry, (first, second) = wish.entry, wish.ends
    ends = LinkEnds(
        where=wish.where,
        names=(entry.node1, entry.node2),
        ports=(first.port, second.port),
        folder=Path(entry.folder),
        mtu=first.mtu,
    )
    wish.impairments = read_impairments(ends, options, own, problems)
    if first.kind == "memif" and wish.impairments.mechanism != "none":
        text = "a memif link cannot be impaired"
        hint = "its frames go from memory to memory; leave kind or the impairments out"
        problems.append(Problem(wish.where, text, hint))
        wish.impairments = UNIMPAIRED


def _parted(
    options: Mapping[str, Any], names: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of some names, and the others."""
    taken = {key: value for key, value in options.items() if key in names}
    return taken, {key: value for key, value in options.items() if key not in names}


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
