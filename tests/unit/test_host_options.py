"""What hosts without a container may ask for beyond their links, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator import MachineError, Topo, TopologyError, UsageError
from emulator.hosts.groups import Group
from emulator.hosts.leftovers import Leftovers, entries_of, give_back
from emulator.hosts.limit_changes import updated
from emulator.hosts.limits import LabLimits, ensure_real_time
from emulator.hosts.parameters import read_parameter
from emulator.kernel.cgroup import hierarchies
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference
from emulator.plan.host_model import LimitsPlan, PrivateDirPlan
from emulator.plan.kept import keep_node
from emulator.plan.model import NodePlan, Plan


def planned(**options: Any) -> NodePlan:
    topo = Topo()
    topo.addHost("h1", **options)
    return compile_plan(topo).node("h1")


def mistakes(topo: Topo, **options: Any) -> list[str]:
    with pytest.raises(TopologyError) as error:
        compile_plan(topo, **options)
    return [problem.message for problem in error.value.problems]


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"cpu": 0.2}, LimitsPlan(cpu_share=0.2)),
        ({"cpu": "0.2", "sched": "cfs"}, LimitsPlan(cpu_share=0.2)),
        ({"cpu": 0.2, "sched": "rt"}, LimitsPlan(cpu_share=0.2, sched="rt")),
        ({"cpu": 0.2, "period_us": 10000}, LimitsPlan(cpu_share=0.2, period_us=10000)),
        ({"cpus": 1.5}, LimitsPlan(cpus=1.5)),
        ({"cpu_quota": 50000}, LimitsPlan(cpus=0.5)),
        ({"cores": [1, 0]}, LimitsPlan(cpuset=(0, 1))),
        ({"cores": 0}, LimitsPlan(cpuset=(0,))),
        ({"cpuset": "0-1", "cores": "0,1"}, LimitsPlan(cpuset=(0, 1))),
        ({"mem_limit": "64m", "pids": 20}, LimitsPlan(memory_bytes=64 << 20, pids=20)),
        ({"cpu": -1, "cores": None, "sched": "cfs", "period_us": 100000}, None),
        ({"cpu": 0, "cores": []}, None),
        ({"sched": "host"}, None),
    ],
)
def test_limits_in_every_spelling(options: dict[str, Any], limits: LimitsPlan | None) -> None:
    assert planned(**options).limits == limits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 2}, "cpu: 2 is no share of the machine's CPUs"),
        ({"cpu": "fast"}, "cpu: 'fast' is not a number"),
        ({"cpu": True}, "cpu: True is not a number"),
        ({"cpu": float("nan")}, "cpu: nan is no share of the machine's CPUs"),
        ({"cpu": 0.5, "cpus": 1}, "cpu and cpus both limit its time on the CPUs"),
        ({"cpu": 0.5, "sched": "fifo"}, "there is no scheduler 'fifo' for a node"),
        (
            {"sched": "rt"},
            "real-time processes need a share of the CPUs below 1, or they would take all of it",
        ),
        (
            {"cpu": 0.5, "sched": "host"},
            'sched="host" leaves its time on the CPUs alone, and a share of it is given',
        ),
        ({"cpu": 0.5, "period_us": 5}, "period_us: 5 is not a time in microseconds"),
        ({"cores": "all"}, "cores: 'all' is not a list of CPU numbers"),
        ({"cores": 0, "cpuset": 1}, "cores and cpuset name different CPUs"),
        ({"privateDirs": "/var/run"}, "privateDirs: '/var/run' is not a list"),
        ({"privateDirs": ["run"]}, "privateDirs: 'run' cannot be a folder of its own"),
        ({"privateDirs": ["/proc/"]}, "privateDirs: '/proc/' cannot be a folder of its own"),
        ({"privateDirs": ["/a", "/a/"]}, "privateDirs: /a is named twice"),
        (
            {"privateDirs": [("/a", "/b", "/c")]},
            "privateDirs: ('/a', '/b', '/c') is neither a path nor a pair of paths",
        ),
        (
            {"privateDirs": [("/a", "/b/%(nme)s")]},
            "privateDirs: ('/a', '/b/%(nme)s') is neither a path nor a pair of paths",
        ),
    ],
)
def test_wrong_limits_and_folders(options: dict[str, Any], message: str) -> None:
    topo = Topo()
    topo.addHost("h1", **options)
    assert mistakes(topo) == [message]


def test_a_vnf_is_limited_where_it_is_a_process() -> None:
    topo = Topo()
    topo.addVNF("fwd", "forward", "packet", cpus=0.5, memory="64m")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "fwd")
    assert compile_plan(topo).node("fwd").limits == LimitsPlan(cpus=0.5, memory_bytes=64 << 20)
    topo.addVNF("fwd2", "forward", "xdp", cpus=0.5)
    for name in ("h1", "h2"):
        topo.addLink(name, "fwd2")
    text = "on the data plane xdp its frames are handled by no process to be limited"
    assert mistakes(topo) == [text]


def test_a_container_has_its_own_words() -> None:
    topo = Topo()
    topo.addDocker("d1", cores=[0, 1], sched="cfs")
    node = compile_plan(topo).node("d1")
    assert node.container is not None
    assert node.container.cpuset == (0, 1)
    assert node.limits is None
    topo.addDocker("d2", cpu=0.5)
    assert mistakes(topo) == ["cpu=0.5: that is for a node in no container"]


def test_private_folders_are_named_after_the_node() -> None:
    dirs = planned(privateDirs=["/var/run/x", ("/var/run", "/tmp/%(name)s/run")]).private_dirs
    assert dirs == (
        PrivateDirPlan(path="/var/run", source="/tmp/h1/run"),
        PrivateDirPlan(path="/var/run/x"),
    )


def test_limits_change_one_by_one() -> None:
    limits = updated(LimitsPlan(cpu_share=0.2, pids=20), {"cpus": "0.5"}, where="h1")
    assert limits == LimitsPlan(cpus=0.5, pids=20)
    assert updated(limits, {"pids": None, "cpus": None}, where="h1") == LimitsPlan()
    assert updated(None, {"cores": [0]}, where="h1") == LimitsPlan(cpuset=(0,))
    real_time = LimitsPlan(cpu_share=0.2, sched="rt")
    assert updated(real_time, {"cpu": 0.3}, where="h1").sched == "rt"
    assert updated(real_time, {"sched": "cfs"}, where="h1") == LimitsPlan(cpu_share=0.2)
    assert updated(LimitsPlan(cpu_share=0.2), {"sched": "rt"}, where="h1") == real_time
    for changes, message in (
        ({}, "nothing is given that is to change"),
        ({"cpuz": 1}, "there is no limit cpuz"),
        ({"sched": "rt"}, "real-time processes need a share of the CPUs"),
        ({"privateDirs": []}, "privateDirs cannot be changed while the node runs"),
        ({"cpu": "fast"}, "cpu: 'fast' is not a number"),
    ):
        with pytest.raises(UsageError, match=message):
            updated(limits, changes, where="h1")
    with pytest.raises(UsageError, match="real-time"):
        updated(real_time, {"cpu": None}, where="h1")


# Addresses ------------------------------------------------------------------------------------


def two_hosts(**options: Any) -> Topo:
    topo = Topo()
    topo.addHost("h1", **options)
    topo.addHost("h2")
    topo.addSwitch("s1")
    for name in ("h1", "h2"):
        topo.addLink(name, "s1")
    return topo


def test_an_interface_has_several_addresses() -> None:
    topo = two_hosts(ip=["10.0.0.1/8", "192.168.0.1/24", "fd00:1::1"], defaultRoute="192.168.0.9")
    topo.addLink("h2", "s1", params1={"ip": ["172.16.0.1/12", "172.16.0.2/12"]})
    plan = compile_plan(topo, ipv6=True)
    first = plan.node("h1").interfaces[0]
    assert first.addresses == ("10.0.0.1/8", "fd00::1/64", "192.168.0.1/24", "fd00:1::1/64")
    assert plan.node("h1").default_route == "192.168.0.9"
    assert plan.node("h2").interface("h2-eth1").more_addresses == ("172.16.0.2/12",)
    assert Plan.from_json(plan.to_json()) == plan


def test_further_addresses_are_checked_like_the_first() -> None:
    topo = two_hosts(ip=["10.0.0.1/8", "10.0.0.300", "10.0.0.2", "fd00:1::1"])
    assert sorted(mistakes(topo)) == [
        "'10.0.0.300' is not an IPv4 address",
        "fd00:1::1/64 is an IPv6 address, and the lab has no IPv6",
        "h2-eth0 has the address 10.0.0.2, as has h1-eth0",
    ]


def test_macs_count_like_the_hosts() -> None:
    topo = two_hosts()
    topo.addRouter("r1", mac="02:00:00:00:00:09")
    topo.addHost("h3")
    for name in ("r1", "h3"):
        topo.addLink(name, "s1")
    plan = compile_plan(topo, set_macs=True)
    macs = {node.name: node.interfaces[0].mac for node in plan.nodes if node.kind != "switch"}
    assert macs == {
        "h1": "00:00:00:00:00:01",
        "h2": "00:00:00:00:00:02",
        "h3": "00:00:00:00:00:03",
        "r1": "02:00:00:00:00:09",
    }
    topo.addHost("h2b")
    topo.addLink("h2b", "s1")
    again = compile_plan(topo, set_macs=True, previous=plan)
    assert again.node("h3").interfaces[0].mac == "00:00:00:00:00:03"
    assert again.node("h2b").interfaces[0].mac == "00:00:00:00:00:04"


def test_what_was_changed_while_it_ran_stays_unless_the_topology_says_otherwise() -> None:
    asked = compile_plan(two_hosts())
    node = asked.node("h1")
    moved = node.interfaces[0].model_copy(update={"ipv4": "10.9.9.9/8"})
    running = node.model_copy(
        update={"interfaces": (moved,), "default_route": "10.0.0.2", "limits": LimitsPlan(pids=9)}
    )
    assert keep_node(node, node, running) == running
    changed = compile_plan(two_hosts(ip="10.0.0.7", cpu=0.5)).node("h1")
    kept = keep_node(changed, node, running)
    assert (kept.interfaces[0].ipv4, kept.limits) == ("10.0.0.7/8", LimitsPlan(cpu_share=0.5))
    assert kept.default_route == "10.0.0.2"


def test_other_private_folders_make_a_node_anew() -> None:
    before, after = compile_plan(two_hosts()), compile_plan(two_hosts(privateDirs=["/srv"]))
    assert [n.name for n in Difference.between(before, after).nodes_replaced] == ["h1"]


# Ways out --------------------------------------------------------------------------------------


def test_a_nat_is_where_hosts_beside_it_send_what_is_for_outside() -> None:
    topo = two_hosts(defaultRoute="via 10.0.0.2")
    topo.addHost("h3", ip="192.168.9.1/24")
    topo.addHost("h4", defaultRoute="")
    topo.addHost("h5")
    for name in ("h3", "h4", "h5"):
        topo.addLink(name, "s1")
    assert topo.addNAT(ip="10.0.0.99/8") == "nat0"
    plan = compile_plan(topo)
    routes = {node.name: node.default_route for node in plan.hosts()}
    assert routes == {
        "h1": "10.0.0.2",
        "h2": "10.0.0.99",
        "h3": None,
        "h4": None,
        "h5": "10.0.0.99",
    }
    nat = plan.node("nat0")
    assert nat.kind == "router"
    assert nat.nat is not None
    assert nat.nat.serves == ("h2", "h5")


def test_only_a_router_leads_out() -> None:
    topo = two_hosts(nat=True)
    assert mistakes(topo) == ["a host has no option nat"]
    topo = Topo()
    topo.addNAT(runtime="docker")
    assert mistakes(topo) == ["a router in a container cannot lead out of the lab"]


def test_an_interface_of_the_machine_is_a_port_like_any_other() -> None:
    topo = two_hosts()
    topo.addExternal("eth1", "s1")
    topo.addExternal(
        "a-long-name.200", "h1", name="wan", ip="192.0.2.9/24", mac="02:00:00:00:00:77"
    )
    topo.addLink("h1", "h2")
    plan = compile_plan(topo)
    ports = [(port.name, port.port) for port in plan.node("h1").interfaces]
    assert ports == [("h1-eth0", 0), ("wan", 1), ("h1-eth2", 2)]
    wan, trunk = plan.node("h1").interface("wan"), plan.node("s1").interface("eth1")
    assert wan.external is not None
    assert trunk.external is not None
    assert (wan.external.interface, wan.external.keeps_mac) == ("a-long-name.200", False)
    assert (wan.ipv4, trunk.ipv4, trunk.external.keeps_mac) == ("192.0.2.9/24", None, True)
    assert plan.leads_to("s1", "eth1") == "eth1 of the machine"
    topo.removeExternal("eth1")
    topo.removeNode("h1")
    assert [e for e in compile_plan(topo).node("s1").interfaces if e.external] == []
    with pytest.raises(UsageError, match="there is no external eth1"):
        topo.removeExternal("eth1")


def test_where_an_interface_of_the_machine_cannot_be() -> None:
    topo = two_hosts()
    topo.addSwitch("s2", kind="xdp")
    topo.addDocker("d1")
    for interface, node in (("e1", "s9"), ("e2", "s2"), ("e3", "d1"), ("e4", "h1"), ("e4", "h2")):
        topo.addExternal(interface, node)
    topo.addExternal("no/name", "h1")
    topo.addExternal("e5", "h1", speed=10)
    assert sorted(mistakes(topo)) == [
        "'no/name' is not the name of an interface",
        "an external interface has no option speed",
        "d1 cannot have an interface of the machine",
        "e4 is to be h1's already",
        "s2 cannot have an interface of the machine",
        "there is no node s9",
    ]


# What is left behind ---------------------------------------------------------------------------


def test_what_was_done_to_the_machine_is_noted_before_and_taken_back(tmp_path: Path) -> None:
    lab, made = tmp_path / "lab", tmp_path / "made"
    lab.mkdir()
    notes = Leftovers(lab)
    entry = notes.add("folder", path=str(made))
    twin = notes.add("folder", path=str(made))
    made.mkdir()
    notes.drop(entry)
    assert entries_of(lab) == [twin]
    assert give_back(lab)
    assert not made.exists()
    made.mkdir()
    (made / "of-somebody").touch()
    assert give_back(lab)
    assert (made / "of-somebody").exists()


def test_a_folder_without_notes_has_nothing_to_take_back(tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("{")
    assert give_back(tmp_path)
    assert entries_of(tmp_path / "nowhere") == []


MOUNTS = """\
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 /docker/5f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_a_controller_belongs_to_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS)
    unified = tmp_path / "sys/fs/cgroup/unified"
    unified.mkdir(parents=True)
    (unified / "cgroup.controllers").write_text("memory pids\n")
    found = hierarchies(tmp_path)
    cpu = tmp_path / "sys/fs/cgroup/cpu,cpuacct"
    memory = tmp_path / "sys/fs/cgroup/memory"
    assert found == {
        "cpu": (cpu, 1),
        "cpuacct": (cpu, 1),
        "memory": (memory, 1),
        "pids": (unified, 2),
    }


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy of version 2, as far as files go."""
    (tmp_path / "cgroup.subtree_control").write_text("cpu")
    known = dict.fromkeys(("cpu", "cpuset", "memory", "pids"), (tmp_path, 2))
    for module in ("groups", "limits"):
        monkeypatch.setattr(f"emulator.hosts.{module}.hierarchies", lambda: known)
    (tmp_path / "cpuset.cpus.effective").write_text("0-3")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    # The kernel makes that of a group with the group.
    mkdir = Path.mkdir

    def make(folder: Path, *args: Any, **options: Any) -> None:
        mkdir(folder, *args, **options)
        (folder / "cgroup.subtree_control").touch()

    monkeypatch.setattr(Path, "mkdir", make)
    return tmp_path


def test_limits_in_a_hierarchy_of_version_2(unified: Path) -> None:
    notes = Leftovers(unified)
    limits = LabLimits("lab", notes)
    wanted = LimitsPlan(cpu_share=0.1, memory_bytes=1 << 20, pids=9, cpuset=(0, 2))
    group = limits.apply("h1", wanted)
    folder = unified / "vnf-lab-lab" / "node.h1"
    assert group.members == (folder / "cgroup.procs",)
    written = {name: (folder / name).read_text() for name in ("cpu.max", "memory.max", "pids.max")}
    # A tenth of four CPUs.
    assert written == {"cpu.max": "40000 100000", "memory.max": "1048576", "pids.max": "9"}
    assert (folder / "cpuset.cpus").read_text() == "0,2"
    assert (unified / "cgroup.subtree_control").read_text() == "+pids"
    assert entries_of(unified) == [{"kind": "cgroups", "folders": [str(folder.parent)]}]
    limits.apply("h1", LimitsPlan(cpus=0.005))
    assert (folder / "cpu.max").read_text() == "1000 200000"
    assert (folder / "memory.max").read_text() == "max"
    assert (folder / "cpuset.cpus").read_text() == "0,1,2,3"
    with pytest.raises(MachineError, match="no share of real time"):
        ensure_real_time("h1")


def test_parameters_have_the_names_of_version_1_in_version_2(unified: Path) -> None:
    limits = LabLimits("lab", Leftovers(unified))
    folder = unified / "vnf-lab-lab" / "node.h1"
    group = limits.apply("h1", LimitsPlan(cpus=0.5))
    # As the kernel makes them.
    (folder / "cpu.weight").write_text("100\n")
    (folder / "cpu.stat").write_text("usage_usec 1234\nuser_usec 1000\n")
    assert limits.set_parameter("h1", "cpu", "cfs_period_us", 50_000).cpus == 1
    assert (folder / "cpu.max").read_text() == "50000 50000"
    assert limits.set_parameter("h1", "cpu", "cfs_quota_us", -1).cpus is None
    assert (folder / "cpu.max").read_text() == "max 50000"
    assert read_parameter(group, "cpu", "cfs_quota_us") == -1
    assert limits.set_parameter("h1", "cpu", "shares", "1024").others == (("cpu.shares", "1024"),)
    assert (folder / "cpu.weight").read_text() == "40"
    assert read_parameter(group, "cpu", "weight") == 40
    assert read_parameter(group, "cpuacct", "usage") == 1_234_000
    for parameter, value, message in (
        ("rt_runtime_us", 5, "of version 2, which this machine has, know no parameter cpu.rt_run"),
        ("shares", "many", "cpu.shares cannot be 'many', which is no whole number"),
        ("../../cpu.max", 5, r"know no parameter cpu\.\.\./\.\./cpu\.max"),
    ):
        with pytest.raises(UsageError, match=message):
            limits.set_parameter("h1", "cpu", parameter, value)
    with pytest.raises(UsageError, match=r"cpuacct\.usage tells something, and cannot be set"):
        limits.set_parameter("h1", "cpuacct", "usage", 0)
    # What was set so stays when a limit of the topology's is changed.
    (folder / "cpu.weight").write_text("100")
    limits.apply("h1", LimitsPlan(cpus=1, others=(("cpu.shares", "1024"),)))
    assert (folder / "cpu.weight").read_text() == "40"


def test_a_controller_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("groups", "limits"):
        monkeypatch.setattr(f"emulator.hosts.{module}.hierarchies", dict)
    with pytest.raises(MachineError, match="control groups cannot limit cpu on this machine"):
        LabLimits("lab", Leftovers(tmp_path)).apply("h1", LimitsPlan(cpus=1))


def test_whether_a_process_belongs_to_a_group() -> None:
    folder = Path("/sys/fs/cgroup/x/vnf-lab-a/node.h1")
    group = Group({"cpu": folder, "pids": folder}, {"cpu": 1, "pids": 2})
    assert group.holds("2:cpu,cpuacct:/vnf-lab-a/node.h1\n0::/vnf-lab-a/node.h1\n")
    assert not group.holds("2:cpu,cpuacct:/vnf-lab-a/node.h1\n0::/\n")
    assert not group.holds("2:cpu,cpuacct:/vnf-lab-b/node.h1\n0::/vnf-lab-a/node.h1\n")
    assert len(group.members) == 1
