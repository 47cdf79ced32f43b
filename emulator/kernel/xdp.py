"""XDP attachments: owned by a descriptor, made inside a namespace, in exactly one mode."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.errors import LabError, MachineError
from emulator.kernel import libbpf
from emulator.kernel.libbpf import errno_text, last_error, library, refused
from emulator.kernel.link import BpfLink

if TYPE_CHECKING:
    from emulator.kernel.bpf import BpfProgram
    from emulator.kernel.netns import Netns

XdpMode = Literal["native", "generic"]
_NATIVE = libbpf.XDP_FLAGS_DRV_MODE


@dataclass(frozen=True)
class XdpState:
    """What the kernel says is attached to an interface: the mode and the program's id (0: none)."""

    mode: str
    program_id: int


class XdpLink(BpfLink):
    """A program attached to an interface for as long as this link, or its process, lives."""

    def __init__(self, fd: int, ifname: str, mode: str) -> None:
        super().__init__(fd)
        self.ifname = ifname
        self.mode = mode


def attach_xdp(
    program: BpfProgram, ifname: str, netns: Netns, *, mode: XdpMode = "native"
) -> XdpLink:
    """Attach a program to an interface of a namespace, in exactly the mode asked for.

    ``XdpLink.mode`` is what the kernel reports afterwards, not what was asked.

    Raises:
        LabError: there is no such interface, or it already has a program.
        MachineError: the interface's driver has no native mode here, or we lack the right.
    """
    flags = _NATIVE if mode == "native" else libbpf.XDP_FLAGS_SKB_MODE
    return netns.run(_attach, program, ifname, mode, flags)


def attach_xdp_to_each(
    program: BpfProgram, ifnames: Iterable[str], netns: Netns
) -> dict[str, XdpLink]:
    """Attach a program to several interfaces of a namespace in native mode, by their names.

    In a fraction of the time: it is not asked what the kernel has done, which does either this or
    nothing.

    Raises:
        LabError: there is no such interface, or it already has a program.
        MachineError: an interface's driver has no native mode here, or we lack the right.
    """
    made: dict[str, XdpLink] = {}

    def attach() -> None:
        for ifname in ifnames:
            made[ifname] = _create(program, _ifindex(ifname), ifname, "native", _NATIVE)

    try:
        netns.run(attach)
    except BaseException:
        for link in made.values():
            link.close()
        raise
    return made


def xdp_state(ifname: str, netns: Netns) -> XdpState:
    """What is attached to an interface of a namespace, as the kernel reports it."""
    return netns.run(lambda: _query(_ifindex(ifname), ifname))


def detach_unowned_xdp(ifname: str, netns: Netns) -> None:
    """Take away a program that no link owns: one whose process died before it could do so itself.

    An interface without one, or that has gone itself, is left as it is, and so is a program that
    hangs on a link.

    Raises:
        LabError: the kernel refuses.
    """
    netns.run(_detach_unowned, ifname)


def _detach_unowned(ifname: str) -> None:
    ifindex = int(ctypes.CDLL(None).if_nametoindex(ifname.encode()))
    if not ifindex:
        return
    mode = _query(ifindex, ifname).mode
    flags = {"native": libbpf.XDP_FLAGS_DRV_MODE, "generic": libbpf.XDP_FLAGS_SKB_MODE}.get(mode)
    if flags is None or library().bpf_xdp_detach(ifindex, flags, None) == 0:
        return
    if last_error() != errno.EBUSY:
        raise LabError(f"XDP cannot be detached: {errno_text(last_error())}", where=ifname)


def _attach(program: BpfProgram, ifname: str, mode: str, flags: int) -> XdpLink:
    ifindex = _ifindex(ifname)
    link = _create(program, ifindex, ifname, mode, flags)
    try:
        link.mode = _query(ifindex, ifname).mode
    except BaseException:
        link.close()
        raise
    return link


def _create(program: BpfProgram, ifindex: int, ifname: str, mode: str, flags: int) -> XdpLink:
    options = libbpf.LinkCreateOpts(sz=ctypes.sizeof(libbpf.LinkCreateOpts), flags=flags)
    fd = library().bpf_link_create(
        program.fd, ifindex, libbpf.XDP_ATTACH_TYPE, ctypes.byref(options)
    )
    if fd < 0:
        raise _attach_error(last_error(), ifname, mode)
    return XdpLink(fd, ifname, mode)


def _attach_error(number: int, ifname: str, mode: str) -> LabError | MachineError:
    if number in (errno.EBUSY, errno.EEXIST):
        return LabError("an XDP program is already attached", where=ifname)
    if number == errno.EPERM:
        return refused("no XDP program can be attached", number, where=ifname)
    if number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE):
        return MachineError(
            f"{mode} XDP is not possible on this interface: {errno_text(number)}",
            where=ifname,
            hint="use a driver with native XDP (veth has it), an MTU of 3500 or less on both "
            "ends, or the kernel data plane",
        )
    return LabError(f"no XDP program can be attached: {errno_text(number)}", where=ifname)


def _query(ifindex: int, ifname: str) -> XdpState:
    options = libbpf.XdpQueryOpts(sz=ctypes.sizeof(libbpf.XdpQueryOpts))
    if library().bpf_xdp_query(ifindex, 0, ctypes.byref(options)) < 0:
        raise LabError(f"its XDP mode cannot be read: {errno_text(last_error())}", where=ifname)
    mode = libbpf.XDP_ATTACHED_MODES.get(options.attach_mode, str(options.attach_mode))
    program = options.prog_id or options.drv_prog_id or options.skb_prog_id
    return XdpState(mode, int(program))


def _ifindex(ifname: str) -> int:
    libc = ctypes.CDLL(None)
    index = int(libc.if_nametoindex(ifname.encode()))
    if not index:
        raise LabError("there is no such interface", where=ifname)
    return index
