"""Published ports of a running network's nodes, which work for nodes of every kind."""

from __future__ import annotations

import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from emulator import Network, Node, Topo
from emulator.plan.model import PublishedPortPlan
from emulator.runtime.publish import PortForwarder

pytestmark = pytest.mark.root

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    topo = Topo()
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"))
    with Network(topo, ipv6=True) as running:
        yield running


@pytest.fixture
def forwarder() -> Iterator[PortForwarder]:
    with PortForwarder() as made:
        yield made


def serve(node: Node, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A program's socket in a node, on a port of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = node.netns.run(socket.socket, family, kind)
    server.settimeout(DEADLINE_S)
    server.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        server.listen(16)
    return server


def port_plan(server: socket.socket, host_port: int = 0) -> PublishedPortPlan:
    return PublishedPortPlan(
        port=server.getsockname()[1],
        host_port=host_port,
        protocol="tcp" if server.type == socket.SOCK_STREAM else "udp",
    )


def say_hello(server: socket.socket, host_port: int) -> None:
    """A client on the machine and a program in a node hear each other."""
    with socket.create_connection(("127.0.0.1", host_port), timeout=DEADLINE_S) as near:
        far, _ = server.accept()
        with far:
            near.sendall(b"hello")
            assert far.recv(100) == b"hello"
            far.sendall(b"hello yourself")
            assert near.recv(100) == b"hello yourself"


def addresses(node: Node) -> Sequence[str]:
    found = [each for i in node.plan.interfaces for each in (i.ipv4, i.ipv6) if each]
    return [each.partition("/")[0] for each in found]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "10.0.0.1", "fd00::1"])
def test_a_program_is_reached_wherever_it_listens(
    net: Network, forwarder: PortForwarder, address: str
) -> None:
    h1 = net["h1"]
    with serve(h1, address) as tcp, serve(h1, address, socket.SOCK_DGRAM) as udp:
        plans = [port_plan(tcp), port_plan(udp)]
        published = forwarder.publish(h1.netns, plans, addresses=addresses(h1), where="h1")
        say_hello(tcp, published.bound[0][1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.settimeout(DEADLINE_S)
            near.connect(("127.0.0.1", published.bound[1][1]))
            near.send(b"hello")
            data, client = udp.recvfrom(100)
            udp.sendto(data + b" yourself", client)
            assert near.recv(100) == b"hello yourself"


def test_a_program_that_starts_later_is_reached(net: Network, forwarder: PortForwarder) -> None:
    h1 = net["h1"]
    with serve(h1, "127.0.0.1") as server:
        plan = port_plan(server)
    published = forwarder.publish(h1.netns, [plan], where="h1")
    ((_, host_port),) = published.bound
    address = ("127.0.0.1", host_port)
    # It may hear of it while it still connects.
    with pytest.raises(ConnectionResetError), socket.create_connection(address) as near:
        near.recv(1)
    server = h1.netns.run(socket.create_server, ("127.0.0.1", plan.port))
    with server:
        server.settimeout(DEADLINE_S)
        say_hello(server, host_port)


def test_several_nodes_have_the_same_port(net: Network, forwarder: PortForwarder) -> None:
    nodes = [net["h1"], net["h2"]]
    servers = [node.netns.run(socket.create_server, ("127.0.0.1", 80)) for node in nodes]
    for node, server in zip(nodes, servers, strict=True):
        published = forwarder.publish(node.netns, [port_plan(server)], where=node.name)
        with server:
            server.settimeout(DEADLINE_S)
            say_hello(server, published.bound[0][1])


def test_a_node_that_was_replaced_keeps_its_port(net: Network, forwarder: PortForwarder) -> None:
    h1, h2 = net["h1"], net["h2"]
    with h1.netns.run(socket.create_server, ("127.0.0.1", 80)) as before:
        before.settimeout(DEADLINE_S)
        published = forwarder.publish(h1.netns, [port_plan(before)], where="h1")
        say_hello(before, published.bound[0][1])
    with h2.netns.run(socket.create_server, ("127.0.0.1", 80)) as after:
        after.settimeout(DEADLINE_S)
        published.lead_to(h2.netns)
        say_hello(after, published.bound[0][1])


def test_whoever_comes_early_waits_for_the_node(net: Network, forwarder: PortForwarder) -> None:
    h1 = net["h1"]
    with serve(h1, "127.0.0.1") as server:
        published = forwarder.reserve([port_plan(server)], where="h1")
        address = ("127.0.0.1", published.bound[0][1])
        with socket.create_connection(address, timeout=DEADLINE_S) as near:
            near.sendall(b"early")
            published.lead_to(h1.netns)
            far, _ = server.accept()
            with far:
                assert far.recv(100) == b"early"


def test_ports_are_given_back(net: Network, forwarder: PortForwarder) -> None:
    h1 = net["h1"]
    with serve(h1, "127.0.0.1") as server:
        published = forwarder.publish(h1.netns, [port_plan(server)], where="h1")
        ((_, host_port),) = published.bound
        say_hello(server, host_port)
        published.close()
        published.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", host_port))
        again = forwarder.publish(h1.netns, [port_plan(server, host_port)], where="h1")
        say_hello(server, host_port)
        again.close()


def test_closing_leaves_no_thread_and_no_descriptor(net: Network) -> None:
    h1 = net["h1"]
    before = set(os.listdir("/proc/self/fd")), threading.enumerate()
    with serve(h1, "127.0.0.1") as server, PortForwarder() as forwarder:
        published = forwarder.publish(h1.netns, [port_plan(server)], where="h1")
        near = socket.create_connection(("127.0.0.1", published.bound[0][1]), timeout=DEADLINE_S)
        far, _ = server.accept()
    with near, far, pytest.raises(ConnectionResetError):
        near.recv(1)
    assert (set(os.listdir("/proc/self/fd")), threading.enumerate()) == before


def test_a_forked_process_keeps_no_connection_open(net: Network) -> None:
    h1 = net["h1"]
    with serve(h1, "127.0.0.1") as server, PortForwarder() as forwarder:
        published = forwarder.publish(h1.netns, [port_plan(server)], where="h1")
        ((_, host_port),) = published.bound
        with socket.create_connection(("127.0.0.1", host_port), timeout=DEADLINE_S) as near:
            far, _ = server.accept()
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    os.close(read)
                    far.close()
                    near.close()
                    forwarder.let_go()
                    forwarder.close()
                    os.write(write, _descriptors_of(host_port))
                    signal.pause()
                except BaseException:  # noqa: BLE001 - the parent hears of it by the pipe
                    traceback.print_exc()
                finally:
                    os._exit(1)
            os.close(write)
            try:
                assert os.read(read, 100) == b"none"
                far.close()
                # With a copy in the forked process the client would wait for ever.
                assert near.recv(1) == b""
            finally:
                os.close(read)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        say_hello(server, host_port)


def _descriptors_of(host_port: int) -> bytes:
    """The sockets of this process that a port of the machine's is an end of."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if f":{host_port:04X}" in line
    }
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        target = os.readlink(descriptor) if descriptor.is_symlink() else ""
        if target.removeprefix("socket:[").rstrip("]") in inodes:
            held.append(descriptor.name)
    return " ".join(held).encode() or b"none"
