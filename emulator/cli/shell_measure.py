"""Commands that measure the lab as it runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from emulator.cli.shell_registry import LOOK, MEASURE, command, read_words
from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from emulator.cli.shell import Shell


@command("bench", "[MEASUREMENT...]", "measurement...", group=MEASURE)
def _bench(shell: Shell, text: str) -> None:
    """Measure this lab: bench latency --rate 1k

    Latency, throughput and CPU cost between the first and the last host, or from one node to
    another: bench throughput --from h1 --to h3. The arguments are those of vnf bench, which bench
    --help lists, but for those that start labs; the results are a folder as there. The lab is
    measured as it is, with all else that it carries.
    """
    _run_as("bench", shell, text)


@command("certify", "[A-B...]", "pair...", group=MEASURE)
def _certify(shell: Shell, text: str) -> None:
    """Measure impaired links against what was asked.

    All of them, or those between two nodes: certify h1-s1. As they are specified now, each is made
    once more between two empty nodes, so that what the lab carries is not in the way.
    """
    from emulator.cli.certify import links_between
    from emulator.cli.output import StepProgress, print_rich
    from emulator.wire.certificate_report import render
    from emulator.wire.certify import certify, impaired_links

    pairs = read_words("certify", text, *range(100))
    plan = shell.net.plan
    wanted = {link for pair in pairs for link in links_between(plan, pair)} if pairs else None
    if not impaired_links(plan):
        shell.print("no link of this lab is impaired")
        return
    shell.flush()
    with StepProgress() as progress:
        certificate = certify(plan, links=wanted, progress=progress)
    print_rich(render(certificate))
    if certificate.verdict != "pass":
        raise LabError(f"the verdict is {certificate.verdict}", where="certify")


@command("top", "[once] [TIME]", "top", group=LOOK)
def _top(shell: Shell, text: str) -> None:
    """Show what nodes do, live: top 5s

    Packets, CPU, memory, and verdicts of VNFs, over each second or the TIME given. On a terminal
    it goes on until q or Ctrl-C; top once, and top in a script, look once.
    """
    from emulator.amounts import parse_duration
    from emulator.cli.top import show_top

    words = read_words("top", text, 0, 1, 2)
    once = words[:1] == ["once"]
    times = words[1:] if once else words
    if len(times) > 1:
        raise UsageError(f"{times[1]} means nothing here", where="top", hint="top once 5s")
    interval_s = parse_duration(times[0], where="top") if times else 1.0
    shell.flush()
    show_top(shell.net, interval_s, once=once or not shell.interactive)


def _run_as(name: str, shell: Shell, text: str) -> None:
    """Carry out a command of ``vnf`` on the shell's lab, with the arguments it has there."""
    import typer

    from emulator.cli.app import app

    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(str(error).lower(), where=name) from error
    found: Any = getattr(typer.main.get_command(app), "commands")[name]  # noqa: B009
    shell.flush()
    try:
        with found.make_context(name, words, obj=shell.net) as context:
            found.invoke(context)
    except typer.Exit as end:
        if end.exit_code:
            raise LabError(f"it ended with exit code {end.exit_code}", where=name) from end
    except typer.TyperException as error:
        message = error.format_message().strip().rstrip(".")
        raise UsageError(
            message[:1].lower() + message[1:], where=name, hint=f"{name} --help"
        ) from error
