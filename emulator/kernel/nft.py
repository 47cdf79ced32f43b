"""Masquerading by nftables, over pyroute2's netlink: the program ``nft`` need not be installed."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import Any

from emulator.errors import MachineError

_IPV4, _IPV6, _ANY_FAMILY = 2, 10, 0
_FAMILIES = {1: "inet", _IPV4: "ip", _IPV6: "ip6"}
"""What nft calls those that forward packets; linux/netfilter.h."""
_NETWORK_HEADER, _IPV6_SOURCE = 1, 8
"""Where in a packet it begins, and how far into it; linux/netfilter/nf_tables.h, RFC 8200."""
_ACCEPT, _DROP = 1, 0
_FORWARD_HOOK = 2
_POSTROUTING_PRIORITY = 100
"""Where source addresses are changed; linux/netfilter_ipv4.h."""
_IFNAMSIZ = 16
_CHAIN = "postrouting"


def masquerade(
    table: str, *, where: str, source: str = "", leaving_by: str = "", version: int = 4
) -> None:
    """Has what an address sends go out under the address of whatever interface it leaves by.

    In the namespace of the calling thread, in a table of its own.

    Args:
        table: what the table is called; for each version of IP there may be one of that name.
        where: what it is for, for the error message.
        source: the address; empty for whatever is sent or forwarded at all.
        leaving_by: only what leaves by the interface of this name.
        version: that of IP, 4 or 6.

    Raises:
        MachineError: the kernel cannot.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nftsocket import Cmp, Meta, Regs
    from pyroute2.nftables.expressions import genex, ipv4addr, masq
    from pyroute2.nftables.main import NFTables

    match = []
    if source and version == 4:
        match.append(ipv4addr(src=source))
    elif source:
        packed = {"attrs": [("NFTA_DATA_VALUE", ip_address(source).packed)]}
        place = {"base": _NETWORK_HEADER, "offset": _IPV6_SOURCE, "len": 16}
        load = genex("payload", {"dreg": Regs.NFT_REG_1, **place})
        same = genex("cmp", {"sreg": Regs.NFT_REG_1, "op": Cmp.NFT_CMP_EQ, "data": packed})
        match.append([load, same])
    if leaving_by:
        name = {"attrs": [("NFTA_DATA_VALUE", leaving_by.encode().ljust(_IFNAMSIZ, b"\0"))]}
        meta = genex("meta", {"dreg": Regs.NFT_REG_1, "key": Meta.NFT_META_OIFNAME})
        same = genex("cmp", {"sreg": Regs.NFT_REG_1, "op": Cmp.NFT_CMP_EQ, "data": name})
        match.append([meta, same])
    try:
        with NFTables(nfgen_family=_IPV4 if version == 4 else _IPV6) as nft:
            nft.begin()
            nft.table("add", name=table)
            nft.chain(
                "add",
                table=table,
                name=_CHAIN,
                hook="postrouting",
                type="nat",
                policy=_ACCEPT,
                priority=_POSTROUTING_PRIORITY,
            )
            nft.rule("add", table=table, chain=_CHAIN, expressions=(*match, masq()))
            nft.commit()
    except (NetlinkError, OSError) as error:
        raise MachineError(
            f"the kernel does not masquerade IPv{version}: {error}",
            where=where,
            hint="run a kernel with CONFIG_NF_TABLES and CONFIG_NFT_MASQ, such as a distribution's",
        ) from error


def remove_table(table: str) -> None:
    """Removes the tables of a name from the namespace of the calling thread, if they are there."""
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    for family in (_IPV4, _IPV6):
        try:
            with NFTables(nfgen_family=family) as nft:
                nft.table("del", name=table)
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
                raise


def dropping_chains(version: int = 4) -> list[str]:
    """The chains of the calling thread's namespace that drop what is forwarded unless told not to.

    Those of nftables, and of iptables where that works through it, as nft calls them:
    ``ip filter FORWARD``.

    Args:
        version: that of the packets, 4 or 6.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    found = []
    try:
        with NFTables(nfgen_family=_ANY_FAMILY) as nft:
            for chain in nft.get_chains():
                attributes: dict[str, Any] = dict(chain["attrs"])
                hook = dict((attributes.get("NFTA_CHAIN_HOOK") or {"attrs": []})["attrs"])
                policy = attributes.get("NFTA_CHAIN_POLICY")
                family = _FAMILIES.get(chain["nfgen_family"])
                own = family in ("inet", "ip" if version == 4 else "ip6")
                if own and hook.get("NFTA_HOOK_HOOKNUM") == _FORWARD_HOOK and policy == _DROP:
                    name = attributes["NFTA_CHAIN_NAME"]
                    found.append(f"{family} {attributes['NFTA_CHAIN_TABLE']} {name}")
    except (NetlinkError, OSError):
        return []
    return found
