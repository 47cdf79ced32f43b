/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * UDP datagrams that lie in one frame, and how to write more behind their payload:
 *
 *     struct vnf_datagram datagram;
 *     if (vnf_udp_find(ctx, &found, &datagram))
 *         …                                                 not a datagram, or not a whole one
 *     struct udphdr *udp = vnf_udp_extend(ctx, &datagram, sizeof(content), longest);
 *     if (!udp)
 *         …                                                 nothing has changed
 *     vnf_udp_fill(ctx, udp, &datagram, &content, sizeof(content));
 */
#ifndef VNF_UDP_H
#define VNF_UDP_H

#include "vnf.h"

/* Where a datagram lies in its frame: offsets and lengths in bytes. */
struct vnf_datagram {
    __u32 ip;
    __u32 udp;
    __u32 payload;
    __u32 payload_bytes;
};

/* Headers further behind the frame's beginning than this are left alone. */
#define VNF_UDP_FURTHEST 2047

/*
 * A number whose bits are all in `mask`; for BPF, one that neither the compiler nor the verifier
 * connects with what it was computed from.
 */
static __always_inline __u64 vnf_udp_number(__u64 number, __u64 mask) {
#ifdef __bpf__
    barrier_var(number);
#endif
    return number & mask;
}

/*
 * Find the datagram of a frame; returns 0, or -1 when there is none, when it is one fragment of
 * several, when it is cut off, or when UDP and IP disagree on where it ends (as RFC 9868 allows).
 */
static __always_inline int vnf_udp_find(const struct vnf_ctx *ctx, const struct vnf_headers *found,
                                        struct vnf_datagram *datagram) {
    if (!found->udp || found->fragment)
        return -1;
    void *frame = found->eth;
    __u32 udp = vnf_udp_number((void *)found->udp - frame, 0xffff);
    __u32 ip, end_of_ip, bytes = vnf_ntohs(found->udp->len);
    if (found->ipv4) {
        ip = vnf_udp_number((void *)found->ipv4 - frame, 0xff);
        end_of_ip = ip + vnf_ntohs(found->ipv4->tot_len);
    } else if (found->ipv6) {
        ip = vnf_udp_number((void *)found->ipv6 - frame, 0xff);
        end_of_ip = ip + sizeof(struct ipv6hdr) + vnf_ntohs(found->ipv6->payload_len);
    } else {
        return -1;
    }
    if (bytes < sizeof(struct udphdr) || udp + bytes != end_of_ip || end_of_ip > ctx->length)
        return -1;
    datagram->ip = ip;
    datagram->udp = udp;
    datagram->payload = udp + sizeof(struct udphdr);
    datagram->payload_bytes = bytes - sizeof(struct udphdr);
    return 0;
}

/*
 * Make room for so many bytes, a constant and even number, behind the payload, and make all lengths
 * and checksums right for room that is zero. Padding of the frame becomes part of the room first.
 *
 * Returns the UDP header in the changed frame, or NULL when the frame cannot grow or the IP packet
 * would be longer than `longest` bytes. Every pointer into the frame from before is stale.
 */
static __always_inline struct udphdr *vnf_udp_extend(struct vnf_ctx *ctx,
                                                     const struct vnf_datagram *datagram,
                                                     __u32 bytes, __u32 longest) {
    __u32 ip_at = datagram->ip, udp_at = datagram->udp;
    __u32 end_of_ip = datagram->payload + datagram->payload_bytes + bytes;

    if (udp_at > VNF_UDP_FURTHEST || ip_at > udp_at || end_of_ip - ip_at > longest)
        return 0;
    if (end_of_ip > ctx->length && vnf_append(ctx, end_of_ip - ctx->length))
        return 0;
    void *data = vnf_data(ctx), *end = vnf_end(ctx);
    struct iphdr *ipv4 = data + vnf_udp_number(ip_at, VNF_UDP_FURTHEST);
    struct udphdr *udp = data + vnf_udp_number(udp_at, VNF_UDP_FURTHEST);
    if (!VNF_FITS(ipv4, end) || !VNF_FITS(udp, end))
        return 0;
    if (ipv4->version == 4) {
        __be16 before = ipv4->tot_len;
        ipv4->tot_len = vnf_htons(vnf_ntohs(before) + bytes);
        vnf_checksum_replace16(&ipv4->check, before, ipv4->tot_len);
    } else {
        struct ipv6hdr *ipv6 = (void *)ipv4;
        ipv6->payload_len = vnf_htons(vnf_ntohs(ipv6->payload_len) + bytes);
    }
    __be16 before = udp->len;
    udp->len = vnf_htons(vnf_ntohs(before) + bytes);
    /* The length is summed twice: in the header, and in front of it (RFC 768, RFC 8200). */
    vnf_udp_checksum_replace16(&udp->check, before, udp->len);
    vnf_udp_checksum_replace16(&udp->check, before, udp->len);
    return udp;
}

/* Write into the room that vnf_udp_extend() made; `bytes` is what it was given. */
static __always_inline int vnf_udp_fill(struct vnf_ctx *ctx, struct udphdr *udp,
                                        const struct vnf_datagram *datagram, const void *content,
                                        __u32 bytes) {
    __u16 sum = (__u16)~vnf_checksum_fold(vnf_sum(content, bytes));
    /* Behind an odd number of bytes, each of ours is in the other half of its word. */
    if (datagram->payload_bytes & 1)
        sum = __builtin_bswap16(sum);
    vnf_udp_checksum_replace16(&udp->check, 0, sum);
    return vnf_store(ctx, datagram->payload + datagram->payload_bytes, content, bytes);
}

#endif
