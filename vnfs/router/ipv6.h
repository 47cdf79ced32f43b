/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Routing IPv6: RFC 8200; neighbours: RFC 4861; errors and echoes: RFC 4443. */
#ifndef ROUTER_IPV6_H
#define ROUTER_IPV6_H

#include "ipv4.h"

#define ICMP6_UNREACHABLE   1
#define ICMP6_TOO_BIG       2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_INFORMATIONAL 128
#define ICMP6_ECHO          128
#define ICMP6_ECHO_REPLY    129
#define ICMP6_NO_ROUTE      0
#define ICMP6_NO_PORT       4

#define ND_SOLICITATION  135
#define ND_ADVERTISEMENT 136
#define ND_HOP_LIMIT     255
#define ND_SOURCE_MAC    1
#define ND_TARGET_MAC    2
/* From a router, asked for, and to replace what was known: R, S and O. */
#define ND_ANSWER 0xe0000000U
/* No message that finds a neighbour is longer in practice: one option, at most three. */
#define ND_MOST_BYTES 48

struct prefix6 {
    __u32 prefix_bits;
    __be32 address[4];
};
VNF_LPM(routes6, struct prefix6, struct route, ROUTES);

/* A solicitation or advertisement with its one option, a MAC address. */
struct nd_frame {
    struct ethhdr eth;
    struct ipv6hdr ip;
    struct vnf_icmp icmp;
    struct in6_addr target;
    __u8 option;
    __u8 option_units;
    __u8 mac[ETH_ALEN];
} __attribute__((packed));

#define ND_MESSAGE_BYTES (sizeof(struct nd_frame) - sizeof(struct ethhdr) - sizeof(struct ipv6hdr))
#define ND_TARGET_BYTES  (sizeof(struct vnf_icmp) + sizeof(struct in6_addr))

struct error6_frame {
    struct ethhdr eth;
    struct ipv6hdr ip;
    struct vnf_icmp icmp;
} __attribute__((packed));

static __always_inline void read6(const void *from, union address *to) {
    const vnf_word64 *halves = from;
    to->halves[0] = halves[0];
    to->halves[1] = halves[1];
}

static __always_inline void write6(void *to, const union address *from) {
    vnf_word64 *halves = to;
    halves[0] = from->halves[0];
    halves[1] = from->halves[1];
}

static __always_inline int same6(const union address *one, const union address *other) {
    return one->halves[0] == other->halves[0] && one->halves[1] == other->halves[1];
}

static __always_inline int is_multicast6(const union address *address) {
    return *(const __u8 *)address == 0xff;
}

/* RFC 4291: unspecified, loopback, link-local and multicast addresses are not routed. */
static __always_inline int is_special6(const union address *address) {
    __u32 first = vnf_ntohl(address->words[0]);
    return first >> 22 == 0xfe80 >> 6 || first >> 24 == 0xff ||
           (!address->halves[0] && !address->words[2] && vnf_ntohl(address->words[3]) <= 1);
}

/* RFC 4443, section 2.3: of ICMPv6, addresses and length are summed up too. */
static __always_inline __u64 pseudo_sum(const struct ipv6hdr *ip, __u32 bytes) {
    return vnf_sum((const void *)ip + 8, 32) + vnf_htons(bytes) + vnf_htons(IPPROTO_ICMPV6);
}

static __always_inline void write_head6(struct ipv6hdr *ip, __u32 bytes, __u8 hop_limit) {
    *(vnf_word32 *)ip = vnf_htonl(6U << 28);
    ip->payload_len = vnf_htons(bytes);
    ip->nexthdr = IPPROTO_ICMPV6;
    ip->hop_limit = hop_limit;
}

/* Write a message about `target` that tells our own MAC address, and fill in its checksum. */
static __always_inline int write_nd(struct vnf_ctx *ctx, const struct own_port *own,
                                    const __u8 *mac, const union address *to, __u8 type,
                                    __u32 flags, const union address *target) {
    struct nd_frame *frame = vnf_data(ctx);
    if (!VNF_FITS(frame, vnf_end(ctx)))
        return -1;
    vnf_copy_mac(frame->eth.h_dest, mac);
    vnf_copy_mac(frame->eth.h_source, own->mac);
    frame->eth.h_proto = vnf_htons(ETH_P_IPV6);
    struct ipv6hdr *ip = (void *)frame + sizeof(frame->eth);
    write_head6(ip, ND_MESSAGE_BYTES, ND_HOP_LIMIT);
    write6(&ip->saddr, &own->ipv6);
    write6(&ip->daddr, to);
    frame->icmp = (struct vnf_icmp){.type = type, .rest = vnf_htonl(flags)};
    write6(&frame->target, target);
    frame->option = type == ND_SOLICITATION ? ND_SOURCE_MAC : ND_TARGET_MAC;
    frame->option_units = 1;
    vnf_copy_mac(frame->mac, own->mac);
    frame->icmp.checksum =
        vnf_checksum_fold(pseudo_sum(ip, ND_MESSAGE_BYTES) + vnf_sum(ip + 1, ND_MESSAGE_BYTES));
    return 0;
}

/* Turn a packet into the question where its next hop is, for its solicited-node address. */
static __always_inline int ask6(struct vnf_ctx *ctx, const struct own_port *own, __u32 port,
                                const union address *next_hop) {
    const __u8 *last = (const __u8 *)next_hop;
    __u8 mac[ETH_ALEN] = {0x33, 0x33, 0xff, last[13], last[14], last[15]};
    union address group = {.words = {vnf_htonl(0xff020000U), 0, vnf_htonl(1), next_hop->words[3]}};
    *(__u8 *)&group.words[3] = 0xff;
    if (resize(ctx, sizeof(struct nd_frame)) ||
        write_nd(ctx, own, mac, &group, ND_SOLICITATION, 0, next_hop))
        return VNF_DROP;
    ctx->counters->neighbour_requests++;
    return VNF_FORWARD(port);
}

/* RFC 4861, sections 7.2.3 and 7.2.5. */
static __always_inline int handle_nd(struct vnf_ctx *ctx, void *data, void *end,
                                     const struct own_port *own) {
    struct ipv6hdr *ip = data + sizeof(struct ethhdr);
    struct vnf_icmp *icmp = (void *)(ip + 1);
    void *target_at = icmp + 1;
    if (target_at + sizeof(struct in6_addr) > end)
        return -1;
    __u32 bytes = vnf_ntohs(ip->payload_len);
    void *behind = (void *)icmp + (bytes & 0x7f);
    if (ip->hop_limit != ND_HOP_LIMIT || icmp->code || bytes < ND_TARGET_BYTES ||
        bytes > ND_MOST_BYTES || bytes % 8 || behind > end)
        return -1;
    if (vnf_checksum_fold(pseudo_sum(ip, bytes) +
                          sum_between(icmp, behind, end, ND_MOST_BYTES / 2)))
        return -1;
    int asks = icmp->type == ND_SOLICITATION;
    struct neighbour_key key = {.port = ctx->port, .family = 6};
    union address target, sender;
    read6(target_at, &target);
    read6(&ip->saddr, &sender);
    if (asks && (!same6(&target, &own->ipv6) || !(sender.halves[0] | sender.halves[1])))
        return VNF_DROP;
    struct nd_frame *frame = data;
    if (VNF_FITS(frame, end) && bytes >= ND_MESSAGE_BYTES && frame->option_units == 1 &&
        frame->option == (asks ? ND_SOURCE_MAC : ND_TARGET_MAC)) {
        key.address = asks ? sender : target;
        learn(ctx, &key, frame->mac, asks);
    }
    if (!asks)
        return VNF_DROP;
    __u8 back[ETH_ALEN];
    vnf_copy_mac(back, frame->eth.h_source);
    if (resize(ctx, sizeof(*frame)) ||
        write_nd(ctx, own, back, &sender, ND_ADVERTISEMENT, ND_ANSWER, &target))
        return VNF_DROP;
    ctx->counters->neighbour_replies++;
    return VNF_BACK;
}

static __always_inline int local6(struct vnf_ctx *ctx, struct ethhdr *eth, struct ipv6hdr *ip,
                                  void *end, struct report *report) {
    struct vnf_icmp *icmp = (void *)(ip + 1);
    if (ip->nexthdr == IPPROTO_UDP) {
        *report = (struct report){.type = ICMP6_UNREACHABLE, .code = ICMP6_NO_PORT};
        ctx->counters->unreachable++;
        return VNF_DROP;
    }
    if (ip->nexthdr != IPPROTO_ICMPV6 || !VNF_FITS(icmp, end) || icmp->type != ICMP6_ECHO)
        return VNF_DROP;
    __be16 old = *(__be16 *)icmp;
    icmp->type = ICMP6_ECHO_REPLY;
    vnf_checksum_replace16(&icmp->checksum, old, *(__be16 *)icmp);
    union address asked, asker;
    read6(&ip->daddr, &asked);
    read6(&ip->saddr, &asker);
    write6(&ip->daddr, &asker);
    write6(&ip->saddr, &asked);
    ip->hop_limit = OWN_TIME_LIVE;
    vnf_swap_macs(eth);
    ctx->counters->echo_replies++;
    return VNF_BACK;
}

static __always_inline int forward6(struct vnf_ctx *ctx, void *data, void *end,
                                    struct report *report) {
    struct ethhdr *eth = data;
    struct ipv6hdr *ip = data + sizeof(*eth);
    union address source, destination;
    read6(&ip->saddr, &source);
    read6(&ip->daddr, &destination);
    if (is_special6(&source) || is_special6(&destination)) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    struct prefix6 prefix = {.prefix_bits = 128};
    __builtin_memcpy(prefix.address, &destination, sizeof(prefix.address));
    const struct route *route = vnf_lookup(&routes6, &prefix);
    if (!route) {
        *report = (struct report){.type = ICMP6_UNREACHABLE, .code = ICMP6_NO_ROUTE};
        ctx->counters->unreachable++;
        return VNF_DROP;
    }
    if (route->kind == ROUTE_LOCAL)
        return local6(ctx, eth, ip, end, report);
    if (ip->hop_limit <= 1) {
        *report = (struct report){.type = ICMP6_TIME_EXCEEDED};
        ctx->counters->time_exceeded++;
        return VNF_DROP;
    }
    __u32 port = route->port;
    const struct own_port *out = vnf_setting(ctx, own_ports, port);
    if (!out)
        return VNF_DROP;
    if (sizeof(*ip) + vnf_ntohs(ip->payload_len) > out->mtu) {
        *report = (struct report){.type = ICMP6_TOO_BIG, .rest = vnf_htonl(out->mtu)};
        ctx->counters->too_big++;
        return VNF_DROP;
    }
    struct neighbour_key next = {.port = port, .family = 6};
    next.address = route->kind == ROUTE_VIA ? route->via : destination;
    __u64 mac = 0;
    int outcome = resolve(ctx, &next, &mac);
    if (outcome == TO_ASK)
        return ask6(ctx, out, port, &next.address);
    if (outcome == TO_WAIT) {
        ctx->counters->unresolved++;
        return VNF_DROP;
    }
    vnf_copy_mac(eth->h_dest, (const __u8 *)&mac);
    vnf_copy_mac(eth->h_source, out->mac);
    ip->hop_limit--;
    ctx->counters->forwarded++;
    return VNF_FORWARD(port);
}

/*
 * RFC 4443, section 2.4: no error about an error. Behind an extension header there might be one, so
 * there is none about such a packet either.
 */
static __always_inline int may_report6(const struct ipv6hdr *ip, void *end) {
    const struct vnf_icmp *icmp = (const void *)(ip + 1);
    if (ip->nexthdr == IPPROTO_ICMPV6)
        return VNF_FITS(icmp, end) && icmp->type >= ICMP6_INFORMATIONAL;
    return ip->nexthdr != IPPROTO_HOPOPTS && ip->nexthdr != IPPROTO_ROUTING &&
           ip->nexthdr != IPPROTO_FRAGMENT && ip->nexthdr != IPPROTO_DSTOPTS;
}

static __always_inline int report6(struct vnf_ctx *ctx, const struct own_port *own,
                                   const struct report *report) {
    struct ethhdr *eth = vnf_data(ctx);
    struct ipv6hdr *ip = (void *)(eth + 1);
    void *end = vnf_end(ctx);
    __u8 back[ETH_ALEN];
    union address to;
    if (!VNF_FITS(ip, end) || !(own->ipv6.halves[0] | own->ipv6.halves[1]) || !may_report6(ip, end))
        return VNF_DROP;
    __u32 quoted = sizeof(*ip) + vnf_ntohs(ip->payload_len);
    read6(&ip->saddr, &to);
    vnf_copy_mac(back, eth->h_source);
    /* Even, so that the checksum is made of whole words. */
    quoted = quoted < QUOTED_BYTES ? quoted & ~1U : QUOTED_BYTES;
    if (vnf_trim(ctx, ctx->length - sizeof(*eth) - quoted) ||
        vnf_push(ctx, sizeof(struct error6_frame) - sizeof(*eth)))
        return VNF_DROP;
    struct error6_frame *frame = vnf_data(ctx);
    end = vnf_end(ctx);
    if (!VNF_FITS(frame, end))
        return VNF_DROP;
    vnf_copy_mac(frame->eth.h_dest, back);
    vnf_copy_mac(frame->eth.h_source, own->mac);
    frame->eth.h_proto = vnf_htons(ETH_P_IPV6);
    ip = (void *)frame + sizeof(*eth);
    __u32 bytes = sizeof(frame->icmp) + quoted;
    write_head6(ip, bytes, OWN_TIME_LIVE);
    write6(&ip->saddr, &own->ipv6);
    write6(&ip->daddr, &to);
    frame->icmp =
        (struct vnf_icmp){.type = report->type, .code = report->code, .rest = report->rest};
    frame->icmp.checksum =
        vnf_checksum_fold(pseudo_sum(ip, bytes) +
                          sum_between(ip + 1, end, end, (sizeof(frame->icmp) + QUOTED_BYTES) / 2));
    return VNF_BACK;
}

static __always_inline int handle_ipv6(struct vnf_ctx *ctx, void *data, void *end,
                                       const struct own_port *own, int for_us) {
    struct ipv6hdr *ip = data + sizeof(struct ethhdr);
    struct vnf_icmp *icmp = (void *)(ip + 1);
    if (!VNF_FITS(ip, end) || ip->version != 6 ||
        sizeof(*ip) + vnf_ntohs(ip->payload_len) > ctx->length - sizeof(struct ethhdr)) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    union address destination;
    read6(&ip->daddr, &destination);
    int nearby = is_multicast6(&destination) || same6(&destination, &own->ipv6);
    if (nearby && ip->nexthdr == IPPROTO_ICMPV6 && VNF_FITS(icmp, end) &&
        (icmp->type == ND_SOLICITATION || icmp->type == ND_ADVERTISEMENT)) {
        int verdict = handle_nd(ctx, data, end, own);
        if (verdict < 0)
            ctx->counters->refused++;
        return verdict;
    }
    if (!for_us) {
        ctx->counters->ignored++;
        return VNF_DROP;
    }
    struct report report = {0};
    int verdict = forward6(ctx, data, end, &report);
    return report.type ? report6(ctx, own, &report) : verdict;
}

#endif
