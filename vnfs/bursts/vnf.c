/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

#define VNF_BURST
#define VNF_IDLE

static void handle_burst(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count, __u32 port,
                         int *verdicts) {
    if (count == 1)
        ctx->counters->bursts_1++;
    else if (count < 4)
        ctx->counters->bursts_2_3++;
    else if (count < 8)
        ctx->counters->bursts_4_7++;
    else if (count < 16)
        ctx->counters->bursts_8_15++;
    else if (count < 32)
        ctx->counters->bursts_16_31++;
    else
        ctx->counters->bursts_32_up++;
    for (__u32 i = 0; i < count; i++)
        verdicts[i] = VNF_FORWARD(vnf_peer(port));
}

static __u64 handle_idle(struct vnf_ctx *ctx, __u32 port) {
    ctx->counters->idle_looks++;
    return VNF_WHENEVER;
}
