"""ComNetsEmu: application containers inside hosts that are containers themselves."""

from comnetsemu.cli import CLI
from comnetsemu.net import Containernet, VNFManager
from mininet.link import TCLink
from mininet.log import info, setLogLevel
from mininet.node import Controller

PERIOD = 0.1


def deploy(interactive):
    net = Containernet(controller=Controller, link=TCLink, xterms=False)
    mgr = VNFManager(net)
    net.addController("c0")
    hosts = [
        net.addDockerHost(
            f"h{i}",
            dimage="dev_test",
            ip=f"10.0.0.{i}/24",
            docker_args={"cpuset_cpus": "0", "hostname": f"h{i}"},
        )
        for i in (1, 2)
    ]
    switch = net.addSwitch("s1")
    for host in hosts:
        net.addLinkNamedIfce(switch, host, bw=10, delay="1ms")
    try:
        net.start()
        print("lost:", net.pingAll(), "interfaces:", *(h.intfNames()[0] for h in hosts))
        info("*** Deploying\n")
        for name, dhost in (("c1", "h1"), ("c2", "h1"), ("c3", "h2")):
            args = {"mem_limit": "32m"}
            mgr.addContainer(name, dhost, "dev_test", "sleep 1000", docker_args=args)
        print("in h1:", mgr.getContainersDhost("h1"), "all:", mgr.getAllContainers())
        c1 = mgr.getContainerInstance("c1")
        code, said = c1.dins.exec_run("hostname")
        print("c1 says:", code, said.decode().strip())
        seen = c1.dins.exec_run("ip -4 addr show dev h1-s1")[1].decode()
        print("c1 has h1's address:", "10.0.0.1/24" in seen)
        usage = mgr.monResourceStats("c3", sample_num=2, sample_period=PERIOD)
        print("samples:", len(usage), "within the limit:", all(mem < 32 for _, mem in usage))
        for name in ("c1", "c3"):
            mgr.removeContainer(name)
        print("left:", mgr.getAllContainers())
        if interactive:
            CLI(net)
    finally:
        net.stop()
        mgr.stop()


if __name__ == "__main__":
    import sys

    setLogLevel("info")
    deploy("--cli" in sys.argv)
