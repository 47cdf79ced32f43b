/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

/* What follows an IP header. */
static __always_inline void count_transport(struct vnf_counters *counters,
                                            const struct vnf_headers *found) {
    if (found->fragment)
        counters->fragments++;
    if (found->later_fragment)
        return;
    if (!found->payload)
        counters->malformed++;
    else if (found->udp)
        counters->udp++;
    else if (found->tcp)
        counters->tcp++;
    else if (found->icmp)
        counters->icmp++;
    else
        counters->other_ip++;
}

static __always_inline void count_network(struct vnf_counters *counters,
                                          const struct vnf_headers *found) {
    if (found->ipv4) {
        counters->ipv4++;
        counters->ip_bytes += vnf_ntohs(found->ipv4->tot_len);
        count_transport(counters, found);
    } else if (found->ipv6) {
        counters->ipv6++;
        counters->ip_bytes += sizeof(*found->ipv6) + vnf_ntohs(found->ipv6->payload_len);
        count_transport(counters, found);
    } else if (found->arp) {
        counters->arp++;
    } else if (found->type == ETH_P_IP || found->type == ETH_P_IPV6 || found->type == ETH_P_ARP) {
        counters->malformed++;
    } else {
        counters->other++;
    }
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_counters *counters = ctx->counters;
    struct vnf_headers found;

    if (vnf_parse(data, end, &found)) {
        counters->other++;
        return VNF_FORWARD(vnf_peer(port));
    }
    const __u8 *to = found.eth->h_dest;
    if ((to[0] & to[1] & to[2] & to[3] & to[4] & to[5]) == 0xff)
        counters->broadcast++;
    else if (to[0] & 1)
        counters->multicast++;
    if (found.vlan)
        counters->vlan++;
    count_network(counters, &found);
    return VNF_FORWARD(vnf_peer(port));
}
