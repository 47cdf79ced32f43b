"""VNFs written in Python: what they import, and how they are tried without a network."""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.catalog import Manifest, read_manifest
from emulator.dataplane import python
from emulator.dataplane.bpf_memory import random_state
from emulator.dataplane.build import library_dir
from emulator.dataplane.python import check_source
from emulator.errors import LabError, UsageError
from emulator.plan.process_options import DRIVERS
from emulator.trying.dut import START_NS, Dut, open_dut

FRAME = bytes(range(60))
MANIFEST = """
name = "mine"
summary = "a test's own"
ports = 2
[dataplanes.python]
[parameters]
number = { type = "int", default = 7, summary = "a number" }
share = { type = "float", default = 0.5, summary = "a fraction" }
strict = { type = "bool", default = true, summary = "a flag" }
text = { type = "str", default = "x", summary = "text" }
address = { type = "ipv4", default = "10.0.0.1", summary = "an address" }
station = { type = "mac", default = "02:00:00:00:00:01", summary = "another" }
[counters]
seen = "frames"
bytes = "their bytes"
"""


@pytest.fixture(scope="module")
def vnf() -> Iterator[ModuleType]:
    """The module as a VNF imports it; not named as tests do, so loaded from its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(library_dir()))
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.delitem(sys.modules, "vnf", raising=False)
        import vnf as module

        yield module
    sys.modules.pop("vnf", None)


def mine(folder: Path, source: str, *, manifest: str = MANIFEST) -> Manifest:
    """A VNF as a user writes one."""
    home = folder / "mine"
    home.mkdir(exist_ok=True)
    (home / "vnf.py").write_text(source)
    (home / "vnf.toml").write_text(manifest)
    return read_manifest(home / "vnf.toml")


def tried(folder: Path, source: str, **options: Any) -> Dut:
    return open_dut(mine(folder, source), "python", **options)


def test_names_mean_what_they_mean_in_c(vnf: ModuleType) -> None:
    folder = library_dir()
    headers = "".join((folder / name).read_text() for name in ("vnf.h", "vnf_user.h"))
    found = dict(re.findall(r"#define VNF_(\w+)\s+(\d+)\b", headers))
    for name in ("DROP", "BACK", "TO_HOST", "FLOOD", "TAKE", "MAX_PORTS", "BURST_FRAMES"):
        assert getattr(vnf, name) == int(found[name])
    for name in ("EMIT_BYTES", "HEADROOM_BYTES", "TAILROOM_BYTES"):
        assert getattr(vnf, name) == int(found[name])
    assert vnf.FORWARD(3) == int(found["FORWARD_BASE"]) + 3
    assert [vnf.peer(0), vnf.peer(1)] == [1, 0]


def test_a_driver_is_a_loop_in_c() -> None:
    assert tuple(python.STARTS) == DRIVERS["python"]
    assert all((library_dir() / f"{driver}.c").is_file() for driver in DRIVERS["python"])


def test_the_hash_is_that_of_c(vnf: ModuleType) -> None:
    assert struct.pack("=8Q", *(vnf.mix64(5 * 8 + port) for port in range(8))) == random_state(5)


def test_a_packet_reads_and_writes_as_bytes_do(vnf: ModuleType) -> None:
    packet = vnf.Packet(FRAME)
    assert len(packet) == 60
    assert packet[3] == 3
    assert packet[12:14] == b"\x0c\x0d"
    packet[0:6], packet[-1] = b"abcdef", 255
    packet[6:12][0] = 9
    assert bytes(packet) == b"abcdef\x09" + FRAME[7:59] + b"\xff"
    assert struct.unpack_from("!H", packet.data, 12) == (0x0C0D,)
    with pytest.raises(IndexError):
        packet[60]
    with pytest.raises(ValueError, match="different structures"):
        packet[0:6] = b"short"


def test_a_packet_grows_into_its_room_and_no_further(vnf: ModuleType) -> None:
    packet = vnf.Packet(FRAME)
    assert packet.push(128)
    assert not packet.push(1)
    assert packet.append(128)
    assert not packet.append(1)
    assert bytes(packet) == bytes(128) + FRAME + bytes(128)
    assert packet.pull(300)
    assert bytes(packet) == bytes(16)
    assert packet.append(0)
    assert not packet.append(-1)


def test_a_packet_keeps_an_ethernet_header(vnf: ModuleType) -> None:
    packet = vnf.Packet(FRAME)
    for refuse in (packet.trim, packet.pull):
        assert not refuse(47)
        assert not refuse(-1)
        assert bytes(packet) == FRAME
    assert packet.trim(46)
    assert bytes(packet) == FRAME[:14]
    assert not vnf.Packet(FRAME[:13]).trim(0)


def test_counters_are_those_declared(vnf: ModuleType) -> None:
    cells = memoryview(bytearray(16)).cast("Q")
    counters = vnf.counters_type(["seen", "lost"])(cells)
    counters.lost += 2
    counters.lost += 1
    assert (counters.seen, counters.lost, list(cells)) == (0, 3, [0, 3])
    with pytest.raises(AttributeError):
        counters.lots += 1
    with pytest.raises(AttributeError):
        counters.lots = 1


@pytest.mark.parametrize(
    ("source", "bursts"),
    [
        ("def handle(ctx, packet, port): return 0", False),
        ("def handle_burst(ctx, burst, port): return 0", True),
        ("def handle(a, b, c): pass\ndef handle_burst(a, b, c): pass", True),
        ("from elsewhere import handle", False),
        ("import x\nhandle_burst = x.made(3)", True),
        ("def handle(*all): return 0", False),
        ("def handle(ctx, packet, port, extra=1): return 0", False),
    ],
)
def test_a_good_source_is_told_from_what_it_defines(
    tmp_path: Path, source: str, bursts: bool
) -> None:
    assert check_source(mine(tmp_path, source)) is bursts


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\ndef handle(ctx, packet, port:\n    return 0", 2, "was never closed"),
        ("def handle(ctx, packet, port):\nreturn 0", 2, "expected an indented block"),
        ("def handel(ctx, packet, port): return 0", 1, "no function handle"),
        ("", 1, "no function handle"),
        ("x = 1\ndef handle(packet): return 0", 2, "called with 3 arguments"),
        ("def handle_burst(ctx, burst, port, more): return 0", 1, "called with 3 arguments"),
        ("def handle(ctx, packet, port, *, must): return 0", 1, "called with 3 arguments"),
        ("def handle(a, b, c): return 0\ndef configure(): pass", 2, "called with 1 arguments"),
    ],
)
def test_a_mistake_in_a_source_is_told_with_its_line(
    tmp_path: Path, source: str, line: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_source(mine(tmp_path, source))
    assert caught.value.where == f"{tmp_path}/mine/vnf.py:{line}"


def test_what_is_no_text_is_no_source(tmp_path: Path) -> None:
    manifest = mine(tmp_path, "")
    (tmp_path / "mine" / "vnf.py").write_bytes(b"def handle\0")
    with pytest.raises(UsageError, match="null bytes"):
        check_source(manifest)
    (tmp_path / "mine" / "vnf.py").unlink()
    with pytest.raises(UsageError, match="no such source file"):
        check_source(manifest)


def test_a_module_that_fails_when_loaded_is_told_with_its_line(tmp_path: Path) -> None:
    source = "import math\nx = math.nothing\ndef handle(ctx, packet, port): return 0\n"
    with pytest.raises(LabError, match=r"mine/vnf.py:2: AttributeError.*nothing"):
        tried(tmp_path, source)


VERDICTS = "DROP, BACK, TO_HOST, FLOOD, TAKE, FORWARD(0), FORWARD(1), FORWARD(2), FORWARD(9), 99"
ONE_BY_ONE = f"""
from vnf import *
VERDICTS = {VERDICTS}
def handle(ctx, packet, port):
    return VERDICTS[packet[14]]
"""
IN_BURSTS = f"""
import numpy as np
from vnf import *
VERDICTS = np.array([{VERDICTS}])
def handle_burst(ctx, burst, port):
    verdicts = VERDICTS[burst.frames[:, 14]]
    return verdicts if port else int(verdicts[0])
"""


@pytest.mark.parametrize("source", [ONE_BY_ONE, IN_BURSTS], ids=["one by one", "in bursts"])
def test_verdicts_lead_where_they_do_in_c(tmp_path: Path, source: str) -> None:
    manifest = mine(tmp_path, source, manifest=MANIFEST.replace("ports = 2", "ports = 3"))
    with open_dut(manifest, "python") as dut:
        for port in (0, 1):
            led = []
            for verdict in range(10):
                frame = bytes(14) + bytes([verdict]) + bytes(45)
                outcome = dut.handle(port, frame)
                assert {*outcome.sent.values(), outcome.to_host} <= {frame, None}
                led.append((set(outcome.sent), outcome.to_host is not None))
            nowhere, others = (set(), False), {0, 1, 2} - {port}
            assert led == [
                nowhere,
                ({port}, False),
                (set(), True),
                (others, False),
                nowhere,
                *(({out}, False) for out in (0, 1, 2)),
                nowhere,
                nowhere,
            ]
            counters = dut.counters()[port]
            assert counters.rx_packets == 10
            assert (counters.dropped_packets, counters.back_packets) == (3, 1)


CHANGE = """
from vnf import *
def handle(ctx, packet, port):
    how, count = packet[14], int.from_bytes(packet[15:17], "big")
    done = (packet.push, packet.pull, packet.append, packet.trim)[how](count)
    packet[0] = done
    return FORWARD(1)
"""
CHANGE_BURST = """
from vnf import *
def handle_burst(ctx, burst, port):
    how, count = burst.frames[0, 14], burst.frames[:, 15:17].copy().view(">u2")[:, 0]
    done = (burst.push, burst.pull, burst.append, burst.trim)[how](count)
    assert burst.frames.shape == (len(burst), burst.lengths[0])
    burst.frames[:, 0] = done
    return FORWARD(1)
"""
CHANGE_C = """
#include "vnf.h"
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u8 *bytes = data;
    if (data + 17 > end)
        return VNF_DROP;
    __u32 count = bytes[15] << 8 | bytes[16];
    int failed = bytes[14] == 0   ? vnf_push(ctx, count)
                 : bytes[14] == 1 ? vnf_pull(ctx, count)
                 : bytes[14] == 2 ? vnf_append(ctx, count)
                                  : vnf_trim(ctx, count);
    bytes = vnf_data(ctx);
    if (bytes[0] == 0x77 && !failed)
        for (__u32 i = 0; i < count; i++)
            bytes[i] = 0;
    bytes[0] = !failed;
    return VNF_FORWARD(1);
}
"""


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Dut]]:
    """The same VNF in Python, one by one and in bursts, and in C."""
    folder = tmp_path_factory.mktemp("changing")
    duts = [tried(folder, source) for source in (CHANGE, CHANGE_BURST)]
    (folder / "mine" / "vnf.c").write_text(CHANGE_C)
    text = MANIFEST.replace("[dataplanes.python]", "[dataplanes.packet]")
    duts.append(open_dut(mine(folder, "", manifest=text), "packet"))
    yield duts
    for dut in duts:
        dut.close()


@settings(deadline=None, max_examples=60)
@given(
    how=st.integers(0, 3),
    count=st.sampled_from([0, 1, 8, 45, 46, 47, 100, 127, 128, 129, 1500, 60000]),
    size=st.sampled_from([17, 60, 61, 590, 1514, 9014]),
)
def test_lengths_change_as_they_do_in_c(
    changing: list[Dut], how: int, count: int, size: int
) -> None:
    # What push makes room for is undefined in C, whose twin clears it where this byte was.
    head = bytes(14) if how else b"\x77" * 14
    frame = (head + bytes([how]) + count.to_bytes(2, "big")).ljust(size, b"\x55")
    one, burst, c = (dut.handle(0, frame).sent[1] for dut in changing)
    assert one == burst
    assert len(one) == len(c)
    if how:
        assert one == c
    assert one[0] == (len(one) != size or count == 0)


RANDOM = {
    "one by one": "def handle(ctx, packet, port):\n"
    "    packet[14:22] = ctx.random().to_bytes(8, 'little')\n    return BACK\n",
    "in bursts": "def handle_burst(ctx, burst, port):\n"
    "    burst.frames[:, 14:22] = ctx.randoms(len(burst)).view('u1').reshape(-1, 8)\n"
    "    return BACK\n",
}


@pytest.mark.parametrize("source", RANDOM.values(), ids=list(RANDOM))
def test_random_numbers_are_those_of_c(vnf: ModuleType, tmp_path: Path, source: str) -> None:
    states = struct.unpack("=8Q", random_state(3))
    with tried(tmp_path, "from vnf import *\n" + source, seed=3) as dut:
        for turn in (1, 2, 3):
            for port in (0, 1):
                got = dut.handle(port, bytes(60)).sent[port][14:22]
                wanted = vnf.mix64(states[port] + turn * 0x9E3779B97F4A7C15)
                assert int.from_bytes(got, "little") == wanted


def test_a_context_has_parameters_state_counters_and_time(tmp_path: Path) -> None:
    source = """
import json
from vnf import *

class State:
    frames = 0

configured = []

def configure(parameters):
    configured.append(parameters.text)
    return "/".join(configured)

def handle(ctx, packet, port):
    ctx.state.frames += 1
    ctx.counters.seen += 1
    ctx.counters.bytes += len(packet)
    p = ctx.parameters
    said = [p.number, p.share, p.strict, p.text, p.address.hex(), p.station.hex(), ctx.settings]
    said += [ctx.state.frames, ctx.now_ns(), ctx.port, ctx.ports]
    ctx.emit(1 - port, bytes(14) + json.dumps(said).encode())
    return TAKE
"""

    def say(dut: Dut, port: int) -> list[Any]:
        said: list[Any] = json.loads(dut.handle(port, FRAME).sent[1 - port][14:])
        return said

    with tried(tmp_path, source, parameters={"number": 2**32 - 1}) as dut:
        first = [2**32 - 1, 0.5, True, "x", "0a000001", "020000000001", "x"]
        assert say(dut, 0) == [*first, 1, START_NS, 0, 2]
        dut.set(text="ünï" * 200, share=0.25, strict=False, address="1.2.3.4")
        dut.set_clock_ns(77)
        text = "ünï" * 200
        then = [2**32 - 1, 0.25, False, text, "01020304", "020000000001", f"x/{text}"]
        assert say(dut, 0) == [*then, 2, 77, 0, 2]
        assert say(dut, 1) == [*then, 1, 77, 1, 2]
        assert [port.own for port in dut.counters()] == [
            {"seen": 2, "bytes": 120},
            {"seen": 1, "bytes": 60},
        ]
        assert dut.counters()[0].dropped_packets == 0
        with pytest.raises(UsageError, match="longer than"):
            dut.set(text="x" * 70000)
        assert say(dut, 1)[:4] == [2**32 - 1, 0.25, False, text]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def handle(ctx, packet, port):\n    pass", "returned None, which is not a verdict"),
        ("def handle(ctx, packet, port):\n    return True", "returned True"),
        ("def handle(ctx, packet, port):\n    ctx.counters.sene += 1", "sene"),
        ("def handle_burst(ctx, burst, port):\n    return burst.lengths > 3", "neither a verdict"),
        ("def handle_burst(ctx, burst, port):\n    return [DROP, DROP]", "array of 1"),
        ("def handle_burst(ctx, burst, port):\n    burst.lengths[0] = 3", "read-only"),
        ("def handle_burst(ctx, burst, port):\n    burst.push(-1)", "not a number of bytes"),
        ("import sys\ndef handle(ctx, packet, port):\n    sys.exit(0)", "SystemExit"),
    ],
)
def test_a_handler_that_raises_ends_the_vnf_with_its_traceback(
    tmp_path: Path, body: str, message: str
) -> None:
    source = f"from vnf import DROP\n{body}\n"
    with tried(tmp_path, source) as dut, pytest.raises(LabError, match=message):
        dut.handle(0, FRAME)


def test_a_traceback_begins_in_the_handler(tmp_path: Path) -> None:
    source = "def handle(ctx, packet, port):\n    return 1 // (port - port)\n"
    with tried(tmp_path, source) as dut, pytest.raises(LabError, match="Zero") as caught:
        dut.handle(0, FRAME)
    assert f'{tmp_path}/mine/vnf.py", line 2, in handle' in caught.value.message
    assert "python_loop" not in caught.value.message


@pytest.mark.parametrize("number", [1, 2])
def test_the_examples_in_the_guide_do_what_they_say(tmp_path: Path, number: int) -> None:
    guide = (library_dir().parent / "README.md").read_text()
    folder = tmp_path / "ttl"
    folder.mkdir()
    text = guide.split("```toml\n")[1].split("```")[0]
    (folder / "vnf.py").write_text(guide.split("```python\n")[number].split("```")[0])
    planes = '[dataplanes.xdp]\nsource = "vnf.c"\n'
    assert planes in text
    (folder / "vnf.toml").write_text(text.replace(planes, "[dataplanes.python]\n"))
    manifest = read_manifest(folder / "vnf.toml")
    head = bytes(12) + b"\x08\x00" + bytes(8)
    with open_dut(manifest, "python", {"least": 5}) as dut:
        for hops in (4, 5, 1, 64):
            packet = head + bytes([hops, 17]) + bytes(36)
            assert dut.handle(0, packet).sent == ({1: packet} if hops >= 5 else {})
        assert dut.counters()[0].own == {"expired": 2}
