"""Offloads of an interface, by ethtool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class Offloads:
    """What an interface may leave to others.

    Attributes:
        receive_napi: received packets may be merged (GRO), which has a veth receive through NAPI.
        frame_offload: frames may leave unfinished, with checksums, segments and VLAN tags left to
            a device that a veth does not have.
    """

    receive_napi: bool
    frame_offload: bool


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
                    try:
                        ethtool.set_offload_flag(flag, wanted.frame_offload)
                    except NotSupportedError:
                        # The kernel has taken it away already, as it does beside an XDP program.
                        if wanted.frame_offload:
                            raise
        finally:
            ethtool.close()

    try:
        netns.run(apply)
    except OSError as error:
        raise _refused(error.strerror, where) from error
    except NotSupportedError as error:
        raise _refused("not supported", f"{where} {error}") from error


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
