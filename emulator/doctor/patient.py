"""The machine as the probes see it: its files, and a private namespace to try things in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from emulator.closing import Closing
from emulator.errors import BuildVnfError
from emulator.kernel.netns import Netns

T = TypeVar("T")

_ANSWER_DEADLINE_S = 5.0


@dataclass(frozen=True)
class Ward:
    """A private network namespace with a pair of veth interfaces, both up."""

    netns: Netns
    interface: str
    index: int

    def run(self, trial: Callable[[], T]) -> T:
        return self.netns.run(trial)


class Patient(Closing):
    """The machine under examination; a context manager, because of the namespace it may hold.

    Args:
        root: where the machine's ``/proc``, ``/sys``, ``/dev`` and ``/etc`` are found.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._netns: Netns | None = None
        self.ward: Ward | None = None
        self.why_no_ward = "trying it needs root"

    def close(self) -> None:
        """Let go of the namespace; closing twice is allowed."""
        if self._netns is not None:
            self._netns.close()

    def open_ward(self) -> None:
        """Make the namespace to try things in; ``why_no_ward`` tells when there is none."""
        if os.geteuid() != 0:
            return
        try:
            self._netns = Netns.create()
        except (BuildVnfError, OSError) as error:
            self.why_no_ward = f"no network namespace could be made: {error}"
            return
        try:
            index = self._netns.run(_make_pair)
        except OSError as error:
            self.why_no_ward = f"no veth interfaces could be made: {error}"
            return
        self.ward = Ward(self._netns, PAIR[0], index)

    def path(self, name: str) -> Path:
        return self._root / name

    def read(self, name: str) -> str | None:
        """The text of a file, or None when it is not there or may not be read."""
        try:
            return self.path(name).read_text(errors="replace").strip()
        except OSError:
            return None

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def ask(self, program: str, *arguments: str) -> str | None:
        """What a program prints, or None when it is missing, fails or does not answer."""
        found = shutil.which(program)
        if found is None:
            return None
        try:
            done = subprocess.run(
                [found, *arguments],
                capture_output=True,
                text=True,
                check=True,
                timeout=_ANSWER_DEADLINE_S,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()


PAIR = ("doctor0", "doctor1")


def _make_pair() -> int:
    """Make the pair in the namespace of this thread, raise it, and return the first one's index.

    Raises:
        OSError: the kernel refused.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as routes:
            routes.link("add", ifname=PAIR[0], kind="veth", peer={"ifname": PAIR[1]})
            indexes = [routes.link_lookup(ifname=name)[0] for name in PAIR]
            for index in indexes:
                routes.link("set", index=index, state="up")
            return int(indexes[0])
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
