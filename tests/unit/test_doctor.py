"""What the doctor says of machines that are made of files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from emulator.catalog import AVAILABLE
from emulator.doctor import Check, diagnose
from emulator.runtime.daemon_places import FOLDER_VARIABLE
from emulator.runtime.private_daemon import is_installed
from tests.fake_docker import fake_daemon


def found(root: Path, name: str) -> Check:
    return next(check for check in diagnose(root) if check.name == name)


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in diagnose()]

    assert len(names) == len(set(names))


def test_what_does_not_work_says_why() -> None:
    for check in diagnose():
        assert bool(check.reason) == (check.status != "works"), check


def test_what_works_needs_no_fix() -> None:
    assert [check.name for check in diagnose() if check.status == "works" and check.fix] == []


def test_every_data_plane_is_reported_first() -> None:
    planes = [f"data plane {name}" for name in AVAILABLE]

    assert [check.name for check in diagnose()][: len(planes)] == planes


def test_a_diagnosis_is_plain_data() -> None:
    checks = [check.to_dict() for check in diagnose()]

    assert json.loads(json.dumps(checks)) == checks
    assert set(checks[0]) == {"name", "status", "detail", "reason", "fix"}


def test_a_machine_that_shows_nothing_is_examined_to_the_end(tmp_path: Path) -> None:
    statuses = {check.name: check.status for check in diagnose(tmp_path)}

    assert statuses["BTF"] == "missing"
    assert statuses["cgroup"] == "missing"
    assert statuses["RAPL"] == "missing"


@pytest.mark.parametrize(
    ("file", "status", "detail"),
    [
        ("sys/fs/cgroup/cgroup.controllers", "works", "version 2"),
        ("sys/fs/cgroup/unified/cgroup.controllers", "limited", "versions 1 and 2 mixed"),
        ("sys/fs/cgroup/cpu/tasks", "limited", "version 1"),
    ],
)
def test_cgroup_versions(tmp_path: Path, file: str, status: str, detail: str) -> None:
    put(tmp_path, file, "")

    check = found(tmp_path, "cgroup")

    assert (check.status, check.detail) == (status, detail)


def test_reserved_hugepages_are_counted(tmp_path: Path) -> None:
    put(
        tmp_path,
        "proc/meminfo",
        "MemTotal: 8 kB\nHugePages_Total:     256\nHugePages_Free:      200\n"
        "Hugepagesize:       2048 kB\n",
    )

    check = found(tmp_path, "hugepages")

    assert (check.status, check.detail) == ("works", "200 of 256 free, 2048 KiB each")


def test_without_hugepages_the_command_that_reserves_them_is_named(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "HugePages_Total:       0\nHugePages_Free:        0\n")

    check = found(tmp_path, "hugepages")

    assert (check.status, check.fix) == ("limited", "sysctl -w vm.nr_hugepages=256")


@pytest.mark.parametrize(
    ("governors", "status"),
    [
        (["performance", "performance"], "works"),
        (["performance", "powersave"], "limited"),
        ([], "limited"),
    ],
)
def test_one_core_that_changes_its_frequency_is_enough_to_tell(
    tmp_path: Path, governors: list[str], status: str
) -> None:
    for number, name in enumerate(governors):
        put(tmp_path, f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor", f"{name}\n")

    assert found(tmp_path, "CPU governor").status == status


@pytest.mark.parametrize(
    ("release", "status"),
    [("6.1.0-18-amd64", "works"), ("5.18.0", "works"), ("5.15.0-91", "limited"), ("", "missing")],
)
def test_the_kernels_version(tmp_path: Path, release: str, status: str) -> None:
    put(tmp_path, "proc/sys/kernel/osrelease", f"{release}\n")

    assert found(tmp_path, "kernel").status == status


@pytest.mark.parametrize(
    ("name", "status"), [("tsc", "works"), ("kvm-clock", "works"), ("hpet", "limited")]
)
def test_slow_clocks_are_noticed(tmp_path: Path, name: str, status: str) -> None:
    put(tmp_path, "sys/devices/system/clocksource/clocksource0/current_clocksource", name)

    assert found(tmp_path, "clock").status == status


def test_interpreted_bpf_is_noticed(tmp_path: Path) -> None:
    put(tmp_path, "proc/sys/net/core/bpf_jit_enable", "0\n")

    check = found(tmp_path, "BPF JIT")

    assert (check.status, check.fix) == ("limited", "sysctl -w net.core.bpf_jit_enable=1")


def test_a_docker_daemon_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker.sock")

    with fake_daemon(tmp_path / "docker.sock", Version="27.5.1"):
        check = found(tmp_path, "Docker")

    assert (check.status, check.detail) == ("works", "27.5.1, $DOCKER_HOST")


def test_something_else_behind_dockers_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker.sock")

    with fake_daemon(tmp_path / "docker.sock", status=404):
        check = found(tmp_path, "Docker")

    assert check.status != "works"
    assert check.reason.startswith("unix:///docker.sock: ")


def test_no_docker_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)

    check = found(tmp_path, "Docker")

    # It can be started where it is installed.
    assert check.status == ("limited" if is_installed() else "missing")
    assert "no Docker daemon runs" in check.reason
    assert "vnf docker start" in check.fix


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    checks = {check.name: check for check in diagnose()}

    assert checks["clang"].status == checks["iperf3"].status == "missing"
    assert checks["clang"].fix == "apt-get install clang libbpf-dev linux-libc-dev"
    assert checks["iperf3"].fix == "apt-get install iperf3"
    assert checks["testpmd"].fix == "apt-get install dpdk"
    assert checks["C compiler"].fix.startswith("apt-get install gcc")
    assert checks["libxdp"].fix == "apt-get install pkg-config libxdp-dev libbpf-dev"
    for plane in ("xdp", "afxdp", "dpdk", "packet", "python"):
        assert checks[f"data plane {plane}"].status == "missing"


def test_dpdk_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    check = found(tmp_path, "DPDK")

    assert (check.status, check.fix) == ("missing", "apt-get install dpdk libdpdk-dev pkg-config")


@pytest.mark.parametrize(
    "library",
    ["usr/lib/x86_64-linux-gnu/librte_eal.so.23", "usr/local/lib64/librte_eal.so"],
)
def test_dpdk_without_its_development_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put(tmp_path, library, "")

    check = found(tmp_path, "DPDK")

    assert (check.status, check.detail) == ("limited", "libraries only")
    assert check.fix == "apt-get install libdpdk-dev pkg-config"


def test_dpdk_that_pkg_config_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put(tmp_path, "pkg-config", "#!/bin/sh\necho 22.11.7\n").chmod(0o755)

    assert (found(tmp_path, "DPDK").status, found(tmp_path, "DPDK").detail) == ("works", "22.11.7")


def test_python_without_cffi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cffi", None)

    check = found(Path("/"), "cffi")

    assert check.status == "missing"
    assert check.fix == f"{sys.executable} -m pip install --force-reinstall cffi"
