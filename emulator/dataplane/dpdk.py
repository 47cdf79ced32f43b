"""The ``dpdk`` data plane: the VNF is a process that reaches its ports through DPDK.

Its poll mode drivers sit on the node's interfaces (``af_xdp``, ``af_packet``), on shared memory
between two VNFs (memif links) or on nothing at all (``null``). Memory is ordinary unless hugepages
are asked for, and everything DPDK writes lies in the lab's folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.dataplane.hostpath import open_host_path
from emulator.dataplane.process import (
    Launch,
    ProcessVnf,
    Site,
    attach_process,
    program_for,
    start_process,
)
from emulator.errors import MachineError, UsageError
from emulator.kernel.bpf import BpfId, detach_unowned_xdp, xdp_state
from emulator.plan.process_options import added_ports

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.running import Description
    from emulator.kernel.netns import Netns
    from emulator.plan.model import InterfacePlan, MemifPlan, NodePlan

HEADROOM_BYTES = 128
"""RTE_PKTMBUF_HEADROOM; as much as every VNF may push."""
_XDP_HEADROOM_BYTES = 256
_TAILROOM_BYTES = 128
_HEADER_BYTES = 14 + 2 * 4
"""An Ethernet header with two VLAN tags."""
_LEAST_ROOM_BYTES = 2048 + HEADROOM_BYTES
_MBUF_OVERHEAD_BYTES = 256
"""What a packet buffer takes beside its data: the mempool's header, struct rte_mbuf, padding."""
_PAGE_BYTES = 4096
_HUGEPAGE_BYTES = 2 << 20
_BESIDE_MTU_BYTES = HEADROOM_BYTES + _XDP_HEADROOM_BYTES + _HEADER_BYTES + _TAILROOM_BYTES
_LONGEST_ROOM_BYTES = 65535 // 64 * 64
"""The length of a packet buffer is a number of 16 bits."""
_LONGEST_SLOT_BYTES = 1 << 15
_MAX_MTU = {
    # A buffer of AF_XDP, all of it, fits into a page.
    "af_xdp": _PAGE_BYTES - _MBUF_OVERHEAD_BYTES - _BESIDE_MTU_BYTES,
    "af_packet": _LONGEST_SLOT_BYTES - HEADROOM_BYTES - _HEADER_BYTES - _TAILROOM_BYTES,
    "memif": _LONGEST_ROOM_BYTES - _BESIDE_MTU_BYTES,
    "null": _LONGEST_ROOM_BYTES - _BESIDE_MTU_BYTES,
}

_BUFFERS_PER_PORT = 4096
"""The rings of an AF_XDP port take that many at most: 2048 on their way in and 2048 out."""
_BUFFERS_BESIDE = 2047
_MEGABYTE = 1 << 20
_MEGABYTES_BESIDE = 24
_RING_FRAMES = 2048
_MEMIF_RING_LOG2 = 12
"""4096 frames: VNFs that share a core take turns of milliseconds."""
_HUGEPAGES = Path("/sys/kernel/mm/hugepages")


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    program = program_for(site, manifest, "dpdk", ["libdpdk"])
    if site is None:
        raise UsageError("a VNF that is a process needs a lab to live in", where=node.name)
    launch = Launch(
        [
            *program,
            *eal_arguments(node, site),
            "--",
            *("--devices", ",".join(eal_devices(node))),
            *("--bells", ",".join(_bells(node, site))),
            *("--buffers", str(buffer_count(node))),
            *("--room", str(data_room_bytes(node))),
        ],
        environment=eal_environment(site),
    )
    launch.resources.callback(
        shutil.rmtree, site.folder / "dpdk" / _prefix(node, site), ignore_errors=True
    )
    # The driver attaches its XDP program to the interface itself: a crash would leave it there.
    launch.resources.callback(clear_ports, node, netns)
    _lead_to_host(node, netns, launch)
    vnf = start_process(node, netns, manifest, site, launch)
    try:
        _check_devices(node, vnf)
        _learn(vnf, netns)
    except BaseException:
        vnf.close()
        raise
    return vnf


def attach(description: Description, netns: Netns) -> ProcessVnf:
    """Reach a VNF that another emulator runs; see ``attach_vnf``."""
    vnf = attach_process(description, netns)
    _learn(vnf, netns)
    return vnf


def eal_arguments(
    node: NodePlan, site: Site, *, threads: int = 1, megabytes_beside: int = _MEGABYTES_BESIDE
) -> list[str]:
    """The arguments of DPDK's environment abstraction layer for a VNF node.

    They hold what any DPDK program needs to run in the node: memory, CPUs, and a device for each
    of its interfaces, in the order of ``eal_devices``. The user's own come last.

    Args:
        threads: how many the program wants.
        megabytes_beside: memory that it takes beside the packet buffers of its ports.

    Raises:
        UsageError: the driver cannot take an interface as it is.
        MachineError: hugepages are asked for and there are not enough.
    """
    assert node.vnf is not None
    own = node.vnf.eal
    megabytes = _megabytes(node) + megabytes_beside
    arguments = ["--file-prefix", _prefix(node, site)]
    if node.vnf.hugepages:
        _check_hugepages(node, megabytes)
        arguments.append("--in-memory")
    else:
        arguments += ["--no-huge", "-m", str(megabytes)]
    if any(interface.memif is not None for interface in node.interfaces):
        # Each call to a neighbour that is not there would be a line of the log.
        arguments.append("--log-level=pmd.net.memif:critical")
    if not _given(own, "-a", "--allow"):
        arguments.append("--no-pci")
    if not _given(own, "-l", "-c", "--lcores"):
        # By itself, the EAL pins its thread to the first CPU: that of every other VNF, too.
        cpus = node.vnf.cores or sorted(os.sched_getaffinity(0))
        where = ",".join(map(str, cpus))
        arguments += ["--lcores", ",".join(f"{thread}@({where})" for thread in range(threads))]
    for device, interface in zip(eal_devices(node), node.interfaces, strict=True):
        options = _device_options(node, interface, site)
        arguments.append(f"--vdev={','.join([device, *options])}")
    return [*arguments, *own]


def eal_devices(node: NodePlan) -> list[str]:
    """What DPDK calls the devices of a node's interfaces, in the order of their ports."""
    return [
        f"net_{_driver(node, interface)}{number}"
        for number, interface in enumerate(node.interfaces)
    ]


def eal_environment(site: Site) -> dict[str, str]:
    """The environment that a DPDK program needs besides."""
    return {
        # Else DPDK's files would lie in /var/run/dpdk, where nobody takes them away.
        "RUNTIME_DIRECTORY": str(site.folder),
        # Only a program attached without libxdp's dispatcher leaves nothing in /sys/fs/bpf.
        "LIBXDP_SKIP_DISPATCHER": "1",
    }


def clear_ports(node: NodePlan, netns: Netns) -> None:
    """Take away what a DPDK program that was killed has left on the node's interfaces."""
    for interface in _driven_by(node, "af_xdp"):
        detach_unowned_xdp(interface.kernel_name, netns)


def data_room_bytes(node: NodePlan) -> int:
    """What a packet buffer has to hold so that a frame never needs two, with room to grow."""
    mtu = max((interface.mtu for interface in node.interfaces), default=1500)
    whole = mtu + _BESIDE_MTU_BYTES
    for interface in node.interfaces:
        if _driver(node, interface) == "af_packet":
            # The driver wants room for a whole slot of its ring, however large the frames.
            whole = max(whole, HEADROOM_BYTES + _slot_bytes(interface))
    return max(_LEAST_ROOM_BYTES, -(-whole // 64) * 64)


def buffer_count(node: NodePlan) -> int:
    """How many packet buffers a VNF needs."""
    return _BUFFERS_PER_PORT * len(node.interfaces) + _BUFFERS_BESIDE


def _driver(node: NodePlan, interface: InterfacePlan) -> str:
    assert node.vnf is not None
    return "memif" if interface.memif is not None else node.vnf.driver or "af_xdp"


def _device_options(node: NodePlan, interface: InterfacePlan, site: Site) -> Iterator[str]:
    driver = _driver(node, interface)
    if interface.mtu > _MAX_MTU[driver]:
        other = ', or the VNF driver="af_packet"' if driver == "af_xdp" else ""
        raise UsageError(
            f"an MTU of {interface.mtu} is more than DPDK's {driver} driver takes, "
            f"{_MAX_MTU[driver]}",
            where=interface.name,
            hint=f"give the link a smaller mtu{other}",
        )
    if interface.memif is not None:
        path = _memif_path(interface.memif, site).with_suffix(".sock")
        if interface.memif.role == "server":
            # One that was killed has left its socket.
            path.unlink(missing_ok=True)
        yield f"role={interface.memif.role}"
        yield "id=0"
        yield f"socket={path}"
        yield "socket-abstract=no"
        # Without zero copy: this driver closes what it shares as soon as it is joined (22.11), so
        # a second link, or the same one after a restart, would share something else.
        yield f"rsize={_MEMIF_RING_LOG2}"
        yield f"bsize={data_room_bytes(node) - HEADROOM_BYTES}"
    if driver == "af_xdp":
        yield f"iface={interface.kernel_name}"
        # Preferred busy polling would burn a core in the kernel.
        yield "busy_budget=0"
    elif driver == "af_packet":
        yield f"iface={interface.kernel_name}"
        yield f"framesz={_slot_bytes(interface)}"
        yield f"blocksz={max(_slot_bytes(interface), 1 << 16)}"
        yield f"framecnt={_RING_FRAMES}"
        yield "qdisc_bypass=1"


def _slot_bytes(interface: InterfacePlan) -> int:
    """A slot of the ring of a packet socket: blocks of the ring hold a whole number of them."""
    slot_bytes = 2048
    while slot_bytes < interface.mtu + _HEADER_BYTES + _TAILROOM_BYTES + HEADROOM_BYTES:
        slot_bytes *= 2
    return slot_bytes


def _memif_path(memif: MemifPlan, site: Site) -> Path:
    """What the files of a memif link are called, without their endings."""
    return site.meeting_place / f"memif-{hashlib.sha256(memif.link.encode()).hexdigest()[:10]}"


def _bells(node: NodePlan, site: Site) -> list[str]:
    """For each port where the far end of its memif link is woken; see vnfs/lib/dpdk.c."""
    return [
        "-" if each.memif is None else f"{each.memif.role}={_memif_path(each.memif, site)}"
        for each in node.interfaces
    ]


def _prefix(node: NodePlan, site: Site) -> str:
    return site.file(node.name, "dpdk").stem


def _given(words: Sequence[str], *names: str) -> bool:
    return any(
        word.startswith(name) if len(name) == 2 else word.partition("=")[0] == name
        for word in words
        for name in names
    )


def _megabytes(node: NodePlan) -> int:
    """What the packet buffers take: each lies in as few pages as it can."""
    assert node.vnf is not None
    page_bytes = _HUGEPAGE_BYTES if node.vnf.hugepages else _PAGE_BYTES
    buffer_bytes = data_room_bytes(node) + _MBUF_OVERHEAD_BYTES
    in_a_page = page_bytes // buffer_bytes
    if in_a_page:
        pages = -(-buffer_count(node) // in_a_page)
    else:
        pages = buffer_count(node) * -(-buffer_bytes // page_bytes)
    return -(-pages * page_bytes // _MEGABYTE)


def _check_hugepages(node: NodePlan, needed: int) -> None:
    free = 0
    for folder in _HUGEPAGES.glob("hugepages-*kB"):
        size_kb = int(folder.name.removeprefix("hugepages-").removesuffix("kB"))
        free += size_kb * int((folder / "free_hugepages").read_text())
    if free < needed * 1024:
        raise MachineError(
            f"it needs {needed} MB of hugepages and the machine has {free // 1024} MB free",
            where=node.name,
            hint=f"sysctl vm.nr_hugepages={needed // 2 + 1} for each such VNF, "
            "or leave hugepages out",
        )


def _driven_by(node: NodePlan, *drivers: str) -> list[InterfacePlan]:
    return [interface for interface in node.interfaces if _driver(node, interface) in drivers]


def _lead_to_host(node: NodePlan, netns: Netns, launch: Launch) -> None:
    """The way to the node's stack leads through its interfaces, so other ports have none."""
    ours = _driven_by(node, "af_xdp", "af_packet")
    if not ours:
        return
    # A packet socket takes copies: without a shield, the node's stack would see every frame too.
    shield = bool(_driven_by(node, "af_packet"))
    path = open_host_path(node.model_copy(update={"interfaces": tuple(ours)}), netns, shield=shield)
    fds = iter(path.fds)
    if path.fds:
        numbers = [str(next(fds) if each in ours else -1) for each in node.interfaces]
        path.options = ["--host", ",".join(numbers)]
    launch.use(path)


def _check_devices(node: NodePlan, vnf: ProcessVnf) -> None:
    """DPDK says nothing of a card that it is allowed to use and cannot find."""
    assert node.vnf is not None
    added, found = added_ports(node.vnf.eal), len(vnf.counters()) - len(node.interfaces)
    if found < added:
        raise MachineError(
            f"DPDK has found {found} of {added} devices that eal= names",
            where=node.name,
            hint="dpdk-devbind.py --status tells which cards there are and whether DPDK has them",
        )


def _learn(vnf: ProcessVnf, netns: Netns) -> None:
    """Whether XDP is native on a port is for the kernel to say."""
    modes, bpf = set(), []
    for port in vnf.memory.layout["ports"]:
        driver, _, rest = port["mode"].partition(" ")
        if driver == "af_xdp":
            state = xdp_state(port["name"], netns)
            driver = f"{driver} {state.mode}"
            bpf.append(BpfId("program", state.program_id))
        modes.add(f"{driver} {rest}".strip())
    vnf.learn("+".join(sorted(modes)), bpf)
