"""A server in a container, a watcher beside it, and a client: hosts that run images of their own.

    client --- s1 --- server [watcher]

``client`` and ``server`` are hosts in Docker containers: each has the files of its image and
processes of its own, and ``server`` no more memory and CPU than it is given. ``watcher`` is an app
container: another container, with files and limits of its own, in the network namespace of
``server``. It sees the same interfaces and the same addresses.

    vnf image base                        # once: makes the image build-vnf/base
    vnf run topologies/containers.py
    vnf> client iperf3 -c 10.0.0.2 -t 2   # half a CPU is not much of a server
    vnf> watcher ip -br address           # the interfaces are those of server
    vnf> watcher ss -tln                  # and so is the port that it listens on

A port of a node can be published, and then programs of the machine reach it as well. From another
terminal, and with ``--set port=0`` for any port that is free:

    iperf3 -c 127.0.0.1 -p 5201 -t 2

Any image will do, as long as the command is in it: ``--set image=nginx --set command=`` runs what
the image itself says. None needs a shell or ``ip`` for the lab to wire it.
"""

from emulator import Topo


class Containers(Topo):
    """client - s1 - server in containers, and an app container in the server's namespace."""

    def build(
        self,
        image: str = "build-vnf/base",
        command: str = "iperf3 -s",
        cpus: float = 0.5,
        memory: str = "256m",
        port: int = 5201,
    ) -> None:
        client = self.addDocker("client", image)
        server = self.addDocker(
            "server", image, command=command, cpus=cpus, memory=memory, ports={5201: port}
        )
        self.addAppContainer("watcher", server, image)
        switch = self.addSwitch("s1")
        self.addLink(client, switch)
        self.addLink(server, switch)


topos = {"containers": Containers}
