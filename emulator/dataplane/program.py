"""A DPDK program that is used as it is, as a VNF: what its manifest names instead of a source.

The program gets the node's ports as DPDK ports and, from the manifest, arguments of its own. A
library loaded before it (``vnfs/lib/idle_shim.c``) puts the node's idle policy under its polling,
and its counters are read through DPDK's telemetry. What it does with frames nobody else knows:
``rx`` and ``tx`` are those of its ports, ``unsent_packets`` what a port refused to send, and what
was lost before a port could take it stands in counters that the manifest names as DPDK does
(``imissed``, ``ierrors``, ``rx_nombuf``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.dataplane.borrowed import SHIM_IN_IMAGE, build_shim, find_program
from emulator.dataplane.dpdk import (
    buffer_count,
    clear_ports,
    data_room_bytes,
    eal_arguments,
    eal_devices,
    eal_environment,
)
from emulator.dataplane.ending import why_ended
from emulator.dataplane.running import Description, PortCounters, RunningVnf
from emulator.dataplane.telemetry import Telemetry, telemetry_socket
from emulator.errors import LabError, UsageError
from emulator.idle import DEFAULT, IdlePolicy, parse_idle
from emulator.kernel.bpf import BpfId, XdpState, xdp_state
from emulator.runtime.ending import end_process, last_words

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.dataplane.process import Site
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

_START_S = 30.0
_SAID_S = 1.0
_POLL_S = 0.01
_MEGABYTES_BESIDE = 64
"""testpmd alone takes 40 for its tables; what is not used costs nothing."""
_STATS, _INFO, _LIST = "/ethdev/stats", "/ethdev/info", "/ethdev/list"


class ProgramVnf(RunningVnf):
    """A DPDK program at work, or that of another emulator that we reach."""

    def __init__(
        self,
        description: dict[str, Any],
        telemetry: Telemetry,
        resources: ExitStack,
        process: subprocess.Popen[Any] | None,
        left_behind: ExitStack | None = None,
    ) -> None:
        self.dataplane = description["dataplane"]
        self.mode = description["mode"]
        self._description = description
        self._telemetry = telemetry
        self._resources = resources
        self._process = process
        self._left_behind = left_behind or ExitStack()

    @property
    def pid(self) -> int:
        return int(self._description["pid"])

    def counters(self) -> dict[str, PortCounters]:
        return {
            port: _counters(self._telemetry.ask(_STATS, number), self._description["counters"])
            for number, port in enumerate(self._description["ports"])
        }

    def bpf_ids(self) -> list[BpfId]:
        return [BpfId(kind, number) for kind, number in self._description["bpf"]]

    def parameters(self) -> dict[str, Any]:
        return dict(self._description["parameters"]["values"])

    def set(self, changes: Mapping[str, object], *, where: str) -> None:
        program = self._description["program"]
        raise UsageError(
            f"{program} takes its parameters when it starts",
            where=where,
            hint="change them in the topology",
        )

    @property
    def log(self) -> Path:
        return Path(self._description["log"])

    def failure(self) -> str | None:
        log, since = Path(self._description["log"]), self._description["log_since"]
        if self._process is not None:
            status = self._process.poll()
            if status is not None:
                self._left_behind.close()
            return None if status is None else why_ended(status, log, since)
        try:
            self._telemetry.ask(_LIST)
        except LabError as error:
            return error.message + last_words(log, since)
        return None

    def let_go(self) -> None:
        self._telemetry.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def describe(self) -> dict[str, Any]:
        return dict(self._description)

    def close(self) -> None:
        self._resources.close()


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProgramVnf:
    """Start the program that a node's manifest names and wait until its ports run.

    Raises:
        UsageError: the manifest asks for a counter that DPDK does not have, or the program does
            not use DPDK's shared libraries.
        MachineError: the program or what it takes to run it is not installed.
        LabError: it ended instead; the message has its last lines.
    """
    assert node.vnf is not None
    if site is None:
        raise UsageError("a VNF that is a process needs a lab to live in", where=node.name)
    support = manifest.dataplanes[node.vnf.dataplane]
    policy = parse_idle(node.vnf.idle or DEFAULT)
    log, runtime = site.file(node.name, "log"), site.file(node.name, "run")
    command = [
        *(site.entrypoint or [str(find_program(support.program or "", manifest))]),
        *eal_arguments(node, site, threads=support.threads, megabytes_beside=_MEGABYTES_BESIDE),
        "--",
        *_arguments(node, support.arguments),
    ]
    environment = {
        **eal_environment(site),
        **_idle_environment(policy, site),
        "RUNTIME_DIRECTORY": str(runtime),
    }
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, runtime, ignore_errors=True)
        left_behind = undo.enter_context(ExitStack())
        left_behind.callback(clear_ports, node, netns)
        runtime.mkdir(exist_ok=True)
        process = _spawn(netns, site, command, environment, log)
        # Open as long as we live: programs that read commands end when there are none to come.
        assert process.stdin is not None
        undo.callback(process.stdin.close)
        undo.callback(end_process, process)
        telemetry = undo.enter_context(_wait_for_ports(node, runtime, process, log))
        _check_counters(telemetry, manifest)
        if policy.then != "poll":
            _check_policy_holds(node, log)
        xdp = _xdp_states(node, netns)
        description = {
            "dataplane": node.vnf.dataplane,
            "program": manifest.name,
            "mode": _mode(node, xdp, log),
            "ports": [interface.name for interface in node.interfaces],
            "counters": list(manifest.counters),
            "parameters": {"values": node.vnf.parameters},
            "pid": process.pid,
            "telemetry": str(telemetry.path),
            "log": str(log),
            "log_since": log.stat().st_size,
            "bpf": [["program", state.program_id] for state in xdp.values() if state.program_id],
        }
        return ProgramVnf(description, telemetry, undo.pop_all(), process, left_behind)


def attach(description: Description, netns: Netns) -> ProgramVnf:
    """Reach a program that another emulator runs; see ``attach_vnf``.

    Raises:
        LabError: it has ended.
    """
    with ExitStack() as undo:
        try:
            telemetry = undo.enter_context(Telemetry(Path(description["telemetry"])))
        except OSError as error:
            said = last_words(Path(description["log"]), description["log_since"])
            raise LabError(f"the VNF cannot be reached: {error.strerror}{said}") from error
        return ProgramVnf(dict(description), telemetry, undo.pop_all(), None)


def _arguments(node: NodePlan, templates: tuple[str, ...]) -> list[str]:
    assert node.vnf is not None
    values = {
        "portmask": hex((1 << len(node.interfaces)) - 1),
        "buffers": buffer_count(node),
        "buffer_bytes": data_room_bytes(node),
        **node.vnf.parameters,
    }
    return [template.format(**values) for template in templates]


def _idle_environment(policy: IdlePolicy, site: Site) -> dict[str, str]:
    if policy.then == "poll":
        return {}
    if site.entrypoint is not None:
        return {"LD_PRELOAD": SHIM_IN_IMAGE, "BUILD_VNF_IDLE": policy.option}
    shim = build_shim()
    others = os.environ.get("LD_PRELOAD", "")
    return {"LD_PRELOAD": f"{shim} {others}".strip(), "BUILD_VNF_IDLE": policy.option}


def _spawn(
    netns: Netns, site: Site, command: list[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[Any]:
    with log.open("wb") as output:
        return site.processes.popen_logged(
            netns, command, output.fileno(), stdin=subprocess.PIPE, extra_env=environment
        )


def _wait_for_ports(
    node: NodePlan, runtime: Path, process: subprocess.Popen[Any], log: Path
) -> Telemetry:
    """The program's telemetry, once all of its ports run; that they are looked at follows soon."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        status = process.poll()
        if status is not None:
            raise LabError(why_ended(status, log), where=node.name)
        path = telemetry_socket(runtime)
        if path is not None:
            with suppress(OSError, LabError), ExitStack() as undo:
                telemetry = undo.enter_context(Telemetry(path))
                if _ports_run(telemetry, len(node.interfaces)):
                    undo.pop_all()
                    return telemetry
        time.sleep(_POLL_S)
    raise LabError(
        f"the VNF's ports do not run after {_START_S:.0f} s{last_words(log)}", where=node.name
    )


def _ports_run(telemetry: Telemetry, count: int) -> bool:
    return len(telemetry.ask(_LIST)) >= count and all(
        telemetry.ask(_INFO, port)["dev_started"] for port in range(count)
    )


def _check_counters(telemetry: Telemetry, manifest: Manifest) -> None:
    known = [name for name, value in telemetry.ask(_STATS, 0).items() if isinstance(value, int)]
    for name in manifest.counters:
        if name not in known:
            raise UsageError(
                f"DPDK does not count {name}",
                where=str(manifest.folder / "vnf.toml"),
                hint=f"it counts: {', '.join(known)}",
            )


def _has_no_socket(log: Path) -> bool:
    return "has no socket to wait on" in log.read_text(errors="replace")


def _check_policy_holds(node: NodePlan, log: Path) -> None:
    """A program that has DPDK inside is out of the reach of a library loaded before it."""
    wanted = {str(port) for port in range(len(node.interfaces))}
    deadline = time.monotonic() + _SAID_S
    while not wanted.issubset(
        re.findall(r"idle: port (\d+) queue \d+ has", log.read_text(errors="replace"))
    ):
        # What is printed in a container takes a moment to be there.
        if time.monotonic() > deadline:
            raise UsageError(
                "the program is not linked to DPDK's shared libraries and can only poll",
                where=node.name,
                hint='give it idle="poll", or link it to them',
            )
        time.sleep(_POLL_S)


def _counters(stats: Mapping[str, Any], own: list[str]) -> PortCounters:
    return PortCounters(
        rx_packets=stats["ipackets"],
        rx_bytes=stats["ibytes"],
        tx_packets=stats["opackets"],
        tx_bytes=stats["obytes"],
        unsent_packets=stats["oerrors"],
        own={name: stats[name] for name in own},
    )


def _xdp_states(node: NodePlan, netns: Netns) -> dict[str, XdpState]:
    """For each device that rests on an XDP program, what the kernel says of that."""
    return {
        device: xdp_state(interface.kernel_name, netns)
        for device, interface in zip(eal_devices(node), node.interfaces, strict=True)
        if device.startswith("net_af_xdp")
    }


def _mode(node: NodePlan, xdp: Mapping[str, XdpState], log: Path) -> str:
    """``af_xdp native, testpmd io``: the ports' drivers, then the VNF and its words."""
    assert node.vnf is not None
    drivers = set()
    for device in eal_devices(node):
        driver = device.removeprefix("net_").rstrip("0123456789")
        drivers.add(f"{driver} {xdp[device].mode}" if device in xdp else driver)
    words = [value for value in node.vnf.parameters.values() if isinstance(value, str)]
    parts = ["+".join(sorted(drivers)), " ".join([node.vnf.vnf, *words])]
    if parse_idle(node.vnf.idle or DEFAULT).then == "wait" and _has_no_socket(log):
        parts.append("looks every 100 us instead of waiting")
    return ", ".join(parts)
