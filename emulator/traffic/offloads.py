"""Offloads that an interface needs to have on or off while the probe runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from emulator.errors import MachineError
from emulator.kernel.netns import Netns

_RECEIVE_OFFLOAD = "rx-gro"
_UDP_SEGMENTATION = "tx-udp-segmentation"


@contextmanager
def receive_napi(netns: Netns, interface: str) -> Iterator[None]:
    """Turn generic receive offload on, for frames that XDP sends into the other end of the link.

    A veth throws such frames away unless it runs NAPI, which it does while it has an XDP program or
    generic receive offload is on.

    Raises:
        MachineError: the interface cannot do it.
    """
    with _kept(netns, interface, _RECEIVE_OFFLOAD, True):
        yield


@contextmanager
def udp_cut_before_the_link(netns: Netns, interface: str) -> Iterator[None]:
    """Have the kernel cut a large packet into UDP packets before the interface gets it.

    A veth would hand it on as it is, and so would everything behind it.

    Raises:
        MachineError: the interface cannot do it.
    """
    with _kept(netns, interface, _UDP_SEGMENTATION, False):
        yield


@contextmanager
def _kept(netns: Netns, interface: str, feature: str, on: bool) -> Iterator[None]:
    """Keep an offload in one state for as long as the context lasts."""
    if not netns.run(_switch, interface, feature, on):
        yield
        return
    try:
        yield
    finally:
        netns.run(_switch, interface, feature, not on)


def _switch(interface: str, feature: str, on: bool) -> bool:
    """Whether anything had to be changed."""
    from pyroute2.ethtool.ioctl import IoctlEthtool

    ethtool = IoctlEthtool(interface)
    try:
        features = ethtool.get_features()
        if features[feature] == on:
            return False
        features[feature] = on
        ethtool.set_features(features)
        return True
    except OSError as error:
        raise MachineError(
            f"the offload {feature} cannot be switched: {error.strerror}", where=interface
        ) from error
    finally:
        ethtool.close()
