"""The command line and the shell on nodes in containers, as their users type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.docker_images import import_busybox
from tests.system.terminal import ROOT, VNF, Terminal
from tests.system.test_cli import running_lab, vnf

pytestmark = [pytest.mark.root, pytest.mark.docker]

TOPOLOGY = '''
from emulator import Topo

IMAGE = "test/busybox"
TALK = "i=0; while :; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.2; done"


class Boxes(Topo):
    """Hosts in containers, one of which talks, an app beside it, and a VNF on the way."""

    def build(self, bad=False):
        self.addDocker("d1", image=IMAGE, memory="64m", cpus=0.5, ports=[80])
        self.addDocker("d2", image=IMAGE, command=["sh", "-c", TALK])
        self.addAppContainer("a1", "d2", image=IMAGE)
        self.addVNF("fw", "forward", dataplane="packet", runtime="docker")
        self.addSwitch("s1")
        self.addLink(self.addHost("h1"), "s1")
        self.addLink("d1", "s1")
        self.addLink("s1", "fw")
        self.addLink("fw", "d2")
        if bad:
            self.addDocker("d3", image=IMAGE, command="/data/run", volumes=["{data}:/data"])
            self.addLink("d3", "s1")
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that one of the containers has as a volume."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def boxes(docker_daemon: str, tmp_path_factory: pytest.TempPathFactory, data: Path) -> str:
    """The file of the topology, whose image is there."""
    import_busybox(docker_daemon, "test/busybox:latest")
    file = tmp_path_factory.mktemp("topology") / "boxes.py"
    file.write_text(TOPOLOGY.replace("{data}", str(data)))
    return str(file)


@pytest.fixture(scope="module")
def lab(boxes: str) -> Iterator[dict[str, Any]]:
    """The lab that most of these tests share, in another process."""
    with running_lab(boxes) as lab:
        yield lab
    assert lab["process"].returncode == 0


def run_script(boxes: str, lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give lines to the shell of a lab through a pipe."""
    return vnf("run", boxes, *arguments, input=lines)


def known(lab: dict[str, Any]) -> dict[str, Any]:
    """What ``vnf ps`` says of a lab."""
    done = vnf("ps", "--json")
    assert done.returncode == 0, done.stderr
    return next(each for each in json.loads(done.stdout) if each["id"] == lab["id"])


def processes_in(lab: dict[str, Any], node: str) -> int:
    """How many processes a node's container has."""
    stats = vnf("exec", lab["id"], node, "stats", "--json")
    return int(json.loads(stats.stdout)["processes"])


# The shell ----------------------------------------------------------------------------------------


def test_the_shell_tells_of_containers_what_it_tells_of_nodes(boxes: str):
    done = run_script(
        boxes,
        "nodes\nnet\ndump\npingall\ncounters\nlink d1 s1 down\nlinks\nlink d1 s1 up\npingall\n"
        "h1 ping -c1 a1\nd1 cd /tmp; x=5\nd1 pwd; echo $x\n",
    )
    assert done.returncode == 0, done.stderr
    assert "1 app container, 4 links, 4 nodes in containers" in done.stderr
    assert "in containers: a1 d1 d2 fw" in done.stdout
    assert "a1 in d2" in done.stdout
    assert "<App a1: docker(test/busybox) in d2>" in done.stdout
    assert "<Host d1: docker(test/busybox) d1-eth0:10.0.0.1>" in done.stdout
    assert " on packet docker(build-vnf/forward:packet) fw-eth0" in done.stdout
    assert "d1-eth0<->s1-eth2 (DOWN DOWN)" in done.stdout
    assert done.stdout.count("0% dropped (6/6 received)") == 2
    assert "1 packets transmitted, 1 received" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["/tmp", "5"]


def test_containers_are_asked_and_limited_by_their_names(boxes: str):
    done = run_script(
        boxes,
        "d1 update cpus=0.25 memory=128m pids=50\ncontainers\nd1 update\nd1 ports\nd2 ports\n"
        "fw update memory=100m\nd2 logs 1\nfw logs\nd1 restart\nd1 stats\npingall\n",
    )
    assert done.returncode == 1
    assert done.stderr.endswith("(now cpus=0.25 memory=128m pids=50)\n")
    row = next(line for line in done.stdout.splitlines() if line.startswith("d1 "))
    assert "of 25 %" in row
    assert "of 128 MiB" in row
    assert "of 50" in row
    assert "80/tcp at 127.0.0.1:" in row
    assert "no port of d2 is published" in done.stdout
    assert "of 128 MiB, peak" in done.stdout
    assert "0% dropped (6/6 received)" in done.stdout


NOT_STARTED = "its program cannot be started: /data/run: No such file or directory"
MISTAKES = {
    "d1 update cpus=x": "d1: cpus: 'x' is not a number of CPUs",
    "d1 update colour=red": "d1: there is no limit colour",
    "d1 update memory=1k": "d1: memory: ",
    "d1 update cpuset=4000": "d1: Docker says: ",
    "d1 logs many": "d1 logs: 'many' is not a number of lines",
    "d1 logs -f": "vnf logs LAB d1 -f",
    "d1 ports 80": "usage: d1 ports",
    "link a1 s1 down": "no link between a1 and s1",
    "counters d1": "d1 is a host, not a VNF",
    "py d1.update(cpus=-1)": "cpus",
    "py h1.update(cpu_shares=1)": "there is no limit cpu_shares",
    "py h1.logs()": "kept nowhere",
    "px net.addDocker('d4', image='Not An Image')": "Not An Image",
    "px net.addDocker('d5', image='nobody/has.this:1', pull='never')": "nobody/has.this:1",
    "px net.addAppContainer('a2', 'h1', image='test/busybox')": "a2",
}


def test_mistakes_with_containers_are_told_and_survived(boxes: str):
    lines = [f"{line}\nsh echo after {number} >&2\n" for number, line in enumerate(MISTAKES)]
    done = run_script(boxes, "".join(lines) + "pingall\n")
    assert done.returncode == 1
    assert "internal error" not in done.stderr
    rest = done.stderr
    for number, (line, message) in enumerate(MISTAKES.items()):
        said, _, rest = rest.partition(f"after {number}\n")
        assert message in said, line
        assert "*** " in said, line
    assert rest == ""
    assert "0% dropped (6/6 received)" in done.stdout


# Failing nodes ------------------------------------------------------------------------------------


def test_a_node_that_does_not_start_ends_the_lab_unless_told_otherwise(boxes: str):
    done = run_script(boxes, "pingall\n", "--set", "bad=true")
    assert done.returncode == 1
    assert f"vnf: d3: {NOT_STARTED}" in done.stderr
    assert "hint: it is to run: /data/run" in done.stderr
    assert done.stdout == ""


def test_a_lab_goes_on_without_a_node_and_gets_it_back(boxes: str, data: Path):
    run = data / "run"
    mended = f"printf '#!/bin/sh\\nsleep 1000\\n' >{run}; chmod +x {run}"
    done = run_script(
        boxes,
        f"nodes\nd3 restart\npingall\nsh {mended}\nd3 restart\nnodes\npingall\ndump\n",
        *("--set", "bad=true", "--on-failure", "keep"),
    )
    run.unlink()
    assert done.stderr.count(f"*** d3 failed: {NOT_STARTED}") == 1
    assert f"*** d3: {NOT_STARTED} (it is to run: /data/run)" in done.stderr
    assert "hint: d3 restart starts it anew" in done.stderr
    assert "available nodes are:\na1 d1 d2 d3 fw h1 s1\n" in done.stdout
    assert done.stdout.count("failed: d3") == 1
    assert "<Host d3: docker(test/busybox) d3-eth0" in done.stdout
    assert done.stdout.count("0% dropped (12/12 received)") == 2


def test_a_program_that_fails_later_is_told_with_its_last_words(boxes: str):
    done = run_script(
        boxes,
        "px net.addDocker('d4', image='test/busybox', command=['sh', '-c', "
        "'sleep 0.5; echo no more; exit 3'])\nsh sleep 1\nnodes\n",
    )
    assert done.returncode == 0
    told = "*** d4 failed: its program has ended with exit code 3; its last lines:\n    no more\n"
    assert done.stderr.count(told) == 1
    assert done.stdout.endswith("failed: d4\n")


def test_failed_nodes_are_told_to_programs_and_to_other_terminals(boxes: str):
    with running_lab(boxes, "--set", "bad=true", "--on-failure", "keep") as lab:
        failures = {node["name"]: node["failure"] for node in lab["nodes"]}
        assert failures.pop("d3") == NOT_STARTED
        assert set(failures.values()) == {None}
        found = known(lab)
        assert found["failed"] == ["d3"]
        assert found["containers"] == ["a1", "d1", "d2", "d3", "fw"]
        attached = vnf("attach", lab["id"], input="nodes\n")
        assert "*** d3 failed" in attached.stderr
        assert vnf("exec", lab["id"], "d1", "true").stderr.startswith("*** d3 failed")


# vnf exec -----------------------------------------------------------------------------------------


def test_exec_joins_pipes_into_a_container(lab: dict[str, Any]):
    done = vnf("exec", lab["id"], "d1", "sh", "-c", "cat; echo err >&2; exit 7", input="in\n" * 9)
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n" * 9, "err\n")
    many = subprocess.run(
        [*VNF, "exec", lab["id"], "d1", "cat"],
        input=bytes(3_000_000),
        capture_output=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    assert many.stdout == bytes(3_000_000)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["nonesuch"], 127),
        (["/tmp"], 126),
        (["sh", "-c", "kill -9 $$"], 137),
        (["false"], 1),
    ],
)
def test_exec_ends_as_shells_and_docker_do(lab: dict[str, Any], command: list[str], code: int):
    done = vnf("exec", lab["id"], "d1", *command)
    assert done.returncode == code
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("node", ["d1", "fw", "a1", "h1"])
def test_exec_without_a_command_is_a_shell_in_any_image(lab: dict[str, Any], node: str):
    done = vnf("exec", lab["id"], node, input="echo $((6*7)); exit 5\n")
    assert (done.returncode, done.stdout) == (5, "42\n"), done.stderr


@pytest.mark.parametrize("node", ["d1", "fw"])
def test_a_person_has_a_terminal_in_a_container(lab: dict[str, Any], node: str):
    with Terminal([*VNF, "exec", lab["id"], node]) as terminal:
        terminal.wait_for(r"[#$] *$")
        terminal.type("echo $((6*7)); while :; do :; done\r")
        terminal.wait_for("^42")
        terminal.type("\x03")
        terminal.wait_for(r"[#$] *$")
        terminal.type("exit 5\r")
        assert terminal.wait_exit() == 5
        assert terminal.echoes


def test_ctrl_c_ends_a_command_in_a_container_whose_output_is_piped(lab: dict[str, Any]):
    before = processes_in(lab, "d1")
    command = f"{' '.join(VNF)} exec {lab['id']} d1 sh -c 'ping h1; true' | cat"
    with Terminal(["bash", "-c", command]) as terminal:
        terminal.wait_for("seq=1")
        terminal.type("\x03")
        terminal.wait_exit()
        assert "Traceback" not in terminal.text
    assert processes_in(lab, "d1") == before


def test_a_signal_to_exec_ends_its_command_in_the_container(lab: dict[str, Any]):
    before = processes_in(lab, "d1")
    process = subprocess.Popen(
        [*VNF, "exec", lab["id"], "d1", "sh", "-c", "echo begun; sleep 1000; true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (143, "vnf: terminated by SIGTERM\n")
    assert processes_in(lab, "d1") == before


# vnf logs -----------------------------------------------------------------------------------------


def test_logs_are_those_of_containers_and_of_vnfs(lab: dict[str, Any]):
    done = vnf("logs", lab["id"], "d2")
    assert done.returncode == 0
    assert done.stdout.startswith("line 1\nerror 1\n")
    assert len(vnf("logs", lab["id"], "d2", "-n", "3").stdout.splitlines()) == 3
    assert vnf("logs", lab["id"], "d2", "-n", "0").stdout == ""
    assert vnf("logs", lab["id"], "fw").returncode == 0
    assert vnf("exec", lab["id"], "d2", "logs", "2").stdout.count("\n") == 2
    nowhere = vnf("logs", lab["id"], "h1")
    assert nowhere.returncode == 2
    assert "vnf: h1: what programs print in the node is kept nowhere" in nowhere.stderr


def test_logs_are_followed_until_ctrl_c(lab: dict[str, Any]):
    with Terminal([*VNF, "logs", lab["id"], "d2", "-f", "-n", "1"]) as terminal:
        number = int(terminal.wait_for(r"(?:line|error) (\d+)")[1])
        terminal.wait_for(f"^line {number + 2}$")
        terminal.type("\x03")
        assert terminal.wait_exit() == 130


def test_following_outlives_a_restart_and_ends_with_the_lab(boxes: str):
    with running_lab(boxes) as lab:
        process = subprocess.Popen(
            [*VNF, "logs", lab["id"], "d2", "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "line 1\n"
        lab["process"].stdin.write("d2 restart\n")
        lab["process"].stdin.flush()
        while process.stdout.readline() != "line 1\n":
            pass
        assert process.stdout.readline() == "error 1\n"
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0


# Other terminals ----------------------------------------------------------------------------------


def test_an_attached_shell_reaches_containers_and_leaves_their_lives_alone(lab: dict[str, Any]):
    done = vnf(
        "attach",
        lab["id"],
        input="d1 hostname\nd1 stats\nd2 logs 1\ncontainers\npingall\nd1 restart\n"
        "d1 update cpus=1\nfw stats\n",
    )
    assert done.returncode == 1
    assert "d1: in a container" in done.stdout
    assert "node  image" in done.stdout
    assert "0% dropped" in done.stdout
    assert "fw: forward on packet" in done.stdout
    refused = [line for line in done.stderr.splitlines() if line.startswith("*** d1: only")]
    assert len(refused) == 2


def test_ps_counts_containers(lab: dict[str, Any]):
    lines = [line.split() for line in vnf("ps").stdout.splitlines()]
    assert lines[0][:5] == ["lab", "topology", "nodes", "containers", "pid"]
    assert [lab["id"], "boxes", "6", "4", str(lab["pid"])] in [line[:5] for line in lines]


def test_a_container_that_is_killed_is_told_everywhere(boxes: str):
    with running_lab(boxes) as lab:
        state = json.loads((Path("/run/build-vnf") / lab["id"] / "lab.json").read_text())
        os.kill(state["containers"]["d1"]["pid"], signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        # What has the network namespace of its host, a1 of d2, is none the worse.
        while known(lab)["failed"] != ["d1"]:
            assert time.monotonic() < deadline_s
        done = vnf("attach", lab["id"], input="nodes\ncontainers\nd1 ls\n")
        assert "*** d1 failed: its container has ended" in done.stderr
        assert "failed: d1" in done.stdout
        lab["process"].stdin.write("d1 restart\nd1 echo back\n")
        lab["process"].stdin.flush()
        assert lab["process"].stdout.readline() == "back\n"
        assert known(lab)["failed"] == []
