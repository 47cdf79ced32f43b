"""The shell's language: what a line does, and that no mistake in one ends the shell."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from emulator.cli.outcome import Terminated
from emulator.cli.shell import Shell
from emulator.cli.shell_commands import COMMANDS
from emulator.cli.shell_prompt import history_file, make_session
from emulator.cli.shell_vnf import VNF_COMMANDS
from emulator.plan.compile import compile_plan
from emulator.topo import Topo
from tests.unit.fake_lab import FakeNetwork


@pytest.fixture
def net() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def shell(net: FakeNetwork) -> Shell:
    return Shell(net, interactive=False)


def test_a_node_command_reaches_the_node_with_addresses_for_names(shell: Shell, net: FakeNetwork):
    shell.run_line("h1 ping -c1 h2")
    assert net["h1"].commands == ["ping -c1 10.0.0.2"]


def test_noecho_reaches_a_node_even_one_that_is_named_like_a_command(
    shell: Shell, net: FakeNetwork
):
    shell.run_line("noecho h1 ping -c1 h2")
    assert net["h1"].commands == ["ping -c1 10.0.0.2"]


def test_set_is_also_a_command_of_its_own(shell: Shell, net: FakeNetwork):
    assert shell.run(["set fw every=5"]) == 0
    assert net["fw"].changes == [{"every": 5}]


def test_vnfs_and_stats_tell_of_all_vnfs(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["vnfs", "stats", "appcontainers", "wait", "certify"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "VNF", "data", "plane", "status", "parameters"]
    assert lines[1].split()[:4] == ["fw", "drop", "xdp", "running"]
    assert lines[2].startswith("fw: drop on packet")
    assert lines[-3:] == [
        "no app container in this lab",
        "no switch of this lab has a controller",
        "no link of this lab is impaired",
    ]


def test_a_node_without_an_address_keeps_its_name(shell: Shell, net: FakeNetwork):
    shell.run_line("h1 echo s1 fw h3")
    assert net["h1"].commands == ["echo s1 fw 10.0.0.3"]


def test_tabs_separate_words_too(shell: Shell, net: FakeNetwork):
    shell.run_line("\th1\tls -l")
    assert net["h1"].commands == ["ls -l"]


def test_empty_lines_and_comments_do_nothing(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["", "   ", "# a comment", "#pingall\n"]) == 0
    assert capfd.readouterr() == ("", "")


def test_a_comment_after_a_command_is_dropped(shell: Shell, net: FakeNetwork):
    assert shell.run(["link h1 s1 down # cut it", "nodes # all of them"]) == 0
    assert net.links_set == [("h1", "s1", "down")]


def test_an_unknown_command_gets_a_suggestion_and_the_script_goes_on(
    shell: Shell, capfd: pytest.CaptureFixture[str]
):
    assert shell.run(["pingal", "nodes"]) == 1
    out, err = capfd.readouterr()
    assert "unknown command: pingal" in err
    assert "did you mean pingall" in err
    assert "h1 h2 h3" in out


def test_a_person_s_mistakes_do_not_change_the_exit_code(net: FakeNetwork):
    assert Shell(net, interactive=True).run(["nonsense"]) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("link h1 s1", "usage: link NODE NODE up|down|show|set"),
        ("link h1 s1 sideways", "up or down, or is shown or set, not 'sideways'"),
        ("link h1 s1 sett delay=1ms", "did you mean set"),
        ("link h1 s1 set", "no setting is given"),
        ("link h1 s1 set delay", "'delay' is no setting"),
        ("link h1 s1 set up.delay=1ms up.delay=2ms", "up.delay is given twice"),
        ("link h1 s1 show me", "me means nothing here"),
        ("wires sing", "usage: wires [restart]"),
        ("link h1 h9 up", "no node 'h9'"),
        ("link 'h1 s1 up", "quot"),
        ("iperf h1", "usage: iperf"),
        ("iperfudp 10M h1", "usage: iperfudp"),
        ("pingallfull 0", "not a number of requests"),
        ("switch s1", "usage: switch SWITCH start|stop"),
        ("switch s1 stopp", "did you mean stop"),
        ("switch s9 stop", "no node 's9'"),
        ("set h1 every=1", "h1 is a host, not a VNF"),
        ("stats h1", "h1 is a host without a container"),
        ("noecho h1", "a node and a command are missing"),
        ("xterm", "usage: xterm NODE..."),
        ("xterm h9", "no node 'h9'"),
        ("x", "usage: x NODE"),
        ("dpctl", "a command of ovs-ofctl is missing"),
        ("dpctl dump-flows", "this lab has no Open vSwitch bridge"),
        ("wait soon", "'soon' is not a number of seconds"),
        ("capture stop", "no capture runs in the background"),
        ("capture h1 'x", "quot"),
        ("capture h1 /tmp/x", "let its name end in .pcapng or .pcap"),
        ("capture h1 &", "in the background it takes a file"),
        ("top 1s 2s", "2s means nothing here"),
        ("bench latency nosuch", "'nosuch' is nothing that can be measured"),
        ("bench chain.py", "the lab that runs is measured as it is"),
        ("bench --topo minimal", "--topo has no place here"),
        ("bench --nosuch", "no such option: --nosuch"),
        ("certify h1-h9", "there is no link h1-h9"),
        ("iperf h1 h2 0.5", "not a whole number of seconds"),
        ("pingall -3", "not a number of seconds"),
        ("help bogus", "no command 'bogus'"),
        ("counters h1", "h1 is a host, not a VNF"),
        ("nodes please", "usage: nodes"),
        ("h1", "a command for the node is missing"),
        ("time", "a command is missing"),
        ("sh", "a command is missing"),
        ("source", "usage: source FILE"),
        ("source /no/such/file", "/no/such/file: No such file"),
        ("source /", "/: Is a directory"),
        ("py 1/0", "ZeroDivisionError"),
        ("py if", "SyntaxError"),
        ("py exit(3)", "SystemExit"),
        ("py h1.nothing", "AttributeError"),
        ("px import nothing_of_that_name", "ModuleNotFoundError"),
    ],
)
def test_mistakes_are_told_and_survived(
    shell: Shell, capfd: pytest.CaptureFixture[str], line: str, message: str
):
    assert shell.run([line, "nodes"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("*** ")
    assert message in err
    assert "available nodes are" in out


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("fw set every=5", {"every": 5}),
        ("fw set every=5 quiet=on", {"every": 5, "quiet": True}),
        ('fw set allow="udp dport 9999"', {"allow": "udp dport 9999"}),
        ("fw set allow=5", {"allow": "5"}),
        ("fw set allow=a=b # why not", {"allow": "a=b"}),
        # What does not fit is refused by the VNF, which knows what would.
        ("fw set every=x", {"every": "x"}),
        ("fw set evry=1", {"evry": "1"}),
    ],
)
def test_set_reads_values_as_the_types_of_the_parameters(
    shell: Shell, net: FakeNetwork, line: str, changes: dict[str, object]
):
    assert shell.run([line]) == 0
    assert net["fw"].changes == [changes]
    assert net["fw"].commands == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fw set", "now every=3 allow=any quiet=false"),
        ("fw set every", "'every' is not NAME=VALUE"),
        ("fw set =3", "'=3' is not NAME=VALUE"),
        ("fw set every=1 every=2", "every is given twice"),
        ("fw set allow='a", "quot"),
        ("fw stats all", "usage: fw stats [--json]"),
        ("fw restart now", "usage: fw restart"),
    ],
)
def test_mistakes_with_vnfs_are_told(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str], line: str, message: str
):
    assert shell.run([line]) == 1
    assert message in capfd.readouterr().err
    assert net["fw"].changes == []


def test_only_vnfs_have_words_of_their_own(shell: Shell, net: FakeNetwork):
    shell.run(["h1 set -x", "fw command stats", "fw ip link"])
    assert net["h1"].commands == ["set -x"]
    assert net["fw"].commands == ["command stats", "ip link"]


def test_stats_can_be_read_by_programs(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["fw stats --json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["status"] == "running"
    assert document["pid"] == 4711
    assert document["ports"]["fw-eth0"]["own"] == {"odd": 3}


def test_a_failure_is_told_once_and_again_after_a_restart(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    net["fw"].failure = "it fell over"
    shell.run(["h1 ls", "nodes", "counters"])
    out, err = capfd.readouterr()
    assert err == "*** fw failed: it fell over\n    hint: fw restart starts it anew\n"
    assert out.count("failed: fw") == 2
    shell.run(["fw restart", "nodes"])
    assert net["fw"].restarts == 1
    out, err = capfd.readouterr()
    assert (err, "failed" in out) == ("", False)
    net["fw"].failure = "it fell over"
    shell.run([""])
    assert "*** fw failed" in capfd.readouterr().err


def test_python_sees_the_network_and_the_nodes(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["py h1.IP()", "px gw = net['h2'].IP()", "py [gw]", "py 0", "py None"]) == 0
    assert capfd.readouterr().out.splitlines() == ["10.0.0.1", "['10.0.0.2']", "0"]


@pytest.mark.parametrize("word", ["exit", "quit", "EOF"])
def test_leaving_words_end_the_lines(shell: Shell, net: FakeNetwork, word: str):
    assert shell.run([word, "h1 ls"]) == 0
    assert shell.finished
    assert net["h1"].commands == []


def test_source_reads_a_file_to_its_end_in_spite_of_mistakes(
    shell: Shell, net: FakeNetwork, tmp_path: Path
):
    script = tmp_path / "lab.txt"
    script.write_text("# prepare\nh1 ip route\nnonsense\nh2 ip route\n")
    assert shell.run([f"source {script}"]) == 1
    assert net["h1"].commands == ["ip route"]
    assert net["h2"].commands == ["ip route"]


def test_exit_in_a_sourced_file_leaves_the_shell(shell: Shell, net: FakeNetwork, tmp_path: Path):
    script = tmp_path / "lab.txt"
    script.write_text("exit\nh1 ls\n")
    shell.run([f"source {script}", "h1 ls"])
    assert net["h1"].commands == []


def test_a_file_that_sources_itself_is_refused(
    shell: Shell, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    script = tmp_path / "lab.txt"
    script.write_text(f"source {script}\n")
    assert shell.run([f"source {script}"]) == 1
    assert "sources itself" in capfd.readouterr().err


def test_time_tells_how_long_a_line_took(shell: Shell, capfd: pytest.CaptureFixture[str]):
    shell.run(["time nodes"])
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1].startswith("*** Elapsed time: 0.")


def test_sh_runs_on_this_machine_without_our_input(shell: Shell, capfd: pytest.CaptureFixture[str]):
    assert shell.run(["nodes", "sh echo here; cat; exit 3"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "here"


def test_help_explains_every_command(shell: Shell, capfd: pytest.CaptureFixture[str]):
    shell.run(["help"])
    text = capfd.readouterr().out
    for command in (*COMMANDS.values(), *VNF_COMMANDS.values()):
        assert command.help, f"{command.name} has no docstring"
        assert command.name in text
    assert max(map(len, text.splitlines())) <= 80
    shell.run(["help link", "help set"])
    out = capfd.readouterr().out
    assert "All links between the two nodes" in out
    assert "VNF set NAME=VALUE" in out
    assert "fw command stats" in out


def test_nobody_is_told_to_restart_a_controller_that_runs_elsewhere(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    topo = Topo()
    topo.addController("fw", kind="remote", ip="127.0.0.1")
    net["fw"].plan = compile_plan(topo).node("fw")
    net["fw"].failure = "s1 is not connected"
    shell.run(["nodes"])
    assert "hint: start it: switches go on calling" in capfd.readouterr().err


def test_an_interrupt_stops_the_command_of_a_person_and_the_whole_of_a_script(
    net: FakeNetwork, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def interrupted(command: str, **_how: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(net["h1"], "interact", interrupted)
    assert Shell(net, interactive=True).run(["h1 ping h2", "nodes"]) == 0
    assert "Interrupt" in capfd.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        Shell(net, interactive=False).run(["h1 ping h2", "nodes"])


def test_a_request_to_terminate_always_ends_the_shell(
    net: FakeNetwork, monkeypatch: pytest.MonkeyPatch
):
    def terminated(command: str, **_how: object) -> int:
        raise Terminated(signal.SIGTERM)

    monkeypatch.setattr(net["h1"], "interact", terminated)
    with pytest.raises(Terminated):
        Shell(net, interactive=True).run(["h1 ping h2", "nodes"])


def test_a_bug_of_ours_does_not_cost_the_lab(
    net: FakeNetwork, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def broken(command: str, **_how: object) -> int:
        raise RuntimeError("it fell over")

    monkeypatch.setattr(net["h1"], "interact", broken)
    shell = Shell(net, interactive=True)
    shell.run(["h1 ls", "nodes"])
    out, err = capfd.readouterr()
    assert "internal error: RuntimeError: it fell over" in err
    assert "available nodes are" in out


def test_history_lives_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() == tmp_path / "build-vnf" / "history"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert history_file() == tmp_path / ".local" / "state" / "build-vnf" / "history"


def test_history_that_cannot_be_written_is_done_without(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # A file where the folder should be stops even root.
    (tmp_path / "build-vnf").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    history = make_session(shell).history
    history.append_string("pingall")
    assert list(history.load_history_strings()) == []
    assert history.get_strings() == ["pingall"]


def test_history_is_kept_for_the_next_shell(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    make_session(shell).history.append_string("pingall")
    assert list(make_session(shell).history.load_history_strings()) == ["pingall"]


def test_a_link_is_set_in_both_directions_and_in_one(shell: Shell, net: FakeNetwork):
    assert shell.run(["link h1 s1 set delay=20ms up.loss=1% drop='3, 5'"]) == 0
    (changed,) = net.settings
    assert changed == (
        ["h1-eth0<->s1-eth1"],
        {"delay": "20ms", "up": {"loss": "1%"}, "drop": "3, 5"},
    )


def test_wires_that_have_died_are_told_of_once_and_started_anew(
    shell: Shell, net: FakeNetwork, capfd: pytest.CaptureFixture[str]
):
    net.wires_failure = "the process of the wires has ended by signal 9"
    shell.run(["nodes", "nodes"])
    assert capfd.readouterr().err.count("*** wires failed: the process of the wires has ended") == 1
    shell.run(["wires restart"])
    assert net.wire_restarts == 1
    net.wires_failure = "again"
    shell.run(["nodes"])
    assert "again" in capfd.readouterr().err
