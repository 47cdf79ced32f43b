"""VNFs as processes: what holds on each data plane in user space."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.dataplane import PortCounters, hostpath, start_vnf
from emulator.dataplane.process import ProcessVnf
from emulator.errors import LabError
from emulator.kernel.bpf import xdp_state
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import Rtnl, link_states
from tests.system.vnf_lab import VnfLab, frame, wait_until_gone
from tests.system.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

PLANES = (
    "afxdp",
    "packet",
    pytest.param("dpdk:af_xdp", marks=pytest.mark.dpdk),
    pytest.param("dpdk:af_packet", marks=pytest.mark.dpdk),
)
"""Data planes, of dpdk with the driver."""
MODES = {
    "afxdp": "AF_XDP native copy, need-wakeup",
    "packet": "AF_PACKET ring",
    "dpdk:af_xdp": "af_xdp native copy",
    "dpdk:af_packet": "af_packet",
}
SIZES = (60, 61, 64, 127, 128, 590, 1513, 1514)
DEADLINE_S = 10.0
WATCH_S = 0.5

DROP, BACK, TO_HOST, FLOOD, GROW, TO_THIRD, TO_NOWHERE, CRASH, ON = range(1, 10)
"""What the VNF of these tests does with a frame of that number."""

HANDLER = """
#include "vnf.h"

/* ARP and ICMP are the host's; of other frames the number says what becomes of them. */
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u8 *bytes = data;
    if (bytes + 34 > (__u8 *)end)
        return VNF_DROP;
    if (bytes[12] == 8 && (bytes[13] == 6 || (bytes[13] == 0 && bytes[23] == 1)))
        return VNF_TO_HOST;
    switch (bytes[17]) {
    case 1:
        return VNF_DROP;
    case 2:
        return VNF_BACK;
    case 3:
        return VNF_TO_HOST;
    case 4:
        return VNF_FLOOD;
    case 5:
        if (vnf_push(ctx, VNF_HEADROOM_BYTES) || vnf_append(ctx, VNF_TAILROOM_BYTES))
            return VNF_DROP;
        bytes = vnf_data(ctx);
        if (bytes + VNF_HEADROOM_BYTES > (__u8 *)vnf_end(ctx))
            return VNF_DROP;
        for (int i = 0; i < VNF_HEADROOM_BYTES; i++)
            bytes[i] = (__u8)i;
        break;
    case 6:
        return VNF_FORWARD(2);
    case 7:
        return VNF_FORWARD(7);
#ifndef __bpf__
    case 8:
        *(volatile int *)0 = 1;
#endif
    }
    return VNF_FORWARD(vnf_peer(port));
}
"""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("VNF_PATH", raising=False)
        yield


@pytest.fixture(scope="module")
def by_number(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("vnfs") / "mine"
    folder.mkdir()
    (folder / "vnf.c").write_text(HANDLER)
    planes = "".join(f"[dataplanes.{name}]\n" for name in ("xdp", "afxdp", "packet", "dpdk"))
    (folder / "vnf.toml").write_text(
        f'name = "mine"\nsummary = "every verdict"\nports = {{min = 2, max = 3}}\n{planes}'
    )
    return read_manifest(folder / "vnf.toml")


def start(
    lab: VnfLab,
    manifest: Manifest,
    plane: str,
    parameters: dict[str, int | float | bool | str] | None = None,
    **options: str,
) -> ProcessVnf:
    plane, _, driver = plane.partition(":")
    node = lab.node(manifest.name, plane, parameters=parameters, **options, driver=driver or None)
    vnf = start_vnf(node, lab.vnf, manifest, lab.site)
    assert isinstance(vnf, ProcessVnf)
    return vnf


def tagged(number: int, size_bytes: int, *tags: tuple[int, int]) -> bytes:
    whole = frame(number, size_bytes)
    return whole[:12] + b"".join(struct.pack("!HH", *tag) for tag in tags) + whole[12:]


def cpu_share(pid: int) -> float:
    """The part of one CPU that a process uses, watched for a while."""

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used_s()
    time.sleep(WATCH_S)
    return (used_s() - before) / WATCH_S


@pytest.mark.parametrize("plane", PLANES)
def test_forward_changes_no_byte_and_counts_every_frame(lab: VnfLab, plane: str) -> None:
    frames = [frame(number, SIZES[number % len(SIZES)]) for number in range(70)]
    back = [frame(number, 60 + number, reverse=True) for number in range(30)]
    with start(lab, Catalog.load()["forward"], plane) as vnf:
        assert (vnf.dataplane, vnf.mode) == (plane.partition(":")[0], MODES[plane])
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert lab.transfer(lab.right, lab.left, back, last=back[-1]) == back
        there, here = sum(map(len, frames)), sum(map(len, back))
        assert vnf.counters() == {
            "fn-eth0": PortCounters(70, there, 30, here),
            "fn-eth1": PortCounters(30, here, 70, there),
        }


@pytest.mark.parametrize("plane", PLANES)
def test_forward_keeps_vlan_tags(lab: VnfLab, plane: str) -> None:
    q, ad = (0x8100, 0x2064), (0x88A8, 0x00C8)
    if plane == "dpdk:af_packet":
        ad = q  # its driver puts back no other tag
    frames = [
        tagged(number, size, *tags)
        for number, (size, tags) in enumerate(
            [(60, [q]), (1514, [q]), (60, [ad]), (590, [ad, q]), (590, [q, q]), (60, [])]
        )
    ]
    with start(lab, Catalog.load()["forward"], plane) as vnf:
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert vnf.counters()["fn-eth0"].rx_bytes == sum(map(len, frames))


@pytest.mark.parametrize("plane", PLANES)
def test_more_frames_than_the_rings_hold_all_pass_in_order(lab: VnfLab, plane: str) -> None:
    with start(lab, Catalog.load()["forward"], plane):
        for first in range(0, 5000, 200):
            frames = [frame(first + number) for number in range(200)]
            assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames


@pytest.mark.parametrize("plane", PLANES)
def test_drop_drops_exactly_and_can_be_changed_while_it_runs(lab: VnfLab, plane: str) -> None:
    frames = [frame(number) for number in range(100)]
    with start(lab, Catalog.load()["drop"], plane, {"every": 3}) as vnf:
        arrived = lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        assert arrived == [each for number, each in enumerate(frames, 1) if number % 3]
        assert vnf.counters()["fn-eth0"].dropped_packets == 33
        vnf.set({"every": 1000}, where="fn")
        assert vnf.parameters()["every"] == 1000
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames


@pytest.mark.parametrize("plane", PLANES)
def test_each_verdict_leads_where_it_says_and_is_counted(by_number: Manifest, plane: str) -> None:
    with VnfLab(ports=3) as lab, start(lab, by_number, plane) as vnf:
        numbers = (DROP, BACK, TO_HOST, TO_NOWHERE, ON, TO_THIRD, FLOOD)
        frames = {number: frame(number, 60 + number) for number in numbers}
        second, third = lab.distribute(
            lab.left, lab.hosts[1:], list(frames.values()), last=frames[FLOOD]
        )
        assert second == [frames[ON], frames[FLOOD]]
        assert third == [frames[TO_THIRD], frames[FLOOD]]
        back = lab.transfer(lab.left, lab.left, [frames[BACK]], last=frames[BACK])
        assert back == [frames[BACK]]
        sizes = {number: len(each) for number, each in frames.items()}
        received = sum(sizes.values()) + sizes[BACK]
        assert vnf.counters() == {
            "fn-eth0": PortCounters(8, received, 2, 2 * sizes[BACK], 2, 2, 1, no_port_packets=1),
            "fn-eth1": PortCounters(0, 0, 2, sizes[ON] + sizes[FLOOD]),
            "fn-eth2": PortCounters(0, 0, 2, sizes[TO_THIRD] + sizes[FLOOD]),
        }


@pytest.mark.parametrize("plane", PLANES)
def test_a_frame_can_grow_at_both_ends(lab: VnfLab, by_number: Manifest, plane: str) -> None:
    frames = [frame(GROW, 60), frame(GROW, 1514 - 256)]
    grown = [bytes(range(128)) + each + bytes(128) for each in frames]
    with start(lab, by_number, plane) as vnf:
        assert lab.transfer(lab.left, lab.right, frames, last=grown[-1]) == grown
        assert vnf.counters()["fn-eth1"].tx_bytes == sum(map(len, grown))


@pytest.mark.parametrize("plane", ["xdp", *PLANES])
def test_a_host_behind_its_vnf_answers_pings(lab: VnfLab, by_number: Manifest, plane: str) -> None:
    give_addresses(lab)
    name, _, driver = plane.partition(":")
    node = lab.node("mine", name, driver=driver or None)
    with start_vnf(node, lab.vnf, by_number, lab.site) as vnf:
        assert ping(lab.left, "10.1.0.254", count=5) == 5
        counters = vnf.counters()["fn-eth0"]
        # One ARP request, and perhaps a second one to see whether we are still there.
        assert counters.to_host_packets in (6, 7)
        assert counters.rx_packets == counters.to_host_packets
        assert vnf.counters()["fn-eth1"] == PortCounters()


@pytest.mark.parametrize("plane", PLANES)
def test_a_node_sees_nothing_but_what_its_vnf_lets_it_see(lab: VnfLab, plane: str) -> None:
    give_addresses(lab)
    with start(lab, Catalog.load()["forward"], plane):
        assert ping(lab.left, "10.1.0.254", count=1, deadline_s=0.3) == 0
    assert ping(lab.left, "10.1.0.254", count=1) == 1


@pytest.mark.parametrize("plane", PLANES)
def test_without_tap_devices_a_node_says_that_its_host_is_out_of_reach(
    lab: VnfLab, by_number: Manifest, plane: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hostpath, "_TUN", str(tmp_path / "tun"))
    frames = [frame(TO_HOST), frame(ON)]
    with start(lab, by_number, plane) as vnf:
        assert vnf.mode.startswith(f"{MODES[plane]}, no way to its host: ")
        assert "modprobe tun" in vnf.mode
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames[1:]
        counters = vnf.counters()["fn-eth0"]
        assert (counters.to_host_packets, counters.unsent_packets) == (1, 1)


@pytest.mark.parametrize("plane", PLANES)
def test_a_vnf_that_crashes_leaves_nothing_attached_and_is_reported(
    lab: VnfLab, by_number: Manifest, plane: str
) -> None:
    before = set(link_states(lab.vnf))
    with start(lab, by_number, plane) as vnf:
        assert vnf.failure() is None
        lab.send(lab.left, [frame(CRASH)])
        until(lambda: vnf.failure() is not None, "the VNF lives on")
        assert "signal 11 (SIGSEGV)" in (vnf.failure() or "")
        assert xdp_state("fn-eth0", lab.vnf).mode == "none"
        with pytest.raises(LabError, match="SIGSEGV"):
            vnf.set({}, where="fn")
    assert set(link_states(lab.vnf)) == before


@pytest.mark.parametrize("plane", PLANES)
def test_closing_undoes_what_starting_did(lab: VnfLab, plane: str) -> None:
    before = (set(link_states(lab.vnf)), filters(lab.vnf))
    vnf = start(lab, Catalog.load()["forward"], plane)
    assert (set(link_states(lab.vnf)), filters(lab.vnf)) != before
    vnf.close()
    vnf.close()
    assert (set(link_states(lab.vnf)), filters(lab.vnf)) == before
    assert xdp_state("fn-eth0", lab.vnf).mode == "none"
    assert not Path(f"/proc/{vnf.pid}").exists()
    wait_until_gone(vnf.bpf_ids())


@pytest.mark.parametrize("plane", PLANES)
def test_sigterm_ends_a_vnf_in_good_order(lab: VnfLab, plane: str) -> None:
    with start(lab, Catalog.load()["forward"], plane) as vnf:
        os.kill(vnf.pid, signal.SIGTERM)
        until(lambda: vnf.failure() is not None, "the VNF goes on")
        assert "exit code 0" in (vnf.failure() or "")


@pytest.mark.parametrize("idle", ["poll", "yield", "wait", "sleep:50us", "spin:20us,yield"])
@pytest.mark.parametrize("plane", PLANES)
def test_frames_pass_whatever_the_idle_policy(lab: VnfLab, plane: str, idle: str) -> None:
    frames = [frame(number) for number in range(200)]
    with start(lab, Catalog.load()["forward"], plane, idle=idle):
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames


@pytest.mark.parametrize("plane", PLANES)
def test_a_vnf_without_frames_uses_no_cpu_even_while_a_port_is_down(
    lab: VnfLab, plane: str
) -> None:
    frames = [frame(number) for number in range(20)]
    with start(lab, Catalog.load()["forward"], plane) as vnf:
        assert cpu_share(vnf.pid) < 0.2
        set_port(lab, 1, up=False)
        lab.send(lab.left, frames[:5])
        assert cpu_share(vnf.pid) < 0.2
        set_port(lab, 1, up=True)
        arrived = lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        assert arrived[-len(frames) :] == frames
        assert vnf.failure() is None


def set_port(lab: VnfLab, port: int, *, up: bool) -> None:
    with Rtnl.inside(lab.vnf) as rtnl:
        rtnl.set_up(port + 2, up, where=f"port {port}")
        rtnl.commit()


def give_addresses(lab: VnfLab) -> None:
    for netns, index, address in (
        (lab.left, 20, "10.1.0.1/24"),
        (lab.vnf, 2, "10.1.0.254/24"),
    ):
        with Rtnl.inside(netns) as rtnl:
            rtnl.add_address(index, address, where=address)
            rtnl.commit()


def ping(netns: Netns, address: str, *, count: int, deadline_s: float = DEADLINE_S) -> int:
    """How many of so many pings are answered."""
    command = ["ping", "-q", "-n", "-i", "0.01", "-c", str(count), "-W", str(deadline_s), address]
    done = netns.run(subprocess.run, command, capture_output=True, text=True, check=False)
    return int(done.stdout.split(" received")[0].split()[-1])


def filters(netns: Netns) -> str:
    """What tc shows of the namespace's interfaces."""
    command = ["tc", "qdisc", "show"]
    done = netns.run(subprocess.run, command, capture_output=True, text=True, check=True)
    return str(done.stdout)
