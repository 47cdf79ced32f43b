/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_udp.h"

struct limits {
    __u32 longest_packet_bytes;
};
VNF_SETTINGS(limits, struct limits, 1);

/* What a hop writes behind the payload; emulator/measure/hops.py reads it. "vhop". */
#define MARK 0x76686f70U
struct record {
    __be32 mark;
    /* Records up to here, this one included. */
    __u8 hops;
    __u8 port;
    __be16 hop;
    __be64 ingress_ns;
    __be64 egress_ns;
};

/* How many records a datagram carries already. */
static __always_inline __u32 hops_so_far(struct vnf_ctx *ctx, const struct vnf_datagram *datagram) {
    struct {
        __be32 mark;
        __u8 hops, port;
        __be16 hop;
    } last;
    if (datagram->payload_bytes < sizeof(struct record))
        return 0;
    __u32 end = datagram->payload + datagram->payload_bytes;
    if (vnf_load(ctx, end - sizeof(struct record), &last, sizeof(last)))
        return 0;
    if (last.mark != vnf_htonl(MARK) || last.hops * sizeof(struct record) > datagram->payload_bytes)
        return 0;
    return last.hops;
}

static __always_inline void stamp(struct vnf_ctx *ctx, void *data, void *end) {
    __u64 ingress_ns = vnf_now_ns(ctx);
    const struct limits *limit = vnf_setting(ctx, limits, 0);
    struct vnf_headers found;
    struct vnf_datagram datagram;

    if (!limit || vnf_parse(data, end, &found) || vnf_udp_find(ctx, &found, &datagram) ||
        (ctx->config->dport && found.udp->dest != vnf_htons(ctx->config->dport))) {
        ctx->counters->untouched++;
        return;
    }
    __u32 hops = hops_so_far(ctx, &datagram);
    if (hops >= ctx->config->max_hops) {
        ctx->counters->full++;
        return;
    }
    struct udphdr *udp =
        vnf_udp_extend(ctx, &datagram, sizeof(struct record), limit->longest_packet_bytes);
    if (!udp) {
        ctx->counters->too_long++;
        return;
    }
    struct record record = {
        .mark = vnf_htonl(MARK),
        .hops = hops + 1,
        .port = ctx->port,
        .hop = vnf_htons(ctx->config->hop),
        .ingress_ns = vnf_htonll(ingress_ns),
        .egress_ns = vnf_htonll(vnf_now_ns(ctx)),
    };
    vnf_udp_fill(ctx, udp, &datagram, &record, sizeof(record));
    ctx->counters->stamped++;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    stamp(ctx, data, end);
    return VNF_FORWARD(vnf_peer(port));
}
