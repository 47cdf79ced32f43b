#!/usr/bin/env python3
"""Controllers that are programs: by command and arguments, and by a start of one's own."""

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Controller
from mininet.topo import LinearTopo


class Learner(Controller):
    """What one writes around POX: a command, its arguments, and the folder it works in."""

    def __init__(
        self, name, cdir="/tmp", command="ovs-testcontroller", cargs="-vsyslog:off ptcp:%s", **kw
    ):
        Controller.__init__(self, name, cdir=cdir, command=command, cargs=cargs, **kw)


class ByHand(Controller):
    """One that starts and stops its program itself."""

    def start(self):
        self.program = "ovs-testcontroller"
        self.cmd(self.program, "-vsyslog:off", f"ptcp:{self.port} &")

    def stop(self):
        self.cmd("kill %" + self.program)


class Shown(Controller):
    """One that does more at its start than others of its class."""

    def start(self):
        print(self.name, "starts")
        Controller.start(self)


if __name__ == "__main__":
    setLogLevel("info")
    line = "ptcp:%d 2>&1 | cat"
    kinds = {
        "command": lambda name: Learner(name, port=6633),
        "shell": lambda name: Controller(name, command="ovs-testcontroller", cargs=line),
        "by hand": lambda name: ByHand(name, port=6634),
        "more": Shown,
    }
    for what, make in kinds.items():
        net = Mininet(LinearTopo(2), controller=make, waitConnected=True)
        net.start()
        print(what, "connected:", net.switches[0].connected(), "lost:", net.pingAll())
        net.stop()
