/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

struct drop_state {
    __u64 frames;
};
#define VNF_STATE struct drop_state

#define MILLION 1000000U

/* True for so many of a million calls. */
static __always_inline int happens(struct vnf_ctx *ctx, __u32 of_a_million) {
    if (of_a_million >= MILLION)
        return 1;
    /* 32 random bits as a fraction of one, times a million. */
    return (vnf_random(ctx) >> 32) * MILLION < (__u64)of_a_million << 32;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct drop_state *state = ctx->state;

    if (vnf_next(&state->frames) % ctx->config->every == 0 && happens(ctx, ctx->config->chance_ppm))
        return VNF_DROP;
    return VNF_FORWARD(vnf_peer(port));
}
