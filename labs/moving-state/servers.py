"""What a move is made of: telling a server something, and leading state from one to the other."""

import subprocess

from emulator import Network
from emulator.errors import LabError


def tell(net: Network, node: str, word: str) -> str:
    """What the server of a node says to a word: see counter.py."""
    text = net[node].cmd(f"counter {word}")
    if net[node].exit_status:
        raise LabError(f"counter {word} fails: {text.strip()}", where=node)
    return text


def send(net: Network, word: str) -> None:
    """Have d2 load what d1 says to ``copy`` or ``changes``; returns when it has.

    It goes through a pipe from a process in the one container to one in the other.
    """
    source = net["d1"].popen(["counter", word], stdout=subprocess.PIPE)
    target = net["d2"].popen(["counter", "load"], stdin=source.stdout)
    assert source.stdout is not None
    # Only the processes hold the pipe now: when one ends, the other notices.
    source.stdout.close()
    for node, process in (("d1", source), ("d2", target)):
        if process.wait():
            raise LabError(f"the state does not get across by counter {word}", where=node)
