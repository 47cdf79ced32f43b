"""What the doctor looks at: the name, the probe that looks, and the usual remedy.

Only data; how a thing is looked at is in ``looking`` (files and programs) and ``trying`` (the
kernel, in a private network namespace).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.doctor import looking, trying
from emulator.doctor.model import Finding
from emulator.doctor.patient import Patient


@dataclass(frozen=True)
class Subject:
    """One thing to look at. ``tries`` says that the probe changes a private namespace."""

    name: str
    probe: Callable[[Patient], Finding]
    fix: str = ""
    tries: bool = False


@dataclass(frozen=True)
class Plane:
    """A data plane, and the subjects it cannot do without."""

    name: str
    mode: str
    needs: tuple[str, ...]


_INSTALL_KERNEL = "run a kernel that has it; Debian's and Ubuntu's own kernels do"

SUBJECTS = (
    Subject("root", looking.rights, "run it as root"),
    Subject("kernel", looking.kernel, "apt-get install linux-image-amd64, then reboot"),
    Subject("cores", looking.cores, "give the machine two cores or more"),
    Subject("namespaces", trying.namespaces, _INSTALL_KERNEL, tries=True),
    Subject(
        "/sys of nodes",
        trying.own_sysfs,
        "allow the container to mount sysfs, or use the machine itself",
        tries=True,
    ),
    Subject("bridge", trying.bridge, _INSTALL_KERNEL, tries=True),
    Subject("BPF", trying.bpf, "run it as root on a kernel with CONFIG_BPF_SYSCALL", tries=True),
    Subject("BPF JIT", looking.bpf_jit, "sysctl -w net.core.bpf_jit_enable=1"),
    Subject("BTF", looking.btf, "run a kernel built with CONFIG_DEBUG_INFO_BTF"),
    Subject("native XDP on veth", trying.native_xdp, _INSTALL_KERNEL, tries=True),
    Subject("live frames", trying.live_frames, "run Linux 5.18 or later", tries=True),
    Subject("AF_XDP", trying.af_xdp, "run a kernel built with CONFIG_XDP_SOCKETS", tries=True),
    Subject(
        "packet sockets",
        trying.packet_sockets,
        "run a kernel built with CONFIG_PACKET and CONFIG_PACKET_MMAP",
        tries=True,
    ),
    Subject(
        "wires",
        trying.wires,
        "run it as root with CAP_SYS_NICE",
        tries=True,
    ),
    Subject("netem", trying.netem, "modprobe sch_netem", tries=True),
    Subject("libbpf", looking.libbpf, "apt-get install libbpf1"),
    Subject("clang", looking.clang, "apt-get install clang libbpf-dev linux-libc-dev"),
    Subject(
        "C compiler",
        looking.c_compiler,
        "apt-get install gcc libc6-dev linux-libc-dev pkg-config",
    ),
    Subject("libxdp", looking.libxdp, "apt-get install pkg-config libxdp-dev libbpf-dev"),
    Subject("TAP", looking.tap, "modprobe tun"),
    Subject(
        "native helpers", looking.native_helpers, "scripts/bootstrap, or install build-vnf again"
    ),
    Subject("iperf3", looking.iperf3, "apt-get install iperf3"),
    Subject("ping", looking.adapted_tool("ping")),
    Subject("sockperf", looking.adapted_tool("sockperf")),
    Subject("tcpreplay", looking.adapted_tool("tcpreplay")),
    Subject("TRex", looking.adapted_tool("trex")),
    Subject("MoonGen", looking.adapted_tool("moongen")),
    Subject("cgroup", looking.cgroup, "boot with systemd.unified_cgroup_hierarchy=1"),
    Subject(
        "limits", looking.limits, "mount the control groups at /sys/fs/cgroup with all controllers"
    ),
    Subject("masquerading", trying.masquerading, _INSTALL_KERNEL, tries=True),
    Subject("Docker", looking.docker, "apt-get install docker.io"),
    Subject("Open vSwitch", looking.open_vswitch, "scripts/bootstrap --with ovs"),
    Subject("Open vSwitch on DPDK", looking.open_vswitch_dpdk, "scripts/bootstrap --with ovs"),
    Subject("os-ken", looking.os_ken, "scripts/bootstrap --with ovs"),
    Subject("ovs-testcontroller", looking.ovs_testcontroller, "scripts/bootstrap --with ovs"),
    Subject("DPDK", looking.dpdk, "apt-get install dpdk libdpdk-dev pkg-config"),
    Subject("testpmd", looking.testpmd, "apt-get install dpdk"),
    Subject("cffi", looking.cffi),
    Subject("hugepages", looking.hugepages, "sysctl -w vm.nr_hugepages=256"),
    Subject("CPU governor", looking.governor, "cpupower frequency-set -g performance"),
    Subject("CPU idle states", looking.idle_states, "run it as root"),
    Subject("clock", looking.clock, "boot with clocksource=tsc tsc=reliable"),
    Subject("perf", trying.perf, "sysctl -w kernel.perf_event_paranoid=1"),
    Subject("RAPL", looking.rapl, "modprobe intel_rapl_msr"),
)

PLANES = (
    Plane("kernel", "bridge or IP forwarding", ("root", "namespaces", "bridge")),
    Plane(
        "xdp",
        "native, owned by a BPF link",
        ("root", "namespaces", "native XDP on veth", "libbpf", "clang"),
    ),
    Plane(
        "afxdp",
        "XDP sockets, led to by native XDP",
        (
            "root",
            "namespaces",
            "native XDP on veth",
            "AF_XDP",
            "libbpf",
            "clang",
            "C compiler",
            "libxdp",
        ),
    ),
    Plane(
        "dpdk",
        "poll mode drivers on XDP sockets, packet sockets or shared memory",
        (
            "root",
            "namespaces",
            "native XDP on veth",
            "AF_XDP",
            "packet sockets",
            "libbpf",
            "C compiler",
            "DPDK",
        ),
    ),
    Plane(
        "packet",
        "packet sockets with a ring",
        ("root", "namespaces", "packet sockets", "BPF", "libbpf", "clang", "C compiler"),
    ),
    Plane(
        "python",
        "on packet sockets, or on XDP sockets where afxdp works",
        ("root", "namespaces", "packet sockets", "BPF", "libbpf", "clang", "C compiler", "cffi"),
    ),
)
