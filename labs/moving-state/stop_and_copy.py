"""The simple way to move the counter, which the check compares yours with."""

from servers import send, tell

from emulator import Network


def move(net: Network) -> None:
    """Have d2 answer in the place of d1, and know all that d1 knew."""
    tell(net, "d1", "stop")
    send(net, "copy")
    tell(net, "d2", "go")
    net["lb"].set(down="10.0.0.11")
