"""Another program in the place of an attached one, for a while.

The change is a single store in the kernel, so no packet goes without a program. Should our process
die meanwhile, the new program stays as long as the old one would have.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.kernel import libbpf
from emulator.kernel.bpf import BpfProgram
from emulator.kernel.libbpf import errno_text, last_error, library, read_info
from emulator.kernel.xdp import xdp_state

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns

_MOST_MAPS = 64
_MODES = {"native": libbpf.XDP_FLAGS_DRV_MODE, "generic": libbpf.XDP_FLAGS_SKB_MODE}


class Replacement(Closing):
    """A program that runs in the place of another one, which comes back on ``close``."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def close(self) -> None:
        self._undo.close()


def replace_on_link(link_id: int, program: BpfProgram, *, where: str) -> Replacement:
    """Replace the program on a link, whoever owns that.

    Args:
        where: the place that errors name.

    Raises:
        LabError: the link has gone, or does not take the program.
    """
    with ExitStack() as undo:
        # The link itself is not held on to: it would not end with its owner.
        with ExitStack() as opened:
            link = _open(opened, library().bpf_link_get_fd_by_id(link_id), where)
            info = libbpf.LinkInfo()
            read_info(link, info)
            before = _open(undo, library().bpf_prog_get_fd_by_id(info.prog_id), where)
            if library().bpf_link_update(link, program.fd, None) < 0:
                raise _refusal(where)
        undo.callback(_put_back, link_id, before)
        return Replacement(undo.pop_all())


def replace_unowned_xdp(
    program: BpfProgram, ifname: str, netns: Netns, *, where: str
) -> Replacement:
    """Replace the XDP program of an interface that hangs on no link, as that of DPDK's driver.

    Raises:
        LabError: there is none, or the kernel refuses.
    """
    with ExitStack() as undo:
        state = xdp_state(ifname, netns)
        if state.mode not in _MODES:
            raise LabError("there is no XDP program to replace", where=ifname)
        before = _open(undo, library().bpf_prog_get_fd_by_id(state.program_id), where)
        held = netns.copy()
        undo.callback(held.close)
        flags = _MODES[state.mode]
        if not netns.run(_exchange, ifname, flags, before, program.fd):
            raise _refusal(where)
        # Who has detached the program meanwhile, or taken the interface away, is not contradicted.
        undo.callback(held.run, _exchange, ifname, flags, program.fd, before)
        return Replacement(undo.pop_all())


def load_time_ns(program_id: int, *, where: str) -> int:
    """When a program was loaded, in ns of CLOCK_BOOTTIME.

    Raises:
        LabError: there is no such program any more.
    """
    with ExitStack() as opened:
        info = libbpf.ProgInfo()
        read_info(_open(opened, library().bpf_prog_get_fd_by_id(program_id), where), info)
        return int(info.load_time)


def map_ids(program_id: int, *, where: str) -> list[int]:
    """The numbers of the maps that a program uses.

    Raises:
        LabError: there is no such program any more.
    """
    with ExitStack() as opened:
        found = (ctypes.c_uint32 * _MOST_MAPS)()
        info = libbpf.ProgInfo(nr_map_ids=_MOST_MAPS, map_ids=ctypes.addressof(found))
        read_info(_open(opened, library().bpf_prog_get_fd_by_id(program_id), where), info)
        return list(found)[: info.nr_map_ids]


def _put_back(link_id: int, before: int) -> None:
    link = library().bpf_link_get_fd_by_id(link_id)
    if link >= 0:  # one that has gone meanwhile has taken the replacement with it
        library().bpf_link_update(link, before, None)
        os.close(link)


def _exchange(ifname: str, flags: int, before: int, after: int) -> bool:
    ifindex = int(ctypes.CDLL(None).if_nametoindex(ifname.encode()))
    size = ctypes.sizeof(libbpf.XdpAttachOpts)
    options = libbpf.XdpAttachOpts(sz=size, old_prog_fd=before)
    flags |= libbpf.XDP_FLAGS_REPLACE
    return int(library().bpf_xdp_attach(ifindex, after, flags, ctypes.byref(options))) == 0


def _open(undo: ExitStack, fd: int, where: str) -> int:
    if fd < 0:
        reason = errno_text(last_error())
        raise LabError(f"its program has gone: {reason}", where=where, hint="does it still run?")
    undo.callback(os.close, fd)
    return fd


def _refusal(where: str) -> LabError:
    return LabError(f"its program cannot be replaced: {errno_text(last_error())}", where=where)
