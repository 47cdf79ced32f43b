"""The doctor's word against the machine itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import emulator
from emulator.doctor import Check, diagnose

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def checks() -> dict[str, Check]:
    return {check.name: check for check in diagnose()}


def works_in_a_namespace(*command: str) -> bool:
    """Whether a command succeeds where nothing it does can touch the machine's own network."""
    return subprocess.run(["unshare", "--net", *command], capture_output=True).returncode == 0


def test_the_kernel_plane_works_where_a_bridge_can_be_made(checks: dict[str, Check]) -> None:
    possible = works_in_a_namespace("ip", "link", "add", "br0", "type", "bridge")

    assert (checks["data plane kernel"].status == "works") == possible


def test_netem_is_there_exactly_when_tc_can_add_it(checks: dict[str, Check]) -> None:
    add = ("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")

    assert (checks["netem"].status == "works") == works_in_a_namespace(*add)


@pytest.mark.xdp
def test_the_xdp_plane_works_where_all_it_needs_does(checks: dict[str, Check]) -> None:
    assert checks["native XDP on veth"].status == "works"
    assert checks["data plane xdp"].status == "works"


@pytest.mark.xdp
def test_the_planes_on_sockets_work_where_all_they_need_does(checks: dict[str, Check]) -> None:
    sockets = ("packet sockets", "AF_XDP", "C compiler")
    assert [checks[name].status for name in sockets] == ["works"] * 3
    assert checks["data plane packet"].status == "works"
    assert checks["data plane afxdp"].status == checks["libxdp"].status
    assert checks["data plane dpdk"].status == checks["DPDK"].status
    assert checks["data plane python"].status == checks["cffi"].status


def test_nothing_is_left_in_the_machines_own_network() -> None:
    before = sorted(os.listdir("/sys/class/net"))

    diagnose()

    assert sorted(os.listdir("/sys/class/net")) == before


def test_an_ordinary_user_learns_what_was_not_tried(tmp_path: Path) -> None:
    # The environment's own Python may lie where only root can read.
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("needs a Python that every user can run")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    source = Path(emulator.__file__).parents[1]
    program = (
        "from emulator.doctor import diagnose\n"
        "for check in diagnose():\n"
        "    print(check.name, check.status, check.detail, check.fix, sep='|')\n"
    )
    done = subprocess.run(
        [python, "-B", "-c", program],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd=tmp_path.root,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(source), *packages])},
        capture_output=True,
        text=True,
    )
    if "Permission denied" in done.stderr or "No module named" in done.stderr:
        pytest.skip("the checkout is not usable by every user")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "native XDP on veth|limited|not tried|sudo vnf doctor" in lines
    assert "root|missing||run it as root: sudo vnf doctor" in lines
    # What the machine can do is not known: nothing says that a plane is missing.
    assert "data plane kernel|limited|not tried|sudo vnf doctor" in lines
