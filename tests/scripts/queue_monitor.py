#!/usr/bin/env python3
"""A bottleneck whose queue is watched from the machine, as if the switch were the machine's."""

import os
import re
import subprocess
import time
from multiprocessing import Process, Queue
from shlex import split

from mininet.link import TCLink
from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import Topo
from mininet.util import quietRun


class Bottleneck(Topo):
    """A fast link and a slow one."""

    def build(self):
        h1, h2, s0 = self.addHost("h1"), self.addHost("h2"), self.addSwitch("s0")
        self.addLink(h1, s0, bw=100)
        self.addLink(s0, h2, bw=5, max_queue_size=50)


def monitor_queue(iface, told):
    text = subprocess.check_output(f"tc -s qdisc show dev {iface}", shell=True, text=True)
    told.put([int(each) for each in re.findall(r"backlog \S+ (\d+)p", text)])


def wait_for_ever(told):
    told.put("waits")
    time.sleep(3600)


def ofport(iface):
    return subprocess.check_output(split(f"sudo ovs-vsctl get Interface {iface} ofport")).decode()


def main():
    net = Mininet(topo=Bottleneck(), link=TCLink, switch=OVSSwitch, waitConnected=True)
    net.start()
    told = Queue()
    watcher = Process(target=monitor_queue, args=("s0-eth2", told))
    watcher.start()
    print("queues seen:", len(told.get(timeout=60)) > 0)
    watcher.join()
    waiter = Process(target=wait_for_ever, args=(told,))
    waiter.start()
    told.get(timeout=60)
    waiter.terminate()
    waiter.join()
    print("a child ends by:", waiter.exitcode)
    print("ports:", ofport("s0-eth1").strip(), ofport("s0-eth2").strip())
    print("bridge:", net["s0"].cmd("sudo ovs-vsctl list-br").strip())
    print("down:", os.system("ip link set s0-eth2 down"), net["s0"].intfIsUp("s0-eth2"))
    print("up:", os.system("ip link set s0-eth2 up"), net["s0"].intfIsUp("s0-eth2"))
    print("status:", os.system("ip link show s0-eth9 >/dev/null 2>&1") >> 8)
    print("quietly:", quietRun("ip -br link show dev s0-eth1").split()[0].split("@")[0])
    print("lost:", net.pingAll())
    net.stop()


if __name__ == "__main__":
    main()
