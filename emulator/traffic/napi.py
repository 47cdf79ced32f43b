"""Makes an interface receive frames that an XDP program sends into the other end of its link."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from emulator.errors import MachineError
from emulator.kernel.netns import Netns

_RECEIVE_OFFLOAD = "rx-gro"


@contextmanager
def receive_napi(netns: Netns, interface: str) -> Iterator[None]:
    """Turn generic receive offload on for as long as the context lasts.

    A veth throws such frames away unless it runs NAPI, which it does while it has an XDP program or
    generic receive offload is on.

    Raises:
        MachineError: the interface cannot do it.
    """
    if not netns.run(_switch, interface, True):
        yield
        return
    try:
        yield
    finally:
        netns.run(_switch, interface, False)


def _switch(interface: str, on: bool) -> bool:
    """Whether anything had to be changed."""
    from pyroute2.ethtool.ioctl import IoctlEthtool

    ethtool = IoctlEthtool(interface)
    try:
        features = ethtool.get_features()
        if features[_RECEIVE_OFFLOAD] == on:
            return False
        features[_RECEIVE_OFFLOAD] = on
        ethtool.set_features(features)
        return True
    except OSError as error:
        raise MachineError(
            f"generic receive offload cannot be switched: {error.strerror}", where=interface
        ) from error
    finally:
        ethtool.close()
