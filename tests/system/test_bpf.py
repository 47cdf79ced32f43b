"""BPF objects, maps and attachments against the running kernel."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel import libbpf
from emulator.kernel.bpf import BpfId, BpfMap, BpfObject, all_ids, attach_xdp, xdp_state
from emulator.kernel.clang import compile_bpf
from emulator.kernel.netns import Netns
from tests.system.vnf_lab import VnfLab, still_there, wait_until_gone

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdp,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "step.h"

const volatile __u32 factor = 1;
const volatile __u8 other[5];
__u64 sum;
__u64 start_at = 100;
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} runs SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, __u32);
    __type(value, __u64);
} table SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1000);
    __type(key, __u32);
    __type(value, __u64);
} record SEC(".maps");
SEC("xdp") int add(struct xdp_md *xdp)
{
    __u32 key = 1, at = 999;
    sum += start_at + STEP * factor;
    __u64 *value = bpf_map_lookup_elem(&runs, &key);
    if (value)
        (*value)++;
    value = bpf_map_lookup_elem(&record, &at);
    if (value)
        *value = sum;
    return XDP_PASS;
}
SEC("xdp") int careless(struct xdp_md *xdp)
{
    return *(__u32 *)(long)xdp->data;
}
char _license[] SEC("license") = "Dual MIT/GPL";
"""


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "step.h").write_text("#define STEP 10\n")
    source = tmp_path / "add.bpf.c"
    source.write_text(SOURCE)
    return compile_bpf(source)


@pytest.fixture
def loaded(compiled: Path) -> Iterator[BpfObject]:
    with BpfObject(compiled) as bpf:
        bpf.disable("careless")
        bpf.set_global("factor", struct.pack("=I", 3))
        bpf.load()
        yield bpf


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def value(number: int) -> bytes:
    return struct.pack("=Q", number)


def test_constants_are_set_and_variables_are_shared_with_the_program(loaded: BpfObject) -> None:
    total = loaded.global_view("sum").cast("Q")
    start = loaded.global_view("start_at").cast("Q")
    assert loaded.program("add").test_run(bytes(60)).verdict == 2
    assert total[0] == 100 + 10 * 3
    start[0] = 1000
    loaded.program("add").test_run(bytes(60), repeat=2)
    assert total[0] == 130 + 2 * 1030


def test_a_view_outlives_its_object(loaded: BpfObject) -> None:
    total = loaded.global_view("sum").cast("Q")
    loaded.program("add").test_run(bytes(60))
    loaded.close()
    assert total[0] == 130


def test_a_constant_cannot_be_written_once_it_is_loaded(loaded: BpfObject) -> None:
    assert loaded.global_view("factor").readonly
    with pytest.raises(LabError, match="before the object is loaded"):
        loaded.set_global("factor", bytes(4))


def test_a_variable_that_is_not_there_is_answered_with_those_that_are(compiled: Path) -> None:
    with (
        BpfObject(compiled) as bpf,
        pytest.raises(LabError, match="no global variable fcator") as e,
    ):
        bpf.set_global("fcator", bytes(4))
    assert "factor" in e.value.hint


def test_a_value_of_the_wrong_size_is_refused(compiled: Path) -> None:
    with BpfObject(compiled) as bpf, pytest.raises(LabError, match="other is 5 bytes long, not 4"):
        bpf.set_global("other", bytes(4))


def test_maps_are_read_and_written(loaded: BpfObject) -> None:
    table = loaded.map("table")
    table.update(key(1), value(11))
    table.update(key(2), value(22))
    assert dict(table.items()) == {key(1): value(11), key(2): value(22)}
    table.delete(key(1))
    with pytest.raises(KeyError):
        table.lookup(key(1))
    with pytest.raises(LabError, match="keys have 4 bytes, not 8"):
        table.lookup(bytes(8))


def test_per_cpu_values_add_up(loaded: BpfObject) -> None:
    loaded.program("add").test_run(bytes(60), repeat=7)
    counts = loaded.map("runs").lookup_percpu(key(1))
    assert sum(int.from_bytes(each, "little") for each in counts) == 7


def test_a_map_can_be_read_in_memory(loaded: BpfObject) -> None:
    with loaded.map("record").mmap(writable=False) as memory:
        loaded.program("add").test_run(bytes(60))
        assert memory[999 * 8 : 1000 * 8] == value(130)
    with pytest.raises(LabError, match="cannot be mapped"):
        loaded.map("table").mmap()


def test_a_map_is_found_by_its_id_until_its_owner_is_gone(loaded: BpfObject) -> None:
    loaded.map("table").update(key(5), value(55))
    number = loaded.map("table").id
    with BpfMap.from_id(number) as found:
        assert found.lookup(key(5)) == value(55)
        loaded.close()
        assert found.lookup(key(5)) == value(55)
    wait_until_gone([BpfId("map", number)])
    with pytest.raises(LabError, match=f"no BPF map with id {number}"):
        BpfMap.from_id(number)


def test_closing_gives_everything_back(loaded: BpfObject) -> None:
    ids = [BpfId("program", program.id) for program in loaded.programs()]
    ids += [BpfId("map", each.id) for each in loaded.maps()]
    assert still_there(ids) == ids
    loaded.close()
    loaded.close()
    wait_until_gone(ids)


def test_a_disabled_program_is_not_loaded(loaded: BpfObject) -> None:
    assert [program.name for program in loaded.programs()] == ["add"]
    with pytest.raises(LabError, match="program careless is not loaded"):
        loaded.program("careless")


def test_a_refused_program_is_named_with_the_verifiers_reason(compiled: Path) -> None:
    with BpfObject(compiled, name="adder") as bpf, pytest.raises(LabError) as caught:
        bpf.load()
    assert caught.value.where == "adder"
    assert "refuses program careless" in caught.value.message
    assert "invalid access to packet" in caught.value.message


def test_a_file_that_is_no_object_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "text.o").write_text("not an object\n")
    for name in ("text.o", "missing.o"):
        with pytest.raises(UsageError, match="no usable BPF object") as caught:
            BpfObject(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)


def test_an_attachment_is_native_and_lasts_as_long_as_its_link(
    loaded: BpfObject, lab: VnfLab
) -> None:
    program = loaded.program("add")
    with attach_xdp(program, "fn-eth0", lab.vnf) as link:
        assert link.mode == "native"
        assert link.id in all_ids("link")
        state = xdp_state("fn-eth0", lab.vnf)
        assert (state.mode, state.program_id) == ("native", program.id)
        with pytest.raises(LabError, match="already attached") as caught:
            attach_xdp(program, "fn-eth0", lab.vnf)
        assert caught.value.where == "fn-eth0"
    assert xdp_state("fn-eth0", lab.vnf).mode == "none"


def test_the_mode_is_the_one_the_kernel_reports(loaded: BpfObject, lab: VnfLab) -> None:
    with attach_xdp(loaded.program("add"), "fn-eth0", lab.vnf, mode="generic") as link:
        assert link.mode == "generic"


def test_an_interface_without_native_mode_is_the_machines_lack(
    loaded: BpfObject, lab: VnfLab
) -> None:
    with pytest.raises(MachineError, match="native XDP is not possible"):
        attach_xdp(loaded.program("add"), "lo", lab.vnf)
    assert xdp_state("lo", lab.vnf).mode == "none"


def test_a_frame_too_large_for_the_program_is_the_machines_lack(loaded: BpfObject) -> None:
    with VnfLab(mtu=9000) as lab:
        with pytest.raises(MachineError, match="native XDP is not possible") as caught:
            attach_xdp(loaded.program("add"), "fn-eth0", lab.vnf)
        assert "MTU" in caught.value.hint


def test_an_interface_that_is_not_there_is_named(loaded: BpfObject) -> None:
    with Netns.create() as empty, pytest.raises(LabError, match="no such interface") as caught:
        attach_xdp(loaded.program("add"), "eth7", empty)
    assert caught.value.where == "eth7"


def test_nothing_is_compiled_again_until_something_changes(compiled: Path, tmp_path: Path) -> None:
    source = tmp_path / "add.bpf.c"
    first = compiled.stat().st_mtime_ns
    assert compile_bpf(source) == compiled
    assert compiled.stat().st_mtime_ns == first
    (tmp_path / "step.h").write_text("#define STEP 11\n")
    changed = compile_bpf(source)
    assert changed != compiled
    (tmp_path / "step.h").write_text("#define STEP 10\n")
    assert compile_bpf(source) == compiled
    assert compiled.stat().st_mtime_ns == first


def test_a_definition_is_part_of_what_is_compiled(compiled: Path, tmp_path: Path) -> None:
    other = compile_bpf(tmp_path / "add.bpf.c", defines={"UNUSED": "1"}, output=tmp_path / "x.o")
    assert other == tmp_path / "x.o"
    assert other.read_bytes()[:4] == b"\x7fELF"


def test_a_source_that_does_not_compile_is_quoted(compiled: Path, tmp_path: Path) -> None:
    source = tmp_path / "wrong.bpf.c"
    source.write_text("int answer(void)\n{\n    return fourty_two;\n}\n")
    with pytest.raises(UsageError, match="undeclared identifier 'fourty_two'") as caught:
        compile_bpf(source)
    assert caught.value.where == f"{source}:3"
    assert "return fourty_two;" in caught.value.message
    assert not list((tmp_path / "cache").rglob("compiling-*"))


def test_a_ctrl_c_while_libbpf_speaks_waits_until_it_has_finished(tmp_path: Path) -> None:
    broken = tmp_path / "broken.o"
    broken.write_bytes(b"no object at all")
    calls = []
    library = libbpf.library()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), libbpf.collect_messages() as messages:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        library.bpf_object__open_file(bytes(broken), None)
        calls.append(list(messages))
    assert calls[0], "libbpf said nothing, or its words were lost"
    assert signal.getsignal(signal.SIGINT) is before
