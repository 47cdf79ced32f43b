"""One source, every data plane: the same frames in, the same bytes and counters out.

Each VNF of the catalogue is tried as XDP programs in the kernel, as compiled for user space with
the sanitisers on, and in Python where it is written in that too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalog import Catalog, Manifest, read_manifest
from emulator.dataplane.build import MAX_PORTS
from emulator.errors import UsageError
from emulator.trying.cases import load_cases
from emulator.trying.difference import describe
from emulator.trying.dut import USER_SPACE, Dut, Duts, planes_to_try
from emulator.trying.model import START_NS
from emulator.trying.portrait import Table, tables_of
from emulator.trying.suite import run_cases
from tests.frames import JUMBO_BYTES, Given, hand_picked, jumbo, sequences

pytestmark = pytest.mark.xdp

CATALOG = Catalog.load()
HANDLERS = [name for name in CATALOG if planes_to_try(CATALOG[name])]
WITH_PLANES = [(name, plane) for name in HANDLERS for plane in planes_to_try(CATALOG[name])]
SEVERAL = [name for name in HANDLERS if len(planes_to_try(CATALOG[name])) > 1]
# A frame in several pieces that an XDP program sends to several ports gets lost in the kernel, so
# mirror sends it on and does not copy it: its README says so.
NOT_IN_PIECES = ("mirror",)
EXAMPLES = 25
JUMBO_EXAMPLES = 6
# A process of Python's takes a while to start.
PYTHON_EXAMPLES = 4
TWO_FACED = """\
#include "vnf.h"
VNF_HASH(seen, __u32, __u32, 64);

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers headers;
    if (vnf_parse(data, end, &headers) || !headers.ipv4 || headers.ipv4->ttl != 1)
        return VNF_BACK;
    __u32 key = 1, value = 1;
#ifdef __bpf__
    value = 2;
#endif
    vnf_update(&seen, &key, &value);
    return VNF_BACK;
}
"""
_SETTINGS: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": False,
}


@pytest.mark.parametrize("name", HANDLERS)
def test_every_vnf_comes_with_cases_and_with_a_readme(name: str) -> None:
    assert len(load_cases(CATALOG[name])) >= 2
    assert (CATALOG[name].folder / "README.md").is_file()


@pytest.mark.parametrize(("name", "plane"), WITH_PLANES)
def test_the_cases_hold_on_every_data_plane(name: str, plane: str) -> None:
    manifest = CATALOG[name]
    wrong = [
        f"{each.case}: {each.error or describe(each.mismatches[0])}"
        for each in run_cases(manifest, load_cases(manifest), [plane])
        if each.result != "ok"
    ]
    assert wrong == []


@pytest.mark.parametrize("name", SEVERAL)
def test_any_frames_are_handled_alike_everywhere(name: str) -> None:
    compare(CATALOG[name], EXAMPLES, frames_for(CATALOG[name]))


@pytest.mark.parametrize("name", [name for name in SEVERAL if name not in NOT_IN_PIECES])
def test_so_are_jumbo_frames(name: str) -> None:
    frames = jumbo(frames_for(CATALOG[name])[:12])
    compare(CATALOG[name], JUMBO_EXAMPLES, frames, longest=JUMBO_BYTES)


@pytest.mark.parametrize(("name", "plane"), [each for each in WITH_PLANES if each[1] != "xdp"])
def test_less_than_an_ethernet_header_breaks_nothing(name: str, plane: str) -> None:
    with (
        Duts(CATALOG[name], plane, sanitized=True) as duts,
        duts.open(parameter_sets(CATALOG[name])[0]) as dut,
    ):
        for length in range(14):
            dut.handle(0, hand_picked()[0][:length])
        assert dut.counters()[0].rx_packets == 14


def test_a_handler_that_differs_between_planes_is_found_out(tmp_path: Path) -> None:
    home = tmp_path / "two-faced"
    home.mkdir()
    planes = "[dataplanes.xdp]\n[dataplanes.packet]\n"
    (home / "vnf.toml").write_text(f'name = "two-faced"\nsummary = "s"\nports = 2\n{planes}')
    (home / "vnf.c").write_text(TWO_FACED)
    with pytest.raises(AssertionError, match="xdp differs from packet"):
        compare(read_manifest(home / "vnf.toml"), EXAMPLES, list(hand_picked()))


def frames_for(manifest: Manifest) -> list[bytes]:
    """The frames of the VNF's cases, and those for every VNF."""
    own = {bytes(step.frame): None for case in load_cases(manifest) for step in case.steps}
    return [*hand_picked(), *(frame for frame in own if 14 <= len(frame) <= 1514)]


def parameter_sets(manifest: Manifest) -> list[dict[str, object]]:
    """The defaults, if all parameters have one, and what the cases begin with."""
    found: list[dict[str, object]] = []
    for each in ({}, *(dict(case.parameters) for case in load_cases(manifest))):
        if each not in found and not manifest.check_parameters(each)[1]:
            found.append(each)
    return found


def changes_of(manifest: Manifest) -> list[dict[str, object]]:
    """What a parameter may be changed to while the VNF runs."""
    found = [dict(step.set) for case in load_cases(manifest) for step in case.steps if step.set]
    for name, parameter in manifest.parameters.items():
        low, high = parameter.bounds
        values: list[Any] = list(parameter.choices or ())
        if parameter.type == "bool":
            values = [True, False]
        elif parameter.type == "int" and not values:
            values = [value for value in (low, 1, 2, 64, 1000, high) if value is not None]
        found += [{name: each} for each in values if parameter.check(each)[1] == ""]
    return [{}, *found]


def compare(
    manifest: Manifest, examples: int, frames: Sequence[bytes], *, longest: int = 1514
) -> None:
    """Throw sequences of frames at all handlers of a VNF and compare what they make of them."""
    beginnings, changes = parameter_sets(manifest), changes_of(manifest)
    planes = list(planes_to_try(manifest))
    source = manifest.source(planes[-1])
    tables = list(tables_of(source.read_text())) if source else []
    most = manifest.ports.max or MAX_PORTS
    ports = min(manifest.ports.min + 1, most, MAX_PORTS)
    with ExitStack() as stack:
        duts = {
            plane: stack.enter_context(Duts(manifest, plane, sanitized=True)) for plane in planes
        }

        def check(beginning: dict[str, object], steps: list[Given], on: Sequence[str]) -> None:
            told = {}
            for plane in on:
                with duts[plane].open(beginning, ports=ports, seed=7, largest_bytes=longest) as dut:
                    told[plane] = list(account(dut, steps))
                    if "python" not in on:
                        told[plane] += contents(dut, tables)
            reference = told[on[-1]]
            for plane in on[:-1]:
                for number, (mine, wanted) in enumerate(zip(told[plane], reference, strict=True)):
                    assert mine == wanted, f"{plane} differs from {on[-1]} at {number}"

        inputs = given(
            st.sampled_from(beginnings),
            sequences(frames, changes, ports=ports, longest=longest),
        )
        every = [
            Given(frame, number % ports, 1_000_000, {})
            for number, frame in enumerate([*frames, *reversed(frames)])
        ]
        for beginning in beginnings:
            check(beginning, every, [plane for plane in planes if plane != "python"])
        check(beginnings[0], every, planes)
        native = [plane for plane in planes if plane != "python"]
        if len(native) > 1:
            run = settings(**_SETTINGS, max_examples=examples)
            run(inputs(lambda beginning, steps: check(beginning, steps, native)))()
        if "python" in planes:
            others = ["python", next(plane for plane in planes if plane in USER_SPACE)]
            run = settings(**_SETTINGS, max_examples=PYTHON_EXAMPLES)
            run(inputs(lambda beginning, steps: check(beginning, steps, others)))()


def account(dut: Dut, steps: Sequence[Given]) -> Iterator[Any]:
    """What a VNF made of the frames: of each what left, then the counters and the tables."""
    now_ns = START_NS
    for step in steps:
        now_ns += step.after_ns
        dut.set_clock_ns(now_ns)
        if step.changes:
            try:
                dut.set(**step.changes)
            except UsageError as error:
                yield error.message
        outcome = dut.handle(step.port, step.frame)
        yield dict(outcome.sent), outcome.to_host
    yield [astuple(each) for each in dut.counters()]


def contents(dut: Dut, tables: Sequence[Table]) -> Iterator[Any]:
    """What the tables contain; those for each CPU are not to be compared."""
    for table in tables:
        if table.kind in ("array", "hash", "hash that forgets"):
            yield table.name, dut.entries(table.name)
        elif table.kind == "longest prefix":
            yield (
                table.name,
                {prefix(key): value for key, value in dut.entries(table.name).items()},
            )


def prefix(key: bytes) -> tuple[int, int]:
    """The key of a longest-prefix table without what lies behind the prefix."""
    bits = int.from_bytes(key[:4], sys.byteorder)
    return bits, int.from_bytes(key[4:], "big") >> (len(key[4:]) * 8 - bits)
