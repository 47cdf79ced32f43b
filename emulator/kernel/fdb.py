"""What a Linux bridge has learnt: which address is behind which of its ports."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import LabError

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns

_PERMANENT = 0x80
"""NUD_PERMANENT: the bridge's own addresses, and those that somebody has entered."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class FdbEntry:
    """An address that a bridge has learnt.

    Attributes:
        ifindex: the number of the port that it is behind.
        mac: lower case, colon separated.
        vlan: 0 on a bridge that does not tell VLANs apart.
        age_s: how long ago it was heard of, as exact as a tick of the kernel's.
    """

    ifindex: int
    mac: str
    vlan: int
    age_s: float


def learned(netns: Netns) -> list[FdbEntry]:
    """What all bridges of a namespace have learnt."""
    from pyroute2 import IPRoute

    def read() -> list[FdbEntry]:
        found = []
        with IPRoute() as routes:
            for each in routes.fdb("dump"):
                if each["state"] & _PERMANENT or each.get_attr("NDA_MASTER") is None:
                    continue
                times = each.get_attr("NDA_CACHEINFO")
                ticks = 0 if times is None else times["ndm_updated"]
                mac, vlan = each.get_attr("NDA_LLADDR"), each.get_attr("NDA_VLAN") or 0
                found.append(FdbEntry(each["ifindex"], mac, vlan, ticks / _TICKS_PER_S))
        return found

    return netns.run(read)


def forget(netns: Netns, entries: Iterable[FdbEntry]) -> None:
    """Have bridges forget what they have learnt; what is gone already stays so.

    Raises:
        LabError: the kernel refuses.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.rtnl.ndmsg import NTF_MASTER

    def delete() -> None:
        with IPRoute() as routes:
            for each in entries:
                where = {"vlan": each.vlan} if each.vlan else {}
                try:
                    routes.fdb(
                        "del", ifindex=each.ifindex, lladdr=each.mac, flags=NTF_MASTER, **where
                    )
                except NetlinkError as error:
                    if error.code != errno.ENOENT:
                        raise LabError(
                            f"the bridge does not forget it: {os.strerror(error.code)}",
                            where=each.mac,
                        ) from error

    netns.run(delete)
