"""What the shell says of nodes in containers, and what can be asked of them by their names."""

from __future__ import annotations

import pytest

from emulator.cli import shell_format
from emulator.cli.container_format import limits_text
from emulator.cli.shell import Shell
from emulator.cli.shell_commands import argument_kinds
from emulator.cli.shell_complete import candidates
from emulator.plan.model import ContainerPlan, PublishedPortPlan
from tests.unit.fake_lab import FakeNetwork

PLAN = ContainerPlan(
    image="debian:12",
    cpus=0.5,
    memory_bytes=64 << 20,
    ports=(
        PublishedPortPlan(port=80, host_port=0),
        PublishedPortPlan(port=53, host_port=5353, host_address="::1", protocol="udp"),
    ),
)


@pytest.fixture
def net() -> FakeNetwork:
    """The lab of the other tests, with h1 and the VNF in containers, and h3 an app of h1."""
    net = FakeNetwork()
    net.enclose("h1", PLAN).ports = [("127.0.0.1", 32768, 80), ("::1", 5353, 53)]
    net.enclose("fw", ContainerPlan(image="build-vnf/drop:packet"))
    net.enclose("h3", ContainerPlan(image="tool"), host="h1")
    return net


@pytest.fixture
def shell(net: FakeNetwork) -> Shell:
    return Shell(net, interactive=False)


def test_nodes_names_those_in_containers(net: FakeNetwork):
    text = shell_format.nodes_text(net.plan, ["h1"])
    assert text.splitlines()[1:] == ["fw h1 h2 h3 s1", "in containers: fw h1 h3", "failed: h1"]


def test_dump_shows_what_encloses_a_node(net: FakeNetwork):
    lines = shell_format.dump_text(net.plan, {"fw": {"every": 5}}, ["h1"]).splitlines()
    assert lines[0] == (
        "<VNF fw: drop(every=5,allow=any,quiet=False) on xdp docker(build-vnf/drop:packet) "
        "fw-eth0:None,fw-eth1:None>"
    )
    assert lines[1] == "<Host h1: docker(debian:12) FAILED h1-eth0:10.0.0.1>"
    assert lines[2] == "<Host h2: h2-eth0:10.0.0.2>"
    assert lines[3] == "<App h3: docker(tool) in h1>"


def test_an_app_container_has_the_interfaces_and_the_address_of_its_host(
    net: FakeNetwork, shell: Shell
):
    assert "h3 in h1" in shell_format.net_text(net.plan).splitlines()
    assert "h3: h1-eth0" in shell_format.interfaces_text(net.plan).splitlines()
    shell.run_line("h2 ping -c1 h3")
    assert net["h2"].commands == ["ping -c1 10.0.0.1"]


def test_hosts_in_containers_that_have_failed_are_told_once(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    net["h1"].failure = "its container has ended"
    net["h2"].failure = "nobody asks a namespace"
    assert shell.run(["nodes", "nodes"]) == 0
    out, err = capfd.readouterr()
    assert err.count("*** h1 failed: its container has ended\n") == 1
    assert "hint: h1 restart starts it anew" in err
    assert "h2 failed" not in err
    assert out.count("failed: h1") == 2


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("h1 update cpus=0.5 memory=256m", {"cpus": "0.5", "memory": "256m"}),
        ("h1 update pids=50 cpu_shares=512 # less", {"pids": 50, "cpu_shares": 512}),
        ("h1 update cpuset=0", {"cpuset": "0"}),
        ("h1 update cpus=none", {"cpus": None}),
        ("h2 update cpu=0.5", {"cpu": "0.5"}),
        ("fw update memory=1g", {"memory": "1g"}),
    ],
)
def test_update_changes_limits(
    shell: Shell, net: FakeNetwork, line: str, limits: dict[str, object]
):
    assert shell.run([line]) == 0
    assert net[line.split()[0]].limits == [limits]


def test_logs_are_all_or_the_last_lines(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    net["h1"].printed = "a\nb\n"
    assert shell.run(["h1 logs", "h1 logs 7", "fw logs"]) == 0
    assert capfd.readouterr().out == "a\nb\nthe last 7\n"


def test_ports_are_told_with_their_addresses(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["h1 ports", "fw ports"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "80/tcp at 127.0.0.1:32768",
        "53/udp at [::1]:5353",
        "no port of fw is published",
    ]


def test_containers_that_do_not_run_use_nothing(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    net["fw"].failure = "killed"
    assert net["h3"].container is not None
    net["h3"].container.program_status = 0
    assert shell.run(["containers"]) == 0
    rows = [line.split("  ") for line in capfd.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    assert cells[0] == ["node", "image", "status", "cpu", "memory", "processes", "ports"]
    assert cells[1][:6] == ["fw", "build-vnf/drop:packet", "failed", "-", "-", "-"]
    assert cells[2][-1] == "80/tcp at 127.0.0.1:32768, 53/udp at [::1]:5353"
    assert cells[3][:3] == ["h3", "tool", "program ended"]


def test_a_lab_without_containers_says_so(capfd: pytest.CaptureFixture[str]):
    assert Shell(FakeNetwork(), interactive=False).run(["containers"]) == 0
    assert capfd.readouterr().out == "no container in this lab\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("h1 update", "no limit is given (now cpus=0.5 memory=64m)"),
        ("fw update", "no limit is given (now it has none)"),
        ("h2 update", "no limit is given (now it has none)"),
        ("h1 update cpus", "'cpus' is not NAME=VALUE (for example: cpus=0.5 memory=256m)"),
        ("h1 update cpus=1 cpus=2", "cpus is given twice"),
        ("h1 logs x", "'x' is not a number of lines (usage: h1 logs [LINES])"),
        ("h1 logs 1 2", "usage: h1 logs [LINES]"),
        ("h1 logs -f", "in another terminal: vnf logs LAB h1 -f"),
        ("h1 ports 80", "usage: h1 ports"),
        ("containers h1", "usage: containers"),
    ],
)
def test_mistakes_with_containers_are_told_and_survived(
    shell: Shell, capfd: pytest.CaptureFixture[str], line: str, message: str
):
    assert shell.run([line, "nodes"]) == 1
    out, err = capfd.readouterr()
    assert message in err
    assert "available nodes are" in out


def test_the_words_are_programs_where_a_node_is_in_no_container(shell: Shell, net: FakeNetwork):
    shell.run(["h2 command update x", "h2 ports", "h2 logs"])
    assert net["h2"].commands == ["command update x", "ports", "logs"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h1 u", ["update"]),
        ("h1 update m", ["memory=", "memory_swap="]),
        ("h1 update memory=1g me", ["memory_swap="]),
        ("h1 se", []),
        ("fw se", ["set"]),
        ("h2 u", ["update"]),
        ("h2 update m", ["memory="]),
        ("help po", ["ports"]),
        ("cont", ["containers"]),
    ],
)
def test_completion_knows_what_a_node_can_be_asked(
    net: FakeNetwork, text: str, expected: list[str]
):
    assert candidates(text, net.plan, argument_kinds())[1] == expected


def test_limits_are_written_so_that_they_can_be_given_again():
    limits = PLAN.model_copy(
        update={"cpuset": (0, 1), "memory_swap_bytes": -1, "memory_bytes": 1000, "pids": 9}
    )
    assert limits_text(limits) == "cpus=0.5 cpuset=0,1 memory=1000 memory_swap=-1 pids=9"
