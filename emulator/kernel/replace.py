"""Another program in the place of an attached one, for a while."""

from __future__ import annotations

import os
from contextlib import ExitStack

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.kernel import libbpf
from emulator.kernel.bpf import BpfProgram
from emulator.kernel.libbpf import errno_text, last_error, library, read_info


class Replacement(Closing):
    """A program that runs in the place of the one on a link, which comes back on ``close``.

    The change is a single store in the kernel, so no packet goes without a program. Should our
    process die, the replacement stays, as long as the link does.

    Args:
        link_id: the link, whoever owns it.
        program: what is to run.
        where: the place that errors name.

    Raises:
        LabError: the link has gone, or does not take the program.
    """

    def __init__(self, link_id: int, program: BpfProgram, *, where: str) -> None:
        with ExitStack() as undo:
            self._link = _open(library().bpf_link_get_fd_by_id(link_id), where)
            undo.callback(os.close, self._link)
            info = libbpf.LinkInfo()
            read_info(self._link, info)
            self._before = _open(library().bpf_prog_get_fd_by_id(info.prog_id), where)
            undo.callback(os.close, self._before)
            if library().bpf_link_update(self._link, program.fd, None) < 0:
                reason = errno_text(last_error())
                raise LabError(f"its program cannot be replaced: {reason}", where=where)
            # A link that has gone meanwhile has taken the replacement with it.
            undo.callback(library().bpf_link_update, self._link, self._before, None)
            self._undo = undo.pop_all()

    def close(self) -> None:
        self._undo.close()


def load_time_ns(program_id: int, *, where: str) -> int:
    """When a program was loaded, in ns of CLOCK_BOOTTIME.

    Raises:
        LabError: there is no such program any more.
    """
    fd = _open(library().bpf_prog_get_fd_by_id(program_id), where)
    try:
        info = libbpf.ProgInfo()
        read_info(fd, info)
        return int(info.load_time)
    finally:
        os.close(fd)


def _open(fd: int, where: str) -> int:
    if fd < 0:
        reason = errno_text(last_error())
        raise LabError(f"its program has gone: {reason}", where=where, hint="does it still run?")
    return fd
