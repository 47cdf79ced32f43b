"""What is left when an emulator, a container, a daemon or a start ends before its time: nothing."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from emulator import BuildVnfError, Network, Topo
from emulator.labs import clean as clean_folders
from emulator.labs import list_labs
from emulator.paths import run_dir
from emulator.runtime.containers import clean
from emulator.runtime.daemon import start_daemon, stop_daemon
from emulator.runtime.daemon_places import FOLDER_VARIABLE, find_processes, private_places
from emulator.runtime.engine import LAB_LABEL, client_of
from tests.system.docker_images import BUSYBOX, import_busybox
from tests.system.terminal import ROOT, VNF
from tests.system.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.docker]

DEADLINE_S = 20.0

OWNER = """
import os, sys
from emulator import Network
from tests.system.test_container_crashes import several

def progress(stage, done, total):
    print(stage, done, flush=True)

net = Network(several(), name=sys.argv[1], progress=progress).start()
net["d1"].popen(["sleep", "5711"])
net["fw"].cmd("read x < /dev/zero &")
if len(sys.argv) > 2 and os.fork() == 0:
    print("forked", os.getpid(), flush=True)
    os.close(0)
    while True:
        os.sched_yield() or __import__("time").sleep(1)
print("up", flush=True)
sys.stdin.read()
"""


def lab_id(name: str) -> str:
    """A name that no other run of these tests uses at the same time."""
    return f"{name}-{os.getpid():x}"


def several() -> Topo:
    """Four hosts in containers, one of them with an app, and a VNF in one between two of them."""
    topo = Topo()
    topo.addSwitch("s1")
    topo.addVNF("fw", "forward", dataplane="packet", runtime="docker")
    for number in range(1, 5):
        topo.addDocker(f"d{number}", BUSYBOX)
    topo.addAppContainer("app", "d1", BUSYBOX, command=["sleep", "5712"])
    for number in range(1, 4):
        topo.addLink(f"d{number}", "s1")
    topo.addLink("s1", "fw")
    topo.addLink("fw", "d4")
    return topo


@pytest.fixture(scope="module", autouse=True)
def images(docker_daemon: str) -> None:
    import_busybox(docker_daemon)


@contextmanager
def docker(url: str = "") -> Iterator[DockerClient]:
    with closing(client_of(url or os.environ["DOCKER_HOST"])) as client:
        yield client


def containers_of(lab: str, url: str = "") -> list[str]:
    with docker(url) as client:
        found = client.containers.list(
            all=True, filters={"label": f"{LAB_LABEL}={lab}"}, sparse=True
        )
        return [container.attrs["Names"][0] for container in found]


def failure_of(net: Network, name: str) -> str:
    failure = net[name].failure
    assert failure is not None
    return failure


def is_well(net: Network, name: str) -> bool:
    return net[name].failure is None and net[name].status == "running"


def commands() -> set[str]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
    return found


def owner(lab: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, lab, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdout is not None
    seen: list[str] = []
    while not seen or seen[-1] != line:
        seen.append(process.stdout.readline().strip())
        assert seen[-1], f"it has ended after {seen}"
    return seen


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    # Not read to their ends: what it has started in containers may have them open.
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


# -- the emulator ----------------------------------------------------------------------------------


def test_the_containers_of_a_killed_emulator_end_by_themselves() -> None:
    process = owner(lab_id("doomed"))
    try:
        read_until(process, "up")
        assert len(containers_of(lab_id("doomed"))) == 6
        assert {"sleep 5711", "sleep 5712"} <= commands()
    finally:
        end(process)
    until(lambda: not containers_of(lab_id("doomed")))
    assert not {"sleep 5711", "sleep 5712"} & commands()
    assert clean() == []
    assert clean_folders() == [lab_id("doomed")]


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.1])
@pytest.mark.parametrize(
    "moment",
    ["containers 0", "containers 1", "containers 4", "app containers 0", "VNFs 0", "programs 0"],
)
def test_an_emulator_may_be_killed_at_any_moment_of_its_start(moment: str, delay_s: float) -> None:
    process = owner(lab_id("early"))
    try:
        read_until(process, moment)
        time.sleep(delay_s)
    finally:
        end(process)

    def nothing_left() -> bool:
        # What it had asked the daemon for may come only now.
        clean()
        return not containers_of(lab_id("early"))

    until(nothing_left)
    clean_folders()
    assert not (run_dir() / lab_id("early")).exists()
    with Network(several(), name=lab_id("early")) as net:
        assert net.pingAll() == 0


def test_vnf_clean_removes_what_a_dead_lab_left_and_nothing_else() -> None:
    with Network(several(), name=lab_id("living")) as net:
        process = owner(lab_id("dead"))
        try:
            read_until(process, "up")
            # So that they do not notice.
            with docker() as client:
                for name in containers_of(lab_id("dead")):
                    state = client.containers.get(name.lstrip("/")).attrs["State"]
                    os.kill(state["Pid"], signal.SIGSTOP)
        finally:
            end(process)
        with docker() as client:
            foreign = client.containers.create(BUSYBOX, network_mode="none", labels={"a": "b"})
        try:
            assert len(containers_of(lab_id("dead"))) == 6
            said = subprocess.run(
                [*VNF, "clean"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            assert f"removed what lab {lab_id('dead')} left behind" in said.stdout
            assert lab_id("living") not in said.stdout
            assert containers_of(lab_id("dead")) == []
            assert len(containers_of(lab_id("living"))) == 6
            with docker() as client:
                assert client.containers.get(str(foreign.id)).status == "created"
        finally:
            with docker() as client:
                client.containers.get(str(foreign.id)).remove()
        assert net.pingAll() == 0
        said = subprocess.run([*VNF, "clean"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert lab_id("dead") not in said.stdout


@pytest.mark.parametrize("host", ["unix:///tmp/there-is-none", "tcp://192.0.2.1:2375"])
def test_vnf_clean_does_without_a_daemon(host: str) -> None:
    done = subprocess.run(
        [*VNF, "clean"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_HOST": host},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_process_keeps_no_container_alive() -> None:
    process = owner(lab_id("forking"), "fork")
    child = 0
    try:
        seen = read_until(process, "up")
        if not any(line.startswith("forked") for line in seen):
            assert process.stdout is not None
            seen.append(process.stdout.readline().strip())
        child = int(next(line for line in seen if line.startswith("forked")).split()[1])
    finally:
        end(process)
    try:
        until(lambda: not containers_of(lab_id("forking")))
        assert Path(f"/proc/{child}").exists()
    finally:
        os.kill(child, signal.SIGKILL)
    clean_folders()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_emulator_that_is_asked_to_end_takes_all_with_it(number: signal.Signals) -> None:
    script = OWNER.replace("import os, sys", "import os, sys, signal", 1)
    script = script.replace(
        "net = Network", f"signal.signal({number.value}, lambda *_: sys.exit(0))\nnet = Network", 1
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, lab_id("asked")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        read_until(process, "up")
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, errors) == (0, "")
        assert containers_of(lab_id("asked")) == []
        assert not (run_dir() / lab_id("asked")).exists()
    finally:
        end(process)


# An interrupt between the opening of a file and the block that closes it leaves that to the
# collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("delay_s", [0.01, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8])
@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_during_the_start_leaves_nothing(delay_s: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, delay_s)
    try:
        with suppress(KeyboardInterrupt), Network(several(), name=lab_id("halted")):
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert containers_of(lab_id("halted")) == []
    assert not (run_dir() / lab_id("halted")).exists()


@pytest.mark.usefixtures("alarm_as_ctrl_c")
def test_ctrl_c_ends_the_wait_for_health() -> None:
    topo = Topo()
    topo.addDocker("d1", BUSYBOX, healthcheck=["CMD-SHELL", "sleep 1000 | cat"], healthy_within=300)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Network(topo, name=lab_id("ill")).start()
    assert time.monotonic() - began < DEADLINE_S
    assert containers_of(lab_id("ill")) == []
    assert "sleep 1000" not in commands()


# -- a container -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["docker kill", "docker stop", "kill -9", "rm -f"])
@pytest.mark.parametrize("name", ["d2", "fw"])
def test_a_container_that_is_ended_is_told_and_comes_back_with_its_links(
    how: str, name: str
) -> None:
    with Network(several()) as net:
        node = net[name]
        assert node.container is not None
        assert net.pingAll() == 0
        if how == "kill -9":
            os.kill(node.container.pid, signal.SIGKILL)
        else:
            with docker() as client:
                handle = client.containers.get(node.container.id)
                if how == "docker kill":
                    handle.kill()
                elif how == "docker stop":
                    handle.stop(timeout=3)
                else:
                    handle.remove(force=True)
        until(lambda: node.failure is not None)
        assert "its container has ended" in failure_of(net, name)
        assert node.status == "failed"
        (record,) = [lab for lab in list_labs() if lab.id == net.id]
        until(lambda: name in record.failed_nodes)
        with pytest.raises(BuildVnfError, match="the container has ended"):
            node.cmd("echo on")
        assert [other.failure for other in net.nodes if other.name != name] == [None] * 6
        assert net.ping([net["d1"], net["d3"]]).lost_percent == 0
        node.restart()
        assert is_well(net, name)
        assert net.pingAll() == 0
        assert node.cmd("echo on") == "on\n"


def test_an_app_container_comes_back_with_its_host() -> None:
    with Network(several()) as net:
        assert net["d1"].container is not None
        os.kill(net["d1"].container.pid, signal.SIGKILL)
        until(lambda: net["d1"].failure is not None)
        net["d1"].restart()
        assert is_well(net, "app")
        assert "d1-eth0" in net["app"].cmd("ip addr")
        assert net.pingAll() == 0
        assert net["app"].container is not None
        os.kill(net["app"].container.pid, signal.SIGKILL)
        until(lambda: net["app"].failure is not None)
        net["app"].restart()
        assert is_well(net, "app")
        assert "d1-eth0" in net["app"].cmd("ip addr")
        assert net.pingAll() == 0


def test_a_container_may_end_under_a_process_and_a_command() -> None:
    topo = Topo()
    topo.addDocker("d1", BUSYBOX)
    with Network(topo) as net:
        node = net["d1"]
        assert node.container is not None
        process = node.popen(["sleep", "1000"], stdout=subprocess.PIPE)
        timer = threading.Timer(0.2, os.kill, [node.container.pid, signal.SIGKILL])
        timer.start()
        with suppress(BuildVnfError):
            node.cmd("sleep 1000")
        timer.join()
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
        process.communicate()
        with pytest.raises(BuildVnfError, match="the container has ended") as caught:
            node.popen(["true"])
        assert caught.value.where == "d1"


# -- the daemon ------------------------------------------------------------------------------------


left_open_by_the_sdk = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""Docker's SDK forgets a socket whose daemon refuses it."""


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A private daemon of the test's own, which it may end as it likes."""
    # Not pytest's own folder: paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="vnf-test-", dir="/tmp")
    monkeypatch.setenv(FOLDER_VARIABLE, folder)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    url = start_daemon().url
    try:
        import_busybox(url)
        yield url
    finally:
        gc.collect()
        stop_daemon(force=True, purge=True)
        shutil.rmtree(folder)


def kill_daemon() -> None:
    (daemon,) = (each for each in find_processes(private_places()) if each.role == "dockerd")
    os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{daemon.pid}").exists())


@left_open_by_the_sdk
def test_a_lab_outlives_its_daemon_and_ends_without_it(mortal: str) -> None:
    with Network(several(), name=lab_id("orphaned")) as net:
        kill_daemon()
        assert net.pingAll() == 0
        assert net["d1"].cmd("echo on") == "on\n"
        assert [node.failure for node in net.nodes] == [None] * 7
        net["fw"].restart()
        assert net.pingAll() == 0
        with pytest.raises(BuildVnfError, match="Docker"):
            net["d2"].restart()
        assert failure_of(net, "d2")
        assert net.ping([net["d1"], net["d3"]]).lost_percent == 0
        began = time.monotonic()
        net.stop()
        assert time.monotonic() - began < DEADLINE_S
    assert not {"sleep 5712"} & commands()
    assert not (run_dir() / lab_id("orphaned")).exists()
    url = start_daemon().url
    until(lambda: not containers_of(lab_id("orphaned"), url))


@left_open_by_the_sdk
def test_a_lab_goes_on_with_a_daemon_that_has_been_started_anew(mortal: str) -> None:
    with Network(several(), name=lab_id("again")) as net:
        kill_daemon()
        with pytest.raises(BuildVnfError, match="Docker"):
            net["d2"].restart()
        start_daemon()
        # It has ended the containers that it found: they are to go when they end.
        assert failure_of(net, "app")
        with pytest.raises(BuildVnfError, match="the container of its host d1 does not run"):
            net["app"].restart()
        for node in net.nodes:
            if node.failure is not None and node.name != "app":
                node.restart()
        assert [node.failure for node in net.nodes] == [None] * 7
        assert net.pingAll() == 0
    until(lambda: not containers_of(lab_id("again"), mortal))


@left_open_by_the_sdk
def test_a_daemon_that_dies_during_the_start_is_told(mortal: str) -> None:
    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("containers", 1):
            kill_daemon()

    with pytest.raises(BuildVnfError, match="Docker engine does not answer"):
        Network(several(), name=lab_id("halfway"), progress=progress).start()
    assert not (run_dir() / lab_id("halfway")).exists()
    url = start_daemon().url
    until(lambda: not (clean() and containers_of(lab_id("halfway"), url)))
    until(lambda: not containers_of(lab_id("halfway"), url))


# -- what cannot be had ----------------------------------------------------------------------------


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def foreign_container() -> Iterator[None]:
    with docker() as client:
        taken = client.containers.create(
            BUSYBOX, name=f"{lab_id('broken')}.bad", network_mode="none"
        )
    try:
        yield
    finally:
        with docker() as client:
            client.containers.get(str(taken.id)).remove()


@contextmanager
def port_taken() -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 47811)):
        yield


@contextmanager
def no_daemon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///tmp/there-is-none")
        yield


@contextmanager
def no_image() -> Iterator[None]:
    with docker() as client:
        with suppress(Exception):
            client.api.remove_image("test/missing:1")
        yield
        client.api.tag(BUSYBOX, "test/missing", "1")


def program(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


# Options of a node, what brings the trouble about, and what is said. Where it goes with its cause,
# a restart brings the node back.
MENDED = [
    pytest.param(
        {"image": "test/missing:1"}, no_image, r"image test/missing:1|test/missing", id="image"
    ),
    pytest.param({}, foreign_container, r"broken-\w+\.bad is there already", id="name"),
    pytest.param({}, no_daemon, "no Docker daemon answers", id="daemon"),
]
BROKEN = [
    pytest.param(
        program("echo some words; echo and more >&2; exit 3"),
        r"its program has ended with exit code 3; its last lines:\n    some words\n    and more",
        id="ends at once",
    ),
    pytest.param(
        {"command": ["/no/program"]},
        r"its program cannot be started: /no/program: No such file",
        id="no program",
    ),
    pytest.param(
        {"command": ["/etc/passwd"], "entrypoint": ["/tmp"]},
        r"its program cannot be started: /tmp: Permission denied",
        id="no program either",
    ),
    pytest.param(
        {**program("echo I am ill; sleep 1000"), "healthcheck": "echo sick; exit 1",
         "healthy_within": 0.5},
        r"its program is not healthy within 0.5 s; its health check says: sick; its last lines:"
        r"\n    I am ill",
        id="not healthy",
    ),
    pytest.param(
        {**program("sleep 0.3; echo off; exit 4"), "healthcheck": "exit 1", "healthy_within": 30},
        r"its program has ended with exit code 4; its last lines:\n    off",
        id="ends before it is healthy",
    ),
    pytest.param({"devices": ["/dev/nonexistent"]}, r"/dev/nonexistent", id="device"),
    pytest.param({"sysctls": {"net.ipv4.nothing": "1"}}, r"ipv4.nothing", id="sysctl"),
    pytest.param({"user": "nobody-of-that-name"}, r"nobody-of-that-name", id="user"),
    pytest.param({"workdir": "/etc/passwd"}, r"/etc/passwd|not a directory", id="directory"),
]  # fmt: skip


def broken(options: dict[str, Any]) -> Topo:
    topo = Topo()
    topo.addHost("h1")
    topo.addDocker("d1", BUSYBOX)
    topo.addDocker("bad", **{"image": BUSYBOX, **options})
    topo.addSwitch("s1")
    for name in ("h1", "d1", "bad"):
        topo.addLink(name, "s1")
    return topo


@pytest.mark.parametrize(("options", "said"), BROKEN)
def test_a_node_that_does_not_start_ends_the_lab(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BuildVnfError, match=said) as caught:
        Network(broken(options), name=lab_id("broken")).start()
    assert caught.value.where == "bad"
    assert containers_of(lab_id("broken")) == []
    assert not (run_dir() / lab_id("broken")).exists()


@pytest.mark.parametrize(("options", "said"), BROKEN)
def test_a_lab_that_is_kept_goes_on_without_it(options: dict[str, Any], said: str) -> None:
    with Network(broken(options), name=lab_id("broken"), on_failure="keep") as net:
        assert_matches(said, failure_of(net, "bad"))
        assert net["bad"].status == "failed"
        assert net["h1"].failure is net["d1"].failure is None
        assert net.ping([net["h1"], net["d1"]]).lost_percent == 0
        with suppress(BuildVnfError):
            net["bad"].restart()
        until(lambda: net["bad"].failure is not None)
        assert net.ping([net["h1"], net["d1"]]).lost_percent == 0
    assert containers_of(lab_id("broken")) == []


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


@pytest.mark.parametrize(("options", "trouble", "said"), MENDED)
def test_what_stands_in_the_way_is_told_and_a_restart_works_without_it(
    options: dict[str, Any], trouble: Callable[[], Any], said: str
) -> None:
    topo = broken(options)
    with trouble(), pytest.raises(BuildVnfError, match=said) as caught:
        Network(topo, name=lab_id("broken")).start()
    assert caught.value.hint
    with trouble():
        net = Network(topo, name=lab_id("broken"), on_failure="keep").start()
    with net:
        assert_matches(said, failure_of(net, "bad"))
        with Network.attach(net.id) as reached:
            assert reached["bad"].failure is not None
        if trouble is not no_daemon:
            assert net.ping([net["h1"], net["d1"]]).lost_percent == 0
        else:
            net["d1"].restart()
        net["bad"].restart()
        assert is_well(net, "bad")
        assert net["bad"].cmd("echo on") == "on\n"
        assert net.pingAll() == 0


def test_a_port_that_is_taken_is_told() -> None:
    topo = broken({"ports": {80: 47811}})
    with port_taken(), pytest.raises(BuildVnfError, match="47811"):
        Network(topo, name=lab_id("broken")).start()
    assert containers_of(lab_id("broken")) == []


def test_want_of_memory_is_told() -> None:
    greedy = program("sleep 0.3; x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo $x")
    with Network(broken({**greedy, "memory": "32m"}), on_failure="keep") as net:
        until(lambda: net["bad"].failure is not None)
        assert_matches("for want of memory, of which it may have 32 MiB", failure_of(net, "bad"))
        assert net["bad"].cmd("echo on") == "on\n"
        net["bad"].restart()
        assert net.pingAll() == 0


def test_two_labs_cannot_have_one_name() -> None:
    with Network(broken({}), name=lab_id("broken")) as net:
        with pytest.raises(BuildVnfError, match="a lab named broken-.* is running"):
            Network(broken({}), name=lab_id("broken")).start()
        assert net.pingAll() == 0
        with Network(broken({}), name=lab_id("broken2")) as other:
            assert other.pingAll() == 0


def test_a_volume_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with Network(broken({}), name=lab_id("broken")) as net:
        with pytest.raises(BuildVnfError, match=f"there is no {missing} on this machine"):
            net.addDocker("more", BUSYBOX, volumes=[f"{missing}:/data"])
        assert not missing.exists()


def test_a_node_that_does_not_start_in_a_running_network_changes_nothing() -> None:
    with Network(broken({}), name=lab_id("broken")) as net:
        with pytest.raises(BuildVnfError, match="/dev/nonexistent"):
            net.addDocker("more", BUSYBOX, devices=["/dev/nonexistent"])
        assert "more" not in net
        assert len(containers_of(lab_id("broken"))) == 2
        assert net.pingAll() == 0
        net.addDocker("more", BUSYBOX)
        net.addLink("more", "s1")
        assert net.pingAll() == 0
