"""Energy that the processor's packages and memory have used, by the counters of RAPL.

A zone is a package, a part of one (core, uncore, dram) or all of the platform (psys). They
overlap: a package holds its cores, the platform holds the packages. What they measure is the whole
chip's, with all that runs on it, not one process's.

Source: the kernel's Documentation/power/powercap/powercap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.unavailable import Unavailable

POWERCAP = Path("/sys/class/powercap")
_ADDED = ("package", "dram")
"""What makes up the energy of the machine's processors and memory, each counted once."""


@dataclass(frozen=True)
class EnergyReading:
    """A zone at one moment.

    Attributes:
        name: ``package-0``, or of a part ``package-0/dram``.
        energy_uj: since some moment; starts over from 0 beyond ``range_uj``.
    """

    name: str
    energy_uj: int
    range_uj: int


def read_energy(*, powercap: Path = POWERCAP) -> dict[str, EnergyReading] | Unavailable:
    """Every zone, by the name of its folder."""
    folders = sorted(powercap.glob("intel-rapl:*"))
    if not folders:
        return Unavailable(
            "there are no RAPL counters below /sys/class/powercap, as in most virtual machines"
        )
    found = {}
    for folder in folders:
        try:
            name = (folder / "name").read_text().strip()
            number = folder.name.count(":")
            if number > 1:
                above = powercap / folder.name.rpartition(":")[0] / "name"
                name = f"{above.read_text().strip()}/{name}"
            found[folder.name] = EnergyReading(
                name=name,
                energy_uj=int((folder / "energy_uj").read_text()),
                range_uj=int((folder / "max_energy_range_uj").read_text()),
            )
        except PermissionError:
            return Unavailable("the RAPL counters are for root only")
        except OSError as error:
            return Unavailable(f"the RAPL counters cannot be read: {error.strerror}")
    return found


def joules_between(
    before: Mapping[str, EnergyReading], after: Mapping[str, EnergyReading]
) -> dict[str, float]:
    """The energy of each zone between two readings, by its name.

    A counter is taken to have started over once at most: at 200 W, one of 32 bits in units of
    61 µJ does so every 22 minutes.
    """
    spent = {}
    for folder, later in after.items():
        if folder in before:
            uj = later.energy_uj - before[folder].energy_uj
            if uj < 0:
                uj += later.range_uj + 1
            spent[later.name] = uj / 1e6
    return spent


def total_joules(zones: Mapping[str, float]) -> float:
    """Of all packages and their memory, each counted once; platform and cores are part of others
    or hold others."""
    return sum(joules for name, joules in zones.items() if name.split("/")[-1].startswith(_ADDED))
