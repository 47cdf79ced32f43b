"""Changing a network before it runs."""

from __future__ import annotations

import pytest

from emulator import Network, UsageError


def test_a_change_within_a_change_is_refused_rather_than_lost() -> None:
    net = Network()
    with net.change() as topo:
        topo.addHost("h1")
        with pytest.raises(UsageError, match="just being changed"):
            net.addHost("h2")
    net.addHost("h3")
    assert net.topo.hosts() == ["h1", "h3"]


def test_a_change_that_is_given_up_leaves_the_network_as_it_was() -> None:
    net = Network()

    def give_up() -> None:
        with net.change() as topo:
            topo.addHost("h1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    net.addHost("h2")
    assert net.topo.hosts() == ["h2"]
