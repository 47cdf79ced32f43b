"""The ``vnf`` command and running labs: from other terminals, with wrong input, stopped midway."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import main
from emulator.errors import MachineError
from emulator.labs import clean, list_labs
from emulator.network import Network
from emulator.paths import run_dir
from tests.system.terminal import ROOT, VNF, Terminal

pytestmark = pytest.mark.root

NOT_ROOT = ("unshare", "--user")
"""Runs a command as somebody who is not root and may yet read what root may."""


def vnf(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; ``before`` are words to put before it."""
    return subprocess.run(
        [*options.pop("before", ()), *VNF, *arguments],
        **{"input": "", "cwd": ROOT, "timeout": 120, **options},
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def running_lab(*arguments: str) -> Iterator[dict[str, Any]]:
    """A lab that another process runs for as long as the block lasts; what it said of itself."""
    process = subprocess.Popen(
        [*VNF, "run", "--json", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield {**json.loads(process.stdout.readline()), "process": process}
    finally:
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, Any]]:
    with running_lab("--topo", "minimal") as lab:
        yield lab
    assert lab["process"].returncode == 0
    assert lab["id"] not in [record.id for record in list_labs()]


def test_a_lab_introduces_itself_as_json(lab: dict[str, Any]):
    assert lab["id"].startswith("minimal-")
    assert lab["topology"] == "minimal"
    assert lab["nodes"][0] == {
        "name": "h1",
        "kind": "host",
        "runtime": "namespace",
        "addresses": ["10.0.0.1/8"],
        "failure": None,
    }


def test_ps_lists_the_lab(lab: dict[str, Any]):
    table = vnf("ps")
    assert table.returncode == 0
    assert any(
        row.split()[:5] == [lab["id"], "minimal", "3", "0", str(lab["pid"])]
        for row in table.stdout.splitlines()
    )
    found = [row for row in json.loads(vnf("ps", "--json").stdout) if row["id"] == lab["id"]]
    assert found[0]["nodes"] == ["h1", "h2", "s1"]
    assert found[0]["age_s"] >= 0


def test_exec_joins_pipes_and_gives_the_exit_code(lab: dict[str, Any]):
    done = vnf("exec", lab["id"], "h1", "sh", "-c", "cat; hostname -I; exit 7", input="hello\n")
    assert done.returncode == 7
    assert done.stdout.split() == ["hello", "10.0.0.1"]


def test_exec_takes_a_double_dash_before_the_command(lab: dict[str, Any]):
    done = vnf("exec", lab["id"], "h1", "--", "echo", "--", "-n")
    assert (done.returncode, done.stdout) == (0, "-- -n\n"), done.stderr


def test_exec_passes_options_on_to_the_command(lab: dict[str, Any]):
    done = vnf("exec", lab["id"], "h1", "ping", "-c1", "--help")
    assert "usage" in (done.stdout + done.stderr).lower()
    assert vnf("exec", lab["id"], "h1", "ping", "-c1", "h2").returncode == 0


def test_exec_ends_like_a_command_that_a_signal_ended(lab: dict[str, Any]):
    assert vnf("exec", lab["id"], "h1", "sh", "-c", "kill -9 $$").returncode == 128 + 9


@pytest.mark.parametrize(
    ("program", "code", "message"),
    [("nonesuch", 127, "there is no program nonesuch"), ("/tmp", 126, "/tmp is not executable")],
)
def test_exec_tells_of_programs_that_cannot_be_run_as_shells_do(
    lab: dict[str, Any], program: str, code: int, message: str
):
    done = vnf("exec", lab["id"], "h1", program)
    assert done.returncode == code
    assert f"vnf: h1: {message}" in done.stderr


def test_exec_reaches_the_bridges(lab: dict[str, Any]):
    done = vnf("exec", lab["id"], "s1", "bridge", "link")
    assert done.stdout.count("state forwarding") == 2


def test_an_id_may_be_cut_short(lab: dict[str, Any]):
    assert vnf("exec", lab["id"][:-1], "h1", "true").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exec", "LAB", "h9", "ls"], "there is no node h9"),
        (["exec", "nolab", "h1", "ls"], "no lab nolab is running"),
        (["attach", "nolab"], "no lab nolab is running"),
        (["run", "--topo", "minimal", "--name", "LAB"], "is running"),
    ],
)
def test_wrong_names_are_told(lab: dict[str, Any], arguments: list[str], message: str):
    done = vnf(*(lab["id"] if word == "LAB" else word for word in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert "internal error" not in done.stderr


def test_attach_gives_the_shell_and_leaves_the_lab_running(lab: dict[str, Any]):
    done = vnf("attach", lab["id"], input="pingall\nlink h1 s1 down\nlinks\nlink h1 s1 up\nexit\n")
    assert done.returncode == 0, done.stderr
    assert "0% dropped (2/2 received)" in done.stdout
    assert "h1-eth0<->s1-eth1 (DOWN DOWN)" in done.stdout
    assert vnf("exec", lab["id"], "h1", "ping", "-c1", "h2").returncode == 0


def test_attach_cannot_change_the_nodes_of_another_process(lab: dict[str, Any]):
    done = vnf("attach", lab["id"], input="px net.addHost('h3')\n")
    assert done.returncode == 1
    assert "only the process that runs the lab" in done.stderr


def test_clean_leaves_a_living_lab_alone(lab: dict[str, Any]):
    assert vnf("clean").returncode == 0
    assert vnf("exec", lab["id"], "h1", "ping", "-c1", "h2").returncode == 0


def test_a_person_gets_a_shell_in_the_node_and_ctrl_c_stays_there(lab: dict[str, Any]):
    with Terminal([*VNF, "exec", lab["id"], "h1"]) as terminal:
        terminal.wait_for(r"[#$] *$")
        terminal.type("echo $((6*7)); ping h2\r")
        terminal.wait_for("^42")
        terminal.wait_for("icmp_seq=2")
        terminal.type("\x03")
        terminal.wait_for("packets transmitted")
        terminal.type("exit 5\r")
        assert terminal.wait_exit() == 5
        assert terminal.echoes


def test_what_a_command_does_not_read_is_meant_for_the_prompt(lab: dict[str, Any]):
    with Terminal([*VNF, "attach", lab["id"]]) as terminal:
        terminal.wait_for("vnf>")
        terminal.type("h1 echo begun; read line; sleep 0.3; echo got $line\r")
        terminal.wait_for("^begun")
        terminal.type("one\rnodes\rh1 echo two; head -n1; echo th")
        terminal.wait_for("got one")
        terminal.wait_for("available nodes are")
        terminal.type("ree\r")
        terminal.wait_for("^two")
        terminal.type("last\r")
        terminal.wait_for("^last\n(last\n)?three")
        terminal.type("exit\r")
        assert terminal.wait_exit() == 0


def test_ctrl_c_reaches_a_command_whose_output_is_piped(lab: dict[str, Any]):
    command = (
        f"{' '.join(VNF)} exec {lab['id']} h1 ping h2 | cat; echo left with ${{PIPESTATUS[0]}}"
    )
    with Terminal(["bash", "-c", command]) as terminal:
        terminal.wait_for("icmp_seq=1")
        terminal.type("\x03")
        terminal.wait_exit()
        assert "Traceback" not in terminal.text


def test_a_lab_that_ends_under_an_attached_shell_is_told_not_a_crash():
    with (
        running_lab("--topo", "minimal") as lab,
        Terminal([*VNF, "attach", lab["id"]]) as terminal,
    ):
        terminal.wait_for("vnf>")
        terminal.type("h1 echo $((6*7))\r")
        terminal.wait_for("^42")
        terminal.wait_for("vnf>")
        lab["process"].communicate(timeout=30)
        terminal.type("pingall\r")
        assert terminal.wait_exit() == 1
        assert f"vnf: {lab['id']}: the lab has ended" in terminal.text


def test_a_lab_of_another_version_is_listed_and_not_misread():
    with running_lab("--topo", "minimal") as lab:
        file = run_dir() / lab["id"] / "lab.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "of_tomorrow": 1}))
        assert lab["id"] in vnf("ps").stdout
        assert vnf("exec", lab["id"], "h1", "true").returncode == 0
        record["plan"]["of_tomorrow"] = 1
        file.write_text(json.dumps(record))
        done = vnf("attach", lab["id"])
        assert done.returncode == 1
        assert f"vnf: {lab['id']}: the lab was started by another version" in done.stderr


def test_two_labs_live_side_by_side():
    with running_lab("--topo", "minimal") as one, running_lab("--topo", "minimal") as two:
        assert one["id"] != two["id"]
        for lab in (one, two):
            done = vnf("attach", lab["id"], input="pingall\n")
            assert "0% dropped (2/2 received)" in done.stdout
        done = vnf("exec", "minimal-", "h1", "ls")
        assert done.returncode == 2
        assert "write more of the id" in done.stderr


def test_every_mistake_in_a_topology_is_told_before_anything_is_made(tmp_path: Path):
    file = tmp_path / "lab.py"
    file.write_text(
        "from emulator import Topo\n"
        "class Lab(Topo):\n"
        "    def build(self):\n"
        "        self.addHost('h1', ip='10.0.0.300')\n"
        "        self.addVNF('fw', 'nonesuch')\n"
        "        self.addLink('h1', 'h9')\n"
    )
    done = vnf("run", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    for place in ("lab.py:4", "lab.py:5", "lab.py:6"):
        assert place in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("x = 1\n", "has no topology"),
        ("def f(:\n", "lab.py:1: invalid syntax"),
        ("import no_such_module_at_all\n", "lab.py:1: ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_topology_is_told_by_run_and_plan(
    tmp_path: Path, text: str | None, message: str
):
    file = tmp_path / "lab.py"
    if text is not None:
        file.write_text(text)
    for command in ("run", "plan"):
        done = vnf(command, str(file))
        assert done.returncode == 2
        assert message in done.stderr


def test_a_wrong_setting_names_those_there_are():
    done = vnf("plan", "--topo", "linear,4", "--set", "hops=3")
    assert done.returncode == 2
    assert "--set hops" in done.stderr
    assert "k=" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["run", "--topo", "minimal"], ["ps"], ["clean"], ["exec", "x", "h1", "ls"], ["attach", "x"]],
)
def test_without_root_the_machine_is_to_blame(arguments: list[str]):
    done = vnf(*arguments, before=NOT_ROOT)
    assert done.returncode == 3
    assert "root" in done.stderr
    assert "internal error" not in done.stderr
    # The whole command: sudo looks for programs in folders of its own.
    assert f"hint: run sudo {sys.executable} -m emulator {' '.join(arguments)}" in done.stderr


@pytest.mark.parametrize("look", [list_labs, clean, lambda: Network.attach("x")])
def test_records_that_may_not_be_read_are_the_machines_fault(
    lab: dict[str, Any], look: Callable[[], object]
):
    os.seteuid(65534)
    try:
        with pytest.raises(MachineError, match=f"{run_dir()}: the records .* may not be read"):
            look()
    finally:
        os.seteuid(0)
    assert lab["id"] in [record.id for record in list_labs()]


@pytest.mark.parametrize(
    "arguments", [["plan", "--topo", "linear,3"], ["list"], ["list", "forward"], ["--help"]]
)
def test_what_only_tells_needs_no_root(arguments: list[str]):
    done = vnf(*arguments, before=NOT_ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_plan_prints_what_will_run_as_a_table_and_as_json():
    table = vnf("plan", "--topo", "chain", "--set", "length=2").stdout
    for word in ("client-eth0", "10.0.0.1/8", "vnf2-eth1", "forward", "xdp"):
        assert word in table
    plan = json.loads(vnf("plan", "--topo", "chain", "--set", "length=2", "--json").stdout)
    assert [node["name"] for node in plan["nodes"]] == ["client", "server", "vnf1", "vnf2"]


def test_list_tells_parameters_and_counters():
    table = vnf("list").stdout
    for word in ("forward", "drop", "every", "kernel, xdp", "linear"):
        assert word in table
    listed = json.loads(vnf("list", "drop", "--json").stdout)
    assert listed["vnfs"][0]["parameters"]["every"]["default"] == 1
    assert vnf("list", "dorp").returncode == 2


def test_doctor_speaks_to_people_and_programs():
    table = vnf("doctor")
    assert "data plane kernel" in table.stdout
    checks = json.loads(vnf("doctor", "--json").stdout)
    assert {"name", "status", "detail", "reason", "fix"} == set(checks[0])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_stopped_midway_leaves_nothing(signum: int):
    name = f"stopped-{secrets.token_hex(4)}"
    process = subprocess.Popen(
        [*VNF, "run", "--topo", "single,400", "--name", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    deadline_s = time.monotonic() + 60
    while not (run_dir() / name).exists():
        assert time.monotonic() < deadline_s
        assert process.poll() is None
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signum, "")
    assert err.splitlines()[-1].startswith(("vnf: interrupted", "vnf: terminated"))
    assert not (run_dir() / name).exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("line", ["", "h1 echo begun; sleep 600\n", "sh echo begun; sleep 600\n"])
def test_a_script_that_is_stopped_leaves_nothing(signum: int, line: str):
    with running_lab("--topo", "minimal") as lab:
        process = lab["process"]
        if line:
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == "begun\n"
        process.send_signal(signum)
        assert process.wait(timeout=60) == 128 + signum
    assert lab["id"] not in [record.id for record in list_labs()]


GOAL = "loss=10%/trial=50ms/sum=100ms/width=20%"
BENCH = ("bench", "--topo", "chain", "--duration", "300ms", "--goal", GOAL)


@pytest.mark.xdp
@pytest.mark.usefixtures("known_limits")
def test_bench_ends_with_a_table_and_the_folder_of_the_evidence(tmp_path: Path):
    done = vnf(*BENCH, "--vary", "dataplane=none,xdp", "--output", str(tmp_path), "--seed", "1")
    assert done.returncode == 0, done.stderr
    begins = [line.split()[:1] for line in done.stdout.splitlines()]
    assert all([word] in begins for word in ("dataplane", "none", "xdp"))
    bundle = Path(done.stdout.split("Bundle")[1].split()[0])
    picture = Path(done.stdout.split("Picture")[1].split()[0])
    assert bundle.parent == tmp_path
    assert (bundle / "summary.json").is_file()
    assert picture.stat().st_size > 1000
    assert "dataplane=xdp: finished" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "nobody"], "nobody"),
        (["--size", "20"], "64"),
        (["--vary", "dataplane"], "--vary"),
        (["--vary", "planes=xdp"], "planes"),
        (["--set", "dataplane=warp"], "no data plane warp"),
        (["--goal", "loss=7"], "goal loss=7"),
        (["--goal", "fast"], "there is no goal 'fast'"),
        (["--pattern", "waves"], "--pattern"),
        (["sla", "--profile", "nobody"], "no profile nobody"),
        (["sla"], "--profile"),
        (["speed"], "'speed' is nothing that can be measured"),
        (["--repeat", "0"], "--repeat"),
        (["--output", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_bench_tells_what_it_cannot_do_before_it_starts(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main.execute(["bench", "--topo", "chain", *arguments]) in (1, 2)
    said = capsys.readouterr()
    assert message in said.err
    assert "internal error" not in said.err
    assert said.out == ""
