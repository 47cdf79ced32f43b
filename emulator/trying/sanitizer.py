"""What the sanitisers of the compiler found, in a line a person can act on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ADDRESS = re.compile(r"ERROR: AddressSanitizer: (?P<kind>\S+)")
_ACCESS = re.compile(r"^(?P<way>READ|WRITE) of size (?P<bytes>\d+)", re.M)
_FRAME = re.compile(
    r"^ *#\d+ 0x[0-9a-f]+ in (?P<function>\S+) (?P<file>[^:\n]+):(?P<line>\d+)", re.M
)
_UNDEFINED = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: runtime error: (?P<text>.*)$", re.M)
_PLACES = {
    "use-after-poison": "the frame",
    "heap-buffer-overflow": "a table or a setting",
    "stack-buffer-overflow": "a local variable",
    "stack-buffer-underflow": "a local variable",
    "dynamic-stack-buffer-overflow": "a local variable",
    "global-buffer-overflow": "the VNF's state",
}
_CHECK = "check against end first; after a change of length, against vnf_end(ctx)"


@dataclass(frozen=True)
class Report:
    """What a sanitiser found.

    Attributes:
        what: the mistake, in words.
        where: the line of the VNF's source, as file:line; of the library if that has none.
        hint: what to do about it.
    """

    what: str
    where: str
    hint: str = ""


def read_report(text: str, source: Path | None = None) -> Report | None:
    """Read what a program printed before it ended; None when no sanitiser stopped it.

    Args:
        source: the VNF's source: of the functions that called each other, the one in its folder
            is the one to name.
    """
    undefined = _UNDEFINED.search(text)
    address = _ADDRESS.search(text)
    if address is None:
        if undefined is None:
            return None
        return Report(undefined["text"], f"{undefined['file']}:{undefined['line']}")
    rest = text[address.start() :]
    where = _place(rest, source)
    access = _ACCESS.search(rest)
    place = _PLACES.get(address["kind"])
    if access is None or place is None:
        return Report(address["kind"], where)
    verb = "reads" if access["way"] == "READ" else "writes"
    plural = "" if access["bytes"] == "1" else "s"
    hint = _CHECK if address["kind"] == "use-after-poison" else ""
    return Report(f"it {verb} {access['bytes']} byte{plural} outside of {place}", where, hint)


def _place(text: str, source: Path | None) -> str:
    frames = list(_FRAME.finditer(text))
    own = [frame for frame in frames if source and Path(frame["file"]).parent == source.parent]
    chosen = (own or frames)[:1]
    return "".join(f"{frame['file']}:{frame['line']}" for frame in chosen)
