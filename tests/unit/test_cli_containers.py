"""What the command line says of nodes in containers, where no engine is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli.main import execute
from emulator.errors import LabError
from emulator.runtime.following import follow

TOPOLOGY = """
from emulator import Topo


class Boxes(Topo):
    def build(self):
        self.addDocker(
            "d1", image="web", memory="64m", cpus=0.5, command="httpd -f", cap_add=["SYS_TIME"],
            ports=[80, "127.0.0.1:5353:53/udp"], volumes=["/tmp:/data:ro"],
        )
        self.addVNF("fw", "forward", dataplane="xdp", runtime="docker")
        self.addLink("d1", "fw")
        self.addLink("fw", self.addHost("h1"))
"""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("   ") if cell.strip()]


@pytest.fixture
def topology(tmp_path: Path) -> str:
    file = tmp_path / "boxes.py"
    file.write_text(TOPOLOGY)
    return str(file)


def test_plan_shows_what_containers_may(topology: str, capsys: pytest.CaptureFixture[str]):
    assert execute(["plan", topology]) == 0
    lines = capsys.readouterr().out.split("Containers\n")[1].splitlines()
    heads = ["container", "runs", "limits", "capabilities", "published ports", "volumes"]
    assert cells(lines[0]) == heads
    assert cells(lines[2]) == [
        "d1",
        "httpd -f",
        "cpus=0.5 memory=64m",
        "Docker's own, NET_ADMIN, SYS_TIME",
        "80/tcp at 127.0.0.1:any, 53/udp at 127.0.0.1:5353",
        "/tmp:/data:ro",
    ]
    assert cells(lines[3]) == ["fw", "-", "-", "none", "-", "-"]


def test_plan_leaves_out_what_no_container_has(capsys: pytest.CaptureFixture[str]):
    assert execute(["plan", "--topo", "chain", "--set", "runtime=docker"]) == 0
    lines = capsys.readouterr().out.split("Containers\n")[1].splitlines()
    assert cells(lines[0]) == ["container", "capabilities"]
    assert execute(["plan", "--topo", "chain"]) == 0
    assert "Containers" not in capsys.readouterr().out


def test_a_node_that_fails_may_only_stop_the_lab_or_be_kept(capsys: pytest.CaptureFixture[str]):
    assert execute(["run", "--topo", "minimal", "--on-failure", "ignore"]) == 2
    error = capsys.readouterr().err
    assert "vnf: invalid value for '--on-failure': 'ignore' is not one of 'stop', 'keep'" in error


def test_lines_of_a_log_are_counted(capsys: pytest.CaptureFixture[str]):
    assert execute(["logs", "lab", "d1", "-n", "x"]) == 2
    assert execute(["logs", "lab", "d1", "--lines", "-1"]) == 2
    assert execute(["logs", "lab"]) == 2
    assert capsys.readouterr().err.count("hint: vnf logs --help") == 3


class Log:
    """A log that others write while it is followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = threading.Event()

    def find(self) -> Path:
        if self.ended.is_set():
            raise LabError("the lab has ended")
        return self.path

    def until(self, pieces: Iterator[bytes], text: bytes) -> bytes:
        """What comes until the text is complete."""
        seen = b""
        while not seen.endswith(text):
            seen += next(pieces)
        return seen


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def test_a_log_is_followed_from_its_last_lines(log: Log):
    log.path.write_bytes(b"one\ntwo\nthree\n")
    pieces = follow(log.find, lines=2)
    assert log.until(pieces, b"three\n") == b"two\nthree\n"
    with log.path.open("ab") as file:
        file.write(b"four\n\xff")
    assert log.until(pieces, b"\xff") == b"four\n\xff"


def test_a_log_is_followed_from_now_on(log: Log):
    log.path.write_bytes(b"one\n")
    pieces = follow(log.find, lines=0)
    assert next(pieces) == b""
    with log.path.open("ab") as file:
        file.write(b"two\n")
    assert log.until(pieces, b"two\n") == b"two\n"


@pytest.mark.parametrize("again", ["replaced", "emptied"])
def test_a_log_that_begins_anew_is_read_from_its_beginning(log: Log, again: str):
    log.path.write_bytes(b"before\n")
    pieces = follow(log.find, lines=1)
    assert log.until(pieces, b"before\n") == b"before\n"
    if again == "replaced":
        log.path.unlink()
    log.path.write_bytes(b"a\nb\n")
    assert log.until(pieces, b"b\n") == b"a\nb\n"


def test_a_log_may_come_late_and_ends_with_its_lab(log: Log):
    pieces = follow(log.find)
    threading.Timer(0.2, log.path.write_bytes, [b"late\n"]).start()
    assert log.until(pieces, b"late\n") == b"late\n"
    log.ended.set()
    with pytest.raises(LabError):
        next(pieces)
