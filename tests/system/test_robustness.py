"""What others may do to a running VNF, and what a machine may deny it."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from emulator import LabError, Network, Topo, UsageError
from emulator.catalog import Catalog
from tests.system.terminal import ROOT, VNF

pytestmark = [pytest.mark.root, pytest.mark.xdp]

DESCRIBE, UPDATE, DUMP = 0, 1, 3
LONGEST_NAME = 32
DPDK = pytest.param("dpdk", marks=pytest.mark.dpdk)


def chain(dataplane: str, *, fw: str = "fw", vnf: str = "forward") -> Topo:
    topo = Topo()
    for host in ("client", "server"):
        topo.addHost(host)
    topo.addVNF(fw, vnf, dataplane=dataplane)
    topo.addLink("client", fw)
    topo.addLink(fw, "server")
    return topo


@pytest.fixture
def net() -> Iterator[Network]:
    with Network(chain("packet", vnf="firewall")) as network:
        yield network


def socket_of(net: Network) -> Path:
    (found,) = Path("/run/build-vnf", net.id).glob("vnf-*.sock")
    return found


def dial(net: Network) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(5.0)
    made.connect(str(socket_of(net)))
    return made


def still_well(net: Network) -> None:
    assert net["fw"].failure is None
    net["fw"].set(policy="allow")
    assert net.pingAll() == 0


@pytest.mark.parametrize(
    "message",
    [
        b"?",
        struct.pack("=III", 99, 0, 0),
        struct.pack("=III", UPDATE, 99, 0),
        struct.pack("=III", UPDATE, 0, 0) + b"short",
        struct.pack("=III", UPDATE, 0, 0) + bytes(70_000),
        struct.pack("=III", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
    ],
    ids=["a byte", "no operation", "no table", "half an entry", "too long", "all ones"],
)
def test_a_request_that_is_none_is_refused(net: Network, message: bytes) -> None:
    with dial(net) as guest:
        guest.send(message)
        (status,) = struct.unpack("=i", guest.recv(1 << 16))
        assert status < 0
        guest.send(struct.pack("=III", DESCRIBE, 0, 0))
        assert guest.recv(1 << 16)[:4] == bytes(4)
        guest.send(struct.pack("=III", DUMP, 0, 0xFFFFFFFF))
        assert guest.recv(1 << 16) == bytes(4)
    still_well(net)


def test_who_asks_and_never_listens_is_hung_up_on(net: Network) -> None:
    with dial(net) as guest:
        ask = partial(guest.send, struct.pack("=III", DESCRIBE, 0, 0))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            all(iter(ask, 0))
        still_well(net)


def test_many_can_look_at_a_vnf_at_the_same_time(net: Network) -> None:
    with ExitStack() as guests:
        for _ in range(20):
            reached = guests.enter_context(Network.attach(net.id))
            assert reached["fw"].failure is None
        still_well(net)


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
def test_who_asks_while_the_owner_stops_a_vnf_is_told_so(dataplane: str) -> None:
    with Network(chain(dataplane)) as net, Network.attach(net.id) as guest:
        assert guest["fw"].parameters == net["fw"].parameters
        net["fw"].stop_vnf()
        for ask in (lambda: guest["fw"].parameters, lambda: guest["fw"].set(source_mac="x")):
            with pytest.raises(LabError, match="has ended") as caught:
                ask()
            assert caught.value.where == "fw"


@pytest.mark.parametrize("dataplane", ["xdp", "packet", DPDK])
def test_names_may_be_long(dataplane: str) -> None:
    fw = "fw" * 150
    with Network(chain(dataplane, fw=fw), name="n" * LONGEST_NAME) as net:
        assert net.pingAll() == 0
        assert net[fw].failure is None


@pytest.mark.dpdk
def test_the_name_of_a_lab_may_be_long_for_programs_too() -> None:
    with Network(chain("dpdk", vnf="testpmd"), name="n" * LONGEST_NAME) as net:
        assert net.pingAll() == 0


def test_a_name_too_long_for_the_sockets_of_a_lab_is_refused() -> None:
    with pytest.raises(UsageError, match="a name of 33 characters"):
        Network(chain("xdp"), name="n" * (LONGEST_NAME + 1)).start()


def test_a_topology_with_a_long_name_makes_a_lab_all_the_same() -> None:
    topo = type("Chain" * 30, (Topo,), {"build": lambda self: self.addHost("h")})()
    with Network(topo) as net:
        assert len(net.id) == LONGEST_NAME


@pytest.mark.parametrize("dataplane", ["afxdp", DPDK])
def test_too_little_locked_memory_is_said_with_what_to_do(dataplane: str) -> None:
    done = subprocess.run(
        [
            *("prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set", "-ipc_lock"),
            *(*VNF, "run", "topologies/chain.py", "--set", f"dataplane={dataplane}"),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )

    message, hint = done.stderr.splitlines()
    assert "vnf1: " in message
    assert "KiB that its frames take" in message
    assert "CAP_IPC_LOCK" in hint
    assert done.returncode == 3


@pytest.mark.parametrize("variable", ["PKG_CONFIG_LIBDIR"])
@pytest.mark.parametrize(
    ("dataplane", "package"), [("dpdk", "libdpdk-dev"), ("afxdp", "libxdp-dev")]
)
def test_a_library_that_is_missing_is_said_with_the_vnf_that_wants_it(
    variable: str, dataplane: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/nonexistent")
    done = subprocess.run(
        [*VNF, "run", "topologies/chain.py", "--set", f"dataplane={dataplane}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )

    message, hint = done.stderr.splitlines()
    assert message.startswith("vnf: vnf1: the development files of lib")
    assert package in hint
    assert done.returncode == 3


@pytest.mark.parametrize("cores", [[0, 99], [10**20]])
def test_a_core_that_the_machine_has_not_is_named(cores: list[int]) -> None:
    topo = chain("packet")
    topo.nodeInfo("fw")["cores"] = cores
    with pytest.raises(UsageError, match=f"there is no core {cores[-1]}") as caught:
        Network(topo).start()
    assert caught.value.where == "fw"
    assert "numbered from 0" in caught.value.hint


@pytest.mark.parametrize("dataplane", ["xdp", "afxdp", "packet", DPDK])
def test_a_port_that_has_gone_is_named_when_the_vnf_starts_anew(dataplane: str) -> None:
    with Network(chain(dataplane)) as net:
        fw = net["fw"]
        fw.cmd("ip link delete fw-eth1")
        with pytest.raises(LabError) as caught:
            fw.restart()
        assert "fw-eth1" in str(caught.value)
        assert "fw-eth1" in (fw.failure or "")
        assert net["client"].cmd("echo on") == "on\n"


FLOOD = """
#include "vnf.h"
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    return VNF_FLOOD;
}
"""


@pytest.mark.parametrize("dataplane", ["xdp", "afxdp", "packet", DPDK])
def test_a_vnf_may_have_eight_ports(dataplane: str, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    planes = "".join(f"[dataplanes.{name}]\n" for name in ("xdp", "afxdp", "packet", "dpdk"))
    (folder / "vnf.toml").write_text(f'name = "hub"\nsummary = "floods"\nports = 8\n{planes}')
    (folder / "vnf.c").write_text(FLOOD)
    topo = Topo()
    topo.addVNF("hub", "hub", dataplane=dataplane)
    for number in range(8):
        topo.addHost(f"h{number}")
        topo.addLink(f"h{number}", "hub")
    with Network(topo, catalog=Catalog.load([tmp_path])) as net:
        assert net.pingAll() == 0
        assert len(net["hub"].counters()) == 8


TABLE = """
name = "full"
summary = "has a table with room for two"
ports = 2
control = "control.py"
[dataplanes.xdp]
[dataplanes.packet]
[parameters.words]
type = "int"
default = 1
summary = "how many entries to ask for"
"""
SOURCE = """
#include "vnf.h"
VNF_HASH(words, __u32, __u32, 2);
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    return vnf_lookup(&words, &port) ? VNF_FORWARD(vnf_peer(port)) : VNF_DROP;
}
"""
CONTROL = """
from emulator.control import TableContent

def control(parameters, ports):
    entries = {bytes([number, 0, 0, 0]): bytes(4) for number in range(parameters["words"])}
    return TableContent(tables={"words": entries})
"""


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
def test_a_change_that_a_table_has_no_room_for_is_taken_back(
    dataplane: str, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    for name, text in (("vnf.toml", TABLE), ("vnf.c", SOURCE), ("control.py", CONTROL)):
        (folder / name).write_text(text)
    topo = chain(dataplane, vnf="full")
    with Network(topo, catalog=Catalog.load([tmp_path])) as net:
        fw = net["fw"]
        fw.set(words=2)
        with pytest.raises(LabError, match="room for 2 entries"):
            fw.set(words=3)
        assert net.pingAll() == 0
        assert fw.parameters == {"words": 2}
        fw.set(words=0)
        assert net.pingAll(timeout=0.2) == 100
    topo.nodeInfo("fw")["words"] = 3
    with pytest.raises(LabError, match="room for 2 entries") as caught:
        Network(topo, catalog=Catalog.load([tmp_path])).start()
    assert "words" in caught.value.where


@pytest.mark.parametrize("dataplane", ["xdp", "packet"])
@pytest.mark.parametrize(
    ("content", "where", "said"),
    [
        ("TableContent({'rules': []})", "fw", "the VNF has no settings rules"),
        ("TableContent(tables={'flows': {b'1234': b'1234'}})", "fw", "has no table flows"),
        ("TableContent(tables={'words': {b'123': b'1234'}})", "table words", "a key of 3 bytes"),
        ("TableContent(tables={'words': {b'1234': b'1'}})", "table words", "a value of 1 bytes"),
        ("TableContent(tables={'words': {'1234': b'1234'}})", "control.py", "is not bytes"),
    ],
)
def test_what_a_control_module_may_not_ask_for(
    dataplane: str, content: str, where: str, said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    module = CONTROL.replace('TableContent(tables={"words": entries})', content)
    assert content in module
    for name, text in (("vnf.toml", TABLE), ("vnf.c", SOURCE), ("control.py", module)):
        (folder / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        Network(chain(dataplane, vnf="full"), catalog=Catalog.load([tmp_path])).start()
    assert said in caught.value.message
    assert caught.value.where.endswith(where)
