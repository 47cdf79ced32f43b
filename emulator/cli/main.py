"""The ``vnf`` command: carries out what is asked for and ends the process the right way."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emulator.cli.outcome import (
    EXIT_INTERRUPTED,
    Stopped,
    finish_output,
    reasons_kept,
    report_bug,
    report_error,
    say,
    stop_signals,
    supply_streams,
)
from emulator.errors import BuildVnfError


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of this process; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with stop_signals(), reasons_kept():
            code = _carry_out(words)
    except BuildVnfError as error:
        code = report_error(error)
    except Stopped as stop:
        if str(stop):
            say(str(stop))
        code = stop.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        code = EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can turn a bug into a report
        code = report_bug(error)
    # Also after a failure: what cannot be written at Python's own exit changes the exit code.
    unwritten = finish_output()
    return code or unwritten


def main() -> None:
    """The entry point of the ``vnf`` program."""
    supply_streams()
    raise SystemExit(execute())


def _carry_out(words: list[str]) -> int:
    if words[:1] == ["mn"]:
        from emulator.cli.mn import mn, read

        return mn(read(words[1:]))
    from emulator.cli.app import carry_out

    return carry_out(words)
