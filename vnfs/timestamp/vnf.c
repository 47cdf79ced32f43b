/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_udp.h"

struct limits {
    __u32 longest_packet_bytes;
};
VNF_SETTINGS(limits, struct limits, 1);

static __always_inline void stamp(struct vnf_ctx *ctx, void *data, void *end) {
    const struct limits *limit = vnf_setting(ctx, limits, 0);
    struct vnf_headers found;
    struct vnf_datagram datagram;

    if (!limit || vnf_parse(data, end, &found) || vnf_udp_find(ctx, &found, &datagram)) {
        ctx->counters->untouched++;
        return;
    }
    struct udphdr *udp = vnf_udp_extend(ctx, &datagram, sizeof(__u64), limit->longest_packet_bytes);
    if (!udp) {
        ctx->counters->too_long++;
        return;
    }
    __be64 now = vnf_htonll(vnf_now_ns(ctx));
    vnf_udp_fill(ctx, udp, &datagram, &now, sizeof(now));
    ctx->counters->stamped++;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    stamp(ctx, data, end);
    return VNF_FORWARD(vnf_peer(port));
}
