"""Ports of Linux bridges that take no part in flooding and learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator.errors import LabError
from emulator.kernel.libbpf import errno_text

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns

_FLAGS = ("learning", "unicast_flood", "mcast_flood", "bcast_flood")


def set_aside(netns: Netns, aside: Sequence[int], usual: Sequence[int] = ()) -> None:
    """Flood nothing to some ports of bridges, and learn nothing from what comes in there.

    Args:
        netns: where the bridges are.
        aside: the numbers of those interfaces; whom a bridge has learnt there it forgets.
        usual: interfaces that are to be as they were made.

    Raises:
        LabError: the kernel refuses it, or one is no port of a bridge.
    """
    if aside or usual:
        netns.run(_set, [*((each, 0) for each in aside), *((each, 1) for each in usual)])


def _set(ports: Sequence[tuple[int, int]]) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as routes:
        for index, value in ports:
            try:
                flags = dict.fromkeys(_FLAGS, value)
                if not value:
                    flags["fdb_flush"] = 1
                routes.brport("set", index=index, **flags)
            except NetlinkError as error:
                reason = errno_text(error.code)
                raise LabError(
                    f"a bridge's port cannot be set aside: {reason}", where=f"interface {index}"
                ) from error
