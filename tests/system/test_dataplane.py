"""VNFs on their data planes, frame by frame."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.dataplane import PortCounters, RunningVnf, start_vnf
from emulator.errors import LabError, UsageError
from emulator.kernel.bpf import BpfId, xdp_state
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import Rtnl, link_states
from emulator.paths import share_dir
from tests.system.vnf_lab import VnfLab, frame, still_there, wait_until_gone

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SIZES = (60, 61, 127, 128, 590, 1513, 1514)
EXPECTED_MODE = {"kernel": "bridge", "xdp": "native"}
DEADLINE_S = 10.0


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.delenv("VNF_PATH", raising=False)
    return Catalog.load()["forward"]


@pytest.fixture
def drop(monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.delenv("VNF_PATH", raising=False)
    return Catalog.load()["drop"]


def start_forward(lab: VnfLab, manifest: Manifest, dataplane: str) -> RunningVnf:
    mechanism = manifest.dataplanes[dataplane].mechanism
    return start_vnf(lab.node("forward", dataplane, mechanism=mechanism), lab.vnf, manifest)


def own_vnf(folder: Path, handler: str, *, extra: str = "") -> Manifest:
    """A VNF as a user writes one."""
    home = folder / "mine"
    home.mkdir()
    (home / "vnf.c").write_text(f'#include "vnf.h"\n{handler}\n')
    (home / "vnf.toml").write_text(
        'name = "mine"\nsummary = "a test\'s own"\nports = 2\n'
        f'[dataplanes.xdp]\nsource = "vnf.c"\n{extra}'
    )
    return read_manifest(home / "vnf.toml")


def handler(*lines: str) -> str:
    return "\n".join(
        [
            "static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end,",
            "                                  __u32 port)",
            "{",
            *(f"    {line}" for line in lines),
            "}",
        ]
    )


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_forward_changes_no_byte_and_counts_every_frame(
    lab: VnfLab, forward: Manifest, dataplane: str
) -> None:
    frames = [frame(number, SIZES[number % len(SIZES)]) for number in range(70)]
    back = [frame(number, 60 + number, reverse=True) for number in range(30)]
    with start_forward(lab, forward, dataplane) as vnf:
        assert vnf.dataplane == dataplane
        assert vnf.mode == EXPECTED_MODE[dataplane]
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert lab.transfer(lab.right, lab.left, back, last=back[-1]) == back
        there, here = sum(map(len, frames)), sum(map(len, back))
        assert vnf.counters() == {
            "fn-eth0": PortCounters(70, there, 30, here, 0),
            "fn-eth1": PortCounters(30, here, 70, there, 0),
        }


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_forward_carries_jumbo_frames(forward: Manifest, dataplane: str) -> None:
    frames = [frame(number, size) for number, size in enumerate((60, 3600, 9014, 9014))]
    with VnfLab(mtu=9000) as lab, start_forward(lab, forward, dataplane) as vnf:
        last = frames[-1]
        assert lab.transfer(lab.left, lab.right, frames, last=last) == frames
        assert vnf.counters()["fn-eth1"].tx_bytes == sum(map(len, frames))


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_counters_begin_at_zero_each_time(lab: VnfLab, forward: Manifest, dataplane: str) -> None:
    frames = [frame(number) for number in range(5)]
    for _ in range(2):
        with start_forward(lab, forward, dataplane) as vnf:
            lab.transfer(lab.left, lab.right, frames, last=frames[-1])
            assert vnf.counters()["fn-eth0"].rx_packets == len(frames)


def test_drop_drops_exactly_each_third_frame_of_each_port(lab: VnfLab, drop: Manifest) -> None:
    frames = [frame(number) for number in range(100)]
    back = [frame(number, reverse=True) for number in range(10)]
    node = lab.node("drop", "xdp", parameters={"every": 3})
    with start_vnf(node, lab.vnf, drop) as vnf:
        arrived = lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        assert arrived == [each for number, each in enumerate(frames, 1) if number % 3]
        arrived = lab.transfer(lab.right, lab.left, back, last=back[-1])
        assert arrived == [each for number, each in enumerate(back, 1) if number % 3]
        counters = vnf.counters()
        assert (counters["fn-eth0"].dropped_packets, counters["fn-eth0"].tx_packets) == (33, 7)
        assert (counters["fn-eth1"].dropped_packets, counters["fn-eth1"].tx_packets) == (3, 67)


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_closing_undoes_what_starting_did(lab: VnfLab, forward: Manifest, dataplane: str) -> None:
    before = set(link_states(lab.vnf))
    vnf = start_forward(lab, forward, dataplane)
    ids = vnf.bpf_ids()
    assert {each.kind for each in ids} == ({"program", "map", "link"} if ids else set())
    assert still_there(ids) == ids
    vnf.close()
    vnf.close()
    assert set(link_states(lab.vnf)) == before
    assert xdp_state("fn-eth0", lab.vnf).mode == "none"
    wait_until_gone(ids)


@pytest.mark.parametrize("dataplane", ["kernel", "xdp"])
def test_another_process_reads_the_counters(lab: VnfLab, forward: Manifest, dataplane: str) -> None:
    script = textwrap.dedent(
        """
        import json, sys
        from emulator.dataplane import attach_vnf
        from emulator.kernel.netns import Netns

        with Netns.from_path(sys.argv[1]) as netns:
            with attach_vnf(json.loads(sys.argv[2]), netns) as vnf:
                print(json.dumps([vnf.mode, vnf.counters()["fn-eth1"].tx_packets]))
        """
    )
    frames = [frame(number) for number in range(12)]
    with start_forward(lab, forward, dataplane) as vnf:
        lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        path = f"/proc/{os.getpid()}/fd/{lab.vnf.fd}"
        done = subprocess.run(
            [sys.executable, "-c", script, path, json.dumps(vnf.describe())],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == [EXPECTED_MODE[dataplane], 12]
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        assert vnf.counters()["fn-eth1"].tx_packets == 24


def test_nothing_of_a_vnf_outlives_the_killed_process_that_ran_it() -> None:
    script = textwrap.dedent(
        """
        import json, signal
        from emulator.catalog import Catalog
        from emulator.dataplane import start_vnf
        from tests.system.vnf_lab import VnfLab

        lab = VnfLab()
        vnf = start_vnf(lab.node("forward", "xdp"), lab.vnf, Catalog.load()["forward"])
        print(json.dumps([[each.kind, each.id] for each in vnf.bpf_ids()]), flush=True)
        signal.pause()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ids = [BpfId(kind, number) for kind, number in json.loads(process.stdout.readline())]
        assert {each.kind for each in ids} == {"program", "map", "link"}
        assert still_there(ids) == ids
        process.send_signal(signal.SIGKILL)
    wait_until_gone(ids)


def test_a_users_own_vnf_has_verdicts_state_and_counters(lab: VnfLab, tmp_path: Path) -> None:
    manifest = own_vnf(
        tmp_path,
        "struct seen { __u64 frames; };\n#define VNF_STATE struct seen\n"
        + handler(
            "struct seen *seen = ctx->state;",
            "__u8 *bytes = data;",
            "if (data + 18 > end)",
            "    return VNF_DROP;",
            "ctx->counters->looked_at++;",
            "if (vnf_next(&seen->frames) <= ctx->config->host)",
            "    return VNF_TO_HOST;",
            "if (bytes[17] % 2)",
            "    return VNF_BACK;",
            "return bytes[17] == 4 ? VNF_FORWARD(5) : VNF_FORWARD(vnf_peer(port));",
        ),
        extra="[parameters.host]\ntype = 'int'\ndefault = 0\nsummary = 'first frames'\n"
        "[counters]\nlooked_at = 'all of them'\n",
    )
    frames = [frame(number) for number in range(1, 9)]
    node = lab.node("mine", "xdp", parameters={"host": 2})
    with start_vnf(node, lab.vnf, manifest) as vnf:
        arrived = lab.transfer(lab.left, lab.right, frames, last=frames[-1])
        # 1 and 2 stay in the node, 3, 5 and 7 turn back, 4 is sent to a port that is not there.
        assert arrived == [frames[5], frames[7]]
        counters = vnf.counters()
        assert counters["fn-eth0"] == PortCounters(
            8, 480, 3, 180, 1, 3, 2, no_port_packets=1, own={"looked_at": 8}
        )
        assert counters["fn-eth1"] == PortCounters(0, 0, 2, 120, 0, own={"looked_at": 0})


def test_the_example_in_the_guide_does_what_it_says(lab: VnfLab, tmp_path: Path) -> None:
    guide = (share_dir() / "vnfs" / "README.md").read_text()
    folder = tmp_path / "ttl"
    folder.mkdir()
    for name, language in (("vnf.toml", "toml"), ("vnf.c", "c")):
        (folder / name).write_text(guide.split(f"```{language}\n")[1].split("```")[0])
    manifest = read_manifest(folder / "vnf.toml")
    values, problems = manifest.check_parameters({"least": 5})
    assert not problems
    head = bytes.fromhex("020000000002020000000001" + "0800" + "4500002e00000000")
    packets = [head + bytes([hops, 17]) + bytes(36) for hops in (4, 5, 1, 64)]
    with start_vnf(lab.node("ttl", "xdp", parameters=values), lab.vnf, manifest) as vnf:
        arrived = lab.transfer(lab.left, lab.right, packets, last=packets[-1])
        assert arrived == [packets[1], packets[3]]
        assert vnf.counters()["fn-eth0"].own == {"expired": 2}


def test_a_mistake_in_a_users_vnf_is_quoted_with_its_line(lab: VnfLab, tmp_path: Path) -> None:
    manifest = own_vnf(tmp_path, handler("return VNF_FORWARD(prot);"))
    with pytest.raises(UsageError, match="undeclared identifier 'prot'") as caught:
        start_vnf(lab.node("mine", "xdp"), lab.vnf, manifest)
    assert caught.value.where == f"{tmp_path}/mine/vnf.c:5"


def test_a_handler_that_checks_nothing_is_refused_with_the_reason(
    lab: VnfLab, tmp_path: Path
) -> None:
    manifest = own_vnf(tmp_path, handler("return *(__u8 *)data;"))
    with pytest.raises(LabError, match="invalid access to packet") as caught:
        start_vnf(lab.node("mine", "xdp"), lab.vnf, manifest)
    assert caught.value.where == f"{tmp_path}/mine/vnf.c:5"
    assert "> 5 |     return *(__u8 *)data;" in caught.value.message
    assert "data + 1 > end" in caught.value.hint
    assert xdp_state("fn-eth0", lab.vnf).mode == "none"


def test_a_port_in_use_leaves_the_other_port_as_it_was(
    lab: VnfLab, forward: Manifest, tmp_path: Path
) -> None:
    other = start_forward(lab, forward, "xdp")
    program = other.bpf_ids()[0].id
    try:
        with pytest.raises(LabError, match="already attached"):
            start_forward(lab, forward, "xdp")
        assert xdp_state("fn-eth0", lab.vnf).program_id == program
    finally:
        other.close()


def test_a_missing_interface_is_named(forward: Manifest, lab: VnfLab) -> None:
    for dataplane in ("kernel", "xdp"):
        node = lab.node("forward", dataplane, mechanism=forward.dataplanes[dataplane].mechanism)
        with Netns.create() as empty, pytest.raises(LabError, match="does not exist") as caught:
            start_vnf(node, empty, forward)
        assert caught.value.where == "fn-eth0"


def test_ip_forwarding_routes_between_the_ports(lab: VnfLab, forward: Manifest) -> None:
    addresses = [
        (lab.left, 20, "10.1.0.1/24", "10.1.0.254"),
        (lab.right, 20, "10.2.0.1/24", "10.2.0.254"),
        (lab.vnf, 2, "10.1.0.254/24", None),
        (lab.vnf, 3, "10.2.0.254/24", None),
    ]
    for netns, index, address, gateway in addresses:
        with Rtnl.inside(netns) as rtnl:
            rtnl.add_address(index, address, where=address)
            if gateway:
                rtnl.add_default_route(gateway, where=gateway)
            rtnl.commit()
    node = lab.node("forward", "kernel", mechanism="ip-forwarding")
    receiver = lab.right.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    sender = lab.left.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender, start_vnf(node, lab.vnf, forward) as vnf:
        assert vnf.mode == "ip-forwarding"
        receiver.bind(("10.2.0.1", 7000))
        receiver.settimeout(DEADLINE_S)
        sender.sendto(b"over the hill", ("10.2.0.1", 7000))
        assert receiver.recvfrom(100)[0] == b"over the hill"
        assert vnf.counters()["fn-eth1"].tx_packets >= 1
    read = Path("/proc/sys/net/ipv4/ip_forward").read_text
    assert lab.vnf.run(read).strip() == "0"
