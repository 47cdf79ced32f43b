"""What is read from the compiler's output, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import MachineError, UsageError
from emulator.kernel import clang

SOURCE = Path("/vnfs/mine/vnf.c")


def test_a_compiler_error_names_the_line_and_quotes_it() -> None:
    output = (
        "In file included from /lib/xdp.bpf.c:13:\n"
        "/vnfs/mine/vnf.c:7:12: error: use of undeclared identifier 'prot'\n"
        "    return prot;\n"
        "           ^\n"
        "/cache/headers/vnf_config.h:3:11: note: 'protocol' declared here\n"
        "    __u32 protocol;\n"
        "1 error generated.\n"
    )
    error = clang.explain(SOURCE, output)
    assert isinstance(error, UsageError)
    assert error.where == "/vnfs/mine/vnf.c:7"
    assert error.message.startswith("use of undeclared identifier 'prot'")
    assert error.message.splitlines()[1:] == ["        return prot;", "               ^"]


def test_the_linker_is_quoted_in_one_line() -> None:
    output = (
        "/usr/bin/ld: librte_eal.a(x.o): in function `y':\n"
        "(.text+0x1): warning: Using 'dlopen' in statically linked applications\n"
        "/usr/bin/ld: libelf.a(begin.o): in function `z':\n"
        "(.text+0x2): undefined reference to `missing_one'\n"
        "collect2: error: ld returned 1 exit status\n"
    )
    error = clang.explain(SOURCE, output)
    assert error.message == "the linker finds no missing_one"
    assert error.where == str(SOURCE)


def test_an_error_inside_of_a_macro_of_ours_is_where_the_vnf_uses_it() -> None:
    output = (
        "/lib/vnf.h:56:45: error: integer overflow in expression [-Werror=overflow]\n"
        "   56 | #define VNF_FORWARD(port) (VNF_FORWARD_BASE + (int)(port))\n"
        "      |                                             ^\n"
        "/lib/vnf.h:77:10: note: in expansion of macro ‘VNF_FORWARD’\n"
        "/vnfs/mine/vnf.c:10:20: note: in expansion of macro ‘VNF_PEER’\n"
        "   10 |     return VNF_PEER(0x7fffffff);\n"
    )
    assert clang.explain(SOURCE, output).where == "/vnfs/mine/vnf.c:10"


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (
            ":26:3: error: conflicting types for 'ports'; have 'struct port[8]'",
            ":2:11: note: before",
        ),
        (":21:15: error: redefinition of 'struct ports'", ":2:8: note: originally defined here"),
        (":58:19: error: redefinition of 'ports_settings' with another", ":2:1: note: it is here"),
        (':16: error: "ports" redefined [-Werror]', ":2: note: this is the location"),
        (":16:9: error: 'ports' macro redefined [-Werror]", ":2:9: note: it is here"),
        (":18:12: error: redeclaration of enumerator 'ports'", ":2:9: note: it is here"),
    ],
)
def test_a_name_that_the_run_loop_has_too_is_told_as_such(error: str, note: str) -> None:
    output = f"/lib/packet.c{error}\n   26 | what is there\n{SOURCE}{note}\n"
    explained = clang.explain(SOURCE, output)
    assert explained.where == "/vnfs/mine/vnf.c:2"
    assert explained.message == "the name ports is taken by what runs the VNF"


def test_a_name_that_a_vnf_has_twice_is_the_compilers_to_tell() -> None:
    output = (
        "/vnfs/mine/vnf.c:9:44: error: redefinition of 'two'\n"
        "/vnfs/mine/vnf.c:2:12: note: previous definition is here\n"
    )
    error = clang.explain(SOURCE, output)
    assert (error.where, error.message) == ("/vnfs/mine/vnf.c:9", "redefinition of 'two'\n")


def test_a_missing_system_header_is_the_machines_fault() -> None:
    output = "/lib/xdp.bpf.c:9:10: fatal error: 'bpf/bpf_helpers.h' file not found\n"
    error = clang.explain(SOURCE, output)
    assert isinstance(error, MachineError)
    assert "bpf/bpf_helpers.h" in error.message
    assert "libbpf-dev" in error.hint


def test_too_much_on_the_stack_is_blamed_on_the_vnf_not_on_the_run_loop() -> None:
    output = (
        "/lib/xdp.bpf.c:81:11: error: Looks like the BPF stack limit of 512 bytes is exceeded. "
        "Please move large on stack variables into BPF per-cpu array map.\n"
    )
    error = clang.explain(SOURCE, output)
    assert error.where == str(SOURCE)
    assert "512 bytes" in error.message
    assert "a table" in error.hint


def test_output_without_a_place_is_passed_on() -> None:
    error = clang.explain(SOURCE, "clang: error: unable to execute command: Killed\n")
    assert isinstance(error, UsageError)
    assert error.where == str(SOURCE)
    assert "Killed" in error.message


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        ("out.o: a.c b.h\n", ["a.c", "b.h"]),
        ("out.o: a.c \\\n  /usr/include/linux/bpf.h \\\n  b.h\n", None),
        ("out.o: my\\ file.c b.h\n", ["my file.c", "b.h"]),
        ("out.o: $$HOME\\ \\#1:%/a\\b.c b.h\n", ["$HOME #1:%/a\\b.c", "b.h"]),
    ],
)
def test_dependencies_are_read_from_the_make_rule(rule: str, files: list[str] | None) -> None:
    expected = files or ["a.c", "/usr/include/linux/bpf.h", "b.h"]
    assert clang.parse_dependencies(rule) == [Path(name) for name in expected]


def test_without_a_compiler_the_hint_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CLANG", raising=False)
    with pytest.raises(MachineError, match="clang is not installed") as caught:
        clang.find_clang()
    assert caught.value.hint.startswith("apt-get install clang")


def test_a_compiler_that_was_named_but_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLANG", "clang-of-yesterday")
    with pytest.raises(MachineError, match="clang-of-yesterday"):
        clang.find_clang()


def test_a_source_that_is_missing_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such source file"):
        clang.compile_bpf(tmp_path / "vnf.c")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(MachineError, match="cannot be kept here") as caught:
        clang.put_file(tmp_path / "cache" / "vnf.bpf.o", b"")
    assert caught.value.where == str(tmp_path / "cache")
    assert "XDG_CACHE_HOME" in caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        "implicit declaration of function 'handle' is invalid in C99 [-Werror]",
        "call to undeclared function 'handle'; ISO C99 and later do not support it [-Wimplicit]",
        "implicit declaration of function 'handle'; did you mean 'handel'? [-Werror]",
    ],
)
def test_a_source_without_a_handler_is_told_so_and_not_where_we_call_it(said: str) -> None:
    output = f"/lib/run.h:200:23: error: {said}\n{SOURCE}:4:12: note: 'handel' declared here\n"

    error = clang.explain(SOURCE, output)

    assert error.message.startswith("it has no function handle")
    assert error.where == str(SOURCE)


def test_a_header_of_the_c_library_is_none_for_bpf() -> None:
    output = (
        f"In file included from {SOURCE}:1:\n"
        "/usr/include/gnu/stubs.h:7:11: fatal error: 'gnu/stubs-32.h' file not found\n"
    )

    error = clang.explain(SOURCE, output)

    assert "a header of the C library" in error.message
    assert "vnf.h" in error.hint
