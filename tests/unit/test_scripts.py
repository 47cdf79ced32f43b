"""The scripts on machines that lack something: a PATH with only some programs is such a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
EVERYWHERE = (
    "sh",
    "cat",
    "cut",
    "dirname",
    "grep",
    "id",
    "mktemp",
    "rm",
    "sed",
    "sleep",
    "tail",
    "tr",
)
BASE_PACKAGES = "gcc libc6-dev make clang libbpf-dev pkg-config iproute2 iputils-ping iperf3"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs: those that every system has."""
    for name in EVERYWHERE:
        program = shutil.which(name)
        assert program is not None
        (tmp_path / name).symlink_to(program)
    return tmp_path


def add(machine: Path, name: str, script: str) -> None:
    program = machine / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def bootstrap(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPTS / "bootstrap"), *arguments],
        env={"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("script", ["bootstrap", "demo", "test", "lint", "bench", "docs"])
def test_scripts_can_be_executed_by_any_posix_shell(script: str) -> None:
    path = SCRIPTS / script

    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")


def test_help_goes_to_stdout() -> None:
    done = bootstrap("--help", path=os.environ["PATH"])

    assert (done.returncode, done.stderr) == (0, "")
    assert "--with GROUP" in done.stdout


@pytest.mark.parametrize("arguments", [("--with", "everything"), ("--with=everything",)])
def test_an_unknown_group_is_wrong_use_and_the_groups_are_named(arguments: tuple[str, ...]) -> None:
    done = bootstrap(*arguments, path=os.environ["PATH"])

    assert done.returncode == 2
    assert "everything" in done.stderr
    assert "test, lint, vagrant, bench" in done.stderr


def test_an_unknown_option_is_wrong_use() -> None:
    done = bootstrap("--fast", path=os.environ["PATH"])

    assert done.returncode == 2
    assert "unknown option --fast" in done.stderr


def test_a_machine_without_dpkg_is_told_what_to_install_by_hand(machine: Path) -> None:
    done = bootstrap(path=str(machine))

    assert done.returncode == 3
    assert "clang, libbpf" in done.stderr
    assert "--no-apt" in done.stderr


def test_a_machine_without_apt_is_told_what_is_missing(machine: Path) -> None:
    add(machine, "dpkg-query", "exit 1")

    done = bootstrap(path=str(machine))

    assert done.returncode == 3
    assert f"missing: {BASE_PACKAGES}" in done.stderr


def test_only_what_is_missing_is_asked_for(machine: Path) -> None:
    add(machine, "dpkg-query", "case $* in *clang) exit 1 ;; *) echo installed ;; esac")

    done = bootstrap(path=str(machine))

    assert done.returncode == 3
    assert "missing: clang. " in done.stderr


def test_docker_of_any_origin_will_do(machine: Path) -> None:
    add(
        machine, "dpkg-query", "case $* in *docker.io | *clang) exit 1 ;; *) echo installed ;; esac"
    )
    add(machine, "dockerd", "exit 1")

    done = bootstrap("--with", "test", path=str(machine))

    assert done.returncode == 3
    assert "missing: clang. " in done.stderr


def test_without_root_the_command_to_run_is_named(machine: Path) -> None:
    add(machine, "dpkg-query", "exit 1")
    add(machine, "apt-get", "exit 1")
    (machine / "id").unlink()
    add(machine, "id", "echo 1000")

    done = bootstrap(path=str(machine))

    assert done.returncode == 3
    assert f"sudo apt-get install {BASE_PACKAGES}" in done.stderr


def test_a_failed_installation_is_tried_once_more_and_then_quoted(machine: Path) -> None:
    calls = machine / "calls"
    add(machine, "dpkg-query", "exit 1")
    add(machine, "apt-cache", "echo '  Candidate: 1.0'")
    add(machine, "apt-get", f'echo "$*" >>{calls}; echo "E: no route to the mirror"; exit 100')
    (machine / "id").unlink()
    add(machine, "id", "echo 0")

    done = bootstrap(path=str(machine))

    assert done.returncode == 3
    assert "E: no route to the mirror" in done.stderr
    verbs = [
        next(word for word in line.split() if word in ("update", "install"))
        for line in calls.read_text().splitlines()
    ]
    assert verbs == ["install", "update", "install"]
