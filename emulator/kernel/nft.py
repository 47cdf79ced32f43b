"""Masquerading by nftables, over pyroute2's netlink: the program ``nft`` need not be installed."""

from __future__ import annotations

from typing import Any

from emulator.errors import MachineError

_IPV4, _ANY_FAMILY = 2, 0
_ACCEPT, _DROP = 1, 0
_FORWARD_HOOK = 2
_POSTROUTING_PRIORITY = 100
"""Where source addresses are changed; linux/netfilter_ipv4.h."""
_IFNAMSIZ = 16
_CHAIN = "postrouting"


def masquerade(table: str, *, where: str, source: str = "", leaving_by: str = "") -> None:
    """Has what an address sends go out under the address of whatever interface it leaves by.

    In the namespace of the calling thread, in a table of its own.

    Args:
        table: what the table is called.
        where: what it is for, for the error message.
        source: the IPv4 address; empty for whatever is sent or forwarded at all.
        leaving_by: only what leaves by the interface of this name.

    Raises:
        MachineError: the kernel cannot.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nftsocket import Cmp, Meta, Regs
    from pyroute2.nftables.expressions import genex, ipv4addr, masq
    from pyroute2.nftables.main import NFTables

    match = [ipv4addr(src=source)] if source else []
    if leaving_by:
        name = {"attrs": [("NFTA_DATA_VALUE", leaving_by.encode().ljust(_IFNAMSIZ, b"\0"))]}
        meta = genex("meta", {"dreg": Regs.NFT_REG_1, "key": Meta.NFT_META_OIFNAME})
        same = genex("cmp", {"sreg": Regs.NFT_REG_1, "op": Cmp.NFT_CMP_EQ, "data": name})
        match.append([meta, same])
    try:
        with NFTables(nfgen_family=_IPV4) as nft:
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
            f"the kernel does not masquerade: {error}",
            where=where,
            hint="run a kernel with CONFIG_NF_TABLES and CONFIG_NFT_MASQ, such as a distribution's",
        ) from error


def remove_table(table: str) -> None:
    """Removes a table from the namespace of the calling thread; it may be gone already."""
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    try:
        with NFTables(nfgen_family=_IPV4) as nft:
            nft.table("del", name=table)
    except NetlinkError as error:
        if error.code != 2:
            raise


def dropping_chains() -> list[str]:
    """The chains of the calling thread's namespace that drop what is forwarded unless told not to.

    Those of nftables, and of iptables where that works through it.
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
                if hook.get("NFTA_HOOK_HOOKNUM") == _FORWARD_HOOK and policy == _DROP:
                    name = attributes["NFTA_CHAIN_NAME"]
                    found.append(f"{attributes['NFTA_CHAIN_TABLE']} {name}")
    except (NetlinkError, OSError):
        return []
    return found
