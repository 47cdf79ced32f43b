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
GRADE = """
import json, sys
from pathlib import Path

from emulator.userfile import run_file

lab, file, image, simple = sys.argv[1:]
sys.path.insert(0, lab)
import check

move = run_file(Path(file), "the_move").move
yours = check.measure(move, image)
print(json.dumps(check.grade(yours, check.Requests(**json.loads(simple)))))
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


@pytest.fixture(scope="module")
def solved(image: str) -> dict[str, Any]:
    """What the command says of the solution, and of the simple way beside it."""
    command = [sys.executable, LAB / "check.py", LAB / "solution.py", "--image", image, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == all(report["grades"].values())
    return report


def grades_of(file: Path, image: str, solved: dict[str, Any]) -> dict[str, Any]:
    """What the check says of a move, with the simple way measured once for all of them."""
    done = subprocess.run(
        [sys.executable, "-c", GRADE, LAB, file, image, json.dumps(solved["simple"])],
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_solution_loses_no_state(solved: dict[str, Any]) -> None:
    assert solved["yours"]["sent"] > 0
    assert solved["yours"]["forgotten"] == solved["yours"]["twice"] == 0
    assert solved["grades"]["d2 answers without d1"]


def test_neither_does_what_the_lab_begins_with(image: str, solved: dict[str, Any]) -> None:
    grades = grades_of(LAB / "move.py", image, solved)
    assert grades["no count is forgotten"]
    assert grades["no request is counted twice"]
    assert grades["d2 answers without d1"]


def test_a_move_that_forgets_is_found_out(
    image: str, tmp_path: Path, solved: dict[str, Any]
) -> None:
    (tmp_path / "mine.py").write_text(FORGETS)
    assert not grades_of(tmp_path / "mine.py", image, solved)["no count is forgotten"]


def test_so_is_one_that_moves_nothing(image: str, tmp_path: Path, solved: dict[str, Any]) -> None:
    (tmp_path / "mine.py").write_text(STAYS)
    assert not grades_of(tmp_path / "mine.py", image, solved)["d2 answers without d1"]


def test_a_file_that_is_no_move_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("moves = 1\n")
    done = subprocess.run(
        [sys.executable, LAB / "check.py", tmp_path / "mine.py"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no function move(net)" in done.stderr
