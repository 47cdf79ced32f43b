"""What is told of a plan, and of addresses, though it is no mistake."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from emulator.cli.main import execute
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.plan.notices import notices
from emulator.plan.same_address import others_with
from emulator.topo import Topo
from emulator.warned import LabWarning, tell_by, warn


def controlled(**switch: object) -> Topo:
    topo = Topo()
    topo.addSwitch("s1", **switch)
    topo.addLink(topo.addHost("h1"), "s1")
    topo.addController("c0")
    topo.addController("c1", kind="none")
    return topo


@pytest.mark.parametrize(
    ("switch", "told"),
    [
        ({}, ["c0: nothing to control, Linux bridges learn by themselves"]),
        ({"kind": "ovs"}, []),
        ({"kind": "ovs", "controllers": []}, ["c0: nothing to control, no switch listens to it"]),
        ({"kind": "xdp"}, ["c0: nothing to control, no switch listens to it"]),
    ],
)
def test_a_controller_that_no_switch_listens_to_is_told_of(
    switch: dict[str, object], told: list[str]
) -> None:
    assert notices(compile_plan(controlled(**switch))) == told


def test_a_controller_without_switches_is_told_of() -> None:
    topo = Topo()
    topo.addHost("h1")
    topo.addController("c0")
    assert notices(compile_plan(topo)) == ["c0: nothing to control, there is no switch"]


def test_an_address_is_anothers_only_where_that_is_heard() -> None:
    topo = Topo()
    for name in ("s1", "s2", "s3"):
        topo.addSwitch(name)
    topo.addRouter("r1")
    for one, two in (("h1", "s1"), ("h2", "s2"), ("h3", "s3")):
        topo.addLink(topo.addHost(one), two)
    topo.addLink("s1", "s2")
    topo.addLink("r1", "s2")
    topo.addLink("r1", "s3", params1={"ip": "192.168.0.1/24"})
    plan = compile_plan(topo)
    address = {node.name: plan.address_of(node.name) or "" for node in plan.hosts()}
    assert others_with(plan, "h1", "h1-eth0", address["h2"]) == ["h2"]
    assert others_with(plan, "h1", "h1-eth0", address["h3"]) == []
    assert others_with(plan, "h1", "h1-eth0", address["h1"]) == []
    assert others_with(plan, "h3", "h3-eth0", "192.168.0.1") == ["r1"]


def test_a_warning_names_the_users_line_unless_something_else_tells_it() -> None:
    with pytest.warns(LabWarning, match="^twice$") as caught:
        warn("twice")
    assert caught[0].filename == __file__
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        tell_by(lambda text: told.append(f"earlier {text}"))
        tell_by(told.append)
        warn("once")
    assert told == ["once"]


def test_the_command_plan_tells_of_it_beside_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lab.py"
    file.write_text(
        "from emulator import Topo\n"
        "class Lab(Topo):\n"
        "    def build(self):\n"
        '        self.addLink(self.addHost("h1"), self.addSwitch("s1"))\n'
        '        self.addController("c0")\n'
    )
    assert execute(["plan", str(file), "--json"]) == 0
    text = capsys.readouterr()
    assert text.err == "*** c0: nothing to control, Linux bridges learn by themselves\n"
    assert Plan.model_validate_json(text.out).node("c0").kind == "controller"
