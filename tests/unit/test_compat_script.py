"""Scripts for other emulators: the names they import, what is refused, and how they end."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.compat import aliases, growth, machine_commands
from emulator.compat.mininet import log, util
from emulator.compat.mininet.topo import LinearTopo, SingleSwitchReversedTopo, SingleSwitchTopo
from emulator.compat.mininet.topolib import TorusTopo, TreeTopo
from emulator.compat.running import run_script
from emulator.compat.traffic import shown_rate
from emulator.compat.unsupported import MODULES, NAMES, UnsupportedError
from emulator.errors import BuildVnfError, MachineError, UsageError
from emulator.topo import Topo

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a script of that text, from its own folder."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *arguments: str) -> int:
        (tmp_path / "lab.py").write_text(text)
        return run_script("lab.py", arguments)

    return run


def refused(run: Run, text: str) -> str:
    with pytest.raises(BuildVnfError) as error:
        run(text)
    assert error.value.exit_code == 2
    return str(error.value)


# Names --------------------------------------------------------------------------------------------


def test_names_are_ours_only_inside_of_the_block() -> None:
    before = sys.modules.get("mininet")
    with aliases.install():
        import mininet.node
        from mininet.net import Mininet

        assert Mininet is importlib.import_module("emulator.compat.mininet.net").Mininet
        assert mininet.node is importlib.import_module("emulator.compat.mininet.node")
        assert importlib.import_module("mininet.node") is mininet.node
        assert mininet.node.__spec__.name == "emulator.compat.mininet.node"
    assert sys.modules.get("mininet") is before
    assert "mininet.net" not in sys.modules or sys.modules["mininet.net"].Mininet is not Mininet


@pytest.mark.parametrize(
    ("module", "name"), [("mininet.util", "moveIntf"), *((m, n) for m in NAMES for n in NAMES[m])]
)
def test_a_name_that_is_not_there_is_refused_when_it_is_used(module: str, name: str) -> None:
    with aliases.install():
        found = getattr(importlib.import_module(module), name)
        for use in (lambda: found("s1"), lambda: type("Own", (found,), {})):
            with pytest.raises(UnsupportedError, match=name) as error:
                use()
            assert error.value.hint


def test_an_import_that_nothing_comes_of_stops_no_script(run: Run) -> None:
    text = """
from mininet.node import IVSSwitch, NOX, OVSLegacyKernelSwitch
from mininet.util import moveIntf, quietRun
"""
    assert run(text) == 0
    said = refused(run, f"{text}\nIVSSwitch('s1')\n")
    assert said.startswith("lab.py:5: mininet.node: IVSSwitch is not supported (Indigo's switch")


def test_names_are_found_where_mininets_modules_only_import_them(run: Run) -> None:
    text = """
from mininet.net import *
from mininet.node import *
import mininet.cli, mininet.link, mininet.node as node

assert CLI is mininet.cli.CLI
assert node.Intf is Intf is mininet.link.Intf
print(os.path.basename(__file__), len(re.findall("a", "banana")), quietRun("echo out").strip())
sleep(0)
"""
    assert run(text) == 0


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_not_there_says_what_to_use_instead(module: str) -> None:
    with aliases.install(), pytest.raises(UnsupportedError, match=module) as error:
        importlib.import_module(module)
    assert error.value.hint


def test_a_script_may_do_without_what_is_not_there(run: Run) -> None:
    text = """
try:
    from mininet.examples.cluster import MininetCluster
except ImportError:
    raise SystemExit(9)
"""
    assert run(text) == 9


def test_a_misspelt_name_is_put_right(run: Run) -> None:
    message = refused(run, "\nfrom mininet.net import Mininett\n")
    assert message == "lab.py:2: mininet.net: Mininett is not supported (did you mean Mininet?)"


# Running ------------------------------------------------------------------------------------------


def test_a_script_runs_as_the_program_it_is(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside.py").write_text("word = 'neighbour'\n")
    argv, main = sys.argv, sys.modules["__main__"]
    text = """
import sys
import beside
print(__name__, sys.argv, __file__, beside.word, sys.modules["__main__"].__name__)
"""
    assert run(text, "--size", "3") == 0
    printed = "__main__ ['lab.py', '--size', '3'] lab.py neighbour __main__\n"
    assert capsys.readouterr().out == printed
    assert sys.argv is argv
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("pass", 0, ""),
        ("exit()", 0, ""),
        ("exit(7)", 7, ""),
        ("raise SystemExit('no good')", 1, "no good\n"),
    ],
)
def test_the_exit_code_is_the_scripts_own(
    run: Run, capsys: pytest.CaptureFixture[str], end: str, code: int, said: str
) -> None:
    assert run(f"import builtins, sys\nexit = sys.exit\n{end}\n") == code
    assert capsys.readouterr().err == said


def test_of_an_exception_only_the_scripts_own_lines_are_shown(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
from mininet.util import custom

def broken():
    return {}["x"]

custom(broken)()
"""
    assert run(text) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert 'File "lab.py", line 7' in said
    assert 'File "lab.py", line 5, in broken' in said
    assert said.endswith("KeyError: 'x'\n")
    assert "emulator" not in said


def test_what_threads_of_a_script_still_do_is_waited_for(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
import threading
go = threading.Event()
def work():
    go.wait(30)
    print("done")
threading.Thread(target=work).start()
threading.Timer(0.05, go.set).start()
"""
    assert run(text) == 0
    assert capsys.readouterr().out == "done\n"


def test_a_script_for_python_2_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(run, 'x = 1\nprint "hello"\n')
    assert message.startswith("lab.py:2: Missing parentheses in call to 'print'")
    assert "written for Python 2" in message
    assert run("name = raw_input()\n") == 1
    assert "written for Python 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import mn_wifi.net", "vnf: mn_wifi is not supported: links here are wires"),
        ("import no_such_package", f"vnf: scripts run in {sys.executable}: is no_such_package"),
        (
            "from mininet.node import Node\nNode.write",
            "AttributeError: type object 'Node' has no attribute 'write'\n",
        ),
        (
            "from mininet.topo import Topo\nTopo().addPort",
            "vnf: Topo.addPort is not supported: addLink takes port1 and port2\n",
        ),
    ],
)
def test_what_helps_against_an_exception_is_said(
    run: Run, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert run(text) == 1
    assert said in capsys.readouterr().err


def test_an_example_of_mininets_is_found_beside_the_script(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gates.py").write_text(
        "from mininet.node import Host\nclass Gate(Host):\n    pass\n"
    )
    text = """
from mininet.examples.gates import Gate
from mininet.node import Host
raise SystemExit(7 if issubclass(Gate, Host) else 8)
"""
    assert run(text) == 7
    assert "mininet.examples.gates" not in sys.modules


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="nowhere.py: cannot be read: No such file"):
        run_script("nowhere.py", [])


def test_a_lab_needs_root_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="lab.py:2: a lab needs root"):
        run("from mininet.net import Mininet\nnet = Mininet()\n")


def test_the_command_starts_quickly_and_gives_the_script_its_options(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text("import sys; print(sys.argv[1:])")
    done = subprocess.run(
        [sys.executable, "-m", "emulator", "script", "lab.py", "--help", "-x", "a b"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "['--help', '-x', 'a b']\n"
    assert done.stderr == ""


def test_a_remote_controller_is_looked_for_at_openflows_old_port_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    controllers = importlib.import_module("emulator.compat.controllers")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setattr(controllers, "_PORT", silent.getsockname()[1])
        old = listening.getsockname()[1]
        monkeypatch.setattr(controllers, "_OLD_PORT", old)
        assert controllers.RemoteController("c1").engine_options()["port"] == old
        assert controllers.RemoteController("c2", port=7777).engine_options()["port"] == 7777
    assert "port" not in controllers.RemoteController("c3").engine_options()
    growth.end_all()


@pytest.mark.parametrize(
    ("command", "rewritten"),
    [
        (["sudo", "-E", "ovs-vsctl", "show"], ["ovs-vsctl", "show"]),
        (["sudo", "tc", "qdisc"], ["sudo", "tc", "qdisc"]),
        ("sudo ovs-ofctl dump-flows s1 | sudo tee f", "ovs-ofctl dump-flows s1 | sudo tee f"),
        ("cd /tmp && sudo -n /usr/bin/ovs-vsctl show", "cd /tmp && /usr/bin/ovs-vsctl show"),
        (b"tc qdisc show dev s1-eth1", b"tc qdisc show dev s1-eth1"),
    ],
)
def test_only_what_is_about_open_vswitch_goes_without_sudo(command: Any, rewritten: Any) -> None:
    options = {"shell": isinstance(command, str), "cwd": "/"}
    assert machine_commands.rewritten(command, options) == (rewritten, options)


# Topologies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topo", "nodes", "links"),
    [
        (SingleSwitchTopo(2), ["h1", "h2", "s1"], [("h1", "s1"), ("h2", "s1")]),
        (SingleSwitchReversedTopo(2), ["h1", "h2", "s1"], [("h1", "s1"), ("h2", "s1")]),
        (LinearTopo(2), ["h1", "h2", "s1", "s2"], [("h1", "s1"), ("h2", "s2"), ("s2", "s1")]),
        (TreeTopo(1, 2), ["h1", "h2", "s1"], [("s1", "h1"), ("s1", "h2")]),
    ],
)
def test_topologies(topo: Topo, nodes: list[str], links: list[tuple[str, str]]) -> None:
    assert topo.nodes() == nodes
    assert topo.links() == links


def test_larger_topologies() -> None:
    assert LinearTopo(k=3, n=2).hosts() == ["h1s1", "h1s2", "h1s3", "h2s1", "h2s2", "h2s3"]
    torus = TorusTopo(3, 4)
    assert len(torus.switches()) == 12
    assert len(torus.links()) == 12 + 24
    assert torus.nodeInfo("s2x3")["dpid"] == "203"
    with pytest.raises(UsageError, match="three switches"):
        TorusTopo(2, 3)


# Helpers ------------------------------------------------------------------------------------------


def test_addresses_as_numbers() -> None:
    assert util.netParse("10.0.0.0/8") == (0x0A000000, 8)
    assert util.netParse("192.168") == (0xC0A80000, 16)
    assert util.ipAdd(258, 8, util.ipParse("10.9.9.9")) == "10.0.1.2"
    assert util.macColonHex(258) == "00:00:00:00:01:02"
    with pytest.raises(UsageError, match="10.0.0.0/30 has no address number 4"):
        util.ipAdd(4, 30)
    with pytest.raises(UsageError, match="300.1.1.1 is not an IPv4 address"):
        util.ipParse("300.1.1.1")


def test_classes_with_parameters() -> None:
    assert util.splitArgs("tc,bw=10,delay=5ms") == ("tc", [], {"bw": 10, "delay": "5ms"})
    assert util.customClass({"d": dict}, "d,a=1")(b=2) == {"a": 1, "b": 2}
    assert util.buildTopo({"linear": LinearTopo}, "linear,2,n=2").hosts()[0] == "h1s1"
    with pytest.raises(UsageError, match=r"there is no ovsx \(did you mean ovs\?\)"):
        util.customClass({"ovs": dict}, "ovsx")


def test_processes_are_read_line_by_line_until_they_end() -> None:
    pipe = subprocess.PIPE
    processes = {
        name: subprocess.Popen(["printf", f"{name} 1\n{name} 2"], stdout=pipe) for name in "ab"
    }
    popens = dict(processes)
    heard = [(key, line) for key, line in util.pmonitor(popens, timeoutms=10_000) if key]
    assert sorted(heard) == [("a", "a 1\n"), ("a", "a 2"), ("b", "b 1\n"), ("b", "b 2")]
    assert popens == {}
    for process in processes.values():
        assert process.stdout is not None
        process.stdout.close()


def test_the_log_joins_values_and_shows_what_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        log.info("not shown\n")
        log.output("100%", "shown\n")
        log.setLogLevel("info")
        log.info(["a", 1, "\n"])
    finally:
        log.setLogLevel()
    assert capsys.readouterr().err == "100% shown\na 1 \n"
    with pytest.raises(UsageError, match="there is no log level loud"):
        log.setLogLevel("loud")


@pytest.mark.parametrize(
    ("bps", "fmt", "shown"),
    [
        (9.53e6, None, "9.53 Mbits/sec"),
        (95.3e6, None, "95.3 Mbits/sec"),
        (1.8e10, None, "18.0 Gbits/sec"),
        (500.0, None, "500 bits/sec"),
        (8e6, "K", "977 KBytes/sec"),
        (8e6, "k", "8000 Kbits/sec"),
    ],
)
def test_rates_are_written_as_iperf_does(bps: float, fmt: str | None, shown: str) -> None:
    assert shown_rate(bps, fmt) == shown
