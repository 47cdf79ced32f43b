"""The lab about moving a container's state: its check tells good moves from bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.images.closure import ImageFile, closure
from emulator.images.content import Content
from emulator.images.store import import_files, remove_image
from emulator.runtime.engine import connect
from tests.system.terminal import ROOT

pytestmark = [pytest.mark.root, pytest.mark.docker]

LAB = ROOT / "labs" / "moving-state"
IMAGE = "test-python:latest"
SYSTEM_PYTHON = Path("/usr/bin/python3")

FORGETS = """
from servers import send, tell

def move(net):
    send(net, "copy")
    tell(net, "d1", "stop")
    tell(net, "d2", "go")
    net["lb"].set(down="10.0.0.11")
"""
STAYS = """
def move(net):
    pass
"""


@pytest.fixture(scope="module")
def image(docker_daemon: str) -> Iterator[str]:
    """The Python of this machine as an image: the lab's own is made of packages from a mirror."""
    program = SYSTEM_PYTHON.resolve()
    library = Path(
        subprocess.check_output(
            [program, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], text=True
        ).strip()
    )
    files = [ImageFile(str(SYSTEM_PYTHON), program), *closure(program)]
    files += [
        ImageFile(str(path), path)
        for path in library.rglob("*.py")
        if not {"test", "dist-packages"} & set(path.parts)
    ]
    client = connect()
    try:
        with tempfile.TemporaryFile() as archive:
            Content(tuple(files)).write_tar(archive)
            archive.seek(0)
            import_files(client, IMAGE, archive, {}, (), None)
        yield IMAGE
        remove_image(client, IMAGE)
    finally:
        client.close()


def grades_of(file: Path, image: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, LAB / "check.py", file, "--image", image, "--json"],
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == all(report["grades"].values())
    return report


def test_the_solution_loses_no_state(image: str) -> None:
    report = grades_of(LAB / "solution.py", image)
    assert report["yours"]["sent"] > 0
    assert report["yours"]["forgotten"] == report["yours"]["twice"] == 0
    assert report["grades"]["d2 answers without d1"]


def test_neither_does_what_the_lab_begins_with(image: str) -> None:
    report = grades_of(LAB / "move.py", image)
    assert report["yours"]["forgotten"] == report["yours"]["twice"] == 0
    assert report["grades"]["d2 answers without d1"]


def test_a_move_that_forgets_is_found_out(image: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FORGETS)
    assert not grades_of(tmp_path / "mine.py", image)["grades"]["no count is forgotten"]


def test_so_is_one_that_moves_nothing(image: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STAYS)
    assert not grades_of(tmp_path / "mine.py", image)["grades"]["d2 answers without d1"]


def test_a_file_that_is_no_move_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("moves = 1\n")
    done = subprocess.run(
        [sys.executable, LAB / "check.py", tmp_path / "mine.py"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no function move(net)" in done.stderr
