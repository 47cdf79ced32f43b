"""A counter that runs in one container and is to run in another, while clients go on asking.

    client --- lb --- s1 --- d1
                       +---- d2

``client`` asks 10.0.0.100, which no node has: ``lb`` sends the requests to a server. ``d1`` and
``d2`` run the same server, ``counter.py``. At the start ``d2`` is down as far as ``lb`` knows, and
its server holds: it takes requests and does not answer them.

    vnf run labs/moving-state/topology.py
    vnf> d1 counter show                    # its state: how many keys, and how often asked
    vnf> lb set down=10.0.0.11              # from now on, requests go to d2
"""

from emulator import Topo

SERVICE = "10.0.0.100"
PORT = 7000
SERVERS = {"d1": ("10.0.0.11", "02:00:00:00:00:0b"), "d2": ("10.0.0.12", "02:00:00:00:00:0c")}


class MovingState(Topo):
    """client - lb - s1 - d1 and d2, which run the same server in containers."""

    def build(
        self, dataplane: str = "packet", keys: int = 200_000, image: str | None = None
    ) -> None:
        client = self.addHost("client", ip="10.0.0.1/24")
        lb = self.addVNF(
            "lb",
            "loadbalancer",
            dataplane=dataplane,
            vip=SERVICE,
            services=f"udp dport {PORT}",
            rewrite=True,
            backends="; ".join(f"{ip}@{mac}" for ip, mac in SERVERS.values()),
            down=SERVERS["d2"][0],
        )
        switch = self.addSwitch("s1")
        self.addLink(client, lb)
        self.addLink(lb, switch)
        for name, (ip, mac) in SERVERS.items():
            hold = " --hold" if name == "d2" else ""
            server = self.addDocker(
                name,
                ip=f"{ip}/24",
                mac=mac,
                image=image,
                build=None if image else ".",
                volumes=["./counter.py:/usr/local/bin/counter:ro"],
                command=f"counter serve --port {PORT} --keys {keys}{hold}",
                healthcheck=["CMD", "counter", "show"],
            )
            self.addLink(server, switch)


topos = {"moving-state": MovingState}
