/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

/* Six bytes as a number; zero stands for "leave it as it is". */
static __always_inline __u64 as_number(const __u8 *mac) {
    const vnf_word32 *first = (const void *)mac;
    const vnf_word16 *last = (const void *)(mac + 4);
    return *first | (__u64)*last << 32;
}

static __always_inline void rewrite(__u8 *mac, __u64 to) {
    *(vnf_word32 *)mac = (__u32)to;
    *(vnf_word16 *)(mac + 4) = (__u16)(to >> 32);
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u64 destination = as_number(ctx->config->destination_mac);
    __u64 source = as_number(ctx->config->source_mac);
    struct ethhdr *eth = data;

    if ((destination | source) && VNF_FITS(eth, end)) {
        if (destination)
            rewrite(eth->h_dest, destination);
        if (source)
            rewrite(eth->h_source, source);
    }
    return VNF_FORWARD(vnf_peer(port));
}
