"""build-vnf: describe a topology, get a live network, measure it honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.chains.chain import Chain
    from emulator.errors import (
        BuildVnfError,
        LabError,
        MachineError,
        MeasurementError,
        Problem,
        ResultsError,
        TopologyError,
        UsageError,
    )
    from emulator.experiment.bench import resume_bench, run_bench
    from emulator.experiment.bundle import Bundle, load_bundle
    from emulator.experiment.compare import compare_bundles
    from emulator.experiment.html.write import write_report
    from emulator.experiment.scenario import load_scenario
    from emulator.experiment.spec import BenchSpec
    from emulator.labs import clean, list_labs
    from emulator.link import Link
    from emulator.network import Network
    from emulator.node import Node
    from emulator.plan.compile import compile_plan
    from emulator.plan.model import Plan
    from emulator.topo import Topo
    from emulator.topofile import load_topology
    from emulator.traffic.frames import FrameMix
    from emulator.traffic.probe import ProbeResult, ProbeSpec, run_loaded, run_probe
    from emulator.traffic.schedule import parse_pattern

__version__ = "0.1.0"

_HOME = {
    "BenchSpec": "emulator.experiment.spec",
    "BuildVnfError": "emulator.errors",
    "Bundle": "emulator.experiment.bundle",
    "Chain": "emulator.chains.chain",
    "FrameMix": "emulator.traffic.frames",
    "LabError": "emulator.errors",
    "Link": "emulator.link",
    "MachineError": "emulator.errors",
    "MeasurementError": "emulator.errors",
    "Network": "emulator.network",
    "Node": "emulator.node",
    "Plan": "emulator.plan.model",
    "ProbeResult": "emulator.traffic.probe",
    "ProbeSpec": "emulator.traffic.probe",
    "Problem": "emulator.errors",
    "ResultsError": "emulator.errors",
    "Topo": "emulator.topo",
    "TopologyError": "emulator.errors",
    "UsageError": "emulator.errors",
    "clean": "emulator.labs",
    "compare_bundles": "emulator.experiment.compare",
    "compile_plan": "emulator.plan.compile",
    "list_labs": "emulator.labs",
    "load_bundle": "emulator.experiment.bundle",
    "load_scenario": "emulator.experiment.scenario",
    "load_topology": "emulator.topofile",
    "parse_pattern": "emulator.traffic.schedule",
    "resume_bench": "emulator.experiment.bench",
    "run_bench": "emulator.experiment.bench",
    "run_loaded": "emulator.traffic.probe",
    "run_probe": "emulator.traffic.probe",
    "write_report": "emulator.experiment.html.write",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a command that only prints help must not pay for netlink,
    # numpy and the rest.
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
