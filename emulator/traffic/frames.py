"""Frame sizes of a stream: one size, or several in exact proportions.

Sizes are those of Ethernet frames with their 4 bytes of frame check sequence, as RFC 2544 counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emulator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_FRAME_BYTES: Final = 64
_MAX_FRAME_BYTES: Final = 0xFFFF
FCS_BYTES: Final = 4
ORDERED_CYCLES: Final = 64
"""The order of a mix repeats itself after so many cycles."""
MAX_CYCLE_FRAMES = 10_000
_IMIX = ((64, 28), (570, 16), (1518, 4))
_SHARE = re.compile(r"(?:(\d{1,6})\s*[x\u00d7]\s*)?(\d{1,6})")
_FORMS = "write one size, 64, or imix, or a mix of your own: 28x64+16x570+4x1518"


@dataclass(frozen=True)
class FrameMix:
    """How many frames of each size a cycle has.

    Args:
        shares: pairs of a size in bytes and the number of such frames in a cycle.

    Raises:
        UsageError: a size is impossible or comes twice, a number is below 1, a cycle too long.
    """

    shares: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.shares]
        if not sizes or min(sizes) < MIN_FRAME_BYTES or max(sizes) > _MAX_FRAME_BYTES:
            raise _bad(str(self), f"a frame has {MIN_FRAME_BYTES} to {_MAX_FRAME_BYTES} bytes")
        if len(set(sizes)) < len(sizes):
            raise _bad(str(self), "name each size once")
        if min(count for _, count in self.shares) < 1 or self.cycle_frames > MAX_CYCLE_FRAMES:
            raise _bad(
                str(self), f"of each size there is one or more, up to {MAX_CYCLE_FRAMES} in all"
            )

    @classmethod
    def single(cls, size_bytes: int) -> FrameMix:
        """Frames of one size."""
        return cls(((size_bytes, 1),))

    @classmethod
    def imix(cls) -> FrameMix:
        """The mix that FD.io CSIT sends: 28 frames of 64 bytes, 16 of 570 and 4 of 1518."""
        return cls(_IMIX)

    @property
    def cycle_frames(self) -> int:
        """Frames in a cycle."""
        return sum(count for _, count in self.shares)

    @property
    def mean_bytes(self) -> float:
        """The mean size."""
        return sum(size * count for size, count in self.shares) / self.cycle_frames

    @property
    def largest_bytes(self) -> int:
        """The largest size."""
        return max(size for size, _ in self.shares)

    @property
    def is_single(self) -> bool:
        """Whether all frames have one size."""
        return len(self.shares) == 1

    def order(self, seed: int = 0) -> NDArray[np.uint16]:
        """The size of each frame over :data:`ORDERED_CYCLES` cycles, each shuffled by itself.

        Over every whole cycle the proportions are exact; the same seed gives the same order.
        """
        import numpy as np

        sizes, counts = zip(*self.shares, strict=True)
        cycle = np.repeat(np.array(sizes, dtype=np.uint16), counts)
        random = np.random.Generator(np.random.PCG64(seed))
        return random.permuted(np.tile(cycle, (ORDERED_CYCLES, 1)), axis=1).reshape(-1)

    def __str__(self) -> str:
        if self.shares == _IMIX:
            return "imix"
        if self.is_single and self.shares[0][1] == 1:
            return str(self.shares[0][0])
        return "+".join(f"{count}x{size}" for size, count in self.shares)


def parse_frames(text: str) -> FrameMix:
    """The frames that a text names: ``64``, ``imix``, ``28x64+16x570+4x1518``.

    ``str`` of a mix is such a text.

    Raises:
        UsageError: it is none of these.
    """
    if text.strip().lower() == "imix":
        return FrameMix.imix()
    shares = []
    for part in text.split("+"):
        match = _SHARE.fullmatch(part.strip())
        if match is None:
            raise _bad(text.strip()[:60] or "no size", _FORMS)
        shares.append((int(match[2]), int(match[1] or 1)))
    return FrameMix(tuple(shares))


def _bad(what: str, hint: str) -> UsageError:
    return UsageError(f"frames of {what} are not possible", where="frames", hint=hint)
