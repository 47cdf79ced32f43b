"""Which of root's rights a node in a container keeps.

A container starts with none of them and is given exactly what is listed here, changed by the
options ``cap_add`` and ``cap_drop``. Hosts, routers and app containers have what Docker gives by
itself, and ``NET_ADMIN`` besides: the network namespace is the node's own, so that ``ip route add``
works as it does on a host without a container. A VNF has what its data plane takes:

================== ==============================================================================
kernel, xdp        nothing: the kernel does the work, and the program is attached from outside
packet             ``NET_RAW``: packet sockets
afxdp              ``NET_RAW``: XDP sockets; ``IPC_LOCK``: their memory, which cannot be swapped
dpdk, af_packet    ``NET_RAW``, and ``NET_ADMIN`` to set the address and the mode of an interface
dpdk, af_xdp       those of afxdp, ``NET_ADMIN`` and ``SYS_ADMIN``: the driver loads and attaches
                   its XDP program by itself
dpdk, null         nothing; nor does memory that VNFs share (links of the kind memif)
python             as packet or afxdp, by its driver
================== ==============================================================================

Each of them has been found to be necessary by leaving it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emulator.names import suggestion
from emulator.plan.container_values import ValueMistake, read_list
from emulator.plan.model import VnfPlan
from emulator.plan.process_options import added_devices

# fmt: off
DOCKER_DEFAULT = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))
"""What Docker gives to every container."""

HOST_DEFAULT = DOCKER_DEFAULT | {"NET_ADMIN"}

KNOWN = DOCKER_DEFAULT | {
    "AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN",
    "MAC_OVERRIDE", "NET_ADMIN", "NET_BROADCAST", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT",
    "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG", "WAKE_ALARM",
}
"""All that Linux knows, without ``CAP_``."""
# fmt: on

_PACKET = frozenset(("NET_RAW",))
_AFXDP = frozenset(("NET_RAW", "IPC_LOCK"))
_DPDK = {
    "af_packet": frozenset(("NET_RAW", "NET_ADMIN")),
    "af_xdp": _AFXDP | {"NET_ADMIN", "SYS_ADMIN"},
    "pcap": _PACKET,
    "tap": frozenset(("NET_ADMIN",)),
}
"""DPDK's driver -> what it takes; those that are not here work on memory alone."""


def vnf_capabilities(vnf: VnfPlan, *, memory_only: bool = False) -> frozenset[str]:
    """What the data plane of a VNF takes.

    Args:
        vnf: what runs.
        memory_only: whether all its ports are memory that it shares with other VNFs.
    """
    if vnf.mechanism != "process":
        return frozenset()
    plane = vnf.dataplane
    if plane == "python":
        plane = vnf.driver or "packet"
    if plane != "dpdk":
        return _AFXDP if plane == "afxdp" else _PACKET
    drivers = set() if memory_only else {vnf.driver or ""}
    for device in added_devices(vnf.eal):
        drivers.add(device.removeprefix("net_").removeprefix("eth_").rstrip("0123456789"))
    return frozenset().union(*(_DPDK.get(driver, frozenset()) for driver in drivers))


def changed(base: Iterable[str], added: Iterable[str], dropped: Iterable[str]) -> tuple[str, ...]:
    """A set of capabilities after ``cap_add`` and ``cap_drop``, sorted."""
    drop = set(dropped)
    kept = set() if "ALL" in drop else set(base) - drop
    return tuple(sorted(kept | set(added)))


def read_added(value: Any) -> tuple[str, ...]:
    """The capabilities of ``cap_add``, in capitals and without ``CAP_``."""
    names = read_dropped(value)
    if "ALL" in names:
        raise ValueMistake(
            "a node is not given all of them", 'name those it needs: cap_add=["SYS_PTRACE"]'
        )
    return names


def read_dropped(value: Any) -> tuple[str, ...]:
    """The capabilities of ``cap_drop``, in capitals and without ``CAP_``; ``ALL`` is among them."""
    try:
        given = read_list(value)
    except ValueMistake:
        hint = 'write ["NET_ADMIN"]'
        raise ValueMistake(f"{value!r} is not a list of capabilities", hint) from None
    names = [name.strip().upper().removeprefix("CAP_") for name in given]
    for written, name in zip(given, names, strict=True):
        if name not in KNOWN and name != "ALL":
            hint = suggestion(name, sorted(KNOWN)) or "see man 7 capabilities"
            raise ValueMistake(f"there is no capability {written}", hint)
    return tuple(sorted(set(names)))
