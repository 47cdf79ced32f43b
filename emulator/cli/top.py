"""``vnf top``: what the nodes of a running lab do, renewed every second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.amounts import parse_duration
from emulator.cli.options import JsonOption, LabArgument
from emulator.cli.outcome import Terminated
from emulator.cli.output import print_json, print_json_line, print_rich
from emulator.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from emulator.measure.lab_watch import NodeRates
    from emulator.network import Network

_LEAST_INTERVAL_S = 0.1
_BESIDE_ROWS = 5
"""Lines of the screen that rows cannot have: title, headings, and what is said below."""


def top(
    lab: LabArgument,
    interval: Annotated[
        str,
        typer.Option("--interval", metavar="TIME", help="How long each look at the lab lasts."),
    ] = "1s",
    once: Annotated[
        bool, typer.Option("--once", help="Look once, print it, and end; for scripts.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what each node of a running lab does: packets, CPU, memory, and verdicts of VNFs.

    The table is renewed until q, Ctrl-C or the end of the lab, which is an error. CPU time is that
    of the node's own processes; what the kernel does for it is borne by whoever sends. Without a
    terminal, a table is printed for each look; with --json and without --once, a line.

    \b
    Examples:
      vnf top chain
      vnf top chain --once --json
      vnf top chain-3f2a --interval 5s
    """
    from emulator.kernel.netns import ensure_root

    interval_s = parse_duration(interval, where="--interval")
    if interval_s < _LEAST_INTERVAL_S:
        raise UsageError(
            f"{interval} is too short to tell anything",
            where="--interval",
            hint=f"{_LEAST_INTERVAL_S:g} s or more",
        )
    ensure_root("reaching a running lab")
    with contextlib.closing(_Follower(lab)) as follower:
        if once:
            time.sleep(interval_s)
            _print(follower, json=json, many=False)
            return
        try:
            if json or not _is_screen():
                while True:
                    time.sleep(interval_s)
                    _print(follower, json=json, many=True)
            else:
                _show(follower, interval_s)
        except Terminated:
            raise
        except KeyboardInterrupt:
            # That is how a person ends it.
            return


def show_top(network: Network, interval_s: float, *, once: bool) -> None:
    """The table of a lab that this process has: once, or until q or Ctrl-C on a terminal."""
    follower = _Follower(network)
    if once or not _is_screen():
        time.sleep(interval_s)
        _print(follower, json=False, many=False)
    else:
        _show(follower, interval_s)


class _Follower:
    """A lab, followed when its owner adds or removes nodes.

    Args:
        lab: the id of one to attach to, or one that this process has already.
    """

    def __init__(self, lab: str | Network) -> None:
        self._attached = isinstance(lab, str)
        self._attach(lab)

    def _attach(self, lab: str | Network) -> None:
        from emulator.measure.lab_watch import LabWatch
        from emulator.network import Network

        self.network = Network.attach(lab) if isinstance(lab, str) else lab
        try:
            self._watch = LabWatch(self.network)
        except BaseException:
            self.close()
            raise

    def rates(self) -> list[NodeRates]:
        """What each node did since the last time.

        Raises:
            LabError: the lab has ended.
        """
        from emulator.errors import LabError
        from emulator.labs import list_labs

        name = self.network.id
        record = next((record for record in list_labs() if record.id == name), None)
        if record is None:
            raise LabError("the lab has ended", where=name)
        rates = self._watch.rates()
        if set(record.node_names) != {node.name for node in self.network.nodes}:
            self.close()
            self._attach(name if self._attached else self.network)
        return rates

    def close(self) -> None:
        """Let go of the lab, which goes on."""
        if self._attached:
            self.network.stop()


def _print(follower: _Follower, *, json: bool, many: bool) -> None:
    rates = follower.rates()
    if json:
        document = _document(follower.network, rates)
        if many:
            print_json_line(document)
        else:
            print_json(document)
        return
    print_rich(_table(rates))
    if many:
        sys.stdout.write("\n")
        sys.stdout.flush()


def _document(network: Network, rates: list[NodeRates]) -> dict[str, Any]:
    return {
        "lab": network.id,
        "at": time.time(),
        "wires_failure": network.wires_failure,
        "nodes": [each.to_json() for each in rates],
    }


def _show(follower: _Follower, interval_s: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from emulator.cli.top_table import busiest

    console = Console(highlight=False)
    head = Text.assemble((follower.network.id, "bold"), "  looking …  q ends")
    with (
        _single_keys() as keyboard,
        Live(head, console=console, screen=True, auto_refresh=False) as live,
    ):
        live.refresh()
        due_s = time.monotonic() + interval_s
        while not _wants_to_leave(keyboard, due_s):
            rates = follower.rates()
            shown = busiest(rates, console.height - _BESIDE_ROWS)
            hidden = len(rates) - len(shown)
            head = Text.assemble(
                (follower.network.id, "bold"), f"  every {interval_s:g} s  q ends", "\n"
            )
            notes = [f"{hidden} quieter nodes have no room here"] if hidden else []
            if (failure := follower.network.wires_failure) is not None:
                notes.append(f"impaired links carry nothing: {failure}")
            live.update(Group(head, _table(shown), *notes), refresh=True)
            due_s = max(due_s + interval_s, time.monotonic())


def _table(rates: list[NodeRates]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from emulator.cli.top_table import TOP_COLUMNS, TOP_RIGHT, top_row

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in TOP_COLUMNS:
        table.add_column(
            column, justify="right" if column in TOP_RIGHT else "left", no_wrap=column != "frames"
        )
    for each in rates:
        style = "red" if each.status == "failed" else ""
        table.add_row(*(Text(cell, style=style) for cell in top_row(each)))
    return table


def _is_screen() -> bool:
    """Whether there is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def _single_keys() -> Iterator[int | None]:
    """The keyboard, giving each key as it is pressed; None where there is none."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _wants_to_leave(keyboard: int | None, until_s: float) -> bool:
    """Whether q is pressed by then; a keyboard that is gone ends it too."""
    while (left_s := until_s - time.monotonic()) > 0:
        if keyboard is None:
            time.sleep(left_s)
        elif select.select([keyboard], [], [], left_s)[0]:
            keys = os.read(keyboard, 64)
            if not keys or b"q" in keys.lower():
                return True
    return False
