"""``vnf mn``: what its options mean, and what is said of those that cannot be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.main import execute
from emulator.cli.mn import HELP, read
from emulator.compat import aliases, mn_choices
from emulator.compat.hints import hints_in_classes, put_in_options
from emulator.compat.mininet.net import Mininet
from emulator.compat.mn import Options, run_mn
from emulator.compat.mn_choices import Choices
from emulator.compat.mn_tests import TESTS, read_tests
from emulator.compat.mn_tests import Test as OneTest
from emulator.compat.traffic import Lost
from emulator.errors import BuildVnfError, Problem, TopologyError, UsageError


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(BuildVnfError) as error:
        call(*arguments, **named)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.fixture
def custom(tmp_path: Path) -> Any:
    """Choices with what a file of that text brings."""

    def read(text: str, name: str = "own.py") -> Choices:
        (tmp_path / name).write_text(text)
        choices = Choices()
        with aliases.install():
            choices.read_custom([str(tmp_path / name)])
        return choices

    return read


# Options ------------------------------------------------------------------------------------------


def test_help_names_all_that_can_be_chosen() -> None:
    for option, known in (
        ("switch", mn_choices.SWITCHES),
        ("host", mn_choices.HOSTS),
        ("controller", mn_choices.CONTROLLERS),
        ("link", mn_choices.LINKS),
        ("topo", mn_choices.TOPOS),
        ("test", {name: None for name in TESTS if name not in ("ping", "pingfull")}),
    ):
        listed = re.split(r"[|]", re.split(r"[:.,] ?", HELP[f"--{option}"])[0])
        assert set(listed) == set(known), option


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "a,b"], "--cluster and --placement are not supported"),
        (["--placement", "random"], "a lab lives on one machine"),
        (["--innamespace"], "--innamespace is not supported"),
        (["-v", "loud"], "there is no level loud"),
        (["-w", "-t", "3"], "--wait and --twait are both given"),
        (["--nat", "--cluster=a"], "--cluster"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_what_cannot_be_had_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["mn", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_version_is_that_whose_names_these_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["mn", "--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "2.3.0"


def test_values_of_options_stand_behind_a_space_or_a_sign() -> None:
    for words in (["--link", "tc,bw=10", "--nat"], ["--link=tc,bw=10", "--nat", "-x"]):
        asked = read(words)
        assert (asked.link, asked.nat) == ("tc,bw=10", "")
    asked = read(["--nat", "ip=10.0.0.9", "--arp"])
    assert (asked.nat, asked.arp) == ("ip=10.0.0.9", True)


def test_an_option_given_twice_adds_to_itself_and_only_there() -> None:
    assert read(["--test", "pingall", "--test", "iperf"]).test == ["pingall", "iperf"]
    assert read([]).test == []


def test_the_level_of_the_log_is_as_before_after_a_mistake() -> None:
    from emulator.compat.mininet.log import lg

    before = lg.level
    refused(run_mn, Options(verbosity="debug", cluster="a"))
    assert lg.level == before


def test_a_small_network_needs_nothing_heavy() -> None:
    heavy = (
        "asyncio",
        "docker",
        "emulator.catalog",
        "emulator.cli.app",
        "emulator.cli.shell",
        "importlib.metadata",
        "matplotlib",
        "networkx",
        "numpy",
        "prompt_toolkit",
        "psutil",
        "pydantic",
        "pyroute2",
        "rich",
        "ssl",
        "tomllib",
        "typer",
    )
    code = (
        "import sys\n"
        "from emulator.cli.main import execute\n"
        "assert execute(['mn', '--topo', 'tree,2,2', '--cluster', 'none']) == 2\n"
        "from emulator.compat.mn_choices import Choices\n"
        "from emulator.plan.compile import compile_plan\n"
        "compile_plan(Choices().topology('tree,2,2')).to_json()\n"
        f"print(*(name for name in {heavy} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# Choices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nodes", "links"),
    [
        ("minimal", 3, 2),
        ("single,4", 5, 4),
        ("reversed,k=3", 4, 3),
        ("linear,3,n=2", 9, 8),
        ("tree,2,3", 13, 12),
        ("tree,depth=2,fanout=3", 13, 12),
        ("torus,3,3", 18, 27),
    ],
)
def test_topologies_take_their_arguments(text: str, nodes: int, links: int) -> None:
    topo = Choices().topology(text)
    assert (len(topo.nodes()), len(topo.links())) == (nodes, links)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tre,2", "--topo: there is no topology tre (did you mean tree?)"),
        ("torus", "--topo torus: x must be given (--topo torus,x=VALUE; it takes: x, y, n=1)"),
        ("single,4,foo=3", "--topo single,4,foo=3: there is no parameter foo (it takes: k=2)"),
        ("linear,many", "--topo linear,many: "),
        ("torus,1,1", "a torus has three switches and more in each direction"),
    ],
)
def test_topologies_that_cannot_be(text: str, said: str) -> None:
    assert refused(Choices().topology, text).startswith(said)


def test_classes_take_parameters() -> None:
    choices = Choices()
    assert choices.link("tc") is mn_choices.TCLink
    assert choices.link("tc,bw=10").__name__ == "custom(TCLink,{'bw': 10})"
    assert choices.switch("default", controlled=False) is mn_choices.Switch
    assert choices.switch("default", controlled=True) is mn_choices.OVSSwitch
    assert choices.switch("lxbr", controlled=True) is mn_choices.LinuxBridge
    ovs = choices.switch("ovs,stp=True,failMode=standalone", controlled=False)
    assert ovs.__name__.endswith("{'stp': True, 'failMode': 'standalone'})")
    ryu, remote = choices.controllers(["ryu,app.py", "remote,ip=10.9.9.9,port=6633"])
    assert ryu.__name__ == "custom(Ryu,{'ryuArgs': ['app.py']})"
    assert remote.__name__ == "custom(RemoteController,{'ip': '10.9.9.9', 'port': 6633})"
    assert choices.controllers([]) == [mn_choices.DefaultController]


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("host", "cfs,cpuu=0.2", "--host cfs,cpuu=0.2: there is no parameter cpuu (did you mean"),
        ("host", "cfs,0.2", "cfs takes parameters by name only (write cfs,parameter=0.2)"),
        ("link", "tcp", "--link: there is no link tcp (did you mean tc"),
        ("switch", "ivs", "--switch ivs: ivs is not supported (Indigo's switch"),
        ("switch", "hub", "--switch: there is no switch hub"),
        ("controllers", "nox", "--controller nox: nox is not supported"),
        ("controllers", "none,port=1", "none takes no parameters"),
    ],
)
def test_classes_that_cannot_be(kind: str, text: str, said: str) -> None:
    choices = Choices()
    calls: dict[str, Any] = {
        "host": choices.host,
        "link": choices.link,
        "switch": lambda text: choices.switch(text, controlled=False),
        "controllers": lambda text: choices.controllers([text]),
    }
    assert said in refused(calls[kind], text)


# Files --------------------------------------------------------------------------------------------


def test_files_bring_what_can_be_chosen(custom: Any) -> None:
    choices = custom(
        "from mininet.cli import CLI as Shell\n"
        "from mininet.link import TCLink\n"
        "from mininet.node import Host\n"
        "from mininet.topo import Topo\n"
        "class Pair(Topo):\n"
        "    def build(self, n=2):\n"
        "        for i in range(n): self.addHost('h%d' % i)\n"
        "class Mine(Host): pass\n"
        "class CLI(Shell): pass\n"
        "topos = {'pair': Pair, 'by': lambda *args, **named: Pair(*args, **named)}\n"
        "hosts = {'mine': Mine}\n"
        "links = {'fast': TCLink}\n"
        "tests = {'good': lambda net: True}\n"
        "def validate(options): pass\n"
    )
    assert choices.topology("pair,3").hosts() == ["h0", "h1", "h2"]
    assert choices.topology("by,n=1").hosts() == ["h0"]
    assert choices.host("mine").__name__ == "Mine"
    assert choices.link("fast") is mn_choices.TCLink
    assert list(choices.tests) == ["good"]
    assert choices.shell.__name__ == "CLI"
    assert choices.validate is not None


def test_files_that_cannot_be_used(custom: Any, tmp_path: Path) -> None:
    assert "topos is not a dict" in refused(custom, "topos = [1]")
    assert "tests['a'] is neither a class nor a function" in refused(custom, "tests = {'a': 1}")
    assert "own.py:2: ZeroDivisionError" in refused(custom, "\n1 / 0")
    assert "mininet.nothing is not supported" in refused(custom, "import mininet.nothing")
    assert "No such file" in refused(Choices().read_custom, [str(tmp_path / "none.py")])
    boom = "def build(): raise ValueError('no')\ntopos = {'x': build, 'n': lambda: 3}"
    choices = custom(boom)
    assert "own.py:1: ValueError: no" in refused(choices.topology, "x")
    assert "n gives int, which is not a topology" in refused(choices.topology, "n")


def test_a_topology_with_vnfs_is_sent_to_where_it_runs(custom: Any) -> None:
    choices = custom(
        "from emulator import Topo\n"
        "class Chain(Topo):\n"
        "    def build(self): self.addVNF('fw', 'firewall')\n"
        "topos = {'chain': Chain}\n"
    )
    assert "vnf run opens such topologies" in refused(choices.topology, "chain")


# Tests --------------------------------------------------------------------------------------------


def test_tests_are_separated_by_plus_or_comma() -> None:
    own = {"mine": lambda net: True}
    tests = read_tests(["pingall+iperf,seconds=2,udpBw=5M", "pingPair,mine", "build"], own)
    assert [(test.name, dict(test.named)) for test in tests] == [
        ("pingall", {}),
        ("iperf", {"seconds": 2, "udpBw": "5M"}),
        ("pingPair", {}),
        ("mine", {}),
        ("build", {}),
    ]
    assert [test.idle for test in tests] == [False, False, False, False, True]
    assert read_tests(["runCpuLimitTest,cpu=0.2"], {})[0].function is Mininet.runCpuLimitTest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pingal", "--test: there is no test pingal (did you mean pingall?)"),
        ("pingall,colour=1", "pingall: got an unexpected keyword argument 'colour'"),
        ("_end", "there is no test _end"),
    ],
)
def test_tests_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read_tests([text], {})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("result", "good"),
    [
        (None, True),
        (True, True),
        (False, False),
        (50.0, True),
        (Lost(0), True),
        (Lost(50), False),
    ],
)
def test_a_test_of_the_users_own_is_good_unless_it_says_no(result: object, good: bool) -> None:
    assert OneTest("own", lambda net: result, (), {}).run(None) is good  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "hint", "in_classes", "in_options"),
    [
        ("switch s1", 'give kind="ovs"', "give cls=OVSSwitch", "give --switch ovs"),
        (
            "controller c0",
            'give kind="ovs"',
            "give cls=OVSController",
            "give --controller ovsc",
        ),
        (
            "",
            'give s1 kind="bridge", stp=True, or take a link away',
            "give s1 cls=LinuxBridge, stp=True, or take a link away",
            "give s1 --switch lxbr,stp=1, or take a link away",
        ),
        (
            "host h1",
            'write sched="rt", cpu=0.2',
            'write sched="rt", cpu=0.2',
            "write --host rt,cpu=0.2",
        ),
    ],
)
def test_hints_name_what_the_reader_can_write(
    where: str, hint: str, in_classes: str, in_options: str
) -> None:
    with pytest.raises(TopologyError) as found, hints_in_classes():
        raise TopologyError([Problem(where, "it is wrong", hint)])
    assert found.value.problems[0].hint == in_classes
    put_in_options(found.value)
    assert found.value.problems[0].hint == in_options
