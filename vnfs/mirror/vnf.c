/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

struct mirror_state {
    __u64 frames;
};
#define VNF_STATE struct mirror_state

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    const struct vnf_config *config = ctx->config;
    struct mirror_state *state = ctx->state;

    if (port > 1) {
        ctx->counters->refused++;
        return VNF_DROP;
    }
    if (!config->every || !(port ? config->from_second : config->from_first))
        return VNF_FORWARD(vnf_peer(port));
    if (config->every > 1 && vnf_next(&state->frames) % config->every)
        return VNF_FORWARD(vnf_peer(port));
    /* Inside the kernel, a frame in several pieces that is sent to several ports gets lost. */
    if (VNF_PIECES && ctx->length > end - data) {
        ctx->counters->uncopied++;
        return VNF_FORWARD(vnf_peer(port));
    }
    ctx->counters->copied++;
    return VNF_FLOOD;
}
