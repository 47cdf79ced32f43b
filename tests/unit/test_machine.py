"""The description of the machine, from file trees as different machines have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emulator.experiment.machine import UNAVAILABLE, Machine, describe_machine
from emulator.revision import source_revision


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_laptop(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    clock = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    root = tree(
        tmp_path,
        {
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
            "proc/sys/kernel/version": "#1 SMP Debian\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Quick CPU\nflags\t\t: fpu vme\n\n"
            "processor\t: 1\nmodel name\t: Other\n",
            "proc/meminfo": "MemTotal:        4 kB\nMemFree: 1 kB\n",
            "proc/loadavg": "0.25 0.1 0.0 1/200 77\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "powersave\n",
            f"{cpu}/isolated": "1\n",
            f"{cpu}/smt/control": "on\n",
            clock: "tsc\n",
        },
    )

    machine = describe_machine(root)

    assert machine.distribution == "Debian GNU/Linux 12 (bookworm)"
    assert machine.kernel == "6.1.0-18-amd64"
    assert machine.cpu_model == "Quick CPU"
    assert machine.governor == "powersave"
    assert machine.isolated_cpus == "1"
    assert machine.clocksource == "tsc"
    assert machine.hypervisor == "none"
    assert machine.memory_bytes == 4096
    assert machine.load_average_1min == 0.25


def test_governors_that_differ_are_all_told(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    root = tree(
        tmp_path,
        {
            f"{cpu}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "powersave\n",
        },
    )
    assert describe_machine(root).governor == "performance, powersave"


@pytest.mark.parametrize(
    ("files", "hypervisor"),
    [
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "QEMU"),
        ({}, "yes"),
    ],
)
def test_a_virtual_machine_is_told_from_a_real_one(
    tmp_path: Path, files: dict[str, str], hypervisor: str
) -> None:
    root = tree(tmp_path, {"proc/cpuinfo": "flags : fpu hypervisor\n", **files})
    assert describe_machine(root).hypervisor == hypervisor


def test_what_a_machine_does_not_tell_is_unavailable_and_never_guessed(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    for field in ("distribution", "kernel", "cpu_model", "governor", "clocksource", "hypervisor"):
        assert getattr(machine, field) == UNAVAILABLE
    assert machine.memory_bytes is None
    assert machine.load_average_1min is None


def test_the_docker_engine_is_asked_only_where_it_takes_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nobody.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{nowhere}")
    assert describe_machine().docker is None
    machine = describe_machine(docker=True)
    assert machine.docker is not None
    assert set(machine.docker.model_dump().values()) == {UNAVAILABLE}
    assert Machine.model_validate_json(machine.model_dump_json()) == machine


def test_this_machine_goes_to_json_and_back() -> None:
    machine = describe_machine()
    assert Machine.model_validate_json(machine.model_dump_json()) == machine
    assert machine.cpus_online >= 1
    assert machine.versions["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert {"build-vnf", "libbpf", "clang", "pyroute2"} <= set(machine.versions)


def test_the_revision_of_a_checkout_tells_of_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert source_revision(tmp_path) is None
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    assert source_revision(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert source_revision(tmp_path) == git("rev-parse", "HEAD") + "+changes"


def test_what_encryption_and_coding_gain_from_is_told(tmp_path: Path) -> None:
    cache = "sys/devices/system/cpu/cpu0/cache"
    files = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu aes avx2 hypervisor\n"}
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "32K"), (1, "Instruction", "64M"), (2, "Unified", "1M"), (3, "Unified", "32M")]
    ):
        files[f"{cache}/index{index}/level"] = f"{level}\n"
        files[f"{cache}/index{index}/type"] = f"{kind}\n"
        files[f"{cache}/index{index}/size"] = f"{size}\n"
    machine = describe_machine(tree(tmp_path, files))
    assert machine.cpu_features is not None
    assert machine.cpu_features["aes"]
    assert machine.cpu_features["avx2"]
    assert not machine.cpu_features["vaes"]
    assert machine.last_level_cache_bytes == 32 << 20


def test_a_machine_that_tells_of_neither_has_neither(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    assert machine.cpu_features is None
    assert machine.last_level_cache_bytes is None
