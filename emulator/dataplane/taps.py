"""Taps: points inside running nodes where it is noted when a packet of the probe passes.

Nothing of it exists while nobody measures. A tap takes the place of an XDP program that is there
already, sits where packets enter and leave the network stack, or is a request to a VNF's process;
all of them write into one table of times. What each data plane can tell:

========  ==============================  =================================  ====================
plane     arrived                         taken                              sent
========  ==============================  =================================  ====================
kernel    the stack has it (tc ingress)   –                                  it leaves (tc egress)
xdp       the VNF's program begins        –                                  the program ends
afxdp     the XDP program has it          the process has its burst          before it is sent
packet    the socket's ring has it        the process has its burst          before it is sent
python    as its driver, afxdp or packet  the process has its burst          before it is sent
dpdk      the XDP program of af_xdp only  the process has its burst          before it is sent
========  ==============================  =================================  ====================

Switches and routers are the kernel's, too. Of a DPDK program that is used as it is (``testpmd``)
no more is known than when its driver's XDP program has a packet.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from emulator.closing import Closing
from emulator.dataplane.build import MAX_PORTS, build_xdp, library_dir
from emulator.dataplane.process import ProcessVnf
from emulator.dataplane.process_memory import TAP, Connection
from emulator.dataplane.xdp import PAGE_MTU_BYTES, XdpVnf
from emulator.errors import LabError
from emulator.kernel.bpf import BpfKind, BpfMap, BpfObject
from emulator.kernel.clang import compile_bpf
from emulator.kernel.libbpf import XSK_MAP_TYPE
from emulator.kernel.replace import load_time_ns, map_ids, replace_on_link, replace_unowned_xdp
from emulator.kernel.rtnl import link_states
from emulator.kernel.tc import Direction, attach_tc
from emulator.kernel.xdp import xdp_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emulator.dataplane.running import RunningVnf
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

Moment = Literal["arrived", "taken", "sent"]
"""What a tap notes of a packet: the node's kernel has it, its VNF has it, it goes on its way."""

STAMP_BYTES = 8
_TAPPED = {"VNF_TAP": "1"}
_TABLE = "tap_stamps"
_CONSTANTS = ".rodata"
_REQUEST = struct.Struct("=Q7I4x")
"""struct tap_request of ``vnfs/lib/tap_user.h``."""
_NONE = 0xFFFFFFFF
"""TAP_NONE."""
_SOURCES = (".c", ".h", ".toml")


class StampTable(Closing):
    """Memory that taps write to: for each point a time for each packet, CLOCK_MONOTONIC in ns.

    Args:
        points: how many points there are.
        places: how many packets there can be; those with higher numbers are not noted.
        flow: whose packets are noted, see ``run_probe``.

    Attributes:
        times_ns: by point and packet; 0 where none was noted. It stays valid after ``close``.

    Raises:
        MachineError: there is no memory for it.
    """

    def __init__(self, points: int, places: int, flow: int) -> None:
        self.places = places
        self.flow = flow
        self.map = BpfMap.create_array(_TABLE, STAMP_BYTES, points * places)
        memory = self.map.mmap(writable=False)
        self.bytes = len(memory)
        times = np.frombuffer(memory, np.uint64, points * places)
        self.times_ns: NDArray[np.uint64] = times.reshape(points, places)

    def close(self) -> None:
        self.map.close()


@dataclass(frozen=True)
class Passage:
    """The way of packets through a node.

    Attributes:
        node: which.
        netns: where its interfaces are.
        vnf: what it runs, if it is a VNF.
        in_port, out_port: where packets come in and go out: places in ``node.interfaces``.
    """

    node: NodePlan
    netns: Netns
    vnf: RunningVnf | None
    in_port: int
    out_port: int

    @property
    def moments(self) -> tuple[Moment, ...]:
        """What can be noted of packets here, in their order.

        Raises:
            LabError: the VNF is of a version that cannot.
        """
        if self.node.vnf is None or self.node.vnf.dataplane in ("kernel", "xdp"):
            return ("arrived", "sent")
        if not isinstance(self.vnf, ProcessVnf):
            return ("arrived",) if self._by_xdp_socket else ()
        told = self.vnf.memory.layout.get("tap")
        if told is None:
            raise LabError(
                "its VNF is of a version that cannot tell when packets pass",
                where=self.node.name,
                hint="build its image anew, or restart it",
            )
        if told["arrivals"] or self._by_xdp_socket:
            return ("arrived", "taken", "sent")
        return ("taken", "sent")

    def tap(self, table: StampTable, points: Mapping[Moment, int]) -> Closing:
        """Note packets from now on, until what is returned is closed.

        Args:
            points: where in the table each of the ``moments`` is noted.

        Raises:
            LabError: the VNF does not run, or not as its source says any more.
            MachineError: the machine lacks what it takes.
        """
        if not points:
            return _Tap(ExitStack())
        with ExitStack() as undo:
            if isinstance(self.vnf, XdpVnf):
                self._replace_vnf(undo, self.vnf, table, points)
            elif self.node.vnf is None or self.node.vnf.dataplane == "kernel":
                self._sit_at_stack(undo, table, points)
            else:
                if self._by_xdp_socket:
                    self._replace_way_to_socket(undo, table, points["arrived"])
                if isinstance(self.vnf, ProcessVnf):
                    self._ask_process(undo, self.vnf, table, points)
            return _Tap(undo.pop_all())

    @property
    def _by_xdp_socket(self) -> bool:
        plan = self.node.vnf
        assert plan is not None
        if plan.dataplane == "dpdk":
            port = self.node.interfaces[self.in_port]
            return port.memif is None and (plan.driver or "af_xdp") == "af_xdp"
        return "afxdp" in (plan.dataplane, plan.driver)

    def _sit_at_stack(
        self, undo: ExitStack, table: StampTable, points: Mapping[Moment, int]
    ) -> None:
        sides: tuple[tuple[Direction, int, Moment], ...] = (
            ("ingress", self.in_port, "arrived"),
            ("egress", self.out_port, "sent"),
        )
        for direction, port, moment in sides:
            bpf = undo.enter_context(BpfObject(_compiled("tap.bpf.c")))
            bpf.set_global("tap_point", struct.pack("=I", points[moment]))
            _join(bpf, table)
            name = self.node.interfaces[port].kernel_name
            undo.enter_context(attach_tc(bpf.program("note"), name, self.netns, direction))

    def _replace_vnf(
        self, undo: ExitStack, vnf: XdpVnf, table: StampTable, points: Mapping[Moment, int]
    ) -> None:
        """Run a VNF's program that notes packets, on the memory of the one that does not."""
        from emulator.catalog import read_manifest

        interfaces = self.node.interfaces
        manifest = read_manifest(Path(vnf.describe()["manifest"]))
        _check_unchanged(manifest.folder, _ids(vnf, "program")[0], self.node.name)
        fragments = any(interface.mtu > PAGE_MTU_BYTES for interface in interfaces)
        path = build_xdp(manifest, fragments=fragments, tapped=True)
        bpf = undo.enter_context(BpfObject(path, source=manifest.source("xdp")))
        self._reuse_maps(bpf, vnf)
        states = link_states(self.netns)
        indices = [states[interface.kernel_name].index for interface in interfaces]
        bpf.set_global("port_count", struct.pack("=I", len(indices)))
        padded = indices + [0] * (MAX_PORTS - len(indices))
        bpf.set_global("port_ifindex", struct.pack(f"={MAX_PORTS}I", *padded))
        bpf.set_global("tap_in_point", struct.pack("=I", points["arrived"]))
        bpf.set_global("tap_out_point", struct.pack("=I", points["sent"]))
        bpf.set_global("tap_out_port", struct.pack("=I", self.out_port))
        for number in range(MAX_PORTS):
            if number != self.in_port:
                bpf.disable(f"port{number}")
        _join(bpf, table)
        link = _ids(vnf, "link")[self.in_port]
        program = bpf.program(f"port{self.in_port}")
        undo.enter_context(replace_on_link(link, program, where=self.node.name))

    def _reuse_maps(self, bpf: BpfObject, vnf: XdpVnf) -> None:
        """All of a VNF's memory but its constants, which are where the two programs differ."""
        wanted = [name for name in bpf.map_names() if name != _TABLE and _CONSTANTS not in name]
        with ExitStack() as opened:
            maps = [opened.enter_context(BpfMap.from_id(number)) for number in _ids(vnf, "map")]
            existing = [each for each in maps if _CONSTANTS not in each.name]
            if len(existing) != len(wanted):
                raise LabError("its VNF's memory has another layout", where=self.node.name)
            for name, each in zip(wanted, existing, strict=True):
                bpf.reuse_map(name, each)

    def _replace_way_to_socket(self, undo: ExitStack, table: StampTable, point: int) -> None:
        """Lead frames to a VNF's XDP socket by a program that notes packets."""
        where = self.node.name
        bpf = undo.enter_context(BpfObject(_compiled("xsk.bpf.c", tapped=True)))
        bpf.set_global("tap_point", struct.pack("=I", point))
        name = self.node.interfaces[self.in_port].kernel_name
        number = xdp_state(name, self.netns).program_id
        with ExitStack() as opened:
            maps = [
                opened.enter_context(BpfMap.from_id(each)) for each in map_ids(number, where=where)
            ]
            sockets = [each for each in maps if each.type == XSK_MAP_TYPE]
            if len(sockets) != 1:
                raise LabError("it is not known how frames come to its XDP socket", where=where)
            bpf.reuse_map("sockets", sockets[0])
        _join(bpf, table)
        program = bpf.program("to_socket")
        assert self.vnf is not None
        links = _ids(self.vnf, "link")
        if links:
            undo.enter_context(replace_on_link(links[self.in_port], program, where=where))
        else:
            undo.enter_context(replace_unowned_xdp(program, name, self.netns, where=where))

    def _ask_process(
        self, undo: ExitStack, vnf: ProcessVnf, table: StampTable, points: Mapping[Moment, int]
    ) -> None:
        """Have a VNF's process note packets, for as long as a connection lasts at most."""
        where = self.node.name
        try:
            connection = undo.enter_context(Connection(vnf.describe()["socket"]))
            by_itself = vnf.memory.layout["tap"]["arrivals"]
            arrived = points["arrived"] if by_itself else _NONE
            request = _REQUEST.pack(
                table.bytes,
                table.flow,
                table.places,
                self.in_port,
                self.out_port,
                arrived,
                points["taken"],
                points["sent"],
            )
            connection.ask(TAP, content=request, descriptor=table.map.fd)
            undo.callback(_end_tap, connection)
        except OSError as error:
            raise LabError(f"its VNF cannot be asked: {error.strerror}", where=where) from error
        except LabError as error:
            error.where = error.where or where
            raise


class _Tap(Closing):
    """What it took to tap a node."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def close(self) -> None:
        self._stack.close()


def _end_tap(connection: Connection) -> None:
    with suppress(LabError):  # a process that has ended notes nothing any more
        connection.ask(TAP)


def _compiled(source: str, *, tapped: bool = False) -> Path:
    folder = library_dir()
    name = f"{source.split('.')[0]}-tapped" if tapped else None
    return compile_bpf(
        folder / source, includes=[folder], defines=_TAPPED if tapped else {}, name=name
    )


def _join(bpf: BpfObject, table: StampTable) -> None:
    """Load a program that notes packets in the table."""
    bpf.set_global("tap_flow", struct.pack("=I", table.flow))
    bpf.set_global("tap_places", struct.pack("=I", table.places))
    bpf.reuse_map(_TABLE, table.map)
    bpf.load()


def _ids(vnf: RunningVnf, kind: BpfKind) -> list[int]:
    """The numbers of a VNF's programs, maps or links, in the order in which it made them."""
    return [each.id for each in vnf.bpf_ids() if each.kind == kind]


def _check_unchanged(folder: Path, program: int, where: str) -> None:
    """What runs has to be what would be compiled now, or we would measure something else."""
    loaded_ns = load_time_ns(program, where=where) + (
        time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )
    for path in folder.iterdir():
        if path.suffix in _SOURCES and path.stat().st_mtime_ns > loaded_ns:
            raise LabError(
                f"{path.name} of its VNF has changed since it was started",
                where=where,
                hint="restart the node",
            )
