"""What Open vSwitch is told of DPDK and of its threads, and what it says when that fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import LabError, MachineError
from emulator.plan.compile import compile_plan
from emulator.plan.model import NodePlan
from emulator.switches.ovs_dpdk import (
    check_growth,
    check_polled_ports,
    dpdk_switch,
    kept_settings,
    polling_settings,
    port_row,
    why_no_dpdk,
    why_no_port,
)
from emulator.topo import Topo

REFUSED = """\
2026-11-23T19:36:54Z|00006|dpdk|INFO|DPDK Enabled - initializing...
2026-11-23T19:36:54Z|00010|dpdk|ERR|EAL: Option --legacy-mem is not compatible with --in-memory

Usage: ovs-vswitchd-dpdk [options]
2026-11-23T19:36:54Z|00011|dpdk|ERR|EAL: Invalid 'command line' arguments.
2026-11-23T19:36:54Z|00012|dpdk|EMER|Unable to initialize DPDK: Invalid argument
ovs-vswitchd-dpdk: Cannot init EAL (Invalid argument)
"""
TOO_LONG = """\
2026-11-23T19:55:56Z|00060|dpdk|ERR|xdp_umem_configure(): Failed to create umem
2026-11-23T19:55:56Z|00061|netdev_dpdk|ERR|Interface p1(rxq:1) configure error: Invalid argument
2026-11-23T19:55:56Z|00062|netdev_dpdk|WARN|Rx checksum offload is not supported on port 0
2026-11-23T19:55:56Z|00063|dpdk|ERR|Frame size (9018) > device max frame size (1518) for port_id 0
2026-11-23T19:55:56Z|00064|netdev_dpdk|ERR|Interface p2 MTU (9000) setup error: Invalid argument
2026-11-23T19:55:56Z|00066|dpif_netdev|ERR|Failed to set interface p2 new configuration
"""


def nodes(hosts: int = 2, **options: Any) -> list[NodePlan]:
    topo = Topo()
    topo.addSwitch("s1", kind="ovs", datapath="userspace", **options)
    for number in range(hosts):
        topo.addLink(topo.addHost(f"h{number}"), "s1")
    return list(compile_plan(topo).switches())


@pytest.fixture
def switch(tmp_path: Path) -> str:
    """A program that has DPDK, and says so as Open vSwitch does."""
    return program(tmp_path, "3.3.4", "DPDK 23.11.2")


def program(folder: Path, version: str, more: str = "") -> str:
    path = folder / f"ovs-vswitchd-{version}"
    path.write_text(f"#!/bin/sh\necho 'ovs-vswitchd (Open vSwitch) {version}'\necho '{more}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_setting_of_sleeps_is_called_as_the_version_calls_it(
    tmp_path: Path, switch: str
) -> None:
    wanted = nodes(port_type="afxdp", cores=[0, 3])
    assert polling_settings(wanted, switch) == {"pmd-sleep-max": "50", "pmd-cpu-mask": "0x9"}
    first = program(tmp_path, "3.1.0")
    assert polling_settings(wanted, first)["pmd-maxsleep"] == "50"
    before = program(tmp_path, "2.17.9")
    with pytest.raises(MachineError, match="cannot sleep before its version 3.1"):
        check_polled_ports(nodes(port_type="afxdp")[0], before)
    poll = nodes(port_type="afxdp", idle="poll")
    check_polled_ports(poll[0], before)
    assert polling_settings(poll, before) == {}
    assert polling_settings(nodes(), before) == {}


def test_threads_cannot_run_on_cpus_that_are_not_there(switch: str) -> None:
    (node,) = nodes(port_type="dpdk", cores=[min(os.sched_getaffinity(0)), 4711])
    with pytest.raises(MachineError, match="s1: there is no CPU 4711"):
        check_polled_ports(node, switch)


def test_a_program_that_is_linked_with_dpdk_is_taken_as_it_is(switch: str) -> None:
    assert dpdk_switch(switch) == switch


@pytest.mark.parametrize(("hosts", "megabytes"), [(2, 96), (4, 192), (8, 384)])
def test_dpdk_gets_memory_for_its_ports_and_no_hugepages(
    switch: str, hosts: int, megabytes: int
) -> None:
    settings = polling_settings(nodes(hosts, port_type="dpdk"), switch)
    words = settings["dpdk-extra"].split()
    assert {"--no-huge", "--legacy-mem"} <= {*words}
    assert words[-2:] == ["-m", str(megabytes)]
    packet = polling_settings(nodes(hosts, port_type="dpdk", driver="af_packet"), switch)
    assert packet["dpdk-extra"].endswith("-m 96")


def test_dpdk_as_it_runs_has_so_many_ports_and_keeps_its_memory(switch: str) -> None:
    settings = polling_settings(nodes(3, port_type="dpdk"), switch)
    check_growth(settings, nodes(7, port_type="dpdk"))
    check_growth(settings, nodes(20, port_type="dpdk", driver="af_packet"))
    with pytest.raises(LabError, match="s1: DPDK was started with memory for 7 ports"):
        check_growth(settings, nodes(8, port_type="dpdk"))
    with pytest.raises(LabError, match="s1: the lab's Open vSwitch runs without DPDK"):
        check_growth({}, nodes(port_type="dpdk"))
    check_growth({}, nodes(port_type="afxdp"))
    more = polling_settings(nodes(7, port_type="dpdk", idle="sleep:9us"), switch)
    kept = kept_settings(settings, more)
    assert kept["dpdk-extra"] == settings["dpdk-extra"] != more["dpdk-extra"]
    assert kept["pmd-sleep-max"] == "9"


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet"])
def test_a_port_is_a_device_on_its_interface(driver: str) -> None:
    (node,) = nodes(1, port_type="dpdk", driver=driver)
    assert node.switch is not None
    assert node.switch.ovs is not None
    (interface,) = node.interfaces
    row = port_row(node.switch.ovs, interface)
    _, ((_, device),) = row["options"]
    assert device.split(",")[:2] == [f"net_{driver}_s1-eth1", "iface=s1-eth1"]
    assert row["mtu_request"] == 1500


def test_the_reason_is_what_dpdk_says_before_its_usage() -> None:
    reason = "Option --legacy-mem is not compatible with --in-memory"
    assert why_no_dpdk(REFUSED.splitlines()) == reason
    assert why_no_dpdk(["ovs-vswitchd: killed"]) == ""


def test_the_reason_of_a_port_is_its_own() -> None:
    lines = TOO_LONG.splitlines()
    assert why_no_port(lines, "p1") == "xdp_umem_configure(): Failed to create umem"
    assert why_no_port(lines, "p2").startswith("Frame size (9018) > device max frame size")
    assert why_no_port(lines, "p3") == ""
