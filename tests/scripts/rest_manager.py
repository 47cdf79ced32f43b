"""ComNetsEmu: application containers managed by HTTP requests while the network runs."""

import json
from urllib.request import Request, urlopen

from comnetsemu.net import Containernet, VNFManager
from mininet.log import setLogLevel


def ask(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(url, data, headers, method=method), timeout=60) as answer:
        return answer.status, json.loads(answer.read())


if __name__ == "__main__":
    setLogLevel("info")
    net = Containernet(controller=None)
    mgr = VNFManager(net)
    net.addLink(net.addDockerHost("h1", dimage="dev_test", ip="10.0.0.1/24"), net.addSwitch("s1"))
    net.start()
    # Port 0 is a free one: several of these can run on a machine.
    server = mgr.runRESTServerThread(ip="127.0.0.1", port=0, token=None)
    containers = f"{server.url}/containers"
    print("at first:", ask(containers)[1])
    asked = {
        "name": "c1",
        "dhost": "h1",
        "dimage": "dev_test",
        "dcmd": "sleep 1000",
        "docker_args": {"cpuset_cpus": "0"},
    }
    ask(containers, "POST", asked)
    print("then:", ask(containers)[1], "the manager knows:", mgr.getAllContainers())
    print("runs:", mgr.getContainerInstance("c1").dins.status)
    ask(f"{containers}/c1", "DELETE")
    print("at last:", ask(containers)[1], mgr.getAllContainers())
    net.stop()
    mgr.stop()
