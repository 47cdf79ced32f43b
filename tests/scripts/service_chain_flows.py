"""A service chain by OpenFlow: some datagrams take a detour by a relay, others do not."""

import os
from time import sleep, time

from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import OVSSwitch

HERE = os.path.dirname(os.path.abspath(__file__))
FLOWS = (
    "priority=10,in_port=1,udp,tp_dst=9999,actions=output:3",
    "priority=10,in_port=3,udp,tp_dst=9999,actions=output:2",
    "priority=0,actions=normal",
)


def main():
    net = Mininet(switch=OVSSwitch, controller=None)
    client, server = net.addHost("client"), net.addHost("server")
    relay = net.addHost("relay")
    s1 = net.addSwitch("s1")
    for host in (client, server, relay):
        net.addLink(host, s1)
    net.start()
    client.cmd("ethtool -K client-eth0 tx off")
    for flow in FLOWS:
        s1.dpctl("add-flow", flow)
    info("*** Starting the relay and two services\n")
    running = {
        "relay": relay.popen(f"python3 {HERE}/relay.py relay-eth0", text=True),
        "chained": server.popen(f"python3 {HERE}/udp.py answer 9999", text=True),
        "direct": server.popen(f"python3 {HERE}/udp.py answer 8888", text=True),
    }
    print({name: program.stdout.readline().strip() for name, program in running.items()})
    print("chained:", client.cmd(f"python3 {HERE}/udp.py ask {server.IP()} 9999 7").strip())
    print("direct:", client.cmd(f"python3 {HERE}/udp.py ask {server.IP()} 8888 4").strip())
    until = time() + 20
    while "n_packets=7," not in s1.dpctl("dump-flows in_port=1,udp,tp_dst=9999"):
        assert time() < until, "the switch never counts them"
        sleep(0.1)
    for program in running.values():
        program.terminate()
    print("relay:", running["relay"].communicate()[0].strip())
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
