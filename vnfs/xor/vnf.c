/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_udp.h"

/* The first byte of a word in memory is the lowest one of its number. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the key is laid out for other machines");

/* What can be changed in place, and a mask for the offset where that ends. */
#define BLOCK_BYTES 32
#ifdef __bpf__
#define BLOCKS   128
#define FURTHEST 0x3fff
#else
#define BLOCKS   2048
#define FURTHEST 0x1ffff
#endif
/* What lies in several pieces is copied to be changed, so much at a time. */
#define COPY_BYTES 128

/*
 * What the UDP checksum has to know of the words before they were changed. As
 *
 *     (word ^ key) - word  =  key - 2 * (word & key)
 *
 * it is enough to add up word & key. The sum itself overflows, but together with the sum of the
 * upper halves it still tells that of the lower ones.
 *
 * Both begin with `zero`, which is any number: a sum that the verifier can follow from 0 on would
 * be another one to it after each round of a loop, and everything behind the loop, too.
 */
struct common_bits {
    __u64 zero;
    __u64 sum;
    __u64 upper_sum;
};

static __always_inline void change(vnf_word64 *word, __u64 key, struct common_bits *common) {
    __u64 before = *word;
    *word = before ^ key;
    before &= key;
    common->sum += before;
    common->upper_sum += before >> 32;
}

/* A sum in the arithmetic of the checksum, where 65536 is 1. */
static __always_inline __u64 folded(__u64 sum) {
    return (__u16)~vnf_checksum_fold(sum);
}

static __always_inline void keep_checksum(struct udphdr *udp, __u64 key, __u32 start, __u32 bytes,
                                          const struct common_bits *common) {
    __u64 upper_sum = common->upper_sum - common->zero;
    __u64 lower_sum = common->sum - common->zero - (upper_sum << 32);
    __u64 both = folded(folded(lower_sum) + folded(upper_sum));
    __u64 last = key & ~(~0ULL << (bytes % 8 * 8));
    __u16 more = folded(bytes / 8 * folded(key) + folded(last) + 2 * (0xffff - both));
    /* From an odd byte on, each of the key's is in the other half of its word. */
    if (start & 1)
        more = __builtin_bswap16(more);
    vnf_udp_checksum_replace16(&udp->check, 0, more);
}

/* Change bytes wherever they lie. */
static __always_inline void change_copies(struct vnf_ctx *ctx, __u32 start, __u32 bytes, __u64 key,
                                          struct common_bits *common) {
    for (__u32 done = 0; done < 65536 && done < bytes; done += COPY_BYTES) {
        __u64 words[COPY_BYTES / 8] = {0};
        __u32 left = vnf_udp_number(bytes - done, 0xffff);
        __u32 now = vnf_udp_number((left < COPY_BYTES ? left : COPY_BYTES) - 1, COPY_BYTES - 1) + 1;
        if (vnf_load(ctx, start + done, words, now))
            break;
        for (int word = 0; word < COPY_BYTES / 8; word++)
            change(&words[word], key, common);
        vnf_store(ctx, start + done, words, now);
    }
}

/*
 * Change bytes that lie in one piece. They begin behind a UDP header, so that there are always
 * eight bytes that end with them.
 *
 * Each loop counts down a number of its own, and positions are computed from those that no loop
 * changes: so the verifier finds the same behind a loop after any number of rounds, and goes on
 * from there but once.
 */
static __always_inline void change_in_place(struct vnf_ctx *ctx, __u32 start, __u32 bytes,
                                            __u64 key, struct common_bits *common) {
    void *data = vnf_data(ctx), *end = vnf_end(ctx);
    void *at = data + vnf_udp_number(start, FURTHEST);
    __u32 left = vnf_udp_number(bytes, FURTHEST);
    for (int i = 0; i < BLOCKS && left >= BLOCK_BYTES && at + BLOCK_BYTES <= end; i++) {
        vnf_word64 *words = at;
        change(&words[0], key, common);
        change(&words[1], key, common);
        change(&words[2], key, common);
        change(&words[3], key, common);
        at += BLOCK_BYTES;
        left -= BLOCK_BYTES;
    }
    at = data + vnf_udp_number(start + (bytes & ~(BLOCK_BYTES - 1)), FURTHEST);
    left = vnf_udp_number(bytes, BLOCK_BYTES - 1);
    for (int i = 1; i < BLOCK_BYTES / 8 && left >= 8 && at + 8 <= end; i++) {
        change(at, key, common);
        at += 8;
        left -= 8;
    }
    /* The word that ends with them; no bit of the key lies over what was changed already. */
    at = data + vnf_udp_number(start + bytes - 8, FURTHEST);
    if (bytes % 8 && at + 8 <= end) {
        __u32 done_bits = 64 - bytes % 8 * 8;
        vnf_word64 *word = at;
        __u64 before = *word;
        *word = before ^ key << done_bits;
        before = before >> done_bits & key;
        common->sum += before;
        common->upper_sum += before >> 32;
    }
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    __u32 offset = ctx->config->offset;
    struct vnf_headers found;
    struct vnf_datagram datagram;

    if (vnf_parse(data, end, &found) || vnf_udp_find(ctx, &found, &datagram) ||
        datagram.udp > VNF_UDP_FURTHEST || datagram.payload_bytes <= offset) {
        ctx->counters->untouched++;
        return VNF_FORWARD(vnf_peer(port));
    }
    __u64 key = vnf_htonll(ctx->config->key);
    struct common_bits common = {.zero = key, .sum = key, .upper_sum = key};
    __u32 bytes = datagram.payload_bytes - offset;
    __u32 start = datagram.payload + offset;
    if (!VNF_PIECES || (bytes <= BLOCKS * BLOCK_BYTES && start + bytes <= end - data))
        change_in_place(ctx, start, bytes, key, &common);
    else
        change_copies(ctx, start, bytes, key, &common);
    /* Found anew: the verifier would tell to the end behind which headers it was found. */
    struct udphdr *udp = vnf_data(ctx) + vnf_udp_number(datagram.udp, VNF_UDP_FURTHEST);
    if (VNF_FITS(udp, vnf_end(ctx)))
        keep_checksum(udp, key, offset, bytes, &common);
    ctx->counters->changed++;
    return VNF_FORWARD(vnf_peer(port));
}
