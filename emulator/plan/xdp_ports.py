"""What the ports of ``xdp`` switches can have: VLANs, and frames that fit a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emulator.errors import Problem

if TYPE_CHECKING:
    from emulator.plan.link_options import EndWish
    from emulator.plan.wiring import Interface, Wiring

OPTIONS = ("vlan", "trunk")

_VLANS = range(1, 4095)
"""Those that a tag can name: IEEE 802.1Q keeps 0 and 4095 for itself."""

_MOST_MTU_BYTES = 3000
"""A frame lies on one page, with room for the kernel's own use before and behind it."""

_MOST_PORTS = 1000
_KNOW_VLANS = ("xdp", "ovs")


def read_vlans(end: EndWish, params: dict[str, Any], name: str, problems: list[Problem]) -> None:
    """Take ``vlan`` and ``trunk`` out of the options of one end of a link.

    Args:
        name: what the options are called: ``params1``.
    """
    given = params.pop("vlan", None)
    if given is not None:
        # A trunk's own frames without a tag may be those of no VLAN.
        if type(given) is int and (given in _VLANS or given == 0):
            end.vlan = given
        else:
            text = f"{name} has the VLAN {given!r}"
            problems.append(Problem(end.where, text, 'give one of 1 to 4094: {"vlan": 10}'))
    given = params.pop("trunk", None)
    if given is None:
        return
    wanted = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    wrong = [each for each in wanted if type(each) is not int or each not in _VLANS]
    if wrong or not wanted:
        text = f"{name} has a trunk of {wrong[0]!r}" if wrong else f"{name} has an empty trunk"
        hint = 'give VLANs of 1 to 4094: {"trunk": [10, 20]}'
        problems.append(Problem(end.where, text, hint))
        return
    end.trunk = tuple(sorted(set(wanted)))


def check_xdp_ports(wiring: Wiring, problems: list[Problem]) -> None:
    """Only some switches' ports tell VLANs apart; what ``xdp`` switches carry is not too long."""
    for node in wiring.nodes.values():
        kind = node.wish.switch.kind if node.wish.switch is not None else None
        if kind not in _KNOW_VLANS:
            problems += [_stranger(each) for each in node.interfaces if _has_vlans(each)]
        if kind != "xdp":
            continue
        if len(node.interfaces) > _MOST_PORTS:
            text = f"it has {len(node.interfaces)} links, and an xdp switch takes {_MOST_PORTS}"
            hint = 'give kind="bridge", or share them among several switches'
            problems.append(Problem(node.wish.where, text, hint))
        problems += [
            Problem(
                each.wish.where,
                f"an MTU of {each.wish.mtu} is more than the xdp switch {node.name} carries",
                f'give up to {_MOST_MTU_BYTES} bytes, or {node.name} kind="bridge"',
            )
            for each in node.interfaces
            if each.wish.mtu > _MOST_MTU_BYTES
        ]


def loop_hint(lacking: Sequence[str], listed: str, wiring: Wiring) -> str:
    """How switches that lack the spanning tree protocol can stay in a loop."""
    strangers = [
        name
        for name in lacking
        if (wish := wiring.nodes[name].wish.switch) is not None and wish.kind == "xdp"
    ]
    if not strangers:
        return f"add {listed} with stp=True, or take a link away"
    return (
        f'xdp switches run no spanning tree protocol: give {listed} kind="bridge", stp=True, '
        "or take a link away"
    )


def _has_vlans(interface: Interface) -> bool:
    return interface.wish.vlan is not None or bool(interface.wish.trunk)


def _stranger(interface: Interface) -> Problem:
    what = "trunk" if interface.wish.trunk else "vlan"
    owner = interface.owner
    text = f"{what} is for ports of xdp and ovs switches, and {owner.name} is a {owner.kind}"
    hint = "give it to the switch's end of the link"
    if owner.kind == "switch":
        kind = owner.wish.switch.kind if owner.wish.switch is not None else "bridge"
        text = (
            f"{what} is for ports of xdp and ovs switches, and {owner.name} is of the kind {kind}"
        )
        hint = f'give {owner.name} kind="xdp" or kind="ovs"'
    return Problem(interface.wish.where, text, hint)
