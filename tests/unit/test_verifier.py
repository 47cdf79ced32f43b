"""What is made of the verifier's log: the line of the source, the reason, the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.kernel.verifier import read_refusal

SOURCE = """\
#include "vnf.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u8 *frame = data;
    if (data + 20 > end)
        return VNF_DROP;
    if (vnf_push(ctx, 8))
        return VNF_DROP;
    frame[3] = 1;
    return VNF_DROP;
}
"""
STALE = """\
; in->rx_bytes += ctx.length; @ xdp.bpf.c:95
25: (7b) *(u64 *)(r6 +8) = r3         ; R3=scalar() R6=map_value(map=counters,ks=4,vs=512)
; if (data + 20 > end) @ vnf.c:5
27: (07) r2 += 20                     ; R2=pkt(off=20,r=0)
28: (2d) if r2 > r1 goto pc+6         ; R1=pkt_end() R2=pkt(off=20,r=20)
; return bpf_xdp_adjust_head(ctx->frame, -(int)bytes) ? -1 : 0; @ vnf_bpf.h:26
31: (85) call bpf_xdp_adjust_head#44          ; R0=scalar()
; if (vnf_push(ctx, 8)) @ vnf.c:7
32: (55) if r0 != 0x0 goto pc+2       ; R0=0
; frame[3] = 1; @ vnf.c:9
34: (73) *(u8 *)(r9 +3) = r1
R9 invalid mem access 'scalar'
processed 32 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "vnf.c"
    path.write_text(SOURCE)
    return path


def ending(reason: str, *before: str) -> str:
    return "\n".join([*before, "34: (73) *(u8 *)(r9 +3) = r1", reason, "processed 32 insns"])


def test_the_way_to_the_culprit_is_shown_with_its_lines(source: Path) -> None:
    refusal = read_refusal(STALE, source)

    assert refusal.where == f"{source}:9"
    assert refusal.reason == "R9 invalid mem access 'scalar'"
    assert refusal.excerpt == (
        "    5 |     if (data + 20 > end)\n"
        "    7 |     if (vnf_push(ctx, 8))\n"
        "  > 9 |     frame[3] = 1;"
    )


def test_older_kernels_tell_the_text_alone(source: Path) -> None:
    log = "\n".join(row.partition(" @ ")[0] for row in STALE.splitlines())

    assert read_refusal(log, source).lines == read_refusal(STALE, source).lines


def test_a_text_that_stands_there_twice_is_the_one_further_on(tmp_path: Path) -> None:
    path = tmp_path / "vnf.c"
    path.write_text("frame[0] = 1;\nif (frame) {\nframe[0] = 1;\n")

    log = ending("R9 invalid mem access 'scalar'", "; if (frame) {", "; frame[0] = 1;")

    assert [line.number for line in read_refusal(log, path).lines] == [2, 3]


def test_a_line_of_the_library_is_named_beside_the_last_of_ones_own(source: Path) -> None:
    log = ending(
        "R4 min value is negative, either use unsigned or 'var &= const'",
        "; frame[3] = 1; @ vnf.c:9",
        "; return bpf_xdp_load_bytes(ctx->frame, offset, to, bytes) @ vnf_bpf.h:42",
    )

    refusal = read_refusal(log, source)

    assert refusal.where == f"{source}:9"
    assert refusal.inside.startswith("vnf_bpf.h:42: return bpf_xdp_load_bytes")
    assert "number of bytes" in refusal.hint


def test_a_file_included_from_the_same_folder_is_ones_own_too(source: Path) -> None:
    (source.parent / "helper.h").write_text("first\nsecond\n")

    refusal = read_refusal(ending("R1 !read_ok", "; second @ helper.h:2"), source)

    assert refusal.where == f"{source.parent / 'helper.h'}:2"


def test_a_loop_that_does_not_end_is_shown_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "vnf.c"
    path.write_text("for (;;) {\n    sum += *at;\n}\n")
    turns = ["; for (;;) { @ vnf.c:1", "; sum += *at; @ vnf.c:2"] * 3

    refusal = read_refusal(ending("The sequence of 8193 jumps is too complex.", *turns), path)

    assert refusal.where == f"{path}:1"
    assert "constant bound" in refusal.hint


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (
            "invalid access to packet, off=12 size=4, R2(id=0,off=12,r=0)",
            "if (data + 16 > end) return VNF_DROP;",
        ),
        ("invalid access to packet, off=0 size=1, R3(id=1,off=0,r=0)", "this very pointer"),
        ("invalid access to packet, off=-4 size=4, R3(id=0,off=-4,r=0)", "vnf_push()"),
        ("invalid access to packet, off=65535 size=1, R3(id=0,off=65535,r=65535)", "constant"),
        ("math between pkt pointer and register with unbounded min value is not allowed", "&="),
        ("math between map_value pointer and register with unbounded min value", "index"),
        ("invalid read from stack R1 off -520+0 size 1", "index"),
        ("R0 invalid mem access 'map_value_or_null'", "may be NULL"),
        ("R1 invalid mem access 'scalar'", "no pointer"),
        ("R3 invalid mem access 'pkt_end'", "compare"),
        ("R3 pointer arithmetic on pkt_end prohibited", "compare"),
        ("R0 !read_ok", "verdict"),
        ("BPF program is too large. Processed 1000001 insn", "constant bound"),
        ("infinite loop detected at insn 31", "constant bound"),
        ("write into map forbidden, value_size=40 off=0 size=8", "only to be read"),
    ],
)
def test_the_usual_mistakes_come_with_a_remedy(reason: str, remedy: str, source: Path) -> None:
    assert remedy in read_refusal(ending(reason, "; frame[3] = 1; @ vnf.c:9"), source).hint


def test_what_moved_the_frame_is_blamed_for_a_stale_pointer(source: Path) -> None:
    assert "stale" in read_refusal(STALE, source).hint


def test_a_header_used_without_asking_is_blamed_for_checks_that_vanished(source: Path) -> None:
    log = ending(
        "invalid access to packet, off=17 size=1, R3(id=0,off=17,r=14)",
        "; if (type != vnf_htons(ETH_P_8021Q)) @ vnf_packet.h:164",
    )

    refusal = read_refusal(log, source)

    assert (refusal.where, refusal.lines) == ("", ())
    assert "vnf_parse()" in refusal.hint


def test_a_log_that_says_nothing_is_no_error(source: Path) -> None:
    refusal = read_refusal("", source)

    assert (refusal.lines, refusal.inside, refusal.hint) == ((), "", "")


def test_without_a_source_the_reason_is_still_told() -> None:
    assert read_refusal(STALE).reason == "R9 invalid mem access 'scalar'"
