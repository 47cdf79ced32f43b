#include "vnf.h"

/*
 * Called once for every frame. `data` is its first byte, `end` the one after its last, and `port`
 * the number of the port it came in by. The verdict says where it goes: VNF_FORWARD(port),
 * VNF_BACK, VNF_FLOOD, VNF_TO_HOST or VNF_DROP.
 *
 * The same file is compiled for every data plane of vnf.toml, so it keeps to what the strictest
 * one accepts: before an access it checks against `end`, its loops have a constant bound, and it
 * calls only what vnf.h offers.
 */
static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers headers;

    /* -1: not even the Ethernet header is whole. */
    if (vnf_parse(data, end, &headers))
        return VNF_DROP;

    /* A header that is not there, or is cut off, is NULL: ask before looking into it. */
    if (headers.udp && vnf_ntohs(headers.udp->dest) == ctx->config->watched_port)
        ctx->counters->watched++;

    /* The other port of two. */
    return VNF_FORWARD(vnf_peer(port));
}
