"""ComNetsEmu: an echo service in an application container, asked from another host."""

from comnetsemu.net import Containernet, VNFManager
from mininet.link import TCLink
from mininet.log import info, setLogLevel

PORT = 65000

if __name__ == "__main__":
    setLogLevel("info")
    net = Containernet(controller=None, link=TCLink)
    mgr = VNFManager(net)
    h1 = net.addDockerHost("h1", dimage="dev_test", ip="10.0.0.1", docker_args={})
    h2 = net.addDockerHost("h2", dimage="dev_test", ip="10.0.0.2", docker_args={})
    s1 = net.addSwitch("s1")
    net.addLink(h1, s1, bw=10, delay="10ms")
    net.addLink(h2, s1, bw=10, delay="10ms")
    net.start()
    info("*** Starting the service\n")
    server = mgr.addContainer("echo_server", "h2", "dev_test", f"nc -ll -p {PORT} -e cat")
    waiting = f"until netstat -ltn | grep -q :{PORT}; do sleep 0.05; done"
    h2.cmd(f"timeout 20 sh -c '{waiting}'")
    for word in ("hello", "again"):
        print(f"{word} is answered by:", h1.cmd(f"echo {word} | nc -w 20 {h2.IP()} {PORT}").strip())
    mgr.removeContainer("echo_server")
    print("after its end:", "refused" in h1.cmd(f"echo x | nc -w 20 {h2.IP()} {PORT}"))
    net.stop()
    mgr.stop()
