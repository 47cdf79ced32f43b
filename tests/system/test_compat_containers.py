"""Scripts of ComNetsEmu and Containernet: what they call does what they expect of it."""

from __future__ import annotations

import functools
import importlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from emulator import LabError, TopologyError, UsageError
from emulator.compat import aliases
from tests.system.docker_images import BUSYBOX, import_busybox

pytestmark = [pytest.mark.root, pytest.mark.docker]

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def names(docker_daemon: str) -> Iterator[SimpleNamespace]:
    """What scripts import, and the image that they use."""
    import_busybox(docker_daemon)
    wanted = {
        "comnetsemu.net": ("Containernet", "VNFManager"),
        "comnetsemu.node": ("DockerHost", "APPContainer"),
        "comnetsemu.exceptions": ("InvalidDockerArgs",),
        "mininet.topo": ("Topo",),
        "mininet.link": ("TCLink",),
        "mininet.log": ("setLogLevel",),
    }
    with aliases.install():
        found = {
            name: getattr(importlib.import_module(module), name)
            for module, each in wanted.items()
            for name in each
        }
        found["setLogLevel"]("warning")
        yield SimpleNamespace(**found)
        found["setLogLevel"]("output")


@contextmanager
def started(net: Any) -> Iterator[Any]:
    try:
        net.start()
        yield net
    finally:
        net.stop()


ARGUMENTS: dict[str, Any] = {"mem_limit": "64m", "cpuset_cpus": "0"}


@pytest.fixture(scope="module")
def net(names: SimpleNamespace) -> Iterator[Any]:
    """A network in ComNetsEmu's words, which most of these tests share."""
    made = names.Containernet(controller=None, link=names.TCLink)
    h1 = made.addDockerHost("h1", dimage=BUSYBOX, ip="10.0.0.1/24", docker_args=ARGUMENTS)
    made.addDockerHost("h2", dimage=BUSYBOX, ip="10.0.0.2/24")
    s1 = made.addSwitch("s1")
    made.addLinkNamedIfce(h1, s1, delay="1ms")
    made.addLinkNamedIfce("s1", "h2", bw=100)
    with started(made):
        yield made


@pytest.fixture
def manager(names: SimpleNamespace, net: Any) -> Iterator[Any]:
    made = names.VNFManager(net)
    yield made
    made.stop()
    assert made.getAllContainers() == []


def test_hosts_in_containers_are_linked_limited_and_reach_each_other(
    names: SimpleNamespace, net: Any
):
    assert net.pingAll() == 0
    h1 = net.get("h1")
    assert isinstance(h1, names.DockerHost)
    assert h1.intfNames() == ["h1-s1"]
    assert net["h2"].intfNames() == ["h2-s1"]
    assert "10.0.0.1" in h1.cmd("ip -4 address show dev h1-s1")
    assert h1.dins.attrs["HostConfig"]["Memory"] == 64 << 20
    assert h1.dins.status == "running"
    assert ARGUMENTS == {"mem_limit": "64m", "cpuset_cpus": "0"}


def test_a_host_waits_in_a_shell_whatever_its_image_would_run(
    names: SimpleNamespace, net: Any, docker_daemon: str
):
    import_busybox(docker_daemon, "test/server:latest", ['CMD ["httpd", "-f", "-p", "80"]'])
    h3 = net.addDockerHost("h3", dimage="test/server")
    h4 = net.addDockerHost("h4", dimage="test/server", dcmd="httpd -f -p 81")
    try:
        assert "httpd" not in h3.cmd("ps")
        assert "httpd -f -p 81" in h4.cmd("ps")
    finally:
        net.delNode(h3)
        net.delNode(h4)


def test_limits_changed_by_the_sdks_object_are_those_of_the_lab(net: Any):
    h2 = net["h2"]
    h2.dins.update(cpu_quota=20000)
    assert h2.engine_node.plan.container.cpus == 0.2
    h2.dins.update(cpu_quota=-1)
    assert h2.engine_node.plan.container.cpus is None


def test_containers_are_added_found_measured_and_removed(
    names: SimpleNamespace, net: Any, manager: Any
):
    given = {"mem_limit": "32m"}
    talk = ["sh", "-c", "echo here; sleep 1000"]
    c1 = manager.addContainer("c1", "h1", BUSYBOX, talk, docker_args=given)
    c2 = manager.addContainer("c2", "h2", BUSYBOX, "sleep 1000")
    assert given == {"mem_limit": "32m"}
    assert isinstance(c1, names.APPContainer)
    assert (c1.name, c1.dhost, c1.dimage) == ("c1", "h1", BUSYBOX)
    assert manager.getAllContainers() == ["c1", "c2"] == net._appcontainers
    assert manager.getContainersDhost("h2") == ["c2"]
    assert manager.getContainerInstance("c2") is c2
    assert manager.getContainerInstance("c3") is None
    assert manager.getContainerInstance("c3", 5) == 5
    assert c1.getLogs() == "here\n"
    assert c1.dins.logs(tail=1) == b"here\n"
    used = c1.getCurrentStats()
    assert used["memory_stats"]["limit"] == 32 << 20
    assert used["pids_stats"]["current"] >= 2
    now, before = used["cpu_stats"], used["precpu_stats"]
    assert now["system_cpu_usage"] > before["system_cpu_usage"]
    assert now["cpu_usage"]["total_usage"] >= before["cpu_usage"]["total_usage"] > 0
    assert c1.dins.exec_run("hostname").output.strip() == b"h1"
    usage = manager.monResourceStats("c1", sample_num=2, sample_period=0.05)
    assert len(usage) == 2
    assert all(cpu >= 0 and 0 < mib < 32 for cpu, mib in usage)
    manager.removeContainer("c1")
    assert manager.getAllContainers() == ["c2"]


def test_what_is_not_there_is_an_error_that_scripts_expect(net: Any, manager: Any):
    with pytest.raises(UsageError, match="there is no node h9"):
        manager.addContainer("c1", "h9", BUSYBOX, "sleep 9")
    with pytest.raises(ValueError, match="no app container c9"):
        manager.removeContainer("c9")
    with pytest.raises(ValueError, match="no app container c9"):
        manager.monResourceStats("c9")
    with pytest.raises(UsageError, match="not negative"):
        manager.monResourceStats("c9", sample_period=-1)
    with pytest.raises(UsageError, match="as a stream"):
        net["h1"].dins.stats()
    with pytest.raises(UsageError, match=r"logs\(stream=True\) is not supported"):
        net["h1"].dins.logs(stream=True)


def test_what_cannot_be_had_is_told_and_leaves_nothing(
    names: SimpleNamespace, net: Any, manager: Any
):
    for arguments, said in (
        ({"privileged": True}, "root on the machine itself"),
        ({"network_mode": "host"}, "network of a node is that of the topology"),
        ({"wat": 1}, "no option wat"),
    ):
        with pytest.raises(names.InvalidDockerArgs, match=said):
            manager.addContainer("c1", "h1", BUSYBOX, "sleep 9", docker_args=arguments)
    with pytest.raises(Exception, match="image no_such_test is not on this machine") as missing:
        manager.addContainer("c1", "h1", "no_such_test", "bash", {})
    assert missing.value.hint
    with pytest.raises(LabError, match="cannot be started: /nothing"):
        manager.addContainer("c1", "h1", BUSYBOX, "/nothing")
    manager.addContainer("c1", "h1", BUSYBOX, "sleep 9")
    with pytest.raises(UsageError, match="a node named c1 is there already"):
        manager.addContainer("c1", "h2", BUSYBOX, "sleep 9")


def ask(url: str, token: str | None, method: str, body: Any = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.loads(answer.read())


def test_the_manager_and_its_rest_server_see_the_same_containers(
    manager: Any, capsys: pytest.CaptureFixture[str]
):
    server = manager.runRESTServerThread(port=0, enable_log=False)
    url = f"{server.url}/containers"
    told = capsys.readouterr().err
    assert told == ""  # at the level of warnings
    ask(
        url, server.token, "POST",
        {"name": "c1", "dhost": "h1", "dimage": BUSYBOX, "dcmd": "sleep 1000", "docker_args": {}},
    )  # fmt: skip
    manager.addContainer("c2", "h2", BUSYBOX, "sleep 1000")
    assert ask(url, server.token, "GET") == ["c1", "c2"] == manager.getAllContainers()
    c1 = manager.getContainerInstance("c1")
    assert (c1.dhost, c1.dimage) == ("h1", BUSYBOX)
    ask(f"{url}/c1", server.token, "DELETE")
    assert manager.getAllContainers() == ["c2"]
    free = manager.runRESTServerThread(port=0, token=None)
    assert "asks for no token" in capsys.readouterr().err
    assert ask(f"{free.url}/containers", None, "GET") == ["c2"]


def test_terminals_open_in_containers_by_their_names(
    net: Any, manager: Any, monkeypatch: pytest.MonkeyPatch
):
    spawn = importlib.import_module("comnetsemu.cli").spawnXtermDocker
    with pytest.raises(UsageError, match="there is no node h9 that runs"):
        spawn("h9")
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    manager.addContainer("c1", "h1", BUSYBOX, "sleep 1000")
    for which, name in (("c1", "c1"), (net["h2"], "h2")):
        window = spawn(which)
        assert window.node == name
        assert window.attach.startswith("tmux ")


def test_a_topology_whose_hosts_are_containers_is_understood(names: SimpleNamespace):
    class Row(names.Topo):  # type: ignore[misc, name-defined]
        def build(self, n: int) -> None:
            switch = self.addSwitch("s1")
            for number in range(1, n + 1):
                self.addLink(
                    self.addHost(f"h{number}", docker_args={"cpu_shares": 100 * number}), switch
                )

    host = functools.partial(names.DockerHost, dimage=BUSYBOX)
    with started(names.Containernet(topo=Row(2), host=host, controller=None)) as net:
        assert net.pingAll() == 0
        assert [h.dins.attrs["HostConfig"]["CpuShares"] for h in net.hosts] == [100, 200]


def test_containernets_hosts_come_change_and_go_while_the_network_runs(names: SimpleNamespace):
    containernet = importlib.import_module("containernet.net")
    assert importlib.import_module("mininet.net").Containernet is containernet.Containernet
    net = containernet.Containernet(controller=None)
    s1 = net.addSwitch("s1")
    d1 = net.addDocker("d1", dimage=BUSYBOX, ip="10.0.0.11", volumes=["/etc:/mnt/etc:ro"])
    net.addLink(d1, s1)
    with started(net):
        d2 = net.addDocker("d2", dimage=BUSYBOX, cpu_quota=50000)
        net.addLink(d2, s1, params1={"ip": "10.0.0.12/8"})
        assert net.pingAll() == 0
        d2.start()
        assert d2.resources["cpu_quota"] == 50000
        assert "passwd" in d1.cmd("ls /mnt/etc")
        d2.updateCpuLimit(cpu_quota=20000, cpu_shares=512)
        d2.updateMemoryLimit(mem_limit=64 << 20)
        assert (d2.resources["cpu_quota"], d2.resources["cpu_shares"]) == (20000, 512)
        assert d2.resources["mem_limit"] == 64 << 20
        d2.updateCpuLimit(cpu_shares=256)
        assert d2.resources["cpu_quota"] == 20000
        assert d2.dcinfo["Id"] == d2.did == d2.dins.id
        net.removeLink(node1=d2, node2=s1)
        assert net.pingAll() == 100
        net.removeDocker("d2")
        assert [host.name for host in net.hosts] == ["d1"]
        with pytest.raises(UsageError, match="virtual machines are not supported"):
            net.addLibvirthost("v1")


def test_a_host_that_cannot_be_had_says_so_at_its_line(names: SimpleNamespace):
    net = names.Containernet(controller=None)
    net.addDockerHost("h1", dimage=BUSYBOX, docker_args={"privileged": True})
    with pytest.raises(TopologyError, match=r"test_compat_containers\.py:\d+: host h1: .*root on"):
        net.start()
    net.stop()
    with pytest.raises(UsageError, match="DockerHost has no parameter dimmage"):
        names.Containernet().addDockerHost("h1", dimmage=BUSYBOX)
