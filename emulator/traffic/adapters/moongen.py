"""MoonGen, for those who have it: UDP packets out of one interface of a node and into another.

MoonGen is in no package registry. It is used where ``$MOONGEN_DIR`` names the folder that it was
built in (the one with ``build/MoonGen``). Both interfaces are in one node, with the network to be
measured between them, and DPDK's packet-socket driver is put on them. What it counts are its
devices' statistics, in the CSV of libmoon's ``stats`` module. It measures latency by the stamps of
network cards, which a veth has none of; histograms that a script of the user's saves are read by
``read_histogram``.

**Not tried on a real installation.** The script, the configuration and the format of the statistics
follow libmoon's sources (``lua/stats.lua``, ``lua/histogram.lua``, ``lua/dpdk.lua``) and MoonGen's
examples. So do the outputs in the tests.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from emulator.errors import MeasurementError
from emulator.traffic.adapters.base import ToolLatency, ToolResult
from emulator.traffic.adapters.generator import FCS_BYTES, Generator, GeneratorSpec
from emulator.traffic.adapters.running import choose_interfaces, failed, run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emulator.node import Node
    from emulator.plan.model import InterfacePlan

FOLDER_VARIABLE = "MOONGEN_DIR"

_START_S = 30.0
_MEGABYTES = 1024
_COLUMNS = (
    "Time",
    "Device",
    "Direction",
    "PacketRate",
    "Mbit",
    "MbitWithFraming",
    "TotalPackets",
    "TotalBytes",
)

_SCRIPT = """\
local lm     = require "libmoon"
local device = require "device"
local memory = require "memory"
local stats  = require "stats"

function configure(parser)
    parser:argument("gap", "ns from one packet to the next; 0: as fast as it can"):convert(tonumber)
    parser:argument("size", "bytes of a frame without its check sequence"):convert(tonumber)
    parser:argument("seconds", "how long to send"):convert(tonumber)
    parser:argument("source", "MAC address")
    parser:argument("destination", "MAC address")
    parser:argument("file", "what the statistics are written to")
    return parser:parse()
end

function master(args)
    local tx = device.config{ port = 0, txQueues = 1, rxQueues = 1 }
    local rx = device.config{ port = 1, txQueues = 1, rxQueues = 1 }
    device.waitForLinks()
    lm.setRuntime(args.seconds)
    local queue = tx:getTxQueue(0)
    if args.gap > 0 then
        -- Not by the device: packet sockets cannot hold a rate.
        queue = require("software-ratecontrol"):new(queue, "cbr", args.gap)
    end
    lm.startTask("send", queue, args)
    local sent = stats:newDevTxCounter(tx, "csv", args.file)
    local received = stats:newDevRxCounter(rx, "csv", args.file)
    while lm.running() do
        sent:update()
        received:update()
        lm.sleepMillisIdle(10)
    end
    if args.gap > 0 then queue:stop() end
    lm.waitForTasks()
    sent:finalize(500)
    received:finalize()
end

function send(queue, args)
    local pool = memory.createMemPool(function(buf)
        buf:getUdpPacket():fill{
            ethSrc = args.source, ethDst = args.destination,
            ip4Src = "16.0.0.1", ip4Dst = "48.0.0.1",
            udpSrc = 1025, udpDst = 12, pktLength = args.size,
        }
    end)
    local bufs = pool:bufArray()
    while lm.running() do
        bufs:alloc(args.size)
        bufs:offloadUdpChecksums()
        queue:send(bufs)
    end
end
"""


@dataclass(frozen=True)
class MoongenSpec(GeneratorSpec):
    """What to ask of MoonGen, for which ``rate_pps`` takes three cores."""

    tool: ClassVar[str] = "moongen"
    most_frame_bytes: ClassVar[int] = 1518


class Moongen(Generator[MoongenSpec]):
    """MoonGen in a node, with a script of ours."""

    name = "moongen"
    title = "MoonGen"
    folder_variable = FOLDER_VARIABLE
    summary = "MoonGen, a DPDK generator (not tried on a real installation)"
    program = "build/MoonGen"
    remedy = (
        "build it from https://github.com/emmericp/MoonGen and have "
        f"${FOLDER_VARIABLE} name the folder with build/MoonGen"
    )
    spec = MoongenSpec

    def _version(self) -> str:
        return "unknown"  # it has no releases

    def measure(self, node: Node, spec: MoongenSpec | None = None) -> ToolResult:
        self.require()
        spec = spec or MoongenSpec()
        sends, receives = choose_interfaces(node, spec.sends, spec.receives, self.name)
        with tempfile.TemporaryDirectory(prefix="vnf-moongen-") as name:
            scratch = Path(name)
            script, configuration = scratch / "flow.lua", scratch / "dpdk-conf.lua"
            statistics = scratch / "statistics.csv"
            script.write_text(_SCRIPT)
            configuration.write_text(configuration_of(sends, receives))
            command = command_for(spec, sends, receives, script, configuration, statistics)
            done = run(
                node,
                command,
                seconds=_START_S + spec.duration_s,
                remedy=self.remedy,
                cwd=str(self.folder()),
            )
            # Its exit status tells nothing: errors of a script leave it at 0.
            if not statistics.exists():
                raise failed(self.name, done, node)
            text = statistics.read_text()
        return result_of(text, spec, node.name, command)


def configuration_of(sends: InterfacePlan, receives: InterfacePlan) -> str:
    """What DPDK is told, in the Lua of ``dpdk-conf.lua``: packet sockets, and no hugepages."""
    devices = [
        f"--vdev=net_af_packet{number},iface={interface.kernel_name}"
        for number, interface in enumerate((sends, receives))
    ]
    words = ["--no-pci", "--no-huge", "-m", str(_MEGABYTES), *devices]
    return (
        f"DPDKConfig {{ cli = {{ {', '.join(f'{chr(34)}{word}{chr(34)}' for word in words)} }} }}\n"
    )


def command_for(
    spec: MoongenSpec,
    sends: InterfacePlan,
    receives: InterfacePlan,
    script: Path,
    configuration: Path,
    statistics: Path,
) -> list[str]:
    """The command line for our script."""
    gap_ns = 0 if spec.rate_pps is None else max(1, round(1e9 / spec.rate_pps))
    return [
        str(Moongen.folder() / Moongen.program),
        str(script),
        f"--dpdk-config={configuration}",
        str(gap_ns),
        str(spec.frame_size_bytes - FCS_BYTES),
        f"{spec.duration_s:g}",
        sends.mac,
        spec.destination_mac or receives.mac,
        str(statistics),
    ]


@dataclass(frozen=True)
class Counted:
    """The last line of a counter: its totals."""

    packets: int
    bytes: int


def result_of(text: str, spec: MoongenSpec, node: str, command: list[str]) -> ToolResult:
    """What the statistics say, in CSV."""
    counters = read_counters(text)
    if "TX" not in counters or "RX" not in counters:
        raise MeasurementError(
            "MoonGen's statistics lack a direction", where=node, hint="it has to have TX and RX"
        )
    sent, received = counters["TX"], counters["RX"]
    return ToolResult(
        tool="moongen",
        version="unknown",
        source=node,
        destination=node,
        command=tuple(command),
        protocol="UDP",
        duration_s=spec.duration_s,
        sent_packets=sent.packets,
        received_packets=received.packets,
        lost_packets=max(0, sent.packets - received.packets),
        # It counts the check sequence, which a veth does not even carry.
        sent_bytes=sent.bytes - FCS_BYTES * sent.packets,
        received_bytes=received.bytes - FCS_BYTES * received.packets,
        bytes_of="frame",
        output={"moongen.csv": text},
        notes=("MoonGen was not tried with this adapter on a real installation",),
    )


def read_counters(text: str) -> dict[str, Counted]:
    """The totals by direction, ``TX`` and ``RX``, from the CSV of libmoon's counters.

    Raises:
        MeasurementError: it has other columns.
    """
    rows = csv.DictReader(io.StringIO(text))
    if tuple(rows.fieldnames or ()) != _COLUMNS:
        raise MeasurementError(
            "MoonGen's statistics have other columns than they should",
            where="moongen",
            hint=f"they should be: {','.join(_COLUMNS)}",
        )
    return {
        row["Direction"]: Counted(int(float(row["TotalPackets"])), int(float(row["TotalBytes"])))
        for row in rows
    }


def read_histogram(text: str) -> ToolLatency | None:
    """The latencies of a histogram as ``histogram:save`` writes it: lines of ``ns,count``."""
    return ToolLatency.of(_samples_ns(text))


def _samples_ns(text: str) -> NDArray[np.int64]:
    import numpy as np

    pairs = list(_pairs(text))
    values = np.array([round(value) for value, _ in pairs], np.int64)
    return np.repeat(values, [count for _, count in pairs])


def _pairs(text: str) -> Iterator[tuple[float, int]]:
    for row in csv.reader(io.StringIO(text)):
        if row:
            yield float(row[0]), int(float(row[1]))
