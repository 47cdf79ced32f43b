"""The parity table: every name of the real Mininet is ours, or there is a reason why not."""

from __future__ import annotations

import pytest

from emulator.compat import parity
from emulator.compat.parity import Name


@pytest.fixture(scope="module")
def names() -> list[Name]:
    return parity.all_names()


def test_every_name_is_ours_or_told_of(names: list[Name]) -> None:
    rows = {str(row.name): row for row in parity.table(names)}
    assert rows["mininet.net.Mininet.pingAll"].verdict == "same"
    assert rows["mininet.link.TCIntf.config(bw)"].verdict == "same"
    assert rows["mininet.clean.cleanup"].verdict == "better"
    assert rows["mininet.examples.miniedit"].why == "draw the lab with the shell's command graph"
    assert rows["comnetsemu.net.VNFManager"].verdict == "same"
    assert all(row.why for row in rows.values() if row.verdict != "same")


def test_the_walk_finds_what_users_type(names: list[Name]) -> None:
    found = {str(name) for name in names}
    assert len(found) == len(names)
    assert {
        "mininet.net.Mininet.addLink(node1)",
        "mininet.node.Node.cmd",
        "mininet.node.CPULimitedHost.setCPUFrac(f)",
        "mininet.nodelib.NAT",
        "mininet.topolib.TorusTopo",
        "mininet.util.dumpNodeConnections",
        "mininet.log.setLogLevel",
        "mininet.cli.CLI.do_iperfudp",
        "mn --topo",
        "mn --switch ovsk",
        "mn --test pingpair",
    } <= found
    options = {name.path for name in names if name.group == "mn" and not name.parameter}
    assert len(options) >= 23
    commands = {name.path for name in names if name.path.startswith("CLI.do_")}
    assert len([each for each in commands if "(" not in each]) == 28  # and help, which is cmd's


def test_names_that_only_others_import_are_not_walked(names: list[Name]) -> None:
    found = {str(name) for name in names}
    assert not found & {
        "mininet.node.PIPE",
        "mininet.net.Topo",
        "mininet.util.getincrementaldecoder",
    }


def test_a_name_that_is_missing_without_a_reason_is_found(names: list[Name]) -> None:
    new = [Name("mininet.net", "Mininet.teleport"), Name("mininet.net", "Mininet.ping", "colour")]
    with pytest.raises(ValueError, match="missing") as error:
        parity.table([*names, *new])
    assert str(error.value).splitlines() == [
        "mininet.net.Mininet.teleport: missing, and nothing says why",
        "mininet.net.Mininet.ping(colour): missing, and nothing says why",
    ]


def test_a_reason_for_what_is_no_longer_there_is_found(names: list[Name]) -> None:
    fewer = [name for name in names if str(name) != "mininet.clean.killprocs"]
    with pytest.raises(ValueError, match=r"^mininet\.clean\.killprocs: a reason for what there is"):
        parity.table(fewer)
