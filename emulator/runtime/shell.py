"""A node's shell: one bash as long-lived as its node; ``cd``, variables and jobs carry over.

Commands and exit statuses travel over pipes of their own and never mix with what the commands
print, so nothing is searched for markers or prompts. The shell also has a terminal: it makes a
Ctrl-C reach the process in the foreground, and interactive programs run on it.

bash runs as an interactive shell whose prompt is the loop below. That is the mode in which an
interrupt abandons the whole command line, and not just one process of it, and comes back for more.
(``jobs`` in the loop has bash forget the ended ones, which it otherwise does at its own prompt.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

from emulator.errors import LabError, UsageError
from emulator.runtime.terminal import (
    lent_terminal,
    print_now,
    raw_terminal,
    readable,
    take_unread,
    tame,
    write_all,
)

_LOOP = r"""
export -n PROMPT_COMMAND PS1
if [ -n "$__vnf_busy" ]; then __vnf_busy=; printf '130\0' >&{status}; fi
while IFS= read -r -d '' -u {commands} __vnf_command; do
  __vnf_busy=1
  case $__vnf_command in
    s*) printf '%s\0' "$__vnf_command" >&{status}; __vnf_busy=; continue ;;
    c*) eval "${{__vnf_command:1}}" </dev/null >&{output} 2>&1 \
          {commands}<&- {status}>&- {output}>&- ;;
    i*) eval "${{__vnf_command:1}}" {commands}<&- {status}>&- {output}>&- ;;
  esac
  printf '%d\0' $? >&{status}
  jobs >/dev/null
  __vnf_busy=
done
exit
"""
_TIOCSIG = 0x40045436
_CHUNK = 65536
_PIPE_BYTES = 1 << 20
_GRACE_S = 2.0
_ASK_AGAIN_S = 0.1
_TERMINAL_SETTLE_S = 0.02

Spawn = Callable[..., "subprocess.Popen[Any]"]


class NodeShell:
    """One persistent bash inside a node.

    Args:
        spawn: starts a process in the node; takes the arguments of ``Processes.popen``.
        name: the node's name, for messages.
        bash: the program.

    Raises:
        LabError: when bash cannot be started.
    """

    def __init__(self, spawn: Spawn, name: str, bash: str = "bash") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closing = False
        self._answers = b""
        # Each reason to doubt that the shell waits for the next command has a number.
        self._doubts = self._cleared = 0
        self._process: subprocess.Popen[Any] | None = None
        self._master, slave = os.openpty()
        tame(self._master)
        command_read, self._commands = os.pipe()
        self._statuses, status_write = os.pipe()
        self._output, output_write = os.pipe()
        fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._output, False)
        passed = (command_read, status_write, output_write)
        loop = _LOOP.format(commands=command_read, status=status_write, output=output_write)
        try:
            self._process = spawn(
                [bash, "--norc", "--noprofile", "--noediting", "+H", "-i"],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                pass_fds=passed,
                extra_env={"PS1": "", "PROMPT_COMMAND": loop, "HISTFILE": "/dev/null"},
                take_terminal=True,
            )
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise LabError(
                    f"no shell could be started: {error}", where=name, hint="apt-get install bash"
                ) from error
            raise
        finally:
            os.close(slave)
            for fd in passed:
                os.close(fd)

    @property
    def alive(self) -> bool:
        """False after the user's command ended the shell, for instance with ``exit``."""
        # Asked of the pipe: an interrupt in the middle of Popen.poll would leave its lock taken.
        answers = select.poll()
        answers.register(self._statuses, 0)
        return not answers.poll(0)

    @property
    def pid(self) -> int:
        """The process of the shell, as the machine numbers it."""
        return self._shell.pid

    @property
    def _shell(self) -> subprocess.Popen[Any]:
        assert self._process is not None
        return self._process

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> tuple[str, int]:
        """Runs a command line to its end: what it printed (both streams), and its exit status.

        Its standard input is empty. What jobs in the background print shows up with the next
        command, as on a terminal.

        Args:
            timeout_s: interrupt it after this many seconds.
            on_output: called with each piece of output as it comes; the text returned is then
                empty.

        Raises:
            LabError: when the time is up; the command is then interrupted, or killed if it resists.
                Also when another thread closes the shell.
            KeyboardInterrupt: after the command has been interrupted.
        """
        self._check_open()
        with self._lock:
            pieces: list[bytes] = []
            take = pieces.append
            if on_output is not None:
                from codecs import getincrementaldecoder

                decoder = getincrementaldecoder("utf-8")("replace")

                def take(piece: bytes) -> None:
                    on_output(decoder.decode(piece))

            doubt = self._begin()
            try:
                self._send("c", command)
                status = self._collect(take, timeout_s, lambda answer: answer.isdigit())
            except KeyboardInterrupt:
                self._abandon(take)
                raise
            if self._closing:
                raise LabError(f"the shell was ended while `{command}` ran", where=self._name)
            if status is None:
                self._abandon(take)
                raise LabError(
                    f"`{command}` did not end within {timeout_s:g} s and was interrupted",
                    where=self._name,
                    hint="give it more time with timeout_s, or run it in the background with &",
                )
            self._cleared = doubt
            return b"".join(pieces).decode(errors="replace"), int(status)

    def interact(
        self,
        command: str,
        *,
        echo: bool = True,
        on_unread: Callable[[str], None] | None = None,
    ) -> int:
        """Runs a command on the user's terminal and returns its exit status.

        Keys go to the node, Ctrl-C included. Without a terminal on standard input, the output is
        passed on as it comes.

        Args:
            echo: whether the terminal shows what is typed.
            on_unread: called with what was typed meanwhile and the command did not read, if
                anything. No later command gets it, either way: it was not meant for that.
        """
        if not sys.stdin.isatty():
            _, status = self.run(command, on_output=print_now)
            return status
        with self._lock, raw_terminal(sys.stdin.fileno()), lent_terminal(self._master, echo):
            self._begin()
            self._send("i", command)
            status = self._relay(sys.stdin.fileno(), sys.stdout.fileno())
            unread = take_unread(self._master)
        if unread and on_unread is not None:
            on_unread(unread)
        return status

    def interrupt(self) -> None:
        """Interrupts the command in the foreground, as Ctrl-C does; for use by another thread."""
        self._doubts += 1
        # At once, where a key would reach the process some time later, and another one by then.
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._master, _TIOCSIG, signal.SIGINT)

    def close(self) -> None:
        """Ends the shell; jobs it left in the background get a hangup.

        A command that another thread waits for ends in a ``LabError`` there.
        """
        self._closing = True
        held = self._lock.acquire(blocking=False)
        if not held:
            self._shell.kill()
            held = self._lock.acquire(timeout=_GRACE_S)
        try:
            self.let_go()
            if self._process is not None:
                self._end(self._process)
        finally:
            if held:
                self._lock.release()

    def let_go(self) -> None:
        """Closes our ends without ending the shell; what a forked process does."""
        for name in ("_commands", "_statuses", "_output", "_master"):
            fd = getattr(self, name, -1)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)

    @staticmethod
    def _end(process: subprocess.Popen[Any]) -> None:
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _begin(self) -> int:
        """Makes sure that the shell waits for a command; returns the number of the new doubt."""
        self._check_open()
        if self._cleared != self._doubts:
            self._abandon(lambda piece: None)
        self._doubts += 1
        return self._doubts

    def _check_open(self) -> None:
        if self._closing:
            raise LabError("the node's shell has ended", where=self._name)

    def _send(self, mode: str, command: str) -> None:
        if "\0" in command:
            raise UsageError("a command cannot hold a NUL character", where=self._name)
        data = mode.encode() + command.encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._commands, data) :]
        except BrokenPipeError:
            raise LabError("the node's shell has ended", where=self._name) from None
        except BaseException:
            self._shell.kill()  # half a command must never run
            raise

    def _collect(
        self,
        take: Callable[[bytes], object],
        timeout_s: float | None,
        wanted: Callable[[str], bool],
    ) -> str | None:
        """Reads until the answer that is wanted arrives; None when ``timeout_s`` is over first.

        When the shell ends, its exit status is the answer.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        watched = [self._statuses, self._output, self._master]
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = readable(watched, left)
            if not ready or left == 0:
                return None
            if self._master in ready and not self._read_terminal():
                watched.remove(self._master)
            if self._statuses in ready:
                answers = self._read_answers()
                if answers is None:
                    found = self._end_status(left)
                else:
                    found = next((answer for answer in answers if wanted(answer)), None)
                if found is not None or answers is None:
                    # A command has written all it had to say before its status. How much that is
                    # has to be asked: a job in the background may go on writing for ever.
                    waiting = fcntl.ioctl(self._output, termios.FIONREAD, bytes(4))
                    self._take(take, int.from_bytes(waiting, sys.byteorder))
                    return found
            elif self._output in ready:
                self._take(take, _CHUNK)

    def _take(self, take: Callable[[bytes], object], most_bytes: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while most_bytes > 0 and (piece := os.read(self._output, min(most_bytes, _CHUNK))):
                take(piece)
                most_bytes -= len(piece)

    def _read_terminal(self) -> bytes:
        try:
            return os.read(self._master, _CHUNK)
        except OSError:  # the kernel's way to say that nobody has the terminal open any more
            return b""

    def _read_answers(self) -> list[str] | None:
        """The answers that have come; None when there will be no more of them."""
        data = os.read(self._statuses, _CHUNK)
        if not data:
            return None
        *answers, self._answers = (self._answers + data).split(b"\0")
        return [answer.decode(errors="replace") for answer in answers]

    def _end_status(self, timeout_s: float | None) -> str | None:
        """The exit status of the shell itself, or of what the user had it become by ``exec``."""
        try:
            return str(self._shell.wait(timeout_s))
        except subprocess.TimeoutExpired:
            return None

    def _abandon(self, take: Callable[[bytes], object]) -> None:
        """Interrupts what runs, and returns when the shell waits for a command, or is dead.

        A shell that is interrupted while it reads throws away what it has read. So it is asked for
        a sign again and again, and that sign is also what tells old answers from new ones.
        """
        self.interrupt()
        doubt, sign = self._doubts, f"s{self._doubts}"
        deadline = time.monotonic() + _GRACE_S
        with contextlib.suppress(LabError):
            while self.alive and time.monotonic() < deadline:
                self._send(sign, "")
                if self._collect(take, _ASK_AGAIN_S, lambda answer: answer == sign) is not None:
                    self._cleared = doubt
                    return
        self._shell.kill()
        self._shell.wait()

    def _relay(self, keys: int, screen: int) -> int:
        watched = [keys, self._master, self._statuses]
        while True:
            ready = readable(watched)
            if self._master in ready:
                data = self._read_terminal()
                if data:
                    write_all(screen, data)
                    continue
                watched.remove(self._master)
            if keys in ready:
                data = os.read(keys, _CHUNK)
                if data:
                    write_all(self._master, data)
                else:
                    watched.remove(keys)
            if self._statuses in ready:
                answers = self._read_answers()
                # A terminal hands its data on from a work queue, a moment after the writer's call.
                while readable([self._master], _TERMINAL_SETTLE_S):
                    data = self._read_terminal()
                    if not data:
                        break
                    write_all(screen, data)
                return int(answers[-1]) if answers else self._shell.wait()
