"""``build-vnf/base``: a small Debian for hosts and Dockerfiles, made where no registry answers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from emulator.errors import LabError, MachineError
from emulator.images.info import TITLE_LABEL, ImageInfo
from emulator.images.store import import_files, inspect_image
from emulator.kernel.netns import Netns, ensure_root
from emulator.plan.image_names import BASE_IMAGE
from emulator.runtime.engine import told
from emulator.runtime.namespace import Processes

if TYPE_CHECKING:
    from docker import DockerClient

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many of its parts are done, and how many there are."""

PACKAGES = ("iproute2", "iperf3", "iputils-ping", "procps", "tcpdump")
"""What it has beside Debian's smallest system."""
RECIPE_LABEL = "build-vnf.base"
"""On the base image: what it was made of."""

_SETTINGS = (
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    'CMD ["bash"]',
)
_USUAL_SUITE = "bookworm"
# Ubuntu keeps some of them apart.
_COMPONENTS = {"debian": "main", "ubuntu": "main,universe"}
_WORKSHOP = Path("/var/tmp")
_PREFIX = "build-vnf-base-"
_LOG_LINES = 5
# Lists that apt gets anew, papers, other languages, and what is this machine's own.
_LEFT_OUT = (
    "dev/",
    "etc/hostname",
    "etc/resolv.conf",
    "proc/",
    "sys/",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/man/",
    "var/cache/apt/",
    "var/lib/apt/lists/",
    "var/log/",
)
# As the licences want it.
_KEPT_PAPER = "/copyright"


def usual_suite() -> str:
    """The release to take: the machine's own where it is one, so that its keys fit."""
    system = _system()
    name = system.get("VERSION_CODENAME", "")
    return name if name and system.get("ID") in _COMPONENTS else _USUAL_SUITE


def make_base(
    client: DockerClient,
    *,
    suite: str | None = None,
    packages: Sequence[str] = (),
    rebuild: bool = False,
    progress: Progress | None = None,
) -> ImageInfo:
    """The base image, made by debootstrap if there is none that was made of the same.

    Args:
        suite: the release of Debian or Ubuntu; ``usual_suite()`` by default.
        packages: what it is to have beside ``PACKAGES``.
        rebuild: make it anew in any case, which gets newer packages.

    Raises:
        MachineError: root or debootstrap is missing, or no mirror of packages answers.
        LabError: debootstrap fails; the message has its last lines.
    """
    suite = suite or usual_suite()
    wanted = sorted({*PACKAGES, *packages})
    recipe = hashlib.sha256(json.dumps([suite, wanted, _LEFT_OUT]).encode()).hexdigest()
    before = inspect_image(client, BASE_IMAGE)
    if before is not None and not rebuild:
        with told(BASE_IMAGE):
            labels = client.images.get(before.id).labels
        if labels.get(RECIPE_LABEL) == recipe:
            return before
    ensure_root("making a base image")
    if shutil.which("debootstrap") is None:
        raise MachineError(
            "debootstrap is not installed", where=BASE_IMAGE, hint="apt-get install debootstrap"
        )
    with _workshop() as folder, tempfile.TemporaryFile() as archive:
        root = folder / "root"
        _bootstrap(root, suite, wanted, folder / "log", progress)
        if progress is not None:
            progress("importing the image", 0, 1)
        _pack(root, archive)
        archive.seek(0)
        labels = {TITLE_LABEL: f"base ({suite})", RECIPE_LABEL: recipe}
        return import_files(client, BASE_IMAGE, archive, labels, _SETTINGS, before)


def _bootstrap(
    root: Path, suite: str, packages: Sequence[str], log: Path, progress: Progress | None
) -> None:
    command = ["debootstrap", "--debian-installer", "--variant=minbase"]
    command.append(f"--components={_COMPONENTS.get(_system().get('ID', ''), 'main')}")
    command += [f"--include={','.join(packages)}", suite, str(root)]
    mirror = _mirror_of(suite)
    if mirror is not None:
        command.append(mirror)
    with ExitStack() as undo:
        # debootstrap mounts /proc and /sys in the folder: there, all that goes when we do.
        processes = Processes()
        undo.callback(processes.close)
        processes.start()
        netns = undo.enter_context(Netns.from_path("/proc/self/ns/net"))
        output = undo.enter_context(log.open("wb"))
        # It tells how far it is on descriptor 3, in a form for programs.
        process = processes.popen(
            netns,
            ["sh", "-c", 'exec "$@" 3>&1 1>&2', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
        assert process.stdout is not None
        undo.enter_context(process.stdout)
        error = follow_debootstrap(process.stdout, progress)
        if process.wait() == 0:
            return
    last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    quoted = "".join(f"\n    {line}" for line in last if line.strip())
    raise LabError(
        f"debootstrap fails: {error or f'exit status {process.returncode}'}{quoted}",
        where=suite,
        hint="a package or the suite may have another name, or no mirror answers",
    )


def follow_debootstrap(lines: Iterator[str], progress: Progress | None) -> str:
    """Report how far debootstrap is; returns its last error, empty without one.

    ``P: 3 20 NAME`` says how far, ``PF: text`` what it does, ``E: NAME`` begins an error, ``EA:``
    has an argument of it and ``EF:`` its text.
    """
    step, done, error = "making the base image", 0, ""
    arguments: list[str] = []
    for line in lines:
        kind, _, rest = line.rstrip("\n").partition(": ")
        words = rest.split()
        if kind == "P" and len(words) >= 2:
            done = 100 * int(words[0]) // max(1, int(words[1]))
        elif kind == "PF":
            step = rest[:1].lower() + rest[1:]
        elif kind == "E":
            arguments = []
        elif kind == "EA":
            arguments.append(rest)
        elif kind == "EF":
            for argument in arguments:
                rest = rest.replace("%s", argument, 1)
            error = rest
        # With a name, the line that says what it does is yet to come.
        if progress is not None and (kind == "PF" or (kind == "P" and len(words) == 2)):
            progress(step, min(done, 100), 100)
    return error


def _mirror_of(suite: str) -> str | None:
    """Where this machine itself gets packages of a release from, if it does."""
    if shutil.which("apt-get") is None:
        return None
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        words = line.split()
        # Others, such as cdrom:, are none that debootstrap reads.
        if words[:2] == [suite, "main"] and words[2].startswith(("http://", "https://")):
            return words[2]
    return None


def _pack(root: Path, stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, arcname=path.name, filter=_kept)


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    # Folders stay, for programs that write into them.
    if (
        entry.name.startswith(_LEFT_OUT)
        and not entry.isdir()
        and not entry.name.endswith(_KEPT_PAPER)
    ):
        return None
    entry.uname = entry.gname = ""
    return entry


@contextmanager
def _workshop() -> Iterator[Path]:
    """A folder to work in, gone afterwards; first those go that others left when they were killed.

    Who works in one holds it locked.
    """
    for left in _WORKSHOP.glob(f"{_PREFIX}*"):
        with suppress(OSError), _locked(left):
            if left.stat().st_uid == os.geteuid():
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_WORKSHOP))
    try:
        # debootstrap wants others to be able to look into what it makes.
        folder.chmod(0o755)
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _system() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
