"""A script that forks while its network runs: the VNFs stay its own, and stay as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.utils import rdpcap

from emulator import LabError, Network, Node, Topo
from tests.system.terminal import ROOT

pytestmark = [pytest.mark.root, pytest.mark.xdp]

DEADLINE_S = 120
PLANES = ["xdp", "afxdp", "packet", "python", pytest.param("dpdk", marks=pytest.mark.dpdk)]


def chain(dataplane: str) -> Topo:
    topo = Topo()
    for host in ("client", "server"):
        topo.addHost(host)
    topo.addVNF("fw", "forward", dataplane=dataplane)
    topo.addLink("client", "fw")
    topo.addLink("fw", "server")
    return topo


@contextmanager
def forked(task: Callable[[], None]) -> Iterator[None]:
    """A forked process that carries out a task and then stays until the block ends."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            task()
            os.write(write, b"1")
            signal.pause()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write)
    try:
        assert os.read(read, 1) == b"1", "the forked process failed"
        yield
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def refused(fw: Node) -> None:
    """Whatever a forked process does with a VNF, it is told how to reach it."""
    for what in (
        fw.counters,
        fw.stats,
        fw.restart,
        lambda: fw.set(source_mac="02:00:00:00:00:77"),
        lambda: fw.failure,
    ):
        with pytest.raises(LabError) as error:
            what()
        assert "Network.attach" in error.value.hint
    fw.stop_vnf()


@pytest.mark.parametrize("dataplane", PLANES)
def test_a_forked_process_leaves_a_vnf_alone(dataplane: str) -> None:
    with Network(chain(dataplane)) as net:
        fw = net["fw"]

        def task() -> None:
            refused(fw)
            net.stop()

        with forked(task):
            assert fw.failure is None
            assert net.pingAll() == 0
            assert fw.parameters
            fw.restart()
            assert net.pingAll() == 0


SCRIPT = """
import os, sys
from emulator import Network
from tests.system.test_forking import chain

with Network(chain(sys.argv[1])) as net:
    kept = net["fw"].vnf
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    print(net["fw"].failure, net.pingAll())
"""


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
def test_a_forked_process_that_ends_as_scripts_do_undoes_nothing(dataplane: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, dataplane], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("None 0.0\n", "")


CHILDREN = """
import multiprocessing, sys, threading, time
from emulator import Network, Topo

def ask(name, answers):
    # The node as the parent has it, in a child that ends like any: with what is done at exit.
    said = net[name].cmd("cd / && hostname -I; pwd").split()
    answers.put((name, *said, NODES[name].popen("true").wait()))

def end(answers):
    try:
        net.addHost("h9")
    except Exception as error:
        answers.put(type(error).__name__)
    net.stop()

class Pair(Topo):
    def build(self):
        self.addSwitch("s1")
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), "s1")

def hold():
    with net._links.lock:
        held.set()
        time.sleep(1000)

context = multiprocessing.get_context("fork")
with Network(Pair()) as net, net.capture("h1", file=sys.argv[1], filter="icmp"):
    NODES = {name: net[name] for name in ("h1", "h2")}
    NODES["h1"].cmd("cd /tmp")
    held = threading.Event()
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    answers = context.Queue()
    children = [context.Process(target=ask, args=(name, answers)) for name in NODES]
    children.append(context.Process(target=end, args=(answers,)))
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
        found.append(child.exitcode)
    print(sorted(map(str, found)))
    print(NODES["h1"].cmd("pwd").strip(), net.ping(count=1).lost_percent)
    net._links.lock = threading.RLock()
"""


def test_children_of_a_script_run_commands_while_another_thread_changes_the_lab(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.pcap"
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )

    children = [("h1", "10.0.0.1", "/", 0), ("h2", "10.0.0.2", "/", 0), 0, 0, 0, "LabError"]
    assert done.stdout == f"{sorted(map(str, children))}\n/tmp 0.0\n"
    assert done.stderr == ""
    # Each frame once, although every child had a copy of what was still to be written.
    assert len(rdpcap(str(file))) == 4


def test_a_forked_process_can_reach_the_vnf_as_any_other_process_does() -> None:
    with Network(chain("packet")) as net:
        name = net.id

        def task() -> None:
            with Network.attach(name) as reached:
                reached["fw"].set(source_mac="02:00:00:00:00:77")

        with forked(task):
            assert net["fw"].parameters["source_mac"] == "02:00:00:00:00:77"
