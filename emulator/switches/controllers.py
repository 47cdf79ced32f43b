"""The controllers of one lab: processes in its fabric, or a way to one that the machine has."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing, close_at_once
from emulator.errors import BuildVnfError, LabError, MachineError
from emulator.plan.model import NodePlan, Plan
from emulator.plan.switch_model import ControllerPlan
from emulator.runtime.ending import end_process, last_words
from emulator.switches.controller_programs import command_of, end_group
from emulator.switches.ovs_daemons import OVS_FOLDER, environment
from emulator.switches.ovs_machine import find_program

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.runtime.namespace import Processes
    from emulator.switches.ovs import Ovs
    from emulator.switches.relay import Relay

_HERE = Path(__file__).parent
_RUNNER = _HERE / "run_app.py"
_LEARNING = _HERE / "learning_app.py"
_POLL_S = 0.01
_AT_ONCE = 16
_LISTENING = "0A"
"""The state of a socket in the kernel's tables."""

_VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
_INSTALL = {
    "os-ken": "scripts/bootstrap --with ovs, or pip install os-ken",
    "ovs-testcontroller": "scripts/bootstrap --with ovs, or: apt-get install "
    "openvswitch-testcontroller",
}

OnFailed = Callable[[str, BuildVnfError], None]


def log_of(folder: Path, name: str) -> Path:
    """What a controller has printed.

    Args:
        folder: the lab's.
    """
    # In a folder of their own: the user has named them, and may have named one as a file of ours.
    return folder / "controllers" / f"{name}.log"


def check_controllers(plan: Plan) -> None:
    """Whether the controllers of a plan can be run here.

    Raises:
        MachineError: what runs one of them is not installed.
    """
    for node in plan.controllers():
        kind = node.controller.kind if node.controller is not None else "none"
        if node.controller is not None and kind == "command":
            command_of(node.controller, node.name)
        if kind in ("learning", "app") and importlib.util.find_spec("os_ken") is None:
            raise _lacking(node, "os-ken", f"a controller of the kind {kind}")
        if kind == "ovs" and find_program("ovs-testcontroller") is None:
            raise _lacking(node, "ovs-testcontroller", "a controller of the kind ovs")


def _lacking(node: NodePlan, what: str, why: str) -> MachineError:
    text = f"{what} is not installed, which runs {why}"
    return MachineError(text, where=node.name, hint=_INSTALL[what])


@dataclass
class _Running(Closing):
    """One controller: a process with its log, or a relay; neither for one that is nothing."""

    plan: ControllerPlan
    process: subprocess.Popen[Any] | None = None
    log: Path | None = None
    relay: Relay | None = None

    def failure(self) -> str | None:
        """What became of its process; None while it runs."""
        status = None if self.process is None else self.process.poll()
        if status is None:
            return None
        how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
        words = "" if self.log is None else last_words(self.log)
        return f"the controller has ended {how}{words}"

    def close(self) -> None:
        if self.process is not None:
            # Only programs that we know are known to start no others.
            (end_group if self.plan.kind == "command" else end_process)(self.process)
        if self.relay is not None:
            self.relay.close()


class Controllers:
    """The controllers of a lab we own.

    Args:
        processes: the lab's.
        netns: that of its fabric.
        folder: the lab's, which takes what they print.
        on_failed: told of each that does not do its work at the start; what it raises ends the
            start.
    """

    def __init__(
        self, processes: Processes, netns: Netns, folder: Path, on_failed: OnFailed
    ) -> None:
        self._processes = processes
        self._netns = netns
        self._folder = folder
        self._on_failed = on_failed
        self._running: dict[str, _Running] = {}
        self._plan: Plan | None = None

    def at_work(self, ovs: Ovs) -> set[str]:
        """The names of those that do their work, as the plan that was applied last has it."""
        return {name for name, running in self._running.items() if self._works(name, running, ovs)}

    def _works(self, name: str, running: _Running, ovs: Ovs) -> bool:
        if self._plan is None or running.failure() is not None:
            return False
        # As long as the switches are down, nobody is to blame for being without them.
        return ovs.failure() is not None or not self._waiting(name, self._plan, ovs)

    def apply(self, plan: Plan) -> set[str]:
        """Have the controllers of a plan; those that are new are under way when it returns.

        The fabric's loopback device has to be up.

        Returns:
            The names of those that are new.

        Raises:
            LabError: one of them cannot be begun.
        """
        new = set()
        wanted = {node.name: node.controller for node in plan.controllers() if node.controller}
        for name in [name for name, each in self._running.items() if wanted.get(name) != each.plan]:
            self._running.pop(name).close()
        for name, described in wanted.items():
            if name not in self._running:
                self._running[name] = self._begin(name, described)
                new.add(name)
        return new

    def await_listening(self) -> None:
        """Returns when every process listens; one that ends before is told of.

        So that switches find them at the first call: they wait a second until the next.
        """
        for running in self._running.values():
            deadline = time.monotonic() + running.plan.wait_s
            while running.process is not None and running.failure() is None:
                if _listens(running.process.pid, running.plan.port):
                    break
                if time.monotonic() > deadline:
                    break  # whoever waits for its switches tells of it
                time.sleep(_POLL_S)

    def await_connected(self, plan: Plan, ovs: Ovs, names: Collection[str]) -> None:
        """Returns when controllers have their switches; those that have not are told of.

        Args:
            names: of those to wait for. One that has ended before is no reason to refuse a change
                that it has nothing to do with.

        Raises:
            BuildVnfError: what ``on_failed`` raises.
        """
        self._plan = plan
        began = time.monotonic()
        for name, running in self._running.items():
            while name in names and running.plan.kind != "manual":
                failure, away = running.failure(), []
                if failure is None:
                    away = self._waiting(name, plan, ovs)
                    if not away:
                        break
                if failure is not None or time.monotonic() - began > running.plan.wait_s:
                    self._on_failed(name, _unconnected(name, running, failure, away))
                    break
                time.sleep(_POLL_S)

    def failure(self, name: str) -> str | None:
        """What became of a controller's process; None while it runs, or when it has none."""
        running = self._running.get(name)
        return None if running is None else running.failure()

    def forget_ready(self) -> None:
        """Take no switch for one that knows what to do: all of them begin anew."""
        for name in self._running:
            self._clear(name)

    def restart(self, plan: Plan, name: str) -> None:
        """End a controller, if it runs, and begin it anew."""
        running = self._running.pop(name, None)
        if running is not None:
            running.close()
        self.apply(plan)
        self.await_listening()

    def describe(self) -> dict[str, Any]:
        """What another process has to know of them."""
        return {
            name: {"pid": running.process.pid}
            for name, running in self._running.items()
            if running.process is not None
        }

    def close(self) -> None:
        """Ends them all."""
        running = list(self._running.values())
        self._running.clear()
        close_at_once([each.close for each in running], _AT_ONCE)

    def let_go(self) -> None:
        """Closes our copies; what a forked process does."""
        for running in self._running.values():
            if running.relay is not None:
                running.relay.let_go()

    def _begin(self, name: str, plan: ControllerPlan) -> _Running:
        if plan.kind in ("none", "manual"):
            return _Running(plan)
        if plan.kind == "remote":
            # It brings asyncio along, which hardly any lab needs.
            from emulator.switches.relay import Relay

            assert plan.relay_port is not None
            try:
                return _Running(
                    plan, relay=Relay(self._netns, plan.relay_port, (plan.ip, plan.port))
                )
            except LabError as error:
                error.where = name
                raise
        log = log_of(self._folder, name)
        self._clear(name)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        # Controllers may come before the bridges' daemons, and have their sockets there as well.
        sockets = self._folder / OVS_FOLDER
        sockets.mkdir(exist_ok=True)
        try:
            process = self._processes.popen_logged(
                self._netns,
                _command(plan, name),
                output,
                cwd=plan.folder or os.getcwd(),
                stdin=subprocess.DEVNULL,
                extra_env={
                    **environment(sockets),
                    "PYTHONUNBUFFERED": "1",
                    "VNF_READY_FOLDER": str(self._ready_folder(name)),
                },
            )
        except OSError as error:
            raise _not_begun(plan, name, error) from error
        finally:
            os.close(output)
        return _Running(plan, process, log)

    def _clear(self, name: str) -> None:
        self._ready_folder(name).mkdir(exist_ok=True, parents=True)
        for known in self._ready_folder(name).iterdir():
            known.unlink()

    def _ready_folder(self, name: str) -> Path:
        return log_of(self._folder, name).with_name(f"{name}.ready")

    def _waiting(self, name: str, plan: Plan, ovs: Ovs) -> list[str]:
        """The switches that a controller is still to have."""
        if self._running[name].plan.kind != "learning":
            return ovs.apart(plan, name, now=True)
        # Our own says of each when it has been told what to do, which is more.
        ready = {path.name for path in self._ready_folder(name).iterdir()}
        wanted = {
            node.name: node.switch.ovs
            for node in plan.switches()
            if node.switch and node.switch.ovs and name in node.switch.ovs.controllers
        }
        return [switch for switch, each in wanted.items() if each.dpid not in ready]


def _not_begun(plan: ControllerPlan, name: str, error: OSError) -> MachineError:
    what = " ".join(plan.command) if plan.kind == "command" else f"a controller, {plan.kind}"
    # Either the program is none, or what its first line names is not there.
    hint = "is it a program, or a script whose first line (#!) names what runs it?"
    return MachineError(f"{what} cannot be started: {error.strerror}", where=name, hint=hint)


def _command(plan: ControllerPlan, name: str) -> list[str]:
    if plan.kind == "command":
        return command_of(plan, name)
    if plan.kind == "ovs":
        program = find_program("ovs-testcontroller")
        if program is None:
            raise MachineError(
                "there is no ovs-testcontroller", hint=_INSTALL["ovs-testcontroller"]
            )
        target = f"ptcp:{plan.port}:127.0.0.1"
        versions = (
            ()
            if any(each.startswith(("-O", "--proto")) for each in plan.options)
            else (
                "-O",
                _VERSIONS,
            )
        )
        return [program, target, "-vsyslog:off", "-vconsole:info", *versions, *plan.options]
    apps = plan.apps if plan.kind == "app" else (str(_LEARNING),)
    listen = ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(plan.port)]
    # -P: what stands beside the program is not to be taken for packages of the same names.
    return [sys.executable, "-P", str(_RUNNER), *listen, *plan.options, *apps]


def _listens(pid: int, port: int) -> bool:
    """Whether somebody listens at a TCP port of the network namespace that a process lives in."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:  # it has just ended, or the kernel has no IPv6
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False


def _unconnected(name: str, running: _Running, failure: str | None, away: list[str]) -> LabError:
    if failure is not None:
        return LabError(failure, where=name)
    plan, who = running.plan, ", ".join(away) or "a switch"
    if plan.kind == "remote":
        return LabError(
            f"no controller answered at {plan.ip}:{plan.port} within {plan.wait_s:g} s: "
            f"{who} could not connect",
            where=name,
            hint="start it first, or give a longer wait_s; "
            'on_failure="keep" (--on-failure keep) goes on without',
        )
    words = "" if running.log is None else last_words(running.log)
    hint = "do their protocols agree?"
    if plan.kind == "command":
        hint = f"does it listen at port {plan.port}, and do their protocols agree?"
    text = f"{who} could not connect to it within {plan.wait_s:g} s{words}"
    return LabError(text, where=name, hint=hint)
