"""How a frame differs from the one that was to come, for people."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from emulator.trying.cases import Mismatch

_WIDTH = 16
_ETHERNET_BYTES = 14


def describe(mismatch: Mismatch) -> list[str]:
    """A mismatch in lines: what differs, both frames in scapy's words, the bytes that differ."""
    lines = [f"step {mismatch.step}: {mismatch.what}"]
    for name, frame in (("wanted", mismatch.wanted), ("got", mismatch.got)):
        if frame is not None:
            lines.append(f"  {name + ':':<8}{summary(frame)}")
    if mismatch.wanted is not None and mismatch.got is not None:
        lines += [f"  {line}" for line in differing_rows(mismatch.wanted, mismatch.got)]
    return lines


def summary(frame: bytes) -> str:
    """A frame in scapy's words, and its length."""
    if len(frame) < _ETHERNET_BYTES:
        return f"{len(frame)} bytes, less than an Ethernet header"
    from scapy.layers.l2 import Ether

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{Ether(frame).summary()} ({len(frame)} bytes)"


def differing_rows(wanted: bytes, got: bytes) -> Iterator[str]:
    """The rows of both frames' hexadecimal dumps that differ, as in a patch."""
    for at in range(0, max(len(wanted), len(got)), _WIDTH):
        pair = wanted[at : at + _WIDTH], got[at : at + _WIDTH]
        if pair[0] != pair[1]:
            yield from (
                f"{at:04x} {sign} {row.hex(' ')}"
                for sign, row in zip("-+", pair, strict=True)
                if row
            )
