"""A wheel, built from a bare copy of the sources and used in another environment and folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from emulator.paths import cache_dir

REPOSITORY = Path(__file__).parents[2]
NOT_SOURCES = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "share",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that the checkout's own compiled parts are neither used nor touched.
    shutil.copytree(REPOSITORY, folder / "source", ignore=NOT_SOURCES)
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "source"))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of another environment, which has the wheel and sees our dependencies."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-compile", str(wheel))
    packages = next(home.glob("lib/python*/site-packages"))
    # A .pth file adds a folder but not that folder's own .pth files, so that the checkout,
    # installed there in editable mode, stays out of sight.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("platlib") + "\n")
    return home / "bin"


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(program: Path, *arguments: str, cwd: Path, stdin: str = "") -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(program), *arguments],
        cwd=cwd,
        env=environment | {"XDG_CACHE_HOME": str(cwd / "cache")},
        input=stdin,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_is_bound_to_the_platform_and_to_no_version_of_python(wheel: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")

    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_the_wheel_has_what_a_user_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {
        "emulator/py.typed",
        "emulator/experiment/html/report.html.j2",
        "emulator/rest/docs.html.j2",
        "emulator/native/build/vnf-probe",
        "emulator/native/build/vnf-init",
        "emulator/share/vnfs/forward/vnf.toml",
        "emulator/share/vnfs/lib/xdp.bpf.c",
        "emulator/share/vnfs/lib/template/c/vnf.c",
        "emulator/share/topologies/chain.py",
        "emulator/share/labs/moving-state/check.py",
        "emulator/share/labs/moving-state/Dockerfile",
        "emulator/share/docs/dependencies.md",
    } <= names


def test_the_wheel_has_every_module(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.endswith(".py")}
    package = REPOSITORY / "emulator"
    share = package / "share"

    written = {
        str(path.relative_to(REPOSITORY))
        for path in package.rglob("*.py")
        if share not in path.parents
    }

    assert written <= shipped


def test_the_wheel_has_all_that_belongs_to_the_vnfs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())

    files = [path.relative_to(REPOSITORY) for path in (REPOSITORY / "vnfs").rglob("*.*")]
    written = {
        f"emulator/share/{path}"
        for path in files
        if not any(part[0] == "." or part == "__pycache__" for part in path.parts)
    }

    assert "emulator/share/vnfs/lib/idle_shim.c" in written
    assert written <= shipped


def test_the_wheel_has_no_leftovers_of_the_compiler(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert [n for n in names if n.endswith((".d", ".c~")) or "/sanitize/" in n] == []
    assert [n for n in names if n.endswith(".o") and not n.endswith(".bpf.o")] == []


def test_native_programs_can_be_executed_once_installed(elsewhere: Path) -> None:
    site_packages = next(elsewhere.parent.glob("lib/python*/site-packages"))

    assert os.access(site_packages / "emulator" / "native" / "build" / "vnf-probe", os.X_OK)


def test_the_installed_package_is_the_one_that_runs(elsewhere: Path, tmp_path: Path) -> None:
    where = run(
        elsewhere / "python", "-c", "import emulator; print(emulator.__file__)", cwd=tmp_path
    )

    assert Path(where.strip()).is_relative_to(elsewhere.parent)


def test_plan_from_another_folder(elsewhere: Path, tmp_path: Path) -> None:
    plan = json.loads(run(elsewhere / "vnf", "plan", "--topo", "linear,4", "--json", cwd=tmp_path))

    assert [node["name"] for node in plan["nodes"] if node["kind"] == "host"] == [
        "h1",
        "h2",
        "h3",
        "h4",
    ]


def test_list_from_another_folder(elsewhere: Path, tmp_path: Path) -> None:
    assert "forward" in run(elsewhere / "vnf", "list", cwd=tmp_path)


def test_a_new_vnf_from_another_folder(elsewhere: Path, tmp_path: Path) -> None:
    run(elsewhere / "vnf", "new", "mine", cwd=tmp_path)

    tested = run(elsewhere / "vnf", "test", "mine", "--dataplane", "packet", "--json", cwd=tmp_path)

    assert [case["result"] for case in json.loads(tested)["mine"]["cases"]] == ["ok", "ok"]


def test_a_script_of_the_users_own(elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from emulator import Topo\n"
        "class Mine(Topo):\n"
        "    def build(self):\n"
        "        vnf = self.addVNF('f', 'forward')\n"
        "        self.addLink(self.addHost('left'), vnf)\n"
        "        self.addLink(vnf, self.addHost('right'))\n"
    )

    plan = json.loads(run(elsewhere / "vnf", "plan", "mine.py", "--json", cwd=tmp_path))

    assert {node["name"] for node in plan["nodes"]} == {"left", "f", "right"}


@pytest.mark.parametrize(
    "settings",
    [
        "dataplane=xdp",
        "dataplane=packet",
        "dataplane=python",
        pytest.param("dataplane=dpdk,vnf=testpmd", marks=pytest.mark.dpdk),
    ],
)
@pytest.mark.xdp
def test_a_lab_with_a_vnf_runs_from_another_folder(
    elsewhere: Path, tmp_path: Path, settings: str
) -> None:
    options = [word for each in settings.split(",") for word in ("--set", each)]
    script = "pingall\nexit\n"

    said = run(
        elsewhere / "vnf", "run", "--topo", "chain", *options, cwd=tmp_path, stdin=script
    ).replace(" %", "%")

    assert re.search(r"(?<!\d)0%", said), said


@pytest.mark.xdp
@pytest.mark.usefixtures("known_limits")
def test_a_measurement_from_another_folder(elsewhere: Path, tmp_path: Path) -> None:
    # Its cache is empty but for what the bench itself can do.
    (tmp_path / "cache" / "build-vnf").mkdir(parents=True)
    shutil.copy(cache_dir() / "bench-limits.json", tmp_path / "cache" / "build-vnf")
    run(
        elsewhere / "vnf",
        *("bench", "--topo", "chain", "--vary", "dataplane=xdp", "latency", "cost"),
        *("--duration", "0.2", "--output", "bundles"),
        cwd=tmp_path,
    )

    assert len(list((tmp_path / "bundles").glob("*/summary.json"))) == 1
