"""The daemons of one lab's Open vSwitch, which know nothing of the machine's own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.errors import LabError, MachineError
from emulator.runtime.ending import end_process, last_lines, last_words
from emulator.switches.ovs_dpdk import SETTINGS, dpdk_environment, dpdk_switch, why_no_dpdk
from emulator.switches.ovs_machine import Programs, programs
from emulator.switches.ovsdb import Ovsdb, Row, insert, map_of, mutate, set_of

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.runtime.namespace import Processes

OVS_FOLDER = "ovs"
"""Of a lab's folder: where the sockets of its Open vSwitch are."""

_READY_S = 30.0
_POLL_S = 0.003
_UNKNOWN = {"iface_types": set_of(())}
_QUIET = ("-vsyslog:off", "-vconsole:info", "-vfile:off")


def environment(folder: Path) -> dict[str, str]:
    """What makes programs of Open vSwitch find the daemons whose sockets are in a folder."""
    return {name: str(folder) for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")}


class OvsDaemons(Closing):
    """``ovsdb-server`` and ``ovs-vswitchd`` in the network namespace of a lab's switches.

    Args:
        processes: the lab's.
        netns: that of its fabric.
        folder: takes their sockets, their database and what they print.
        settings: what they are told of DPDK and of the threads that poll; see ``ovs_dpdk``.

    Raises:
        MachineError: Open vSwitch is not installed, or its DPDK does not run here.
        LabError: they do not start.
    """

    def __init__(
        self,
        processes: Processes,
        netns: Netns,
        folder: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._processes = processes
        self._netns = netns
        self._programs: Programs = programs()
        self.folder = folder
        self.settings = {**(settings or {})}
        self.database = Ovsdb(folder / "db.sock")
        self._server: subprocess.Popen[Any] | None = None
        self._switch: subprocess.Popen[Any] | None = None
        folder.mkdir(exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> Path:
        """What ``ovs-vswitchd`` has printed."""
        return self.folder / "ovs-vswitchd.log"

    @property
    def pids(self) -> tuple[int, ...]:
        """The daemons, as the machine numbers them."""
        return tuple(each.pid for each in (self._server, self._switch) if each is not None)

    def start(self) -> None:
        """Starts those that do not run; the database and so the bridges are as they were.

        Raises:
            LabError: one of them does not start.
        """
        database = self.folder / "conf.db"
        if not database.exists():
            made = self._popen(
                "ovsdb-tool",
                self._programs.tool,
                "create",
                str(database),
                str(self._programs.schema),
            )
            if made.wait(_READY_S):
                raise self._failed_to_start("ovsdb-tool")
        if self._server is None or self._server.poll() is not None:
            self.halt()  # so that whatever the reason, everything is told anew
            remote = f"--remote=punix:{self.database.path}"
            self._server = self._popen(
                "ovsdb-server", self._programs.server, str(database), remote, "--pidfile"
            )
            self._await("ovsdb-server", self._server)
        if not self.database.select("Open_vSwitch", ["next_cfg"]):
            self.database.transact([insert("Open_vSwitch", {"next_cfg": 0}, "lab")])
        if self._switch is None or self._switch.poll() is not None:
            # Another one, that was started before, may have known other types of ports.
            forget = {"op": "update", "table": "Open_vSwitch", "where": [], "row": _UNKNOWN}
            self.database.transact([forget, *_settings_rows(self.settings)])
            switch = self._programs.switch
            if self._by_dpdk:
                switch = self._link_to_dpdk()
            self._switch = self._popen(
                "ovs-vswitchd", switch, f"unix:{self.database.path}", "--pidfile"
            )

    def tell(self, settings: Mapping[str, str]) -> None:
        """Other settings than those that it was started with.

        Raises:
            LabError: the database refuses them.
        """
        if settings != self.settings:
            _, number = self.change(_settings_rows(settings))
            self.settings = {**settings}  # those of the database, whatever comes next
            self.await_configured(number)

    def _link_to_dpdk(self) -> str:
        """A path of the program with DPDK that ends in the name ``ovs-appctl`` looks for."""
        program, link = dpdk_switch(self._programs.switch), self.folder / "ovs-vswitchd"
        assert program is not None  # or the settings would not ask for it
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        return str(link)

    @property
    def _by_dpdk(self) -> bool:
        return "dpdk-init" in self.settings

    def halt(self) -> None:
        """Ends ``ovs-vswitchd``; the database goes on."""
        if self._switch is not None:
            end_process(self._switch)

    def interface_types(self) -> list[str]:
        """The types of ports that this ``ovs-vswitchd`` knows.

        Raises:
            LabError: it ends before it says so.
        """
        deadline = time.monotonic() + _READY_S
        while not (
            types := self.database.select("Open_vSwitch", ["iface_types"])[0]["iface_types"]
        ):
            failure = self.failure()
            if failure is not None and self._by_dpdk:
                # Its last words are DPDK's whole usage.
                with self.log.open(errors="replace") as log:
                    reason = why_no_dpdk(log)
                if reason:
                    raise MachineError(f"DPDK does not start in Open vSwitch: {reason}")
            if failure is not None or time.monotonic() > deadline:
                raise LabError(failure or "ovs-vswitchd does not say what it can do")
            time.sleep(_POLL_S)
        return list(types)

    def failure(self) -> str | None:
        """Why frames are not forwarded; None while the daemons run."""
        for name, process in (("ovs-vswitchd", self._switch), ("ovsdb-server", self._server)):
            status = None if process is None else process.poll()
            if status is not None:
                how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
                return f"{name} has ended {how}{self._complaints(name)}"
        return None

    def configure(self, operations: Sequence[Row]) -> None:
        """Changes the database; returns when that is real.

        Raises:
            LabError: the database refuses it, or ``ovs-vswitchd`` does not do it.
        """
        self.await_configured(self.change(operations)[1])

    def change(self, operations: Sequence[Row]) -> tuple[list[Row], int]:
        """Changes the database.

        Returns:
            What each operation gives, and what :meth:`await_configured` waits for.

        Raises:
            LabError: the database refuses it, and is as it was.
        """
        counted = mutate("Open_vSwitch", None, ("next_cfg", "+=", 1))
        asked = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}
        *results, _, answer = self.database.transact([*operations, counted, asked])
        return results, answer["rows"][0]["next_cfg"]

    def await_configured(self, number: int) -> None:
        """Returns when a change of the database is real.

        Raises:
            LabError: ``ovs-vswitchd`` ends before, or takes longer than it ever should.
        """
        deadline = time.monotonic() + _READY_S
        while self.database.select("Open_vSwitch", ["cur_cfg"])[0]["cur_cfg"] < number:
            failure = self.failure()
            if failure is not None:
                raise LabError(failure)
            if time.monotonic() > deadline:
                raise LabError(f"ovs-vswitchd was not ready within {_READY_S:g} s")
            time.sleep(_POLL_S)

    def run(self, *command: str, text: str = "") -> str:
        """What one of the programs prints, run among the lab's processes.

        Raises:
            LabError: it fails; the message is its own.
        """
        process = self._processes.popen(
            self._netns,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            extra_env=environment(self.folder),
        )
        output, errors = process.communicate(text)
        if process.returncode:
            lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
            raise LabError(f"{Path(command[0]).name}: {lines[-1]}")
        return str(output)

    @property
    def ofctl(self) -> str:
        """The path of ``ovs-ofctl``."""
        return self._programs.ofctl

    def close(self) -> None:
        """Ends them."""
        for process in (self._switch, self._server):
            if process is not None:
                end_process(process)

    def _popen(self, name: str, *command: str) -> subprocess.Popen[Any]:
        if name != "ovsdb-tool":
            command = (*command, *_QUIET)
        surroundings = environment(self.folder)
        if self._by_dpdk:
            surroundings |= dpdk_environment(self.folder)
        log = os.open(
            self.folder / f"{name}.log",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o644,
        )
        try:
            return self._processes.popen_logged(
                self._netns,
                command,
                log,
                stdin=subprocess.DEVNULL,
                extra_env=surroundings,
            )
        finally:
            os.close(log)

    def _await(self, name: str, process: subprocess.Popen[Any]) -> None:
        """Returns when the server takes connections."""
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                self.database.select("Open_vSwitch", ["cur_cfg"])
                return
            except LabError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise self._failed_to_start(name) from None
            time.sleep(_POLL_S)

    def _complaints(self, name: str) -> str:
        """The last lines that a daemon printed, without what it says of everyday things."""
        lines = [line for line in last_lines(self.folder / f"{name}.log") if "|INFO|" not in line]
        return f": {lines[-1]}" if lines else ""

    def _failed_to_start(self, name: str) -> LabError:
        return LabError(f"{name} does not start{last_words(self.folder / f'{name}.log')}")


def _settings_rows(settings: Mapping[str, str]) -> list[Row]:
    gone = ("other_config", "delete", set_of(SETTINGS))
    return [
        mutate("Open_vSwitch", None, gone),
        mutate("Open_vSwitch", None, ("other_config", "insert", map_of(settings))),
    ]
