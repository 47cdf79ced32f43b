"""Impaired links, in our words and in Mininet's, and how they change."""

from emulator import Topo


class Impaired(Topo):
    def build(self):
        self.addSwitch("s1")
        for name in ("h1", "h2", "h3"):
            self.addHost(name)
        self.addLink("h1", "s1", bw=10, delay="5ms", jitter="1ms", loss=2, max_queue_size=100)
        self.addLink(
            "h2",
            "s1",
            delay=("5ms", "10ms"),
            distribution="normal",
            jitter="1ms",
            loss_model="gemodel(p=1%, r=25%)",
            drop=[5, 9, 12],
            seed=7,
            up={"rate": "10mbit", "queue": "20ms", "aqm": "codel", "ecn": True},
        )
        self.addLink("h3", "s1")
        self.addLink("h1", "h2", mechanism="netem", duplicate="1%", params1={"corrupt": "0.1%"})
        self.addLinkSet("hosts", ["h1-s1", "h2-s1"])
        self.at("10s", "hosts", delay="20ms", over="1s", steps=2)
        self.at("5s", "h3-s1", up={"loss": "5%"})
        self.at("20s", "hosts", flap={"down": "1s"})
