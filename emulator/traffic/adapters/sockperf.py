"""sockperf: round-trip times between two sockets, with the times of every message.

A server at the destination answers; the client at the source measures. In ``ping-pong`` the client
sends the next message when the answer to the last one is there, at most at the given rate. In
``under-load`` it sends at the rate whatever comes back, and asks for an answer to every n-th
message. What is measured includes the wake-ups of both processes, as of any application. The delay
counts from when a message was sent, not from when it was due.

sockperf leaves out the first 400 ms and the last 50 ms, of each run. All round-trip times come from
its log of every message (``--full-log``), counts from the summary at the head of that log. Times
are told in ns, by a clock that sockperf starts anew for each run.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from emulator.errors import MeasurementError
from emulator.traffic.adapters.base import (
    PathTool,
    ToolLatency,
    ToolResult,
    impossible,
    told_version,
)
from emulator.traffic.adapters.running import (
    Finished,
    await_port,
    failed,
    must_be_free,
    run,
    started,
    way,
)
from emulator.traffic.path import ProbeNode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_BYTES, _MOST_BYTES = 14, 65507
_LEFT_OUT_S = 0.45
_SILENCE_S = 0.1
_COLUMNS = ["packet", "txTime(sec)", "rxTime(sec)", "rtt(usec)"]
_RULE = re.compile(r"-{10,}")
_TOTAL = re.compile(
    r"\[Total Run\] RunTime=([\d.]+) sec.*?SentMessages=(\d+); ReceivedMessages=(\d+)"
)
_VALID = re.compile(
    r"\[Valid Duration\] RunTime=([\d.]+) sec; SentMessages=(\d+); ReceivedMessages=(\d+)"
)
_ODD = re.compile(
    r"# dropped messages = (\d+); # duplicated messages = (\d+); # out-of-order messages = (\d+)"
)
_bad = partial(impossible, "sockperf")


@dataclass(frozen=True)
class SockperfSpec:
    """What to ask of sockperf.

    Args:
        mode: ``ping-pong`` or ``under-load``.
        protocol: ``UDP`` or ``TCP``.
        duration_s: whole seconds; sockperf leaves 0.45 s of it out.
        message_bytes: payload of each message, and of the answer.
        rate_mps: messages per second; None: as fast as they go in ``ping-pong``, 10,000 in
            ``under-load``, which is sockperf's own default.
        reply_every: in ``under-load``, each so manyth message is answered and measured.
        port: of the server.

    Raises:
        UsageError: a value makes no sense.
    """

    mode: Literal["ping-pong", "under-load"] = "ping-pong"
    protocol: Literal["UDP", "TCP"] = "UDP"
    duration_s: int = 5
    message_bytes: int = 14
    rate_mps: int | None = None
    reply_every: int = 1
    port: int = 11111

    def __post_init__(self) -> None:
        if self.mode not in ("ping-pong", "under-load"):
            raise _bad("mode", self.mode, "ping-pong or under-load")
        if self.protocol not in ("UDP", "TCP"):
            raise _bad("protocol", self.protocol, "UDP or TCP")
        if self.duration_s < 1 or self.duration_s != int(self.duration_s):
            raise _bad("duration_s", self.duration_s, "sockperf knows whole seconds, from 1 on")
        if not _LEAST_BYTES <= self.message_bytes <= _MOST_BYTES:
            hint = f"{_LEAST_BYTES} to {_MOST_BYTES}"
            raise _bad("message_bytes", self.message_bytes, hint)
        if self.rate_mps is not None and (
            not 1 <= self.rate_mps < math.inf or self.rate_mps != int(self.rate_mps)
        ):
            raise _bad("rate_mps", self.rate_mps, "whole messages per second, from 1 on")
        if self.reply_every < 1:
            raise _bad("reply_every", self.reply_every, "1 is every message")
        if self.reply_every > 1 and self.mode == "ping-pong":
            raise _bad("reply_every", self.reply_every, "in ping-pong every message is answered")
        if not 1 <= self.port <= 65535:
            raise _bad("port", self.port, "1 to 65535")


class Sockperf(PathTool[SockperfSpec]):
    """sockperf between two nodes: a server at the destination, a client at the source."""

    name = "sockperf"
    summary = "round-trip times between two sockets, of every message"
    program = "sockperf"
    remedy = "apt-get install sockperf"
    spec = SockperfSpec

    def _version(self) -> str:
        return told_version([self.program, "--version"], r"version (\S+)")

    def measure(
        self, source: ProbeNode, destination: ProbeNode, spec: SockperfSpec | None = None
    ) -> ToolResult:
        spec = spec or SockperfSpec()
        address = way(source, destination).destination_address
        kind: Literal["udp", "tcp"] = "udp" if spec.protocol == "UDP" else "tcp"
        server = [self.program, "server", "-i", address, "-p", str(spec.port)]
        server += ["--tcp"] if kind == "tcp" else []
        command = client_command(spec, address)
        must_be_free(destination, spec.port, kind, self.name)
        with started(destination, server, remedy=self.remedy) as answering:
            await_port(destination, answering, self.name, spec.port, kind)
            done = run(source, command, seconds=spec.duration_s, remedy=self.remedy)
        return result_of(done, spec, source, destination, command)


def client_command(spec: SockperfSpec, address: str) -> list[str]:
    """The command line that asks for what the specification says."""
    command = ["sockperf", spec.mode, "-i", address, "-p", str(spec.port)]
    command += ["-t", str(int(spec.duration_s)), "-m", str(spec.message_bytes)]
    if spec.protocol == "TCP":
        command.append("--tcp")
    if spec.rate_mps is not None:
        command += ["--mps", str(int(spec.rate_mps))]
    if spec.mode == "under-load":
        command += ["--reply-every", str(spec.reply_every)]
    # Where a container could write a file we do not know; this also reaches us from there.
    return [*command, "--full-rtt", "--full-log", "/dev/stderr"]


def result_of(
    done: Finished,
    spec: SockperfSpec,
    source: ProbeNode,
    destination: ProbeNode,
    command: list[str],
) -> ToolResult:
    """What the client and its log say.

    Raises:
        MeasurementError: it has measured nothing.
    """
    valid, total = _VALID.search(done.errors), _TOTAL.search(done.errors)
    if done.status or "No messages were received" in done.output or total is None:
        raise failed("sockperf", done, source, "is the path up? try pingpair")
    if valid is None:
        hint = "measure for longer, or at a higher rate"
        if spec.mode == "ping-pong" and spec.protocol == "UDP":
            hint = "a message that is lost stops ping-pong for good: try under-load; " + hint
        raise MeasurementError(
            f"sockperf has measured no message: {total[2]} sent, {total[3]} received",
            where=source.name,
            hint=hint,
        )
    sent_ns, samples_ns = read_log(done.errors)
    odd = _ODD.search(done.errors)
    dropped, duplicated, reordered = (int(each) for each in odd.groups()) if odd else (0, 0, 0)
    sent, received = int(valid[2]), int(valid[3])
    return ToolResult(
        tool="sockperf",
        version=_version_in(done.output),
        source=source.name,
        destination=destination.name,
        command=tuple(command),
        protocol=spec.protocol,
        duration_s=float(valid[1]),
        sent_packets=sent,
        received_packets=received,
        lost_packets=dropped,
        sent_bytes=sent * spec.message_bytes,
        received_bytes=received * spec.message_bytes,
        bytes_of="payload",
        latency=ToolLatency.of(samples_ns),
        round_trip=True,
        samples_ns=samples_ns,
        sent_ns=sent_ns,
        facts={"duplicated": duplicated, "reordered": reordered},
        output={"sockperf.txt": done.output, "sockperf.csv": done.errors},
        notes=tuple(_notes(spec, float(total[1]), float(valid[1]))),
    )


def read_log(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each message was sent, and its round-trip time, from a log of all messages, in ns.

    Raises:
        MeasurementError: it is not such a log.
    """
    import numpy as np

    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split(", ") == _COLUMNS]
    if not heads:
        raise MeasurementError(
            "sockperf's log has other columns than it should",
            where="sockperf",
            hint=f"it should have: {', '.join(_COLUMNS)}; versions 3.5 to 3.10 do",
        )
    rows = lines[heads[0] + 1 :]
    ends = [number for number, line in enumerate(rows) if _RULE.match(line)]
    rows = rows[: ends[0]] if ends else rows
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    table = np.loadtxt(rows, delimiter=",", usecols=(1, 3), ndmin=2)
    sent_s, rtt_us = table[:, 0], table[:, 1]
    return np.rint(sent_s * 1e9).astype(np.int64), np.rint(rtt_us * 1e3).astype(np.int64)


def _version_in(output: str) -> str:
    match = re.search(r"version #(\S+)", output)
    return match[1] if match else "unknown"


def _notes(spec: SockperfSpec, total_s: float, valid_s: float) -> list[str]:
    notes = [
        "wake-ups of both processes included; from when a message was sent, not when it was due",
        "sockperf leaves out its first 400 ms and its last 50 ms",
    ]
    if spec.mode == "under-load" and spec.reply_every > 1:
        notes.append(f"every {spec.reply_every}th message is answered; received counts the answers")
    silence_s = total_s - _LEFT_OUT_S - valid_s
    between_s = 3 / (spec.rate_mps or math.inf)
    if spec.mode == "ping-pong" and silence_s > _SILENCE_S + between_s:
        notes.append(
            f"nothing came back in the last {silence_s:.1f} s: a message that is lost stops "
            "ping-pong for good"
        )
    return notes
