"""Your task: move the counter from d1 to d2 so that hardly a request is lost.

Now it stops, copies and starts. README.md has the task, counter.py the words that servers know.
"""

from servers import send, tell

from emulator import Network


def move(net: Network) -> None:
    """Have d2 answer in the place of d1, and know all that d1 knew."""
    tell(net, "d1", "stop")
    send(net, "copy")
    tell(net, "d2", "go")
    net["lb"].set(down="10.0.0.11")
