"""Mininet's library of topologies: trees and tori."""

from __future__ import annotations

from itertools import count
from typing import Any

from emulator.compat.mininet.net import Mininet
from emulator.compat.mininet.topo import Topo
from emulator.compat.unsupported import refuse_names
from emulator.errors import UsageError


class TreeTopo(Topo):
    """A tree of switches with hosts as its leaves."""

    def build(self, depth: int = 1, fanout: int = 2) -> None:
        hosts, switches = count(1), count(1)

        def add(depth: int) -> str:
            if depth == 0:
                return self.addHost(f"h{next(hosts)}")
            top = self.addSwitch(f"s{next(switches)}")
            for _ in range(fanout):
                self.addLink(top, add(depth - 1))
            return top

        add(depth)


def TreeNet(depth: int = 1, fanout: int = 2, **kwargs: Any) -> Mininet:
    """A network of a tree topology."""
    return Mininet(TreeTopo(depth, fanout), **kwargs)


class TorusTopo(Topo):
    """A grid of switches whose edges are joined, with n hosts at each."""

    def build(self, x: int, y: int, n: int = 1) -> None:
        if x < 3 or y < 3:
            raise UsageError("a torus has three switches and more in each direction")
        grid = {}
        for row in range(x):
            for column in range(y):
                place = f"{row + 1}x{column + 1}"
                dpid = f"{(row + 1) * 256 + column + 1:x}"
                switch = grid[row, column] = self.addSwitch(f"s{place}", dpid=dpid)
                for host in range(1, n + 1):
                    name = f"h{place}" if n == 1 else f"h{place}x{host}"
                    self.addLink(self.addHost(name), switch)
        for (row, column), switch in grid.items():
            self.addLink(switch, grid[row, (column + 1) % y])
            self.addLink(switch, grid[(row + 1) % x, column])


__getattr__ = refuse_names("mininet.topolib")
