"""How fast the CPUs run, and whether heat slows them down.

Sources: the kernel's Documentation/admin-guide/pm/cpufreq and, for the counters of throttling,
Documentation/ABI/testing/sysfs-devices-system-cpu.
"""

from __future__ import annotations

from pathlib import Path

from emulator.unavailable import Unavailable

SYSFS_CPUS = Path("/sys/devices/system/cpu")


def frequencies_hz(*, cpus: Path = SYSFS_CPUS) -> dict[int, int] | Unavailable:
    """The present frequency of each CPU, as its driver sees it."""
    found = _numbers(cpus, "cpufreq/scaling_cur_freq")
    if not found:
        return Unavailable("there is no cpufreq driver, as in most virtual machines")
    return {cpu: khz * 1000 for cpu, khz in found.items()}


def throttle_counts(*, cpus: Path = SYSFS_CPUS) -> dict[int, int] | Unavailable:
    """How often each CPU has slowed itself down because it was hot."""
    found = _numbers(cpus, "thermal_throttle/core_throttle_count")
    if not found:
        return Unavailable("the CPUs do not count when heat slows them down; those of Intel do")
    return found


def _numbers(cpus: Path, file: str) -> dict[int, int]:
    found = {}
    for folder in cpus.glob("cpu[0-9]*"):
        try:
            found[int(folder.name[3:])] = int((folder / file).read_text())
        except (OSError, ValueError):  # an offline CPU has no such file, or an empty one
            continue
    return dict(sorted(found.items()))
