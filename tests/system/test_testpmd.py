"""DPDK programs that are used as they are, with testpmd for all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from emulator import Network, Topo
from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.dataplane import PortCounters, RunningVnf, start_vnf
from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel.bpf import xdp_state
from tests.system.vnf_lab import LEFT_MAC, RIGHT_MAC, VnfLab, frame, wait_until_gone

pytestmark = [
    pytest.mark.root,
    pytest.mark.dpdk,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

NOTHING_LOST = {"imissed": 0, "ierrors": 0, "rx_nombuf": 0}
MODES = {"af_xdp": "af_xdp native, testpmd io", "af_packet": "af_packet, testpmd io"}


@pytest.fixture
def testpmd(monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.delenv("VNF_PATH", raising=False)
    return Catalog.load()["testpmd"]


def start(lab: VnfLab, manifest: Manifest, **options: object) -> RunningVnf:
    options.setdefault("driver", "af_xdp")
    node = lab.node(manifest.name, "dpdk", **options)  # type: ignore[arg-type]
    return start_vnf(node, lab.vnf, manifest, lab.site)


def own_program(folder: Path, script: str, *, extra: str = "") -> Manifest:
    """A program of the user's own, which here is a script around the real one."""
    home = folder / "mine"
    home.mkdir()
    (home / "program").write_text(f"#!/bin/sh\n{script}\n")
    (home / "program").chmod(0o755)
    (home / "vnf.toml").write_text(
        'name = "mine"\nsummary = "a test\'s own"\nports = 2\n'
        f'[dataplanes.dpdk]\nprogram = "./program"\nthreads = 2\n{extra}'
    )
    return read_manifest(home / "vnf.toml")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet"])
def test_frames_pass_unchanged_and_are_counted(lab: VnfLab, testpmd: Manifest, driver: str) -> None:
    frames = [frame(number, size) for number, size in enumerate((60, 61, 590, 1514))]
    back = [frame(number, 60 + number, reverse=True) for number in range(70)]
    with start(lab, testpmd, driver=driver) as vnf:
        assert (vnf.dataplane, vnf.mode) == ("dpdk", MODES[driver])
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert lab.transfer(lab.right, lab.left, back, last=back[-1]) == back
        there, here = sum(map(len, frames)), sum(map(len, back))
        assert vnf.counters() == {
            "fn-eth0": PortCounters(4, there, 70, here, own=NOTHING_LOST),
            "fn-eth1": PortCounters(70, here, 4, there, own=NOTHING_LOST),
        }


@pytest.mark.parametrize("idle", ["spin:20us,wait", "wait", "yield", "sleep:50us", "poll"])
def test_every_idle_policy_carries_frames_in_both_directions(
    lab: VnfLab, testpmd: Manifest, idle: str
) -> None:
    with start(lab, testpmd, idle=idle):
        for number in range(5):
            there, back = frame(number), frame(number, reverse=True)
            assert lab.transfer(lab.left, lab.right, [there], last=there) == [there]
            assert lab.transfer(lab.right, lab.left, [back], last=back) == [back]


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet"])
def test_it_leaves_the_cpu_alone_while_no_frame_comes(
    lab: VnfLab, testpmd: Manifest, driver: str
) -> None:
    with start(lab, testpmd, driver=driver) as vnf:
        assert vnf.pid is not None
        frames = [frame(number) for number in range(5)]
        lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        before = cpu_seconds(vnf.pid)
        time.sleep(0.5)
        assert cpu_seconds(vnf.pid) - before < 0.1


def test_parameters_reach_the_program(lab: VnfLab, testpmd: Manifest) -> None:
    swapped = bytes.fromhex((LEFT_MAC + RIGHT_MAC).replace(":", ""))
    sent = frame(1)
    with start(lab, testpmd, parameters={"forward_mode": "macswap", "burst": 8}) as vnf:
        assert vnf.mode == "af_xdp native, testpmd macswap"
        assert vnf.parameters() == {"forward_mode": "macswap", "burst": 8, "descriptors": 2048}
        expected = swapped + sent[12:]
        assert lab.transfer(lab.left, lab.right, [sent], last=expected) == [expected]


def test_parameters_cannot_be_changed_while_it_runs(lab: VnfLab, testpmd: Manifest) -> None:
    with start(lab, testpmd) as vnf:
        with pytest.raises(UsageError, match="takes its parameters when it starts") as caught:
            vnf.set({"burst": 8}, where="fn")
        assert "topology" in caught.value.hint
        assert vnf.parameters()["burst"] == 32


def test_jumbo_frames(testpmd: Manifest) -> None:
    frames = [frame(number, size) for number, size in enumerate((60, 3600, 9014))]
    with VnfLab(mtu=9000) as lab, start(lab, testpmd, driver="af_packet"):
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames


def test_nothing_is_left_of_it(lab: VnfLab, testpmd: Manifest) -> None:
    vnf = start(lab, testpmd)
    programs = vnf.bpf_ids()
    assert xdp_state("fn-eth0", lab.vnf).program_id in {each.id for each in programs}
    vnf.close()
    vnf.close()
    assert [xdp_state(f"fn-eth{port}", lab.vnf).mode for port in (0, 1)] == ["none", "none"]
    wait_until_gone(programs)
    assert [path.name for path in lab.site.folder.iterdir() if path.is_dir()] == []


def test_one_that_was_killed_is_told_of_and_leaves_its_ports_free(
    lab: VnfLab, testpmd: Manifest
) -> None:
    with start(lab, testpmd) as vnf:
        assert vnf.failure() is None
        assert vnf.pid is not None
        os.kill(vnf.pid, signal.SIGKILL)
        os.waitid(os.P_PID, vnf.pid, os.WEXITED | os.WNOWAIT)
        failure = vnf.failure()
        assert failure is not None
        assert "SIGKILL" in failure
        assert xdp_state("fn-eth0", lab.vnf).mode == "none"
        with pytest.raises(LabError, match="the VNF"):
            vnf.counters()
    sent = frame(1)
    with start(lab, testpmd):
        assert lab.transfer(lab.left, lab.right, [sent], last=sent) == [sent]


def test_another_process_reads_its_counters(lab: VnfLab, testpmd: Manifest) -> None:
    script = textwrap.dedent(
        """
        import json, sys
        from emulator.dataplane import attach_vnf
        from emulator.kernel.netns import Netns

        with Netns.from_path(sys.argv[1]) as netns:
            with attach_vnf(json.loads(sys.argv[2]), netns) as vnf:
                print(json.dumps([vnf.mode, vnf.failure(), vnf.counters()["fn-eth1"].tx_packets]))
        """
    )
    frames = [frame(number) for number in range(12)]
    with start(lab, testpmd) as vnf:
        lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        path = f"/proc/{os.getpid()}/fd/{lab.vnf.fd}"
        done = subprocess.run(
            [sys.executable, "-c", script, path, json.dumps(vnf.describe())],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == [MODES["af_xdp"], None, 12]
        lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        assert vnf.counters()["fn-eth1"].tx_packets == 24


def test_pings_pass_a_chain(testpmd: Manifest) -> None:
    topo = Topo()
    before = topo.addHost("client")
    for name in ("pmd1", "pmd2"):
        topo.addVNF(name, "testpmd", dataplane="dpdk")
        topo.addLink(before, name)
        before = name
    topo.addLink(before, topo.addHost("server"))
    with Network(topo) as net:
        said = net["client"].cmd("ping -c 3 -i 0.01 -W 1 -q server")
        assert "3 packets transmitted, 3 received" in said
        assert net["pmd1"].counters()["pmd1-eth0"].rx_packets >= 3


def test_without_the_package_its_name_is_told(
    lab: VnfLab, testpmd: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="no program dpdk-testpmd") as caught:
        start(lab, testpmd, idle="poll")
    assert caught.value.hint == "apt-get install dpdk"


def test_a_program_that_ends_is_quoted(lab: VnfLab, tmp_path: Path) -> None:
    manifest = own_program(tmp_path, "echo no cards today; exit 7")
    with pytest.raises(LabError, match="exit code 7(.|\n)*no cards today") as caught:
        start(lab, manifest)
    assert caught.value.where == "fn"


def test_a_program_in_the_vnfs_own_folder_gets_its_arguments(lab: VnfLab, tmp_path: Path) -> None:
    manifest = own_program(
        tmp_path,
        'exec dpdk-testpmd "$@"',
        extra='arguments = ["--portmask={portmask}", "--forward-mode={how}",'
        ' "--total-num-mbufs={buffers}"]\n'
        '[parameters.how]\ntype = "str"\nsummary = "the mode"\n',
    )
    sent = frame(1)
    with start(lab, manifest, parameters={"how": "io"}) as vnf:
        assert vnf.mode == "af_xdp native, mine io"
        assert lab.transfer(lab.left, lab.right, [sent], last=sent) == [sent]


def test_a_program_that_the_idle_policy_cannot_reach_is_not_left_polling_in_silence(
    lab: VnfLab, tmp_path: Path
) -> None:
    manifest = own_program(
        tmp_path,
        'unset LD_PRELOAD; exec dpdk-testpmd "$@"',
        extra='arguments = ["--total-num-mbufs={buffers}"]\n',
    )
    with pytest.raises(UsageError, match="can only poll") as caught:
        start(lab, manifest)
    assert 'idle="poll"' in caught.value.hint
    with start(lab, manifest, idle="poll") as vnf:
        assert vnf.failure() is None


def test_a_port_without_a_socket_is_told_in_the_mode(lab: VnfLab, testpmd: Manifest) -> None:
    with start(lab, testpmd, driver="null") as vnf:
        assert vnf.mode == "null, testpmd io, looks every 100 us instead of waiting"
    with start(lab, testpmd, driver="null", idle="yield") as vnf:
        assert vnf.mode == "null, testpmd io"


def test_a_counter_that_dpdk_does_not_have_is_refused(lab: VnfLab, tmp_path: Path) -> None:
    manifest = own_program(
        tmp_path,
        'exec dpdk-testpmd "$@"',
        extra='arguments = ["--total-num-mbufs={buffers}"]\n[counters]\nlost = "frames lost"\n',
    )
    with pytest.raises(UsageError, match="DPDK does not count lost") as caught:
        start(lab, manifest)
    assert "imissed" in caught.value.hint
