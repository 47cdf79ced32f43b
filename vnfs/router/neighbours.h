/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which MAC address the next hop has: ARP (RFC 826) and neighbour discovery (RFC 4861) share this.
 */
#ifndef ROUTER_NEIGHBOURS_H
#define ROUTER_NEIGHBOURS_H

#include "vnf.h"

#define NEIGHBOURS 4096

/* RFC 1122, section 2.3.2.1: at most one ARP request per second for a neighbour. */
#define PATIENCE_NS 1000000000LL

/* An IPv4 address fills the first word, the others are zero. */
union address {
    __be32 words[4];
    __u64 halves[2];
};

/* What a port is called on the link; address 0 stands for none. */
struct own_port {
    __u8 mac[ETH_ALEN];
    __u16 mtu;
    __be32 ipv4;
    __u32 unused;
    union address ipv6;
};
VNF_SETTINGS(own_ports, struct own_port, VNF_MAX_PORTS);

struct neighbour_key {
    union address address;
    __u32 port;
    __u32 family;
};

/* The MAC address in the first six bytes; 0 while it was only asked for. */
struct neighbour {
    __u64 mac;
    __u64 since_ns;
};
VNF_LRU(neighbours, struct neighbour_key, struct neighbour, NEIGHBOURS);

/* Where packets to a network go. */
#define ROUTE_VIA       0
#define ROUTE_CONNECTED 1
#define ROUTE_LOCAL     2 /* an address of our own */
#define ROUTE_BROADCAST 3 /* to all hosts of a network: RFC 2644 has routers drop it */

struct route {
    union address via;
    __u32 port;
    __u32 kind;
};

/* An ICMP error to be sent; type 0 for none, which is that of no error. */
struct report {
    __u8 type;
    __u8 code;
    __be32 rest;
};

static __always_inline int same_mac(const __u8 *one, const __u8 *other) {
    const vnf_word16 *a = (const void *)one, *b = (const void *)other;
    return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]));
}

/* Note where a neighbour is; one that is not known yet only if asked to. */
static __always_inline void learn(struct vnf_ctx *ctx, const struct neighbour_key *key,
                                  const __u8 *mac, int create) {
    struct neighbour heard = {.since_ns = vnf_now_ns(ctx)};
    __builtin_memcpy(&heard.mac, mac, ETH_ALEN);
    struct neighbour *known = vnf_lookup(&neighbours, key);
    if (known) {
        known->mac = heard.mac;
        known->since_ns = heard.since_ns;
    } else if (create) {
        vnf_update(&neighbours, key, &heard);
    }
}

#define RESOLVED 0
#define TO_ASK   1
#define TO_WAIT  2

static __always_inline int resolve(struct vnf_ctx *ctx, const struct neighbour_key *key,
                                   __u64 *mac) {
    __u64 now_ns = vnf_now_ns(ctx);
    struct neighbour *known = vnf_lookup(&neighbours, key);
    if (known) {
        /* Another CPU may have noted a later moment than this one's. */
        __s64 age_ns = now_ns - known->since_ns;
        *mac = known->mac;
        if (*mac && age_ns <= (__s64)(ctx->config->neighbour_timeout * 1000000000ULL))
            return RESOLVED;
        if (!*mac && age_ns < PATIENCE_NS)
            return TO_WAIT;
    }
    struct neighbour asked = {.since_ns = now_ns};
    vnf_update(&neighbours, key, &asked);
    return TO_ASK;
}

/* Make a frame that is written anew so many bytes long. */
static __always_inline int resize(struct vnf_ctx *ctx, __u32 bytes) {
    if (ctx->length > bytes)
        return vnf_trim(ctx, ctx->length - bytes);
    return ctx->length < bytes ? vnf_append(ctx, bytes - ctx->length) : 0;
}

/* The sum over what lies between two places, in words of 16 bits: `most` words, a constant. */
static __always_inline __u64 sum_between(const void *from, const void *to, const void *end,
                                         __u32 most) {
    const __u16 *word = from;
    __u64 sum = 0;
    for (__u32 at = 0; at < most; at++) {
        if ((const void *)(word + at + 1) > to || (const void *)(word + at + 1) > end)
            break;
        sum += word[at];
    }
    return sum;
}

#endif
