"""The ``vnf`` command without a lab: its options, its errors, its exit codes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from emulator.amounts import parse_duration, parse_rate
from emulator.cli import main, outcome
from emulator.cli.options import parse_settings
from emulator.cli.output import StepProgress, format_age, print_table
from emulator.errors import LabError, MachineError, Problem, TopologyError, UsageError


def vnf(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | variables,
        check=False,
        timeout=60,
    )


COMMANDS = (
    "run",
    "bench",
    "plan",
    "list",
    "show",
    "new",
    "build",
    "test",
    "ps",
    "exec",
    "logs",
    "attach",
    "clean",
    "doctor",
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert main.execute(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in text


def test_no_arguments_means_help(capsys: pytest.CaptureFixture[str]):
    assert main.execute([]) == 0
    assert "Usage: vnf" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
):
    assert main.execute([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"vnf {command}" in text


def test_help_imports_nothing_heavy():
    heavy = (
        "pyroute2",
        "networkx",
        "numpy",
        "pyarrow",
        "matplotlib",
        "pydantic",
        "prompt_toolkit",
        "rich",
        "asyncio",
    )
    code = (
        "import sys\n"
        "from emulator.cli.main import execute\n"
        "execute(['--help'])\n"
        f"print(*(name for name in {heavy} if name in sys.modules), end='', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "no such command 'bogus'"),
        (["rnu"], "Did you mean 'run'?"),
        (["run", "--bogus"], "no such option: --bogus"),
        (["run"], "no topology is given"),
        (["plan", "x.py", "--topo", "linear,4"], "two topologies are given"),
        (["run", "x.py", "--set", "length"], "--set: 'length' is not KEY=VALUE"),
        (["run", "x.py", "--set", "a=1", "--set", "a=2"], "--set: a is given twice"),
        (["bench", "x.py", "--rate", "10Mbit"], "--rate: '10Mbit' is not a packet rate"),
        (["bench", "x.py", "--duration", "soon"], "--duration: 'soon' is not a duration"),
        (["bench", "x.py", "--size", "big"], "--size"),
        (["bench", "x.py", "--probe", "magic"], "--probe"),
        (["bench", "x.py", "--size", "9000"], "--size: 9000 is not possible"),
        (["bench", "x.py", "--core", "-1"], "--core: there is no CPU -1"),
        (["exec", "lab"], "missing argument 'NODE'"),
    ],
)
def test_wrong_use_is_one_line_a_hint_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main.execute(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vnf: ")
    assert message in err
    assert "Traceback" not in err


def test_an_error_names_place_message_and_hint(capsys: pytest.CaptureFixture[str]):
    error = MachineError("clang is missing", where="vnfs/forward", hint="apt-get install clang")
    assert outcome.report_error(error) == 3
    assert capsys.readouterr().err == (
        "vnf: vnfs/forward: clang is missing\n     hint: apt-get install clang\n"
    )
    assert outcome.report_error(LabError("it is gone")) == 1
    assert capsys.readouterr().err == "vnf: it is gone\n"
    assert outcome.report_error(UsageError("no")) == 2


def test_every_problem_of_a_topology_is_printed(capsys: pytest.CaptureFixture[str]):
    problems = [Problem("node h1", "duplicate name", "rename one"), Problem("", "no hosts")]
    assert outcome.report_error(TopologyError(problems, where="lab.py")) == 2
    assert capsys.readouterr().err.splitlines() == [
        "vnf: lab.py: 2 mistakes in the topology",
        "  - node h1: duplicate name",
        "    hint: rename one",
        "  - no hosts",
    ]


def test_a_bug_says_where_to_look_and_shows_the_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def broken() -> int:
        try:
            raise ValueError("odd\nand more")
        except ValueError as error:
            return outcome.report_bug(error)

    monkeypatch.delenv("VNF_DEBUG", raising=False)
    assert broken() == 70
    err = capsys.readouterr().err
    assert err.startswith("vnf: internal error: ValueError: odd (test_cli.py:")
    assert "VNF_DEBUG=1" in err
    assert "Traceback" not in err

    monkeypatch.setenv("VNF_DEBUG", "1")
    assert broken() == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "rate_pps"),
    [
        ("1", 1),
        ("1000", 1000),
        ("10k", 10_000),
        ("1.5M", 1_500_000),
        ("10kpps", 10_000),
        ("200pps", 200),
        ("1e6", 1_000_000),
        (".5k", 500),
        ("2G", 2e9),
    ],
)
def test_rates(text: str, rate_pps: float):
    assert parse_rate(text) == rate_pps


@pytest.mark.parametrize("text", ["", "k", "0", "-1", "10Mbit", "1,000", "nan", "inf", "1e999"])
def test_what_is_no_rate(text: str):
    with pytest.raises(UsageError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "duration_s"), [("2", 2), ("2s", 2), ("500ms", 0.5), ("1min", 60), ("0.5 s", 0.5)]
)
def test_durations(text: str, duration_s: float):
    assert parse_duration(text, where="--duration") == duration_s


@pytest.mark.parametrize("text", ["", "0", "-2", "2 parsecs", "s", "1e999"])
def test_what_is_no_duration(text: str):
    with pytest.raises(UsageError, match="duration"):
        parse_duration(text, where="--duration")


def test_settings_keep_equal_signs_in_values():
    assert parse_settings(["rule=a=b", "empty="]) == {"rule": "a=b", "empty": ""}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (7.9, "7 s"), (200, "3 min 20 s"), (18720, "5 h 12 min"), (183600, "2 d 3 h")],
)
def test_ages(seconds: float, text: str):
    assert format_age(seconds) == text


class Screen(io.StringIO):
    """A terminal that remembers what was drawn on it."""

    def isatty(self) -> bool:
        return True


def test_progress_that_is_over_draws_nothing_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("emulator.cli.output._QUIET_S", 0.0)
    screen = Screen()
    with StepProgress(screen) as progress:
        progress("nodes", 1, 2)
    drawn = screen.getvalue()
    assert "nodes" in drawn
    # The lab that was started with it grows: its owner's terminal is the shell's by now.
    progress("nodes", 0, 0)
    progress("nodes", 1, 1)
    assert screen.getvalue() == drawn


def test_a_table_in_a_pipe_is_neither_cut_nor_coloured(capsys: pytest.CaptureFixture[str]):
    long = "x" * 300
    print_table(("name", "value"), [("[bold]a[/bold]", long), ("b", None)], title="[i] title")
    out = capsys.readouterr().out
    assert long in out
    assert "[bold]a[/bold]" in out
    assert "[i] title" in out
    assert "\x1b" not in out


def test_a_reader_that_goes_away_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "emulator", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "emulator", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "vnf: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_outside_do_no_harm(closed: str):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m emulator --help {closed}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_shell_of_the_user_completes_words():
    words = {"vnf ru": "run", "vnf run --topo li": "linear", "vnf bench --prob": "--probe"}
    for typed, expected in words.items():
        done = subprocess.run(
            [sys.executable, "-c", "from emulator.cli.main import main; main()"],
            env=os.environ
            | {
                "_VNF_COMPLETE": "complete_bash",
                "COMP_WORDS": typed,
                "COMP_CWORD": str(len(typed.split()) - 1),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == [expected]


@pytest.mark.parametrize(
    ("signum", "line"),
    [
        (signal.SIGINT, "vnf: interrupted\n"),
        (signal.SIGTERM, "vnf: terminated by SIGTERM\n"),
        (signal.SIGHUP, "vnf: terminated by SIGHUP\n"),
    ],
)
def test_a_signal_unwinds_and_sets_the_exit_code(signum: int, line: str):
    code = (
        "import contextlib, os, sys, typer\n"
        "from emulator.cli import app, main\n"
        "def stop():\n"
        "    with contextlib.ExitStack() as stack:\n"
        "        stack.callback(print, 'unwound')\n"
        f"        os.kill(os.getpid(), {int(signum)})\n"
        "        os.read(0, 1)\n"
        "app.app.command('stop')(stop)\n"
        "sys.exit(main.execute(['stop']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + signum, "unwound\n", line)


def test_a_signal_ignored_from_outside_stays_ignored():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with outcome.stop_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_a_stop_that_is_held_arrives_when_the_block_is_over():
    steps = []

    def work() -> None:
        with outcome.stop_signals():
            with outcome.stops_held():
                os.kill(os.getpid(), signal.SIGTERM)
                steps.append("whole")
            steps.append("not reached")

    with pytest.raises(outcome.Terminated):
        work()
    assert steps == ["whole"]
