"""The tables of the contract: one model in Python, which BPF maps and user space have to follow.

A VNF made for the purpose carries out one request per frame and writes the answer into it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalog import Manifest, read_manifest
from emulator.trying.dut import Dut, Duts

pytestmark = pytest.mark.xdp

PLANES = ["xdp", "packet"]
LOOKUP, UPDATE, INSERT, DELETE = range(4)
ARRAY, HASH, LRU, LPM, PER_CORE = range(5)
NAMES = {ARRAY: "plain", HASH: "flows_that_have_a_long_name", LRU: "recent", LPM: "routes"}
CAPACITY = {ARRAY: 4, HASH: 4, LRU: 64, LPM: 6, PER_CORE: 4}
MISSING = (-1, 0)
REQUEST = struct.Struct("=14xBB4s8sQiQ")
PREFIX_BITS = 32

VNF_C = """\
#include "vnf.h"

struct key { __u32 a, b; };
struct prefix { __u32 prefix_bits; __u8 address[4]; };
VNF_ARRAY(plain, __u64, 4);
VNF_PER_CORE(cores, __u64, 4);
VNF_HASH(flows_that_have_a_long_name, struct key, __u64, 4);
VNF_LRU(recent, struct key, __u64, 64);
VNF_LRU(few, struct key, __u64, 4);
VNF_LPM(routes, struct prefix, __u64, 6);
VNF_SETTINGS(chosen, __u64, 3);

struct request {
    __u8 eth[14];
    __u8 operation, table;
    __u32 index;
    union {
        __u8 bytes[8];
        struct key key;
        struct prefix prefix;
    };
    __u64 value;
    __s32 status;
    __u64 found;
} __attribute__((packed));

#define CARRY_OUT(table, key) \\
    switch (request->operation) { \\
    case 0: \\
        found = vnf_lookup(table, key); \\
        status = found ? 0 : -1; \\
        break; \\
    case 1: \\
        status = vnf_update(table, key, &value); \\
        break; \\
    case 2: \\
        status = vnf_insert(table, key, &value); \\
        break; \\
    default: \\
        status = vnf_delete(table, key); \\
    }

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct request *request = data;
    if ((void *)(request + 1) > end)
        return VNF_DROP;
    __u64 value = request->value, *found = 0;
    __u32 index = request->index;
    struct prefix prefix;
    struct key key;
    int status = -2;
    __builtin_memcpy(&key, request->bytes, sizeof(key));
    __builtin_memcpy(&prefix, request->bytes, sizeof(prefix));
    switch (request->table) {
    case 0:
        CARRY_OUT(&plain, &index);
        break;
    case 1:
        CARRY_OUT(&flows_that_have_a_long_name, &key);
        break;
    case 2:
        CARRY_OUT(&recent, &key);
        break;
    case 3:
        CARRY_OUT(&routes, &prefix);
        break;
    case 4:
        found = vnf_lookup(&cores, &index);
        status = found ? 0 : -1;
        break;
    case 5:
        CARRY_OUT(&few, &key);
        break;
    case 6: {
        const __u64 *setting = vnf_setting(ctx, chosen, index);
        status = setting ? 0 : -1;
        request->found = setting ? *setting : 0;
        request->status = status;
        return VNF_BACK;
    }
    }
    request->status = status;
    request->found = found ? *found : 0;
    /* A value that was found can be written where it is. */
    if (found && value)
        *found = value;
    return VNF_BACK;
}
"""
VNF_TOML = """\
name = "tables"
summary = "carries out requests"
ports = 1
control = "control.py"
[dataplanes.xdp]
[dataplanes.packet]
[parameters.chosen]
type = "str"
default = "5 6"
summary = "numbers"
[parameters.routes]
type = "str"
default = ""
summary = "prefixes and their numbers, as 10.0.0.0/8=3"
"""
CONTROL_PY = """\
import ipaddress
import struct

from emulator.control import TableContent


def control(parameters, ports):
    routes = {}
    for word in parameters["routes"].split():
        network, _, number = word.partition("=")
        prefix = ipaddress.IPv4Network(network)
        key = struct.pack("=I4s", prefix.prefixlen, prefix.network_address.packed)
        routes[key] = struct.pack("=Q", int(number))
    chosen = [struct.pack("=Q", int(word)) for word in parameters["chosen"].split()]
    return TableContent(settings={"chosen": chosen}, tables={"routes": routes})
"""


@dataclass(frozen=True)
class Request:
    """What the VNF is asked to do with one of its tables."""

    table: int
    operation: int
    index: int
    key: bytes
    value: int


@dataclass
class Model:
    """The tables as they shall be: for each, key -> value."""

    content: dict[int, dict[object, int]] = field(
        default_factory=lambda: {ARRAY: dict.fromkeys(range(4), 0), HASH: {}, LRU: {}, LPM: {}}
    )

    def answer(self, request: Request) -> tuple[int, int]:
        """The status, and the value that was found."""
        table = self.content[request.table]
        if request.operation == LOOKUP:
            key = self._found_key(request)
            if key is None:
                return MISSING
            before = table[key]
            if request.value:
                table[key] = request.value
            return 0, before
        key = self._exact_key(request)
        if key is None or not self._write(request, table, key):
            return MISSING
        return 0, 0

    def _write(self, request: Request, table: dict[object, int], key: object) -> bool:
        known = key in table
        if request.table == ARRAY:
            if request.operation != UPDATE or not known:
                return False
        elif request.operation == DELETE:
            return table.pop(key, None) is not None
        elif request.operation == INSERT if known else len(table) == CAPACITY[request.table]:
            return False
        table[key] = request.value
        return True

    def _exact_key(self, request: Request) -> object | None:
        if request.table == ARRAY:
            return request.index
        return prefix_of(request.key) if request.table == LPM else request.key

    def _found_key(self, request: Request) -> object | None:
        table = self.content[request.table]
        if request.table != LPM:
            key = self._exact_key(request)
            return key if key in table else None
        bits, address = min(bits_of(request.key), PREFIX_BITS), request.key[4:]
        for length in range(bits, -1, -1):
            key = (length, int.from_bytes(address, "big") >> (PREFIX_BITS - length))
            if key in table:
                return key
        return None


def bits_of(key: bytes) -> int:
    return int(struct.unpack_from("=I", key)[0])


def prefix_of(key: bytes) -> tuple[int, int] | None:
    """A prefix by its length and its bits; None when it is longer than an address."""
    bits = bits_of(key)
    if bits > PREFIX_BITS:
        return None
    return bits, int.from_bytes(key[4:], "big") >> (PREFIX_BITS - bits)


keys = st.tuples(st.integers(0, 2), st.integers(0, 1)).map(lambda pair: struct.pack("=II", *pair))
prefixes = st.builds(
    lambda bits, last, first: struct.pack("=I4B", bits, first, 0, 0, last),
    st.sampled_from([0, 1, 7, 8, 9, 24, 31, 32, 33]),
    st.sampled_from([0, 1, 255]),
    st.sampled_from([10, 11, 138]),
)
requests = st.one_of(
    *(
        st.builds(
            Request,
            table=st.just(table),
            operation=st.sampled_from([LOOKUP, LOOKUP, UPDATE, UPDATE, INSERT, DELETE]),
            index=st.integers(0, 5),
            key=prefixes if table == LPM else keys,
            value=st.sampled_from([0, 1, 2**63]),
        )
        for table in (ARRAY, HASH, LRU, LPM)
    )
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    home = tmp_path_factory.mktemp("vnfs") / "tables"
    home.mkdir()
    for name, text in (("vnf.c", VNF_C), ("vnf.toml", VNF_TOML), ("control.py", CONTROL_PY)):
        (home / name).write_text(text)
    return read_manifest(home / "vnf.toml")


@pytest.fixture(params=PLANES)
def duts(request: pytest.FixtureRequest, manifest: Manifest) -> Iterator[Duts]:
    with Duts(manifest, request.param, sanitized=True) as duts:
        yield duts


def ask(
    dut: Dut, table: int, operation: int, key: bytes = bytes(8), **numbers: int
) -> tuple[int, int]:
    """The status and the value found."""
    index, value = struct.pack("=I", numbers.get("index", 0)), numbers.get("value", 0)
    frame = REQUEST.pack(operation, table, index, key, value, -2, 0)
    return REQUEST.unpack(dut.handle(0, frame).sent[0])[5:]


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(wanted=st.lists(requests, min_size=1, max_size=60))
def test_tables_do_what_the_model_does(duts: Duts, wanted: list[Request]) -> None:
    model = Model()
    with duts.open() as dut:
        for number, each in enumerate(wanted):
            got = ask(dut, each.table, each.operation, each.key, index=each.index, value=each.value)
            assert got == model.answer(each), f"request {number}: {each}"
        for table, name in NAMES.items():
            assert stored(dut, table, name) == model.content[table]


def stored(dut: Dut, table: int, name: str) -> dict[object, int]:
    values = {key: struct.unpack("=Q", value)[0] for key, value in dut.entries(name).items()}
    if table == ARRAY:
        return {struct.unpack("=I", key)[0]: value for key, value in values.items()}
    return (
        {prefix_of(key): value for key, value in values.items()} if table == LPM else dict(values)
    )


def test_the_longest_prefix_wins_and_what_lies_behind_it_does_not_count(duts: Duts) -> None:
    with duts.open({"routes": "0.0.0.0/0=1 10.0.0.0/8=2 10.1.0.0/16=3 10.1.2.3/32=4"}) as dut:
        answers = [
            ask(dut, LPM, LOOKUP, struct.pack("=I4B", 32, *address))
            for address in ((9, 9, 9, 9), (10, 9, 9, 9), (10, 1, 9, 9), (10, 1, 2, 3))
        ]

    assert answers == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_a_table_that_forgets_is_never_full_and_never_larger_than_it_may_be(duts: Duts) -> None:
    few = 5
    with duts.open() as dut:
        for number in range(100):
            key = struct.pack("=II", number, 0)
            assert ask(dut, few, UPDATE, key, value=number + 1) == (0, 0)
            assert ask(dut, few, LOOKUP, key) == (0, number + 1)
        assert 1 <= len(dut.entries("few")) <= 4


def test_user_space_forgets_exactly_what_was_unused_longest(manifest: Manifest) -> None:
    few = 5
    names = [struct.pack("=II", number, 7) for number in range(5)]
    with Duts(manifest, "packet", sanitized=True) as duts, duts.open() as dut:
        for key in names[:4]:
            ask(dut, few, INSERT, key, value=1)
        ask(dut, few, LOOKUP, names[0])
        ask(dut, few, UPDATE, names[1], value=2)
        ask(dut, few, INSERT, names[4], value=1)

        assert set(dut.entries("few")) == {names[0], names[1], names[3], names[4]}


def test_a_table_for_each_core_has_entries_from_the_start(duts: Duts) -> None:
    with duts.open() as dut:
        found = [ask(dut, PER_CORE, LOOKUP, index=index) for index in (0, 3, 4)]

        entries = dut.entries("cores")

    assert found == [(0, 0), (0, 0), MISSING]
    assert len(entries) == CAPACITY[PER_CORE]
    assert all(value == bytes(len(value)) for value in entries.values())


def test_settings_change_as_a_whole_and_end_where_they_end(duts: Duts) -> None:
    setting = 6
    with duts.open() as dut:
        before = [ask(dut, setting, LOOKUP, index=index) for index in (0, 1, 2, 3)]
        dut.set(chosen="7 8 9")
        after = [ask(dut, setting, LOOKUP, index=index) for index in (0, 1, 2, 3)]
        dut.set(chosen="")
        emptied = [ask(dut, setting, LOOKUP, index=index) for index in (0, 1, 2, 3)]

    assert before == [(0, 5), (0, 6), (0, 0), MISSING]
    assert after == [(0, 7), (0, 8), (0, 9), MISSING]
    assert emptied == [(0, 0), (0, 0), (0, 0), MISSING]


def test_the_control_side_takes_back_only_what_it_put_into_a_table(duts: Duts) -> None:
    own = struct.pack("=I4B", 24, 192, 168, 1, 0)
    with duts.open({"routes": "10.0.0.0/8=2"}) as dut:
        ask(dut, LPM, UPDATE, own, value=9)
        dut.set(routes="11.0.0.0/8=3")
        found = stored(dut, LPM, "routes")

    assert found == {(24, 0xC0A801): 9, (8, 11): 3}


def test_a_dut_begins_as_if_there_had_been_none_before(duts: Duts) -> None:
    with duts.open() as dut:
        for table in (ARRAY, HASH, LRU, LPM):
            ask(dut, table, UPDATE, struct.pack("=I4B", 8, 10, 0, 0, 0), index=1, value=3)
        dut.set(chosen="1 2 3")
    with duts.open() as dut:
        assert all(
            stored(dut, table, name) == Model().content[table] for table, name in NAMES.items()
        )
        assert dut.counters()[0].rx_packets == 0
        assert ask(dut, 6, LOOKUP, index=2) == (0, 0)
