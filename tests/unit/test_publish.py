"""Published ports without root: what is carried, and what cannot be had.

The namespace that the sockets lead into is this process's own.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.netns import Netns
from emulator.plan.model import PublishedPortPlan
from emulator.runtime.publish import PortForwarder
from emulator.runtime.publish_tcp import TcpForwarder, begin_to_connect
from emulator.runtime.publish_udp import UdpForwarder

DEADLINE_S = 10.0
NOBODY = "127.0.0.9"
"""An address of this machine at which no test listens."""
Connecting = Callable[[int], "socket.socket | None"]


def connecting(kind: int, port: int, hosts: Sequence[str]) -> Connecting:
    def begin(attempt: int) -> socket.socket | None:
        if attempt >= len(hosts):
            return None
        end = socket.socket(socket.AF_INET, kind)
        end.setblocking(False)
        try:
            begin_to_connect(end, (hosts[attempt], port))
        except BaseException:
            end.close()
            raise
        return end

    return begin


@contextmanager
def carried(make: Callable[[], Closing]) -> Iterator[None]:
    """A forwarder on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def made() -> Closing:
        return make()

    async def close(forwarder: Closing) -> None:
        forwarder.close()

    try:
        forwarder = asyncio.run_coroutine_threadsafe(made(), loop).result()
        yield
        asyncio.run_coroutine_threadsafe(close(forwarder), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def bound(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    made.settimeout(DEADLINE_S)
    return made


@contextmanager
def tcp(hosts: Sequence[str] = ("127.0.0.1",)) -> Iterator[tuple[socket.socket, int]]:
    """A program that listens, and the machine's port that leads to it."""
    with bound(socket.SOCK_STREAM) as server, bound(socket.SOCK_STREAM) as listener:
        server.listen(256)
        listener.listen(256)
        listener.setblocking(False)
        begin = connecting(socket.SOCK_STREAM, server.getsockname()[1], hosts)
        with carried(lambda: TcpForwarder(listener, begin)):
            yield server, listener.getsockname()[1]


@contextmanager
def udp(
    hosts: Sequence[str] = ("127.0.0.1",), idle_s: float = 60.0
) -> Iterator[tuple[socket.socket, int]]:
    with bound(socket.SOCK_DGRAM) as server, bound(socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        begin = connecting(socket.SOCK_DGRAM, server.getsockname()[1], hosts)
        with carried(lambda: UdpForwarder(listener, begin, idle_s)):
            yield server, listener.getsockname()[1]


def client(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)


def accepted(server: socket.socket) -> socket.socket:
    end, _ = server.accept()
    end.settimeout(DEADLINE_S)
    return end


def udp_client(port: int) -> socket.socket:
    made = bound(socket.SOCK_DGRAM)
    made.connect(("127.0.0.1", port))
    return made


def everything(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 16), b""))


def test_an_end_that_has_said_all_still_hears_the_answer() -> None:
    with tcp() as (server, port), client(port) as near:
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        with accepted(server) as far:
            assert everything(far) == b"question"
            far.sendall(b"answer")
        assert everything(near) == b"answer"


def test_what_is_large_arrives_whole_both_ways_at_once() -> None:
    sent = {"near": bytes(range(256)) * 40_000, "far": bytes(reversed(range(256))) * 40_000}
    got: dict[str, bytes] = {}
    with tcp() as (server, port), client(port) as near, accepted(server) as far:

        def exchange(name: str, end: socket.socket) -> None:
            reader = threading.Thread(target=lambda: got.update({name: everything(end)}))
            reader.start()
            end.sendall(sent[name])
            end.shutdown(socket.SHUT_WR)
            reader.join()

        threads = [
            threading.Thread(target=exchange, args=each) for each in (("near", near), ("far", far))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == {"near": sent["far"], "far": sent["near"]}


def test_a_slow_reader_slows_its_writer() -> None:
    with tcp() as (server, port), client(port) as near, accepted(server) as far:
        near.settimeout(0.3)
        chunk = bytes(1 << 20)
        sent = 0
        with suppress(TimeoutError):
            while sent < 512 << 20:
                sent += near.send(chunk)
        assert sent < 512 << 20
        near.settimeout(DEADLINE_S)
        near.shutdown(socket.SHUT_WR)
        assert len(everything(far)) == sent


def test_many_at_once() -> None:
    with tcp() as (server, port):

        def echo() -> None:
            ends.extend(accepted(server) for _ in range(200))
            for end in ends:
                end.sendall(end.recv(100))

        ends: list[socket.socket] = []
        thread = threading.Thread(target=echo)
        thread.start()
        nears = [client(port) for _ in range(200)]
        for number, near in enumerate(nears):
            near.sendall(b"%d" % number)
        for number, near in enumerate(nears):
            assert near.recv(100) == b"%d" % number
        thread.join()
        for end in (*nears, *ends):
            end.close()


def test_an_end_that_breaks_breaks_the_other() -> None:
    linger_no_time = b"\1\0\0\0\0\0\0\0"
    with tcp() as (server, port), client(port) as near:
        far = accepted(server)
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
        far.close()
        with pytest.raises(ConnectionResetError):
            near.recv(1)


def test_a_program_that_listens_elsewhere_is_found() -> None:
    with tcp((NOBODY, "127.0.0.1")) as (server, port), client(port) as near:
        with accepted(server) as far:
            far.sendall(b"here")
        assert everything(near) == b"here"


def test_where_nobody_listens_the_client_is_told() -> None:
    # It may hear of it while it still connects.
    with tcp((NOBODY,)) as (_, port), pytest.raises(ConnectionResetError), client(port) as near:
        near.recv(1)


def test_an_end_of_the_forwarder_breaks_its_connections() -> None:
    with tcp() as (server, port):
        near = client(port)
        far = accepted(server)
    with near, far:
        for end in (near, far):
            with pytest.raises(ConnectionResetError):
                end.recv(1)


def test_datagrams_of_each_client_go_their_own_way() -> None:
    with udp() as (server, port), udp_client(port) as first, udp_client(port) as second:
        peers = []
        for number, near in enumerate((first, second, first)):
            near.send(b"from %d" % number)
            data, peer = server.recvfrom(100)
            peers.append(peer)
            server.sendto(b"re: " + data, peer)
            assert near.recv(100) == b"re: from %d" % number
        assert peers[0] == peers[2] != peers[1]


def test_datagrams_keep_their_bounds_and_may_be_empty() -> None:
    with udp() as (server, port), udp_client(port) as near:
        for data in (b"", bytes(60_000), b"x"):
            near.send(data)
            assert server.recv(1 << 16) == data


def test_datagrams_find_a_program_that_listens_elsewhere() -> None:
    with udp((NOBODY, "127.0.0.1")) as (server, port), udp_client(port) as near:
        for data in (b"one", b"two", b"three"):
            near.send(data)
        assert [server.recv(100) for _ in range(3)] == [b"one", b"two", b"three"]


def test_datagrams_that_nobody_wants_do_no_harm() -> None:
    with udp((NOBODY, "127.0.0.8")) as (_, port), udp_client(port) as near:
        for _ in range(50):
            near.send(b"x")
        near.settimeout(0.1)
        with pytest.raises(TimeoutError):
            near.recv(1)


def test_datagrams_find_a_program_that_was_started_anew() -> None:
    with udp() as (server, port), udp_client(port) as near:
        near.send(b"x")
        _, peer = server.recvfrom(1)
        server.sendto(b"y", peer)
        assert near.recv(1) == b"y"
        place = server.getsockname()
        server.close()
        near.send(b"lost")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anew:
            anew.bind(place)
            anew.settimeout(0.1)
            # Those that are sent before the refusal is known are lost.
            for _ in range(100):
                near.send(b"z")
                with suppress(TimeoutError):
                    assert anew.recv(10) in (b"z", b"lost")
                    break
            else:
                pytest.fail("no datagram arrived")


def test_a_client_that_is_silent_for_long_is_forgotten() -> None:
    with udp(idle_s=0.05) as (server, port), udp_client(port) as near:
        near.send(b"x")
        _, first = server.recvfrom(1)
        second = first
        # Whoever is forgotten comes back from another port.
        while second == first:
            threading.Event().wait(0.1)
            near.send(b"x")
            _, second = server.recvfrom(1)


def test_a_port_in_use_is_told_before_anything_starts() -> None:
    with bound(socket.SOCK_STREAM) as taken, PortForwarder() as forwarder:
        number = taken.getsockname()[1]
        with bound(socket.SOCK_STREAM) as other:
            free = other.getsockname()[1]
        plans = [
            PublishedPortPlan(port=80, host_port=free),
            PublishedPortPlan(port=81, host_port=number),
        ]
        with pytest.raises(UsageError) as caught:
            forwarder.reserve(plans, where="web")
        assert str(caught.value) == (
            f"web: ports: tcp port {number} of 127.0.0.1 is in use on this machine"
            " (choose another port of the machine, or 0 for any that is free)"
        )
        # The one that could be had is free again.
        with pytest.raises(ConnectionRefusedError):
            client(free)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("192.0.2.7", "this machine has no address 192.0.2.7"),
        ("localhost", "'localhost' is not an IP address"),
    ],
)
def test_an_address_that_is_not_of_this_machine(address: str, message: str) -> None:
    plan = PublishedPortPlan(port=80, host_port=0, host_address=address)
    with PortForwarder() as forwarder, pytest.raises(UsageError, match=message):
        forwarder.reserve([plan], where="web")


def test_a_free_port_is_chosen_and_told() -> None:
    plans = [
        PublishedPortPlan(port=80, host_port=0),
        PublishedPortPlan(port=53, host_port=0, protocol="udp"),
    ]
    netns = Netns.from_path("/proc/self/ns/net")
    with netns, PortForwarder() as forwarder:
        published = forwarder.publish(netns, plans, where="web")
        assert [plan for plan, _ in published.bound] == plans
        for _, number in published.bound:
            assert number > 0
        # Nobody listens behind it, which may be told before the connection is seen to be there.
        with suppress(ConnectionResetError):
            client(published.bound[0][1]).close()
