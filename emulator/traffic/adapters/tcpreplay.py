"""tcpreplay: the very frames of a capture, sent from a node.

Sent is what tcpreplay says in its statistics, received what the interface at the far end has taken
in meanwhile, by the kernel's counter, once it has become quiet: every frame counts there, also one
that tcpreplay has not sent, such as a question for an address. Bytes are those of Ethernet frames
without their check sequence; a capture that cut frames short sends them short.

A frame gets to the other end only if its addresses lead there. ``rewrite_macs`` gives each frame
the MAC addresses of the way, by tcprewrite; IP addresses stay as they are.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emulator.errors import MachineError, MeasurementError, UsageError
from emulator.traffic.adapters.base import PathTool, ToolResult, impossible, told_version
from emulator.traffic.adapters.running import (
    ArrivalCounter,
    Arrived,
    Finished,
    failed,
    plain,
    run,
    way,
)
from emulator.traffic.path import NetworkPath, ProbeNode

_REWRITE_WITHIN_S = 600.0
_ACTUAL = re.compile(
    r"^Actual: (\d+) packets \((\d+) bytes\) sent in ([\d.]+) seconds", re.MULTILINE
)
_COUNTS = {
    "successful_packets": re.compile(r"^\s*Successful packets:\s+(\d+)", re.MULTILINE),
    "failed_packets": re.compile(r"^\s*Failed packets:\s+(\d+)", re.MULTILINE),
    "truncated_packets": re.compile(r"^\s*Truncated packets:\s+(\d+)", re.MULTILINE),
    "retried_enobufs": re.compile(r"^\s*Retried packets \(ENOBUFS\):\s+(\d+)", re.MULTILINE),
    "retried_eagain": re.compile(r"^\s*Retried packets \(EAGAIN\):\s+(\d+)", re.MULTILINE),
}
_bad = partial(impossible, "tcpreplay")


@dataclass(frozen=True)
class TcpreplaySpec:
    """What to replay, and how fast: at most one of the four; none: as fast as it was captured.

    Args:
        capture: the file, pcap or pcapng.
        rate_pps: packets per second.
        rate_bps: bits per second of frames.
        multiplier: of the capture's own pace.
        topspeed: as fast as it can.
        loops: how often the capture is sent.
        most_packets: stop after so many; None: all.
        duration_s: stop after so many whole seconds; None: at the end.
        timeout_s: a replay that is not over by then has failed.
        rewrite_macs: give the frames the MAC addresses of the way.
        preload: read the capture into memory first.

    Raises:
        UsageError: a value makes no sense, or there is no such file.
    """

    capture: Path | str = ""
    rate_pps: float | None = None
    rate_bps: float | None = None
    multiplier: float | None = None
    topspeed: bool = False
    loops: int = 1
    most_packets: int | None = None
    duration_s: int | None = None
    timeout_s: float = 600.0
    rewrite_macs: bool = False
    preload: bool = False

    def __post_init__(self) -> None:
        if not self.capture:
            raise UsageError("there is no capture to replay", where="tcpreplay capture")
        if not Path(self.capture).is_file():
            raise UsageError("there is no such file", where=str(self.capture))
        paces = {"rate_pps": self.rate_pps, "rate_bps": self.rate_bps}
        for name, value in {**paces, "multiplier": self.multiplier}.items():
            if value is not None and not 0 < value < math.inf:
                raise _bad(name, value, "it is above 0")
        given = [name for name, value in paces.items() if value is not None]
        given += ["multiplier"] if self.multiplier is not None else []
        given += ["topspeed"] if self.topspeed else []
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)} are too many paces for one replay",
                where="tcpreplay",
                hint="give one of them, or none for the capture's own",
            )
        if self.loops < 1:
            raise _bad("loops", self.loops, "1 or more")
        if self.most_packets is not None and self.most_packets < 1:
            raise _bad("most_packets", self.most_packets, "1 or more; None: all")
        if self.duration_s is not None and (self.duration_s < 1 or self.duration_s % 1):
            raise _bad("duration_s", self.duration_s, "whole seconds, from 1 on; None: to the end")
        if not 0 < self.timeout_s < math.inf:
            raise _bad("timeout_s", self.timeout_s, "it is above 0")


class Tcpreplay(PathTool[TcpreplaySpec]):
    """tcpreplay at the source, the interface's counter at the destination."""

    name = "tcpreplay"
    summary = "the frames of a capture, replayed"
    program = "tcpreplay"
    remedy = "apt-get install tcpreplay"
    spec = TcpreplaySpec

    def _version(self) -> str:
        return told_version([self.program, "--version"], r"tcpreplay version: (\S+)")

    def measure(
        self, source: ProbeNode, destination: ProbeNode, spec: TcpreplaySpec | None = None
    ) -> ToolResult:
        spec = spec or TcpreplaySpec()
        path = way(source, destination)
        version = "unknown" if self.why_not() else self._version()
        with _capture_for(spec, path) as capture, open(capture, "rb") as file:
            # By its descriptor, so that a node in a container can read it too.
            reachable = f"/proc/self/fd/{file.fileno()}"
            command = command_for(spec, path.source_interface)
            counter = ArrivalCounter(destination, path.destination_interface)
            done = run(
                source,
                [*command, reachable],
                seconds=spec.duration_s or spec.timeout_s,
                remedy=self.remedy,
                pass_fds=(file.fileno(),),
            )
            arrived = counter.when_quiet()
        if done.status:
            raise failed(self.name, done, source, "is it a capture, in pcap or pcapng?")
        command = [*command, str(spec.capture)]
        return result_of(done, arrived, spec, source, destination, command, version)


def command_for(spec: TcpreplaySpec, interface: str) -> list[str]:
    """The command line but for the file at its end."""
    command = ["tcpreplay", f"--intf1={interface}", f"--loop={spec.loops}"]
    if spec.rate_pps is not None:
        command.append(f"--pps={spec.rate_pps:.3f}")
    if spec.rate_bps is not None:
        command.append(f"--mbps={spec.rate_bps / 1e6:.6f}")
    if spec.multiplier is not None:
        command.append(f"--multiplier={spec.multiplier:g}")
    if spec.topspeed:
        command.append("--topspeed")
    if spec.most_packets is not None:
        command.append(f"--limit={spec.most_packets}")
    if spec.duration_s is not None:
        command.append(f"--duration={int(spec.duration_s)}")
    if spec.preload:
        command.append("--preload-pcap")
    return command


def rewrite_command(capture: Path | str, rewritten: Path, path: NetworkPath) -> list[str]:
    """The command line that gives each frame of a capture the MAC addresses of the way.

    What was captured without Ethernet headers, such as on a tunnel, gets some.
    """
    return [
        "tcprewrite",
        "--dlt=enet",
        f"--enet-smac={path.source_mac}",
        f"--enet-dmac={path.next_hop_mac}",
        f"--infile={capture}",
        f"--outfile={rewritten}",
    ]


def result_of(
    done: Finished,
    arrived: Arrived,
    spec: TcpreplaySpec,
    source: ProbeNode,
    destination: ProbeNode,
    command: list[str],
    version: str,
) -> ToolResult:
    """What its statistics say, beside what has arrived.

    Raises:
        MeasurementError: there are no statistics.
    """
    actual = _ACTUAL.search(done.output)
    facts = read_counts(done.output)
    if actual is None or "successful_packets" not in facts:
        raise failed("tcpreplay", done, source)
    sent = facts["successful_packets"]
    notes = ["received is what the far interface took in: frames of others count too"]
    if facts.get("failed_packets"):
        notes.append(f"{facts['failed_packets']} frames could not be sent: larger than the MTU?")
    if arrived.packets > sent:
        notes.append(f"{arrived.packets - sent} more frames have arrived than tcpreplay has sent")
    return ToolResult(
        tool="tcpreplay",
        version=version,
        source=source.name,
        destination=destination.name,
        command=tuple(command),
        protocol="frames",
        duration_s=float(actual[3]),
        sent_packets=sent,
        received_packets=arrived.packets,
        lost_packets=max(0, sent - arrived.packets),
        sent_bytes=int(actual[2]),
        received_bytes=arrived.bytes,
        bytes_of="frame",
        facts={**facts, "rewritten": spec.rewrite_macs, "dropped_packets": arrived.dropped},
        output={"tcpreplay.txt": done.output + done.errors},
        notes=tuple(notes),
    )


def read_counts(text: str) -> dict[str, int]:
    """The counts in tcpreplay's statistics, by name."""
    found = ((name, pattern.search(text)) for name, pattern in _COUNTS.items())
    return {name: int(match[1]) for name, match in found if match is not None}


@contextmanager
def _capture_for(spec: TcpreplaySpec, path: NetworkPath) -> Iterator[Path]:
    """The file to send: the capture, or a copy with other addresses that goes again."""
    if not spec.rewrite_macs:
        yield Path(spec.capture)
        return
    if shutil.which("tcprewrite") is None:
        raise MachineError("there is no tcprewrite", where="tcpreplay", hint=Tcpreplay.remedy)
    with tempfile.TemporaryDirectory(prefix="vnf-replay-") as folder:
        rewritten = Path(folder) / "rewritten.pcap"
        command = rewrite_command(spec.capture, rewritten, path)
        done = _run_here(command)
        if done.returncode:
            said = Finished(done.returncode, plain(done.stdout), plain(done.stderr)).last_lines()
            raise MeasurementError(
                f"tcprewrite failed: {said}",
                where=str(spec.capture),
                hint="is it a capture, in pcap or pcapng?",
            )
        yield rewritten


def _run_here(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_REWRITE_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(
            f"it did not end within {_REWRITE_WITHIN_S:.0f} s", where=command[0]
        ) from None
