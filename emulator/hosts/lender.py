"""The process that outlives a killed emulator, to give an interface of the machine back.

Usage: ``python -m emulator.hosts.lender LAB_FD MACHINE_FD FOLDER ENTRY``: descriptors of both
network namespaces, and the lab's folder, where the entry is noted; see ``emulator.hosts.external``.
It waits until its standard input ends, which is when the emulator does, by whatever cause. While it
runs, it keeps the lab's namespace from being given back by the kernel, with which a virtual
interface would be destroyed.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from emulator.hosts.external import give_back
from emulator.hosts.leftovers import forget
from emulator.kernel.netns import Netns


def main(lab: str, machine: str, folder: str, entry: str) -> None:
    """Waits for the end of standard input, then gives the interface back."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Those are for the emulator, which gives it back itself.
        signal.signal(each, signal.SIG_IGN)
    with Netns(int(lab)) as from_lab, Netns(int(machine)) as to_machine:
        sys.stdin.buffer.read()
        noted = json.loads(entry)
        if give_back(noted, from_lab, to_machine):
            # What the machine makes of it from now on is not to be undone by the next lab.
            forget(Path(folder), noted)


if __name__ == "__main__":
    main(*sys.argv[1:])
