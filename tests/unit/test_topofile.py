"""Topologies from files, and those that come with the product."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.errors import TopologyError, UsageError
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from emulator.topofile import builtin_topology, list_builtin, load_topology

OURS = """
from emulator import Topo

class Pair(Topo):
    def build(self, hosts=2, mtu: int | None = None):
        self.addSwitch("s1")
        for number in range(hosts):
            self.addLink(self.addHost(f"h{number + 1}"), "s1", mtu=mtu)
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "lab.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def error_of(target: str, **settings: str) -> UsageError:
    with pytest.raises(UsageError) as error:
        load_topology(target, settings)
    assert error.value.exit_code == 2
    return error.value


def test_the_one_topology_of_a_file(write: Write) -> None:
    topo = load_topology(write(OURS), {"hosts": "3", "mtu": "9000"})
    assert topo.name == "pair"
    assert topo.hosts() == ["h1", "h2", "h3"]
    assert topo.linkInfo("h1", "s1")["mtu"] == 9000


def test_settings_may_be_left_out() -> None:
    assert load_topology("linear").hosts() == ["h1", "h2"]


def test_a_file_in_the_way_of_mininet_s_custom_files(write: Write) -> None:
    target = write(OURS + 'topos = {"small": Pair, "big": (lambda n=9: Pair(n))}')
    assert load_topology(f"{target}:small", {}).hosts() == ["h1", "h2"]
    big = load_topology(f"{target}:big", {"n": "4"})
    assert (big.name, len(big.hosts())) == ("big", 4)
    # A class that is not exported can still be asked for.
    assert load_topology(f"{target}:Pair", {}).name == "pair"
    assert str(error_of(target)) == (
        f"{target}: has 2 topologies: small, big (choose one: {target}:small)"
    )
    assert str(error_of(f"{target}:bigg")) == (
        f"{target}: has no topology bigg (did you mean big?)"
    )


def test_a_topology_of_mininet_s_class(write: Write) -> None:
    target = write(
        """
from mininet.topo import Topo

class MyTopo(Topo):
    def build(self, n=2):
        s1 = self.addSwitch("s1")
        for h in range(n):
            self.addLink(self.addHost("h%s" % (h + 1)), s1)

topos = {"mytopo": (lambda: MyTopo(3))}
"""
    )
    topo = load_topology(target, {})
    assert isinstance(topo, Topo)
    assert topo.name == "mytopo"
    assert compile_plan(topo).address_of("h3") == "10.0.0.3"


def test_a_file_may_import_its_neighbours_and_leaves_no_trace(write: Write) -> None:
    write("from emulator import Topo\nclass Base(Topo):\n    pass\n", "neighbour_of_lab.py")
    before = list(sys.path)
    target = write("from neighbour_of_lab import Base\nclass Lab(Base):\n    pass\n")
    assert load_topology(target, {}).name == "lab"
    assert sys.path == before
    del sys.modules["neighbour_of_lab"]


def test_a_file_is_read_anew_every_time(write: Write) -> None:
    assert load_topology(write(OURS), {}).hosts() == ["h1", "h2"]
    assert load_topology(write(OURS.replace("hosts=2", "hosts=1")), {}).hosts() == ["h1"]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("class (", 1, "invalid syntax: class (", "Python cannot read"),
        ("x = 1\n  y = 2", 2, "unexpected indent: y = 2", "Python cannot read"),
        ("x = 1\nimport no_such_thing", 2, "ModuleNotFoundError", "install no_such_thing"),
        ("\n\n1 / 0", 3, "ZeroDivisionError: division by zero", ""),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3", "__main__"),
        ("def f():\n    raise KeyError('x')\nf()", 2, "KeyError: 'x'", ""),
        (OURS.replace("self.addSwitch", "self.addSwich"), 6, "AttributeError: ", ""),
        (OURS.replace('addSwitch("s1")', "addSwitch()"), 6, "TypeError: ", ""),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(
    write: Write, text: str, line: int, message: str, hint: str
) -> None:
    target = write(text)
    error = error_of(target)
    assert error.where == f"{target}:{line}"
    assert error.message.startswith(message)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no topology"),
        ("from emulator import Topo", "has no topology"),
        ("topos = 3", "topos is not a dict"),
        ("topos = {}", "has no topology"),
        (OURS + "topos = {'x': Pair()}", "topology x is neither a class nor a function"),
        (OURS + "topos = {'x': lambda: Pair}", "x gives Pair, which is not a topology"),
        (OURS + "topos = {'x': lambda: None}", "x gives NoneType, which is not a topology"),
        (OURS + "class Other(Pair):\n    pass", "has 2 topologies: Pair, Other"),
        ("\0", ""),
    ],
)
def test_a_file_without_one_topology(write: Write, text: str, message: str) -> None:
    target = write(text)
    error = error_of(target)
    assert error.message.startswith(message)
    assert error.where.startswith(target)
    assert error.hint


def test_a_file_that_is_not_text(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "binary.py"
    path.write_bytes(b"\xff\xfe\x00\x80")
    assert error_of(str(path)).where.startswith(str(path))


def test_a_file_that_is_not_there(write: Write, tmp_path: Path) -> None:
    write(OURS, "chain_of_mine.py")
    error = error_of(str(tmp_path / "chain_of_min.py"))
    assert error.message == "there is no such file"
    assert "did you mean" in error.hint
    assert "chain_of_mine.py" in error.hint
    assert "built-in topology" in error_of("/nowhere/at/all").hint
    assert error_of(str(tmp_path)).message == "is a folder"
    assert error_of("chian").hint == "did you mean chain?"


def test_a_setting_that_does_not_fit(write: Write) -> None:
    target = write(OURS)
    assert str(error_of(target, hosts="many")) == (
        "--set hosts: 'many' is not a whole number (write hosts=4)"
    )
    assert str(error_of(target, host="3")) == (
        "--set host: there is no parameter host (did you mean hosts?)"
    )
    assert str(error_of(target, colour="3")) == (
        "--set colour: there is no parameter colour (it takes: hosts=2, mtu=None)"
    )


def test_our_own_errors_pass_through_as_they_are() -> None:
    assert error_of("torus,2,2").where == "torus"


# -- those that come with us -----------------------------------------------------------------


def test_every_topology_that_comes_with_us_says_what_it_is_and_compiles() -> None:
    known = list_builtin()
    assert list(known) == [
        "access", "chain", "containers", "dumbbell", "linear", "minimal", "openflow", "reversed",
        "single", "steered", "torus", "tree", "vlans",
    ]  # fmt: skip
    for name, summary in known.items():
        assert summary
        topo = builtin_topology(name, {})
        assert topo.name == name
        assert compile_plan(topo).hosts()


def test_arguments_by_position_by_name_and_as_settings() -> None:
    for spec, settings in (
        ("linear,3,2", {}),
        ("linear,k=3,n=2", {}),
        ("linear,3", {"n": "2"}),
        ("linear, 3, 2", {}),
        ("linear", {"k": "3", "n": "2"}),
    ):
        assert len(builtin_topology(spec, settings).hosts()) == 6
        assert len(load_topology(spec, settings).hosts()) == 6


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("linaer", "linaer: there is no built-in topology linaer (did you mean linear?)"),
        ("linear,x", "linear,x: 'x' is not a whole number (write k=4)"),
        ("linear,1,2,3", "linear,1,2,3: '3' is one argument too many (it takes: k=2, n=1)"),
        ("linear,m=3", "linear,m=3: there is no parameter m (it takes: k=2, n=1)"),
        ("linear,3,k=3", "linear,3,k=3: k is given twice (it takes: k=2, n=1)"),
        ("linear,k=3,k=3", "linear,k=3,k=3: k is given twice (keep one of them)"),
    ],
)
def test_a_specification_that_does_not_fit(spec: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        builtin_topology(spec, {})
    assert str(error.value) == text


def test_a_chain_has_as_many_vnfs_as_asked_on_the_plane_asked() -> None:
    plan = compile_plan(builtin_topology("chain,kernel,forward,3", {}))
    assert [node.name for node in plan.vnfs()] == ["vnf1", "vnf2", "vnf3"]
    assert {node.vnf.dataplane for node in plan.vnfs() if node.vnf} == {"kernel"}
    assert plan.peer("vnf3", "vnf3-eth1").node == "server"
    assert compile_plan(builtin_topology("chain", {})).vnfs()[0].vnf.dataplane == "xdp"


@pytest.mark.parametrize("name", ["chain", "dumbbell"])
def test_without_a_data_plane_there_is_no_vnf(name: str) -> None:
    plan = compile_plan(builtin_topology(name, {"dataplane": "none"}))
    assert plan.vnfs() == []
    assert len(plan.hosts()) == {"chain": 2, "dumbbell": 4}[name]
    assert len(plan.links) == {"chain": 1, "dumbbell": 5}[name]


def test_settings_of_a_chain_that_it_does_not_know_are_the_vnf_s() -> None:
    plan = compile_plan(builtin_topology("chain", {"vnf": "drop", "every": "100"}))
    assert plan.node("vnf1").vnf.parameters["every"] == 100
    with pytest.raises(TopologyError, match="VNF drop has no parameter evry"):
        compile_plan(builtin_topology("chain", {"vnf": "drop", "evry": "100"}))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"lenght": "3"}, "did you mean length, a parameter of the topology?"),
        ({"vnf": "drop", "lenght": "3"}, "did you mean length, a parameter of the topology?"),
        ({"vnf": "drop", "evry": "3"}, "did you mean every?"),
        ({"vnf": "drop", "colour": "3"}, "its parameters: every, chance_ppm"),
    ],
)
def test_a_setting_nobody_knows_may_be_a_parameter_misspelt(
    settings: dict[str, str], hint: str
) -> None:
    topo = builtin_topology("chain", settings)
    with pytest.raises(TopologyError) as error:
        compile_plan(topo.copy())
    assert [problem.hint for problem in error.value.problems] == [hint]
