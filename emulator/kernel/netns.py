"""Network namespaces held by nothing but a file descriptor.

No name is put into ``/run/netns``: when the process that holds the descriptor ends, by whatever
cause, the kernel takes the namespace and every interface in it back.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, Self, TypeVar

from emulator.closing import Closing
from emulator.errors import LabError, MachineError
from emulator.invocation import with_sudo

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_SELF = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
T = TypeVar("T")


def unshare(flags: int) -> None:
    """Moves the calling thread into new namespaces; ``OSError`` when the kernel refuses."""
    if _libc.unshare(flags):
        raise _error("unshare")


def setns(fd: int, kind: int) -> None:
    """Moves the calling thread into the namespace behind ``fd``; ``OSError`` when refused."""
    if _libc.setns(fd, kind):
        raise _error("setns")


def ensure_root(purpose: str = "running a lab") -> None:
    """Raises ``MachineError`` unless this process may create network namespaces."""
    if os.geteuid() != 0:
        command = with_sudo() or "the same command with sudo"
        raise MachineError(f"{purpose} needs root", hint=f"run {command}")


class Netns(Closing):
    """One network namespace, owned by the descriptor ``fd`` and gone when that is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls, *, ipv6: bool = False) -> Self:
        """A new, empty namespace with IPv6 off unless asked for.

        Raises:
            MachineError: without the right to create namespaces.
        """
        return cls.create_many(1, ipv6=ipv6)[0]

    @classmethod
    def create_many(cls, count: int, *, ipv6: bool = False) -> list[Self]:
        """``count`` new namespaces, made on one thread because that is several times faster."""
        ensure_root("creating network namespaces")
        made: list[Self] = []

        def make() -> None:
            for _ in range(count):
                unshare(CLONE_NEWNET)
                made.append(cls(os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)))
                configure_ipv6(ipv6)

        try:
            _on_thread(make)
        except BaseException as error:
            for namespace in made:
                namespace.close()
            if isinstance(error, OSError):
                raise MachineError(
                    f"the kernel refused a new network namespace: {error.strerror}",
                    hint="needs CAP_SYS_ADMIN and a limit above /proc/sys/user/max_net_namespaces",
                ) from error
            raise
        return made

    @classmethod
    def from_path(cls, path: str) -> Self:
        """The namespace behind a path such as ``/proc/PID/ns/net``; ``OSError`` if none is."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls ``function`` inside the namespace and returns, or raises, what it does.

        It runs on a thread of its own that ends with the call, so the caller's thread, on which a
        signal may strike at any moment, never leaves its own namespace. When a signal does take
        the caller away, what the function still returns is closed, if it can be.

        Raises:
            LabError: when the namespace has been given back.
        """
        if self.fd < 0:
            raise LabError("the namespace has been given back", hint="is the network running?")

        def inside() -> T:
            setns(self.fd, CLONE_NEWNET)
            return function(*args, **kwargs)

        return _on_thread(inside)

    def copy(self) -> Self:
        """Another hold of the same namespace."""
        return type(self)(fcntl.fcntl(self.fd, fcntl.F_DUPFD_CLOEXEC, 0))

    def close(self) -> None:
        """Lets go of the namespace; closing twice is allowed."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


def _on_thread(function: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    handover = threading.Lock()
    abandoned = False

    def target() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised on the caller's thread, below
            errors.append(error)
            return
        with handover:
            results.append(result)
            if abandoned:
                _close(results)

    thread = threading.Thread(target=target, name="netns", daemon=True)
    try:
        thread.start()
        thread.join()
    except BaseException:
        with handover:
            abandoned = True
            _close(results)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _close(results: list[T]) -> None:
    while results:
        close = getattr(results.pop(), "close", None)
        if close is not None:
            close()


def configure_ipv6(wanted: bool) -> None:
    """Prepares the namespace of the calling thread: IPv6 off, or so that addresses last."""
    if wanted:
        # An interface that goes down loses its IPv6 addresses otherwise, unlike its IPv4 ones.
        _turn_on("ipv6/conf/all/keep_addr_on_down")
        return
    for scope in ("all", "default"):
        _turn_on(f"ipv6/conf/{scope}/disable_ipv6")


def _turn_on(setting: str) -> None:
    try:
        fd = os.open(f"/proc/sys/net/{setting}", os.O_WRONLY)
    except FileNotFoundError:  # a kernel without IPv6 has no settings for it
        return
    os.write(fd, b"1")
    os.close(fd)


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
