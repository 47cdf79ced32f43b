"""What a test could leave behind on the machine, and how to tell that it did.

The machine may be busy with the labs of others meanwhile, so a thing counts only when it is ours:
a process that carries this run's mark in its environment, a BPF program that no living process of
somebody else holds, a lab's record that nobody else keeps locked, a container of this run's own
Docker daemon.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from emulator.errors import MachineError
from emulator.hosts.groups import lab_folder
from emulator.kernel.bpf import all_ids
from emulator.kernel.cgroup import hierarchies
from emulator.paths import run_dir
from emulator.runtime.daemon_places import mounts_below

MARK = "BUILD_VNF_TEST_RUN"
docker_folder: Path | None = None
"""Where this run's Docker daemon has its things, as long as it runs."""
_DEADLINE_S = 30.0
"""The kernel ends namespaces one after the other, those of all who run labs at the same time."""
_POLL_S = 0.02


@dataclass(frozen=True)
class Belongings:
    """What there is at one moment, as names by kind."""

    processes: frozenset[str] = field(default_factory=frozenset)
    bpf_programs: frozenset[str] = field(default_factory=frozenset)
    lab_records: frozenset[str] = field(default_factory=frozenset)
    host_interfaces: frozenset[str] = field(default_factory=frozenset)
    named_namespaces: frozenset[str] = field(default_factory=frozenset)
    held_namespaces: frozenset[str] = field(default_factory=frozenset)
    containers: frozenset[str] = field(default_factory=frozenset)
    mounts: frozenset[str] = field(default_factory=frozenset)
    control_groups: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def now(cls) -> Belongings:
        """Take stock. BPF programs are left out without the right to list them."""
        return cls(
            processes=frozenset(_marked_processes()),
            bpf_programs=frozenset(_bpf_programs()),
            lab_records=frozenset(_names(run_dir())),
            host_interfaces=frozenset(_names(Path("/sys/class/net"))),
            named_namespaces=frozenset(_names(Path("/run/netns"))),
            held_namespaces=frozenset(_held_namespaces()),
            containers=frozenset(_containers()),
            mounts=frozenset(_mounts()),
            control_groups=frozenset(_control_groups()),
        )

    def since(self, before: Belongings) -> dict[str, list[str]]:
        """What there is now and was not before, by kind; empty when nothing is."""
        new = {
            kind: sorted(getattr(self, kind) - getattr(before, kind))
            for kind in self.__dataclass_fields__
        }
        new["bpf_programs"] = [each for each in new["bpf_programs"] if not _held_elsewhere(each)]
        new["lab_records"] = [each for each in new["lab_records"] if not _locked_elsewhere(each)]
        new["control_groups"] = [each for each in new["control_groups"] if not _of_living_lab(each)]
        new["mounts"] = [each for each in new["mounts"] if not _of_others_lab(each)]
        return {kind: names for kind, names in new.items() if names}


def wait_until_nothing_new(before: Belongings) -> dict[str, list[str]]:
    """What is still there some seconds later; the kernel frees some things a moment afterwards."""
    deadline = time.monotonic() + _DEADLINE_S
    while (new := Belongings.now().since(before)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return new


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _processes() -> Iterator[Path]:
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def _marked_processes() -> Iterator[str]:
    mark = f"{MARK}={os.environ.get(MARK, '')}".encode()
    for process in _processes():
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                # A zombie has no command line: its parent has still to collect it.
                yield f"{process.name} {command or '(zombie)'}"


def _bpf_programs() -> Iterator[str]:
    with suppress(MachineError):
        yield from (str(number) for number in all_ids("program"))


def _held_elsewhere(program: str) -> bool:
    pattern = re.compile(rf"^prog_id:\s+{program}$", re.MULTILINE)
    for process in _processes():
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            for descriptor in (process / "fdinfo").iterdir():
                with suppress(OSError):
                    if pattern.search(descriptor.read_text()):
                        return True
    return False


def _locked_elsewhere(record: str) -> bool:
    """Whether a living process of somebody else has the record's lock open."""
    lock = str(run_dir() / record / "lock")
    for process in _processes():
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == lock:
                        return True
    return not (run_dir() / record).exists()


def _held_namespaces() -> Iterator[str]:
    """Network namespaces this process holds open by a descriptor."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(descriptor)
            if target.startswith("net:["):
                yield f"{target} (descriptor {descriptor.name})"


def _control_groups() -> Iterator[str]:
    """Those of labs, in any hierarchy."""
    for top in dict.fromkeys(top for top, _ in hierarchies().values()):
        yield from (str(path) for path in top.glob(f"{lab_folder('')}*"))


def _of_living_lab(group: str) -> bool:
    lab = Path(group).name.removeprefix(lab_folder(""))
    return (run_dir() / lab).exists() and _locked_elsewhere(lab)


def _containers() -> Iterator[str]:
    """Containers of this run's Docker daemon, whether they run or not."""
    if docker_folder is not None:
        from docker import DockerClient

        client = DockerClient(base_url=os.environ["DOCKER_HOST"])
        try:
            for each in client.containers.list(all=True, sparse=True):
                yield f"{each.short_id} {each.attrs['Names']} {each.attrs['State']}"
        finally:
            client.close()


def _mounts() -> Iterator[str]:
    """Mounts in the folders of labs and of this run's Docker daemon."""
    folders = [run_dir()] if docker_folder is None else [run_dir(), docker_folder]
    for point in mounts_below(*folders):
        # The daemon mounts this one for itself.
        if docker_folder is None or point != docker_folder / "data":
            yield str(point)


def _of_others_lab(mount: str) -> bool:
    path = Path(mount)
    return path.is_relative_to(run_dir()) and _locked_elsewhere(
        path.relative_to(run_dir()).parts[0]
    )
