"""VNFs on DPDK: its drivers, its arguments, and links of shared memory between them.

What holds on every data plane that is a process is in ``test_process_planes``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from emulator import Network, Topo
from emulator.catalog import Catalog, read_manifest
from emulator.cli.shell_format import links_text
from emulator.dataplane import PortCounters, RunningVnf, start_vnf
from emulator.dataplane.process import ProcessVnf
from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel import clang
from emulator.kernel.bpf import attach_xdp, xdp_state
from tests.system.vnf_lab import VnfLab, frame
from tests.system.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.dpdk,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

PORTS = ("fn-eth0", "fn-eth1")
RUNTIME_FOLDER = Path("/var/run/dpdk")
WATCH_S = 0.5


@pytest.fixture(autouse=True)
def own_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VNF_PATH", raising=False)


def start(lab: VnfLab, vnf: str = "forward", **options: object) -> ProcessVnf:
    options.setdefault("driver", "af_xdp")
    node = lab.node(vnf, "dpdk", **options)  # type: ignore[arg-type]
    running = start_vnf(node, lab.vnf, Catalog.load()[vnf], lab.site)
    assert isinstance(running, ProcessVnf)
    return running


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def left_in_runtime_folder() -> set[str]:
    return {path.name for path in RUNTIME_FOLDER.glob("*")}


# -- one VNF -------------------------------------------------------------------------------------


def test_xdp_is_native_as_the_mode_says_and_goes_with_the_vnf(lab: VnfLab) -> None:
    before = left_in_runtime_folder()
    vnf = start(lab)
    assert vnf.mode == "af_xdp native copy"
    states = [xdp_state(port, lab.vnf) for port in PORTS]
    assert [state.mode for state in states] == ["native", "native"]
    assert {state.program_id for state in states} <= {bpf.id for bpf in vnf.bpf_ids()}
    assert list((lab.site.folder / "dpdk").iterdir())
    vnf.close()
    assert [xdp_state(port, lab.vnf).mode for port in PORTS] == ["none", "none"]
    assert not list((lab.site.folder / "dpdk").iterdir())
    assert left_in_runtime_folder() == before


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet"])
def test_one_that_is_killed_leaves_nothing_and_the_next_one_starts(
    lab: VnfLab, driver: str
) -> None:
    frames = [frame(number) for number in range(10)]
    before = left_in_runtime_folder()
    with start(lab, driver=driver) as vnf:
        os.kill(vnf.pid, signal.SIGKILL)
        until(lambda: vnf.failure() is not None, "it lives on")
        assert "SIGKILL" in (vnf.failure() or "")
        assert [xdp_state(port, lab.vnf).mode for port in PORTS] == ["none", "none"]
        assert not list((lab.site.folder / "dpdk").iterdir())
    with start(lab, driver=driver):
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
    assert left_in_runtime_folder() == before


def test_a_port_that_has_an_xdp_program_is_left_as_it_is(lab: VnfLab, tmp_path: Path) -> None:
    source = tmp_path / "pass.bpf.c"
    source.write_text('__attribute__((section("xdp"), used)) int pass(void *ctx) { return 2; }\n')
    from emulator.kernel.bpf import BpfObject

    with BpfObject(clang.compile_bpf(source, output=tmp_path / "pass.o")) as bpf:
        bpf.load()
        with attach_xdp(bpf.program("pass"), PORTS[1], lab.vnf) as link:
            with pytest.raises(MachineError, match="fn-eth1: DPDK cannot open it"):
                start(lab)
            assert xdp_state(PORTS[1], lab.vnf).program_id == bpf.program("pass").id
            assert link.mode == "native"
        assert xdp_state(PORTS[0], lab.vnf).mode == "none"


def test_jumbo_frames(lab: VnfLab) -> None:
    frames = [frame(number, size) for number, size in enumerate((60, 3600, 9014))]
    with VnfLab(mtu=9000) as large:
        with start(large, driver="af_packet") as vnf:
            assert large.transfer(large.left, large.right, frames, last=frames[-1]) == frames
            assert vnf.counters()["fn-eth1"].tx_bytes == sum(map(len, frames))
        with pytest.raises(UsageError, match="MTU of 9000") as caught:
            start(large)
        assert caught.value.where == "fn-eth0"
    with VnfLab(mtu=3300) as large, start(large):
        frames = [frame(number, size) for number, size in enumerate((60, 3000, 3314))]
        assert large.transfer(large.left, large.right, frames, last=frames[-1]) == frames


@pytest.mark.parametrize("driver", ["af_packet", "null"])
def test_an_mtu_that_no_packet_buffer_holds_is_refused(driver: str) -> None:
    with (
        VnfLab(mtu=65535) as huge,
        pytest.raises(UsageError, match=f"MTU of 65535 is more than DPDK's {driver} driver takes"),
    ):
        start(huge, driver=driver)


def test_its_threads_stay_on_the_cores_asked_for(lab: VnfLab) -> None:
    last = max(os.sched_getaffinity(0))
    for cores, expected in (([last], {last}), ([], os.sched_getaffinity(0))):
        with start(lab, cores=tuple(cores)) as vnf:
            assert os.sched_getaffinity(vnf.pid) == expected
            threads = [int(each.name) for each in Path(f"/proc/{vnf.pid}/task").iterdir()]
            assert all(os.sched_getaffinity(thread) <= expected for thread in threads)


def test_an_argument_that_dpdk_does_not_know_is_told_in_its_words(lab: VnfLab) -> None:
    with pytest.raises(UsageError, match="unrecognized option '--warp'") as caught:
        start(lab, eal=("--warp",))
    assert "eal=" in caught.value.hint
    with pytest.raises(UsageError, match="net_warp"):
        start(lab, eal=("--vdev=net_warp0",))
    assert xdp_state(PORTS[0], lab.vnf).mode == "none"


def test_a_device_of_the_users_own_is_a_further_port(lab: VnfLab, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "vnf.c").write_text(
        '#include "vnf.h"\n'
        "static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end,\n"
        "                                  __u32 port) {\n"
        "    return port == 2 ? VNF_DROP : VNF_FORWARD(2);\n"
        "}\n"
    )
    (folder / "vnf.toml").write_text(
        'name = "mine"\nsummary = "all to the third port"\nports = 3\n[dataplanes.dpdk]\n'
    )
    written = tmp_path / "sent.pcap"
    eal = (f"--vdev=net_pcap0,tx_pcap={written}",)
    frames = [frame(number) for number in range(5)]
    node = lab.node("mine", "dpdk", driver="af_xdp", eal=eal)
    with start_vnf(node, lab.vnf, read_manifest(folder / "vnf.toml"), lab.site) as vnf:
        assert vnf.mode == "af_xdp native copy+pcap"
        lab.send(lab.left, frames)
        until(lambda: vnf.counters()["net_pcap0"].tx_packets == 5, "frames are missing")
        assert vnf.counters()["net_pcap0"] == PortCounters(0, 0, 5, sum(map(len, frames)))
    content = written.read_bytes()
    assert all(each in content for each in frames)


def test_a_card_that_is_not_there_is_missed(lab: VnfLab) -> None:
    with pytest.raises(MachineError, match="DPDK has found 0 of 1 devices that eal= names"):
        start(lab, eal=("-a", "0000:ff:1f.7"))
    assert xdp_state(PORTS[0], lab.vnf).mode == "none"


def test_null_ports_feed_the_handler_alone(lab: VnfLab) -> None:
    with start(lab, driver="null") as vnf:
        assert vnf.mode == "null"
        until(lambda: vnf.counters()["fn-eth0"].rx_packets > 1000, "no frame comes")
        assert xdp_state(PORTS[0], lab.vnf).mode == "none"
        before = vnf.parameters()
        vnf.set(before, where="fn")
        assert vnf.parameters() == before


def test_without_its_development_files_the_package_is_named(
    lab: VnfLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PKG_CONFIG_LIBDIR", str(tmp_path))
    clang._library_flags.cache_clear()
    try:
        with pytest.raises(MachineError, match="libdpdk are not installed") as caught:
            start(lab)
    finally:
        clang._library_flags.cache_clear()
    assert "libdpdk-dev" in caught.value.hint


# -- memif links -----------------------------------------------------------------------------------


class MemoryChain(Topo):
    """a – v0 – … – b, joined by memif links between the VNFs."""

    def build(self, length: int = 3) -> None:
        nodes = [self.addHost("a")]
        nodes += [self.addVNF(f"v{i}", "forward", dataplane="dpdk") for i in range(length)]
        self.addLink(nodes[0], nodes[1])
        for near, far in pairwise(nodes[1:]):
            self.addLink(near, far, kind="memif")
        self.addLink(nodes[-1], self.addHost("b"))


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(MemoryChain()) as net:
        yield net


def running(net: Network, name: str) -> RunningVnf:
    vnf = net[name].vnf
    assert vnf is not None
    return vnf


def passed(net: Network) -> list[int]:
    """How many frames each VNF has handed from left to right."""
    return [list(vnf.counters().values())[1].tx_packets for vnf in net.vnfs]


def test_frames_pass_a_chain_of_memory_both_ways_and_are_counted(net: Network) -> None:
    modes = [running(net, name).mode for name in ("v0", "v1", "v2")]
    assert modes == ["af_xdp native copy+memif", "memif", "af_xdp native copy+memif"]
    assert net.ping().lost_percent == 0
    until(lambda: all_count_the_same(net), "the counters differ")
    assert min(passed(net)) > 0


def all_count_the_same(net: Network) -> bool:
    """Whether what the first VNF took in is what each one took in and gave on, both ways."""
    rows = [counters for vnf in net.vnfs for counters in vnf.counters().values()]
    there, back = rows[::2], rows[1::2]
    first = there[0]
    mirrored = PortCounters(first.tx_packets, first.tx_bytes, first.rx_packets, first.rx_bytes)
    return set(map(repr, there)) == {repr(first)} and set(map(repr, back)) == {repr(mirrored)}


def test_frames_of_every_size_pass_unchanged(net: Network) -> None:
    sizes = "56 1472"
    for size in sizes.split():
        said = net["a"].cmd(f"ping -c 20 -i 0.002 -s {size} -p 5aa5 b")
        assert "20 received" in said, said
        assert "wrong data" not in said


def test_nobody_burns_cpu_while_no_frame_comes(net: Network) -> None:
    pids = [running(net, name).describe()["pid"] for name in ("v0", "v1", "v2")]
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(WATCH_S)
    used = [cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True)]
    assert max(used) < 0.1


def test_a_memif_link_is_no_interface_of_the_kernel(net: Network) -> None:
    assert "v1-eth" not in net["v1"].cmd("ls /sys/class/net")
    with pytest.raises(UsageError, match="cannot be taken up or down") as caught:
        net.configLinkStatus("v0", "v1", "down")
    assert "delLink" in caught.value.hint


def test_another_process_reaches_the_chain(net: Network) -> None:
    other = Network.attach(net.id)
    try:
        assert running(other, "v0").mode == "af_xdp native copy+memif"
        assert running(other, "v0").apart() == []
        assert other["v1"].counters() == net["v1"].counters()
    finally:
        other.stop()


@pytest.mark.parametrize("name", ["v1", "v0", "v2"])
def test_a_vnf_that_died_is_called_again(net: Network, name: str) -> None:
    neighbour = "v1" if name != "v1" else "v0"
    os.kill(running(net, name).describe()["pid"], signal.SIGKILL)
    until(lambda: net[name].failure is not None, "it lives on")
    until(lambda: running(net, neighbour).apart() != [], "its neighbour notices nothing")
    assert net.ping(timeout_s=0.2).lost_percent == 100
    net[name].restart()
    assert running(net, neighbour).apart() == []
    assert net.ping().lost_percent == 0


def test_parameters_change_while_frames_pass(net: Network) -> None:
    before = passed(net)
    net["v1"].set(source_mac="02:00:00:00:00:77")
    net["v1"].set(source_mac="00:00:00:00:00:00")
    assert net.ping().lost_percent == 0
    assert all(now > then for now, then in zip(passed(net), before, strict=True))


def test_memory_links_come_and_go_in_a_running_lab(net: Network) -> None:
    with net.change() as topo:
        topo.removeLink("v1", "v2")
        topo.addVNF("v3", "forward", dataplane="dpdk")
        topo.addLink("v1", "v3", kind="memif")
        topo.addLink("v3", "v2", kind="memif")
    assert net.ping().lost_percent == 0
    assert running(net, "v3").mode == "memif"
    with net.change() as topo:
        topo.removeNode("v3")
        topo.addLink("v1", "v2")
    assert net.ping().lost_percent == 0
    assert running(net, "v1").mode == "af_xdp native copy+memif"
    ends = {end for link in net.links for end in (link.a, link.b)}
    assert "v0-eth1<->v1-eth0 (OK OK)" in links_text(net.plan, ends)


def test_a_chain_that_cannot_start_leaves_nothing() -> None:
    topo = MemoryChain(length=2)
    topo.nodeInfo("v1")["eal"] = ["--warp"]
    with pytest.raises((LabError, UsageError), match="--warp"), Network(topo):
        pass
