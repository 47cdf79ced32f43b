"""Firewall, router and NAT between hosts that do not know that they are there."""

from __future__ import annotations

import json
import subprocess

import pytest

from emulator import Network, Topo

pytestmark = [pytest.mark.root, pytest.mark.xdp]

PLANES = ("xdp", "packet")
_ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 7))
print("ready", flush=True)
while True:
    data, sender = server.recvfrom(65536)
    server.sendto(sender[0].encode() + b" " + data, sender)
"""
_ASK = """
import json, socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", 5000))
client.connect((sys.argv[1], int(sys.argv[2])))
client.settimeout(5)
try:
    client.send(b"x" * int(sys.argv[3]))
    address, data = client.recv(65536).split(b" ", 1)
    print(json.dumps([address.decode(), len(data)]))
except OSError as error:
    print(json.dumps(type(error).__name__))
"""


class Guarded(Topo):
    """client - VNF - server"""

    def build(self, vnf: str, dataplane: str, **parameters: object) -> None:
        self.addLink(self.addHost("client"), self.addVNF("fn", vnf, dataplane, **parameters))
        self.addLink("fn", self.addHost("server"))


class Routed(Topo):
    """left - r1 - r2 - right, three networks, IPv4 and IPv6"""

    def build(self, dataplane: str) -> None:
        for number, side in ((1, "left"), (2, "right")):
            home, other = f"10.0.{number}", 3 - number
            self.addHost(side, ip=f"{home}.2/24", defaultRoute=f"via {home}.1")
            routes = f"10.0.{other}.0/24 via 10.0.9.{other}"
            self.addVNF(f"r{number}", "router", dataplane, routes=routes)
            self.addLink(side, f"r{number}", params2={"ip": f"{home}.1/24"})
        self.addLink("r1", "r2", params1={"ip": "10.0.9.1/24"}, params2={"ip": "10.0.9.2/24"})


class Dual(Topo):
    """left - router - right, IPv6"""

    def build(self, dataplane: str) -> None:
        self.addVNF("r", "router", dataplane)
        for number, side in ((1, "left"), (2, "right")):
            self.addHost(side, ip=f"10.0.{number}.2/24", ipv6=f"fd00:{number}::2/64")
            params = {"ip": f"10.0.{number}.1/24", "ipv6": f"fd00:{number}::1/64"}
            self.addLink(side, "r", params2=params)


def pings(net: Network, source: str, target: str, options: str = "-c 1 -W 5") -> str:
    return net[source].cmd(f"ping {options} {target}")


def ask(net: Network, target: str, port: int, size: int) -> object:
    return json.loads(net["client"].cmd(f"python3 -c '{_ASK}' {target} {port} {size}"))


@pytest.mark.parametrize("dataplane", PLANES)
def test_a_firewall_lets_pass_what_it_is_told_to(dataplane: str) -> None:
    topo = Guarded("firewall", dataplane, allow="ip saddr 10.0.0.1", stateful=True)
    with Network(topo) as net:
        assert " 0% packet loss" in pings(net, "client", "server")
        assert "100% packet loss" in pings(net, "server", "client", "-c 1 -W 0.3")
        net["fn"].set(policy="allow")
        assert " 0% packet loss" in pings(net, "server", "client")
        own = net["fn"].counters()["fn-eth1"].own
        assert (own["established"], own["denied"], own["connections"]) == (1, 1, 1)


@pytest.mark.parametrize("dataplane", PLANES)
def test_routers_find_their_neighbours_and_say_what_they_cannot_do(dataplane: str) -> None:
    with Network(Routed(dataplane)) as net:
        # Each router asks for its next hop first, and the packet is lost by that.
        assert "bytes from 10.0.2.2" in pings(net, "left", "10.0.2.2", "-c 4 -i 0.05 -W 5")
        assert "ttl=62" in pings(net, "left", "10.0.2.2")
        assert "bytes from 10.0.1.1" in pings(net, "left", "10.0.1.1")
        assert "From 10.0.1.1 icmp_seq=1 Time to live" in pings(
            net, "left", "10.0.2.2", "-c 1 -t 1"
        )
        assert "From 10.0.9.2 icmp_seq=1 Time to live" in pings(
            net, "left", "10.0.2.2", "-c 1 -t 2"
        )
        assert "From 10.0.1.1 icmp_seq=1 Destination Net" in pings(net, "left", "10.7.0.1")
        assert net["r1"].counters()["r1-eth0"].own["time_exceeded"] == 1


@pytest.mark.parametrize("dataplane", PLANES)
def test_a_router_finds_neighbours_by_ipv6_too(dataplane: str) -> None:
    with Network(Dual(dataplane), ipv6=True) as net:
        for number, side in ((1, "left"), (2, "right")):
            net[side].cmd(f"ip -6 route add default via fd00:{number}::1")
        assert "bytes from fd00:1::1" in pings(net, "left", "fd00:1::1")
        assert "bytes from fd00:2::2" in pings(net, "left", "fd00:2::2", "-c 3 -i 0.05 -W 1")
        assert "From fd00:1::1 icmp_seq=1 Time" in pings(net, "left", "fd00:2::2", "-c 1 -t 1")


@pytest.mark.parametrize("dataplane", PLANES)
def test_behind_a_nat_everything_works_from_inside_only(dataplane: str) -> None:
    with Network(Guarded("nat", dataplane, address="10.0.0.99")) as net:
        echo = net["server"].popen(["python3", "-c", _ECHO], stdout=subprocess.PIPE, text=True)
        with echo:
            assert echo.stdout is not None
            assert echo.stdout.readline() == "ready\n"
            assert " 0% packet loss" in pings(net, "client", "10.0.0.2")
            assert "100% packet loss" in pings(net, "server", "10.0.0.1", "-c 1 -W 0.3")
            assert ask(net, "10.0.0.2", 7, 10) == ["10.0.0.99", 10]
            # In three fragments, there and back.
            assert ask(net, "10.0.0.2", 7, 4000) == ["10.0.0.99", 4000]
            # An ICMP error comes back to who sent the datagram.
            assert ask(net, "10.0.0.2", 8, 10) == "ConnectionRefusedError"
            echo.kill()
        own = net["fn"].counters()["fn-eth0"].own
        assert own["bound"] == 2
        assert own["no_port"] == own["unsupported"] == 0
