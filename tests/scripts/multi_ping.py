"""Every host pings some others for a while; what they say is read as it comes."""

from time import monotonic

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import SingleSwitchTopo

NOBODY = "10.0.0.222"


def begin(host, targets):
    "Pings each target once, one after the other; nobody is not waited for as long"
    print(f"*** {host.name} ({host.IP()}) will ping {' '.join(targets)}")
    pings = [f"ping -n -c1 -W{1 if ip == NOBODY else 20} {ip} | grep received" for ip in targets]
    host.sendCmd("; ".join(pings))


def main(n=4, seconds=30):
    net = Mininet(topo=SingleSwitchTopo(n))
    net.start()
    for number, host in enumerate(net.hosts):
        neighbour = net.hosts[(number + 1) % n]
        begin(host, [neighbour.IP(), host.IP(), NOBODY] if number == 0 else [neighbour.IP()])
    answers = {host.name: "" for host in net.hosts}
    until = monotonic() + seconds
    for host, line in net.monitor(timeoutms=500):
        if host:
            answers[host.name] += line
        if monotonic() > until:
            break
    for name, text in answers.items():
        print(name, [line.split(",")[1].strip() for line in text.splitlines()])
    # And one that would go on for ever.
    h1 = net["h1"]
    h1.sendCmd("ping -n", net["h2"].IP())
    h1.monitor()
    h1.sendInt()
    print("interrupted:", "packets transmitted" in h1.waitOutput())
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
