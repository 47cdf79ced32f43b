"""ComNetsEmu's names that need no lab."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator

import pytest

from emulator.compat import aliases
from emulator.compat.comnetsemu import util
from emulator.compat.comnetsemu.exceptions import InvalidDockerArgs
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import Problem, UsageError


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    with aliases.install():
        yield


@pytest.mark.parametrize(
    ("printed", "counts"),
    [
        ("3 packets transmitted, 2 received, 33% packet loss", (3, 2)),
        ("3 packets transmitted, 3 packets received, 0% packet loss", (3, 3)),
        ("ping: connect: Network is unreachable", (1, 0)),
        ("", (1, 0)),
    ],
)
def test_counts_of_a_ping_are_read(printed: str, counts: tuple[int, int]):
    tool = importlib.import_module("comnetsemu.tool")
    assert tool.parsePing(printed) == counts


def test_listeners_of_the_machine_are_found():
    with socket.socket() as listening, socket.socket() as idle:
        listening.bind(("127.0.0.1", 0))
        idle.bind(("127.0.0.1", 0))
        listening.listen()
        port, other = listening.getsockname()[1], idle.getsockname()[1]
        assert util.checkListeningOnPort(port)
        assert util.checkListeningOnIPPort("127.0.0.1", port)
        assert not util.checkListeningOnIPPort("127.0.0.2", port)
        assert not util.checkListeningOnPort(other)


def test_identifiers_of_switches_have_sixteen_digits():
    assert util.dpidToStr(0x1A) == "000000000000001a"
    for wrong in (1 << 64, -1):
        with pytest.raises(UsageError, match="64 bits"):
            util.dpidToStr(wrong)


def test_wrong_docker_arguments_are_a_value_error_as_in_comnetsemu():
    error = InvalidDockerArgs([Problem("host h1", "docker_args: no", "yes")])
    assert isinstance(error, ValueError)
    assert "docker_args: no" in str(error)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("comnetsemu.node", "P4Switch"),
        ("comnetsemu.util", "nothing"),
        ("containernet.node", "LibvirtHost"),
    ],
)
def test_names_that_are_not_there_are_refused_by_name(module: str, name: str):
    with pytest.raises(UnsupportedError, match=f"{name} is not supported"):
        # A class may be imported, as long as nobody uses it.
        getattr(importlib.import_module(module), name)("s1")


def test_modules_that_are_not_there_are_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"comnetsemu\.overrides is not supported"):
        importlib.import_module("comnetsemu.overrides")
