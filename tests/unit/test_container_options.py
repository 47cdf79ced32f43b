"""Nodes in containers as a user writes them: what each spelling asks for, and what nobody gets."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.main import execute
from emulator.errors import TopologyError, UsageError
from emulator.network import Network
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference, keep_limits
from emulator.plan.image_names import image_name
from emulator.plan.model import ContainerPlan, HealthPlan, Plan, PublishedPortPlan, VolumePlan
from emulator.topo import Topo
from emulator.topofile import builtin_topology, load_topology

MIB = 1 << 20
DOCKER = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


def container(**options: Any) -> ContainerPlan:
    topo = Topo()
    topo.addDocker("d1", **options)
    plan = compile_plan(topo).node("d1")
    assert plan.runtime == "docker"
    assert plan.container is not None
    return plan.container


def mistakes(topo: Topo, **options: Any) -> list[str]:
    with pytest.raises(TopologyError) as error:
        compile_plan(topo, **options)
    return [problem.message for problem in error.value.problems]


def mistake(**options: Any) -> str:
    topo = Topo()
    topo.addDocker("d1", **options)
    (message,) = mistakes(topo)
    return message


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {"image": "build-vnf/base:latest"}),
        ({"image": "localhost/x"}, {"image": "localhost/x"}),
        ({"command": "sh -c 'a b'"}, {"command": ("sh", "-c", "a b")}),
        ({"command": ""}, {"command": None}),
        # As for docker run, an empty entrypoint takes the image's away.
        ({"entrypoint": ""}, {"entrypoint": ()}),
        ({"environment": ["A=b=c", "D="]}, {"environment": {"A": "b=c", "D": ""}}),
        ({"environment": "A=1"}, {"environment": {"A": "1"}}),
        ({"user": 0}, {"user": "0"}),
        ({"cpus": "1.5"}, {"cpus": 1.5}),
        ({"cpus": 0}, {"cpus": None}),
        ({"cpuset": "0-2, 4"}, {"cpuset": (0, 1, 2, 4)}),
        ({"cpuset": 0}, {"cpuset": (0,)}),
        ({"cpuset": [3, 1, 3]}, {"cpuset": (1, 3)}),
        ({"memory": "256m"}, {"memory_bytes": 256 * MIB}),
        ({"memory": "0.5GiB"}, {"memory_bytes": 512 * MIB}),
        ({"memory": 7 * MIB}, {"memory_bytes": 7 * MIB}),
        ({"memory": "1g", "memory_swap": -1}, {"memory_swap_bytes": -1}),
        ({"pids": -1}, {"pids": None}),
        ({"tmpfs": ["/run:size=1m", "/tmp"]}, {"tmpfs": {"/run": "size=1m", "/tmp": ""}}),
        ({"ulimits": ["nofile=64:128"]}, {"ulimits": {"nofile": (64, 128)}}),
        ({"ulimits": {"core": 0}}, {"ulimits": {"core": (0, 0)}}),
        ({"ulimits": [{"Name": "nproc", "Soft": 5}]}, {"ulimits": {"nproc": (5, 5)}}),
        ({"ulimits": {"memlock": {"soft": 1, "hard": -1}}}, {"ulimits": {"memlock": (1, -1)}}),
        ({"sysctls": {"net.core.somaxconn": 9}}, {"sysctls": {"net.core.somaxconn": "9"}}),
        ({"healthy_within": "1m"}, {"healthy_within_s": 60.0}),
        ({"privileged": False, "network_mode": "none", "storage_opt": None}, {}),
    ],
)  # fmt: skip
def test_what_an_option_becomes(options: dict[str, Any], fields: dict[str, Any]) -> None:
    assert container(**options).model_dump(include=set(fields)) == fields


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (80, [(80, 0, "127.0.0.1", "tcp")]),
        (["8080:80"], [(80, 8080, "127.0.0.1", "tcp")]),
        (["53:5353/udp"], [(5353, 53, "127.0.0.1", "udp")]),
        (["0.0.0.0:8080:80/tcp"], [(80, 8080, "0.0.0.0", "tcp")]),
        (["127.0.0.2::80"], [(80, 0, "127.0.0.2", "tcp")]),
        (["[::1]:8080:80"], [(80, 8080, "::1", "tcp")]),
        ({80: None}, [(80, 0, "127.0.0.1", "tcp")]),
        ({"80/udp": ("10.0.0.1", 81)}, [(80, 81, "10.0.0.1", "udp")]),
        ({80: [8, ("::", 9)]}, [(80, 8, "127.0.0.1", "tcp"), (80, 9, "::", "tcp")]),
        ([80, "80"], [(80, 0, "127.0.0.1", "tcp")]),
    ],
)  # fmt: skip
def test_published_ports(ports: Any, expected: list[tuple[int, int, str, str]]) -> None:
    assert container(ports=ports).ports == tuple(
        PublishedPortPlan(port=port, host_port=host, host_address=address, protocol=protocol)
        for port, host, address, protocol in expected
    )


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("curl x", HealthPlan(command=("CMD-SHELL", "curl x"))),
        (["curl", "x"], HealthPlan(command=("CMD", "curl", "x"))),
        ({"test": ["a"], "timeout": "1m30s"}, HealthPlan(command=("CMD", "a"), timeout_s=90)),
        # The Docker SDK counts in nanoseconds.
        ({"test": ["a"], "interval": 2 * 10**9}, HealthPlan(command=("CMD", "a"), interval_s=2)),
        ({"test": ["a"], "start_period": 3}, HealthPlan(command=("CMD", "a"), start_period_s=3)),
        ({"disable": True}, HealthPlan(command=("NONE",))),
    ],
)  # fmt: skip
def test_health_checks(check: Any, expected: HealthPlan) -> None:
    assert container(healthcheck=check).health == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"image": "x"}, {"dimage": "x"}),
        ({"command": "a b"}, {"dcmd": "a b"}),
        ({"cpus": 0.25}, {"cpu_quota": 50_000, "cpu_period": 200_000}),
        ({"cpus": 2}, {"cpu_quota": 200_000}),
        ({"cpus": 2}, {"nano_cpus": 2 * 10**9}),
        ({}, {"cpu_quota": -1, "cpu_period": None}),
        ({"cpuset": [0, 1]}, {"cpuset_cpus": "0,1"}),
        ({"memory": "1g", "memory_swap": "2g"}, {"mem_limit": "1g", "memswap_limit": "2g"}),
        ({"pids": 7}, {"pids_limit": 7}),
        ({"environment": {"A": "1"}}, {"env": ["A=1"]}),
        ({"workdir": "/srv"}, {"working_dir": "/srv"}),
        ({"ports": {80: 8080}}, {"ports": [80, "81/udp"], "port_bindings": {80: 8080}}),
        ({"volumes": ["/a:/b:ro"]}, {"volumes": {"/a": {"bind": "/b", "mode": "ro"}}}),
        (
            {"image": "q", "build": "/x", "build_arguments": {"A": "1"}},
            {"build_params": {"path": "/x", "tag": "q", "buildargs": {"A": 1}}},
        ),
        ({"image": "x", "memory": "1g"}, {"dimage": "x", "docker_args": {"mem_limit": "1g"}}),
        ({"cpus": 0.5}, {"docker_args": {"cpu_quota": 50_000, "tty": True, "detach": True}}),
        ({"memory": "1g"}, {"memory": "1g", "mem_limit": 1024 * MIB}),
    ],
)
def test_spellings_of_others_ask_for_the_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert container(**ours) == container(**theirs)


def test_what_the_caller_wrote_is_left_as_it_was() -> None:
    arguments = {"mem_limit": "1g", "volumes": {"/a": {"bind": "/b"}}, "environment": {"A": 1}}
    build = {"path": "/x", "tag": "q"}
    before = copy.deepcopy((arguments, build))
    container(docker_args=arguments, build_params=build)
    assert (arguments, build) == before


# -- files -------------------------------------------------------------------------------------


def test_relative_paths_start_where_the_topology_is_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from emulator import Topo\n"
        "class Mine(Topo):\n"
        "    def build(self):\n"
        '        self.addDocker("d1", volumes=["./data:/data", "cache:/c"], build="image")\n'
    )
    plan = compile_plan(load_topology(str(file), {})).node("d1").container
    assert plan is not None
    assert plan.volumes == (
        VolumePlan(source=str(tmp_path / "data"), target="/data"),
        VolumePlan(source="cache", target="/c"),
    )
    assert plan.build == str(tmp_path / "image")


def test_an_image_that_is_built_has_a_name_that_follows_from_what_it_is_built_from() -> None:
    first = container(build="/x/My Tool")
    assert first.image.startswith("build-vnf-built/my-tool:")
    assert container(build="/x/My Tool").image == first.image
    others = [container(build="/y/My Tool"), container(build="/x/My Tool", build_arguments="A=1")]
    assert first.image not in [other.image for other in others]
    assert container(build="/x", image="mine:1").image == "mine:1"


@pytest.mark.parametrize("name", ["firewall", "My.VNF", "x_-y", "a" * 120, "A", "a.b_c"])
def test_every_vnf_has_a_name_that_docker_takes(name: str) -> None:
    image = image_name(name, "packet")
    assert container(image=image).image == image
    assert image_name(name, "dpdk") != image != image_name(name + "x", "packet")


# -- rights ------------------------------------------------------------------------------------


def test_a_host_in_a_container_has_docker_s_capabilities_and_its_own_network() -> None:
    assert set(container().capabilities) == DOCKER | {"NET_ADMIN"}
    assert container(cap_drop="ALL").capabilities == ()
    assert container(cap_drop=["ALL"], cap_add=["cap_sys_nice"]).capabilities == ("SYS_NICE",)
    assert "MKNOD" not in container(cap_drop=["MKNOD"]).capabilities
    assert {"SYS_RESOURCE", "CHOWN"} < set(container(cap_add=["SYS_RESOURCE"]).capabilities)


@pytest.mark.parametrize(
    ("options", "capabilities"),
    [
        ({"dataplane": "kernel"}, ()),
        ({"dataplane": "xdp"}, ()),
        ({"dataplane": "packet"}, ("NET_RAW",)),
        ({"dataplane": "afxdp"}, ("IPC_LOCK", "NET_RAW")),
        ({"dataplane": "dpdk"}, ("IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_ADMIN")),
        ({"dataplane": "dpdk", "driver": "af_packet"}, ("NET_ADMIN", "NET_RAW")),
        ({"dataplane": "dpdk", "driver": "null"}, ()),
        ({"dataplane": "packet", "cap_add": ["NET_ADMIN"]}, ("NET_ADMIN", "NET_RAW")),
    ],
)
def test_a_vnf_has_what_its_data_plane_takes(
    options: dict[str, Any], capabilities: tuple[str, ...]
) -> None:
    node = chain(runtime="docker", **options).node("fwd")
    assert node.container is not None
    assert node.container.capabilities == capabilities
    assert node.container.image == f"build-vnf/forward:{options['dataplane']}"
    assert (node.container.read_only, node.container.user) == (True, None)


def test_a_vnf_in_python_has_what_its_driver_takes_in_an_image_of_the_user_s() -> None:
    for driver, rights in (("packet", ("NET_RAW",)), ("afxdp", ("IPC_LOCK", "NET_RAW"))):
        options = {"dataplane": "python", "driver": driver, "runtime": "docker"}
        node = chain(**options, image="mine").node("fwd").container
        assert node is not None
        assert node.capabilities == rights
        with pytest.raises(TopologyError, match="no image for the data plane python"):
            chain(**options)


def test_drivers_that_a_vnf_is_given_besides_count_as_well() -> None:
    topo = Topo()
    eal = ["--vdev=net_af_packet0,iface=lo"]
    topo.addVNF("fwd", "forward", "dpdk", runtime="docker", driver="null", eal=eal)
    topo.addLink("fwd", topo.addHost("h1"))
    plan = compile_plan(topo).node("fwd").container
    assert plan is not None
    assert plan.capabilities == ("NET_ADMIN", "NET_RAW")


def test_vnfs_that_share_nothing_but_memory_need_no_rights() -> None:
    topo = Topo()
    for name in ("a", "b", "c"):
        topo.addVNF(name, "forward", "dpdk", runtime="docker")
    for pair in (("a", "b"), ("b", "c")):
        topo.addLink(*pair, kind="memif")
    topo.addLink(topo.addHost("h1"), "a")
    topo.addLink("c", topo.addHost("h2"))
    plan = compile_plan(topo)
    rights = {node.name: node.container and node.container.capabilities for node in plan.vnfs()}
    assert rights["b"] == ()
    assert rights["a"] == rights["c"] == ("IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_ADMIN")


# -- nodes -------------------------------------------------------------------------------------


def chain(**options: Any) -> Plan:
    topo = Topo()
    topo.addVNF("fwd", "forward", **options)
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "fwd")
    return compile_plan(topo)


@pytest.mark.parametrize(
    ("given", "cores"), [({}, (0, 1)), ({"cores": 1}, (1,)), ({"cores": [0, 1]}, (0, 1))]
)
def test_a_vnf_runs_where_its_container_may(given: dict[str, Any], cores: tuple[int, ...]) -> None:
    vnf = chain(dataplane="packet", runtime="docker", cpuset="0-1", **given).node("fwd").vnf
    assert vnf is not None
    assert vnf.cores == cores


def test_a_vnf_cannot_run_where_its_container_may_not() -> None:
    topo = Topo()
    topo.addVNF("fwd", "forward", "packet", runtime="docker", cpuset="0", cores=[0, 2])
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "fwd")
    assert mistakes(topo) == ["cores 2 are outside the container's cpuset"]


def test_a_vnf_may_run_an_image_of_the_user_s() -> None:
    node = chain(dataplane="packet", runtime="docker", image="mine/fwd:2", cpus=0.5).node("fwd")
    assert node.container is not None
    assert (node.container.image, node.container.cpus) == ("mine/fwd:2", 0.5)
    assert node.vnf is not None
    assert "cpus" not in node.vnf.parameters


def test_hosts_in_containers_get_addresses_like_any_other() -> None:
    topo = Topo()
    topo.addSwitch("s1")
    for name, runtime in (("h1", "docker"), ("h2", "namespace"), ("h3", "docker")):
        topo.addLink(topo.addHost(name, runtime=runtime), "s1")
    topo.addAppContainer("a1", "h1")
    plan = compile_plan(topo)
    assert [plan.address_of(f"h{n}") for n in (1, 2, 3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert plan.address_of("a1") is None


def test_containers_can_be_the_default_of_a_topology() -> None:
    topo = Topo(hopts={"runtime": "docker", "image": "debian"})
    topo.addHost("h1")
    topo.addDocker("h2")
    topo.addDocker("h3", cpus=1)
    plan = compile_plan(topo)
    images = [node.container and node.container.image for node in plan.nodes]
    # As in Mininet, a host that is given any option is given no defaults.
    assert images == ["debian", "debian", "build-vnf/base:latest"]


def test_the_classes_of_containernet_and_comnetsemu_are_hosts_in_containers() -> None:
    for name in ("Docker", "DockerHost"):
        topo = Topo()
        topo.addHost("d1", cls=type(name, (), {}), dimage="debian", dcmd="sleep 60")
        node = compile_plan(topo).node("d1")
        assert node.container is not None
        assert (node.container.image, node.container.command) == ("debian", ("sleep", "60"))


def test_app_containers_live_in_a_node() -> None:
    topo = Topo()
    topo.addDocker("d1")
    topo.addDocker("d2")
    for number, host in ((10, "d1"), (2, "d1"), (3, "d2")):
        topo.addAppContainer(f"a{number}", host, "busybox", memory="16m")
    assert topo.apps() == ["a2", "a3", "a10"]
    plan = compile_plan(topo)
    assert [node.name for node in plan.apps()] == ["a2", "a3", "a10"]
    assert [node.name for node in plan.apps("d1")] == ["a2", "a10"]
    app = plan.node("a3")
    assert (app.kind, app.host, app.interfaces) == ("app", "d2", ())


def test_options_that_ask_for_nothing_may_stay_when_the_runtime_is_another() -> None:
    topo = Topo()
    topo.addHost("h1", image=None, cpus=0, environment={}, privileged=False)
    assert compile_plan(topo).node("h1").container is None
    topo.addHost("h2", cpu_shares=512)
    assert mistakes(topo) == ["cpu_shares=512 is for a node in a container"]


@pytest.mark.parametrize(
    ("ports1", "ports2", "collide"),
    [
        (["8080:80"], ["8080:81"], True),
        (["8080:80"], ["0.0.0.0:8080:80"], True),
        (["8080:80"], ["8080:80/udp"], False),
        (["127.0.0.1:8080:80"], ["127.0.0.2:8080:80"], False),
        ([80], [80], False),
    ],
)
def test_a_port_of_the_machine_leads_to_one_node(ports1: Any, ports2: Any, collide: bool) -> None:
    topo = Topo()
    topo.addDocker("d1", ports=ports1)
    topo.addDocker("d2", ports=ports2)
    if collide:
        assert mistakes(topo) == ["port 8080/tcp of the machine leads to d1 already"]
    else:
        assert compile_plan(topo)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_that_no_program_can_be_given(text: str) -> None:
    for options in ({"command": ["a", text]}, {"environment": {"A": text}}, {"labels": {text: ""}}):
        assert "has a character that no program could be given" in mistake(**options)


# -- changes -----------------------------------------------------------------------------------


def plan_of(memory: str = "64m", host: str = "d1", **others: Any) -> Plan:
    topo = Topo()
    topo.addDocker("d1", memory=memory, **others)
    topo.addDocker("d2")
    topo.addAppContainer("app", host)
    topo.addHost("h1")
    topo.addSwitch("s1")
    for name in ("d1", "d2", "h1"):
        topo.addLink(name, "s1")
    return compile_plan(topo)


def names(nodes: tuple[Any, ...]) -> list[str]:
    return [node.name for node in nodes]


def test_a_container_that_is_planned_differently_is_made_anew_with_those_that_live_in_it() -> None:
    same = Difference.between(plan_of(), plan_of())
    assert (same.nodes_changed, same.nodes_replaced) == ((), ())
    changed = Difference.between(plan_of(), plan_of("128m"))
    assert names(changed.nodes_replaced) == names(changed.nodes_changed) == ["app", "d1"]
    assert (changed.links_gone, changed.links_new) == ((), ())
    moved = Difference.between(plan_of(), plan_of(host="d2"))
    assert names(moved.nodes_replaced) == ["app"]
    addressed = Difference.between(plan_of(), plan_of(ip="10.9.9.9/8"))
    assert "d1" in names(addressed.nodes_changed)
    assert addressed.nodes_replaced == ()


def test_a_change_elsewhere_leaves_a_container_the_limits_it_was_given_meanwhile() -> None:
    asked = plan_of("64m")
    container = asked.node("d1").container
    assert container is not None
    updated = container.model_copy(update={"memory_bytes": 99 * MIB})
    nodes = tuple(
        node.model_copy(update={"container": updated}) if node.name == "d1" else node
        for node in asked.nodes
    )
    running = asked.model_copy(update={"nodes": nodes})

    after = keep_limits(plan_of("64m", "d2"), asked=asked, running=running)
    assert after.node("d1") == running.node("d1")
    assert names(Difference.between(running, after).nodes_replaced) == ["app"]
    # What the topology itself says anew counts.
    assert keep_limits(plan_of("32m"), asked=asked, running=running) == plan_of("32m")


def test_a_host_that_moves_into_a_container_is_made_anew() -> None:
    def plan(runtime: str) -> Plan:
        topo = Topo()
        topo.addLink(topo.addHost("h1", runtime=runtime), topo.addSwitch("s1"))
        return compile_plan(topo)

    difference = Difference.between(plan("namespace"), plan("docker"))
    assert names(difference.nodes_replaced) == ["h1"]
    assert (difference.links_gone, difference.nodes_gone) == ((), ())


def test_a_node_is_not_removed_from_under_its_app_containers() -> None:
    before = plan_of()
    topo = Topo()
    for name in ("a1", "a2"):
        topo.addAppContainer(name, "d1")
    with pytest.raises(TopologyError) as error:
        compile_plan(topo, previous=before)
    (problem,) = error.value.problems
    assert (problem.where, problem.message) == (
        "node d1",
        "it cannot be removed while app containers live in it: a1, a2",
    )


# -- networks ----------------------------------------------------------------------------------


def test_a_network_takes_containers_as_a_topology_does() -> None:
    net = Network()
    assert net.addDocker("d1", "debian", memory="64m") == "d1"
    assert net.addDockerHost("d2", dimage="debian", docker_args={"mem_limit": "64m"}) == "d2"
    assert net.addAppContainer("a1", "d1", "busybox") == "a1"
    assert net.plan.node("d1").container == net.plan.node("d2").container
    net.delNode("a1")
    net.removeDocker("d1")
    assert [node.name for node in net.plan.nodes] == ["d2"]


def test_what_a_failing_node_does_to_a_network_is_checked() -> None:
    with pytest.raises(UsageError, match="on_failure cannot be 'ignore'"):
        Network(on_failure="ignore")  # type: ignore[arg-type]


def test_the_command_shows_what_encloses_each_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["plan", "--topo", "containers", "--set", "image=debian:12"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["server", "host", "10.0.0.2/8", "-", "docker", "debian:12"] in rows
    assert ["watcher", "app", "-", "-", "docker,", "in", "server", "debian:12"] in rows
    assert ["s1", "switch", "-", "-", "-", "-"] in rows
    assert execute(["plan", "--topo", "minimal"]) == 0
    assert "runtime" not in capsys.readouterr().out


def test_the_chain_puts_its_vnfs_into_containers() -> None:
    plan = compile_plan(builtin_topology("chain", {"runtime": "docker", "memory": "64m"}))
    assert {node.name: node.runtime for node in plan.nodes} == {
        "client": "namespace",
        "server": "namespace",
        "vnf1": "docker",
    }
    node = plan.node("vnf1").container
    assert node is not None
    assert node.memory_bytes == 64 * MIB
