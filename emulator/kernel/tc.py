"""BPF programs where packets enter and leave the network stack at an interface.

By tcx links where the kernel has them (Linux 6.6): they end with our descriptors, and come before
every filter that is there already. Else by a filter of a clsact qdisc.
"""

from __future__ import annotations

import ctypes
import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from emulator.closing import Closing
from emulator.errors import LabError
from emulator.kernel import libbpf
from emulator.kernel.libbpf import errno_text, last_error, library, refused
from emulator.kernel.link import BpfLink

if TYPE_CHECKING:
    from emulator.kernel.bpf import BpfProgram
    from emulator.kernel.netns import Netns

Direction = Literal["ingress", "egress"]
Mechanism = Literal["tcx", "clsact"]

_ATTACH_TYPES: dict[Direction, int] = {"ingress": 46, "egress": 47}
_PARENTS: dict[Direction, int] = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_NO_TCX = (errno.EINVAL, errno.EOPNOTSUPP)
_ETH_P_ALL = 3
_PRIORITY, _HANDLE = 7, 0x7461
"""Ours alone, so that nobody else's filter is taken away with it."""


def attach_tc(
    program: BpfProgram,
    interface: str,
    netns: Netns,
    direction: Direction,
    *,
    mechanism: Mechanism | None = None,
    priority: int = _PRIORITY,
) -> Closing:
    """Run a program on every packet that enters or leaves the stack, until the result is closed.

    Args:
        program: of the type ``tc``; it returns ``TC_ACT_UNSPEC`` to let a packet go on.
        mechanism: how; the best that the kernel has by default.
        priority: of a filter of a clsact qdisc: those with lower numbers come first, and there can
            be one of ours with each.

    Raises:
        LabError: there is no such interface, or the kernel refuses.
        MachineError: we lack the right.
    """
    return netns.run(_attach, program, interface, netns, direction, mechanism, priority)


def _attach(
    program: BpfProgram,
    interface: str,
    netns: Netns,
    direction: Direction,
    mechanism: Mechanism | None,
    priority: int,
) -> Closing:
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        raise LabError("there is no such interface", where=interface) from None
    if mechanism != "clsact":
        options = libbpf.LinkCreateOpts(sz=ctypes.sizeof(libbpf.LinkCreateOpts))
        fd = library().bpf_link_create(
            program.fd, index, _ATTACH_TYPES[direction], ctypes.byref(options)
        )
        if fd >= 0:
            return BpfLink(fd)
        if last_error() == errno.EPERM:
            raise refused("no program can be attached", errno.EPERM, where=interface)
        if mechanism == "tcx" or last_error() not in _NO_TCX:
            reason = errno_text(last_error())
            raise LabError(f"no program can be attached: {reason}", where=interface)
    return _Filter(program, interface, index, netns, direction, priority)


class _Filter(Closing):
    """A filter of a clsact qdisc, and the qdisc if there was none; made inside the namespace."""

    def __init__(
        self,
        program: BpfProgram,
        interface: str,
        index: int,
        netns: Netns,
        direction: Direction,
        priority: int,
    ) -> None:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        filter_ = {
            "parent": _PARENTS[direction],
            "prio": priority,
            "handle": _HANDLE,
            "protocol": _ETH_P_ALL,
        }
        with ExitStack() as undo, IPRoute() as routes:
            held = netns.copy()
            undo.callback(held.close)
            try:
                with _may_exist():
                    routes.tc("add", "clsact", index)
                    undo.callback(_remove, held, "del", "clsact", interface, {})
                routes.tc(
                    "add-filter",
                    "bpf",
                    index,
                    fd=program.fd,
                    name=program.name,
                    direct_action=True,
                    **filter_,
                )
            except NetlinkError as error:
                raise LabError(
                    f"no program can be attached: {errno_text(error.code)}", where=interface
                ) from error
            undo.callback(_remove, held, "del-filter", "bpf", interface, filter_)
            self._undo = undo.pop_all()

    def close(self) -> None:
        self._undo.close()


@contextmanager
def _may_exist() -> Iterator[None]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _remove(netns: Netns, command: str, kind: str, interface: str, what: dict[str, int]) -> None:
    def remove() -> None:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        # An interface that has gone has taken its filters with it.
        with suppress(OSError, NetlinkError), IPRoute() as routes:
            routes.tc(command, kind, socket.if_nametoindex(interface), **what)

    netns.run(remove)
