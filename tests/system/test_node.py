"""Commands and processes in a node."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from emulator import LabError, Network, Topo, UsageError

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    with Network(topo) as running:
        yield running


def test_the_shell_remembers_where_it_is_and_what_it_knows(net: Network) -> None:
    h1 = net["h1"]
    h1.cmd("cd /usr; colour=blue; declare -A map; map[k]=v")
    assert h1.cmd("pwd; echo $colour ${map[k]}") == "/usr\nblue v\n"


def test_output_is_exact_and_the_status_is_kept(net: Network) -> None:
    h1 = net["h1"]
    assert h1.cmd("printf 'a\\n\\nb'; printf c >&2") == "a\n\nbc"
    assert h1.exit_status == 0
    h1.cmd("(exit 7)")
    assert h1.exit_status == 7
    assert len(h1.cmd("seq 1 200000").splitlines()) == 200000
    assert h1.cmd("echo", "several", "arguments") == "several arguments\n"


def test_a_command_that_reads_finds_nothing_to_read(net: Network) -> None:
    assert net["h1"].cmd("cat") == ""


def test_jobs_run_in_the_background_and_are_killed_by_number(net: Network) -> None:
    h1 = net["h1"]
    assert h1.cmd("sleep 1000 &") == ""
    assert "Running" in h1.cmd("jobs")
    h1.cmd("kill %1; wait %1")
    assert h1.exit_status == 128 + signal.SIGTERM
    pid = h1.cmd("sleep 1000 & echo $!").strip()
    h1.cmd(f"kill {pid}")
    assert h1.exit_status == 0


def test_a_mistake_in_a_command_does_not_end_the_shell(net: Network) -> None:
    h1 = net["h1"]
    assert "syntax error" in h1.cmd("if then")
    assert h1.cmd("echo on") == "on\n"


def test_exit_ends_the_shell_and_the_next_command_gets_a_new_one(net: Network) -> None:
    h1 = net["h1"]
    h1.cmd("x=1; exit 3")
    assert h1.exit_status == 3
    assert h1.cmd("echo ${x:-gone}") == "gone\n"


def test_a_command_that_never_ends_is_interrupted_when_its_time_is_up(net: Network) -> None:
    h1 = net["h1"]
    with pytest.raises(LabError, match="did not end within"):
        h1.cmd("sleep 1000", timeout_s=0.2)
    with pytest.raises(LabError, match="did not end within"):
        h1.cmd("while :; do sleep 1000; done", timeout_s=0.2)
    assert h1.cmd("echo on") == "on\n"


def test_a_command_that_resists_the_interrupt_is_killed(net: Network) -> None:
    h1 = net["h1"]
    with pytest.raises(LabError):
        h1.cmd("trap '' INT; sleep 1000", timeout_s=0.2)
    assert h1.cmd("echo on") == "on\n"


def test_an_interrupt_from_another_thread_reaches_the_command(net: Network) -> None:
    h1 = net["h1"]
    timer = threading.Timer(0.2, h1.interrupt)
    timer.start()
    h1.cmd("sleep 1000")
    timer.join()
    assert h1.exit_status == 128 + signal.SIGINT


def test_an_interrupt_that_comes_too_late_spoils_no_later_command(net: Network) -> None:
    h1 = net["h1"]
    for number in range(100):
        h1.cmd("true")
        h1.interrupt()
        assert h1.cmd(f"echo {number}; (exit 7)") == f"{number}\n"
        assert h1.exit_status == 7


# Python itself leaves a file to the garbage collector when the Ctrl-C comes between open and with.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_at_any_moment_leaves_the_shell_in_step(net: Network) -> None:
    h1 = net["h1"]
    chance = random.Random(1)
    for number in range(100):
        with contextlib.suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-3))
            for _ in range(1000):
                h1.cmd("true")
        assert h1.cmd(f"echo {number}; (exit 7)") == f"{number}\n"
        assert h1.exit_status == 7


def test_a_shell_that_became_another_program_ends_when_the_time_is_up(net: Network) -> None:
    h1 = net["h1"]
    with pytest.raises(LabError, match="did not end within"):
        h1.cmd("exec sleep 1000", timeout_s=0.2)
    assert h1.cmd("echo on") == "on\n"


def test_threads_share_the_one_shell_of_a_node(net: Network) -> None:
    h1 = net["h1"]
    h1.cmd("exit")
    with ThreadPoolExecutor(8) as threads:
        assert len({*threads.map(h1.cmd, ["echo $$"] * 8)}) == 1


def test_a_job_that_prints_without_end_does_not_hold_up_the_next_command(net: Network) -> None:
    h1 = net["h1"]
    h1.cmd("yes &")
    assert "again" in h1.cmd("echo again", timeout_s=10)
    h1.cmd("kill %1; wait %1")
    assert h1.exit_status == 128 + signal.SIGTERM


def test_a_command_ends_with_an_error_when_its_lab_is_stopped() -> None:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    with Network(topo) as net:
        h1 = net["h1"]
        h1.cmd("true")
        timer = threading.Timer(0.2, net.stop)
        timer.start()
        with pytest.raises(LabError, match="ended while `sleep 1000` ran"):
            h1.cmd("sleep 1000")
        timer.join()


def test_commands_work_where_descriptors_have_high_numbers(net: Network) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert net["h2"].cmd("echo on") == "on\n"
    finally:
        for fd in many:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_popen_gives_a_process_of_the_standard_kind(net: Network) -> None:
    process = net["h1"].popen(
        "ip -br addr", stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    output, _ = process.communicate(timeout=10)
    assert "10.0.0.1/8" in output
    assert process.returncode == 0
    assert net["h1"].popen(["sh", "-c", "exit 4"]).wait() == 4
    assert net["h1"].popen("exit 5", shell=True).wait() == 5
    assert net["h1"].popen("sh", "-c", "exit 6").wait() == 6


def test_popen_of_what_is_not_there_says_so(net: Network) -> None:
    with pytest.raises(UsageError, match="there is no program nonesuch"):
        net["h1"].popen("nonesuch -x")


def test_nodes_see_only_the_processes_of_their_lab(net: Network) -> None:
    pids = [int(pid) for pid in net["h1"].cmd("ls /proc").split() if pid.isdigit()]
    assert 1 in pids
    assert len(pids) < 20


def test_a_node_reads_well(net: Network) -> None:
    assert repr(net["h1"]) == "<host h1: h1-eth0>"
    assert net["h1"].intfNames() == ["h1-eth0"]


def test_processes_get_a_chance_to_finish_when_the_lab_stops(tmp_path: object) -> None:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    mark = f"{tmp_path}/mark"
    with Network(topo) as lab:
        process = lab["h1"].popen(
            ["sh", "-c", f"trap 'echo ended >{mark}; exit' TERM; while :; do sleep 0.01; done"]
        )
        deadline = time.monotonic() + 5
        while "sleep" not in lab["h2"].cmd("ps -A -o comm"):
            assert time.monotonic() < deadline
    assert process.returncode is not None
    with open(mark) as file:
        assert file.read() == "ended\n"
