"""The way from a VNF process into its node's own network stack, for the verdict VNF_TO_HOST.

For each port there is a TAP device ``host0``, ``host1``, … in the node's namespace. A frame that
the VNF writes there comes in again by the port itself, so the stack answers out of the port, with
the port's addresses. Everything lives in the namespace or hangs on descriptors: it goes with them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.closing import Closing
from emulator.dataplane.build import library_dir
from emulator.errors import LabError, MachineError
from emulator.kernel.bpf import BpfId, BpfObject
from emulator.kernel.clang import compile_bpf
from emulator.kernel.rtnl import Rtnl

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_INGRESS = 0xFFFFFFF2
_ETH_P_ALL = 3
_NOTHING_MERGED, _USUALLY_MERGED = 1, 65536
"""To what size in bytes an interface that does GRO merges packets."""


class HostPath(Closing):
    """TAP devices that lead into a node's stack, one for each port, until this is closed.

    Attributes:
        fds: the TAP devices, in the order of the ports; the process inherits them.
        options: what the process has to be told about them.
        notes: what the user has to be told: that there are none, and why.
        bpf: the programs and maps behind it.
    """

    def __init__(
        self,
        fds: Sequence[int],
        taps: ExitStack,
        programs: BpfObject,
        resources: ExitStack,
        bpf: Sequence[BpfId],
        missing: str = "",
    ) -> None:
        self.fds = tuple(fds)
        self.options = ["--host", ",".join(map(str, fds))] if fds else []
        self.notes = (f"no way to its host: {missing}",) if missing else ()
        self.bpf = list(bpf)
        self._taps = taps
        self._programs = programs
        self._resources = resources

    def give_away(self) -> None:
        """Leave the devices to the process that has inherited them: they go with it alone."""
        self._taps.close()

    def let_go(self) -> None:
        """Hold nothing of it any more and undo nothing; what a forked process does."""
        self._taps.close()
        self._programs.close()

    def close(self) -> None:
        self.let_go()
        self._resources.close()


def open_host_path(node: NodePlan, netns: Netns, *, shield: bool) -> HostPath:
    """Make the way into the stack of a node whose interfaces exist.

    Args:
        shield: keep the stack from seeing the link's frames by itself, as it does on a data plane
            that only listens (packet sockets), and from merging them before that sees them. What
            listens has to call ``vnf_ignore_marked`` of ``hostpath.h``, or it sees frames again
            that it sent to the stack.

    Raises:
        MachineError: BPF cannot be used here.
        LabError: the kernel refuses it.
    """
    path = compile_bpf(library_dir() / "tohost.bpf.c", includes=[library_dir()])
    ports = [interface.kernel_name for interface in node.interfaces]
    programs = BpfObject(path, name=f"{node.name}: way to its host")
    try:
        programs.load()
        return netns.run(_open, programs, ports, netns, shield, node.name)
    except BaseException:
        programs.close()
        raise


def _open(
    programs: BpfObject,
    ports: Sequence[str],
    netns: Netns,
    shield: bool,
    where: str,
) -> HostPath:
    """Runs inside the node's namespace."""
    from pyroute2 import IPRoute

    fds: list[int] = []
    missing = ""
    with ExitStack() as undo, ExitStack() as taps, _kernel_errors(where), IPRoute() as routes:
        try:
            for number in range(len(ports)):
                fds.append(_open_tap(f"host{number}"))
                taps.callback(os.close, fds[-1])
        except FileNotFoundError:
            missing = f"{_TUN} is missing (modprobe tun)"
        port_of = programs.map("port_of")
        for number, port in enumerate(ports):
            try:
                index = socket.if_nametoindex(port)
            except OSError:
                raise LabError("there is no such interface", where=port) from None
            if fds:
                tap = socket.if_nametoindex(f"host{number}")
                port_of.update(struct.pack("=I", tap), struct.pack("=I", index))
                _raise(tap, f"host{number}")
                _filter(routes, tap, programs.program("enter_by_port").fd, "enter_by_port")
            if shield:
                undo.callback(_unshield, netns, port)
                _filter(routes, index, programs.program("shield").fd, "shield")
                routes.link("set", index=index, gro_max_size=_NOTHING_MERGED)
        bpf = [BpfId("program", each.id) for each in programs.programs()]
        bpf.append(BpfId("map", port_of.id))
        return HostPath(fds, taps.pop_all(), programs, undo.pop_all(), bpf, missing)


def _open_tap(name: str) -> int:
    try:
        fd = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            raise FileNotFoundError(_TUN) from error
        raise
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _raise(tap: int, name: str) -> None:
    # Nothing but the VNF uses it: the stack shall not send solicitations into it.
    with suppress(FileNotFoundError):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    with Rtnl() as rtnl:
        rtnl.set_up(tap, where=name)
        rtnl.commit()


def _filter(routes: Any, index: int, program_fd: int, name: str) -> None:
    routes.tc("add", "clsact", index)
    routes.tc(
        "add-filter",
        "bpf",
        index,
        fd=program_fd,
        name=name,
        parent=_INGRESS,
        prio=1,
        protocol=_ETH_P_ALL,
        direct_action=True,
    )


def _unshield(netns: Netns, port: str) -> None:
    def remove() -> None:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        with IPRoute() as routes, suppress(NetlinkError):
            index = socket.if_nametoindex(port)
            routes.link("set", index=index, gro_max_size=_USUALLY_MERGED)
            routes.tc("del", "clsact", index)

    # A port that has gone has taken its filter with it.
    with suppress(OSError, LabError):
        netns.run(remove)


@contextmanager
def _kernel_errors(where: str) -> Iterator[None]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise LabError(
            f"the way to its host cannot be made: {os.strerror(error.code)}", where=where
        ) from error
    except PermissionError as error:
        raise MachineError(
            f"the way to its host cannot be made: {error.strerror}",
            where=where,
            hint="run as root (CAP_NET_ADMIN)",
        ) from error
    except OSError as error:
        raise LabError(
            f"the way to its host cannot be made: {error.strerror}", where=where
        ) from error
