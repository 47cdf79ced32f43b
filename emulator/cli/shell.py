"""The interactive shell of a running lab: reads lines, carries them out, survives every mistake."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.cli import shell_format
from emulator.cli.outcome import Terminated, interrupts_go_to, report_bug, stops_held
from emulator.cli.shell_commands import COMMANDS
from emulator.cli.shell_vnf import is_for_vnf, run_for_vnf
from emulator.errors import BuildVnfError, LabError, TopologyError, UsageError
from emulator.names import suggestion

if TYPE_CHECKING:
    from emulator.network import Network
    from emulator.node import Node
    from emulator.plan.model import EndPlan
    from emulator.traffic.sniffer import Sniffer

_GRACE_S = 2.0


class Shell:
    """Commands for one lab.

    Args:
        net: the running network.
        interactive: whether a person types at a terminal. If not, Ctrl-C ends the program instead
            of the command, and the commands of nodes read nothing from our input.
    """

    def __init__(self, net: Network, *, interactive: bool) -> None:
        self.net = net
        self.interactive = interactive
        self.prompt = "vnf> "
        self.finished = False
        self.failed = False
        """Whether any line so far was not understood or could not be carried out."""
        self.typed_ahead = ""
        """What was typed while a node's command had the terminal, and it did not read."""
        self.captures: dict[str, Sniffer] = {}
        """Those in the background, by what they are called in a list of them."""
        self._told: dict[str, str] = {}
        self._told_links: set[tuple[str, str]] = set()
        # Those of the start have been told with it.
        self._told_notes = set(net.notes)
        self._names: dict[str, Any] = {}
        self._sources: list[Path] = []

    def run(self, lines: Iterable[str]) -> int:
        """Carry out lines until they end or one of them leaves the shell.

        Returns:
            The exit code: 0, or for a script 1 when one of its lines had a mistake in it. The
            exit status of a node's own command does not count.
        """
        self.tell_failures()
        for line in lines:
            self.run_line(line)
            if self.finished:
                break
        return 1 if self.failed and not self.interactive else 0

    def run_line(self, line: str) -> None:
        """Carry out one line; whatever is wrong with it is printed and the shell goes on.

        Before and after it, nodes are named that have failed since, and wires.
        """
        try:
            self.tell_failures()
            self._attempt(line)
            self.tell_failures()
        except Terminated:
            raise
        except KeyboardInterrupt:
            if not self.interactive:
                raise
            self.print("\n*** Interrupted")
        self.flush()

    def _attempt(self, line: str) -> None:
        try:
            self.dispatch(line)
        except BuildVnfError as error:
            self._fail(error)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours must not cost the user the lab
            self.failed = True
            self.flush()
            report_bug(error)

    def dispatch(self, line: str) -> None:
        """Carry out one line.

        Raises:
            UsageError: the line is not understood.
            LabError: the lab could not do it.
        """
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            return
        first, rest = words[0], words[1].rstrip() if len(words) > 1 else ""
        if first in COMMANDS:
            COMMANDS[first].run(self, rest)
        elif first in self._node_names():
            self._node_command(first, rest)
        else:
            raise UsageError(f"unknown command: {first}", hint=self.suggest(first))

    def failures(self) -> dict[str, str]:
        """The nodes that have failed, and why."""
        found = {}
        for node in self.net.nodes:
            if node.kind in ("host", "router") and node.plan.container is None:
                continue
            # Where the process has ended it is collected now, and half of that is no good.
            with stops_held():
                failure = node.failure
            if failure is not None:
                found[node.name] = failure
        return found

    def tell_failures(self) -> None:
        """Print which nodes have failed since this was done last."""
        try:
            # First of all this takes note of what the lab's owner has changed.
            self._tell_links()
            self._tell_notes()
            failures = self.failures()
        except LabError:
            return  # the lab has ended, which is told elsewhere
        for name, reason in failures.items():
            if self._told.get(name) != reason:
                self.flush()
                controller = self.net[name].plan.controller
                hint = (
                    "start it: switches go on calling, and are controlled once it answers"
                    if controller is not None and controller.kind in ("remote", "manual")
                    else f"{name} restart starts it anew"
                )
                sys.stderr.write(f"*** {name} failed: {reason}\n    hint: {hint}\n")
                sys.stderr.flush()
        self._told = failures

    def _tell_links(self) -> None:
        """Print what has happened to the wires, and to schedules, since this was done last."""
        found = []
        failure = self.net.wires_failure
        if failure is not None:
            hint = "wires restart starts them anew; until then impaired links are down"
            found.append(("wires", failure, hint))
        for run in self.net.schedules:
            found += [(run.name, str(each), "") for each in run.failures]
            # A script rests on what its schedule was to do.
            self.failed |= bool(run.failures)
            if run.finished and run.late_steps:
                text = f"{run.late_steps} steps came late: the lab was busy, or the machine"
                found.append((run.name, text, ""))
        for name, reason, hint in found:
            if (name, reason) not in self._told_links:
                self.flush()
                sys.stderr.write(f"*** {name} failed: {reason}\n")
                if hint:
                    sys.stderr.write(f"    hint: {hint}\n")
                sys.stderr.flush()
        self._told_links = {(name, reason) for name, reason, _ in found}

    def _tell_notes(self) -> None:
        """Print what should be known of the lab since this was done last."""
        notes = self.net.notes
        for note in notes:
            if note not in self._told_notes:
                self.tell(note)
        self._told_notes = set(notes)

    def _node_command(self, name: str, text: str) -> None:
        if not text:
            raise UsageError(
                "a command for the node is missing", hint=f"for example: {name} ip addr"
            )
        if is_for_vnf(self.net[name], text.split(maxsplit=1)):
            try:
                words = shlex.split(text, comments=True)
            except ValueError as error:
                raise UsageError(str(error).lower(), where=name) from error
            answer = run_for_vnf(self.net[name], words)
            if answer:
                self.print(answer)
            return
        self.run_on_node(name, text)

    def run_on_node(self, name: str, text: str, *, echo: bool = True) -> None:
        """Run a command on a node; the names of nodes in it stand for their addresses.

        Args:
            echo: whether the terminal shows what is typed.
        """
        command = self.with_addresses(text)
        self.flush()
        node = self.net[name]
        if not self.interactive:
            node.interact(command, echo=echo)
            return
        # A Ctrl-C that is typed arrives as a key; this is for one that is sent as a signal.
        with interrupts_go_to(lambda _signum: node.interrupt()):
            node.interact(command, echo=echo, on_unread=self._type_ahead)

    def _type_ahead(self, typed: str) -> None:
        self.typed_ahead += typed

    def with_addresses(self, text: str) -> str:
        """A command in which names of nodes behind its first word stand for their addresses."""
        names = self._node_names()
        plan = self.net.plan
        return shell_format.substitute_addresses(
            # An app container has the address of its host.
            text,
            lambda word: plan.address_of(plan.node(word).host or word) if word in names else None,
        )

    def node(self, name: str, where: str) -> Node:
        """The node of that name.

        Args:
            name: the name the user gave.
            where: the command it was given to, for the error.

        Raises:
            UsageError: there is none.
        """
        names = self._node_names()
        if name not in names:
            raise UsageError(
                f"no node {name!r}", where=where, hint=suggestion(name, names) or "see nodes"
            )
        return self.net[name]

    def hosts(self, where: str) -> list[Node]:
        """The hosts with an address, two or more.

        Args:
            where: the command that needs them, for the error.

        Raises:
            UsageError: there are fewer.
        """
        hosts = [host for host in self.net.hosts if host.IP() is not None]
        if len(hosts) < 2:
            raise UsageError("this lab has fewer than two hosts with an address", where=where)
        return hosts

    def ends_up(self) -> set[EndPlan]:
        """The ends of links that carry packets, as the kernel and the VNFs tell."""
        from emulator.kernel.rtnl import link_states

        # All switches share one namespace: it is asked once.
        states = {node.netns: link_states(node.netns) for node in self.net.nodes}
        plan = self.net.plan
        joined = {
            end
            for link in plan.links
            for end in (link.a, link.b)
            if link.kind == "memif" and self._joined(end)
        }
        return joined | {
            end
            for link in plan.links
            for end in (link.a, link.b)
            if (state := states[self.net[end.node].netns].get(plan.interface(end).kernel_name))
            and state.operational
        }

    def _joined(self, end: EndPlan) -> bool:
        vnf = self.net[end.node].vnf
        return vnf is not None and vnf.failure() is None and end.interface not in vnf.apart()

    def python_names(self) -> dict[str, Any]:
        """What ``py`` and ``px`` know by name."""
        return {**{node.name: node for node in self.net.nodes}, "net": self.net}

    def evaluate(self, text: str, mode: Literal["eval", "exec"]) -> None:
        """Evaluate or execute Python in which ``net`` and the nodes are names; print the value.

        Raises:
            UsageError: the code raised an error of any kind.
        """
        where = "py" if mode == "eval" else "px"
        self._names.update(self.python_names())
        try:
            if mode == "exec":
                exec(compile(text, "<shell>", "exec"), self._names)
                return
            value = eval(compile(text, "<shell>", "eval"), self._names)
        except TopologyError as error:
            raise TopologyError(error.problems, where=where) from error
        except BuildVnfError as error:
            raise UsageError(error.message, where=where, hint=error.hint) from error
        # What the user wrote may raise anything, exit() included.
        except (Exception, SystemExit) as error:
            raise UsageError(f"{type(error).__name__}: {error}", where=where) from error
        if value is not None:
            self.print(value if isinstance(value, str) else repr(value))

    def source(self, path: Path) -> None:
        """Carry out the lines of a file; mistakes in them are printed and the rest still runs.

        Raises:
            UsageError: the file cannot be read, or sources itself.
        """
        path = path.expanduser().resolve()
        if path in self._sources:
            raise UsageError("the file sources itself", where=str(path))
        try:
            lines = path.read_text(errors="surrogateescape").splitlines()
        except OSError as error:
            raise UsageError(error.strerror or str(error), where=str(path)) from error
        self._sources.append(path)
        try:
            for line in lines:
                self._attempt(line)
                if self.finished:
                    break
        finally:
            self._sources.pop()

    def host_command(self, command: str) -> None:
        """Run a shell command on this machine; it never takes the lab with it, but ends with us."""
        self.flush()
        # At a terminal the command shares it with us. Elsewhere it is in a group of its own, so
        # that it ends together with what it started.
        process = None
        try:
            with stops_held():
                process = subprocess.Popen(
                    command,
                    shell=True,
                    stdin=None if self.interactive else subprocess.DEVNULL,
                    process_group=None if self.interactive else 0,
                )
            with contextlib.ExitStack() as stack:
                if self.interactive:
                    # The terminal has sent the Ctrl-C to the command, which decides what it means.
                    stack.enter_context(interrupts_go_to(lambda _signum: None))
                process.wait()
        except KeyboardInterrupt as stop:
            if process is not None:
                signum = stop.signum if isinstance(stop, Terminated) else signal.SIGINT
                self._end(process, signum)
            raise

    def _end(self, process: subprocess.Popen[bytes], signum: int) -> None:
        def send(number: int) -> None:
            with contextlib.suppress(ProcessLookupError):
                if self.interactive:
                    os.kill(process.pid, number)
                else:
                    os.killpg(process.pid, number)

        send(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        send(signal.SIGKILL)
        process.wait()

    def suggest(self, word: str) -> str:
        """What the user may have meant by a word that is no command."""
        return suggestion(word, [*COMMANDS, *self._node_names()]) or "see help"

    def print(self, text: str) -> None:
        """Print lines of output."""
        sys.stdout.write(text + "\n")

    def tell(self, text: str) -> None:
        """Print a line to stderr, behind what was printed so far."""
        self.flush()
        sys.stderr.write(f"*** {text}\n")
        sys.stderr.flush()

    def flush(self) -> None:
        """Write out what was printed, before a process of the user's prints too."""
        sys.stdout.flush()

    def _fail(self, error: BuildVnfError) -> None:
        self.failed = True
        self.tell(str(error))

    def _node_names(self) -> list[str]:
        return [node.name for node in self.net.plan.nodes]
