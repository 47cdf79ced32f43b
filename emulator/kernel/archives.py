"""Static libraries: what a program is linked with that has to run where there are none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emulator.errors import MachineError
from emulator.kernel.clang import find_cc, library_words

_PACKAGES = {
    "c": "libc6-dev",
    "m": "libc6-dev",
    "xdp": "libxdp-dev",
    "bpf": "libbpf-dev",
    "elf": "libelf-dev",
    "z": "zlib1g-dev",
    "zstd": "libzstd-dev",
    "numa": "libnuma-dev",
    "bsd": "libbsd-dev",
    "md": "libmd-dev",
    "atomic": "gcc",
    "pcap": "libpcap-dev",
}
_SYSTEM = ("c", "m")
# Debian's libpcap.a can listen to D-Bus and to InfiniBand, for which it needs libraries that come
# without an archive. Its table of such sources ends where there is nothing.
_BARRED = ("dbus_create", "dbus_findalldevs", "rdmasniff_create", "rdmasniff_findalldevs")


@dataclass(frozen=True)
class Archives:
    """The static libraries of a program.

    Attributes:
        whole: linked completely, because they announce themselves and nobody calls them by name.
        rest: linked as far as they are needed.
    """

    whole: tuple[Path, ...]
    rest: tuple[Path, ...]

    def link_words(self) -> list[str]:
        """The linker's options, in the compiler's words."""
        return [
            "-Wl,--whole-archive",
            *map(str, self.whole),
            "-Wl,--no-whole-archive",
            "-Wl,--start-group",
            *map(str, self.rest),
            "-Wl,--end-group",
            *(f"-Wl,--defsym={symbol}=0" for symbol in _BARRED),
        ]

    def identity(self) -> list[str]:
        """What changes when one of them is replaced, by an upgrade for instance."""
        return [
            f"{status.st_size} {status.st_mtime_ns}"
            for status in (path.stat() for path in (*self.whole, *self.rest))
        ]


def find_archives(*libraries: str) -> Archives:
    """The static libraries of what pkg-config calls so, of all they rest on, and of C itself.

    Raises:
        MachineError: one is not installed.
    """
    words = library_words("--static", "--libs-only-l", names=libraries)
    names = (word.removeprefix("-l") for word in words if word.startswith("-l"))
    return Archives((), _find_all((*names, *_SYSTEM)))


def find_dpdk_archives(drivers: Sequence[str], others: Iterable[str]) -> Archives:
    """DPDK's static libraries, with these drivers (``net_memif``) and what they rest on.

    Args:
        drivers: a name that ends in ``?`` is left out where it is missing.
        others: the names of other libraries, as far as DPDK was built with them.

    Raises:
        MachineError: one is not installed.
    """
    folder = Path(library_words("--variable=libdir", names=["libdpdk"])[0])
    built_with = library_words("--static", "--libs-only-l", names=["libdpdk", "libelf"])
    whole = []
    for name in ("eal", "ethdev", *drivers):
        path = folder / f"librte_{name.rstrip('?')}.a"
        if path.is_file():
            whole.append(path)
        elif not name.endswith("?"):
            raise _missing(path.name, "libdpdk-dev")
    # Which of these the drivers need differs by version; the linker finds out.
    listed = library_words("--libs-only-l", names=["libdpdk"])
    core = [folder / f"lib{word.removeprefix('-l')}.a" for word in listed]
    rest = _find_all((*(name for name in others if f"-l{name}" in built_with), *_SYSTEM))
    return Archives(tuple(whole), (*(path for path in core if path.is_file()), *rest))


def _find_all(names: Iterable[str]) -> tuple[Path, ...]:
    compiler = find_cc()
    return tuple(_find(name, compiler) for name in dict.fromkeys(names))


@cache
def _find(name: str, compiler: Path) -> Path:
    file = f"lib{name}.a"
    done = subprocess.run(
        [compiler, f"-print-file-name={file}"], capture_output=True, text=True, check=True
    )
    # A compiler that knows no such file repeats its name.
    path = Path(done.stdout.strip())
    if not path.is_absolute():
        raise _missing(file, _PACKAGES.get(name, f"lib{name}-dev"))
    return path.resolve()


def _missing(file: str, package: str) -> MachineError:
    return MachineError(
        f"the static library {file} is not installed",
        where="image",
        hint=f"apt-get install {package}",
    )
