"""The process that outlives a killed emulator, to give an interface of the machine back.

Usage: ``python -m emulator.hosts.lender LAB_FD MACHINE_FD ENTRY``, both descriptors of network
namespaces; see ``emulator.hosts.external``. It waits until its standard input ends, which is when
the emulator does, by whatever cause. While it runs, it keeps the lab's namespace from being given
back by the kernel, with which a virtual interface would be destroyed.
"""

from __future__ import annotations

import json
import signal
import sys

from emulator.hosts.external import give_back
from emulator.kernel.netns import Netns


def main(lab: str, machine: str, entry: str) -> None:
    """Waits for the end of standard input, then gives the interface back."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Those are for the emulator, which gives it back itself.
        signal.signal(each, signal.SIG_IGN)
    with Netns(int(lab)) as from_lab, Netns(int(machine)) as to_machine:
        sys.stdin.buffer.read()
        give_back(json.loads(entry), from_lab, to_machine)


if __name__ == "__main__":
    main(*sys.argv[1:])
