"""Programs in several hosts at once, and whatever line comes next of any of them."""

from signal import SIGINT
from time import time

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import SingleSwitchTopo
from mininet.util import pmonitor


def pmonitorTest(N=3, seconds=60):
    net = Mininet(SingleSwitchTopo(N))
    net.start()
    hosts = net.hosts
    target = hosts[0]
    popens = {}
    for h in hosts:
        popens[h] = h.popen(f"ping -n {target.IP()}")
    answered = set()
    endTime = time() + seconds
    stopped = False
    for h, line in pmonitor(popens, timeoutms=500):
        if h and "bytes from" in line:
            answered.add(h.name)
        if h and "packets transmitted" in line:
            print(h.name, "ended with its summary")
        if not stopped and (len(answered) == N or time() >= endTime):
            stopped = True
            for p in popens.values():
                p.send_signal(SIGINT)
    print("answered:", *sorted(answered))
    out, err, code = target.pexec("sh -c 'echo fine; echo bad >&2; exit 4'")
    print("pexec:", out.strip(), err.strip(), code)
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    pmonitorTest()
