"""The command that captures frames: to a file, or decoded while they pass."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from emulator.cli.outcome import stops_held
from emulator.cli.shell_complete import FILES
from emulator.cli.shell_registry import TRAFFIC, command
from emulator.errors import LabError, ResultsError, UsageError
from emulator.traffic.capture_file import SUFFIXES, CaptureFile

if TYPE_CHECKING:
    from emulator.cli.shell import Shell
    from emulator.traffic.sniffer import Frame, Sniffer

_LOOK_S = 0.3
_END_S = 10.0
_COLUMNS = (
    '"Time","%t","Interface","%Cus:frame.interface_name","Source","%s","Destination","%d",'
    '"Protocol","%p","Length","%L","Info","%i"'
)


@command("capture", "[NODE [FILE] [FILTER] [&]]", "port", FILES, group=TRAFFIC)
def _capture(shell: Shell, text: str) -> None:
    """Capture frames: capture h1 h1.pcapng icmp

    Those of all interfaces of a node, or of one: capture s1-eth2. With a FILE, which ends in
    .pcapng or .pcap, they are written there; otherwise each is decoded at once, by tshark where it
    is installed, and else in one line by scapy. FILTER is in the language of tcpdump, and names of
    nodes in it stand for their addresses: capture s1 host h1 and udp port 9999. Ctrl-C ends it.

    With & at the end it goes on in the background, to a file; capture alone lists those that do,
    and capture stop ends them: capture h1 h1.pcapng &
    """
    words = text.split()
    if not words:
        _list(shell)
    elif words == ["stop"]:
        _stop(shell)
    else:
        _begin(shell, text)


def _begin(shell: Shell, text: str) -> None:
    target, file, filter, behind = _read(shell, text)
    if behind:
        if file is None:
            hint = "capture h1 h1.pcapng &"
            raise UsageError("in the background it takes a file", where="capture", hint=hint)
        sniffer = shell.net.capture(target, file=file, filter=filter)
        shell.captures[f"{target} to {file}"] = sniffer
        _tell_of(shell, sniffer, file)
        return
    decoder = contextlib.nullcontext(None) if file is not None else _decoder(shell)
    with decoder as show:
        with stops_held():
            sniffer = shell.net.capture(target, file=file, filter=filter, on_frame=show)
        with sniffer:
            into = f"to {file}" if file is not None else f"decoded by {_decoder_name()}"
            shell.print(f"*** Capturing {target}, {into}; Ctrl-C ends it")
            _tell_of(shell, sniffer, file)
            shell.flush()
            try:
                _wait(shell, sniffer)
            except KeyboardInterrupt:
                if not shell.interactive:
                    raise
                shell.print("")
    shell.print(_told(sniffer))
    _raise_error(sniffer)


def _read(shell: Shell, text: str) -> tuple[str, str | None, str, bool]:
    """What is captured, the file, the filter, and whether in the background."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(str(error).lower(), where="capture") from error
    behind = words[-1:] == ["&"]
    if behind:
        words.pop()
    if not words:
        raise UsageError("what to capture is missing", where="capture", hint="capture h1")
    target, *rest = words
    file = rest.pop(0) if rest and (rest[0].endswith(SUFFIXES) or "/" in rest[0]) else None
    if file is not None and not file.endswith(SUFFIXES):
        hint = f"let its name end in {' or '.join(SUFFIXES[:2])}"
        raise UsageError(f"{file} is no name for a capture", where="capture", hint=hint)
    # Behind a first word that is no node's: in a command, that one is never replaced.
    filter = shell.with_addresses(f"filter {' '.join(rest)}")
    return target, file, filter.partition(" ")[2], behind


def _wait(shell: Shell, sniffer: Sniffer) -> None:
    from emulator.labs import record_written_ns

    while not sniffer.wait(_LOOK_S):
        # Where another process runs the lab, nothing else would say that it has ended.
        record_written_ns(shell.net.id)


def _list(shell: Shell) -> None:
    if not shell.captures:
        shell.print("no capture runs in the background")
    for name, sniffer in shell.captures.items():
        shell.print(f"{name}: {_told(sniffer).removeprefix('*** ')}")


def _stop(shell: Shell) -> None:
    if not shell.captures:
        raise UsageError("no capture runs in the background", where="capture stop")
    captures, shell.captures = shell.captures, {}
    for name, sniffer in captures.items():
        sniffer.close()
        shell.print(f"{name}: {_told(sniffer).removeprefix('*** ')}")
        _raise_error(sniffer)


def _told(sniffer: Sniffer) -> str:
    text = f"*** {sniffer.frames} frames captured"
    dropped = sniffer.dropped
    return f"{text}, {dropped} more came too fast and are lost to it" if dropped else text


def _tell_of(shell: Shell, sniffer: Sniffer, file: str | None) -> None:
    if sniffer.replaced:
        shell.print(f"*** {file} was there before: what was in it is gone")
    if sniffer.unseen:
        unseen = " and ".join(sniffer.unseen)
        shell.print(f"*** {unseen} goes to XDP programs, which a capture cannot see")


def _raise_error(sniffer: Sniffer) -> None:
    if sniffer.error is not None:
        raise sniffer.error


def _decoder_name() -> str:
    return "tshark" if shutil.which("tshark") else "scapy"


@contextlib.contextmanager
def _decoder(shell: Shell) -> Iterator[Callable[[Frame], object]]:
    """Shows frames while they pass."""
    tshark = shutil.which("tshark")
    if tshark is None:
        yield _line_printer()
        return
    shell.flush()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [tshark, "-l", "-n", "-o", f"gui.column.format:{_COLUMNS}", "-r", "-"],
            stdin=subprocess.PIPE,
            stderr=complaints,
            # Ctrl-C is for the capture; this one ends when it has shown all that was captured.
            process_group=0,
        )
        assert process.stdin is not None
        written = CaptureFile(process.stdin, names=True, where="tshark")
        try:

            def show(frame: Frame) -> None:
                written.write(frame)
                written.flush()

            yield show
        finally:
            with stops_held():
                _end(process, written)
        if process.returncode > 0:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            raise LabError(f"tshark failed: {lines[-1] if lines else process.returncode}")


def _end(process: subprocess.Popen[bytes], written: CaptureFile) -> None:
    with contextlib.suppress(ResultsError):
        written.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _line_printer() -> Callable[[Frame], object]:
    import scapy.layers.all  # noqa: F401 - so that it knows what is inside of frames
    from scapy.layers.l2 import Ether

    def show(frame: Frame) -> None:
        seconds, nanoseconds = divmod(frame.time_ns, 1_000_000_000)
        at = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{nanoseconds // 1000:06}"
        way = "out" if frame.outgoing else "in "
        sys.stdout.write(f"{at} {frame.interface} {way} {Ether(frame.data).summary()}\n")
        sys.stdout.flush()

    return show
