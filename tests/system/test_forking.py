"""A script that forks while its network runs: the VNFs stay its own, and stay as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from emulator import LabError, Network, Node, Topo
from tests.system.terminal import ROOT

pytestmark = [pytest.mark.root, pytest.mark.xdp]

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


def test_a_forked_process_can_reach_the_vnf_as_any_other_process_does() -> None:
    with Network(chain("packet")) as net:
        name = net.id

        def task() -> None:
            with Network.attach(name) as reached:
                reached["fw"].set(source_mac="02:00:00:00:00:77")

        with forked(task):
            assert net["fw"].parameters["source_mac"] == "02:00:00:00:00:77"
