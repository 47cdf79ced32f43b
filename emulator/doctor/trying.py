"""Probes that try the thing itself; what changes a network is done in a private namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from emulator.doctor import syscalls
from emulator.doctor.model import Finding, limited, missing, works
from emulator.doctor.patient import Patient, Ward
from emulator.paths import native_dir


def namespaces(patient: Patient) -> Finding:
    """The ward is the trial: a namespace with a pair of veth interfaces in it."""
    return works("network namespaces joined by veth")


def own_sysfs(patient: Patient) -> Finding:
    """Whether a node may have its own ``/sys``; tried on a thread that ends with the trial."""
    from emulator.kernel.sysfs import sysfs_refusal

    refusal = sysfs_refusal()
    if refusal is not None:
        return limited(f"no other can be mounted: {refusal}; nodes see the machine's")
    return works("each node sees its own interfaces in /sys/class/net")


def bridge(patient: Patient) -> Finding:
    def add() -> None:
        from pyroute2 import IPRoute

        with _netlink_as_os_error(), IPRoute() as routes:
            routes.link("add", ifname="doctor-bridge", kind="bridge")
            routes.link("del", ifname="doctor-bridge")

    try:
        _ward(patient).run(add)
    except OSError as error:
        return missing(f"the kernel makes no bridge: {error.strerror}")
    return works("Linux bridge")


def bpf(patient: Patient) -> Finding:
    def load() -> None:
        os.close(syscalls.load_xdp_program(syscalls.XDP_PASS))

    try:
        _ward(patient).run(load)
    except OSError as error:
        return _explain_bpf(patient, error)
    return works("programs load")


def native_xdp(patient: Patient) -> Finding:
    ward = _ward(patient)

    def attach() -> None:
        with _closed(syscalls.load_xdp_program(syscalls.XDP_PASS)) as program:
            os.close(syscalls.attach_native_xdp(program, ward.index))

    try:
        ward.run(attach)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return _explain_bpf(patient, error)
        return missing(f"veth takes no native XDP program by a BPF link: {error.strerror}")
    return works("attached by a BPF link and detached")


def live_frames(patient: Patient) -> Finding:
    def run() -> None:
        with _closed(syscalls.load_xdp_program(syscalls.XDP_DROP)) as program:
            syscalls.run_live_frames(program)

    try:
        _ward(patient).run(run)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return _explain_bpf(patient, error)
        return missing(
            f"the probe's kernel mechanism cannot send: BPF_PROG_RUN says {error.strerror}"
        )
    return works("the probe can send from inside the kernel")


def af_xdp(patient: Patient) -> Finding:
    ward = _ward(patient)

    def bind() -> None:
        syscalls.bind_xdp_socket(ward.index)

    try:
        ward.run(bind)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return missing("the kernel has no XDP sockets")
        return missing(f"an XDP socket cannot be bound to veth: {error.strerror}")
    return works("copy mode on veth")


def packet_sockets(patient: Patient) -> Finding:
    ward = _ward(patient)

    def bind() -> None:
        syscalls.bind_packet_socket(ward.interface)

    try:
        ward.run(bind)
    except OSError as error:
        if error.errno == errno.EPERM:
            return missing("opening one is not permitted", fix="run it as root with CAP_NET_RAW")
        return missing(f"none can be bound with a ring: {error.strerror}")
    return works("a ring on veth")


def wires(patient: Patient) -> Finding:
    """Whether links can be impaired, and frames be released when they are due."""

    def hurry() -> None:
        # Of this thread, which ends: the wires ask for no more.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    if not (native_dir() / "vnf-wire").is_file():
        return missing(
            "vnf-wire is not built: links cannot be impaired",
            fix="scripts/bootstrap, or install build-vnf again",
        )
    try:
        _ward(patient).run(hurry)
    except OSError as error:
        return limited(
            f"no real-time priority ({error.strerror}): a busy machine releases frames late",
            detail="ordinary priority",
        )
    if len(os.sched_getaffinity(0)) < 2:
        return limited(
            "they share the only core with what sends and receives",
            detail="real-time priority",
            fix="give the machine two cores or more",
        )
    return works("real-time priority")


def netem(patient: Patient) -> Finding:
    ward = _ward(patient)

    def add() -> None:
        from pyroute2 import IPRoute

        with _netlink_as_os_error(), IPRoute() as routes:
            routes.tc("add", "netem", ward.index, delay=1000)
            routes.tc("del", "netem", ward.index)

    try:
        ward.run(add)
    except OSError as error:
        if error.errno != errno.ENOENT:
            return missing(f"the queueing discipline cannot be added: {error.strerror}")
        release = patient.read("proc/sys/kernel/osrelease") or "$(uname -r)"
        if patient.exists(f"lib/modules/{release}"):
            return missing(
                "the kernel's module sch_netem is not installed; wires impair links all the same",
                fix=f"apt-get install linux-modules-extra-{release} (Ubuntu) or linux-image-amd64",
            )
        return missing(
            "this kernel is built without it; wires impair links all the same",
            fix="run a kernel built with CONFIG_NET_SCH_NETEM",
        )
    return works("queueing discipline added and removed")


def masquerading(patient: Patient) -> Finding:
    """Whether a router can lead out of a lab."""
    from emulator.errors import MachineError
    from emulator.kernel.nft import masquerade, remove_table

    def add() -> None:
        masquerade("doctor", where="doctor")
        remove_table("doctor")

    try:
        _ward(patient).run(add)
    except MachineError as error:
        return missing(f"addNAT leads nowhere: {error.message}", fix=error.hint)
    return works("nftables")


def perf(patient: Patient) -> Finding:
    def count(kind: int, event: int) -> OSError | None:
        try:
            syscalls.count_with_perf(kind, event)
        except OSError as error:
            return error
        return None

    refusal = count(syscalls.PERF_TYPE_HARDWARE, syscalls.PERF_COUNT_HW_INSTRUCTIONS)
    if refusal is None:
        return works("hardware counters")
    if count(syscalls.PERF_TYPE_SOFTWARE, syscalls.PERF_COUNT_SW_TASK_CLOCK) is None:
        return limited(
            f"no hardware counters: {refusal.strerror}",
            detail="software counters only",
            fix="run on a machine, or a virtual one, that shows a performance monitoring unit",
        )
    if refusal.errno == errno.ENOSYS:
        return missing("the kernel is built without perf events", fix="")
    return missing(f"no counter can be opened: {refusal.strerror}")


def _ward(patient: Patient) -> Ward:
    if patient.ward is None:
        raise ValueError("probes that try need an open ward")
    return patient.ward


def _explain_bpf(patient: Patient, error: OSError) -> Finding:
    lockdown = patient.read("sys/kernel/security/lockdown") or ""
    if "[confidentiality]" in lockdown:
        return missing("the kernel is locked down", fix="boot without lockdown=confidentiality")
    if error.errno in (errno.EPERM, errno.EACCES):
        return missing(
            "loading BPF is not permitted",
            fix="run as root with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        )
    if error.errno == errno.ENOSYS:
        return missing("the kernel is built without BPF")
    return missing(f"a BPF program cannot be loaded: {error.strerror}")


@contextmanager
def _closed(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _netlink_as_os_error() -> Iterator[None]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
