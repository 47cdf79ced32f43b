"""The shell on a live lab: from a pipe, and under the hands of a person at a terminal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.terminal import ROOT, VNF, Terminal

pytestmark = pytest.mark.root


def run_script(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give lines to the shell of a lab through a pipe."""
    return subprocess.run(
        [*VNF, "run", *(arguments or ("--topo", "minimal"))],
        input=lines,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
    )


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """Keeps the history of the shell out of the home of whoever runs the tests."""
    return {"XDG_STATE_HOME": str(tmp_path)}


@pytest.fixture
def terminal(state: dict[str, str]) -> Iterator[Terminal]:
    """A person in front of the prompt of a lab."""
    with Terminal([*VNF, "run", "--topo", "minimal"], state) as terminal:
        terminal.wait_for("vnf>")
        yield terminal


def test_a_script_reaches_the_nodes_by_name():
    done = run_script("h1 ping -c1 h2\npingall\n# done\n")
    assert done.returncode == 0, done.stderr
    assert "1 packets transmitted, 1 received" in done.stdout
    assert "h1 -> h2\nh2 -> h1\n*** Results: 0% dropped (2/2 received)" in done.stdout
    assert "vnf>" not in done.stdout


def test_the_shell_of_a_node_keeps_its_state():
    done = run_script("h1 cd /tmp; x=5\nh1 pwd; echo $x\nh2 pwd\n")
    assert done.stdout.splitlines() == ["/tmp", "5", str(ROOT)]


def test_a_command_that_fails_is_no_mistake_of_the_script():
    done = run_script("h1 false\nh1 nonesuch\nh1 echo still here\n")
    assert done.returncode == 0
    assert "nonesuch: command not found" in done.stdout
    assert done.stdout.endswith("still here\n")


def test_an_unknown_command_ends_in_exit_code_1_and_the_rest_runs():
    done = run_script("pingal\nh1 echo still here\n")
    assert done.returncode == 1
    assert "*** unknown command: pingal (did you mean pingall?)" in done.stderr
    assert "still here" in done.stdout


def test_the_commands_of_a_node_do_not_eat_the_script():
    done = run_script("h1 cat\nh1 echo next\n")
    assert done.stdout == "next\n"


def test_links_go_down_and_up():
    done = run_script(
        "links\nlink s1 h1 down\nlinks\npingall 0.2\nlink h1 s1 up\nlinks\npingpair\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("h1-eth0<->s1-eth1 (OK OK)") == 2
    assert "h1-eth0<->s1-eth1 (DOWN DOWN)" in done.stdout
    assert "h2-eth0<->s1-eth2 (OK OK)" in done.stdout
    assert "100% dropped (0/2 received)" in done.stdout
    assert done.stdout.count("*** Ping: testing ping reachability\n") == 2
    assert done.stdout.endswith("*** Results: 0% dropped (2/2 received)\n")


def test_a_link_that_is_not_there_is_told():
    done = run_script("link h1 h2 down\n")
    assert done.returncode == 1
    assert "no link between h1 and h2" in done.stderr


def test_python_reaches_the_lab():
    done = run_script(
        "py h1.cmd('hostname -I').split()\npx net.configLinkStatus('h1','s1','down')\nlinks\n"
    )
    assert done.returncode == 0, done.stderr
    assert "['10.0.0.1']" in done.stdout
    assert "DOWN" in done.stdout


def test_nodes_added_by_python_are_nodes_of_the_shell():
    done = run_script(
        "px net.addHost('h3')\npx net.addLink('h3', 's1')\nnodes\nnet\nh3 ping -c1 h1\npingall\n"
    )
    assert done.returncode == 0, done.stderr
    assert "h1 h2 h3 s1" in done.stdout
    assert "h3 h3-eth0:s1-eth3" in done.stdout
    assert "0% dropped (6/6 received)" in done.stdout


def test_a_change_that_cannot_be_is_told_with_all_its_mistakes():
    done = run_script("px net.addLink('h1', 'h9')\nnodes\n")
    assert done.returncode == 1
    assert "*** px: 1 mistake in the topology" in done.stderr
    assert "link h1 - h9: there is no node h9" in done.stderr
    assert "h1 h2 s1" in done.stdout


@pytest.mark.xdp
def test_counters_count_what_went_through_a_vnf():
    done = run_script("client ping -c3 -i 0.01 server\ncounters\ndump\n", "--topo", "chain")
    assert done.returncode == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines() if "vnf" in line][:3]
    assert head[:3] == ["vnf", "port", "rx_packets"]
    assert [row[:2] for row in rows] == [["vnf1", "vnf1-eth0"], ["vnf1", "vnf1-eth1"]]
    assert all(int(row[2]) >= 3 for row in rows)
    assert "<VNF vnf1: forward(" in done.stdout
    assert ") on xdp vnf1-eth0" in done.stdout


def test_iperf_gives_a_rate_at_each_end():
    done = run_script("iperf h1 h2 1\n")
    assert done.returncode == 0, done.stderr
    assert "testing TCP bandwidth between h1 and h2" in done.stdout
    assert done.stdout.splitlines()[-1].count("bits/sec'") == 2


def test_a_reader_of_the_output_that_goes_away_ends_the_lab_silently():
    shell = f"echo 'h1 yes' | {' '.join(VNF)} run --topo minimal 2>errors | head -1; cat errors"
    done = subprocess.run(
        ["bash", "-c", f"cd {ROOT}; d=$(mktemp -d); {shell.replace('errors', '$d/e')}; rm -r $d"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "y"
    assert len(lines) == 2
    assert "is up" in lines[1]


def test_ctrl_c_reaches_the_process_in_the_node_and_the_lab_lives_on(terminal: Terminal):
    terminal.type("h1 ping h2\r")
    terminal.wait_for("icmp_seq=2")
    terminal.type("\x03")
    terminal.wait_for(r"[2-9] packets transmitted")
    terminal.wait_for("vnf>")
    terminal.type("pingall\r")
    terminal.wait_for("0% dropped")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0
    assert terminal.echoes


def test_a_lab_that_grows_leaves_the_prompt_alone(terminal: Terminal):
    terminal.type("px net.addHost('h3')\r")
    terminal.wait_for("vnf>")
    start = len(terminal.text)
    # Longer than the bar of a slow start waits before it shows, and redraws ten times a second.
    terminal.type("h1 sleep 0.6; echo slept\r")
    # A prompt may have been drawn twice: what is typed before this goes to the command.
    terminal.wait_for("^slept")
    terminal.wait_for("vnf>")
    terminal.type("nodes\r")
    terminal.wait_for("h1 h2 h3 s1")
    assert "━" not in terminal.text[start:]
    assert "0/0" not in terminal.text


def test_ctrl_c_at_the_prompt_clears_the_line(terminal: Terminal):
    terminal.type("h1 touch /nonsense")
    terminal.wait_for("nonsense")
    terminal.type("\x03")
    terminal.wait_for("vnf>")
    terminal.type("nodes\r")
    terminal.wait_for("h1 h2 s1")
    assert not Path("/nonsense").exists()
    terminal.type("exit\r")
    assert terminal.wait_exit() == 0


def test_ctrl_c_ends_a_command_of_the_shell_and_not_the_shell(terminal: Terminal):
    terminal.type("py print('begun', flush=True) or __import__('time').sleep(600)\r")
    terminal.wait_for("^begun")
    terminal.type("\x03")
    terminal.wait_for(r"\*\*\* Interrupted")
    terminal.wait_for("vnf>")
    terminal.type("quit\r")
    assert terminal.wait_exit() == 0


# A shell may lose an interrupt that arrives while it starts the next program of its line, so these
# commands are one program each, and have shown that they run.
def test_ctrl_c_ends_a_command_on_this_machine_and_not_the_lab(terminal: Terminal):
    terminal.type("sh exec ping 127.0.0.1\r")
    terminal.wait_for("icmp_seq=1")
    terminal.type("\x03")
    terminal.wait_for("packets transmitted")
    terminal.wait_for("vnf>")
    terminal.type("h1 echo $((6*7))\r")
    terminal.wait_for("^42")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0


def test_an_interrupt_sent_as_a_signal_reaches_the_node_too(terminal: Terminal):
    terminal.type("h1 ping h2\r")
    terminal.wait_for("icmp_seq=1")
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("packets transmitted")
    terminal.wait_for("vnf>")
    terminal.type("h1 echo $((6*7))\r")
    terminal.wait_for("^42")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0


def test_a_program_in_a_node_has_the_keys(terminal: Terminal):
    terminal.type("h1 read -p 'name? ' x; echo hello $x\r")
    terminal.wait_for(r"^name\? ")
    terminal.type("ada\r")
    terminal.wait_for("^hello ada")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0


def test_the_tab_key_completes_names(terminal: Terminal):
    terminal.type("link h1 \tdo\t")
    terminal.wait_for("link h1 s1")
    terminal.type("\x03")
    terminal.wait_for("vnf>")
    terminal.type("pinga\t\r")
    terminal.wait_for("0% dropped")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0


def test_lines_pasted_together_are_carried_out_one_by_one(terminal: Terminal):
    terminal.type("\x1b[200~h1 echo $((6*7))\nh2 echo $((7*7))\x1b[201~\r")
    terminal.wait_for("^42")
    terminal.wait_for("^49")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0


def test_lines_typed_are_there_in_the_next_lab(terminal: Terminal, state: dict[str, str]):
    terminal.type("h1 echo remember $((6*7))\r")
    terminal.wait_for("^remember 42")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    assert terminal.wait_exit() == 0
    with Terminal([*VNF, "run", "--topo", "minimal"], state) as later:
        later.wait_for("vnf>")
        later.type("\x1b[A\r")
        later.wait_for("^remember 42")
        later.wait_for("vnf>")
        later.type("\x04")
        assert later.wait_exit() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("line", ["", "h1 echo begun; sleep 600\r", "sh echo begun; sleep 600\r"])
def test_a_request_to_end_is_followed_at_once(terminal: Terminal, signum: int, line: str):
    terminal.type(line)
    if line:
        terminal.wait_for("^begun")
    terminal.process.send_signal(signum)
    assert terminal.wait_exit() == 128 + signum
    assert f"vnf: terminated by {signal.Signals(signum).name}" in terminal.text
    assert terminal.echoes


def test_a_process_in_the_background_ends_with_the_lab(terminal: Terminal):
    terminal.type("h1 sleep 600 & echo pid $!\r")
    terminal.wait_for(r"pid \d+")
    terminal.wait_for("vnf>")
    terminal.type("\x04")
    # The check for leaks after each test looks for the process.
    assert terminal.wait_exit() == 0


def test_a_terminal_that_is_closed_ends_the_lab(state: dict[str, str]):
    with Terminal([*VNF, "run", "--topo", "minimal"], state) as terminal:
        terminal.wait_for("vnf>")
        terminal.hang_up()
        assert terminal.process.wait(timeout=30) == 128 + signal.SIGHUP
