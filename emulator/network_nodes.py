"""The nodes of a running network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from emulator.node import Node

if TYPE_CHECKING:
    from emulator.lab import Lab


class NetworkNodes(ABC):
    """A network as the collection of its running nodes; without a lab that runs, it is empty."""

    @abstractmethod
    def _running(self) -> Lab: ...

    @abstractmethod
    def _live(self) -> dict[str, Node]: ...

    def __getitem__(self, name: str) -> Node:
        """The running node of that name.

        Raises:
            UsageError: when there is none.
            LabError: when the network is not running.
        """
        lab = self._running()
        if name not in lab.nodes:
            lab.plan.node(name)
        return lab.nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._live()

    def __iter__(self) -> Iterator[str]:
        return iter(self._live())

    def __len__(self) -> int:
        return len(self._live())

    def get(self, *names: str) -> list[Node]:
        """The running nodes of these names."""
        return [self[name] for name in names]

    @property
    def nodes(self) -> list[Node]:
        """All running nodes, in natural order."""
        return list(self._live().values())

    @property
    def hosts(self) -> list[Node]:
        """The running hosts and routers, in natural order."""
        return [node for node in self.nodes if node.kind in ("host", "router")]

    @property
    def switches(self) -> list[Node]:
        """The running switches, in natural order."""
        return [node for node in self.nodes if node.kind == "switch"]

    @property
    def controllers(self) -> list[Node]:
        """The running controllers, in natural order."""
        return [node for node in self.nodes if node.kind == "controller"]

    @property
    def vnfs(self) -> list[Node]:
        """The running VNFs, in natural order."""
        return [node for node in self.nodes if node.kind == "vnf"]


def name_of(node: str | Node) -> str:
    """The name of a node that was given by it, or as itself."""
    return node.name if isinstance(node, Node) else node
