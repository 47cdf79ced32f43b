"""Reading the shell's lines: a prompt with completion and history, or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli.outcome import Terminated
from emulator.cli.shell_commands import argument_kinds
from emulator.cli.shell_complete import FILES, argument_kind, candidates

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from emulator.cli.shell import Shell


def history_file() -> Path:
    """Where the lines typed are kept: ``$XDG_STATE_HOME/build-vnf/history``."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "build-vnf" / "history"


def read_script() -> Iterator[str]:
    """The lines of stdin, without a prompt."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from sys.stdin


def read_prompt(shell: Shell) -> Iterator[str]:
    """The lines typed at a prompt; Ctrl-C clears the line, Ctrl-D on an empty one ends."""
    session = make_session(shell)
    while True:
        try:
            _put_back(session, shell)
            # What is pasted may be several lines at once.
            yield from session.prompt().split("\n")
        except Terminated:
            raise
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _put_back(session: PromptSession[str], shell: Shell) -> None:
    """Types anew what was meant for the prompt while a node's command had the terminal."""
    from prompt_toolkit.input.typeahead import store_typeahead
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.key_binding import KeyPress

    keys: list[KeyPress] = []
    parser = Vt100Parser(keys.append)
    parser.feed(shell.typed_ahead)
    parser.flush()
    shell.typed_ahead = ""
    store_typeahead(session.app.input, keys)


def make_session(shell: Shell) -> PromptSession[str]:
    """A prompt for the lab of ``shell``."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.shortcuts import CompleteStyle

    class LabCompleter(Completer):
        _paths = PathCompleter(expanduser=True)

        def get_completions(
            self, document: Document, complete_event: CompleteEvent
        ) -> Iterable[Completion]:
            text = document.text_before_cursor
            word, options = candidates(text, shell.net.plan, argument_kinds())
            if argument_kind(text, argument_kinds()) == FILES:
                yield from self._paths.get_completions(Document(word, len(word)), complete_event)
            for option in options:
                yield Completion(option, start_position=-len(word))

    class LastingHistory(FileHistory):
        """Keeps the lines in a file, and does without where that cannot be read or written."""

        def load_history_strings(self) -> Iterable[str]:
            with contextlib.suppress(OSError):
                return list(super().load_history_strings())
            return []

        def store_string(self, string: str) -> None:
            with contextlib.suppress(OSError):
                super().store_string(string)

    path = history_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return PromptSession(
        shell.prompt,
        completer=LabCompleter(),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        history=LastingHistory(path),
    )
