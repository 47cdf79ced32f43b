"""One terminal reaching what another started, and what is left when a lab dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator import LabError, Network, Topo, UsageError, clean, list_labs
from emulator.kernel.bpf import all_ids
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import End, Rtnl, link_states
from emulator.labs import LabFolder, LabRecord, find_lab, record_written_ns
from emulator.paths import run_dir
from emulator.topofile import builtin_topology
from tests.system.waiting import until

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import sys
from emulator import Network
from emulator.topofile import builtin_topology

net = Network(builtin_topology(sys.argv[1], {}), name=sys.argv[2]).start()
net["h1" if "h1" in net else "client"].popen(["sleep", "4711"])
net.nodes[0].cmd("sleep 4712 &")
print("up", flush=True)
sys.stdin.read()
"""

GUEST = """
import sys
from emulator import Network

net = Network.attach(sys.argv[1])
net["h1"].cmd("sleep 4713 &")
net["h2"].popen(["sleep", "4714"])
print("in", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def owner(topology: str, name: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, topology, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()
        clean()


def commands() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
            except OSError:  # it ended while we looked
                continue
    return found


def bpf_programs_of(lab: str) -> set[int]:
    vnfs = find_lab(lab).vnfs.values()
    return {number for vnf in vnfs for kind, number in vnf["bpf"] if kind == "program"}


@contextlib.contextmanager
def tell_tales(lab: str) -> Iterator[Netns]:
    """A namespace with one interface for each namespace of a lab, gone when that is gone.

    The far end of each lies in the lab. A veth vanishes with its peer, and the peer with its
    namespace, so nothing but the kernel's own clean-up of the lab can empty this one.
    """
    with Netns.create() as watcher, Rtnl.inside(watcher) as rtnl:
        for index, path in enumerate(sorted(netns_paths(lab)), start=10):
            with Netns.from_path(path) as inside:
                near = End(f"tell{index}", index, watcher, f"02:0a:00:00:00:{index:02x}")
                far = End("tale", 900 + index, inside, f"02:0b:00:00:00:{index:02x}")
                rtnl.add_veth(near, far, where="tale")
                rtnl.commit()
        yield watcher


def netns_paths(lab: str) -> set[str]:
    record = find_lab(lab)
    return {record.netns_path(node) for node in record.node_names}


@pytest.mark.xdp
def test_a_killed_emulator_leaves_nothing_behind() -> None:
    with owner("chain", "doomed") as process, tell_tales("doomed") as watcher:
        assert "sleep 4711" in commands()
        assert "sleep 4712" in commands()
        assert len(link_states(watcher)) == 1 + len(netns_paths("doomed"))
        init_pid = find_lab("doomed").init_pid
        ours = bpf_programs_of("doomed")
        assert ours <= all_ids("program")
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not {"sleep 4711", "sleep 4712"} & commands())
        until(lambda: not Path(f"/proc/{init_pid}").exists())
        until(lambda: not all_ids("program") & ours)
        until(lambda: set(link_states(watcher)) == {"lo"})
        assert "doomed" not in [lab.id for lab in list_labs()]
        clean()
        assert not (run_dir() / "doomed").exists()


def test_a_dead_lab_is_reaped_by_the_next_start_and_a_living_one_is_not() -> None:
    with owner("minimal", "dying") as process, owner("minimal", "living"):
        process.kill()
        process.wait()
        with Network(_pair()):
            assert not (run_dir() / "dying").exists()
        assert "living" in [lab.id for lab in list_labs()]
        assert "living" not in clean()


def test_another_process_reaches_a_running_lab() -> None:
    with owner("minimal", "reached"):
        record = find_lab("reac")
        assert record.id == "reached"
        assert set(record.node_names) == {"h1", "h2", "s1"}
        net = Network.attach("reached")
        assert net.pingAll() == 0
        assert "10.0.0.1/8" in net["h1"].cmd("ip -br addr")
        assert "sleep 4711" in net["h2"].cmd("ps -A -o args")
        net.configLinkStatus("h1", "s1", "down")
        assert net.ping(timeout_s=0.2).replies == 0
        net.configLinkStatus("h1", "s1", "up")
        with pytest.raises(LabError, match="only the process that runs the lab"):
            net.addHost("h3")
        net.stop()
        again = Network.attach("reached")
        assert again.pingAll() == 0
        again.stop()


def test_an_attached_shell_follows_what_the_owner_changes() -> None:
    command = [sys.executable, "-m", "emulator", "attach", "followed"]
    with Network(_pair(), name="followed") as net:
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as shell:
            typed, printed = shell.stdin, shell.stdout
            assert typed is not None
            assert printed is not None

            def said(line: str) -> str:
                typed.write(f"{line}\npy 'so much'\n")
                typed.flush()
                told = []
                while (answer := printed.readline()) not in ("so much\n", ""):
                    told.append(answer)
                return "".join(told)

            assert said("py h1.IP()") == "10.0.0.1\n"
            net["h1"].setIP("10.1.2.3")
            assert said("py h1.IP()") == "10.1.2.3\n"
            assert "PING 10.1.2.3" in said("h2 ping -c1 -W10 h1")
            with net.change() as topo:
                topo.addLink(topo.addHost("h9"), "h1")
                topo.removeNode("h2")
            assert said("py sorted(node.name for node in net.nodes)") == "['h1', 'h9']\n"
            first = said("h9 readlink /proc/self/ns/net")
            net.delNode("h9")
            net.addHost("h9", cpu=0.5)
            assert first != said("h9 readlink /proc/self/ns/net")
            assert "vnf-lab-followed/node.h9" in said("h9 cat /proc/self/cgroup")
            typed.close()
            assert shell.wait() == 0


def test_an_attached_process_keeps_nothing_of_nodes_that_have_gone() -> None:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), delay="1ms")
    with Network(topo) as net, Network.attach(net.id) as attached:
        lab = attached._running()

        def look() -> int:
            net.addHost("h9")
            lab.follow_links()
            assert attached["h9"].cmd("echo here").strip() == "here"
            net.delNode("h9")
            lab.follow_links()
            assert "h9" not in attached
            attached["h1"].far_end("h1-eth0")
            return len(os.listdir("/proc/self/fd"))

        first = look()
        assert [look(), look()] == [first, first]


@pytest.mark.xdp
def test_another_lab_of_the_same_name_is_not_taken_for_the_one_that_has_ended() -> None:
    topo = Topo()
    topo.addHost("h1")
    with Network(topo, name="namesake"):
        attached = Network.attach("namesake")
    try:
        with Network(topo, name="namesake"), pytest.raises(LabError, match="the lab has ended"):
            _ = attached.chains
    finally:
        attached.stop()


def test_no_two_records_of_a_lab_have_the_same_time() -> None:
    folder = LabFolder()
    try:
        folder.create("records")
        record = LabRecord(folder.id, "records", os.getpid(), 0.0)
        times = set()
        for _ in range(50):
            folder.write(record)
            times.add(record_written_ns(folder.id))
        assert len(times) == 50
    finally:
        folder.close()


def test_counters_of_a_vnf_are_read_from_another_process() -> None:
    with owner("chain", "counted"):
        net = Network.attach("counted")
        try:
            before = net["vnf1"].counters()
            assert net.ping(["client", "server"]).lost_percent == 0
            after = net["vnf1"].counters()
            assert all(after[port].rx_packets > before[port].rx_packets for port in before)
        finally:
            net.stop()


def test_a_lab_ends_at_once_while_somebody_holds_on_to_its_nodes() -> None:
    with Network(builtin_topology("minimal", {})) as net:
        held = [Netns.from_path(path) for path in netns_paths(net.id)]
        net.stop()
        try:
            left = {name for netns in held for name in link_states(netns)}
            assert left <= {"lo", "s1"}
        finally:
            for netns in held:
                netns.close()


def test_a_lab_in_the_making_is_not_taken_for_a_dead_one() -> None:
    over = threading.Event()

    def reap() -> list[str]:
        reaped = []
        while not over.is_set():
            reaped += clean()
        return reaped

    with ThreadPoolExecutor() as threads:
        reaping = [threads.submit(reap) for _ in range(2)]
        try:
            for _ in range(300):
                folder = LabFolder()
                folder.create("making")
                folder.close()
        finally:
            over.set()
        assert not [lab for each in reaping for lab in each.result() if lab.startswith("making")]


def test_a_lab_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(UsageError, match="no lab nowhere is running"):
        Network.attach("nowhere")
    with owner("minimal", "twin-a"), owner("minimal", "twin-b"):
        with pytest.raises(UsageError, match="twin-a, twin-b"):
            find_lab("twin")
        with pytest.raises(UsageError, match="a lab named twin-a is running"):
            Network(_pair(), name="twin-a").start()


@pytest.mark.parametrize("name", ["../../escape", "", "a b", "-x"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a lab cannot be named"):
        Network(_pair(), name=name).start()


def test_a_lab_ends_while_another_process_is_attached_to_it() -> None:
    with Network(_pair(), name="left") as net:
        attached = subprocess.Popen(
            [sys.executable, "-c", GUEST, "left"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            assert attached.stdout is not None
            assert attached.stdout.readline() == "in\n"
            init_pid = find_lab("left").init_pid
            net.stop()
            until(lambda: not _state(init_pid))
        finally:
            attached.kill()
            attached.communicate()


def test_the_first_process_of_a_lab_may_die_and_the_emulator_says_so() -> None:
    with Network(_pair(), name="beheaded") as net:
        init_pid = find_lab("beheaded").init_pid
        os.kill(init_pid, signal.SIGKILL)
        until(lambda: _state(init_pid) in ("Z", ""))
        with pytest.raises(LabError, match="ended"):
            net["h1"].popen("true")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _pair() -> Topo:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    return topo


def test_a_forked_process_leaves_the_lab_to_its_owner() -> None:
    with Network(_pair()) as net:
        net["h1"].cmd("true")
        child = os.fork()
        if child == 0:
            good = False
            try:
                good = net["h1"].cmd("echo there") == "there\n"
                net.stop()
            finally:
                os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert net["h1"].cmd("echo on") == "on\n"
        assert net.pingAll() == 0
        assert net.id in {lab.id for lab in list_labs()}


def test_a_forked_process_does_not_hold_up_the_end_of_the_lab() -> None:
    with Network(_pair()) as net:
        net["h1"].cmd("true")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, b"1")
            time.sleep(1000)
        try:
            assert os.read(read, 1) == b"1"
            held = {os.readlink(fd) for fd in Path(f"/proc/{child}/fd").iterdir()}
            inside = {os.readlink(path) for path in netns_paths(net.id)}
            assert inside
            assert not held & inside
        finally:
            os.close(read)
            os.close(write)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_folder_whose_making_is_interrupted_is_gone_and_nobody_elses() -> None:
    taken = LabFolder()
    taken.create("taken", "taken-already")
    try:
        other = LabFolder()
        with pytest.raises(UsageError, match="a lab named taken-already is running"):
            other.create("taken", "taken-already")
        other.close()
        assert taken.path.is_dir()
    finally:
        taken.close()
    assert not taken.path.exists()
