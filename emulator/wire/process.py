"""The process that impairs the links of a lab."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.kernel.netns import Netns
from emulator.native_parts import native_part
from emulator.runtime.ending import end_process, last_words
from emulator.wire import protocol

if TYPE_CHECKING:
    from emulator.runtime.namespace import Processes
    from emulator.wire.spec import Spec

_SPIN_NS = 60_000
"""A sleeping process is woken some tens of microseconds late: it sleeps less and spins the rest."""
_MEMORY_BYTES = 1 << 30
_ANSWER_S = 10.0
_DYING_S = 1.0


class WireProcess(Closing):
    """A running ``vnf-wire``.

    Args:
        processes: the lab's.
        netns: the namespace that holds the links' inner ends.
        log: takes what it prints.

    Raises:
        MachineError: it is not compiled.
        LabError: it does not start.
    """

    def __init__(self, processes: Processes, netns: Netns, log: Path) -> None:
        program = native_part("vnf-wire")
        self._log = log
        with ExitStack() as undo:
            self._shared = os.memfd_create("wire counters", os.MFD_CLOEXEC)
            undo.callback(os.close, self._shared)
            os.ftruncate(self._shared, protocol.SHARED_BYTES)
            self._memory = mmap.mmap(self._shared, protocol.SHARED_BYTES)
            undo.callback(self._memory.close)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs, log.open("ab") as output:
                ours.settimeout(_ANSWER_S)
                words = [
                    str(program),
                    *map(str, (theirs.fileno(), self._shared, _SPIN_NS, 1, _MEMORY_BYTES)),
                ]
                process = processes.popen_logged(
                    netns,
                    words,
                    output.fileno(),
                    pass_fds=(theirs.fileno(), self._shared),
                    stdin=subprocess.DEVNULL,
                )
            undo.callback(end_process, process)
            self._socket = ours
            self._process: subprocess.Popen[Any] = process
            self._resources = undo.pop_all()

    @property
    def pid(self) -> int:
        """The process, as the machine's own PID namespace numbers it."""
        return self._process.pid

    @property
    def shared_fd(self) -> int:
        """The memory of its counters and its state."""
        return self._shared

    def ask(self, request: bytes, *, where: str) -> None:
        """Have it do something, and wait until it is done.

        Raises:
            LabError: it has ended, or cannot do it.
        """
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(request) + 65536)
            self._socket.send(request)
            answer = self._socket.recv(protocol.ANSWER_BYTES)
        except OSError as error:
            raise LabError(self._ending() or "the wires do not answer", where=where) from error
        if not answer:
            raise LabError(self._ending() or "the wires have ended", where=where)
        number, message = protocol.read_answer(answer)
        if number:
            raise LabError(f"the wire cannot be made: {message}", where=where)

    def add(
        self,
        link: int,
        ports: tuple[str, str],
        mtu_bytes: int,
        specs: Sequence[Spec],
        *,
        where: str,
    ) -> None:
        """Serve a link between two interfaces of the namespace."""
        self.ask(protocol.add_request(link, ports, mtu_bytes, specs), where=where)

    def counters(self, number: int) -> protocol.WireCounters:
        """Those of a direction; its number is twice the link's, and one more for down."""
        return protocol.read_counters(memoryview(self._memory), number)

    def state(self) -> protocol.WireState:
        """What is not as it should be with it as a whole."""
        return protocol.read_state(memoryview(self._memory))

    def failure(self) -> str | None:
        """Why it does not run any more; None while it does."""
        status = self._process.poll()
        if status is None:
            return None
        how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
        return f"the process of the wires has ended {how}{last_words(self._log)}"

    def _ending(self) -> str | None:
        # A process that dies closes its socket before it can be asked how it died.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_S)
        return self.failure()

    def let_go(self) -> None:
        """Close our ends without ending it; what a forked process does."""
        self._socket.close()
        self._memory.close()
        os.close(self._shared)

    def close(self) -> None:
        """End it; what waits in the links is lost."""
        self._resources.close()
