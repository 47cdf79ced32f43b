/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"
#include "ipv4.h"
#include "ipv6.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct ethhdr *eth = data;
    const struct own_port *own = vnf_setting(ctx, own_ports, port);
    if (!own || !VNF_FITS(eth, end)) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    int for_us = same_mac(eth->h_dest, own->mac);
    /* Of what goes to groups, only the search for neighbours concerns a router (RFC 1812, 5.3.4).
     */
    int for_many = eth->h_dest[0] & 1;
    if (eth->h_proto == vnf_htons(ETH_P_ARP) && (for_us || for_many))
        return handle_arp(ctx, data, end, own);
    if (eth->h_proto == vnf_htons(ETH_P_IP) && for_us)
        return handle_ipv4(ctx, data, end, own);
    if (eth->h_proto == vnf_htons(ETH_P_IPV6) && (for_us || for_many))
        return handle_ipv6(ctx, data, end, own, for_us);
    ctx->counters->ignored++;
    return VNF_DROP;
}
