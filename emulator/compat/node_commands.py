"""What Mininet's nodes do with commands."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from emulator.compat.growth import Living
from emulator.compat.mininet.log import info
from emulator.compat.under_way import UnderWay
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import LabError


class NodeCommands(Living):
    """The part of a node that is about commands.

    Attributes:
        lastCmd: the last command.
    """

    lastCmd: str | None = None
    execed = False
    _under_way: UnderWay | None = None
    _background_pid: int | None = None

    def cmd(self, *args: Any, verbose: bool = False, printPid: bool = False) -> str:
        """Runs a command line in the node's shell; returns what it printed, both streams.

        The shell is one for the life of the node: ``cd``, variables and jobs carry over. Several
        arguments are joined by spaces.
        """
        command = command_line(args)
        if self.waiting:
            raise LabError("a command is under way", where=self.name, hint="waitOutput first")
        if verbose:
            info(f"*** {self.name} : {args}\n")
        text = self.living().cmd(command)
        self._note(command)
        if verbose:
            info(text)
        return text

    def cmdPrint(self, *args: Any) -> str:
        """As :meth:`cmd`, and shows the command and what it printed."""
        return self.cmd(*args, verbose=True)

    def sendCmd(self, *args: Any, printPid: bool = True) -> None:
        """Begins a command; :meth:`monitor` and :meth:`waitOutput` give what it prints."""
        if self.waiting:
            raise LabError("a command is under way", where=self.name, hint="waitOutput first")
        self.lastCmd = command_line(args)
        self._background_pid = None
        self._under_way = UnderWay(self.living(), self.lastCmd)

    def monitor(self, timeoutms: float | None = None, findPid: bool = True) -> str:
        """What the command under way has printed since it was asked last; waits for something.

        Args:
            timeoutms: at most so long; without, until there is something.
        """
        if self._under_way is None:
            raise LabError("no command is under way", where=self.name, hint="sendCmd first")
        text, ended = self._under_way.read(timeoutms)
        if ended:
            self._finish()
        return text

    def waitOutput(self, verbose: bool = False, findPid: bool = True) -> str:
        """Waits for the end of the command under way; what it printed since it was asked last."""
        pieces = []
        while self.waiting:
            pieces.append(self.monitor())
            if verbose:
                info(pieces[-1])
        return "".join(pieces)

    def waitReadable(self, timeoutms: float | None = None) -> bool:
        """Waits until the command under way has printed something, or has ended."""
        return self._under_way is None or self._under_way.readable(timeoutms)

    def sendInt(self, intr: str = "\x03") -> None:
        """Interrupts the command under way, as Ctrl-C does."""
        if intr != "\x03":
            raise UnsupportedError("only Ctrl-C can be sent", where=self.name)
        self.living().interrupt()

    @property
    def waiting(self) -> bool:
        """Whether a command that was sent has not ended."""
        return self._under_way is not None

    @property
    def stdout(self) -> Any:
        """What can be polled for the output of the command under way."""
        if self._under_way is None:
            raise LabError("no command is under way", where=self.name, hint="sendCmd first")
        return self._under_way.output

    @property
    def lastPid(self) -> int | None:
        """The process of the command under way, or of the last one in the background.

        The number is that of the node's own commands, as in ``kill``: a lab numbers its processes.
        """
        if self._under_way is not None:
            import psutil

            children = psutil.Process(self.pid).children()
            return _number_inside(children[-1].pid) if children else None
        return self._background_pid

    def popen(self, *args: Any, **kwargs: Any) -> subprocess.Popen[Any]:
        """Starts a program in the node, as ``subprocess.Popen`` does.

        Its output goes to pipes unless another place is given.
        """
        command = args[0] if len(args) == 1 else [str(arg) for arg in args]
        if kwargs.get("shell") and not isinstance(command, str):
            command = " ".join(map(str, command))
        elif not isinstance(command, str):
            command = [str(word) for word in command]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return self.living().popen(command, **options)

    def pexec(self, *args: Any, **kwargs: Any) -> tuple[str, str, int]:
        """Runs a program in the node to its end: its output, its errors, its exit status."""
        process = self.popen(*args, stdin=subprocess.PIPE, **kwargs)
        out, err = process.communicate()
        return (
            out.decode(errors="replace"),
            "" if err is None else err.decode(errors="replace"),
            process.wait(),
        )

    @property
    def pid(self) -> int:
        """The process of the node's shell, whose namespaces are the node's."""
        return self.living().shell_pid

    @property
    def shell(self) -> Any:
        """Something while the node lives."""
        return self.engine_node

    def _note(self, command: str) -> None:
        self.lastCmd = command
        if command.rstrip().endswith("&") and not command.rstrip().endswith("&&"):
            pid = self.living().cmd("echo $!").strip()
            self._background_pid = int(pid) if pid.isdecimal() else None

    def _finish(self) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.close()
        assert self.lastCmd is not None
        self._note(self.lastCmd)


def command_line(args: tuple[Any, ...]) -> str:
    """The command line that the arguments of ``cmd`` make."""
    words = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    return " ".join(map(str, words))


def _number_inside(pid: int) -> int | None:
    """What a process of the lab is numbered in the lab; None when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    numbers = next(line for line in lines if line.startswith("NSpid:"))
    return int(numbers.split()[-1])
