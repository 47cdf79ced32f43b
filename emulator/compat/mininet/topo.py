"""Mininet's topologies: our ``Topo``, and those of ``mn --topo`` that are classes there."""

from __future__ import annotations

from typing import Any

from emulator.compat.unsupported import refuse_names
from emulator.topo import Topo as _Topo


class Topo(_Topo):
    """A topology as Mininet's scripts write it; subclass it and override ``build``."""


class SingleSwitchTopo(Topo):
    """One switch s1 with k hosts."""

    def build(self, k: int = 2, **_opts: Any) -> None:
        switch = self.addSwitch("s1")
        for number in range(1, k + 1):
            self.addLink(self.addHost(f"h{number}"), switch)


class SingleSwitchReversedTopo(Topo):
    """One switch with k hosts, the last of them at its first port."""

    def build(self, k: int = 2) -> None:
        switch = self.addSwitch("s1")
        for number in range(1, k + 1):
            self.addLink(self.addHost(f"h{number}"), switch, port1=0, port2=k - number + 1)


class MinimalTopo(SingleSwitchTopo):
    """Two hosts at one switch."""

    def build(self) -> None:  # type: ignore[override]
        super().build(k=2)


class LinearTopo(Topo):
    """A row of k switches with n hosts each."""

    def build(self, k: int = 2, n: int = 1, **_opts: Any) -> None:
        before = None
        for place in range(1, k + 1):
            switch = self.addSwitch(f"s{place}")
            for number in range(1, n + 1):
                name = f"h{place}" if n == 1 else f"h{number}s{place}"
                self.addLink(self.addHost(name), switch)
            if before is not None:
                self.addLink(switch, before)
            before = switch


__getattr__ = refuse_names("mininet.topo")
