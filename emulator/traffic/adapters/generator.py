"""What TRex and MoonGen share: neither is in a package registry, and both sit in one node.

Such a generator is used where a variable of the environment names the folder that it is in. It
sends out of one interface of a node and into another, with the network to be measured between.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from emulator.traffic.adapters.base import NodeTool, impossible

FCS_BYTES = 4
_LEAST_FRAME_BYTES = 64


@dataclass(frozen=True)
class GeneratorSpec:
    """What to ask of such a generator.

    Args:
        sends, receives: the node's interfaces, by name; empty: its first and its second one.
        rate_pps: packets per second; None: as fast as it can.
        duration_s: how long to send.
        frame_size_bytes: with the frame check sequence.
        destination_mac: of the frames; empty: that of the receiving interface.

    Raises:
        UsageError: a value makes no sense.
    """

    tool: ClassVar[str]
    most_frame_bytes: ClassVar[int]

    sends: str = ""
    receives: str = ""
    rate_pps: float | None = None
    duration_s: float = 5.0
    frame_size_bytes: int = 64
    destination_mac: str = ""

    def __post_init__(self) -> None:
        if self.rate_pps is not None and not 0 < self.rate_pps < math.inf:
            hint = "a rate is above 0; None: as fast as it can"
            raise impossible(self.tool, "rate_pps", self.rate_pps, hint)
        if not 0 < self.duration_s < math.inf:
            raise impossible(self.tool, "duration_s", self.duration_s, "it is above 0")
        if not _LEAST_FRAME_BYTES <= self.frame_size_bytes <= self.most_frame_bytes:
            hint = f"{_LEAST_FRAME_BYTES} to {self.most_frame_bytes}"
            raise impossible(self.tool, "frame_size_bytes", self.frame_size_bytes, hint)


GeneratorSpecT = TypeVar("GeneratorSpecT", bound=GeneratorSpec)


class Generator(NodeTool[GeneratorSpecT]):
    """A generator in a folder of the user's.

    Class attributes:
        title: what its makers call it.
        folder_variable: the variable of the environment that names its folder.
    """

    title: ClassVar[str]
    folder_variable: ClassVar[str]

    @classmethod
    def folder(cls) -> Path:
        """Where it is."""
        return Path(os.environ.get(cls.folder_variable, ""))

    def why_not(self) -> str:
        variable = self.folder_variable
        if not os.environ.get(variable):
            return f"{self.title} is in no package registry, and ${variable} names no folder"
        if not (self.folder() / self.program).is_file():
            return f"there is no {self.program} in {self.folder()}, which ${variable} names"
        return ""
