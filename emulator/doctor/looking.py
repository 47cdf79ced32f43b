"""Probes that only look: at files of the kernel, at programs, at libraries."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable

from emulator import paths
from emulator.doctor.model import Finding, limited, missing, works
from emulator.doctor.patient import Patient
from emulator.errors import BuildVnfError
from emulator.invocation import vnf_program

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
_OLDEST_KERNEL = (5, 18)
_NATIVE_HELPERS = (
    "vnf-probe",
    "vnf-init",
    "vnf-join",
    "vnf-wire",
    "libimpair.so",
    "generator.bpf.o",
    "recorder.bpf.o",
    "sink.bpf.o",
    "steer.bpf.o",
    "switch.bpf.o",
)
_DOCKER_SOURCES = {"private": "the private daemon", "machine": "the machine's daemon"}
_GOOD_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")


def rights(patient: Patient) -> Finding:
    if os.geteuid() != 0:
        return missing(
            "labs need root; plan, list and doctor do not",
            fix=f"run it as root: sudo {vnf_program()} doctor",
        )
    match = re.search(r"^CapEff:\s*(\w+)$", patient.read("proc/self/status") or "", re.MULTILINE)
    held = int(match.group(1), 16) if match else 0
    lacking = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    if lacking:
        return missing(
            f"root, but without {', '.join(lacking)}",
            fix="give the container these capabilities, or use the machine itself",
        )
    return works("root with the capabilities it takes")


def kernel(patient: Patient) -> Finding:
    release = patient.read("proc/sys/kernel/osrelease") or ""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers is None:
        return missing("the kernel's version cannot be read")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_KERNEL:
        oldest = ".".join(str(number) for number in _OLDEST_KERNEL)
        return limited(f"older than {oldest}, where live frames came", detail=f"Linux {release}")
    return works(f"Linux {release}")


def cores(patient: Patient) -> Finding:
    count = len(os.sched_getaffinity(0))
    if count < 2:
        return limited(
            "generator, VNF and receiver share one core, which shows in every number",
            detail="1 core",
        )
    return works(f"{count} cores")


def bpf_jit(patient: Patient) -> Finding:
    value = patient.read("proc/sys/net/core/bpf_jit_enable")
    if value is None:
        if os.geteuid() != 0:
            fix = f"sudo {vnf_program()} doctor"
            return limited("reading it needs root", detail="not known", fix=fix)
        return limited(
            "the kernel tells nothing of a JIT compiler",
            detail="interpreted, perhaps",
            fix="run a kernel built with CONFIG_BPF_JIT",
        )
    if value == "0":
        return limited("switched off: BPF is interpreted, several times slower", detail="off")
    return works("on")


def btf(patient: Patient) -> Finding:
    if not patient.exists("sys/kernel/btf/vmlinux"):
        return missing("the kernel carries no description of its types")
    return works("/sys/kernel/btf/vmlinux")


def libbpf(patient: Patient) -> Finding:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return missing("libbpf.so.1 is not installed")
    library.libbpf_version_string.restype = ctypes.c_char_p
    return works(library.libbpf_version_string().decode().lstrip("v"))


def clang(patient: Patient) -> Finding:
    return _program(patient, "clang", "VNFs cannot be compiled", r"version (\S+)")


def c_compiler(patient: Patient) -> Finding:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) is not None:
            return _program(patient, name, "VNFs cannot be compiled", r"(\d+\.\d+\.\d+)")
    return missing("no C compiler is installed: VNFs that are processes cannot be compiled")


def libxdp(patient: Patient) -> Finding:
    version = patient.ask("pkg-config", "--modversion", "libxdp")
    if version is None or patient.ask("pkg-config", "--modversion", "libbpf") is None:
        return missing("its development files are not installed: no VNF on XDP sockets")
    return works(version)


def tap(patient: Patient) -> Finding:
    if not patient.exists("dev/net/tun"):
        return missing("/dev/net/tun is missing: VNFs that are processes cannot reach their host")
    return works("/dev/net/tun")


def iperf3(patient: Patient) -> Finding:
    return _program(patient, "iperf3", "iperf between nodes cannot run", r"iperf (\S+)")


def adapted_tool(name: str) -> Callable[[Patient], Finding]:
    """The probe that looks for a tool which measurements can be set beside."""

    def look(patient: Patient) -> Finding:
        from emulator.traffic.adapters import tool_named

        tool = tool_named(name)
        reason = tool.why_not()
        if reason:
            return missing(reason, fix=tool.remedy)
        return works(tool.version())

    return look


def native_helpers(patient: Patient) -> Finding:
    absent = [name for name in _NATIVE_HELPERS if not (paths.native_dir() / name).exists()]
    if absent:
        return missing(f"not built: {', '.join(absent)}")
    return works("built")


def cgroup(patient: Patient) -> Finding:
    if patient.exists("sys/fs/cgroup/cgroup.controllers"):
        return works("version 2")
    if patient.exists("sys/fs/cgroup/unified/cgroup.controllers"):
        return limited("controllers are in the tree of version 1", detail="versions 1 and 2 mixed")
    if patient.exists("sys/fs/cgroup/cpu") or patient.exists("sys/fs/cgroup/memory"):
        return limited("version 1 has no usage per tree of processes", detail="version 1")
    return missing("no cgroup is mounted at /sys/fs/cgroup")


def limits(patient: Patient) -> Finding:
    """Whether nodes without a container can be limited, and by what."""
    from emulator.kernel.cgroup import hierarchies

    try:
        known = hierarchies(patient.path(""))
    except OSError:
        known = {}
    lacking = [name for name in ("cpu", "cpuset", "memory", "pids") if name not in known]
    if "cpu" in lacking:
        return missing("no cpu controller is mounted: cpu= and cpus= limit nothing without it")
    if lacking:
        return limited(f"no controller for {', '.join(lacking)}", detail="cpu")
    top, version = known["cpu"]
    real_time = version == 1 and (top / "cpu.rt_runtime_us").exists()
    return works(f"cpu, cpuset, memory, pids{', and shares of real time' if real_time else ''}")


def docker(patient: Patient) -> Finding:
    from emulator.runtime.daemon import find_daemon
    from emulator.runtime.private_daemon import is_installed

    try:
        daemon = find_daemon(patient.path(""))
    except BuildVnfError as error:
        reason = f"{error.where}: {error.message}"
        if is_installed():
            return limited(reason, detail="installed", fix=error.hint)
        return missing(reason, fix=error.hint)
    return works(f"{daemon.version}, {_DOCKER_SOURCES.get(daemon.source, daemon.source)}")


def open_vswitch(patient: Patient) -> Finding:
    text = patient.ask("ovs-vswitchd", "--version")
    if text is None:
        return missing('ovs-vswitchd is not installed: no switch of the kind "ovs"')
    version = _first(r"(\d+\.\d+\.\d+)", text) or "of unknown version"
    if _has_module(patient, "openvswitch"):
        return works(f"{version}, kernel datapath")
    return limited(
        "the kernel has no openvswitch module",
        detail=f"{version}, user-space datapath",
        fix="run a kernel with the module openvswitch",
    )


def open_vswitch_dpdk(patient: Patient) -> Finding:
    from emulator.switches.ovs_dpdk import DPDK_SWITCH, read_dpdk_version

    for program in ("ovs-vswitchd", str(DPDK_SWITCH)):
        version = read_dpdk_version(patient.ask(program, "--version") or "")
        if version:
            return works(f"DPDK {version}")
    return missing('no Open vSwitch is linked with DPDK: no ports of port_type="dpdk"')


def os_ken(patient: Patient) -> Finding:
    if importlib.util.find_spec("os_ken") is None:
        return missing('it is not installed: no controller of the kind "learning" or "app"')
    return works(importlib.metadata.version("os-ken"))


def ovs_testcontroller(patient: Patient) -> Finding:
    return _program(
        patient,
        "ovs-testcontroller",
        'no controller of the kind "ovs"',
        r"(\d+\.\d+\.\d+)",
    )


def dpdk(patient: Patient) -> Finding:
    version = patient.ask("pkg-config", "--modversion", "libdpdk")
    if version is not None:
        return works(version)
    if not _has_dpdk_libraries(patient):
        return missing("it is not installed")
    return limited(
        "its development files are missing: VNFs cannot be compiled for it",
        detail="libraries only",
        fix="apt-get install libdpdk-dev pkg-config",
    )


def testpmd(patient: Patient) -> Finding:
    found = shutil.which("dpdk-testpmd")
    if found is None:
        return missing("dpdk-testpmd is not installed: the VNF testpmd cannot run")
    return works(found)


def cffi(patient: Patient) -> Finding:
    try:
        module = importlib.import_module("cffi")
    except ImportError as error:
        return missing(
            f"VNFs written in Python cannot run: {error}",
            fix=f"{sys.executable} -m pip install --force-reinstall cffi",
        )
    return works(str(module.__version__))


def hugepages(patient: Patient) -> Finding:
    facts = dict(
        re.findall(r"^(Huge\w+):\s+(\d+)", patient.read("proc/meminfo") or "", re.MULTILINE)
    )
    if "HugePages_Total" not in facts:
        return missing("the kernel is built without them", fix="")
    total, free = int(facts["HugePages_Total"]), int(facts["HugePages_Free"])
    if total == 0:
        return limited("none reserved; DPDK runs without, so it matters little", detail="0 pages")
    return works(f"{free} of {total} free, {facts.get('Hugepagesize', '?')} KiB each")


def governor(patient: Patient) -> Finding:
    files = sorted(
        patient.path("sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    )
    if not files:
        return limited(
            "the kernel shows no frequency control, as in most virtual machines",
            detail="not known",
            fix="",
        )
    names = sorted({file.read_text().strip() for file in files})
    if names != ["performance"]:
        return limited(
            "the frequency changes under load, so latencies spread", detail=", ".join(names)
        )
    return works("performance")


def idle_states(patient: Patient) -> Finding:
    device = patient.path("dev/cpu_dma_latency")
    if not device.exists():
        return limited("no /dev/cpu_dma_latency: cores sleep between packets", fix="")
    if not os.access(device, os.W_OK):
        return limited("/dev/cpu_dma_latency may not be written: cores sleep between packets")
    return works("held off while measuring")


def clock(patient: Patient) -> Finding:
    folder = "sys/devices/system/clocksource/clocksource0"
    name = patient.read(f"{folder}/current_clocksource")
    if name is None:
        return limited("the kernel does not tell its clock", detail="not known", fix="")
    if name not in _GOOD_CLOCKS:
        return limited("reading it takes a microsecond or so, which adds to latencies", detail=name)
    return works(name)


def rapl(patient: Patient) -> Finding:
    zones = sorted(patient.path("sys/class/powercap").glob("*rapl*/energy_uj"))
    if not zones:
        # No module helps where the hypervisor hides the counters.
        virtual = "hypervisor" in (patient.read("proc/cpuinfo") or "")
        return missing("the processor shows no energy counter", fix="" if virtual else None)
    if not os.access(zones[0], os.R_OK):
        return missing(f"{zones[0]} may not be read", fix="run it as root")
    return works(f"{len(zones)} energy counters")


def _program(patient: Patient, name: str, consequence: str, pattern: str) -> Finding:
    if shutil.which(name) is None:
        return missing(f"{name} is not installed: {consequence}")
    text = patient.ask(name, "--version")
    if text is None:
        return missing(f"{name} is installed but does not run: {consequence}")
    return works(_first(pattern, text) or "of unknown version")


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(1) if match else None


def _has_module(patient: Patient, name: str) -> bool:
    """Whether the kernel has a module loaded, built in or on disk; none is loaded by asking."""
    if patient.exists(f"sys/module/{name}"):
        return True
    folder = f"lib/modules/{patient.read('proc/sys/kernel/osrelease')}"
    lists = (patient.read(f"{folder}/{file}") for file in ("modules.dep", "modules.builtin"))
    return any(f"/{name}.ko" in (text or "") for text in lists)


def _has_dpdk_libraries(patient: Patient) -> bool:
    """By their files: without the development package none has the plain name of a library."""
    for base in ("usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64"):
        folder = patient.path(base)
        for place in (folder, *folder.glob("*-linux-gnu")):
            if next(place.glob("librte_eal.so*"), None) is not None:
                return True
    return False
