"""Programs in nodes: started, watched and always ended, also when the emulator is interrupted."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import MachineError, MeasurementError, UsageError
from emulator.kernel.rtnl import link_states
from emulator.names import choice_hint
from emulator.traffic.path import NetworkPath, ProbeNode, resolve_path

if TYPE_CHECKING:
    from emulator.node import Node
    from emulator.plan.model import InterfacePlan

SPARE_S = 20.0
"""How much longer than it was told to a program may take: a busy machine starts it late."""

LISTENING_WITHIN_S = 20.0
_LOOK_S = 0.005
_QUIET_S = 0.1
_QUIET_WITHIN_S = 10.0
_SAID_CHARACTERS = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_STATES = {"tcp": "0A", "udp": "07"}
"""Of a socket that waits for connections, or for datagrams of anybody (net/tcp_states.h)."""


@dataclass(frozen=True)
class Finished:
    """A program that has ended by itself, with what it printed; colours are taken out."""

    status: int
    output: str
    errors: str

    def last_lines(self) -> str:
        """The last that it said, in one line: its errors, or else its output."""
        said = self.errors.strip() or self.output.strip() or "it said nothing"
        lines = (line.strip() for line in said.splitlines())
        return " / ".join(line for line in lines if line)[-_SAID_CHARACTERS:]


@contextmanager
def started(
    node: ProbeNode, command: Sequence[str], *, remedy: str, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A program that runs in the node until the end of the block.

    Args:
        remedy: what to do where there is no such program.
        options: as for ``subprocess.Popen``.

    Raises:
        MachineError: there is no such program.
    """
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process: subprocess.Popen[str] = node.popen(
            list(command), **{**streams, "text": True, "errors": "replace", **options}
        )
    except UsageError as error:
        raise MachineError(f"there is no {command[0]}", where=node.name, hint=remedy) from error
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(
    node: ProbeNode,
    command: Sequence[str],
    *,
    seconds: float,
    remedy: str,
    **options: Any,
) -> Finished:
    """Run a program in the node to its end; what its exit status means is for the caller to say.

    Args:
        seconds: how long it is meant to take.

    Raises:
        MachineError: there is no such program.
        MeasurementError: it did not end in time.
    """
    with started(node, command, remedy=remedy, **options) as process:
        return finish(process, node, command[0], seconds=seconds)


def finish(
    process: subprocess.Popen[str], node: ProbeNode, name: str, *, seconds: float
) -> Finished:
    """Wait for the end of a program that takes about so many seconds.

    Raises:
        MeasurementError: it did not end in time.
    """
    try:
        output, errors = process.communicate(timeout=seconds + SPARE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        said = Finished(-1, plain(output), plain(errors)).last_lines()
        raise MeasurementError(
            f"{name} did not end within {seconds + SPARE_S:.0f} s: {said}",
            where=node.name,
            hint="is the path up? try pingpair",
        ) from None
    return Finished(process.returncode, plain(output), plain(errors))


def plain(text: str | None) -> str:
    """Without the colours that a terminal would show."""
    return _COLOURS.sub("", text or "")


def failed(name: str, finished: Finished, node: ProbeNode, hint: str = "") -> MeasurementError:
    """The error of a tool that did not do its work, with the last that it said."""
    return MeasurementError(f"{name} failed: {finished.last_lines()}", where=node.name, hint=hint)


def way(source: ProbeNode, destination: ProbeNode) -> NetworkPath:
    """The way between two nodes, which this makes sure that there is.

    Afterwards the source knows the next hop's MAC address, so a tool's first packet need not wait.

    Raises:
        UsageError: the two are the same node.
        MeasurementError: there is no way between them.
    """
    if source.name == destination.name:
        raise UsageError("a tool sends from one node to another", where=source.name)
    return resolve_path(source, destination)


def await_port(
    node: ProbeNode,
    process: subprocess.Popen[str],
    name: str,
    port: int,
    protocol: Literal["tcp", "udp"],
    *,
    within_s: float = LISTENING_WITHIN_S,
) -> None:
    """Wait until a program has opened its port, without sending it anything.

    Raises:
        MeasurementError: it ended instead, or took too long.
    """
    deadline = time.monotonic() + within_s
    while not node.netns.run(is_open, port, protocol):
        if process.poll() is not None:
            output, errors = process.communicate()
            raise failed(name, Finished(process.returncode, plain(output), plain(errors)), node)
        if time.monotonic() > deadline:
            raise MeasurementError(
                f"{name} has not opened port {port} within {within_s:.0f} s",
                where=node.name,
            )
        time.sleep(_LOOK_S)


def is_open(port: int, protocol: Literal["tcp", "udp"]) -> bool:
    """Whether somebody waits at a port, in the network namespace of the calling thread."""
    wanted = f":{port:04X}"
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        for line in lines:
            _, local, _, state = line.split()[:4]
            if local.endswith(wanted) and state == _STATES[protocol]:
                return True
    return False


def must_be_free(node: ProbeNode, port: int, protocol: Literal["tcp", "udp"], name: str) -> None:
    """Raises ``UsageError`` where somebody waits at the port already: not our program answers."""
    if node.netns.run(is_open, port, protocol):
        raise UsageError(
            f"{protocol.upper()} port {port} is in use",
            where=node.name,
            hint=f"end what listens there, or give {name} another port",
        )


@dataclass(frozen=True)
class Arrived:
    """What an interface took in while something was going on; every frame counts, ARP too."""

    packets: int
    bytes: int
    dropped: int


class ArrivalCounter:
    """Counts what arrives at an interface, by the kernel's own counters.

    Args:
        interface: as the kernel names it.
    """

    def __init__(self, node: ProbeNode, interface: str) -> None:
        self._node, self._interface = node, interface
        self._before = self._now()

    def so_far(self) -> Arrived:
        """Since this was made."""
        now = self._now()
        return Arrived(*(after - before for after, before in zip(now, self._before, strict=True)))

    def when_quiet(self) -> Arrived:
        """The same once nothing has arrived for a while: what is on its way counts too."""
        deadline = time.monotonic() + _QUIET_WITHIN_S
        seen, seen_at = self.so_far(), time.monotonic()
        while time.monotonic() < min(deadline, seen_at + _QUIET_S):
            time.sleep(_LOOK_S)
            if (now := self.so_far()) != seen:
                seen, seen_at = now, time.monotonic()
        return seen

    def _now(self) -> tuple[int, int, int]:
        states = link_states(self._node.netns)
        if self._interface not in states:
            raise MeasurementError("its interface is gone", where=self._node.name)
        state = states[self._interface]
        return state.rx_packets, state.rx_bytes, state.rx_dropped


def choose_interfaces(
    node: Node, sends: str, receives: str, name: str
) -> tuple[InterfacePlan, InterfacePlan]:
    """The two interfaces of a node that a generator sends from and receives at.

    Args:
        sends, receives: by name; empty: the first one and the first other one.

    Raises:
        UsageError: there are no two, or the generator's folder is out of the node's sight.
    """
    if node.plan.container is not None:
        raise UsageError(
            f"{name} is on the machine, where a container does not see it",
            where=node.name,
            hint="use a host without a container",
        )
    known = {interface.name: interface for interface in node.plan.interfaces}
    if len(known) < 2:
        raise UsageError(
            f"{name} sends from one interface and receives at another, and there is "
            f"{'only one' if known else 'none'}",
            where=node.name,
            hint="link the node twice",
        )
    for wanted in (sends, receives):
        if wanted and wanted not in known:
            raise UsageError(
                f"there is no interface {wanted}", where=node.name, hint=choice_hint(wanted, known)
            )
    sends = sends or next(each for each in known if each != receives)
    receives = receives or next(each for each in known if each != sends)
    if sends == receives:
        raise UsageError(f"{name} cannot receive where it sends: {sends}", where=node.name)
    return known[sends], known[receives]
