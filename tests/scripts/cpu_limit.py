"""Hosts that may use a part of the machine only, and what the kernel says of it."""

from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import CPULimitedHost
from mininet.topo import SingleSwitchTopo
from mininet.util import custom

SHARE = 0.1
# The quota, the period and how often it was kept to, whichever version of control groups there is.
READ = """
while IFS=: read -r _ names path; do
  case ,$names, in
    *,cpu,*) g=/sys/fs/cgroup/cpu$path; cat $g/cpu.cfs_quota_us $g/cpu.cfs_period_us $g/cpu.stat ;;
    ,,) g=/sys/fs/cgroup$path; [ -f $g/cpu.max ] && cat $g/cpu.max $g/cpu.stat ;;
  esac
done < /proc/self/cgroup
"""


def quota(host):
    used, period = host.cmd(READ).split()[:2]
    return int(used) / int(period)


def throttled(host):
    said = host.cmd(READ).split()
    return int(said[said.index("nr_throttled") + 1])


def main():
    host = custom(CPULimitedHost, sched="cfs", period_us=10000, cpu=SHARE)
    net = Mininet(topo=SingleSwitchTopo(2), host=host, link=TCLink)
    net.start()
    cores = int(net.hosts[0].cmd("nproc --all"))
    for each in net.hosts:
        print(each.name, "share of the machine:", round(quota(each) / cores, 3))
    h1, h2 = net.hosts
    h1.setCPUFrac(0.25)
    h2.setCPUs([0])
    print("h1 share now:", round(quota(h1) / cores, 3))
    print("h2 runs on:", h2.cmd("grep Cpus_allowed_list /proc/self/status").split()[1])
    # A loop that never waits has to.
    before = throttled(h1)
    h1.cmd("timeout 0.5 sh -c 'while :; do :; done'")
    print("h1 was held back:", throttled(h1) > before)
    print("lost:", net.pingAll())
    net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
