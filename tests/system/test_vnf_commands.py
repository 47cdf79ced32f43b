"""``vnf new``, ``build``, ``test`` and ``show``, as somebody uses them who writes a VNF."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.cli.main import execute
from emulator.errors import MachineError
from emulator.trying.fuzzing import require_libfuzzer
from tests.system.terminal import ROOT

HANDLER = """\
#include "vnf.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    %s
}
"""
NOT_ROOT = ("unshare", "--user")
"""Runs a command as somebody who is not root and may yet read what root may."""


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def vnf(*arguments: str, cwd: Path) -> Done:
    """Run the command in this process, which is quicker."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.delenv("VNF_PATH", raising=False)
        code = execute(arguments)
    return Done(code, out.getvalue(), err.getvalue())


def vnf_apart(
    *arguments: str, cwd: Path, before: Sequence[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own.

    Args:
        before: words to put before the command.
        variables: added to the environment.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | variables
    environment.pop("VNF_PATH", None)
    return subprocess.run(
        [*before, sys.executable, "-m", "emulator", *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def write(
    folder: Path, name: str, body: str, *, planes: str = "xdp packet", more: str = ""
) -> Path:
    home = folder / "vnfs" / name
    home.mkdir(parents=True)
    tables = "".join(f"[dataplanes.{plane}]\n" for plane in planes.split())
    (home / "vnf.toml").write_text(f'name = "{name}"\nsummary = "s"\nports = 2\n{tables}{more}')
    (home / "vnf.c").write_text(HANDLER % body)
    return home


def write_case(home: Path, frame: str, out: str) -> None:
    (home / "cases.py").write_text(
        "from emulator.trying.cases import Case, Step\n"
        f"CASES = [Case('the case', [Step({frame}, out={out})])]\n"
    )


def results(done: Done | subprocess.CompletedProcess[str], name: str) -> dict[str, str]:
    """Data plane -> the result of the last case that ran on it."""
    found = json.loads(done.stdout)[name]["cases"]
    return {plane: case["result"] for case in found for plane in case["dataplanes"]}


@pytest.mark.xdp
@pytest.mark.parametrize("language", ["c", "python"])
def test_what_new_writes_compiles_and_passes_as_it_is(tmp_path: Path, language: str) -> None:
    assert vnf("new", "mine", "--language", language, cwd=tmp_path).returncode == 0

    built = vnf("build", "mine", "--json", cwd=tmp_path)
    tested = vnf("test", "mine", "--json", cwd=tmp_path)

    assert built.returncode == 0, built.stderr
    assert {each["result"] for each in json.loads(built.stdout)} == {"ok"}
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert len(json.loads(tested.stdout)["mine"]["cases"]) == (4 if language == "c" else 2)
    planes = {"c": {"xdp", "afxdp", "dpdk", "packet"}, "python": {"python"}}[language]
    assert results(tested, "mine") == dict.fromkeys(planes, "ok")


def test_new_says_what_to_do_next(tmp_path: Path) -> None:
    said = vnf("new", "mine", cwd=tmp_path).stdout

    assert "vnf build mine" in said
    assert "vnf test mine" in said
    assert 'self.addVNF("mine1", "mine", dataplane="xdp", watched_port=9999)' in said


def test_new_writes_where_it_is_told_and_names_the_path_from_then_on(tmp_path: Path) -> None:
    done = vnf("new", "mine", "--folder", "functions", cwd=tmp_path)

    assert (tmp_path / "functions" / "mine" / "vnf.c").is_file()
    assert "vnf build functions/mine" in done.stdout


def test_new_tells_when_it_takes_the_place_of_one_of_ours(tmp_path: Path) -> None:
    done = vnf("new", "forward", cwd=tmp_path)

    assert done.returncode == 0
    assert f"It stands in for {ROOT / 'vnfs' / 'forward'} wherever" in done.stdout
    assert "stands in" not in vnf("new", "mine", cwd=tmp_path).stdout


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    vnf("new", "mine", cwd=tmp_path)
    source = tmp_path / "vnfs" / "mine" / "vnf.c"
    source.write_text("kept")

    again = vnf("new", "mine", cwd=tmp_path)

    assert again.returncode == 2
    assert "vnfs/mine: is there already" in again.stderr
    assert source.read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("9lives",), "letters, digits"),
        (("../mine",), "letters, digits"),
        (("mine", "--language", "pyton"), "did you mean python?"),
    ],
)
def test_new_refuses_what_cannot_be(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = vnf("new", *arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_c_is_told_once_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return VNF_FORWARD(prot);", planes="xdp afxdp packet")

    done = vnf("build", "mine", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout.count("failed") == 3
    assert done.stderr.count("vnf: vnfs/mine/vnf.c:4: ") == 1
    assert "return VNF_FORWARD(prot);" in done.stderr


@pytest.mark.xdp
def test_what_the_verifier_refuses_is_shown_in_the_source_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return *(__u8 *)(data + 20) ? VNF_DROP : VNF_BACK;")

    done = vnf("build", "mine", cwd=tmp_path)

    assert done.returncode == 1
    assert "vnf: vnfs/mine/vnf.c:4: the kernel's verifier refuses it" in done.stderr
    assert "> 4 |     return *(__u8 *)(data + 20)" in done.stderr
    assert "hint: " in done.stderr
    assert "if (data + 21 > end) return VNF_DROP;" in done.stderr
    rows = {row.split()[1]: row.split()[2] for row in done.stdout.splitlines()}
    assert rows == {"xdp": "failed", "packet": "ok"}


@pytest.mark.root
@pytest.mark.xdp
def test_without_root_build_says_that_the_verifier_was_not_asked(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return *(__u8 *)(data + 20) ? VNF_DROP : VNF_BACK;")

    done = vnf_apart("build", "mine", "--dataplane", "xdp", cwd=tmp_path, before=NOT_ROOT)

    assert done.returncode == 0
    assert "not shown to the kernel's verifier: that takes root" in done.stdout


def test_a_plane_that_the_machine_lacks_is_a_note_unless_it_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return VNF_DROP;", planes="dpdk packet")
    without_dpdk = {"PKG_CONFIG_LIBDIR": str(tmp_path)}

    all_planes = vnf_apart("build", "mine", cwd=tmp_path, **without_dpdk)
    that_one = vnf_apart("build", "mine", "--dataplane", "dpdk", cwd=tmp_path, **without_dpdk)

    assert all_planes.returncode == 0, all_planes.stderr
    assert "dpdk     missing  the development files of libdpdk are not installed" in (
        all_planes.stdout
    )
    assert that_one.returncode == 3
    assert "libdpdk-dev" in that_one.stderr


def test_a_plane_that_the_manifest_does_not_name_is_wrong_use(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return VNF_DROP;")

    for command in ("build", "test"):
        done = vnf(command, "mine", "--dataplane", "dpdk", cwd=tmp_path)
        assert done.returncode == 2
        assert "dpdk" in done.stderr


def test_vnfs_are_found_by_path_by_name_beside_and_in_the_catalogue(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return VNF_DROP;", planes="packet")

    rows = [
        [line.split()[0] for line in vnf("build", *names, cwd=tmp_path).stdout.splitlines()]
        for names in [(), ("mine",), ("vnfs/mine",), ("drop", "--dataplane", "packet")]
    ]

    assert rows == [["mine"], ["mine"], ["mine"], ["drop"]]
    assert "did you mean mine?" in vnf("build", "mime", cwd=tmp_path).stderr
    assert "no file vnf.toml" in vnf("build", "vnfs/none", cwd=tmp_path).stderr


def test_a_case_that_fails_shows_the_bytes_that_differ(tmp_path: Path) -> None:
    home = write(tmp_path, "mine", "*(__u8 *)(data + 20) = 7; return VNF_BACK;", planes="packet")
    write_case(home, "bytes(60)", "{0: bytes(60)}")

    done = vnf("test", "mine", cwd=tmp_path)

    assert done.returncode == 1
    assert "step 1: port 0: byte 20 is 0x07 instead of 0x00" in done.stdout
    assert "0010 - 00 00 00 00 00" in done.stdout
    assert "0010 + 00 00 00 00 07" in done.stdout
    assert "0000 -" not in done.stdout


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return *(__u8 *)(data + 60) ? VNF_DROP : VNF_BACK;", "it reads 1 byte outside of the"),
        ("*(__u32 *)(data + 58) = 0; return VNF_BACK;", "it writes 4 bytes outside of the frame"),
        ("return 1 << (ctx->length + 4) ? VNF_DROP : VNF_BACK;", "shift exponent 64 is too large"),
    ],
)
def test_what_a_sanitiser_finds_is_told_with_its_line(tmp_path: Path, body: str, what: str) -> None:
    home = write(tmp_path, "mine", body, planes="packet")
    write_case(home, "bytes(60)", "{0: bytes(60)}")

    done = vnf("test", "mine", cwd=tmp_path)

    assert done.returncode == 1
    assert what in done.stdout
    assert "mine/vnf.c:4: " in done.stdout
    assert "AddressSanitizer" not in done.stdout
    assert "Shadow bytes" not in done.stdout


def test_without_sanitisers_the_same_goes_unnoticed(tmp_path: Path) -> None:
    home = write(
        tmp_path, "mine", "return *(__u8 *)(data + 60) ? VNF_DROP : VNF_BACK;", planes="packet"
    )
    write_case(home, "bytes(60)", "{0: bytes(60)}")

    assert vnf("test", "mine", "--no-sanitize", cwd=tmp_path).returncode == 0


def test_a_handler_that_goes_round_in_circles_is_stopped(tmp_path: Path) -> None:
    body = "volatile int on = 1; while (on) {} return VNF_DROP;"
    home = write(tmp_path, "mine", body, planes="packet")
    write_case(home, "bytes(60)", "{}")

    done = vnf("test", "mine", cwd=tmp_path)

    assert done.returncode == 1
    assert "the handler does not come back" in done.stdout


@pytest.mark.root
@pytest.mark.xdp
def test_without_root_xdp_is_skipped_and_the_rest_is_run(tmp_path: Path) -> None:
    home = write(tmp_path, "mine", "return VNF_BACK;")
    write_case(home, "bytes(60)", "{0: bytes(60)}")

    done = vnf_apart("test", "mine", cwd=tmp_path, before=NOT_ROOT)

    assert done.returncode == 0, done.stderr
    assert "xdp is skipped: the kernel tries a program for root alone" in done.stdout
    as_json = vnf_apart("test", "mine", "--json", cwd=tmp_path, before=NOT_ROOT)
    assert results(as_json, "mine") == {"xdp": "skipped", "packet": "ok"}


def test_a_vnf_without_cases_says_so(tmp_path: Path) -> None:
    home = write(tmp_path, "mine", "return VNF_BACK;", planes="packet")

    done = vnf("test", "mine", cwd=tmp_path)
    (home / "cases.py").write_text("CASES = []\n")
    empty = vnf("test", "mine", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "mine: it has no cases.py" in done.stdout
    assert (empty.returncode, empty.stderr) == (0, "")
    assert "mine: it has no case in its cases.py" in empty.stdout


def test_cases_that_cannot_be_loaded_are_wrong_use(tmp_path: Path) -> None:
    home = write(tmp_path, "mine", "return VNF_BACK;", planes="packet")
    (home / "cases.py").write_text("CASES = 3\n")

    done = vnf("test", "mine", cwd=tmp_path)

    assert done.returncode == 2
    assert "defines no list CASES" in done.stderr


def test_show_tells_all_there_is_to_know(tmp_path: Path) -> None:
    home = write(
        tmp_path,
        "mine",
        "return VNF_BACK;",
        planes="packet",
        more='[parameters.limit]\ntype = "int"\nsummary = "the most"\n'
        '[counters]\nseen = "frames"\n',
    )
    (home / "README.md").write_text("# mine\n\nSends back what comes.\n\nAnd more.\n")
    source = home / "vnf.c"
    source.write_text(
        source.read_text().replace(
            "static",
            "VNF_HASH(flows, struct flow, __u64, 64);\nVNF_SETTINGS(rules, __u32, 8);\nstatic",
        )
    )

    said = vnf("show", "vnfs/mine", cwd=tmp_path).stdout
    content = json.loads(vnf("show", "mine", "--json", cwd=tmp_path).stdout)

    for part in ("Sends back what comes.", "packet", "limit", "the most", "seen", "flows", "64"):
        assert part in said
    assert "And more." not in said
    assert 'self.addVNF("mine1", "mine", dataplane="packet", limit=…)' in said
    assert [each["name"] for each in content["tables"]] == ["flows", "rules"]
    assert content["tables"][0]["content"] == "struct flow → __u64"
    assert content["planes"][0]["source"] == "vnf.c"


def test_list_knows_the_vnfs_of_the_folder_one_is_in(tmp_path: Path) -> None:
    write(tmp_path, "mine", "return VNF_BACK;", planes="packet")

    assert "mine   packet" in vnf("list", "mine", cwd=tmp_path).stdout


def test_fuzzing_finds_the_frame_that_breaks_a_handler(tmp_path: Path) -> None:
    body = (
        "__u8 *frame = data;\n"
        "    if (data + 14 > end || frame[12] != 0x88) return VNF_BACK;\n"
        "    return frame[ctx->length] ? VNF_DROP : VNF_BACK;"
    )
    write(tmp_path, "mine", body, planes="packet")
    try:
        require_libfuzzer()
    except MachineError as error:
        pytest.skip(str(error))

    done = vnf("test", "mine", "--fuzz", "30s", "--json", cwd=tmp_path)

    assert done.returncode == 1, done.stderr
    broken = json.loads(done.stdout)["mine"]["fuzzed"]["packet"]["breakage"]
    assert broken["where"].endswith("mine/vnf.c:6")
    assert any(each["frame"][24:26] == "88" for each in broken["frames"])
