"""VNFs written in Python, at work on a network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.catalog import Manifest, read_manifest
from emulator.dataplane import attach_vnf, start_vnf
from emulator.dataplane.process import ProcessVnf
from emulator.errors import BuildVnfError, LabError, UsageError
from emulator.plan.process_options import DRIVERS
from tests.system.vnf_lab import VnfLab, frame

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SIZES = (60, 61, 127, 128, 590, 1490, 1514)
MODES = {"packet": "AF_PACKET ring", "afxdp": "AF_XDP native copy, need-wakeup"}
NAPS = "sleep:2ms"
"""Frames that come meanwhile are handled together."""
DEADLINE_S = 10.0
WATCH_S = 0.5

FORWARD = "from vnf import *\ndef handle(ctx, packet, port):\n    return FORWARD(peer(port))\n"
TURN = {
    "one by one": """
from vnf import FORWARD, peer
def handle(ctx, packet, port):
    ctx.counters.seen += 1
    packet[20:] = bytes(byte ^ 0x5A for byte in packet[20:])
    if len(packet) < 1500:
        packet.append(4)
        packet[-4:] = b"tail"
    return FORWARD(peer(port))
""",
    "in bursts": """
import numpy as np
from vnf import FORWARD, peer
def handle_burst(ctx, burst, port):
    ctx.counters.seen += len(burst)
    burst.frames[:, 20:] ^= 0x5A
    short = burst.lengths < 1500
    burst.append(np.where(short, 4, 0))
    for row, length in zip(burst.frames[short], burst.lengths[short]):
        assert not row[length:].any()
    ends = burst.lengths[short, None] + np.arange(-4, 0)
    burst.frames[np.flatnonzero(short)[:, None], ends] = np.frombuffer(b"tail", "u1")
    return np.full(len(burst), FORWARD(peer(port)))
""",
}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def mine(folder: Path, source: str, *, extra: str = "") -> Manifest:
    home = folder / "mine"
    home.mkdir()
    (home / "vnf.py").write_text(source)
    (home / "vnf.toml").write_text(
        'name = "mine"\nsummary = "a test\'s own"\nports = 2\n[dataplanes.python]\n' + extra
    )
    return read_manifest(home / "vnf.toml")


def start(lab: VnfLab, manifest: Manifest, **options: object) -> ProcessVnf:
    values, problems = manifest.check_parameters({})
    assert not problems
    node = lab.node("mine", "python", parameters=values, **options)
    vnf = start_vnf(node, lab.vnf, manifest, lab.site)
    assert isinstance(vnf, ProcessVnf)
    return vnf


def tagged(number: int, size_bytes: int) -> bytes:
    plain = frame(number, size_bytes - 4)
    return plain[:12] + b"\x81\x00\x20\x05" + plain[12:]


def turned(sent: bytes) -> bytes:
    tail = b"tail" if len(sent) < 1500 else b""
    return sent[:20] + bytes(byte ^ 0x5A for byte in sent[20:]) + tail


@pytest.mark.parametrize("driver", DRIVERS["python"])
@pytest.mark.parametrize("style", TURN)
def test_every_byte_of_every_frame_is_handled(
    lab: VnfLab, tmp_path: Path, style: str, driver: str
) -> None:
    extra = "[counters]\nseen = 'frames'\n"
    manifest = mine(tmp_path, TURN[style], extra=extra)
    frames = [frame(number, SIZES[number % len(SIZES)]) for number in range(35)]
    # A tag moves a frame within its memory, so these do not lie evenly.
    frames += [tagged(number, SIZES[number % len(SIZES)]) for number in range(35, 50)]
    frames += [frame(number, 200) for number in range(50, 100)]
    back = [frame(number, 60 + number, reverse=True) for number in range(20)]
    with start(lab, manifest, driver=driver, idle=NAPS) as vnf:
        assert vnf.mode == f"{MODES[driver]}, handled {style}"
        wanted = [turned(each) for each in frames]
        assert lab.transfer(lab.left, lab.right, frames, last=wanted[-1]) == wanted
        wanted_back = [turned(each) for each in back]
        assert lab.transfer(lab.right, lab.left, back, last=wanted_back[-1]) == wanted_back
        counters = vnf.counters()
        assert counters["fn-eth0"].own == {"seen": 100}
        assert counters["fn-eth0"].rx_bytes == sum(map(len, frames))
        assert counters["fn-eth0"].tx_bytes == sum(map(len, wanted_back))
        assert counters["fn-eth1"].own == {"seen": 20}
        assert counters["fn-eth1"].tx_packets == 100


def test_jumbo_frames_are_handled(tmp_path: Path) -> None:
    source = (
        "from vnf import *\ndef handle_burst(ctx, burst, port):\n"
        "    burst.frames[:, 20:] ^= 0x5A\n    return FORWARD(peer(port))\n"
    )
    frames = [frame(number, size) for number, size in enumerate((60, 3600, 9014, 9014))]
    wanted = [each[:20] + bytes(byte ^ 0x5A for byte in each[20:]) for each in frames]
    with VnfLab(mtu=9000) as lab, start(lab, mine(tmp_path, source), driver="packet"):
        assert lab.transfer(lab.left, lab.right, frames, last=wanted[-1]) == wanted


def test_parameters_of_all_types_change_while_it_runs(lab: VnfLab, tmp_path: Path) -> None:
    source = """
from vnf import FORWARD, peer
def configure(parameters):
    return parameters.word.upper().encode()
def handle(ctx, packet, port):
    packet[20:30] = b"%-5s%5.2f" % (ctx.settings, ctx.parameters.share)
    return FORWARD(peer(port))
"""
    extra = (
        '[parameters]\nword = { type = "str", default = "one", summary = "text" }\n'
        'share = { type = "float", default = 0.5, summary = "a fraction" }\n'
    )

    def expect(text: bytes) -> None:
        sent = frame(1)
        wanted = sent[:20] + text + sent[30:]
        assert lab.transfer(lab.left, lab.right, [sent], last=wanted) == [wanted]

    with start(lab, mine(tmp_path, source, extra=extra)) as vnf:
        expect(b"ONE   0.50")
        vnf.set({"word": "two"}, where="here")
        expect(b"TWO   0.50")
        with attach_vnf(vnf.describe(), lab.vnf) as other:
            other.set({"share": 0.75}, where="there")
            assert other.parameters() == vnf.parameters() == {"word": "two", "share": 0.75}
        expect(b"TWO   0.75")
        with pytest.raises(UsageError, match="is not a number"):
            vnf.set({"share": "much"}, where="here")
        expect(b"TWO   0.75")


def test_a_handler_that_raises_is_told_with_its_traceback(lab: VnfLab, tmp_path: Path) -> None:
    source = FORWARD.replace(
        "    return", "    if packet[17] == 3:\n        packet.lots\n    return"
    )
    manifest = mine(tmp_path, source)
    with start(lab, manifest) as vnf:
        before = [frame(number) for number in (1, 2)]
        assert lab.transfer(lab.left, lab.right, before, last=before[-1]) == before
        assert vnf.failure() is None
        lab.send(lab.left, [frame(3)])
        deadline = time.monotonic() + DEADLINE_S
        while vnf.failure() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        told = vnf.failure()
        assert told is not None
        assert f'{manifest.folder}/vnf.py", line 4, in handle' in told
        assert "AttributeError: 'Packet' object has no attribute 'lots'" in told
        with pytest.raises(LabError, match="AttributeError"):
            vnf.set({}, where="fn")


@pytest.mark.parametrize(
    ("source", "kind", "message", "line"),
    [
        (FORWARD + "x = (\n", UsageError, "was never closed", 4),
        ("import nowhere_to_be_found\n" + FORWARD, UsageError, "vnf.py:1: ModuleNotFound", 0),
        (FORWARD + "def configure(parameters):\n    1 / 0\n", LabError, "ZeroDivision", 0),
    ],
)
def test_a_mistake_is_told_at_the_start(
    lab: VnfLab, tmp_path: Path, source: str, kind: type[BuildVnfError], message: str, line: int
) -> None:
    manifest = mine(tmp_path, source)
    with pytest.raises(kind, match=message) as caught:
        start(lab, manifest)
    where = f"{manifest.folder}/vnf.py:{line}" if line else "fn"
    assert caught.value.where == where


def test_a_vnf_imports_what_lies_beside_it(lab: VnfLab, tmp_path: Path) -> None:
    manifest = mine(tmp_path, "from helper import handle\n")
    (manifest.folder / "helper.py").write_text(FORWARD)
    frames = [frame(1)]
    with start(lab, manifest):
        assert lab.transfer(lab.left, lab.right, frames, last=frames[-1]) == frames
    assert sorted(path.name for path in manifest.folder.iterdir()) == [
        "helper.py",
        "vnf.py",
        "vnf.toml",
    ]


def test_frames_are_held_back_until_the_port_is_idle(lab: VnfLab, tmp_path: Path) -> None:
    source = """
from vnf import *
class State:
    def __init__(self):
        self.held = []
def handle(ctx, packet, port):
    ctx.state.held.append(bytes(packet))
    return TAKE
def handle_idle(ctx, port):
    if not ctx.state.held:
        return None
    if len(ctx.state.held) < 5:
        return 1_000_000
    for each in reversed(ctx.state.held):
        assert ctx.emit(peer(port), each)
    ctx.state.held.clear()
"""
    frames = [frame(number, 60 + number) for number in range(5)]
    with start(lab, mine(tmp_path, source)) as vnf:
        got = lab.transfer(lab.left, lab.right, frames, last=frames[0])
        assert got == frames[::-1]
        counters = vnf.counters()
        assert (counters["fn-eth0"].rx_packets, counters["fn-eth0"].dropped_packets) == (5, 0)
        assert counters["fn-eth1"].tx_bytes == sum(map(len, frames))


def test_while_no_frame_comes_it_uses_no_cpu(lab: VnfLab, tmp_path: Path) -> None:
    def cpu_ns(vnf: ProcessVnf) -> int:
        return int(Path(f"/proc/{vnf.pid}/schedstat").read_text().split()[0])

    with start(lab, mine(tmp_path, FORWARD)) as vnf:
        before_ns = cpu_ns(vnf)
        time.sleep(WATCH_S)
        assert cpu_ns(vnf) - before_ns < 0.05 * WATCH_S * 1e9
