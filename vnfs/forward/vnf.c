/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf.h"

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    return VNF_FORWARD(vnf_peer(port));
}
