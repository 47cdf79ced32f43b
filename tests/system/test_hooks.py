"""What only VNFs in user space can do: see bursts, hold frames back, send some of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.dataplane import RunningVnf, start_vnf
from emulator.dataplane.build import build_xdp
from emulator.errors import UsageError
from emulator.trying.dut import open_dut
from tests.system.vnf_lab import VnfLab, frame

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

HOLDER = """
#include "vnf.h"
#define VNF_BURST
#define VNF_IDLE
#define VNF_START

/* Holds five frames back and sends them in the reverse order once nothing comes any more. */
struct holder {
    __u32 count;
    __u32 bytes[5];
    __u8 data[5][2048];
};
#define VNF_STATE struct holder

static __u32 wanted;

static void handle_start(struct vnf_ctx *ctx) {
    wanted = ctx->config->wanted;
}

static void handle_burst(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count, __u32 port,
                         int *verdicts) {
    struct holder *held = ctx->state;
    for (__u32 i = 0; i < count && held->count < wanted; i++) {
        vnf_at(ctx, &packets[i]);
        held->bytes[held->count] = ctx->length;
        if (!vnf_load(ctx, 0, held->data[held->count], ctx->length))
            held->count++;
        verdicts[i] = VNF_TAKE;
    }
}

static __u64 handle_idle(struct vnf_ctx *ctx, __u32 port) {
    struct holder *held = ctx->state;
    if (held->count < wanted)
        return VNF_WHENEVER;
    while (held->count) {
        __u32 number = --held->count;
        __u8 *data = vnf_emit(ctx, vnf_peer(port), held->bytes[number]);
        if (data)
            memcpy(data, held->data[number], held->bytes[number]);
    }
    return 1000000;
}
"""
MULTIPLIER = """
#include "vnf.h"
#define VNF_BURST
static void handle_burst(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count, __u32 port,
                         int *verdicts) {
    for (__u32 i = 0; i < count; i++) {
        __u8 *told = packets[i].data + 14;
        for (__u32 n = 0; n < told[0]; n++) {
            __u8 *made = vnf_emit(ctx, n % 3, told[1] << 8 | told[2]);
            ctx->counters->refused += !made;
            if (made)
                made[0] = (__u8)n;
        }
        verdicts[i] = told[3] ? VNF_BACK : VNF_TAKE;
    }
}
"""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("VNF_PATH", raising=False)
        yield


@pytest.fixture(scope="module")
def multiplier(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("multiplier")
    return mine(folder, MULTIPLIER, extra="[counters]\nrefused = 'not emitted'\n")


def mine(folder: Path, source: str, *, extra: str = "", planes: str = "packet") -> Manifest:
    home = folder / "mine"
    home.mkdir()
    (home / "vnf.c").write_text(source)
    (home / "vnf.toml").write_text(
        f'name = "mine"\nsummary = "a test\'s own"\nports = 2\n[dataplanes.{planes}]\n{extra}'
    )
    return read_manifest(home / "vnf.toml")


def start(lab: VnfLab, manifest: Manifest, plane: str, **options: object) -> RunningVnf:
    return start_vnf(lab.node(manifest.name, plane, **options), lab.vnf, manifest, lab.site)


@pytest.mark.parametrize("plane", ["packet", "afxdp"])
def test_bursts_are_counted_by_their_size(lab: VnfLab, plane: str) -> None:
    manifest = Catalog.load()["bursts"]
    frames = [frame(number) for number in range(100)]
    with start(lab, manifest, plane, idle="sleep:100us") as vnf:
        for each in frames[:3]:
            assert lab.transfer(lab.left, lab.right, [each], last=each) == [each]
        own = vnf.counters()["fn-eth0"].own
        assert own["bursts_1"] == 3
        assert own["idle_looks"] > 0
    with start(lab, manifest, plane, idle="sleep:500ms") as vnf:
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        own = vnf.counters()["fn-eth0"].own
        assert own["bursts_32_up"] >= 1
        assert sum(own[name] for name in own if name.startswith("bursts")) < 10


@pytest.mark.parametrize("plane", ["packet", "afxdp"])
def test_a_spin_looks_on_only_where_frames_come_closer_than_it_is_long(
    lab: VnfLab, plane: str
) -> None:
    def sent_and_looked() -> int:
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
        return vnf.counters()["fn-eth0"].own["idle_looks"]

    frames = [frame(0)]
    spinning_looks = 10_000
    with start(lab, Catalog.load()["bursts"], plane, idle="spin:200ms,wait") as vnf:
        for _ in range(3):
            time.sleep(0.3)
            assert sent_and_looked() < spinning_looks
        deadline = time.monotonic() + 30
        while sent_and_looked() <= spinning_looks:
            assert time.monotonic() < deadline, "it never looks on"


@pytest.mark.parametrize("plane", ["packet", "afxdp"])
def test_frames_are_held_back_until_the_port_is_idle(
    lab: VnfLab, tmp_path: Path, plane: str
) -> None:
    extra = '[parameters]\nwanted = { type = "int", default = 5, summary = "held back" }\n'
    manifest = mine(tmp_path, HOLDER, extra=extra, planes=plane)
    frames = [frame(number, 60 + number) for number in range(5)]
    with start(lab, manifest, plane, parameters={"wanted": 5}) as vnf:
        assert lab.transfer(lab.left, lab.right, frames, last=frames[0]) == frames[::-1]
        counters = vnf.counters()
        assert counters["fn-eth0"].rx_packets == 5
        assert counters["fn-eth0"].dropped_packets == 0
        assert counters["fn-eth1"].tx_bytes == sum(map(len, frames))


def test_what_is_emitted_leaves_behind_the_burst(multiplier: Manifest) -> None:
    for number, length, sent in ((2, 100, 2), (1, 9216, 1), (1, 9217, 0), (1, 13, 0), (1, 14, 1)):
        asked = bytes(14) + bytes([number]) + length.to_bytes(2, "big")
        with open_dut(multiplier, "packet") as dut:
            for back in (1, 0):
                dut.handle(0, asked + bytes([back]))
            counters = dut.counters()
            assert counters[0].own["refused"] == 2 * (number - sent)
            assert sum(port.tx_packets for port in counters) == 1 + 2 * sent
            assert sum(port.tx_bytes for port in counters) == 18 + 2 * sent * length
            # What was taken has neither turned back nor been dropped.
            assert (counters[0].rx_packets, counters[0].back_packets) == (2, 1)
            assert counters[0].dropped_packets == 0


def test_no_more_is_emitted_than_fits(multiplier: Manifest) -> None:
    asked = bytes(14) + bytes([200]) + (60).to_bytes(2, "big") + b"\0"
    with open_dut(multiplier, "packet", sanitized=True) as dut:
        dut.handle(0, asked)
        counters = dut.counters()
        # A third of them was for a port that is not there.
        assert [port.tx_packets for port in counters] == [32, 32]
        assert counters[0].own["refused"] == 200 - 64


def test_a_hook_for_the_kernel_is_refused_with_its_line(tmp_path: Path) -> None:
    manifest = mine(tmp_path, MULTIPLIER, planes="xdp")
    with pytest.raises(UsageError, match="poisoned identifier(.|\\n)*#define VNF_BURST") as caught:
        build_xdp(manifest)
    assert caught.value.where == f"{tmp_path}/mine/vnf.c:3"


def test_one_source_has_a_hook_and_a_handler_for_the_kernel(tmp_path: Path) -> None:
    both = MULTIPLIER.replace("#define VNF_BURST", "#ifndef __bpf__\n#define VNF_BURST")
    handler = """#else
    static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
        return VNF_DROP;
    }
    #endif"""
    extra = "[counters]\nrefused = 'not emitted'\n"
    manifest = mine(tmp_path, both + handler, extra=extra, planes="xdp")
    assert build_xdp(manifest).is_file()
