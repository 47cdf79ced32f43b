"""What scripts may import; a name that goes or comes is a decision, not an accident."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import emulator

PUBLIC_NAMES = [
    "BenchSpec",
    "BuildVnfError",
    "Bundle",
    "Chain",
    "FrameMix",
    "LabError",
    "Link",
    "MachineError",
    "MeasurementError",
    "Network",
    "Node",
    "Plan",
    "ProbeResult",
    "ProbeSpec",
    "Problem",
    "ResultsError",
    "Topo",
    "TopologyError",
    "UsageError",
    "clean",
    "compare_bundles",
    "compile_plan",
    "list_labs",
    "load_bundle",
    "load_scenario",
    "load_topology",
    "parse_pattern",
    "resume_bench",
    "run_bench",
    "run_loaded",
    "run_probe",
    "write_report",
]


def test_the_public_names() -> None:
    assert sorted(emulator.__all__) == PUBLIC_NAMES


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_there_and_explained(name: str) -> None:
    assert inspect.getdoc(getattr(emulator, name))


def test_public_names_are_listed_by_dir() -> None:
    assert set(PUBLIC_NAMES) <= set(dir(emulator))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Mininet'"):
        emulator.Mininet  # noqa: B018  # the access itself is what is tested


def test_the_version_is_that_of_the_package() -> None:
    assert emulator.__version__ == version("build-vnf")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, emulator\n"
        "heavy = {'numpy', 'pyarrow', 'matplotlib', 'pyroute2', 'networkx', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "[]\n", done.stderr
