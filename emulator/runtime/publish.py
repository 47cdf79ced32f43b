"""Ports of nodes that the machine's own programs reach: ``ports={80: 8080}``.

A node's interfaces lead into the lab and nowhere else, so Docker has nothing to map a port onto.
Instead the emulator listens on the machine's address, and connects from inside the node's network
namespace for each that comes: a socket stays in the namespace it was made in, whoever uses it. To
the program in the node, its peers are the node itself. One thread carries all of a lab's ports.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.errors import UsageError
from emulator.kernel.netns import CLONE_NEWNET, setns
from emulator.runtime.publish_tcp import TcpForwarder, begin_to_connect
from emulator.runtime.publish_udp import UdpForwarder

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.plan.model import PublishedPortPlan

UDP_IDLE_S = 90.0
"""After this time without a datagram either way, a UDP client is forgotten, and its next datagram
comes from another port inside the node."""
_BACKLOG = 1024


class PortForwarder(Closing):
    """The thread that carries the published ports of a lab; it starts with the first of them."""

    def __init__(self, *, udp_idle_s: float = UDP_IDLE_S) -> None:
        self._udp_idle_s = udp_idle_s
        self._gate = threading.Lock()
        self._selector: selectors.BaseSelector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._published: list[PublishedPorts] = []
        self._home = -1

    def reserve(self, ports: Iterable[PublishedPortPlan], *, where: str) -> PublishedPorts:
        """Takes ports of the machine, all of them, or none when one cannot be had.

        So it shows before anything is started whether they can be. Whoever comes waits until
        :meth:`PublishedPorts.lead_to` has said where they lead.

        Args:
            ports: those of a node, and which of the machine's they are to be.
            where: the node's name.

        Raises:
            UsageError: a port of the machine is taken, or an address is not one of its own.
        """
        published = PublishedPorts(self, where, self._udp_idle_s)
        try:
            for plan in ports:
                published._listen(plan)
            with self._gate:
                self._start()
                self._published.append(published)
        except BaseException:
            published.close()
            raise
        return published

    def publish(
        self,
        netns: Netns,
        ports: Iterable[PublishedPortPlan],
        *,
        addresses: Sequence[str] = (),
        where: str,
    ) -> PublishedPorts:
        """Reserves ports, and has them lead to a node; see both."""
        published = self.reserve(ports, where=where)
        try:
            published.lead_to(netns, addresses)
        except BaseException:
            published.close()
            raise
        return published

    def close(self) -> None:
        """Ends all connections and gives the ports back; closing twice is allowed."""
        with ExitStack() as each:  # goes on with the others whatever happens at one
            each.callback(self._stop)
            for published in list(self._published):
                each.callback(published.close)

    def let_go(self) -> None:
        """What a forked process does: its copies would keep connections open that have ended.

        The thread is not among what it inherits, and the kernel's list of the sockets to watch is
        the parent's too, so none is taken off it.
        """
        # The loop believes that it runs, and cannot be closed: it is kept, and never used again.
        self._thread = None
        self._gate = threading.Lock()
        for published in self._published:
            published._let_go()
        self._published.clear()
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        self._close_home()

    def socket_inside(self, netns: Netns, family: int, kind: int) -> socket.socket:
        """A non-blocking socket inside a namespace; only on the forwarder's own thread."""
        setns(netns.fd, CLONE_NEWNET)
        try:
            made = socket.socket(family, kind)
        finally:
            setns(self._home, CLONE_NEWNET)
        made.setblocking(False)
        return made

    def _start(self) -> None:
        if self._thread is not None:
            return
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._loop = loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=loop.run_forever, name="ports", daemon=True)
        self._thread.start()

    def _call(self, function: Callable[[], None]) -> None:
        """Has the forwarder's thread do something, and waits for it; nothing if it has ended."""
        future: Future[None] = Future()

        def carry_out() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - raised on the caller's thread
                future.set_exception(error)
            else:
                future.set_result(None)

        with self._gate:
            if self._thread is None or self._loop is None:
                return
            self._loop.call_soon_threadsafe(carry_out)
        future.result()

    def _stop(self) -> None:
        with self._gate:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        self._close_home()

    def _forget(self, published: PublishedPorts) -> None:
        if published in self._published:
            self._published.remove(published)

    def _close_home(self) -> None:
        if self._home >= 0:
            os.close(self._home)
            self._home = -1


class PublishedPorts(Closing):
    """The published ports of one node; made by :class:`PortForwarder`.

    Attributes:
        bound: each port as it was asked for, and the machine's port that it has got.
    """

    def __init__(self, forwarder: PortForwarder, where: str, udp_idle_s: float) -> None:
        self.bound: list[tuple[PublishedPortPlan, int]] = []
        self._forwarder = forwarder
        self._where = where
        self._udp_idle_s = udp_idle_s
        self._listeners: list[tuple[PublishedPortPlan, socket.socket]] = []
        self._forwarders: list[TcpForwarder | UdpForwarder] = []
        self._netns: Netns | None = None
        self._targets: tuple[str, ...] = ()

    def lead_to(self, netns: Netns, addresses: Sequence[str] = ()) -> None:
        """Has the ports lead to a node from now on: for the first time, or to its replacement.

        Connections that there are stay with what they were made to.

        Args:
            netns: the node's network namespace, which stays the caller's to close.
            addresses: the node's own addresses, for programs that do not listen on 127.0.0.1.
        """
        self._netns = netns
        self._targets = tuple(dict.fromkeys(("127.0.0.1", "::1", *addresses)))
        if not self._forwarders:
            self._forwarder._call(self._serve)

    def close(self) -> None:
        """Ends the connections and gives the ports back; closing twice is allowed."""
        try:
            self._forwarder._call(self._end)
        finally:
            self._forwarder._forget(self)
            self._let_go()

    def _let_go(self) -> None:
        for forwarder in self._forwarders:
            forwarder.let_go()
        for _, listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _listen(self, plan: PublishedPortPlan) -> None:
        is_tcp = plan.protocol == "tcp"
        try:
            version = ip_address(plan.host_address).version
        except ValueError:
            raise UsageError(
                f"{plan.host_address!r} is not an IP address", where=f"{self._where}: ports"
            ) from None
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        listener = socket.socket(family, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        self._listeners.append((plan, listener))
        listener.setblocking(False)
        try:
            if is_tcp:
                # Lets a port be had again at once; a second listener is refused all the same.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((plan.host_address, plan.host_port))
            if is_tcp:
                listener.listen(_BACKLOG)
        except OSError as error:
            raise self._refused(plan, error) from error
        self.bound.append((plan, int(listener.getsockname()[1])))

    def _refused(self, plan: PublishedPortPlan, error: OSError) -> UsageError:
        port = f"{plan.protocol} port {plan.host_port}"
        if error.errno == errno.EADDRINUSE:
            return UsageError(
                f"{port} of {plan.host_address} is in use on this machine",
                where=f"{self._where}: ports",
                hint="choose another port of the machine, or 0 for any that is free",
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return UsageError(
                f"this machine has no address {plan.host_address}",
                where=f"{self._where}: ports",
                hint="0.0.0.0 stands for all that it has, and without one it is 127.0.0.1",
            )
        return UsageError(
            f"{port} of {plan.host_address} cannot be had: {error.strerror}",
            where=f"{self._where}: ports",
        )

    def _serve(self) -> None:
        for plan, listener in self._listeners:
            connecting = self._connecting(plan)
            self._forwarders.append(
                TcpForwarder(listener, connecting)
                if plan.protocol == "tcp"
                else UdpForwarder(listener, connecting, self._udp_idle_s)
            )

    def _connecting(self, plan: PublishedPortPlan) -> Callable[[int], socket.socket | None]:
        """Makes sockets that lead to a port, by the number of the address in the node."""
        kind = socket.SOCK_STREAM if plan.protocol == "tcp" else socket.SOCK_DGRAM

        def connecting(attempt: int) -> socket.socket | None:
            if self._netns is None or attempt >= len(self._targets):
                return None
            target = self._targets[attempt]
            family = socket.AF_INET if ip_address(target).version == 4 else socket.AF_INET6
            inside = self._forwarder.socket_inside(self._netns, family, kind)
            try:
                begin_to_connect(inside, (target, plan.port))
            except BaseException:
                inside.close()
                raise
            return inside

        return connecting

    def _end(self) -> None:
        for forwarder in self._forwarders:
            forwarder.close()
        self._forwarders.clear()
