"""Mininet's helpers: commands on the machine, addresses as numbers, classes with parameters."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from emulator.compat.mininet.log import output
from emulator.compat.unsupported import refuse_names
from emulator.errors import MachineError, UsageError
from emulator.kernel.netns import ensure_root
from emulator.names import choice_hint
from emulator.names import natural as _natural

BaseString = str
Encoding = "utf-8"
Python3 = True


def decode(buf: bytes | str) -> str:
    """Bytes as text."""
    return buf if isinstance(buf, str) else buf.decode(Encoding, errors="replace")


def encode(buf: str | bytes) -> bytes:
    """Text as bytes."""
    return buf if isinstance(buf, bytes) else buf.encode(Encoding)


# Commands on the machine, outside the lab ---------------------------------------------------------


def errRun(*cmd: Any, shell: bool | None = None, echo: bool = False) -> tuple[str, str, int]:
    """Runs a command on the machine: what it printed, its errors, and its exit status.

    A single string is a shell's command line if it holds one, several values or a list are a
    program and its arguments.
    """
    words = cmd[0] if len(cmd) == 1 else cmd
    line: Any = words
    if isinstance(words, str):
        if shell is None:
            shell = any(sign in words for sign in "|&;<>$`*?()~")
        line = words if shell else shlex.split(words)
    else:
        line = [str(word) for word in words]
        if shell:
            line = " ".join(line)
    try:
        done = subprocess.run(line, shell=bool(shell), capture_output=True, check=False)
    except FileNotFoundError as error:
        raise MachineError(
            f"there is no program {error.filename}", hint="is it installed?"
        ) from error
    out, err = decode(done.stdout), decode(done.stderr)
    if echo:
        output(out, err)
    return out, err, done.returncode


def errFail(*cmd: Any, **kwargs: Any) -> tuple[str, str, int]:
    """As :func:`errRun`, but a command that fails is an error."""
    out, err, status = errRun(*cmd, **kwargs)
    if status:
        raise MachineError(f"{cmd} ended with {status}: {err.strip()}")
    return out, err, status


def quietRun(cmd: Any, **kwargs: Any) -> str:
    """What a command on the machine prints, its errors with it."""
    out, err, _ = errRun(cmd, **kwargs)
    return out + err


def run(cmd: str) -> int:
    """Runs a program on the machine, on the script's own terminal; its exit status."""
    return subprocess.call(shlex.split(cmd))


def which(cmd: str, **_kwargs: Any) -> str:
    """The path of a program; empty when there is none."""
    return shutil.which(cmd) or ""


def ensureRoot() -> None:
    """Ends the script with a message unless it runs as root."""
    ensure_root("a lab")


def numCores() -> int:
    """How many CPUs this process may run on."""
    return len(os.sched_getaffinity(0))


def waitListening(
    client: Any = None,
    server: Any = "127.0.0.1",
    port: int | str = 80,
    timeout: float | None = None,
) -> bool:
    """Waits until something listens on a TCP port; whether it does.

    Args:
        client: the node to ask from; the machine when none is given.
        server: a node or an address.
    """
    address = server if isinstance(server, str) else server.IP()

    def listens() -> bool:
        with socket.socket() as asked:
            asked.settimeout(1)
            return asked.connect_ex((address, int(port))) == 0

    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        found = listens() if client is None else client.living().netns.run(listens)
        if found:
            return True
        if deadline is not None and time.monotonic() >= deadline:
            output(f"could not connect to {server} on port {port}\n")
            return False
        time.sleep(0.1)


def pmonitor(
    popens: dict[Any, subprocess.Popen[Any]],
    timeoutms: float | None = 500,
    readline: bool = True,
    readmax: int = 1024,
) -> Iterator[tuple[Any, str]]:
    """What processes print, as ``(key, text)``, until all of them have ended.

    Processes that end are taken out of ``popens``. When nothing comes within the time, it yields
    ``(None, "")``.
    """
    by_fd = {}
    poller = select.poll()
    for key, process in popens.items():
        stream = process.stdout
        if stream is None:
            raise UsageError(
                f"the output of {key} cannot be read", hint="start it with stdout=PIPE"
            )
        by_fd[stream.fileno()] = key
        poller.register(stream, select.POLLIN | select.POLLHUP)
    kept: dict[int, bytes] = dict.fromkeys(by_fd, b"")
    while by_fd:
        ready = poller.poll(timeoutms)
        if not ready:
            yield None, ""
        for fd, _ in ready:
            data = os.read(fd, 65536 if readline else readmax)
            key = by_fd[fd]
            if not data:
                if kept[fd]:
                    yield key, decode(kept[fd])
                poller.unregister(fd)
                del by_fd[fd]
                popens.pop(key).wait()
            elif readline:
                *lines, kept[fd] = (kept[fd] + data).split(b"\n")
                for line in lines:
                    yield key, decode(line) + "\n"
            else:
                yield key, decode(data)


# What a network looks like ------------------------------------------------------------------------


def dumpNodeConnections(nodes: Iterable[Any]) -> None:
    """Prints, for each node, which interface leads to which."""
    for node in nodes:
        output(node.name)
        for intf in node.intfList():
            output(f" {intf}:")
            if intf.link:
                ends = [intf.link.intf1, intf.link.intf2]
                ends.remove(intf)
                output(str(ends[0]))
            else:
                output(" ")
        output("\n")


def dumpNetConnections(net: Any) -> None:
    """Prints the connections of all nodes of a network."""
    dumpNodeConnections([*net.controllers, *net.switches, *net.hosts])


def dumpPorts(switches: Iterable[Any]) -> None:
    """Prints the ports of switches: interface and number."""
    for switch in switches:
        ports = "".join(f"{intf}:{switch.ports[intf]} " for intf in switch.intfList())
        output(f"{switch.name} {ports}\n")


# Addresses ----------------------------------------------------------------------------------------


def _colonHex(val: int, bytecount: int) -> str:
    return val.to_bytes(bytecount, "big").hex(":")


def macColonHex(mac: int) -> str:
    """A number as a MAC address."""
    return _colonHex(mac, 6)


def ipStr(ip: int) -> str:
    """A number as an IPv4 address."""
    return ".".join(str(ip >> shift & 0xFF) for shift in (24, 16, 8, 0))


def ipNum(w: int, x: int, y: int, z: int) -> int:
    """The four parts of an IPv4 address as one number."""
    return (w << 24) | (x << 16) | (y << 8) | z


def ipParse(ip: str) -> int:
    """An IPv4 address as a number; parts left out at the end are zero.

    Raises:
        UsageError: it is not an address.
    """
    parts = str(ip).split(".")
    if len(parts) > 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        raise UsageError(f"{ip} is not an IPv4 address", hint="write it as 10.0.0.1")
    return ipNum(*(int(part) for part in [*parts, "0", "0", "0"][:4]))


def netParse(ipstr: str) -> tuple[int, int]:
    """A network as ``(address, prefix length)``; without one it is that of the parts given.

    Raises:
        UsageError: it is not a network.
    """
    address, slash, length = str(ipstr).partition("/")
    if slash and not (length.isdecimal() and int(length) <= 32):
        raise UsageError(f"{ipstr} is not a network", hint="write it as 10.0.0.0/8")
    return ipParse(address), int(length) if slash else 8 * len(address.split("."))


def ipAdd(i: int, prefixLen: int = 8, ipBaseNum: int = 0x0A000000) -> str:
    """The i-th address of the network that an address lies in.

    Raises:
        UsageError: the network has no such address.
    """
    size = 1 << (32 - prefixLen)
    network = ipBaseNum & ~(size - 1)
    if not 0 <= i < size:
        raise UsageError(
            f"{ipStr(network)}/{prefixLen} has no address number {i}",
            hint="choose a larger network as ipBase",
        )
    return ipStr(network + i)


# Words and classes --------------------------------------------------------------------------------


def checkInt(s: str) -> bool:
    """Whether a text is a whole number."""
    return re.fullmatch(r"\s*[+-]?\d+\s*", s) is not None


def checkFloat(s: str) -> bool:
    """Whether a text is a number."""
    try:
        float(s)
    except ValueError:
        return False
    return True


def makeNumeric(s: str) -> Any:
    """A text as the number it is, or as it is."""
    return int(s) if checkInt(s) else float(s) if checkFloat(s) else s


def natural(text: object) -> list[str | int]:
    """A sorting key that compares the numbers in names as numbers."""
    return _natural(text)


def naturalSeq(t: Iterable[object]) -> list[list[str | int]]:
    """The natural key of each of several values."""
    return [natural(item) for item in t]


def irange(start: int, end: int) -> range:
    """From one number to another, with the latter."""
    return range(start, end + 1)


def custom(cls: Callable[..., Any], **params: Any) -> Callable[..., Any]:
    """A constructor with some parameters given; others may still be, or be given otherwise."""

    def customized(*args: Any, **kwargs: Any) -> Any:
        return cls(*args, **{**params, **kwargs})

    customized.__name__ = f"custom({cls.__name__},{params})"
    return customized


def splitArgs(argstr: str) -> tuple[str, list[Any], dict[str, Any]]:
    """``name,arg,key=value`` in its parts, numbers as numbers."""
    name, *words = argstr.split(",")
    args = [makeNumeric(word) for word in words if "=" not in word]
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return name, args, {key: makeNumeric(value) for key, value in pairs}


def customClass(classes: Mapping[str, Any], argStr: str) -> Callable[..., Any]:
    """The class of a name, with the parameters behind it: ``tc,bw=10``.

    Raises:
        UsageError: there is no class of that name.
    """
    name, args, params = splitArgs(argStr)
    if args:
        raise UsageError(f"{name} takes parameters by name only", where=argStr)
    if name not in classes:
        raise UsageError(f"there is no {name}", where=argStr, hint=choice_hint(name, classes))
    cls: Callable[..., Any] = classes[name]
    return custom(cls, **params) if params else cls


def specialClass(
    cls: type[Any],
    prepend: Iterable[type[Any]] | None = None,
    append: Iterable[type[Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    override: Mapping[str, Any] | None = None,
) -> type[Any]:
    """A subclass of a class, and of others, whose constructor has other parameters.

    Args:
        prepend, append: further bases, before or after the class.
        defaults: parameters for when none is given.
        override: parameters whatever is given.
    """
    # Kept as dicts here, since the callers of the class come later.
    given, forced = dict(defaults or {}), dict(override or {})

    def init(self: Any, *args: Any, **params: Any) -> None:
        super(made, self).__init__(*args, **{**given, **params, **forced})

    made: type[Any] = type(
        cls.__name__, (*(prepend or ()), cls, *(append or ())), {"__init__": init}
    )
    made.__module__ = cls.__module__
    return made


def buildTopo(topos: Mapping[str, Any], topoStr: str) -> Any:
    """The topology of a name with its arguments: ``tree,2,3``.

    Raises:
        UsageError: there is no topology of that name.
    """
    name, args, params = splitArgs(topoStr)
    if name not in topos:
        raise UsageError(
            f"there is no topology {name}", where=topoStr, hint=choice_hint(name, topos)
        )
    return topos[name](*args, **params)


__getattr__ = refuse_names("mininet.util")
