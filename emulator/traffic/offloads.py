"""Offloads that an interface needs to have on or off while the probe runs."""

from __future__ import annotations

from contextlib import AbstractContextManager

from emulator.kernel.netns import Netns
from emulator.kernel.offload import kept_offload


def receive_napi(netns: Netns, interface: str) -> AbstractContextManager[None]:
    """Turn generic receive offload on, for frames that XDP sends into the other end of the link.

    A veth throws such frames away unless it runs NAPI, which it does while it has an XDP program or
    generic receive offload is on.

    Raises:
        MachineError: the interface cannot do it.
    """
    return kept_offload(netns, interface, "rx-gro", True)


def udp_cut_before_the_link(netns: Netns, interface: str) -> AbstractContextManager[None]:
    """Have the kernel cut a large packet into UDP packets before the interface gets it.

    A veth would hand it on as it is, and so would everything behind it.

    Raises:
        MachineError: the interface cannot do it.
    """
    return kept_offload(netns, interface, "tx-udp-segmentation", False)
