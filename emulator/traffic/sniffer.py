"""Capturing frames of a running lab, while its nodes send them.

Packet sockets of our own, on whichever end of a link sees a frame: what an XDP program takes, and
what a program sends past the kernel's queues, shows at one end only or at none. The socket's filter
is compiled by libpcap.
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import struct
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import LabError, MachineError, UsageError
from emulator.forking import let_go_when_forked
from emulator.names import choice_hint

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import EndPlan, NodePlan
    from emulator.traffic.capture_file import CaptureFile

_ETH_P_ALL, _PACKET_OUTGOING, _ARPHRD_ETHERNET = 3, 4, 1
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 6, 8, 23
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 33, 26, 35
_VLAN_VALID = 0x10
_AUXDATA = struct.Struct("=IIIHHHH")
_TIMESPEC = struct.Struct("=qq")
_BUFFER_BYTES = 64 << 20
_MOST_BYTES, _NOTES_BYTES = 1 << 18, 256
_FRAMES_AT_ONCE, _MOST_LEFT = 256, 1 << 20
_WAIT_MS = 200
_SETTLE_MS, _SETTLE_NS = 2, 1_000_000
"""So long a frame may be on its way from where it is stamped to the socket."""

Program = tuple[int, bytes]
"""How many instructions a filter has, and these."""


@dataclass(frozen=True)
class Frame:
    """A frame that was seen.

    Attributes:
        interface: the name of the interface.
        outgoing: whether its node sent it, or else received it.
        time_ns: when the kernel saw it, since the epoch.
        data: all of it, without a check sequence.
    """

    interface: str
    outgoing: bool
    time_ns: int
    data: bytes


@dataclass(frozen=True)
class Tap:
    """A place where frames of one direction of an interface, or of both, can be seen.

    Attributes:
        interface: whose frames they are.
        netns, kernel_name: where the socket is.
        heard: the directions, as this place sees them: True for what it sends.
        far: whether the place is the other end of the link, where directions are the other ones.
    """

    interface: str
    netns: Netns
    kernel_name: str
    heard: frozenset[bool]
    far: bool = False


class Sniffer(Closing):
    """A capture under way, on a thread of its own, until it is closed.

    Args:
        taps: where to listen.
        program: which frames, as :func:`compiled` gives it; None for all.
        take: is given every frame, on that thread; None: nobody is.
        create: makes the file that every frame is written to; called when nothing else can keep the
            capture from beginning, so that one that cannot leaves files as they are. None: no file.
        unseen: what of the interfaces cannot be seen, in words.

    Attributes:
        frames: how many were seen.
        replaced: whether the file has taken the place of another one.

    Raises:
        LabError: an interface is not there any more.
        ResultsError: the file cannot be written.
    """

    def __init__(
        self,
        taps: Sequence[Tap],
        program: Program | None,
        take: Callable[[Frame], object] | None,
        create: Callable[[], CaptureFile] | None = None,
        unseen: Sequence[str] = (),
    ) -> None:
        self.frames = 0
        self.unseen = tuple(unseen)
        self._take = take
        self._file: CaptureFile | None = None
        self._dropped = 0
        self._error: BaseException | None = None
        self._ending = threading.Event()
        self._sockets: dict[int, tuple[socket.socket, Tap]] = {}
        with ExitStack() as stack:
            for tap in taps:
                sock = tap.netns.run(_open, tap, program)
                stack.callback(sock.close)
                self._sockets[sock.fileno()] = (sock, tap)
            if create is not None:
                self._file = stack.enter_context(create())
            self._held = stack.pop_all()
        self.replaced = self._file is not None and self._file.replaced
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()
        let_go_when_forked(self)

    @property
    def closed(self) -> bool:
        """Whether it has been ended."""
        return self._ending.is_set()

    @property
    def dropped(self) -> int:
        """How many frames came faster than they were read, and are lost to the capture."""
        self._count_drops()
        return self._dropped

    @property
    def error(self) -> BaseException | None:
        """What ended the capture before it was closed; None while it goes on."""
        return self._error

    def wait(self, timeout_s: float | None = None) -> bool:
        """Returns when the capture has ended by itself, or the time is over: whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Ends the capture; what has been seen so far is handed over first."""
        self._ending.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._count_drops()
        self._sockets.clear()
        self._held.close()

    def let_go(self) -> None:
        """Leaves the capture to the process we were forked from."""
        self._ending.set()
        if self._file is not None:
            self._file.let_go()
        for sock, _ in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._held.pop_all()

    def _count_drops(self) -> None:
        for sock, _ in self._sockets.values():
            counted = sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self._dropped += struct.unpack("=II", counted)[1]

    def _run(self) -> None:
        poller = select.poll()
        for descriptor in self._sockets:
            poller.register(descriptor, select.POLLIN)
        waiting: list[Frame] = []
        try:
            last = False
            while not last:
                # Once more after the end was asked for: what had been sent by then is taken too.
                last = self._ending.is_set()
                ready = poller.poll(0 if last else _SETTLE_MS if waiting else _WAIT_MS)
                # Frames of several places are told in the order in which they were seen; one that
                # is older than this has reached its socket.
                settled_ns = time.time_ns() - _SETTLE_NS
                for descriptor in self._sockets if last else [number for number, _ in ready]:
                    sock, tap = self._sockets[descriptor]
                    frames, emptied = _read(sock, tap, _MOST_LEFT if last else _FRAMES_AT_ONCE)
                    waiting += frames
                    if frames and not emptied:
                        settled_ns = min(settled_ns, frames[-1].time_ns)
                waiting.sort(key=_seen_at)
                told = len(waiting) if last else bisect_right(waiting, settled_ns, key=_seen_at)
                for frame in waiting[:told]:
                    self.frames += 1
                    if self._file is not None:
                        self._file.write(frame)
                    if self._take is not None:
                        self._take(frame)
                del waiting[:told]
                if not ready and self._file is not None:
                    self._file.flush()
        except BaseException as error:  # noqa: BLE001 - told to whoever asks, on his own thread
            self._error = error


def _seen_at(frame: Frame) -> int:
    return frame.time_ns


def _read(sock: socket.socket, tap: Tap, most: int) -> tuple[list[Frame], bool]:
    """The frames that wait at a socket, at most so many, and whether none is left."""
    frames: list[Frame] = []
    for _ in range(most):
        try:
            data, notes, _, address = sock.recvmsg(_MOST_BYTES, _NOTES_BYTES)
        except BlockingIOError:
            return frames, True
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                continue  # it is told once; when the link is up again, frames come again
            raise LabError(f"the interface is gone: {error}", where=tap.interface) from error
        outgoing = address[2] == _PACKET_OUTGOING
        if outgoing in tap.heard:
            time_ns, data = _noted(notes, data)
            frames.append(Frame(tap.interface, outgoing != tap.far, time_ns, data))
    return frames, False


def find_ends(lab: Lab, target: str) -> list[EndPlan]:
    """The interfaces that a name stands for: those of a node, or the one of that name.

    Raises:
        UsageError: there is none, or it cannot be listened to.
    """
    from emulator.plan.model import EndPlan

    named = [node for node in lab.plan.nodes if node.name == target]
    ends = [
        EndPlan(node=node.name, interface=interface.name)
        for node in named or lab.plan.nodes
        for interface in node.interfaces
        if named or interface.name == target
    ]
    if not ends and not named:
        known = [node.name for node in lab.plan.nodes]
        known += [each.name for node in lab.plan.nodes for each in node.interfaces]
        raise UsageError(
            f"there is no node and no interface {target}", hint=choice_hint(target, known)
        )
    heard = [end for end in ends if lab.plan.interface(end).memif is None]
    if not heard:
        lacks = "its links are memory that VNFs share" if ends else "it has no interface"
        hint = "an app container has those of its host" if named and named[0].kind == "app" else ""
        raise UsageError(f"there is nothing to capture: {lacks}", where=target, hint=hint)
    return heard


def find_taps(lab: Lab, ends: Iterable[EndPlan]) -> tuple[list[Tap], list[str]]:
    """Where to listen for the frames of interfaces, and in words what cannot be seen of them."""
    taps, blind = [], []
    for end in ends:
        found, unseen = _taps_of(lab, end)
        taps += found
        blind += unseen
    return taps, blind


def _taps_of(lab: Lab, end: EndPlan) -> tuple[list[Tap], list[str]]:
    node = lab.plan.node(end.node)
    interface = lab.plan.interface(end)
    near_name = interface.kernel_name
    # What is behind an interface of the machine is not here.
    far_receives = far_sends = False
    if interface.external is None:
        link = next(link for link in lab.plan.links if end in (link.a, link.b))
        far = lab.plan.node(lab.plan.peer(end.node, end.interface).node)
        far_receives = link.mechanism != "none" or _receives_openly(far)
        far_sends = link.mechanism == "netem" or (link.mechanism == "none" and _sends_openly(far))
    near: set[bool] = set()
    away: set[bool] = set()
    unseen = []
    # What the node sends, and then what it receives.
    if _sends_openly(node):
        near.add(True)
    elif far_receives:
        away.add(False)
    else:
        unseen.append("sends")
    if _receives_openly(node):
        near.add(False)
    elif far_sends:
        away.add(True)
    else:
        unseen.append("receives")
    taps = []
    if near:
        taps.append(Tap(end.interface, lab.netns(end.node), near_name, frozenset(near)))
    if away:
        far_netns, far_name = lab.far_end(end.node, near_name)
        taps.append(Tap(end.interface, far_netns, far_name, frozenset(away), far=True))
    return taps, [f"what {end.interface} {what}" for what in unseen]


def _receives_openly(node: NodePlan) -> bool:
    """Whether packet sockets on its interfaces see what comes, before anything takes it away."""
    if node.vnf is not None:
        taken = node.vnf.dataplane == "dpdk" and node.vnf.driver != "af_packet"
        return not (node.vnf.mechanism == "bpf" or node.vnf.dataplane == "afxdp" or taken)
    if node.switch is None:
        return True
    ovs = node.switch.ovs
    return node.switch.kind != "xdp" and not (ovs and ovs.takes_frames)


def _sends_openly(node: NodePlan) -> bool:
    """Whether packet sockets on its interfaces see what is sent."""
    if node.vnf is not None:
        return node.vnf.dataplane == "kernel"
    return _receives_openly(node)


def _open(tap: Tap, program: Program | None) -> socket.socket:
    # It hears nothing until it is bound, when its filter is in place.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        if True not in tap.heard:
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        if program is not None:
            length, instructions = program
            held = ctypes.create_string_buffer(instructions, len(instructions))
            fprog = struct.pack("@HP", length, ctypes.addressof(held))
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        sock.bind((tap.kernel_name, _ETH_P_ALL))
    except OSError as error:
        sock.close()
        raise LabError(f"the interface is not there: {error}", where=tap.interface) from error
    return sock


def compiled(filter: str) -> Program | None:
    """A filter in the language of tcpdump for the kernel to run; None for an empty one.

    Raises:
        UsageError: it is none.
        MachineError: libpcap is missing.
    """
    if not filter.strip():
        return None
    if "vlan" in filter.split():
        raise UsageError(
            "the kernel keeps VLAN tags apart from the frame, where a filter does not see them",
            where=f"filter {filter!r}",
            hint="capture without it, and filter when you read the file",
        )
    from scapy.arch.common import compile_filter
    from scapy.error import Scapy_Exception

    try:
        program = compile_filter(filter, linktype=_ARPHRD_ETHERNET)
    except Scapy_Exception as error:
        raise UsageError(
            str(error), where="filter", hint="in tcpdump's language: 'udp port 9999', 'host h1'"
        ) from error
    except ImportError as error:
        raise MachineError(
            "filters need libpcap", where="filter", hint="apt-get install libpcap0.8"
        ) from error
    return program.bf_len, ctypes.string_at(program.bf_insns, 8 * program.bf_len)


def _noted(notes: Iterable[tuple[int, int, bytes]], data: bytes) -> tuple[int, bytes]:
    """What the kernel says beside a frame: when it came, and the VLAN tag it took out of it."""
    time_ns = 0
    for level, kind, note in notes:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(note)
            time_ns = seconds * 1_000_000_000 + nanoseconds
        elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, _, _, _, _, tag, protocol = _AUXDATA.unpack_from(note)
            if status & _VLAN_VALID:
                data = data[:12] + struct.pack("!HH", protocol or 0x8100, tag) + data[12:]
    return time_ns, data
