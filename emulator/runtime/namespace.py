"""The embedded runtime: a node is a network namespace, its processes live in the lab's own.

All processes of a lab share one PID namespace and one mount namespace. The first process of the
former, ``vnf-init``, ends when the emulator does, and the kernel then ends every other one; so no
process outlives its lab, even if the emulator is killed. The mount namespace shows the lab's own
``/proc`` and, in ``/etc/hosts``, the names of its nodes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from emulator.errors import LabError, MachineError
from emulator.kernel.mounts import MS_REC, MS_SLAVE, mount, mount_number, mounts_of
from emulator.kernel.netns import (
    CLONE_FS,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    Netns,
    ensure_root,
    setns,
    unshare,
)
from emulator.native_parts import native_part

_START_DEADLINE_S = 5.0
_END_DEADLINE_S = 3.0

Popen = subprocess.Popen[Any]
FindMounts = Callable[[int], int | None]
"""What knows of another mount namespace than the lab's: its descriptor, None for the lab's.

It is called in the lab's own, with a descriptor of the thread's folder in ``/proc``, and may leave
the thread in any other.
"""
T = TypeVar("T")


class Processes:
    """Starts processes inside a lab; all of them end when this is closed.

    One thread lives in the lab's PID and mount namespaces and starts every process from there, so
    the rest of the emulator stays in the machine's own.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._init: Popen | None = None
        self._mounts = -1
        self._thread_folder = -1
        self._root = b""
        self._lifeline = -1
        self._children: list[Popen] = []
        self.init_pid = 0

    def start(self, hosts_file: Path | None = None) -> None:
        """Begin those of a new lab. Have :meth:`close` called whatever happens from here on.

        Args:
            hosts_file: shown as ``/etc/hosts`` to every process of the lab.

        Raises:
            MachineError: without root, or without the compiled ``vnf-init``.
            LabError: when ``vnf-init`` cannot set up the namespaces.
        """
        ensure_root()
        program = native_part("vnf-init")
        self._begin(lambda: self._start_init(program, hosts_file))

    @classmethod
    def join(cls, init_pid: int) -> Processes:
        """The processes of a lab that another emulator owns; closing leaves them running."""
        ensure_root("reaching a running lab")
        made = cls()
        made.init_pid = init_pid
        try:
            made._begin(lambda: made._enter(init_pid))
        except BaseException:
            made.close()
            raise
        return made

    def popen(
        self, netns: Netns, args: Sequence[str] | str, **options: Any
    ) -> subprocess.Popen[Any]:
        """``subprocess.Popen`` inside the lab and ``netns``, with the same options.

        The environment is the emulator's own unless ``env`` is given; ``extra_env`` adds to it,
        ``mounts`` is a ``FindMounts``, for another mount namespace than the lab's, and
        ``take_terminal`` makes standard input the controlling terminal of a new session. A
        session of its own keeps a Ctrl-C typed at the emulator away from the process, unless
        ``start_new_session=False`` is given.

        Raises:
            OSError: as ``subprocess.Popen`` does, for instance when there is no such program.
            LabError: when the lab has ended.
        """
        options.setdefault("start_new_session", True)
        options.setdefault("cwd", os.getcwd())
        mounts = options.pop("mounts", None)
        extra_env = options.pop("extra_env", None)
        if extra_env:
            given = options.get("env")
            options["env"] = {**(os.environ if given is None else given), **extra_env}
        if options.pop("take_terminal", False):
            # It is what lets the kernel turn a Ctrl-C into a signal for the foreground process.
            args = ["setsid", "--ctty", *args]
            options["start_new_session"] = False

        def spawn() -> Popen:
            try:
                with self._inside(netns, mounts):
                    child = subprocess.Popen(args, **options)
            except OSError as error:
                # What a PID namespace answers when its first process is gone.
                if error.errno == errno.ENOMEM:
                    raise LabError(
                        "the lab's processes have ended", hint="stop the lab and start it again"
                    ) from error
                raise
            # Noted here, not by the caller, whom a Ctrl-C may have taken elsewhere by now.
            self._children = [known for known in self._children if known.returncode is None]
            self._children.append(child)
            return child

        child = self._call(spawn)
        if self._init is None:
            threading.Thread(target=_reap, args=(child,), name="reaper", daemon=True).start()
        return child

    def popen_logged(
        self, netns: Netns, args: Sequence[str], log: int, **options: Any
    ) -> subprocess.Popen[Any]:
        """Like ``popen``, with what it prints in a file."""
        return self.popen(netns, args, stdout=log, stderr=subprocess.STDOUT, **options)

    def prepare(self, netns: Netns, mounts: FindMounts) -> None:
        """Makes what would be made for the first process that is started there."""

        def visit() -> None:
            with self._inside(netns, mounts):
                pass

        self._call(visit)

    def close(self) -> None:
        """Ends every process of the lab: SIGTERM, a second of grace, SIGKILL."""
        try:
            # What an interrupted caller asked for may be half done, the first process too.
            with contextlib.suppress(LabError):
                self._call(lambda: None)
            if self._lifeline >= 0:
                self._end_init()
        finally:
            with self._gate:
                thread, self._thread = self._thread, None
                if thread is not None:
                    self._requests.put(None)
            if thread is not None:
                thread.join()
            for name in ("_home", "_mounts", "_thread_folder"):
                fd = getattr(self, name)
                if fd >= 0:
                    setattr(self, name, -1)
                    os.close(fd)

    def let_go(self) -> None:
        """What a forked process does: its copies would keep the lab alive when its owner dies."""
        self._thread = None
        for name in ("_lifeline", "_home", "_mounts", "_thread_folder"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)

    def _begin(self, enter: Callable[[], None]) -> None:
        def begin() -> None:
            # The lab has a /proc of its own, in which this thread is not to be found.
            where = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._thread_folder = os.open("/proc/thread-self", where)
            enter()

        self._thread = threading.Thread(target=self._serve, name="lab-processes", daemon=True)
        self._thread.start()
        self._call(begin)

    @contextlib.contextmanager
    def _inside(self, netns: Netns, mounts: FindMounts | None) -> Iterator[None]:
        setns(netns.fd, CLONE_NEWNET)
        try:
            if mounts is not None:
                found = mounts(self._thread_folder)
                self._move(self._mounts if found is None else found)
            yield
        finally:
            setns(self._home, CLONE_NEWNET)
            if mounts is not None:
                self._move(self._mounts)

    def _move(self, mounts: int) -> None:
        setns(mounts, CLONE_NEWNS)
        if self._root:
            os.chroot(self._root)

    def _find_root(self, root: str) -> None:
        """Take note of where in the lab's mount namespace the root directory is, and go there.

        Elsewhere than at its own root when the emulator runs in a chroot. Whoever moves to another
        mount namespace leaves that behind.

        Args:
            root: the path of the root directory, of the thread's folder in ``/proc`` if relative.
        """
        thread, how = self._thread_folder, os.O_PATH | os.O_CLOEXEC
        here = os.open(root, how, dir_fd=thread)
        try:
            setns(self._mounts, CLONE_NEWNS)
            top = os.open("/", how)
            try:
                numbers = [mount_number(thread, each) for each in (here, top)]
            finally:
                os.close(top)
        finally:
            os.close(here)
        if numbers[0] != numbers[1]:
            found = (each.point for each in mounts_of(thread) if each.number == numbers[0])
            self._root = next(found)
            os.chroot(self._root)

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _call(self, function: Callable[[], T]) -> T:
        future: Future[T] = Future()

        def carry_out() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised on the caller's thread
                future.set_exception(error)

        with self._gate:
            if self._thread is None:
                raise LabError(
                    "the lab has ended, or another process owns it",
                    hint="start it again; a forked process can reach it by Network.attach",
                )
            self._requests.put(carry_out)
        return future.result()

    def _start_init(self, program: Path, hosts_file: Path | None) -> None:
        unshare(CLONE_FS | CLONE_NEWNS | CLONE_NEWPID)
        _follow_mounts()
        self._mounts = os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._thread_folder)
        self._find_root("/")
        life_read, self._lifeline = os.pipe()
        ready_read, ready_write = os.pipe()
        shown = [str(hosts_file)] if hosts_file and Path("/etc/hosts").exists() else []
        try:
            self._init = subprocess.Popen(
                [str(program), str(life_read), str(ready_write), *shown],
                pass_fds=(life_read, ready_write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        finally:
            os.close(life_read)
            os.close(ready_write)
        self.init_pid = self._init.pid
        try:
            heard = select.poll()
            heard.register(ready_read, select.POLLIN)
            if not heard.poll(_START_DEADLINE_S * 1000) or os.read(ready_read, 1) != b"r":
                raise LabError(f"the lab's first process failed: {self._last_words()}")
        finally:
            os.close(ready_read)

    def _enter(self, init_pid: int) -> None:
        unshare(CLONE_FS)
        spaces = f"/proc/{init_pid}/ns"
        self._mounts = os.open(f"{spaces}/mnt", os.O_RDONLY | os.O_CLOEXEC)
        fd = os.open(f"{spaces}/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd, CLONE_NEWPID)
        finally:
            os.close(fd)
        self._find_root(f"../../../{init_pid}/root")

    def _last_words(self) -> str:
        assert self._init is not None
        self._init.kill()
        _, errors = self._init.communicate()
        return str(errors.decode(errors="replace").strip() or "it said nothing")

    def _end_init(self) -> None:
        lifeline, self._lifeline = self._lifeline, -1
        # A broken pipe says that it is gone already, and everything in the lab with it.
        with contextlib.suppress(BrokenPipeError):
            os.write(lifeline, b"t")
        os.close(lifeline)
        if self._init is None:
            return
        # The kernel lets the first process go only when all others have been reaped, and those
        # that we started are ours to reap.
        try:
            for child in self._children:
                child.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._init.send_signal(signal.SIGKILL)
            for child in self._children:
                child.wait()
        if self._init.stderr is not None:
            self._init.stderr.close()
        try:
            self._init.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            # Dead, but kept by a dead process that somebody else in the lab started and has not
            # reaped. Nothing runs any more, and it goes when they do.
            threading.Thread(target=self._init.wait, name="reaper", daemon=True).start()
        self._init = None
        self._children = []


def _reap(child: Popen) -> None:
    """Takes note of a child's end at once: until then, its lab could not end either."""
    with contextlib.suppress(ProcessLookupError):  # it has been reaped already
        fd = os.pidfd_open(child.pid)
        try:
            ended = select.poll()
            ended.register(fd, select.POLLIN)
            ended.poll()
        finally:
            os.close(fd)
    child.poll()


def _follow_mounts() -> None:
    """New mounts of the machine appear in the lab; the lab's own stay in the lab."""
    try:
        mount("none", "/", None, MS_REC | MS_SLAVE)
    except OSError as error:
        raise MachineError(
            f"the lab cannot have mounts of its own: {error.strerror}",
            where="/",
            hint="the root directory must be a mount point, which in a plain chroot it is not:"
            " bind-mount it onto itself before entering",
        ) from error
