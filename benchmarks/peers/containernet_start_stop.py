"""Starts and stops hosts in containers as Containernet does: COUNT IMAGE FOLDER_OF_THE_SDK [apps]

Containernet is a Mininet of its own; what it adds is written here anew, for Debian's Mininet: one
host after the other, its container is created with a terminal and started, a shell is begun in it
by `docker exec -it`, and each command for that shell asks Docker first whether the container runs.
Its privileges are left out, and so is Docker's bridge, which would take longer.

Runs under the Python that Mininet is installed for, on its own: nothing of ours is imported.
"""

import json
import os
import pty
import select
import sys
import time


def main() -> None:
    """Print how long importing, starting and stopping took."""
    began = time.perf_counter()
    sys.path.append(sys.argv[3])
    import docker
    from mininet.link import Link
    from mininet.log import setLogLevel
    from mininet.net import Mininet
    from mininet.node import Host
    from mininet.nodelib import LinuxBridge
    from mininet.util import quietRun

    class OutsideLink(Link):
        """A pair made where Mininet runs, its ends then moved; containers see no other process."""

        @classmethod
        def makeIntfPair(cls, one, other, *_, **__):
            quietRun(f"ip link del {one}")
            quietRun(f"ip link del {other}")
            # Mininet would have the other end come to life in the namespace of process 1.
            said = quietRun(f"ip link add name {one} type veth peer name {other}")
            if said:
                raise SystemExit(said)

    class DockerHost(Host):
        """A host whose shell runs in a container."""

        def __init__(self, name, image, **params):
            self.api = docker.from_env().api
            if not any(image in (each["RepoTags"] or ()) for each in self.api.images()):
                raise SystemExit(f"no image {image}")
            limits = self.api.create_host_config(network_mode="none", cap_add=["NET_ADMIN"])
            self.container = self.api.create_container(
                image,
                "/bin/bash",
                name=f"mn.{name}",
                hostname=name,
                stdin_open=True,
                tty=True,
                host_config=limits,
            )
            self.api.start(self.container)
            self.found = self.api.inspect_container(self.container)
            super().__init__(name, **params)
            self.api.update_container(self.container, cpu_quota=-1)

        def startShell(self, mnopts=None):
            prompt = chr(127)
            command = ["docker", "exec", "-it", f"mn.{self.name}", "env", f"PS1={prompt}"]
            command += ["bash", "--norc", "--noediting", "-is", f"mininet:{self.name}"]
            self.master, self.slave = pty.openpty()
            self.shell = self._popen(
                command, stdin=self.slave, stdout=self.slave, stderr=self.slave, close_fds=False
            )
            self.stdin = self.stdout = os.fdopen(self.master, "r")
            self.pid = self.found["State"]["Pid"]
            self.pollOut = select.poll()
            self.pollOut.register(self.stdout)
            self.outToNode[self.stdout.fileno()] = self.inToNode[self.stdin.fileno()] = self
            self.execed = False
            self.lastCmd = self.lastPid = None
            self.readbuf = ""
            while self.read(1024)[-1] != prompt:
                self.pollOut.poll()
            self.waiting = False
            self.cmd("unset HISTFILE; stty -echo; set +m")

        def sendCmd(self, *args, **kwargs):
            filters = {"id": self.found["Id"], "status": "running"}
            if self.api.containers(filters=filters):
                super().sendCmd(*args, **kwargs)

        def setIP(self, ip, prefixLen=8, intf=None, **kwargs):
            # As ComNetsEmu has it; the ifconfig of small images takes no prefix.
            interface = self.intf(intf)
            address, _, length = ip.partition("/")
            interface.ip, interface.prefixLen = address, length or prefixLen
            said = self.cmd(f"ip addr add {address}/{interface.prefixLen} dev {interface}")
            if said:
                raise SystemExit(said)

        def terminate(self):
            self.api.remove_container(self.container, force=True, v=True)
            self.cleanup()
            self.api.close()

    setLogLevel("error")
    imported = time.perf_counter()
    net = Mininet(switch=LinuxBridge, controller=None, build=False)
    switch = net.addSwitch("s1")
    for number in range(1, int(sys.argv[1]) + 1):
        host = net.addHost(f"d{number}", cls=DockerHost, image=sys.argv[2])
        net.addLink(host, switch, cls=OutsideLink, fast=False)
    net.start()
    up = time.perf_counter()
    for host in net.hosts:
        host.cmd("true")
    answered = time.perf_counter()
    if sys.argv[4:] == ["apps"]:
        manage_apps(docker, net.hosts, sys.argv[2])
    managed = time.perf_counter()
    net.stop()
    down = time.perf_counter()
    report = {
        "import_s": imported - began,
        "up_s": up - imported,
        "answered_s": answered - imported,
        "apps_s": managed - answered,
        "down_s": down - managed,
        "lab_s": answered - imported + down - managed,
        "whole_s": down - imported,
        "stopped_at_s": time.monotonic(),
    }
    print(json.dumps(report))


def manage_apps(docker, hosts, image):
    """Start an app container beside each host, and remove all of them."""
    client = docker.from_env()
    apps = []
    for host in hosts:
        inside = host.found["Id"]
        app = client.containers.create(
            image,
            "sleep 1000000",
            name=f"app.{host.name}",
            init=True,
            tty=True,
            detach=True,
            network_mode=f"container:{inside}",
            cgroup_parent=f"/docker/{inside}",
        )
        app.start()
        seen = client.containers.get(app.name)
        while not seen.attrs["State"]["Running"]:
            time.sleep(0.1)
            seen.reload()
        apps.append(app)
    for app in apps:
        app.remove(force=True)
        try:
            while client.containers.get(app.name):
                time.sleep(0.1)
        except docker.errors.NotFound:
            pass
    client.close()


if __name__ == "__main__":
    main()
