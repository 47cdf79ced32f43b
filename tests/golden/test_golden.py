"""What topologies become, and what is said about bad ones, to the letter.

``UPDATE_GOLDEN=1 scripts/test tests/golden`` writes the expected files anew; read the difference
before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emulator.catalog import Catalog, read_manifest
from emulator.errors import TopologyError
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.topofile import builtin_topology, load_topology

HERE = Path(__file__).parent
OPTIONS = {"routed": {"ipv6": True}, "by_hand": {"ip_base": "10.0.0.0/8", "name": "lab-1"}}
BUILTIN = {
    "access": "access",
    "chain": "chain",
    "containers": "containers",
    "dumbbell": "dumbbell,kernel",
    "linear_3_2": "linear,3,2",
    "reversed_3": "reversed,3",
    "tree_2_2": "tree,2,2",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    # Only these, so that a VNF more or less in the product changes no expected text.
    manifests = [read_manifest(path) for path in HERE.glob("vnfs/*/vnf.toml")]
    return Catalog({manifest.name: manifest for manifest in manifests})


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (HERE / folder).glob("*.py"))


def agree(text: str, expected: Path) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.parametrize("name", names("plans"))
def test_a_topology_becomes_this_plan(name: str, catalog: Catalog) -> None:
    topo = load_topology(str(HERE / "plans" / f"{name}.py"), {})
    plan = compile_plan(topo, catalog=catalog, **OPTIONS.get(name, {}))
    agree(plan.to_json() + "\n", HERE / "plans" / f"{name}.json")
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("name", BUILTIN)
def test_a_topology_that_comes_with_us_becomes_this_plan(name: str, catalog: Catalog) -> None:
    plan = compile_plan(builtin_topology(BUILTIN[name], {}), catalog=catalog)
    agree(plan.to_json() + "\n", HERE / "plans" / f"builtin_{name}.json")


@pytest.mark.parametrize("name", names("mistakes"))
def test_a_bad_topology_is_told_all_its_mistakes(name: str, catalog: Catalog) -> None:
    topo = load_topology(str(HERE / "mistakes" / f"{name}.py"), {})
    with pytest.raises(TopologyError) as error:
        compile_plan(topo, catalog=catalog)
    agree(f"{error.value}\n", HERE / "mistakes" / f"{name}.txt")
    assert error.value.exit_code == 2
