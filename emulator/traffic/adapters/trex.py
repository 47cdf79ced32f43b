"""TRex, for those who have it: UDP packets out of one interface of a node and into another.

TRex is in no package registry. It is used where ``$TREX_DIR`` names the folder that it was unpacked
into (the one with ``t-rex-64``). Both interfaces are in one node, with the network to be measured
between them. TRex's server is started in the node on DPDK's packet-socket driver, and a small
client (``trex_client.py``) drives it by TRex's own Python interface and prints its statistics as
JSON.

**Not tried on a real installation.** Commands, configuration and the statistics' format follow
TRex's documentation and examples (trex-tgn.cisco.com, ``trex_stateless``; in its sources
``stl_flow_latency_stats.py``). So do the outputs in the tests.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.traffic.adapters.base import ToolLatency, ToolResult, impossible
from emulator.traffic.adapters.generator import FCS_BYTES, Generator, GeneratorSpec
from emulator.traffic.adapters.running import (
    await_port,
    choose_interfaces,
    failed,
    run,
    started,
)

if TYPE_CHECKING:
    from emulator.node import Node
    from emulator.plan.model import InterfacePlan

FOLDER_VARIABLE = "TREX_DIR"
CLIENT = Path(__file__).with_name("trex_client.py")
PG_ID = 5
"""Of the stream whose packets carry stamps."""

_RPC_PORT = 4501
_START_S = 60.0


@dataclass(frozen=True)
class TrexSpec(GeneratorSpec):
    """What to ask of TRex.

    Args:
        latency_pps: of packets with stamps beside the others; 0: none, and no latency.

    Raises:
        UsageError: a value makes no sense.
    """

    tool: ClassVar[str] = "trex"
    most_frame_bytes: ClassVar[int] = 9000

    latency_pps: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.latency_pps < math.inf:
            raise impossible(self.tool, "latency_pps", self.latency_pps, "0 or more")


class Trex(Generator[TrexSpec]):
    """TRex's server in a node, driven by its Python interface."""

    name = "trex"
    title = "TRex"
    folder_variable = FOLDER_VARIABLE
    summary = "Cisco's TRex, stateless (not tried on a real installation)"
    program = "t-rex-64"
    remedy = (
        "unpack a release from https://trex-tgn.cisco.com/trex/release and have "
        f"${FOLDER_VARIABLE} name the folder with t-rex-64"
    )
    spec = TrexSpec

    def _version(self) -> str:
        # Its release has it in the name of the folder: v3.06.
        match = re.search(r"v(\d+\.\d+)", str(self.folder().resolve()))
        return match[1] if match else "unknown"

    def measure(self, node: Node, spec: TrexSpec | None = None) -> ToolResult:
        self.require()
        spec = spec or TrexSpec()
        sends, receives = choose_interfaces(node, spec.sends, spec.receives, self.name)
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vnf-trex-")))
            configuration, answer = scratch / "trex_cfg.yaml", scratch / "statistics.json"
            configuration.write_text(configuration_of(sends, receives, spec))
            where = {"cwd": str(self.folder()), "stderr": subprocess.STDOUT}
            command = server_command(configuration)
            log = stack.enter_context((scratch / "server.log").open("w+"))
            server = started(node, command, remedy=self.remedy, **{**where, "stdout": log})
            process = stack.enter_context(server)
            await_port(node, process, self.name, _RPC_PORT, "tcp", within_s=_START_S)
            client = [
                sys.executable,
                str(CLIENT),
                str(self.folder()),
                str(answer),
                request_of(spec),
            ]
            done = run(node, client, seconds=spec.duration_s, remedy=self.remedy, **where)
            if done.status or not answer.exists():
                raise failed(self.name, done, node)
            report = answer.read_text()
        version = self._version()
        return result_of(json.loads(report), spec, node.name, [*command, *client], version)


def server_command(configuration: Path) -> list[str]:
    """The command line of TRex's server, without the Scapy server that nobody asks anything."""
    return ["./t-rex-64", "-i", "--no-scapy-server", "--cfg", str(configuration)]


def configuration_of(sends: InterfacePlan, receives: InterfacePlan, spec: TrexSpec) -> str:
    """TRex's configuration for two interfaces of the kernel, in YAML.

    It takes those by their names, puts DPDK's packet-socket driver on them and does without
    hugepages. ``low_end`` has all of its threads share cores, which are few here.
    """
    import yaml

    there = spec.destination_mac or receives.mac
    ports = [(sends.mac, there), (receives.mac, sends.mac)]
    return yaml.safe_dump(
        [
            {
                "version": 2,
                "port_limit": 2,
                "low_end": True,
                "interfaces": [sends.kernel_name, receives.kernel_name],
                "port_info": [{"src_mac": mine, "dest_mac": other} for mine, other in ports],
            }
        ],
        sort_keys=False,
    )


def request_of(spec: TrexSpec) -> str:
    """What ``trex_client.py`` is asked for, as JSON."""
    return json.dumps(
        {
            "rate": "100%" if spec.rate_pps is None else f"{spec.rate_pps:.3f}pps",
            "latency_pps": spec.latency_pps,
            "duration_s": spec.duration_s,
            "frame_bytes": spec.frame_size_bytes - FCS_BYTES,
            "pg_id": PG_ID,
        }
    )


def result_of(
    report: Mapping[str, Any], spec: TrexSpec, node: str, command: list[str], version: str
) -> ToolResult:
    """What ``STLClient.get_stats`` tells, written as JSON: there all keys are texts."""
    statistics = report["stats"]
    sender, receiver = statistics["0"], statistics["1"]
    sent, received = int(sender["opackets"]), int(receiver["ipackets"])
    latency = _latency(statistics)
    notes = ["TRex was not tried with this adapter on a real installation"]
    if latency is not None:
        notes.append(
            f"latency is one-way, in whole µs, of {spec.latency_pps:g} packets/s with stamps; "
            "TRex tells a histogram too coarse for percentiles"
        )
    return ToolResult(
        tool="trex",
        version=version,
        source=node,
        destination=node,
        command=tuple(command),
        protocol="UDP",
        duration_s=float(report["duration_s"]),
        sent_packets=sent,
        received_packets=received,
        lost_packets=max(0, sent - received),
        sent_bytes=int(sender["obytes"]),
        received_bytes=int(receiver["ibytes"]),
        bytes_of="frame",
        latency=latency,
        facts={
            "oerrors": int(sender.get("oerrors", 0)),
            "ierrors": int(receiver.get("ierrors", 0)),
            "latency_errors": _measured(statistics).get("err_cntrs", {}),
            "histogram_us": _measured(statistics).get("latency", {}).get("histogram", {}),
        },
        output={"trex.json": json.dumps(report, indent=1)},
        notes=tuple(notes),
    )


def _measured(statistics: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = statistics.get("latency", {}).get(str(PG_ID), {})
    return found


def _latency(statistics: Mapping[str, Any]) -> ToolLatency | None:
    told = _measured(statistics).get("latency")
    if not told:
        return None
    histogram = told.get("histogram", {})
    return ToolLatency(
        count=sum(int(value) for value in histogram.values()) if histogram else None,
        min_ns=_ns(told.get("total_min")),
        mean_ns=_ns(told.get("average")),
        p50_ns=None,
        p90_ns=None,
        p99_ns=None,
        p999_ns=None,
        max_ns=_ns(told.get("total_max")),
    )


def _ns(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds * 1e3
