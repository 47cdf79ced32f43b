"""The way that the frames of a certificate take, and how fast they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.plan.model import LinkPlan
from emulator.wire.certificate import DirectionCertificate

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.owned_lab import OwnedLab


@dataclass(frozen=True)
class Pace:
    """How fast and how long frames are sent.

    Attributes:
        slow_pps, slow_s: one by one.
        fast_pps, fast_s: many.
        loaded_s: faster than the link carries.
        most_pps: more frames than that do not get as far as the link.
        realtime_ns: the sender goes before other work of the machine where frames are so far apart.
        wakes: whether a frame wakes processes on its way, which may interrupt its sender once it is
            under way: then it tells nothing how long sending took.
        queue: whether the link sees bursts as they are sent, so that its queue can be measured.
    """

    slow_pps: float = 1000.0
    slow_s: float = 0.6
    fast_pps: float = 20_000.0
    fast_s: float = 0.5
    loaded_s: float = 0.7
    most_pps: float = 400_000.0
    realtime_ns: int = 0
    wakes: bool = False
    queue: bool = True


@dataclass(frozen=True)
class Way:
    """The way that frames take through a link.

    Attributes:
        near, far: namespace and kernel name of the interface at each end.
        back: whether frames go from the far end to the near one, and down the link.
        floor_ns: the median delay of the same way with an unimpaired link.
        spread_ns: by how much more it is at p99.
    """

    lab: OwnedLab
    link: LinkPlan
    near: tuple[Netns, str]
    far: tuple[Netns, str]
    mtu_bytes: int
    back: bool
    pace: Pace = Pace()
    floor_ns: int = 0
    spread_ns: int = 0


class FramesAstray(Exception):
    """The wire has not seen a frame that was sent: from here on nobody knows their numbers.

    Args:
        certificate: what to say of the direction, when this is the end of it.
    """

    def __init__(self, certificate: DirectionCertificate) -> None:
        super().__init__(certificate.reason)
        self.certificate = certificate
