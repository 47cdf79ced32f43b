"""Scripts in the style of Mininet's and ComNetsEmu's users run as they are, each by itself.

They are in ``tests/scripts``, where one can read what users write; what each prints that no noise
can change is here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.kernel.netns import Netns
from emulator.labs import list_labs
from tests.system.docker_images import import_busybox
from tests.system.terminal import ROOT, VNF

pytestmark = pytest.mark.root

SCRIPTS = ROOT / "tests" / "scripts"
DEADLINE_S = 120.0
ENDED_BY_ITSELF = "was still there when the script ended"


@dataclass
class Ran:
    """What came of a script."""

    code: int
    out: str
    err: str


def begin(
    script: Path, *arguments: object, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    # A script's python3 is ours: others may be wrappers that take their time.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        [*VNF, "script", str(script), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **(env or {})},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str]) -> Ran:
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    return Ran(process.returncode, out, err)


def run(name: str, *arguments: object) -> Ran:
    """Runs a script of the corpus, which has to end well and to stop its network itself."""
    ran = end(begin(SCRIPTS / f"{name}.py", *arguments))
    assert ran.code == 0, ran.out + ran.err
    assert ENDED_BY_ITSELF not in ran.err
    assert "Traceback" not in ran.err
    return ran


# Scripts as users write them ----------------------------------------------------------------------

# Script -> its arguments, and lines of what it prints, in their order.
CASES: dict[str, tuple[list[str], str]] = {
    "custom_topology": (
        [],
        """
        hosts: h11 h12 h21 h22
        switches: s1 s2 s3
        h11 10.0.1.1 00:00:00:00:00:01
        h22 10.0.2.2 00:00:00:00:00:04
        lost: 0.0
        """,
    ),
    "linear_bandwidth": (
        ["3"],
        """
        lost: 0.0
        1 links: at least 2 ms there and back: True
        2 links: at least 4 ms there and back: True
        got through: True in Mbits/sec
        no more than the links take: True
        """,
    ),
    "cpu_limit": (
        [],
        """
        h1 share of the machine: 0.1
        h2 share of the machine: 0.1
        h1 share now: 0.25
        h2 runs on: 0
        h1 was held back: True
        lost: 0.0
        """,
    ),
    "multi_ping": (
        [],
        """
        h1 ['1 received', '1 received', '0 received']
        h2 ['1 received']
        h4 ['1 received']
        interrupted: True
        """,
    ),
    "linux_router": (
        [],
        """
        192.168.1.0/24 dev r0-eth1 proto kernel scope link src 192.168.1.1
        lost: 0.0
        hops h1 - h3: 1
        its own: 1
        """,
    ),
    "own_routers": (
        [],
        """
        R1 127.0.0.1 1
        R3 127.0.0.1 1
        through both: True
        of the machine's: Device "R1-eth1" does not exist.
        """,
    ),
    "popen_poll": ([], "answered: h1 h2 h3\n pexec: fine bad 4"),
    "service_chain": (
        [],
        """
        by both: 5 of 5 answered
        other traffic: 5 of 5 answered
        counted: [5, 5, 5]
        by one: 5 of 5 answered
        by none: 5 of 5 answered
        without the chain: 5 of 5 answered
        lost: 0.0
        relays: ['5 datagrams passed', '10 datagrams passed']
        """,
    ),
}
OVS_CASES: dict[str, tuple[list[str], str]] = {
    "routers_first": (
        [],
        """
        forwards: 1
        before: 0.0
        hidden: 3 of 3 answered
        outside finds no way in: True
        """,
    ),
    "queue_monitor": (
        [],
        """
        queues seen: True
        a child ends by: -15
        ports: 1 2
        bridge: s0
        down: 0 False
        up: 0 True
        status: 1
        quietly: s0-eth1
        lost: 0.0
        """,
    ),
    "mobility": (
        [],
        """
        before: 0.0
        at s2: by s2-eth12, links to s1: 0
        at s2: lost 0.0
        at s3: lost 0.0
        at s1: by s1-eth11, links to s3: 0
        at s1: lost 0.0
        """,
    ),
    "vlan_ports": (
        [],
        """
        without VLANs, lost: 0.0
        tag of red1's port: 100
        with VLANs, lost: 67
        """,
    ),
    "controllers": (
        [],
        """
        s1 goes to 6633 connected: True
        s2 goes to 6634 connected: True
        s3 goes to 6634 connected: True
        lost: 0.0
        """,
    ),
    "controller_programs": (
        [],
        """
        command connected: True lost: 0.0
        shell connected: True lost: 0.0
        by hand connected: True lost: 0.0
        c0 starts
        more connected: True lost: 0.0
        """,
    ),
    "service_chain_flows": (
        [],
        """
        chained: 7 of 7 answered
        direct: 4 of 4 answered
        relay: 7 datagrams passed
        """,
    ),
    "slicing": ([], "lost: 67\n by the upper way: True by the lower: False"),
}
DOCKER_CASES: dict[str, tuple[list[str], str]] = {
    "docker_in_docker": (
        [],
        """
        lost: 0.0 interfaces: h1-s1 h2-s1
        in h1: ['c1', 'c2'] all: ['c1', 'c2', 'c3']
        c1 says: 0 h1
        c1 has h1's address: True
        samples: 2 within the limit: True
        left: ['c2']
        """,
    ),
    "echo_service": (
        [],
        """
        hello is answered by: hello
        again is answered by: again
        after its end: True
        """,
    ),
    "rest_manager": (
        [],
        """
        at first: []
        then: ['c1'] the manager knows: ['c1']
        runs: running
        at last: [] []
        """,
    ),
}


def assert_lines(text: str, wanted: str) -> None:
    """Whether lines are there, in this order, with whatever is between them."""
    rest = iter([line.strip() for line in text.splitlines()])
    for line in filter(None, map(str.strip, wanted.splitlines())):
        assert line in rest, f"no line {line!r} where it should be in:\n{text}"


@pytest.mark.parametrize("name", CASES)
def test_a_script_runs_as_it_is(name: str) -> None:
    arguments, wanted = CASES[name]
    assert_lines(run(name, *arguments).out, wanted)


@pytest.mark.ovs
@pytest.mark.parametrize("name", OVS_CASES)
def test_a_script_with_open_vswitch_runs_as_it_is(name: str) -> None:
    arguments, wanted = OVS_CASES[name]
    assert_lines(run(name, *arguments).out, wanted)


@pytest.fixture(scope="module")
def dev_test(docker_daemon: str) -> None:
    """ComNetsEmu's image by its name, with what of it the scripts use."""
    import_busybox(docker_daemon, "dev_test:latest")


@pytest.mark.docker
@pytest.mark.parametrize("name", DOCKER_CASES)
def test_a_script_with_containers_runs_as_it_is(dev_test: None, name: str) -> None:
    arguments, wanted = DOCKER_CASES[name]
    assert_lines(run(name, *arguments).out, wanted)


def test_hosts_have_folders_of_their_own(tmp_path: Path) -> None:
    ran = run("private_dirs", tmp_path)
    for name in ("h1", "h2", "h3"):
        said = ", ".join(f"{name} of {folder}" for folder in ("/var/log", "/var/mn", "/srv"))
        assert f"{name} finds: {said}\n" in ran.out
        assert (tmp_path / name / "var/log/me").read_text() == f"{name} of /var/log\n"
    assert "h1 has in /srv: me\n" in ran.out


def test_files_of_the_machine_stand_in_place_of_a_hosts_own(tmp_path: Path) -> None:
    wanted = """
        page: hello from the machine
        names: nameserver 10.0.0.2
        client sees no page: True
        own resolver: True
        kept: written in the host
        """
    assert_lines(run("bind_mounts", tmp_path).out, wanted)


@pytest.mark.docker
def test_containernets_hosts_have_folders_and_limits(dev_test: None, tmp_path: Path) -> None:
    wanted = """
        lost: 0.0
        note: from the machine green
        limits: 64 20
        quota now: 50000
        left: ['d1', 'h1'] lost: 0.0
        written by d1: True
        """
    assert_lines(run("docker_hosts", tmp_path).out, wanted)


@pytest.mark.ovs
def test_chains_are_the_same_on_open_vswitch() -> None:
    assert_lines(run("service_chain", "--ovs").out, CASES["service_chain"][1])


def test_a_firewall_lets_pass_what_it_should() -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft, of the package nftables")
    wanted = """
        inside to outside: 1
        outside to inside: 1
        service: 3 of 3 answered
        other port: 0 of 1 answered
        refused: packets 3
        """
    assert_lines(run("firewall").out, wanted)


def test_hosts_in_vlans_reach_those_in_theirs() -> None:
    with Netns.create() as place:
        command = ["ip", "link", "add", "link", "lo", "name", "lo.5", "type", "vlan", "id", "5"]
        if place.run(lambda: subprocess.run(command, capture_output=True)).returncode:
            pytest.skip("needs VLAN devices, which the kernel is built without")
    ran = run("vlan_host")
    assert_lines(ran.out, "VLAN: 1\n lost: 80")
    assert {"h1v0 -> X X X h2v0 X", "h2v1 -> X X h1v1 X X"} <= {
        line.strip() for line in ran.err.splitlines()
    }


def test_hosts_reach_the_outside_by_a_nat() -> None:
    with Netns.create() as machine:
        # The machine's own settings stay as they are: this one has an address and no links.
        address = "ip link set lo up; ip addr add 203.0.113.2/32 dev lo"
        machine.run(lambda: subprocess.run(address, shell=True, check=True))
        ran = end(machine.run(lambda: begin(SCRIPTS / "nat.py", "203.0.113.2")))
    assert ran.code == 0, ran.err
    for name in ("h1", "h2"):
        assert f"{name} leaves by 10.0.0.3 which is the NAT: True\n" in ran.out
        assert f"{name} outside: 1\n" in ran.out


@pytest.mark.ovs
def test_a_controller_that_listens_already_is_reached() -> None:
    if shutil.which("ovs-testcontroller") is None:
        pytest.skip("needs ovs-testcontroller")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    listening = ["ovs-testcontroller", "--unixctl=none", f"ptcp:{port}:127.0.0.1"]
    controller = subprocess.Popen(listening, stderr=subprocess.DEVNULL)
    try:
        wanted = "lost: 0.0\n flows learnt: True"
        assert_lines(run("remote_controller", port).out, wanted)
    finally:
        controller.kill()
        controller.wait()


# Scripts that go wrong ----------------------------------------------------------------------------

NET = """
import sys
from mininet.net import Mininet
from mininet.node import OVSSwitch, RemoteController, Ryu
from mininet.topo import MinimalTopo
net = Mininet(MinimalTopo(), **OPTIONS)
net.start()
print(net.engine.id, flush=True)
"""


def written(folder: Path, rest: str, options: str = "{}") -> Path:
    path = folder / "lab.py"
    path.write_text(NET.replace("OPTIONS", options) + rest)
    return path


# What follows the start of a network -> the exit code, and what is said.
MISTAKES = {
    "net.pingEverybody()": (1, "no attribute 'pingEverybody'"),
    "net['h1'].fly()": (1, "no attribute 'fly'"),
    "from mininet.node import Hostt": (2, "lab.py:9: mininet.node: Hostt is not supported"),
    "import mininet.wifi": (2, "the module mininet.wifi is not supported"),
    "net.addHost('h3', colour=1)": (2, "h3: Host has no parameter colour"),
    "net.addChain('c', 'h1', 'h2', via='h9')": (2, "lab.py:9: chain c: there is no node h9"),
    "net.pingAll(); raise RuntimeError('half way')": (1, "RuntimeError: half way"),
    "exit()": (0, ""),
    "exit(7)": (7, ""),
    "sys.exit('that is it')": (1, "that is it"),
}


def test_scripts_that_end_badly_leave_nothing_and_say_why(tmp_path: Path) -> None:
    """All at once, which is no reason for one to hear of another."""
    begun = {}
    for number, rest in enumerate(MISTAKES):
        (tmp_path / str(number)).mkdir()
        begun[rest] = begin(written(tmp_path / str(number), rest))
    ended = {rest: end(process) for rest, process in begun.items()}
    for rest, ran in ended.items():
        code, said = MISTAKES[rest]
        lab = ran.out.split()[0]
        assert (ran.code, said in ran.err) == (code, True), rest + ran.err
        assert f"*** Lab {lab} {ENDED_BY_ITSELF}: taken back" in ran.err
        assert str(ROOT / "emulator") not in ran.err
        assert lab not in {each.id for each in list_labs()}


def test_two_scripts_run_at_once(tmp_path: Path) -> None:
    """With the same names, addresses and ports, and neither hears of the other."""
    rest = "print('lost:', net.pingAll())\nprint(net['h1'].cmd('ip -o link | wc -l'))\nnet.stop()\n"
    script = written(tmp_path, rest)
    both = [begin(script) for _ in range(2)]
    ended = [end(each) for each in both]
    for ran in ended:
        assert ran.code == 0, ran.err
        assert_lines(ran.out, "lost: 0.0\n 2")
    assert len({ran.out.split()[0] for ran in ended}) == 2


def test_without_root_nothing_is_begun(tmp_path: Path) -> None:
    # Somebody who is not root and may yet read what root may.
    command = ["unshare", "--user", *VNF, "script", str(written(tmp_path, ""))]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert "needs root" in ran.stderr
    assert "sudo" in ran.stderr


@pytest.mark.ovs
def test_an_open_vswitch_that_is_not_there_is_told(tmp_path: Path) -> None:
    program = shutil.which("ovs-vswitchd", path=f"{os.environ['PATH']}:/usr/sbin")
    script = written(tmp_path, "", "{'switch': OVSSwitch}")
    # In a mount namespace of its own there is a file that cannot be run in its place.
    hidden = f'mount --bind /dev/null {program} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", hidden, "sh", *VNF, "script", str(script)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 3, ran.stderr
    assert "Open vSwitch is not installed: there is no ovs-vswitchd" in ran.stderr
    assert "apt-get install openvswitch-switch" in ran.stderr


@pytest.mark.ovs
def test_an_os_ken_that_is_not_there_is_told(tmp_path: Path) -> None:
    options = "{'switch': OVSSwitch, 'controller': lambda name: Ryu(name)}"
    argv = ["vnf", "script", str(written(tmp_path, "", options))]
    code = f"import runpy, sys; sys.modules['os_ken'] = None; sys.argv = {argv}\n"
    code += "runpy.run_module('emulator', run_name='__main__', alter_sys=True)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 3, ran.stderr
    assert "c0: os-ken is not installed" in ran.stderr


@pytest.mark.ovs
@pytest.mark.parametrize("keep", [False, True])
def test_a_controller_that_cannot_be_reached_is_told(tmp_path: Path, keep: bool) -> None:
    options = "{'controller': lambda n: RemoteController(n, ip='127.0.0.1', port=1, wait_s=0.2)}"
    script = written(tmp_path, "print('went on')\nnet.stop()\n", options)
    choice = ["--on-failure", "keep"] if keep else []
    ran = subprocess.run(
        [*VNF, "script", *choice, str(script)], cwd=ROOT, capture_output=True, text=True
    )
    if keep:
        assert "c0 failed: s1 is not connected to 127.0.0.1:1" in ran.stderr
    else:
        assert "c0: no controller answered at 127.0.0.1:1" in ran.stderr
    assert ("went on" in ran.stdout) is keep
    assert (ran.returncode == 0) is keep
