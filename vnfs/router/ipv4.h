/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Routing IPv4: RFC 1812; errors and echoes: RFC 792. */
#ifndef ROUTER_IPV4_H
#define ROUTER_IPV4_H

#include "neighbours.h"

#define ROUTES         1024
#define OWN_TIME_LIVE  64
#define QUOTED_BYTES   128
#define FRAGMENT       0x3fff
#define LATER_FRAGMENT 0x1fff
#define DONT_FRAGMENT  0x4000
/* RFC 1812, section 4.3.2.5: errors go with the precedence of internetwork control. */
#define ERROR_TOS 0xc0

#define ICMP_ECHO_REPLY      0
#define ICMP_UNREACHABLE     3
#define ICMP_SOURCE_QUENCH   4
#define ICMP_REDIRECT        5
#define ICMP_ECHO            8
#define ICMP_TIME_EXCEEDED   11
#define ICMP_PARAMETER       12
#define NO_ROUTE             0
#define PORT_UNREACHABLE     3
#define FRAGMENTATION_NEEDED 4

#define ARP_REQUEST 1
#define ARP_REPLY   2

struct prefix4 {
    __u32 prefix_bits;
    __be32 address;
};
VNF_LPM(routes4, struct prefix4, struct route, ROUTES);

struct arp_frame {
    struct ethhdr eth;
    struct vnf_arp arp;
} __attribute__((packed));

struct error4_frame {
    struct ethhdr eth;
    struct iphdr ip;
    struct vnf_icmp icmp;
} __attribute__((packed));

/* RFC 826. */
static __always_inline int handle_arp(struct vnf_ctx *ctx, void *data, void *end,
                                      const struct own_port *own) {
    struct arp_frame *frame = data;
    struct vnf_arp *arp = &frame->arp;
    if (!VNF_FITS(frame, end) || arp->hardware != vnf_htons(1) ||
        arp->protocol != vnf_htons(ETH_P_IP) || arp->hardware_bytes != ETH_ALEN ||
        arp->protocol_bytes != 4) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    struct neighbour_key key = {.port = ctx->port, .family = 4};
    int for_us = own->ipv4 && arp->target_ip == own->ipv4;
    key.address.words[0] = arp->sender_ip;
    /* A sender without an address only wants to know whether somebody has the target's (RFC 5227).
     */
    if (arp->sender_ip)
        learn(ctx, &key, arp->sender_mac, for_us);
    if (!for_us || arp->operation != vnf_htons(ARP_REQUEST))
        return VNF_DROP;
    arp->operation = vnf_htons(ARP_REPLY);
    vnf_copy_mac(arp->target_mac, arp->sender_mac);
    arp->target_ip = arp->sender_ip;
    vnf_copy_mac(arp->sender_mac, own->mac);
    arp->sender_ip = own->ipv4;
    vnf_copy_mac(frame->eth.h_dest, frame->eth.h_source);
    vnf_copy_mac(frame->eth.h_source, own->mac);
    ctx->counters->neighbour_replies++;
    return VNF_BACK;
}

/* Turn a packet into the question where its next hop is. */
static __always_inline int ask4(struct vnf_ctx *ctx, const struct own_port *own, __u32 port,
                                __be32 next_hop) {
    if (resize(ctx, sizeof(struct arp_frame)))
        return VNF_DROP;
    struct arp_frame *frame = vnf_data(ctx);
    if (!VNF_FITS(frame, vnf_end(ctx)))
        return VNF_DROP;
    __builtin_memset(frame->eth.h_dest, 0xff, ETH_ALEN);
    vnf_copy_mac(frame->eth.h_source, own->mac);
    frame->eth.h_proto = vnf_htons(ETH_P_ARP);
    frame->arp.hardware = vnf_htons(1);
    frame->arp.protocol = vnf_htons(ETH_P_IP);
    frame->arp.hardware_bytes = ETH_ALEN;
    frame->arp.protocol_bytes = 4;
    frame->arp.operation = vnf_htons(ARP_REQUEST);
    vnf_copy_mac(frame->arp.sender_mac, own->mac);
    frame->arp.sender_ip = own->ipv4;
    __builtin_memset(frame->arp.target_mac, 0, ETH_ALEN);
    frame->arp.target_ip = next_hop;
    ctx->counters->neighbour_requests++;
    return VNF_FORWARD(port);
}

/* RFC 1812, section 5.2.2: whether the header is in order. */
static __always_inline int is_sound4(const struct vnf_ctx *ctx, const struct iphdr *ip, void *end) {
    if (!VNF_FITS(ip, end) || ip->version != 4 || ip->ihl < 5)
        return 0;
    __u32 header = ip->ihl * 4, whole = vnf_ntohs(ip->tot_len);
    if (whole < header || whole > ctx->length - sizeof(struct ethhdr))
        return 0;
    if (header == sizeof(*ip))
        return !vnf_checksum_fold(vnf_sum(ip, sizeof(*ip)));
    const void *behind = (const void *)ip + header;
    return behind <= end && !vnf_checksum_fold(sum_between(ip, behind, end, 30));
}

/* RFC 1812, sections 4.2.2.11 and 5.3.7: "this" network, loopback, multicast and broadcast. */
static __always_inline int is_special4(__be32 address) {
    __u32 number = vnf_ntohl(address);
    return number >> 24 == 0 || number >> 24 == 127 || number >= 0xe0000000U;
}

static __always_inline int local4(struct vnf_ctx *ctx, struct ethhdr *eth, struct iphdr *ip,
                                  void *end, struct report *report) {
    struct vnf_icmp *icmp = (void *)ip + ip->ihl * 4;
    if (ip->frag_off & vnf_htons(FRAGMENT))
        return VNF_DROP;
    if (ip->protocol == IPPROTO_UDP) {
        *report = (struct report){.type = ICMP_UNREACHABLE, .code = PORT_UNREACHABLE};
        ctx->counters->unreachable++;
        return VNF_DROP;
    }
    if (ip->protocol != IPPROTO_ICMP || !VNF_FITS(icmp, end) || icmp->type != ICMP_ECHO)
        return VNF_DROP;
    __be16 old = *(__be16 *)icmp;
    icmp->type = ICMP_ECHO_REPLY;
    vnf_checksum_replace16(&icmp->checksum, old, *(__be16 *)icmp);
    __be32 asked = ip->daddr;
    ip->daddr = ip->saddr;
    ip->saddr = asked;
    old = *(__be16 *)&ip->ttl;
    ip->ttl = OWN_TIME_LIVE;
    vnf_checksum_replace16(&ip->check, old, *(__be16 *)&ip->ttl);
    vnf_swap_macs(eth);
    ctx->counters->echo_replies++;
    return VNF_BACK;
}

static __always_inline int forward4(struct vnf_ctx *ctx, void *data, void *end,
                                    struct report *report) {
    struct ethhdr *eth = data;
    struct iphdr *ip = data + sizeof(*eth);
    if (!is_sound4(ctx, ip, end) || is_special4(ip->saddr) || is_special4(ip->daddr)) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    struct prefix4 prefix = {.prefix_bits = 32, .address = ip->daddr};
    const struct route *route = vnf_lookup(&routes4, &prefix);
    if (!route) {
        *report = (struct report){.type = ICMP_UNREACHABLE, .code = NO_ROUTE};
        ctx->counters->unreachable++;
        return VNF_DROP;
    }
    if (route->kind == ROUTE_LOCAL)
        return local4(ctx, eth, ip, end, report);
    if (route->kind == ROUTE_BROADCAST) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    if (ip->ttl <= 1) {
        *report = (struct report){.type = ICMP_TIME_EXCEEDED};
        ctx->counters->time_exceeded++;
        return VNF_DROP;
    }
    __u32 port = route->port;
    const struct own_port *out = vnf_setting(ctx, own_ports, port);
    if (!out)
        return VNF_DROP;
    if (vnf_ntohs(ip->tot_len) > out->mtu) {
        /* The lower half of the rest is the MTU: RFC 1191. */
        *report = (struct report){
            .type = ICMP_UNREACHABLE, .code = FRAGMENTATION_NEEDED, .rest = vnf_htonl(out->mtu)};
        ctx->counters->too_big++;
        return VNF_DROP;
    }
    struct neighbour_key next = {.port = port, .family = 4};
    next.address.words[0] = route->kind == ROUTE_VIA ? route->via.words[0] : ip->daddr;
    __u64 mac = 0;
    int outcome = resolve(ctx, &next, &mac);
    if (outcome == TO_ASK)
        return ask4(ctx, out, port, next.address.words[0]);
    if (outcome == TO_WAIT) {
        ctx->counters->unresolved++;
        return VNF_DROP;
    }
    vnf_copy_mac(eth->h_dest, (const __u8 *)&mac);
    vnf_copy_mac(eth->h_source, out->mac);
    vnf_ipv4_decrease_ttl(ip);
    ctx->counters->forwarded++;
    return VNF_FORWARD(port);
}

/* RFC 1812, section 4.3.2.7: no error about an error, nor about a later fragment. */
static __always_inline int may_report4(struct vnf_ctx *ctx, const struct iphdr *ip) {
    __u8 type;
    if (ip->frag_off & vnf_htons(LATER_FRAGMENT))
        return 0;
    if (ip->protocol != IPPROTO_ICMP)
        return 1;
    if (vnf_load(ctx, sizeof(struct ethhdr) + ip->ihl * 4, &type, 1))
        return 0;
    return type != ICMP_UNREACHABLE && type != ICMP_SOURCE_QUENCH && type != ICMP_REDIRECT &&
           type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETER;
}

/* Turn a packet into an error about it, and send that back to where the packet came from. */
static __always_inline int report4(struct vnf_ctx *ctx, const struct own_port *own,
                                   const struct report *report) {
    struct ethhdr *eth = vnf_data(ctx);
    struct iphdr *ip = (void *)(eth + 1);
    __u8 back[ETH_ALEN];
    if (!VNF_FITS(ip, vnf_end(ctx)) || !own->ipv4 || !may_report4(ctx, ip))
        return VNF_DROP;
    __u32 quoted = vnf_ntohs(ip->tot_len);
    __be32 to = ip->saddr;
    vnf_copy_mac(back, eth->h_source);
    /* Even, so that the checksum is made of whole words. */
    quoted = quoted < QUOTED_BYTES ? quoted & ~1U : QUOTED_BYTES;
    if (vnf_trim(ctx, ctx->length - sizeof(*eth) - quoted) ||
        vnf_push(ctx, sizeof(struct error4_frame) - sizeof(*eth)))
        return VNF_DROP;
    struct error4_frame *frame = vnf_data(ctx);
    void *end = vnf_end(ctx);
    if (!VNF_FITS(frame, end))
        return VNF_DROP;
    vnf_copy_mac(frame->eth.h_dest, back);
    vnf_copy_mac(frame->eth.h_source, own->mac);
    frame->eth.h_proto = vnf_htons(ETH_P_IP);
    frame->ip = (struct iphdr){
        .version = 4,
        .ihl = 5,
        .tos = ERROR_TOS,
        .tot_len = vnf_htons(sizeof(frame->ip) + sizeof(frame->icmp) + quoted),
        .frag_off = vnf_htons(DONT_FRAGMENT),
        .ttl = OWN_TIME_LIVE,
        .protocol = IPPROTO_ICMP,
        .saddr = own->ipv4,
        .daddr = to,
    };
    frame->ip.check = vnf_checksum_fold(vnf_sum((void *)frame + sizeof(*eth), sizeof(frame->ip)));
    frame->icmp =
        (struct vnf_icmp){.type = report->type, .code = report->code, .rest = report->rest};
    void *message = (void *)frame + sizeof(*eth) + sizeof(frame->ip);
    frame->icmp.checksum =
        vnf_checksum_fold(sum_between(message, end, end, (sizeof(frame->icmp) + QUOTED_BYTES) / 2));
    return VNF_BACK;
}

static __always_inline int handle_ipv4(struct vnf_ctx *ctx, void *data, void *end,
                                       const struct own_port *own) {
    struct report report = {0};
    int verdict = forward4(ctx, data, end, &report);
    return report.type ? report4(ctx, own, &report) : verdict;
}

#endif
