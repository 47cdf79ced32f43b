"""What scripts/demo measures, and what it says of the rest."""

from __future__ import annotations

from emulator.doctor import Check
from scripts.measure_planes import complaints, offered_planes, places

XDP = Check("data plane xdp", "works", "native, owned by a BPF link")
DPDK = Check("data plane dpdk", "limited", "", "DPDK: no headers", "apt-get install libdpdk-dev")
AFXDP = Check(
    "data plane afxdp", "missing", "", "libxdp: not installed", "apt-get install libxdp-dev"
)


def test_a_plane_that_is_missing_is_left_out_and_named_with_the_fix() -> None:
    assert offered_planes([XDP, DPDK, AFXDP]) == ["xdp", "dpdk"]
    assert list(complaints([XDP, AFXDP])) == [
        "demo: data plane afxdp is missing, so it is left out: libxdp: not installed",
        "    what helps: apt-get install libxdp-dev",
    ]


def test_a_plane_that_is_limited_is_measured_and_named_too() -> None:
    assert list(complaints([DPDK])) == [
        "demo: data plane dpdk is limited: DPDK: no headers",
        "    what helps: apt-get install libdpdk-dev",
    ]


def test_generator_and_vnfs_are_kept_apart_where_there_are_cpus_to_do_so() -> None:
    assert places([2, 5, 7]) == ["--core", "2", "--set", "cores=5"]
    assert places([0]) == []
