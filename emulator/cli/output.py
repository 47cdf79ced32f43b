"""What the commands print: tables and JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType
    from rich.progress import Progress, TaskID

    from emulator.experiment.bench import BenchEvent

# Wide enough for every row of ours: a table in a pipe or a file is never cut to a terminal's width.
_PIPE_WIDTH = 1000
# Steps shorter than this leave no trace on the terminal, so that quick labs start quietly.
_QUIET_S = 0.4
# Where there is no terminal to redraw, a long step says once in this many seconds how far it is.
_LINE_PERIOD_S = 2.0
# So many seconds of what is seen weigh as much as the guess that was there before.
_BELIEF_S = 5.0


def print_rich(what: RenderableType) -> None:
    """Print something of rich's on stdout; what goes to a pipe is neither cut nor coloured."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    with console.capture() as capture:
        console.print(what)
    # A table is padded to its full width, which a pipe or a copy should not carry along.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    right: Iterable[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows under headings on stdout, and an empty line after them.

    Args:
        columns: the headings.
        rows: the cells, printed with ``str``; None prints as a dash.
        title: a line above the table.
        right: the headings of the columns to align to the right (numbers).
        styles: for the text of a cell, the style to print it in on a terminal.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def cell(value: object) -> Text:
        text = "-" if value is None else str(value)
        return Text(text, style=(styles or {}).get(text, ""))

    aligned_right = frozenset(right)
    table = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        justify: JustifyMethod = "right" if column in aligned_right else "left"
        table.add_column(Text(column), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    print_rich(table)
    sys.stdout.write("\n")


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, indented for people and readable by programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line and flush it, for a program that waits for it."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def format_age(seconds: float) -> str:
    """A duration for people: ``7 s``, ``3 min 20 s``, ``5 h 12 min``, ``2 d 3 h``."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 1:
        return f"{whole} s"
    if hours < 1:
        return f"{minutes} min {whole % 60} s"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


class StepProgress:
    """Shows how far a lab has come; the callable that ``Network(progress=...)`` takes.

    On a terminal a bar appears once the work has lasted a moment, elsewhere a line every two
    seconds; quick work shows nothing. Use it as a context manager: leaving it removes the bar, and
    from then on nothing is shown. A lab keeps the callable for as long as it runs and reports each
    later change to it, when the terminal belongs to the shell.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._started_s = time.monotonic()
        self._printed_s = self._started_s
        self._finished = False
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finished = True
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, step: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` parts of the step named ``step`` are finished."""
        if self._finished:
            return
        now_s = time.monotonic()
        if _can_redraw(self._stream):
            if self._bar is not None or now_s - self._started_s >= _QUIET_S:
                self._redraw(step, done, total)
        elif now_s - self._printed_s >= _LINE_PERIOD_S:
            self._printed_s = now_s
            self._stream.write(f"vnf: {step} {done}/{total}\n")
            self._stream.flush()

    def _redraw(self, step: str, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._bar.start()
        if step not in self._tasks:
            self._tasks[step] = self._bar.add_task(step, total=total)
        self._bar.update(self._tasks[step], completed=done, total=total)


class Remaining:
    """How long something will still take: what it was thought to take, times how wrong that was.

    Args:
        clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = self._told_s = clock()
        self._left_s = 0.0

    def update(self, completed_s: float, total_s: float) -> None:
        """So much is done of what there is to do, in seconds that it was thought to take."""
        self._told_s = self._clock()
        if completed_s <= 0:
            # What comes before, such as certifying links, is not counted.
            self._began_s = self._told_s
        spent_s = self._told_s - self._began_s
        # At the begin a guess is worth more than the little that has been seen.
        pace = (spent_s + _BELIEF_S) / (completed_s + _BELIEF_S)
        self._left_s = max(0.0, total_s - completed_s) * pace

    def seconds(self) -> float:
        """From now on; 0 when it takes longer than was thought."""
        return max(0.0, self._left_s - (self._clock() - self._told_s))


class BenchProgress:
    """Shows how far a bench has come and how long it will still take; ``on_event`` of a run.

    Use it as a context manager, like :class:`StepProgress`.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._printed_s = -_LINE_PERIOD_S
        self._remaining = Remaining()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> BenchProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: BenchEvent) -> None:
        """Tell of a step of the bench."""
        self._remaining.update(event.completed, event.total)
        if event.note is not None:
            self._note(event.note)
            return
        if _can_redraw(self._stream):
            self._redraw(event)
            return
        now_s = time.monotonic()
        if event.record is not None:
            done = len(event.record.rounds_done)
            so_far = f"{done} of its rounds measured"
            status = event.record.status
            self._line(f"{event.case}: {so_far if status == 'unfinished' else status}")
        elif now_s - self._printed_s >= _LINE_PERIOD_S:
            share = event.completed / event.total if event.total else 1.0
            left = format_age(self._remaining.seconds())
            self._line(f"{event.case}: {event.step} ({share:.0%}, about {left} left)")

    def _line(self, text: str) -> None:
        self._printed_s = time.monotonic()
        self._stream.write(f"vnf: {text}\n")
        self._stream.flush()

    def _note(self, text: str) -> None:
        """A line that stays, above the bar where there is one."""
        if self._bar is None:
            self._stream.write(f"vnf: {text}\n")
            self._stream.flush()
        else:
            self._bar.console.print(f"vnf: {text}", markup=False, highlight=False, soft_wrap=True)

    def _redraw(self, event: BenchEvent) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
            from rich.table import Column
            from rich.text import Text

            remaining = self._remaining

            class Left(ProgressColumn):
                def render(self, task: Task) -> Text:
                    return Text(f"{format_age(remaining.seconds())} left", no_wrap=True)

            self._bar = Progress(
                BarColumn(bar_width=20),
                Left(),
                TextColumn(
                    "{task.description}",
                    markup=False,
                    table_column=Column(no_wrap=True, overflow="ellipsis"),
                ),
                console=Console(file=self._stream),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=event.total)
        assert self._task is not None
        self._bar.update(
            self._task,
            completed=event.completed,
            total=event.total,
            description=f"{event.case}: {event.step}",
        )


def _can_redraw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"
