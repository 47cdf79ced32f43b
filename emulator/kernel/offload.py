"""Offloads of an interface, by ethtool."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from emulator.errors import MachineError
from emulator.kernel.netns import Netns

_RECEIVE = "generic-receive-offload"
_TRANSMIT = (
    "tx-checksumming",
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "tx-vlan-offload",
)


_SEGMENTING = frozenset(("tcp-segmentation-offload", "generic-segmentation-offload"))
_NOTHING_MERGED = 1
"""To what size in bytes GRO is to merge packets."""


@dataclass(frozen=True)
class Offloads:
    """What an interface may leave to others.

    Attributes:
        receive_napi: received packets may be merged (GRO), which has a veth receive through NAPI.
        frame_offload: frames may leave unfinished, with checksums, segments and VLAN tags left to
            a device that a veth does not have.
        segment_offload: if so, segments may be left to it too.
    """

    receive_napi: bool
    frame_offload: bool
    segment_offload: bool = True


def set_offloads(netns: Netns, interfaces: dict[str, Offloads], *, where: str) -> None:
    """Switches offloads of interfaces inside ``netns``.

    Args:
        interfaces: by kernel name.

    Raises:
        MachineError: when the kernel refuses.
    """

    from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

    def apply() -> None:
        ethtool = IoctlEthtool()
        try:
            for name, wanted in interfaces.items():
                ethtool.change_ifname(name)
                ethtool.set_offload_flag(_RECEIVE, wanted.receive_napi)
                for flag in _TRANSMIT:
                    on = wanted.frame_offload and (
                        wanted.segment_offload or flag not in _SEGMENTING
                    )
                    # Beside an XDP program the kernel has taken it away already, and finishes what
                    # was to be left unfinished.
                    with suppress(NotSupportedError):
                        ethtool.set_offload_flag(flag, on)
        finally:
            ethtool.close()

    try:
        netns.run(apply)
    except OSError as error:
        raise _refused(error.strerror, where) from error
    except NotSupportedError as error:
        raise _refused("not supported", f"{where} {error}") from error


def receive_unmerged(netns: Netns, interfaces: Mapping[str, int], *, where: str) -> None:
    """Has interfaces receive by NAPI, which takes GRO, and yet merges no packets.

    Only such a veth takes frames that an XDP program redirects into its peer.

    Args:
        interfaces: their kernel names and numbers.

    Raises:
        MachineError: when the kernel refuses.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    set_offloads(
        netns,
        {name: Offloads(receive_napi=True, frame_offload=True) for name in interfaces},
        where=where,
    )

    def apply() -> None:
        with IPRoute() as routes:
            for index in interfaces.values():
                routes.link("set", index=index, gro_max_size=_NOTHING_MERGED)

    try:
        netns.run(apply)
    except NetlinkError as error:
        raise _refused(os.strerror(error.code), where) from error


@contextmanager
def kept_offload(netns: Netns, interface: str, feature: str, on: bool) -> Iterator[None]:
    """Keeps one offload of an interface on, or off, for as long as the context lasts.

    Args:
        feature: its name, as ``ethtool -k`` shows it.

    Raises:
        MachineError: when the kernel refuses.
    """
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
        raise _refused(f"{feature}: {error.strerror}", interface) from error
    finally:
        ethtool.close()


def _refused(reason: str | None, where: str) -> MachineError:
    return MachineError(
        f"the kernel refused to change offloads: {reason}",
        where=where,
        hint="ethtool -k shows them",
    )
