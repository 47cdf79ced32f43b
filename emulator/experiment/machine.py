"""What a result depends on and a reader cannot see: the machine and the versions it ran."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emulator.revision import output_of

UNAVAILABLE = "unavailable"
"""Stands where this machine does not tell; never a guess."""

_CPU_FEATURES = ("aes", "vaes", "avx2", "avx512f", "gfni")
"""What encryption and network coding are quick by, as ``/proc/cpuinfo`` calls it: AES-NI, the same
on vectors, vectors of 256 and 512 bits, and arithmetic in GF(2⁸)."""
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

_PACKAGES = ("pyroute2", "numpy", "pyarrow", "pydantic", "matplotlib")


class DockerEngine(BaseModel):
    """The Docker engine that ran the containers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    api_version: str
    storage_driver: str
    cgroup_version: str
    cgroup_driver: str


class Machine(BaseModel):
    """The machine of a run.

    It names neither host, user nor address, so that a bundle can be given away.

    Attributes:
        cpu_features: of the instructions that VNFs gain from, whether the CPUs have them; ``aes``
            is AES-NI. None where the machine does not tell, or an older version wrote this.
        last_level_cache_bytes: the size of the cache that CPU 0 reaches last, and shares with the
            others around it; None likewise.
        docker: given when a node of any case is in a container.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: str
    kernel: str
    kernel_build: str
    architecture: str
    cpu_model: str
    cpus_online: int
    isolated_cpus: str
    smt: str
    governor: str
    clocksource: str
    hypervisor: str
    memory_bytes: int | None
    load_average_1min: float | None
    versions: dict[str, str]
    cpu_features: dict[str, bool] | None = None
    last_level_cache_bytes: int | None = None
    docker: DockerEngine | None = None


def describe_machine(root: Path = Path("/"), *, docker: bool = False) -> Machine:
    """Describe this machine.

    Args:
        root: where its ``/proc``, ``/sys`` and ``/etc`` are found.
        docker: ask the Docker engine that labs use what it is, too.
    """
    cpuinfo = _cpuinfo(root)
    return Machine(
        distribution=_distribution(root),
        kernel=_read(root, "proc/sys/kernel/osrelease"),
        kernel_build=_read(root, "proc/sys/kernel/version"),
        architecture=platform.machine(),
        cpu_model=cpuinfo.get("model name", UNAVAILABLE),
        cpus_online=os.cpu_count() or 1,
        isolated_cpus=_read(root, "sys/devices/system/cpu/isolated", empty="none"),
        smt=_read(root, "sys/devices/system/cpu/smt/control"),
        governor=_governor(root),
        clocksource=_read(root, "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        hypervisor=_hypervisor(root, cpuinfo),
        memory_bytes=_memory_bytes(root),
        load_average_1min=_load_average(root),
        versions=_versions(),
        cpu_features=_cpu_features(cpuinfo),
        last_level_cache_bytes=_last_level_cache_bytes(root),
        docker=_docker_engine() if docker else None,
    )


def _docker_engine() -> DockerEngine:
    from emulator.runtime.daemon import daemon_status

    # Where there is none, each case that needs it says so.
    status = daemon_status()
    return DockerEngine(
        version=UNAVAILABLE if status.daemon is None else status.daemon.version or UNAVAILABLE,
        api_version=status.api_version or UNAVAILABLE,
        storage_driver=status.storage_driver or UNAVAILABLE,
        cgroup_version=status.cgroup_version or UNAVAILABLE,
        cgroup_driver=status.cgroup_driver or UNAVAILABLE,
    )


def _read(root: Path, name: str, *, empty: str = UNAVAILABLE) -> str:
    try:
        return (root / name).read_text(errors="replace").strip() or empty
    except OSError:
        return UNAVAILABLE


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's block of ``/proc/cpuinfo``."""
    block = _read(root, "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _distribution(root: Path) -> str:
    for line in _read(root, "etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip('"')
    return UNAVAILABLE


def _governor(root: Path) -> str:
    """The frequency governors in use; one word when all CPUs agree."""
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    found = {_read(root, str(file.relative_to(root))) for file in files}
    return ", ".join(sorted(found)) or UNAVAILABLE


def _hypervisor(root: Path, cpuinfo: dict[str, str]) -> str:
    """The hypervisor's name where it is told, ``yes`` where only its presence is, else ``none``."""
    if "hypervisor" not in cpuinfo.get("flags", "").split():
        return "none" if "flags" in cpuinfo else UNAVAILABLE
    vendor = _read(root, "sys/class/dmi/id/sys_vendor")
    return "yes" if vendor == UNAVAILABLE else vendor


def _cpu_features(cpuinfo: dict[str, str]) -> dict[str, bool] | None:
    # Arm calls them so.
    flags = cpuinfo.get("flags", cpuinfo.get("Features"))
    if flags is None:
        return None
    words = flags.split()
    return {feature: feature in words for feature in _CPU_FEATURES}


def _last_level_cache_bytes(root: Path) -> int | None:
    """The largest cache of the highest level there is, of those that hold data."""
    found: list[tuple[int, int]] = []
    for folder in (root / "sys/devices/system/cpu/cpu0/cache").glob("index[0-9]*"):
        level, size, kind = ((folder / name) for name in ("level", "size", "type"))
        try:
            if kind.read_text().strip() == "Instruction":
                continue
            text = size.read_text().strip()
            unit = _UNITS.get(text[-1:])
            size_bytes = int(text[:-1]) * unit if unit else int(text)
            found.append((int(level.read_text()), size_bytes))
        except (OSError, ValueError):  # not every machine tells all of it
            continue
    return max(found)[1] if found else None


def _memory_bytes(root: Path) -> int | None:
    for line in _read(root, "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            return int(value.split()[0]) * 1024
    return None


def _load_average(root: Path) -> float | None:
    text = _read(root, "proc/loadavg")
    return None if text == UNAVAILABLE else float(text.split()[0])


def _versions() -> dict[str, str]:
    versions = {
        "build-vnf": _package_version("build-vnf"),
        "python": platform.python_version(),
        "libbpf": _libbpf_version(),
        "clang": (output_of("clang", "--version") or UNAVAILABLE).splitlines()[0],
    }
    versions.update((name, _package_version(name)) for name in _PACKAGES)
    return versions


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return UNAVAILABLE


def _libbpf_version() -> str:
    try:
        version_string = ctypes.CDLL("libbpf.so.1").libbpf_version_string
    except (OSError, AttributeError):
        return UNAVAILABLE
    version_string.restype = ctypes.c_char_p
    return str(version_string().decode()).lstrip("v")
