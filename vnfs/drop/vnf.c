/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

struct drop_state {
    __u64 frames;
};
#define VNF_STATE struct drop_state

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct drop_state *state = ctx->state;

    if (vnf_next(&state->frames) % ctx->config->every == 0)
        return VNF_DROP;
    return VNF_FORWARD(vnf_peer(port));
}
