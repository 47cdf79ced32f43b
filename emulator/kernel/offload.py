"""Offloads of an interface, by ethtool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emulator.errors import MachineError
from emulator.kernel.netns import Netns

_TRANSMIT_KINDS = ("checksum", "segmentation", "vlan")
_RECEIVE = "generic-receive-offload"


@dataclass(frozen=True)
class Offloads:
    """What an interface may leave to others.

    Attributes:
        receive_napi: received packets may be merged (GRO), which has a veth receive through NAPI.
        frame_offload: frames may leave unfinished, with checksums, segments and VLAN tags left to
            a device that a veth does not have; None leaves that as it is.
    """

    receive_napi: bool
    frame_offload: bool | None = None


def set_offloads(netns: Netns, interfaces: dict[str, Offloads], *, where: str) -> None:
    """Switches offloads of interfaces inside ``netns``.

    Args:
        interfaces: by kernel name.

    Raises:
        MachineError: when the kernel refuses.
    """

    def apply() -> None:
        from pyroute2.ethtool.ioctl import IoctlEthtool

        ethtool = IoctlEthtool()
        try:
            for name, wanted in interfaces.items():
                ethtool.change_ifname(name)
                ethtool.set_offload_flag(_RECEIVE, wanted.receive_napi)
                if wanted.frame_offload is not None:
                    _set_transmit(ethtool, wanted.frame_offload)
        finally:
            ethtool.close()

    try:
        netns.run(apply)
    except OSError as error:
        raise MachineError(
            f"the kernel refused to change offloads: {error.strerror}",
            where=where,
            hint="ethtool -k shows them",
        ) from error


def _set_transmit(ethtool: Any, on: bool) -> None:
    features = ethtool.get_features()
    for name in features.keys():  # noqa: SIM118 - iterating it gives tuples, not names
        ours = name.startswith("tx-") and any(kind in name for kind in _TRANSMIT_KINDS)
        if ours and features.is_available(name) and not features.is_never_changed(name):
            features[name] = on
    ethtool.set_features(features)
