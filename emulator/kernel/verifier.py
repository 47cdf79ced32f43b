"""What the kernel's verifier has to say against a program, told in terms of its source.

The verifier logs every instruction it follows, with the line of the source that each was made from,
and at the end why it goes no further. A newer kernel (6.8 and later) writes the file and the number
of the line beside its text; with an older one the text is looked up in the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_INSTRUCTION = re.compile(r"^\d+: \(")
_SOURCE = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>[^ @]+):(?P<number>\d+))?$")
# States of registers and statistics; neither is a reason.
_BESIDE = re.compile(r"^(processed \d|verification time|stack depth|from \d|\d+: R\d|mark_precise)")
_CHANGES_LENGTH = ("bpf_xdp_adjust_head", "bpf_xdp_adjust_tail")
_LOOP = re.compile(r"\b(for|while|do)\b")
_SHOWN = 3
_LOOKED_BACK = 40
_TOO_FAR_BYTES = 0xFFFF


@dataclass(frozen=True)
class SourceLine:
    """A line of the program's own source that the verifier followed."""

    path: Path
    number: int
    text: str


@dataclass(frozen=True)
class Refusal:
    """Why a program is refused.

    Attributes:
        reason: the verifier's own words.
        lines: the last lines of the program's source on the way there, the culprit at the end;
            empty when none can be told.
        inside: the line of a library that the verifier stopped at; empty when it stopped at the
            last of ``lines``.
        hint: what usually helps; empty when we do not know.
    """

    reason: str
    lines: tuple[SourceLine, ...]
    inside: str
    hint: str

    @property
    def where(self) -> str:
        """The file and line of the culprit; empty when it cannot be told."""
        return f"{self.lines[-1].path}:{self.lines[-1].number}" if self.lines else ""

    @property
    def excerpt(self) -> str:
        """The lines of the source, the culprit marked; indented, without a final newline."""
        width = max((len(str(line.number)) for line in self.lines), default=0)
        return "\n".join(
            f"  {'>' if line is self.lines[-1] else ' '} {line.number:>{width}} | {line.text}"
            for line in self.lines
        )


def read_refusal(log: str, source: Path | None = None) -> Refusal:
    """Read the log of a refused program.

    Args:
        source: the program's own source; files in other folders are taken for a library's.
    """
    rows = [row for row in log.splitlines() if row.strip()]
    reason = _reason(rows)
    told = [match for row in rows if (match := _SOURCE.match(row)) and match["text"]]
    own, inside = _own_lines(told, source) if source is not None else ([], "")
    hint = _hint(reason, rows, "vnf_packet.h" in inside)
    if hint is _LOOP_HINT:
        own = _up_to_loop(own)
    return Refusal(reason, tuple(_distinct(own)[-_SHOWN:]), inside, hint)


def _reason(rows: Sequence[str]) -> str:
    """The last lines that are neither instructions nor statistics."""
    found: list[str] = []
    for row in reversed(rows):
        if _INSTRUCTION.match(row) or row.startswith(";"):
            break
        if not _BESIDE.match(row):
            found.insert(0, row.strip().rstrip("."))
    return "; ".join(found) or "no reason is given"


def _own_lines(told: Sequence[re.Match[str]], source: Path) -> tuple[list[SourceLine], str]:
    """The lines of the source that were followed, and what of a library was at the very end."""
    files = _Files(source)
    found: list[SourceLine] = []
    inside = ""
    for match in told[-10 * _LOOKED_BACK :]:
        line = files.find(match, found[-1].number if found else 0)
        if line is not None:
            found.append(line)
            inside = ""
        else:
            named = f"{match['file']}:{match['number']}: " if match["file"] else ""
            inside = f"{named}{match['text'].strip()}"
    return found, inside


class _Files:
    """The files of a program's own, and their lines."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._lines: dict[str, list[str]] = {}

    def find(self, match: re.Match[str], near: int) -> SourceLine | None:
        """The line that the verifier speaks of; None when it is in no file of the program's own."""
        name = match["file"] or self._source.name
        lines = self._of(name)
        text = match["text"].strip()
        if match["number"]:
            number = int(match["number"])
            if not 0 < number <= len(lines):
                return None
        else:
            places = [at for at, line in enumerate(lines, 1) if line.strip() == text]
            if not places:
                return None
            number = min(places, key=lambda at: (at < near, abs(at - near)))
        return SourceLine(self._source.parent / name, number, lines[number - 1].rstrip())

    def _of(self, name: str) -> list[str]:
        if name not in self._lines:
            path = self._source.parent / name
            text = path.read_text(errors="replace") if path.is_file() else ""
            self._lines[name] = text.splitlines()
        return self._lines[name]


def _distinct(lines: Sequence[SourceLine]) -> list[SourceLine]:
    """Each line once, where it stood last."""
    found: list[SourceLine] = []
    for line in reversed(lines):
        if line not in found:
            found.insert(0, line)
        if len(found) > _LOOKED_BACK:
            break
    return found


def _up_to_loop(lines: list[SourceLine]) -> list[SourceLine]:
    """The same, ending with the head of the loop that goes on for too long."""
    for at in range(len(lines) - 1, max(-1, len(lines) - 1 - _LOOKED_BACK), -1):
        if _LOOP.search(lines[at].text):
            return [lines[at]]
    return lines


_LOOP_HINT = "give the loop a constant bound, and a low one: for (int i = 0; i < 64; i++)"
_POINTER_HINT = (
    "check this very pointer right before it is used: if ((void *)(pointer + 1) > end) "
    "return VNF_DROP;"
)
_INDEX_HINT = "limit the index first: if (index >= 16) return VNF_DROP;"


def _hint(reason: str, rows: Sequence[str], in_library: bool) -> str:
    for pattern, hint in _HINTS:
        match = re.search(pattern, reason)
        if match:
            return hint if isinstance(hint, str) else hint(match, rows, in_library)
    return ""


def _packet_hint(match: re.Match[str], _rows: Sequence[str], in_library: bool) -> str:
    offset, size = int(match["off"]), int(match["size"])
    if in_library:
        # Without the question the compiler takes for granted that the header is there, and leaves
        # out the checks of whoever looked for it.
        return "ask first whether vnf_parse() found the header: if (!headers.udp) return VNF_DROP;"
    if offset + size >= _TOO_FAR_BYTES:
        return _LOOP_HINT
    if offset < 0:
        return "it lies before the frame's first byte; vnf_push() makes room there"
    if match["id"] != "0":
        return _POINTER_HINT
    return (
        f"check that the frame is so long first: if (data + {offset + size} > end) return VNF_DROP;"
    )


def _scalar_hint(_match: re.Match[str], rows: Sequence[str], _in_library: bool) -> str:
    if any(name in row for name in _CHANGES_LENGTH for row in rows):
        return (
            "after vnf_push, vnf_pull, vnf_append or vnf_trim every pointer into the frame is "
            "stale: take vnf_data(ctx) and vnf_end(ctx) again, and check again"
        )
    return "it is no pointer any more, or never was; keep pointers in variables of their own"


_HINTS: tuple[tuple[str, str | Callable[[re.Match[str], Sequence[str], bool], str]], ...] = (
    (
        r"invalid access to packet, off=(?P<off>-?\d+) size=(?P<size>\d+), R\d+\(id=(?P<id>\d+)",
        _packet_hint,
    ),
    (r"invalid access to packet", _POINTER_HINT),
    (r"too complex|too large|infinite loop|back-edge", _LOOP_HINT),
    (
        r"math between pkt pointer|makes pkt pointer",
        "limit the offset first, say offset &= 0x3ff, then check the pointer against end",
    ),
    (r"(between|makes) (fp|map_value) pointer", _INDEX_HINT),
    (r"access to map value|(read from|write to|access to).* stack", _INDEX_HINT),
    (r"'\w+_or_null'", "it may be NULL: ask first, as in if (!value) return VNF_DROP;"),
    (r"invalid mem access '(scalar|inv)'", _scalar_hint),
    (r"pkt_end", "`end` is there to compare with, not to read at or to compute with"),
    (r"R0 !read_ok", "every path has to return a verdict"),
    (r"!read_ok|indirect read", "set the whole of it first, padding included"),
    (
        r"min value is negative|unbounded memory|zero-sized",
        "limit the number of bytes first, from 1 up to the room there is",
    ),
    (r"stack (size|depth)", "keep what is large in ctx->state or in a table"),
    (r"forbidden|cannot write into|rdonly", "parameters and settings are only to be read"),
    (r"leaks addr", "a pointer must not be kept in a table or in a frame"),
    (r"cannot use helper|(unknown|invalid) func", "call only what vnf.h offers"),
)


def tail(log: str, lines: int) -> Iterator[str]:
    """The last lines of a log that say anything."""
    yield from [row for row in log.splitlines() if row.strip()][-lines:]
