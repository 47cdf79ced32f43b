"""Containernet's network: Mininet's, whose hosts may be containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator.compat import traffic
from emulator.compat.containernet.node import Docker
from emulator.compat.mininet.net import Mininet
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.errors import UsageError


class Containernet(Mininet):
    """A network whose hosts may be containers."""

    def addDocker(self, name: str, cls: type[Any] = Docker, **params: Any) -> Any:
        """Adds a host in a container.

        Args:
            cls: its class.
            params: ``dimage``, ``dcmd`` and every other option of a container, and those of a
                host.
        """
        return self.addHost(name, cls=cls, **params)

    def removeDocker(self, name: str, **params: Any) -> None:
        """Takes a host and its links away."""
        if params:
            raise UsageError(f"removeDocker has no parameter {next(iter(params))}", where=str(name))
        self.delNode(self[str(name)])

    def removeLink(self, link: Any = None, node1: Any = None, node2: Any = None) -> None:
        """Takes a link away.

        Args:
            link: which one; or without it:
            node1, node2: its ends; the first one between them goes.
        """
        if link is not None:
            self.delLink(link)
        elif node1 is None or node2 is None:
            raise UsageError("removeLink needs a link, or both its nodes")
        else:
            self.delLinkBetween(self[str(node1)], self[str(node2)])

    def ping(
        self,
        hosts: Sequence[Any] | None = None,
        timeout: str | float | None = None,
        manualdestip: str | None = None,
    ) -> float:
        """Pings between all pairs of hosts; the percentage that was lost.

        Args:
            manualdestip: an address; with it, from each of the hosts to there.
        """
        if manualdestip is None:
            return super().ping(hosts, timeout)
        return traffic.print_pings_to(self._pinged(hosts), manualdestip, timeout)

    def addExtSAP(self, sapName: str, *_args: Any, **_params: Any) -> Any:
        """Not supported.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "service access points on the machine's own network are not supported",
            where=sapName,
            hint="addNAT leads to the outside; ports= of a container lets the machine reach it",
        )

    removeExtSAP = addExtSAP

    def addLibvirthost(self, name: str, *_args: Any, **_params: Any) -> Any:
        """Not supported.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "virtual machines are not supported", where=name, hint="addDocker adds a container"
        )

    removeLibvirthost = addLibvirthost


Dockernet = Containernet
"""What Containernet was called first."""


def TreeContainerNet(depth: int = 1, fanout: int = 2, **kwargs: Any) -> Containernet:
    """A network of a tree topology, to which containers can be added."""
    from emulator.compat.mininet.topolib import TreeTopo

    return Containernet(TreeTopo(depth, fanout), **kwargs)


__getattr__ = refuse_names("containernet.net")
