"""Options of Open vSwitch bridges and of controllers: what they mean, and which are mistakes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from emulator.errors import MachineError, TopologyError
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan
from emulator.plan.switch_model import ControllerPlan, OvsPlan
from emulator.switches.controller_programs import command_of, end_group
from emulator.topo import Topo


def ovs_of(plan: Plan, name: str) -> OvsPlan:
    switch = plan.node(name).switch
    assert switch is not None
    assert switch.ovs is not None
    return switch.ovs


def planned(**options: Any) -> OvsPlan:
    topo = Topo()
    topo.addSwitch("s7", **options)
    return ovs_of(compile_plan(topo), "s7")


def mistakes(topo: Topo) -> list[str]:
    with pytest.raises(TopologyError) as error:
        compile_plan(topo)
    return [f"{problem.message} ({problem.hint})" for problem in error.value.problems]


def switch_mistakes(**options: Any) -> list[str]:
    topo = Topo()
    topo.addSwitch("s1", **options)
    return mistakes(topo)


def controller_mistakes(**options: Any) -> list[str]:
    topo = Topo()
    topo.addController("c0", **options)
    return mistakes(topo)


def test_a_switch_is_a_bridge_unless_it_asks_for_another_kind() -> None:
    topo = Topo(sopts={"kind": "ovs"})
    topo.addSwitch("s1")
    topo.addSwitch("s2", stp=True)
    plan = compile_plan(topo)
    kinds = [node.switch.kind for node in plan.switches() if node.switch is not None]
    assert kinds == ["ovs", "bridge"]


def test_a_bridge_without_a_controller_learns_and_is_numbered_by_its_name() -> None:
    ovs = planned(kind="ovs")
    assert (ovs.dpid, ovs.fail_mode, ovs.datapath) == ("0000000000000007", "standalone", "auto")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("a", "000000000000000a"), ("00:00:00:00:00:00:00:0B", "000000000000000b"), ("0xC", "c")],
)
def test_identities_are_hexadecimal(given: str, meant: str) -> None:
    assert planned(kind="ovs", dpid=given).dpid == meant.zfill(16)


def test_identities_made_from_names_are_all_different() -> None:
    topo = Topo(sopts={"kind": "ovs"})
    topo.addSwitch("core", kind="ovs", dpid="1")
    for name in ("s1", "a1", "left", "right"):
        topo.addSwitch(name)
    plan = compile_plan(topo)
    assert len({ovs_of(plan, node.name).dpid for node in plan.switches()}) == 5


@pytest.mark.parametrize(
    ("cls", "datapath", "fail_mode"),
    [
        ("OVSSwitch", "auto", "secure"),
        ("OVSKernelSwitch", "auto", "secure"),
        ("UserSwitch", "userspace", "secure"),
        ("OVSBridge", "auto", "standalone"),
    ],
)
def test_mininet_s_classes_are_kinds(cls: str, datapath: str, fail_mode: str) -> None:
    topo = Topo()
    topo.addController()
    topo.addSwitch("s1", cls=cls)
    ovs = ovs_of(compile_plan(topo), "s1")
    assert (ovs.datapath, ovs.fail_mode) == (datapath, fail_mode)
    assert ovs.controllers == (() if cls == "OVSBridge" else ("c0",))


def test_every_controller_is_every_switch_s_unless_it_names_its_own() -> None:
    topo = Topo()
    topo.addController("c0")
    topo.addController("c1", kind="remote")
    topo.addSwitch("s1", kind="ovs", protocols="OpenFlow10, OpenFlow13", prio=4096)
    topo.addSwitch("s2", kind="ovs", controllers="c1", reconnectms=2000)
    topo.addSwitch("s3", kind="ovs", controllers=[])
    plan = compile_plan(topo)
    assert ovs_of(plan, "s1").controllers == ("c0", "c1")
    assert ovs_of(plan, "s1").protocols == ("OpenFlow10", "OpenFlow13")
    assert ovs_of(plan, "s1").priority == 4096
    assert ovs_of(plan, "s2").controllers == ("c1",)
    assert ovs_of(plan, "s2").reconnect_ms == 2000
    assert ovs_of(plan, "s3").controllers == ()
    assert ovs_of(plan, "s3").fail_mode == "standalone"
    assert Plan.from_json(plan.to_json()) == plan


def test_controllers_listen_at_ports_of_their_own_which_they_keep() -> None:
    topo = Topo()
    topo.addController("c1")
    topo.addController("c2", kind="remote", port=6653)
    topo.addController("c3", kind="ovs", port=6654)
    before = compile_plan(topo)
    topo.addController("c0")
    after = compile_plan(topo, previous=before)

    def places(plan: Plan) -> list[tuple[int | None, ...]]:
        found = [node.controller for node in plan.controllers()]
        return [(each.port, each.relay_port) for each in found if each is not None]

    assert places(before) == [(6653, None), (6653, 6655), (6654, None)]
    assert places(after) == [(6656, None), *places(before)]


def test_kinds_of_controllers_follow_from_what_is_given() -> None:
    topo = Topo()
    topo.addController("c0")
    topo.addController("c1", ip="192.0.2.1")
    topo.addController("c2", app="ryu.app.simple_switch_13", options="--observe-links --verbose")
    topo.addController("c3", cls="OVSController")
    topo.addController("c4", cls="NullController")
    plan = compile_plan(topo)
    found = [node.controller for node in plan.controllers()]
    kinds = [each.kind for each in found if each is not None]
    assert kinds == ["learning", "remote", "app", "ovs", "none"]
    app = plan.node("c2").controller
    assert app is not None
    assert app.apps == ("ryu.app.simple_switch_13",)
    assert app.options == ("--observe-links", "--verbose")


def test_a_command_is_split_as_by_a_shell_and_works_in_a_folder(tmp_path: Path) -> None:
    topo = Topo()
    topo.addController("c0")
    given = "./pox.py --port={port} --name 'my own'"
    topo.addController("c1", command=given, folder=str(tmp_path))
    plan = compile_plan(topo).node("c1").controller
    assert plan is not None
    assert (plan.kind, plan.port, plan.folder) == ("command", 6654, str(tmp_path))
    assert plan.runs == ("./pox.py", "--port=6654", "--name", "my own")


def test_a_program_is_looked_for_on_the_path_and_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    script = tmp_path / "pox.py"

    def command(*words: str) -> list[str]:
        plan = ControllerPlan(kind="command", port=7, command=words, folder=str(tmp_path))
        return command_of(plan, "c0")

    assert command("env", "port={port}")[1:] == ["port=7"]
    with pytest.raises(MachineError) as error:
        command("pox.py")
    assert f"it is not in {tmp_path}, nor on PATH (/usr/bin:/bin)" in str(error.value)
    script.write_text("#!/usr/bin/env python3\n")
    with pytest.raises(MachineError, match="cannot be executed") as error:
        command("./pox.py")
    assert 'command="python3 ./pox.py …"' in error.value.hint
    script.chmod(0o755)
    assert command("pox.py") == command("./pox.py") == [str(script)]


def test_a_program_ends_with_what_it_has_started() -> None:
    line = "trap '' TERM; sleep 300 & trap '' HUP; echo $!; sleep 300"
    with subprocess.Popen(
        ["sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        end_group(process)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_applications_lie_beside_the_topology(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    script = tmp_path / "topology.py"
    script.write_text("def add(topo):\n    topo.addController('c0', apps=['app.py', 'a.module'])\n")
    space: dict[str, Any] = {}
    exec(compile(script.read_text(), str(script), "exec"), space)
    topo = Topo()
    space["add"](topo)
    controller = compile_plan(topo).node("c0").controller
    assert controller is not None
    assert controller.apps == (str(tmp_path / "app.py"), "a.module")


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"kind": "osv"}, "there is no switch of the kind osv (did you mean ovs?)"),
        ({"kind": "p4"}, "bmv2 is in no package registry"),
        ({"kind": "ovs", "dpid": "xyz"}, "dpid cannot be 'xyz'"),
        ({"kind": "ovs", "dpid": "0"}, "dpid cannot be '0'"),
        ({"kind": "ovs", "failMode": "safe"}, "failMode cannot be 'safe'"),
        ({"kind": "ovs", "protocols": ["OpenFlow13", "OpenFlow99"]}, "no protocol OpenFlow99"),
        ({"kind": "ovs", "datapath": "dpdk"}, "datapath cannot be 'dpdk'"),
        ({"kind": "ovs", "port_type": "afxdp"}, 'give datapath="userspace" too'),
        ({"kind": "ovs", "controllers": "c7"}, 'add it with addController("c7")'),
        ({"kind": "ovs", "priority": 5}, "give 0 to 61440 in steps of 4096"),
        ({"kind": "ovs", "inband": True}, "not available yet: inband=True"),
        ({"kind": "ovs", "ageing_s": 5}, "ageing_s means nothing to a switch of the kind ovs"),
        ({"failMode": "secure"}, "failMode means nothing to a switch of the kind bridge"),
        ({"cls": "IVSSwitch"}, "switches of the class IVSSwitch are not available"),
        ({"cls": "OVSSwitch", "kind": "xdp"}, "a switch of the class OVSSwitch cannot be"),
        ({"kind": "ovs", "colour": "red"}, "a switch has no option colour"),
    ],
)
def test_wrong_options_of_switches_are_told(options: dict[str, Any], mistake: str) -> None:
    (told,) = switch_mistakes(**options)
    assert mistake in told


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"kind": "lerning"}, "no controller of the kind lerning (did you mean learning?)"),
        ({"kind": "app"}, "there is no application for it to run"),
        ({"app": "nowhere.py"}, "there is no file"),
        ({"kind": "remote", "ip": "over there"}, "ip cannot be 'over there'"),
        ({"kind": "remote", "ip": "10.0.0.300"}, "ip cannot be '10.0.0.300'"),
        ({"kind": "remote", "port": 0}, "port cannot be 0 (give 1 to 65535)"),
        ({"kind": "remote", "wait_s": "long"}, "wait_s cannot be 'long'"),
        ({"kind": "remote", "app": "x"}, "app means nothing to a controller of the kind remote"),
        ({"kind": "learning", "ip": "192.0.2.1"}, 'leave it out, or give kind="remote"'),
        ({"cls": "NOX"}, "controllers of the class NOX are not available"),
        ({"kind": "ovs", "colour": "red"}, "a controller has no option colour"),
        ({"kind": "ovs", "options": "--log 'x"}, "close the quotation marks"),
        ({"command": "pox.py --port={port} &"}, "no shell reads it, to which & would mean more"),
        ({"command": "pox.py 'x", "port": 1}, "close the quotation marks"),
        ({"command": "pox.py"}, "its command does not say where to listen: pox.py (put {port}"),
        ({"command": "", "port": 1}, "there is no program for it to run"),
        ({"command": "x {port}", "folder": "/no/where"}, "there is no folder /no/where"),
        ({"kind": "manual", "command": "x {port}"}, 'leave it out, or give kind="command"'),
        ({"kind": "ovs", "runtime": "docker"}, "a controller cannot have the runtime docker"),
    ],
)
def test_wrong_options_of_controllers_are_told(options: dict[str, Any], mistake: str) -> None:
    (told,) = controller_mistakes(**options)
    assert mistake in told


def test_what_nodes_disagree_on_is_told() -> None:
    topo = Topo()
    topo.addController("c0", port=7000)
    topo.addController("c1", kind="ovs", port=7000)
    topo.addSwitch("s1", kind="ovs", dpid="5")
    topo.addSwitch("s2", kind="ovs", dpid="05")
    topo.addHost("h1")
    topo.addLink("s1", "c0")
    topo.addLink("s1", "h1", port1=0)
    assert [told.partition(" (")[0] for told in mistakes(topo)] == [
        "it is to listen at port 7000, as does c0",
        "it has the dpid 0000000000000005, as has s1",
        "c0 is a controller, which has no interfaces of its own",
        "0 is no port number of Open vSwitch",
    ]


def ring(**options: Any) -> Topo:
    topo = Topo()
    for name in ("s1", "s2", "s3"):
        topo.addSwitch(name, kind="ovs", **options)
    for ends in (("s1", "s2"), ("s2", "s3"), ("s3", "s1")):
        topo.addLink(*ends)
    return topo


@pytest.mark.parametrize("kind", ["learning", "ovs"])
def test_loops_are_mistakes_where_nobody_looks_after_them(kind: str) -> None:
    topo = ring()
    assert "frames would go round" in mistakes(topo)[0]
    topo.addController("c0", kind=kind)
    assert "frames would go round" in mistakes(topo)[0]


@pytest.mark.parametrize("kind", ["remote", "none"])
def test_loops_may_be_left_to_a_controller(kind: str) -> None:
    topo = ring()
    topo.addController("c0", kind=kind)
    compile_plan(topo)
    standalone = ring(failMode="standalone")
    standalone.addController("c0", kind=kind)
    assert "frames would go round" in mistakes(standalone)[0]


def test_hosts_finish_their_frames_where_the_datapath_is_not_the_kernel_s() -> None:
    topo = Topo()
    topo.addSwitch("s1", kind="ovs")
    topo.addHost("h1")
    topo.addLink("s1", "h1")
    for datapath, finishes in (("auto", True), ("userspace", True), ("kernel", False)):
        plan = compile_plan(topo, ovs_datapath=datapath)  # type: ignore[arg-type]
        assert ovs_of(plan, "s1").datapath == datapath
        assert plan.node("h1").interfaces[0].frame_offload is not finishes
