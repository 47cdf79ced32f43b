"""Offloads of an interface, by ethtool."""

from __future__ import annotations

from typing import Any

from emulator.errors import MachineError
from emulator.kernel.netns import Netns

_TRANSMIT_KINDS = ("checksum", "segmentation", "vlan")
_RECEIVE = "rx-gro"


def set_offloads(netns: Netns, interfaces: dict[str, tuple[bool, bool]], *, where: str) -> None:
    """Switches offloads of interfaces inside ``netns``.

    Args:
        interfaces: by kernel name: whether frames may leave unfinished (checksums, segments and
            VLAN tags left to a device that a veth does not have), and whether received
            packets may be merged (GRO), which has a veth receive through NAPI.

    Raises:
        MachineError: when the kernel refuses.
    """

    def apply() -> None:
        from pyroute2.ethtool.ioctl import IoctlEthtool

        ethtool = IoctlEthtool()
        try:
            for name, (transmit, receive) in interfaces.items():
                ethtool.change_ifname(name)
                features = ethtool.get_features()
                for feature in features.keys():  # noqa: SIM118 - iterating it gives tuples, not names
                    if feature.startswith("tx-") and any(k in feature for k in _TRANSMIT_KINDS):
                        _set(features, feature, transmit)
                _set(features, _RECEIVE, receive)
                ethtool.set_features(features)
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


def _set(features: Any, name: str, value: bool) -> None:
    if features.is_available(name) and not features.is_never_changed(name):
        features[name] = value
