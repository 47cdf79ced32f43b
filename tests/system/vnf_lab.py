"""A VNF between two hosts, in namespaces of their own, for tests that look at single frames."""

from __future__ import annotations

import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from emulator.catalog import Catalog
from emulator.closing import Closing
from emulator.dataplane import RunningVnf, Site
from emulator.kernel.bpf import BpfId, all_ids
from emulator.kernel.netns import Netns
from emulator.kernel.offload import Offloads, set_offloads
from emulator.kernel.rtnl import End, Rtnl
from emulator.plan.model import InterfacePlan, NodePlan, VnfPlan
from emulator.runtime.namespace import Processes

HOST_MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")
LEFT_MAC, RIGHT_MAC = HOST_MACS[:2]
PORT_MACS = ("02:01:00:00:00:00", "02:01:00:00:00:01", "02:01:00:00:00:02")
HOST_PORT = "eth0"
_HOST_INDEX = 20
_OUTGOING = 4
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID = 1 << 4
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER_BYTES = 4 << 20
"""Frames wait there until all are sent."""
_DEADLINE_S = 5.0


def frame(number: int, size_bytes: int = 60, *, reverse: bool = False) -> bytes:
    """An Ethernet frame without check sequence, recognisable by its number."""
    macs = [RIGHT_MAC, LEFT_MAC]
    if reverse:
        macs.reverse()
    head = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs)
    body = head + b"\x88\xb5" + number.to_bytes(4, "big")
    filler = bytes((number + offset) % 251 for offset in range(size_bytes - len(body)))
    return body + filler


def still_there(ids: Sequence[BpfId]) -> list[BpfId]:
    """Those of the ids that the kernel still knows."""
    known = {kind: all_ids(kind) for kind in {each.kind for each in ids}}
    return [each for each in ids if each.id in known[each.kind]]


def wait_until_gone(ids: Sequence[BpfId]) -> None:
    """Wait for BPF objects to end: the kernel frees them a moment after their last reference."""
    deadline = time.monotonic() + _DEADLINE_S
    while left := still_there(ids):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.005)


class VnfLab(Closing):
    """left – VNF – right; the VNF's node is called ``fn`` and has the ports fn-eth0 and fn-eth1.

    With three ports there is a host on each, left and right being the first two of ``hosts``.
    """

    def __init__(self, *, mtu: int = 1500, ports: int = 2) -> None:
        self.mtu = mtu
        self._undo = ExitStack()
        self.vnf, *self.hosts = Netns.create_many(1 + ports)
        self.left, self.right = self.hosts[:2]
        with Rtnl() as rtnl:
            for port, host in enumerate(self.hosts):
                rtnl.add_veth(
                    End(HOST_PORT, _HOST_INDEX, host, HOST_MACS[port], mtu),
                    End(f"fn-eth{port}", port + 2, self.vnf, PORT_MACS[port], mtu),
                    where=f"port {port}",
                )
            rtnl.commit()
        places = [(host, [_HOST_INDEX]) for host in self.hosts]
        for netns, indices in [*places, (self.vnf, [port + 2 for port in range(ports)])]:
            with Rtnl.inside(netns) as rtnl:
                for index in indices:
                    rtnl.set_up(index, where=f"interface {index}")
                rtnl.commit()
        for host in self.hosts:
            set_offloads(
                host, {HOST_PORT: Offloads(receive_napi=True, frame_offload=False)}, where="host"
            )

    @cached_property
    def site(self) -> Site:
        """Where VNFs that are processes live; started when first asked for."""
        processes = Processes()
        self._undo.callback(processes.close)
        processes.start()
        folder = self._undo.enter_context(tempfile.TemporaryDirectory(prefix="vnf-lab-"))
        return Site.of_lab(processes, Path(folder))

    def node(
        self,
        vnf: str,
        dataplane: str,
        *,
        mechanism: str = "",
        parameters: dict[str, int | float | bool | str] | None = None,
        **options: object,
    ) -> NodePlan:
        """The plan of the node in the middle.

        Args:
            parameters: those that differ from their defaults; all of them, of a test's own VNF.
            options: further fields of the plan of its VNF, as ``idle``.
        """
        catalog = Catalog.load()
        if vnf in catalog:
            parameters, problems = catalog[vnf].check_parameters(parameters or {})
            assert not problems
        interfaces = tuple(
            InterfacePlan(
                name=f"fn-eth{port}",
                kernel_name=f"fn-eth{port}",
                mac=PORT_MACS[port],
                port=port,
                mtu=self.mtu,
            )
            for port in range(len(self.hosts))
        )
        plan = VnfPlan.model_validate(
            {
                "vnf": vnf,
                "dataplane": dataplane,
                "mechanism": mechanism or ("bpf" if dataplane == "xdp" else "process"),
                "parameters": parameters or {},
                **options,
            }
        )
        return NodePlan(name="fn", kind="vnf", interfaces=interfaces, vnf=plan)

    def transfer(
        self, source: Netns, destination: Netns, frames: Sequence[bytes], *, last: bytes
    ) -> list[bytes]:
        """Send frames from one host and return what reaches the other, up to the frame ``last``.

        Links and VNFs keep the order, so once ``last`` is there nothing sent before can follow.
        """
        return self.distribute(source, [destination], frames, last=last)[0]

    def send(self, source: Netns, frames: Sequence[bytes]) -> None:
        """Send frames from one host, wherever they go."""
        with source.run(_socket) as sender:
            for each in frames:
                sender.send(each)

    def distribute(
        self, source: Netns, destinations: Sequence[Netns], frames: Sequence[bytes], *, last: bytes
    ) -> list[list[bytes]]:
        """Send frames from one host; what reaches each of some others, up to the frame ``last``."""
        with ExitStack() as opened:
            receivers = [opened.enter_context(each.run(_socket)) for each in destinations]
            self.send(source, frames)
            deadline = time.monotonic() + _DEADLINE_S
            return [_receive(each, last, deadline, len(frames)) for each in receivers]

    def exchange(
        self, vnf: RunningVnf, batches: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes]]:
        """Send frames from one host after another; returns what has reached each host.

        A batch is the number of a host, and its frames. The VNF has handled each batch before the
        next one is sent, and whatever it says that it has sent is waited for.
        """
        with ExitStack() as opened:
            receivers = [opened.enter_context(each.run(_socket)) for each in self.hosts]
            deadline = time.monotonic() + _DEADLINE_S
            handled = sum(port.rx_packets for port in vnf.counters().values())
            for host, frames in batches:
                self.send(self.hosts[host], frames)
                handled += len(frames)
                while sum(port.rx_packets for port in vnf.counters().values()) < handled:
                    assert time.monotonic() < deadline, "the VNF did not get all frames"
                    time.sleep(0.001)
            sent = [port.tx_packets for port in vnf.counters().values()]
            return [
                _receive_number(receiver, number, deadline)
                for receiver, number in zip(receivers, sent, strict=True)
            ]

    def close(self) -> None:
        self._undo.close()
        for netns in (self.vnf, *self.hosts):
            netns.close()


def _socket() -> socket.socket:
    every_protocol = socket.htons(3)
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every_protocol)
    opened.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    opened.bind((HOST_PORT, 0))
    return opened


def _receive(receiver: socket.socket, last: bytes, deadline: float, sent: int) -> list[bytes]:
    arrived: list[bytes] = []
    while not arrived or arrived[-1] != last:
        each = _next(receiver, deadline)
        assert each is not None, f"the last frame did not arrive; {len(arrived)} of {sent} did"
        arrived.append(each)
    return arrived


def _receive_number(receiver: socket.socket, number: int, deadline: float) -> list[bytes]:
    arrived: list[bytes] = []
    while len(arrived) < number:
        each = _next(receiver, deadline)
        assert each is not None, f"{len(arrived)} of {number} frames arrived"
        arrived.append(each)
    return arrived


def _next(receiver: socket.socket, deadline: float) -> bytes | None:
    """The next frame that came in; None when there is none in time."""
    while True:
        receiver.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data, ancillary, _, address = receiver.recvmsg(1 << 16, 256)
        except TimeoutError:
            return None
        if address[2] != _OUTGOING:
            return _with_tag(data, ancillary)


def _with_tag(data: bytes, ancillary: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The frame as it was on the link: the kernel takes a VLAN tag out and tells it aside."""
    for level, kind, content in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, _, _, _, _, tag, protocol = _AUXDATA.unpack(content)
            if status & _VLAN_VALID:
                return data[:12] + struct.pack("!HH", protocol, tag) + data[12:]
    return data
