"""VNFs on XDP sockets: the programs that lead to them, and the rights that are left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulator.catalog import Catalog
from emulator.dataplane import start_vnf
from emulator.dataplane.afxdp import LIBRARIES
from emulator.dataplane.build import build_program, library_dir
from emulator.dataplane.process import Launch, ProcessVnf, start_process
from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel.bpf import BpfId, BpfObject, attach_xdp, xdp_state
from emulator.kernel.clang import compile_bpf
from emulator.kernel.libbpf import library
from emulator.kernel.pidfd import descriptor_of
from tests.system.vnf_lab import VnfLab, frame, still_there, wait_until_gone

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

PORTS = ("fn-eth0", "fn-eth1")
CAP_NET_RAW, CAP_IPC_LOCK = 1 << 13, 1 << 14
NOBODY = "65534"
DEADLINE_S = 10.0


@pytest.fixture(autouse=True)
def own_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)


def start(lab: VnfLab) -> ProcessVnf:
    forward = Catalog.load()["forward"]
    vnf = start_vnf(lab.node("forward", "afxdp"), lab.vnf, forward, lab.site)
    assert isinstance(vnf, ProcessVnf)
    return vnf


def program() -> str:
    return str(build_program(Catalog.load()["forward"], "afxdp", libraries=LIBRARIES))


def start_command(lab: VnfLab, command: Sequence[str], fds: Sequence[int] = ()) -> ProcessVnf:
    """Start the program in a way of the test's own."""
    node = lab.node("forward", "afxdp")
    launch = Launch(list(command), pass_fds=tuple(fds))
    return start_process(node, lab.vnf, Catalog.load()["forward"], lab.site, launch)


def lead_to_sockets(lab: VnfLab, held: ExitStack) -> list[int]:
    """Attach the programs, as somebody else does for a container; gives their maps."""
    maps = []
    for port in PORTS:
        bpf = held.enter_context(BpfObject(compile_bpf(library_dir() / "xsk.bpf.c")))
        bpf.load()
        held.enter_context(attach_xdp(bpf.program("to_socket"), port, lab.vnf))
        maps.append(bpf.map("sockets").fd)
    return maps


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def states(lab: VnfLab) -> list[str]:
    return [xdp_state(port, lab.vnf).mode for port in PORTS]


def test_xdp_is_native_as_the_mode_says_and_the_kernel_copies(lab: VnfLab) -> None:
    with start(lab) as vnf:
        assert vnf.mode == "AF_XDP native copy, need-wakeup"
        assert states(lab) == ["native", "native"]
        assert {each.kind for each in vnf.bpf_ids()} == {"program", "map", "link"}


def test_a_vnf_keeps_only_the_rights_that_xdp_sockets_take(lab: VnfLab) -> None:
    with start(lab) as vnf:
        status = status_of(vnf.pid)
        for kind in ("CapEff", "CapPrm"):
            assert int(status[kind], 16) == CAP_NET_RAW | CAP_IPC_LOCK
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1"


def test_a_queue_that_the_kernel_has_not_given_free_yet_is_waited_for(lab: VnfLab) -> None:
    with ExitStack() as held:
        with start(lab) as vnf:
            for each in Path(f"/proc/{vnf.pid}/fd").iterdir():
                if os.readlink(each).startswith("socket:"):
                    held.callback(os.close, descriptor_of(vnf.pid, int(each.name)))
        later = threading.Timer(0.3, held.pop_all().close)
        later.start()
        try:
            with start(lab) as vnf:
                assert vnf.failure() is None
        finally:
            later.join()


def test_nothing_stays_attached_when_the_vnf_is_killed(lab: VnfLab) -> None:
    with start(lab) as vnf:
        os.kill(vnf.pid, signal.SIGKILL)
        deadline = time.monotonic() + DEADLINE_S
        while vnf.failure() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert "signal 9 (SIGKILL)" in (vnf.failure() or "")
        assert states(lab) == ["none", "none"]
    # And the node can be given a new one.
    frames = [frame(number) for number in range(10)]
    with start(lab):
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames


def test_nothing_of_a_vnf_outlives_the_killed_emulator_that_ran_it() -> None:
    script = textwrap.dedent(
        """
        import json, signal
        from emulator.catalog import Catalog
        from emulator.dataplane import start_vnf
        from tests.system.vnf_lab import VnfLab

        lab = VnfLab()
        forward = Catalog.load()["forward"]
        vnf = start_vnf(lab.node("forward", "afxdp"), lab.vnf, forward, lab.site)
        ids = [[each.kind, each.id] for each in vnf.bpf_ids()]
        print(json.dumps([str(lab.site.folder), ids]), flush=True)
        signal.pause()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder, numbers = json.loads(process.stdout.readline())
        ids = [BpfId(kind, number) for kind, number in numbers]
        assert still_there(ids) == ids
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(folder)
    # The process holds some of them, so it has gone too.
    wait_until_gone(ids)


def test_pinned_maps_let_an_ordinary_user_run_the_vnf(lab: VnfLab) -> None:
    frames = [frame(number) for number in range(50)]
    rights = "-all,+net_raw,+ipc_lock"
    user = [
        *("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"),
        *("--inh-caps", rights, "--ambient-caps", rights, "--bounding-set", rights),
    ]
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        # The cache is root's own.
        mine = shutil.copy(program(), folder / "vnf")
        pinned = folder / "bpf"
        pinned.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "bpf", "-o", "mode=0755", "bpf", str(pinned)], check=False
        )
        if mounted.returncode:
            pytest.skip("no BPF file system can be mounted here")
        held.callback(subprocess.run, ["umount", str(pinned)], check=True)
        paths = []
        for number, fd in enumerate(lead_to_sockets(lab, held)):
            paths.append(str(pinned / f"sockets{number}"))
            assert library().bpf_obj_pin(fd, paths[-1].encode()) == 0
            os.chown(paths[-1], int(NOBODY), int(NOBODY))
        with start_command(lab, [*user, str(mine), "--xskmap-pinned", ",".join(paths)]) as vnf:
            status = status_of(vnf.pid)
            assert status["Uid"].split() == [NOBODY] * 4
            assert int(status["CapEff"], 16) == CAP_NET_RAW | CAP_IPC_LOCK
            assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
            assert vnf.counters()["fn-eth1"].tx_packets == len(frames)


def test_too_little_locked_memory_is_named_with_what_helps(lab: VnfLab) -> None:
    with ExitStack() as held:
        maps = lead_to_sockets(lab, held)
        limited = ["prlimit", "--memlock=1048576", "setpriv", "--bounding-set", "-ipc_lock"]
        command = [*limited, program(), "--xskmap", ",".join(map(str, maps))]
        with pytest.raises(MachineError, match=r"may not lock the \d+ KiB") as caught:
            start_command(lab, command, maps)
        assert caught.value.where == "fn"
        assert "CAP_IPC_LOCK" in caught.value.hint
        assert "ulimit -l" in caught.value.hint


def test_without_net_raw_there_is_no_socket(lab: VnfLab) -> None:
    with ExitStack() as held:
        maps = lead_to_sockets(lab, held)
        command = ["setpriv", "--bounding-set", "-net_raw", program()]
        with pytest.raises(MachineError, match="no XDP socket") as caught:
            start_command(lab, [*command, "--xskmap", ",".join(map(str, maps))], maps)
        assert "CAP_NET_RAW" in caught.value.hint


def test_a_port_without_a_map_or_a_program_is_named(lab: VnfLab) -> None:
    with pytest.raises(UsageError, match="fn-eth0 has no map of sockets"):
        start_command(lab, [program()])
    with ExitStack() as held:
        bpf = held.enter_context(BpfObject(compile_bpf(library_dir() / "xsk.bpf.c")))
        bpf.load()
        fd = bpf.map("sockets").fd
        with pytest.raises(LabError, match="fn-eth0: no XDP program leads frames to the VNF"):
            start_command(lab, [program(), "--xskmap", f"{fd},{fd}"], [fd])
    with pytest.raises(MachineError, match="/nowhere: the map of sockets cannot be opened"):
        start_command(lab, [program(), "--xskmap-pinned", "/nowhere,/nowhere"])


def test_a_port_in_use_leaves_everything_as_it_was(lab: VnfLab) -> None:
    with ExitStack() as held:
        bpf = held.enter_context(BpfObject(compile_bpf(library_dir() / "xsk.bpf.c")))
        bpf.load()
        other = held.enter_context(attach_xdp(bpf.program("to_socket"), "fn-eth1", lab.vnf))
        with pytest.raises(LabError, match="already attached") as caught:
            start(lab)
        assert caught.value.where == other.ifname
        assert states(lab) == ["none", "native"]


def test_an_mtu_beyond_a_page_is_refused_with_the_limit() -> None:
    with VnfLab(mtu=9000) as lab:
        with pytest.raises(UsageError, match="9000") as caught:
            start(lab)
        assert caught.value.where == "fn-eth0"
        assert "3500" in caught.value.hint


def test_the_largest_mtu_works() -> None:
    frames = [frame(number, size) for number, size in enumerate((60, 3514, 1514, 3514))]
    with VnfLab(mtu=3500) as lab, start(lab) as vnf:
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert re.match("AF_XDP native", vnf.mode)
