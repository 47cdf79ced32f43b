"""One way to do it: copy while d1 answers, then only what has changed, and let requests wait."""

from servers import send, tell

from emulator import Network

ROUNDS = 2


def move(net: Network) -> None:
    """Have d2 answer in the place of d1, and know all that d1 knew."""
    # d1 goes on answering. What it counts meanwhile is left to the next round, so each round has
    # less to do than the one before.
    send(net, "copy")
    for _ in range(ROUNDS):
        send(net, "changes")
    # From here on requests go to d2, which holds: they wait in the buffer of its socket. d1 has
    # nothing more to answer, so what it says last is all.
    net["lb"].set(down="10.0.0.11")
    tell(net, "d1", "stop")
    send(net, "changes")
    tell(net, "d2", "go")
