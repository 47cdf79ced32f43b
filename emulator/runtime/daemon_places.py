"""Where a private Docker daemon keeps its things, how it is configured, and its processes.

It shares nothing with a daemon of the machine: folders, sockets, control groups and containerd
are its own, and it is told to leave the network alone. Its processes are known by their command
lines, which name files that only this daemon has.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from emulator.errors import MachineError, UsageError

FOLDER_VARIABLE = "BUILD_VNF_DOCKER_DIR"
"""Names a folder that holds all of the daemon, in place of those under /var/lib and /run."""

_DEFAULT_NAME = "build-vnf-docker"
_OWN_MARK = ".build-vnf"
"""In the data folder: that it was made here, so that it may be used and removed."""
_LONGEST_FOLDER = 60
"""The path of a socket has 107 characters, and the daemon's lie some folders deep."""
_CONNECT_DEADLINE_S = 10.0
_MNT_DETACH = 2
_SYSTEM_CONFIG = Path("/etc/docker/daemon.json")
_REGISTRY_KEYS = ("registry-mirrors", "insecure-registries", "proxies")
"""Of the machine's own configuration, what says how images are pulled here."""
_UNUSED_PLUGINS = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.nri.v1.nri",
    "io.containerd.internal.v1.opt",
)
"""Of containerd's plugins, in any version, those that have places outside of its own folders."""

Role = Literal["dockerd", "containerd", "shim"]


@dataclass(frozen=True)
class Places:
    """Where a private daemon keeps its things.

    Attributes:
        data: images and containers; outlives the daemon.
        run: sockets, configuration and mounts; gone when the daemon has been stopped.
        log: what the daemon and its containerd wrote since the last start.
    """

    data: Path
    run: Path
    log: Path

    @property
    def socket(self) -> Path:
        """Where the daemon answers."""
        return self.run / "sock"

    @property
    def url(self) -> str:
        """The same as an address for clients."""
        return f"unix://{self.socket}"

    @property
    def config(self) -> Path:
        return self.run / "daemon.json"

    @property
    def containerd_config(self) -> Path:
        return self.run / "containerd.toml"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def lock(self) -> Path:
        return self.run.with_name(f"{self.run.name}.lock")


def private_places() -> Places:
    """The places of this user's private daemon: the machine's, or ``$BUILD_VNF_DOCKER_DIR``.

    Raises:
        UsageError: the variable names no folder that can be used.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if not given:
        return Places(
            data=Path("/var/lib/build-vnf/docker"),
            run=Path("/run") / _DEFAULT_NAME,
            log=Path("/var/log") / f"{_DEFAULT_NAME}.log",
        )
    folder = Path(os.path.normpath(given))
    where = f"${FOLDER_VARIABLE}"
    if not folder.is_absolute():
        raise UsageError(f"{given!r} is not an absolute path", where=where)
    if len(str(folder)) > _LONGEST_FOLDER:
        raise UsageError(
            f"the path has {len(str(folder))} characters, too many for sockets in it",
            where=where,
            hint=f"at most {_LONGEST_FOLDER}",
        )
    if any(character in str(folder) for character in '"\\\n'):
        raise UsageError(
            f"{given!r} has characters that configuration files cannot name", where=where
        )
    return Places(data=folder / "data", run=folder / "run", log=folder / "log")


@dataclass(frozen=True)
class DaemonProcess:
    """A living process of a private daemon."""

    pid: int
    role: Role


def find_processes(places: Places) -> list[DaemonProcess]:
    """The living processes of the daemon at these places, its containers' own not among them."""
    keys: dict[str, Role] = {
        str(places.config): "dockerd",
        str(places.containerd_config): "containerd",
        str(places.containerd_socket): "shim",
    }
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                role = _role((process / "cmdline").read_bytes(), keys)
                if role is not None:
                    found.append(DaemonProcess(int(process.name), role))
    return found


def _role(command_line: bytes, keys: Mapping[str, Role]) -> Role | None:
    words = os.fsdecode(command_line).split("\0")
    if not re.match(r"dockerd|containerd", os.path.basename(words[0])):
        return None
    return next((keys[word] for word in words if word in keys), None)


def listener(path: Path) -> tuple[int, int]:
    """The process and the user that listen at a socket; process 0 is one that we cannot see.

    Raises:
        OSError: nobody listens.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_DEADLINE_S)
        try:
            connection.connect(os.fspath(path))
        except OSError as error:
            # Python says "path too long" without a number.
            raise error if error.errno else OSError(errno.ENAMETOOLONG, str(error)) from error
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def children_of(parents: Iterable[int]) -> list[int]:
    """The living processes whose parent is one of these."""
    wanted, children = set(parents), []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name before it may hold blanks and parentheses; the parent is 2 words behind.
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) in wanted:
                    children.append(int(process.name))
    return children


def prepare(places: Places) -> None:
    """Make the folders and write the configuration, over what a dead daemon left.

    Raises:
        UsageError: a folder holds something that no private daemon made.
        MachineError: the machine's own configuration cannot be read.
    """
    mark = places.data / _OWN_MARK
    if not mark.exists() and any(_has_content(folder) for folder in (places.data, places.run)):
        raise UsageError(
            "the folder holds something that no private Docker daemon made",
            where=str(places.data),
            hint=f"name an empty folder by ${FOLDER_VARIABLE}",
        )
    places.data.mkdir(mode=0o710, parents=True, exist_ok=True)
    mark.touch()
    places.run.mkdir(mode=0o700, exist_ok=True)
    places.log.parent.mkdir(parents=True, exist_ok=True)
    if places.log.exists():
        places.log.replace(places.log.with_name(f"{places.log.name}.old"))
    # The next start would take its number for that of a daemon that runs.
    (places.run / "pid").unlink(missing_ok=True)
    places.config.write_text(json.dumps(_configuration(places), indent=2) + "\n")
    places.containerd_config.write_text(_containerd_configuration(places))


def _has_content(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or next(folder.iterdir(), None) is not None)


def _configuration(places: Places) -> dict[str, object]:
    driver = _cgroup_driver()
    name = cgroup_name(places)
    return {
        **_registry_settings(),
        "data-root": str(places.data),
        "exec-root": str(places.run / "exec"),
        "pidfile": str(places.run / "pid"),
        "hosts": [places.url],
        "group": "root",
        "containerd": str(places.containerd_socket),
        # Labs wire their containers themselves; the machine's own network is left as it is.
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        # Containers outlive a daemon that is killed: the labs they belong to go on.
        "live-restore": True,
        "exec-opts": [f"native.cgroupdriver={driver}"],
        "cgroup-parent": f"{name.replace('-', '')}.slice" if driver == "systemd" else f"/{name}",
    }


def _containerd_configuration(places: Places) -> str:
    return f"""version = 2
root = "{places.data / "containerd"}"
state = "{places.run / "containerd"}"
disabled_plugins = {json.dumps(_UNUSED_PLUGINS)}

[grpc]
  address = "{places.containerd_socket}"
"""


def _registry_settings() -> dict[str, object]:
    try:
        settings = json.loads(_SYSTEM_CONFIG.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MachineError(
            f"Docker's configuration cannot be read: {error}", where=str(_SYSTEM_CONFIG)
        ) from error
    return {key: settings[key] for key in _REGISTRY_KEYS if key in settings}


def _cgroup_driver() -> str:
    """The one that Docker would choose: systemd's where that alone manages control groups."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return "systemd" if unified and Path("/run/systemd/system").is_dir() else "cgroupfs"


def cgroup_name(places: Places) -> str:
    """The control group above those of this daemon's containers."""
    if places.run.name == _DEFAULT_NAME:
        return _DEFAULT_NAME
    return f"{_DEFAULT_NAME}-{sha256(str(places.run).encode()).hexdigest()[:8]}"


def remove_data(places: Places) -> None:
    """Take away images and the log, too, if they are a private daemon's."""
    if (places.data / _OWN_MARK).exists():
        remove_tree(places.data)
        for log in (places.log, places.log.with_name(f"{places.log.name}.old")):
            log.unlink(missing_ok=True)


def unmount(places: Places) -> None:
    """Unmount all that is mounted in the daemon's folders.

    Raises:
        MachineError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    table = {mount.number: mount for mount in _mounts()}
    for mount in reversed(table.values()):
        # Images may lie on a disk of their own, which was there before the daemon and stays.
        if mount.point == places.data and not mount.is_of_itself(table[mount.parent]):
            continue
        if not mount.is_below(places.run, places.data):
            continue
        if libc.umount2(os.fsencode(mount.point), _MNT_DETACH) != 0:
            reason = os.strerror(ctypes.get_errno())
            # Nothing is removed then: what is mounted there may be somebody's files.
            raise MachineError(f"it cannot be unmounted: {reason}", where=str(mount.point))


def mounts_below(*folders: Path) -> list[Path]:
    """Where something is mounted at or below these folders, in the order of mounting."""
    return [mount.point for mount in _mounts() if mount.is_below(*folders)]


@dataclass(frozen=True)
class _Mount:
    """A line of ``/proc/self/mountinfo``; see proc_pid_mountinfo(5)."""

    number: int
    parent: int
    device: str
    root: Path
    point: Path
    kind: str

    def is_below(self, *folders: Path) -> bool:
        return any(self.point.is_relative_to(folder) for folder in folders)

    def is_of_itself(self, parent: _Mount) -> bool:
        """Whether a folder is mounted on itself, as the daemon does with the one of its data."""
        if not self.point.is_relative_to(parent.point) or self.device != parent.device:
            return False
        return self.root == parent.root / self.point.relative_to(parent.point)


def _mounts() -> Iterator[_Mount]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words, _, behind = line.partition(" - ")
        number, parent, device, root, point, *_ = words.split()
        paths = (Path(_plain(root)), Path(_plain(point)))
        yield _Mount(int(number), int(parent), device, *paths, behind.split()[0])


def _plain(path: str) -> str:
    """A path in which blanks and the like are written as a backslash and three octal digits."""
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), path)


def remove_cgroups(places: Places) -> None:
    """Take away the control groups of containers that have ended."""
    name = cgroup_name(places)
    for mount in _mounts():
        if mount.kind in ("cgroup", "cgroup2"):
            for folder, _, _ in os.walk(mount.point / name, topdown=False):
                # One that is not empty belongs to somebody who still runs.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def remove_shim_sockets(places: Places) -> None:
    """Take away the sockets of what watched over containers; they lie in a folder of containerd."""
    for note in (places.run / "containerd").glob("*/*/*/address"):
        with contextlib.suppress(OSError):
            Path(note.read_text().strip().removeprefix("unix://")).unlink()


def remove_tree(folder: Path) -> None:
    """Remove a folder, unless it is gone already.

    Raises:
        MachineError: it cannot be removed.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise MachineError(
            f"it cannot be removed: {error.strerror}", where=error.filename or str(folder)
        ) from error
