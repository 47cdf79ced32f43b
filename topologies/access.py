r"""A home behind an access link: delay, loss, and a queue that is too long.

    phone  \
            home --- (access link) --- s1 --- server
    laptop /

The link between the home and the network has two different directions, as they are sold: ``down``
Mbit/s towards the home, ``up`` Mbit/s from it, ``delay`` each way, and now and then a lost frame.

Start it with ``vnf run --topo access``, look at it with ``link home s1 show``, and see that
``phone ping -c5 server`` takes twice the delay. Then fill the link: ``server iperf3 -s -D`` and
``laptop iperf3 -c server -C cubic -t 30`` in its shell, and ``vnf exec LAB phone ping server`` in
another terminal. With the long queue of a cheap box the ping takes half a second and more. Try
the same with a short queue, ``--set queue=20ms``, and with one that is managed, ``--set
aqm=codel``: the laptop gets as much as before, and the phone hardly waits. ``-C bbr`` in place of
``cubic`` fills no queue, however long. ``link home s1 set loss=5%`` shows what each of them makes
of a bad line.
"""

from emulator import Topo


class Access(Topo):
    """A phone and a laptop at home, and a server behind an access link."""

    def build(
        self,
        delay: str = "10ms",
        up: float = 5,
        down: float = 50,
        loss: str = "0.01%",
        queue: str = "500p",
        aqm: str = "fifo",
        mechanism: str = "auto",
    ) -> None:
        home, network = self.addSwitch("home"), self.addSwitch("s1")
        for name in ("phone", "laptop"):
            self.addLink(self.addHost(name), home)
        self.addLink(self.addHost("server"), network)
        self.addLink(
            home,
            network,
            delay=delay,
            bw=(up, down),
            loss=loss,
            queue=queue,
            aqm=aqm,
            mechanism=mechanism,
        )


topos = {"access": Access}
