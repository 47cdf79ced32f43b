"""Nodes in containers do what nodes in namespaces do, with no more rights than that takes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from emulator import LabError, Network, Node, Topo, UsageError
from emulator.catalog import Catalog
from emulator.plan.capabilities import DOCKER_DEFAULT
from emulator.runtime.daemon_places import mounts_below
from emulator.runtime.engine import client_of
from tests.system.docker_images import BUSYBOX, EMPTY, import_busybox, import_image
from tests.system.terminal import ROOT, VNF, Terminal
from tests.system.vnf_lab import frame
from tests.system.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.docker, pytest.mark.xdp]

DEADLINE_S = 10.0
DPDK = pytest.mark.dpdk
# Plane, driver, and the rights that the process of its VNF has; none for one without a process.
PLANES = [
    pytest.param(("xdp", None, ()), id="xdp"),
    pytest.param(("packet", None, ("NET_RAW",)), id="packet"),
    pytest.param(("afxdp", None, ("IPC_LOCK", "NET_RAW")), id="afxdp"),
    pytest.param(("dpdk", "af_packet", ("NET_ADMIN", "NET_RAW")), id="dpdk-af_packet", marks=DPDK),
    pytest.param(
        ("dpdk", "af_xdp", ("IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_ADMIN")),
        id="dpdk-af_xdp", marks=DPDK,
    ),
]  # fmt: skip
NUMBERS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14,
    "SYS_CHROOT": 18, "SYS_ADMIN": 21, "MKNOD": 27, "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip
MANIFEST = """
name = "probe"
summary = "forwards what is the test's own, and leaves the rest to its host"
ports = 2
[dataplanes.xdp]
[dataplanes.afxdp]
[dataplanes.dpdk]
[dataplanes.packet]
[parameters.silent]
type = "bool"
default = false
summary = "drop what is the test's own"
"""
SOURCE = """
#include "vnf.h"
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u8 *bytes = data;
    if (bytes + 14 > (__u8 *)end)
        return VNF_DROP;
    if (bytes[12] != 0x88 || bytes[13] != 0xb5)
        return VNF_TO_HOST;
    return ctx->config->silent ? VNF_DROP : VNF_FORWARD(vnf_peer(port));
}
"""
FRAMES = [frame(number, size) for number, size in enumerate((60, 61, 590, 1514))]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("vnfs") / "probe"
    folder.mkdir()
    (folder / "vnf.toml").write_text(MANIFEST)
    (folder / "vnf.c").write_text(SOURCE)
    return Catalog.load([folder.parent])


@pytest.fixture(scope="module")
def images(docker_daemon: str) -> None:
    import_busybox(docker_daemon)
    import_image(docker_daemon, EMPTY)


def chain(vnf: str, dataplane: str, **options: Any) -> Topo:
    """a – docker – b, and c – namespace – d, which is the same in a namespace of its own."""
    topo = Topo()
    for left, fn, right, runtime in (
        ("a", "docker", "b", "docker"),
        ("c", "namespace", "d", "namespace"),
    ):
        topo.addHost(left)
        topo.addHost(right)
        topo.addVNF(fn, vnf, dataplane=dataplane, runtime=runtime, **options)
        topo.addLink(left, fn)
        topo.addLink(fn, right)
    return topo


def opened(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    made.bind((name, 0))
    made.settimeout(DEADLINE_S)
    return made


def passed(net: Network, source: str, target: str, frames: Sequence[bytes]) -> list[bytes]:
    """What arrives at one host of what another one sends."""
    with (
        net[target].netns.run(opened, f"{target}-eth0") as receiver,
        net[source].netns.run(opened, f"{source}-eth0") as sender,
    ):
        for each in frames:
            sender.send(each)
        return [receiver.recv(1 << 16) for _ in frames]


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def rights_of(pid: int, kind: str = "CapBnd") -> tuple[str, ...]:
    mask = int(status_of(pid)[kind], 16)
    names = {number: name for name, number in NUMBERS.items()}
    return tuple(sorted(names.get(bit, str(bit)) for bit in range(64) if mask >> bit & 1))


def pid_of(node: Node) -> int:
    assert node.container is not None
    return node.container.pid


def inspected(node: Node) -> dict[str, Any]:
    assert node.container is not None
    with closing(client_of(os.environ["DOCKER_HOST"])) as client:
        found: dict[str, Any] = client.containers.get(node.container.id).attrs
    return found


# -- VNFs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=PLANES)
def lab(
    request: pytest.FixtureRequest, docker_daemon: str, catalog: Catalog
) -> Iterator[tuple[Network, str, tuple[str, ...]]]:
    """A VNF of the test's own on one plane after the other."""
    plane, driver, rights = request.param
    options = {} if driver is None else {"driver": driver}
    with Network(chain("probe", plane, **options), catalog=catalog) as net:
        yield net, plane, rights


Lab = tuple[Network, str, tuple[str, ...]]


def test_the_same_frames_pass_and_are_counted_the_same(lab: Lab) -> None:
    net, _, _ = lab
    net["docker"].restart()
    net["namespace"].restart()
    assert passed(net, "a", "b", FRAMES) == passed(net, "c", "d", FRAMES) == FRAMES
    assert passed(net, "b", "a", FRAMES[:2]) == passed(net, "d", "c", FRAMES[:2]) == FRAMES[:2]
    mine, other = net["docker"].counters(), net["namespace"].counters()
    assert list(mine) == ["docker-eth0", "docker-eth1"]
    assert list(mine.values()) == list(other.values())
    assert mine["docker-eth0"].rx_packets == len(FRAMES)
    assert net["docker"].vnf is not None
    assert net["namespace"].vnf is not None
    assert net["docker"].vnf.mode == net["namespace"].vnf.mode
    assert net["docker"].status == "running"


def test_parameters_change_while_it_runs_and_stay_over_a_restart(lab: Lab) -> None:
    net, _, _ = lab
    node = net["docker"]
    container = pid_of(node)
    node.set(silent=True)
    before = node.counters()["docker-eth0"].dropped_packets
    with net["a"].netns.run(opened, "a-eth0") as sender:
        sender.send(FRAMES[0])
    until(lambda: node.counters()["docker-eth0"].dropped_packets == before + 1)
    node.restart()
    assert node.parameters["silent"] is True
    assert node.counters()["docker-eth0"].rx_packets == 0
    node.set(silent=False)
    assert passed(net, "a", "b", FRAMES) == FRAMES
    assert pid_of(node) == container


def test_the_host_in_a_container_is_reached_through_its_vnf(lab: Lab) -> None:
    net, _, _ = lab
    for host, node in (("a", "docker"), ("c", "namespace")):
        address = "192.0.2.1" if node == "docker" else "192.0.2.9"
        net[host].cmd(f"ip addr add 192.0.2.{2 if node == 'docker' else 10}/29 dev {host}-eth0")
        add = f"ip addr add {address}/29 dev {node}-eth0 && ip link set {node}-eth0 up"
        subprocess.run(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{net[node].netns.fd}", "sh", "-c", add],
            check=True,
        )
        said = net[host].cmd(f"ping -c 3 -i 0.05 -W 2 {address}")
        assert "3 received" in said, (node, said)


def test_it_tells_what_it_uses_and_what_it_said(lab: Lab) -> None:
    net, plane, _ = lab
    usage = net["docker"].usage(interval_s=0.01)
    assert usage.memory_bytes is not None
    assert usage.memory_bytes > 0
    assert json.dumps(net["docker"].vnf_stats(usage).to_json())
    if plane != "xdp":
        assert isinstance(net["docker"].logs(), str)


def test_another_process_reaches_it(lab: Lab) -> None:
    net, _, _ = lab
    with Network.attach(net.id) as reached:
        assert reached["docker"].failure is None
        reached["docker"].set(silent=True)
        assert net["docker"].parameters["silent"] is True
        reached["docker"].set(silent=False)
        assert reached["docker"].counters() == net["docker"].counters()


def test_it_has_exactly_the_rights_that_its_plane_takes(lab: Lab) -> None:
    net, plane, rights = lab
    vnf = net["docker"].vnf
    pids = [pid_of(net["docker"])]
    if plane != "xdp":
        assert vnf is not None
        assert vnf.pid is not None
        pids.append(vnf.pid)
    for pid in pids:
        for kind in ("CapEff", "CapPrm", "CapBnd"):
            assert rights_of(pid, kind) == rights, kind
        assert rights_of(pid, "CapAmb") == ()
        assert status_of(pid)["NoNewPrivs"] == "1"
        users = {int(each) for each in status_of(pid)["Uid"].split()}
        assert (0 in users) == (plane != "xdp")
    host = inspected(net["docker"])["HostConfig"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["PidMode"] == ""
    assert host["AutoRemove"] is True
    assert net["docker"].cmd("echo > /file") != ""
    assert net["docker"].exit_status != 0
    assert "eth" not in net["docker"].cmd("while read a b; do echo $a; done < /proc/1/mounts")


def test_a_vnf_on_the_kernel_plane_has_no_rights(docker_daemon: str) -> None:
    with Network(chain("forward", "kernel")) as net:
        assert passed(net, "a", "b", FRAMES) == FRAMES
        pid = pid_of(net["docker"])
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            assert rights_of(pid, kind) == ()
        assert "0" not in status_of(pid)["Uid"].split()
        assert status_of(pid)["NoNewPrivs"] == "1"
        net["docker"].restart()
        assert passed(net, "a", "b", FRAMES) == FRAMES


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param((plane.values[0], right), id=f"{plane.id}-{right}", marks=plane.marks)
        for plane in PLANES
        for right in plane.values[0][2]  # type: ignore[index]
    ],
)
def test_each_right_of_a_plane_is_necessary(docker_daemon: str, taken: Any) -> None:
    (plane, driver, _), right = taken
    topo = Topo()
    options = {} if driver is None else {"driver": driver}
    topo.addVNF("fw", "forward", dataplane=plane, runtime="docker", cap_drop=[right], **options)
    for host in ("a", "b"):
        topo.addHost(host)
        topo.addLink(host, "fw")
    with Network(topo, on_failure="keep") as net:
        assert net["fw"].status == "failed"
        assert net["a"].cmd("echo on") == "on\n"


@pytest.fixture
def filtering_daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A daemon as Docker starts it: with a bridge and a firewall, in a network of its own."""
    folder = Path(tempfile.mkdtemp(prefix="vnf-test-", dir="/tmp"))
    url = f"unix://{folder}/sock"
    options = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                *("unshare", "--net", "dockerd", "--host", url),
                *(f"--{name}={folder}/{place}" for name, place in options.items()),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: daemon.poll() is not None or (folder / "sock").exists())
        if daemon.poll() is not None:
            pytest.skip(f"Docker cannot filter here: {(folder / 'log').read_text()[-300:]}")
        monkeypatch.setenv("DOCKER_HOST", url)
        yield url
    finally:
        daemon.terminate()
        daemon.wait(60)
        for mount in sorted(mounts_below(folder), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(folder)


def test_the_firewall_of_docker_and_labs_leave_each_other_alone(filtering_daemon: str) -> None:
    import_busybox(filtering_daemon)
    topo = Topo()
    topo.addSwitch("s1")
    topo.addHost("plain")
    topo.addVNF("fw", "forward", dataplane="kernel", runtime="docker")
    for name in ("d1", "d2"):
        topo.addDocker(name, BUSYBOX)
    for left, right in (("plain", "s1"), ("d1", "s1"), ("s1", "fw"), ("fw", "d2")):
        topo.addLink(left, right)
    with Network(topo) as net:
        assert net.pingAll() == 0
        with closing(client_of(filtering_daemon)) as client:
            run = client.containers.run
            rules = run(BUSYBOX, ["ip", "addr"], remove=True).decode()
        assert "172." in rules
        assert net.pingAll() == 0


@pytest.mark.dpdk
@pytest.mark.parametrize("driver", ["af_xdp", "af_packet"])
def test_a_program_as_it_is_runs_in_a_container(docker_daemon: str, driver: str) -> None:
    with Network(chain("testpmd", "dpdk", driver=driver)) as net:
        for _ in range(2):
            assert passed(net, "a", "b", FRAMES) == passed(net, "c", "d", FRAMES) == FRAMES
            mine, other = net["docker"].counters(), net["namespace"].counters()
            assert list(mine.values()) == list(other.values())
            assert net["docker"].failure is None
            net["docker"].restart()
            net["namespace"].restart()
        assert "testpmd" in net["docker"].logs() or net["docker"].logs()


@pytest.mark.dpdk
@pytest.mark.parametrize("second", ["docker", "namespace"])
def test_memory_is_shared_between_containers_and_with_namespaces(
    docker_daemon: str, second: str
) -> None:
    topo = Topo()
    topo.addHost("a")
    topo.addHost("b")
    topo.addVNF("v1", "forward", dataplane="dpdk", runtime="docker")
    topo.addVNF("v2", "forward", dataplane="dpdk", runtime=second)
    topo.addVNF("v3", "forward", dataplane="dpdk", runtime="docker")
    topo.addLink("a", "v1")
    topo.addLink("v1", "v2", kind="memif")
    topo.addLink("v2", "v3", kind="memif")
    topo.addLink("v3", "b")
    with Network(topo) as net:
        if second == "docker":
            assert rights_of(pid_of(net["v2"])) == ()
        for again in ("v1", "v2", "v3", None):
            assert passed(net, "a", "b", FRAMES) == FRAMES
            assert passed(net, "b", "a", FRAMES) == FRAMES
            if again is not None:
                net[again].restart()
        with closing(client_of(docker_daemon)) as client:
            assert net["v3"].container is not None
            client.containers.get(net["v3"].container.id).kill()
        until(lambda: net["v3"].failure is not None)
        net["v3"].restart()
        assert passed(net, "a", "b", FRAMES) == FRAMES


# -- hosts -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts(docker_daemon: str, images: None) -> Iterator[Network]:
    """Hosts of several images, on one switch."""
    import_busybox(docker_daemon, "test/me:latest", ["USER me", "WORKDIR /tmp", "ENV WHO=me"])
    topo = Topo()
    topo.addSwitch("s1")
    topo.addHost("plain")
    topo.addDocker("d1", BUSYBOX, dns=["10.0.0.53", "10.0.0.54"])
    topo.addDocker("empty", EMPTY)
    topo.addDocker("me", "test/me:latest")
    topo.addDocker("bare", BUSYBOX, cap_drop="ALL", read_only=True)
    for each in ("plain", "d1", "empty", "me", "bare"):
        topo.addLink(each, "s1")
    topo.addAppContainer("app", "d1", BUSYBOX)
    with Network(topo) as net:
        yield net


def test_hosts_have_what_docker_gives_and_their_network(hosts: Network) -> None:
    expected = tuple(sorted({*DOCKER_DEFAULT, "NET_ADMIN"}))
    for name in ("d1", "empty", "app"):
        assert rights_of(pid_of(hosts[name])) == expected, name
        assert status_of(pid_of(hosts[name]))["NoNewPrivs"] == "1"
        assert inspected(hosts[name])["HostConfig"]["Privileged"] is False
    assert rights_of(pid_of(hosts["bare"])) == ()
    assert hosts["bare"].cmd("echo > /tmp/file; echo $?").endswith("1\n")
    assert rights_of(pid_of(hosts["me"]), "CapEff") == ()
    assert hosts.pingAll() == 0
    hosts["d1"].cmd("ip link add name other type bridge && ip link delete other")
    assert hosts["d1"].exit_status == 0


def test_an_app_container_lives_in_its_hosts_network(hosts: Network) -> None:
    assert hosts["app"].cmd("ip -o addr show d1-eth0") == hosts["d1"].cmd("ip -o addr show d1-eth0")
    assert hosts["app"].cmd("cat /proc/1/comm") == "vnf-container\n"
    assert pid_of(hosts["app"]) != pid_of(hosts["d1"])


def test_what_limits_a_host_limits_its_app_containers_too(docker_daemon: str, images: None) -> None:
    with closing(client_of(docker_daemon)) as client:
        about = client.info()
    if (about["CgroupDriver"], about["CgroupVersion"]) != ("cgroupfs", "1"):
        pytest.skip("below the control group of a container: cgroupfs of version 1 only")
    topo = Topo()
    topo.addDocker("d1", BUSYBOX, memory="64m")
    topo.addAppContainer("app", "d1", BUSYBOX)
    with Network(topo) as net:
        assert net["app"].usage(interval_s=0.01).memory_limit_bytes == 64 << 20
        net["d1"].restart()
        assert net["app"].usage(interval_s=0.01).memory_limit_bytes == 64 << 20


def test_names_of_nodes_resolve_in_containers(hosts: Network) -> None:
    assert "1 packets received" in hosts["d1"].cmd("ping -c 1 -W 2 plain")
    assert "1 received" in hosts["plain"].cmd("ping -c 1 -W 2 d1")


def test_name_servers_are_those_of_the_plan_or_the_machines(hosts: Network) -> None:
    for name in ("d1", "app"):
        said = hosts[name].cmd("cat /etc/resolv.conf")
        assert said == "nameserver 10.0.0.53\nnameserver 10.0.0.54\n", name
    for name in ("empty", "me", "bare"):
        said = hosts[name].cmd('echo "$(</etc/resolv.conf)"')
        assert said.strip() == Path("/etc/resolv.conf").read_text().strip(), name


@pytest.mark.parametrize("name", ["d1", "empty", "me", "bare", "app"])
def test_the_shell_keeps_its_state_in_any_image(hosts: Network, name: str) -> None:
    node = hosts[name]
    assert node.cmd("cd /proc; x=5; f() { echo f $1; }") == ""
    assert node.cmd("echo $x; pwd; f 3") == "5\n/proc\nf 3\n"
    assert node.cmd("exit_with() { return 7; }; exit_with") == ""
    assert node.exit_status == 7
    node.cmd("while :; do read -t 0.01 y < /proc/uptime; done & z=$!")
    assert node.cmd("kill -0 $z && echo runs") == "runs\n"
    assert node.cmd("kill $z; wait $z; echo $?") == "143\n"
    assert node.cmd("exit") == ""
    assert node.cmd("echo $x") == "\n"


def test_a_user_of_the_image_is_who_it_says(hosts: Network) -> None:
    assert hosts["me"].cmd("id -un; pwd; echo $WHO") == "me\n/tmp\nme\n"
    assert hosts["d1"].cmd("id -un; pwd") == "root\n/\n"
    with hosts["me"].popen(["sh", "-c", "id -u; pwd"], stdout=subprocess.PIPE, text=True) as found:
        assert found.communicate() == ("1000\n/tmp\n", None)


def test_a_time_limit_ends_a_command_in_a_container(hosts: Network) -> None:
    for name in ("d1", "empty"):
        with pytest.raises(LabError, match="0.2"):
            hosts[name].cmd("while :; do :; done", timeout_s=0.2)
        assert hosts[name].cmd("echo on") == "on\n"
    with pytest.raises(LabError):
        hosts["d1"].cmd("trap '' INT; sleep 1000", timeout_s=0.2)
    assert hosts["d1"].cmd("trap - INT; echo on") == "on\n"


def test_ctrl_c_reaches_the_process_in_the_container(hosts: Network) -> None:
    node = hosts["d1"]
    node.cmd("true")
    timer = threading.Timer(0.3, node.interrupt)
    timer.start()
    assert node.cmd("sleep 1000; echo not this") == ""
    timer.join()
    assert node.exit_status == 130
    assert "sleep 1000" not in node.cmd("ps")


def test_what_cannot_be_started_is_told(hosts: Network) -> None:
    with pytest.raises(UsageError, match="there is no program nothing-there"):
        hosts["d1"].popen("nothing-there")
    with pytest.raises(UsageError, match="/etc is not executable"):
        hosts["me"].popen(["/etc"])


def test_other_terminals_reach_a_container(hosts: Network) -> None:
    def run(*words: str, given: str = "") -> tuple[str, int]:
        done = subprocess.run(
            [*VNF, "exec", hosts.id, *words],
            cwd=ROOT,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
            timeout=30,
        )
        return done.stdout, done.returncode

    assert run("d1", "sh", "-c", "id -un; exit 9") == ("root\n", 9)
    assert run("me", "sh", "-c", "id -un; cat", given="in\n") == ("me\nin\n", 0)
    assert run("d1", "sh", "-c", "kill -9 $$")[1] == 137
    with Network.attach(hosts.id) as reached:
        assert reached["d1"].cmd("x=1; echo $x") == "1\n"
        assert reached["empty"].cmd("echo hi") == "hi\n"
        assert reached["d1"].failure is None
        assert reached.pingAll() == 0
    assert hosts["d1"].failure is None


def test_a_terminal_works_in_a_container(hosts: Network) -> None:
    with Terminal([*VNF, "exec", hosts.id, "d1", "sh"]) as terminal:
        terminal.wait_for(r"[#$] ")
        terminal.type("tty; echo $((6*7))\r")
        terminal.wait_for("/dev/|not a tty")
        terminal.wait_for("42")
        terminal.type("sleep 1000\r")
        terminal.wait_for("sleep 1000")
        time.sleep(0.3)
        terminal.type("\x03")
        terminal.type("echo back$((1+1))\r")
        terminal.wait_for("back2")
        terminal.type("exit 4\r")
        assert terminal.wait_exit() == 4


def test_a_process_that_is_left_alone_ends_with_the_lab(docker_daemon: str, images: None) -> None:
    topo = Topo()
    topo.addDocker("d1", BUSYBOX)
    with Network(topo) as net:
        process = net["d1"].popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        os.kill(process.pid, 0)
    assert process.wait(DEADLINE_S) in (-signal.SIGKILL, -signal.SIGTERM)
