"""What is in an image and what tells it from another, without an engine."""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
from pathlib import Path

import pytest

from emulator.catalog import Catalog
from emulator.errors import LabError, MachineError, UsageError
from emulator.images import ImageInfo, image_name
from emulator.images.base import follow_debootstrap
from emulator.images.closure import ImageFile, closure, interpreter_of
from emulator.images.content import Content, content_of
from emulator.images.dockerfile import Recipe, not_here

# One part of a name, as Docker's reference grammar has it.
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"


def tar_of(content: Content) -> bytes:
    stream = io.BytesIO()
    content.write_tar(stream)
    return stream.getvalue()


def test_an_image_is_called_after_its_vnf_and_data_plane() -> None:
    assert image_name("firewall", "packet") == "build-vnf/firewall:packet"
    assert image_name(Catalog.load()["nat"], "xdp") == "build-vnf/nat:xdp"


@pytest.mark.parametrize("name", ["MyVNF", "a_", "x--y.Z", "A", "v..w", "n" * 200, "a___b"])
def test_docker_takes_the_name_of_any_vnf(name: str) -> None:
    found = image_name(name, "dpdk")
    assert re.fullmatch(f"build-vnf/{PART}:dpdk", found)
    assert len(found) < 150
    assert found != image_name(name.swapcase(), "dpdk")


def test_a_tar_hangs_on_its_files_alone(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"code")
    files = (
        ImageFile("/usr/bin/vnf", program),
        ImageFile("/note.txt", b"text", 0o644),
        ImageFile("/usr/lib/x.so", b"", link="/lib/x.so"),
    )
    first = tar_of(Content(files))
    os.utime(program, (1, 1))
    program.chmod(0o600)
    assert tar_of(Content(tuple(reversed(files)))) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        found = {entry.name: entry for entry in archive}
        assert list(found) == [
            "usr",
            "usr/bin",
            "usr/lib",
            "note.txt",
            "usr/bin/vnf",
            "usr/lib/x.so",
        ]
        assert all(entry.mtime == entry.uid == entry.gid == 0 for entry in found.values())
        assert {name: entry.mode for name, entry in found.items() if not entry.issym()} == {
            "usr": 0o755,
            "usr/bin": 0o755,
            "usr/lib": 0o755,
            "note.txt": 0o644,
            "usr/bin/vnf": 0o755,
        }
        assert found["usr/lib/x.so"].linkname == "/lib/x.so"
        program_there = archive.extractfile("usr/bin/vnf")
        assert program_there is not None
        assert program_there.read() == b"code"


def test_a_digest_tells_all_that_an_image_is_made_of() -> None:
    def digest(content: bytes = b"a", mode: int = 0o755, version: str = "1", **other: str) -> str:
        files = (ImageFile("/vnf", content, mode),)
        return Content(files, ("/vnf",), **other).digest({"version": version})

    assert digest() == digest()
    others = [digest(b"b"), digest(mode=0o644), digest(version="2"), digest(user="1:1")]
    assert len({digest(), *others}) == 5
    assert Content((), ("/a",)).digest({}) != Content((), ("/b",)).digest({})


def test_what_an_engine_leaves_out_is_empty() -> None:
    bare = ImageInfo.of({"Id": "sha256:1", "Size": 7, "Config": None, "RepoTags": None})
    assert (bare.name, bare.vnf, bare.entrypoint, bare.environment) == ("", None, (), {})
    full = ImageInfo.of(
        {
            "Id": "sha256:1",
            "Size": 7,
            "Created": "2024-01-01T00:00:00Z",
            "RepoTags": ["other:1"],
            "Config": {
                "Labels": {"build-vnf.vnf": "nat", "build-vnf.planes": "dpdk"},
                "Entrypoint": ["/vnf"],
                "Cmd": None,
                "Env": ["A=b=c", "D="],
                "User": "0:0",
                "Healthcheck": {"Test": ["CMD", "true"]},
            },
        },
        "mine",
    )
    assert (full.name, full.vnf, full.plane) == ("mine", "nat", "dpdk")
    assert (full.entrypoint, full.command) == (("/vnf",), ())
    assert full.environment == {"A": "b=c", "D": ""}
    assert full.healthcheck == {"Test": ["CMD", "true"]}


def test_data_planes_without_an_image_are_told() -> None:
    drop = Catalog.load()["drop"]
    with pytest.raises(UsageError, match="the python data plane has no image"):
        content_of(drop, "python")
    with pytest.raises(UsageError, match="VNF drop does not run on kernel"):
        content_of(drop, "kernel")


def test_the_kernel_needs_nothing_in_an_image_and_nobody_is_root_there() -> None:
    content = content_of(Catalog.load()["forward"], "kernel")
    assert [file.path for file in content.files] == ["/vnf.txt"]
    assert content.user == "65534:65534"
    assert content.entrypoint == ()


def test_a_program_comes_with_all_that_it_needs() -> None:
    shell = Path("/bin/sh").resolve()
    loader = interpreter_of(shell)
    assert loader is not None
    files = {file.path: file for file in closure(shell)}
    assert files[loader].read()[:4] == b"\x7fELF"
    libraries = [Path(path) for path in files if path != loader]
    assert "libc.so.6" in [path.name for path in libraries]
    # Where the loader looks by itself: an image has no cache of libraries.
    assert len({path.parent for path in libraries}) == 1


def test_a_script_is_no_program_for_an_image(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text("#!/bin/sh\necho hello to whoever reads more than sixty-four letters of it\n")
    with pytest.raises(UsageError, match="no program that an image can be made of") as caught:
        closure(script)
    assert caught.value.hint == "give the VNF a Dockerfile"
    assert interpreter_of(Path(sys.executable)) is not None


def test_a_recipe_changes_with_what_the_engine_gets_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a /a\n")
    (tmp_path / "a").write_text("1")
    (tmp_path / ".dockerignore").write_text("# not these\n*.log\n")
    before = Recipe(tmp_path).digest({})
    (tmp_path / "x.log").write_text("noise")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("noise")
    assert Recipe(tmp_path).digest({}) == before
    assert Recipe(tmp_path, {"PLANE": "xdp"}).digest({}) != before
    (tmp_path / "a").write_text("2")
    changed = Recipe(tmp_path).digest({})
    assert changed != before
    (tmp_path / "a").chmod(0o755)
    assert Recipe(tmp_path).digest({}) != changed


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "Get https://r/v2/: dial tcp: lookup r: no such host",
            MachineError,
            "no registry answers",
        ),
        ("net/http: request canceled (Client.Timeout exceeded)", MachineError, "no registry"),
        ("pull access denied for x, repository does not exist", UsageError, "nor, for everybody,"),
        ("manifest for x:9 not found: manifest unknown", UsageError, "nor, for everybody,"),
        ("toomanyrequests: slow down.", LabError, "cannot be had: toomanyrequests: slow down"),
    ],
)
def test_why_an_image_does_not_come(said: str, kind: type[Exception], words: str) -> None:
    error = not_here("x:9", said, "d1")
    assert type(error) is kind
    assert error.where == "d1"
    assert words in error.message


def test_images_of_ours_are_made_and_not_pulled() -> None:
    said = "no such host"
    assert not_here("build-vnf/base", said, "d1").hint == "vnf image base makes it"
    assert not_here("build-vnf/base:latest", said, "d1").hint == "vnf image base makes it"
    assert not_here("build-vnf/nat:xdp", said, "d1").hint == "vnf image build makes it"


def test_what_debootstrap_tells_of_itself() -> None:
    seen: list[tuple[str, int, int]] = []
    lines = [
        "P: 0 200 DOWNREL\n",
        "PF: Downloading Release file\n",
        "P: 50 200\n",
        "I: RETRIEVING\n",
        "IA: adduser\n",
        "E: COULDNTDL\n",
        "EA: nosuch\n",
        "EF: Couldn't find these debs: %s\n",
    ]
    error = follow_debootstrap(iter(lines), lambda *step: seen.append(step))
    assert error == "Couldn't find these debs: nosuch"
    assert seen == [("downloading Release file", 0, 100), ("downloading Release file", 25, 100)]
