/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_udp.h"

/* The first byte of a word in memory is the lowest one of its number. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the key is laid out for other machines");

/* The most bytes that are changed in place, and a mask for any offset up to their end. */
#define GROUP_BYTES 32
#ifdef __bpf__
#define MOST_BYTES 0xfff
#define FURTHEST   0x3fff
#else
#define MOST_BYTES 0xffff
#define FURTHEST   0x1ffff
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

/*
 * For BPF, clang has to be told what is best for it: one word after the other, or it would run out
 * of registers; and to go on from the very pointer that was checked.
 */
#ifdef __bpf__
#define IN_ORDER()     asm volatile("" ::: "memory")
#define KEEP(variable) barrier_var(variable)
#else
#define IN_ORDER()     ((void)0)
#define KEEP(variable) ((void)0)
#endif

static __always_inline void change(vnf_word64 *word, __u64 key, struct common_bits *common) {
    __u64 before = *word;
    *word = before ^ key;
    before &= key;
    common->sum += before;
    common->upper_sum += before >> 32;
    IN_ORDER();
}

/* A sum in the arithmetic of the checksum, where 65536 is 1. */
static __always_inline __u64 folded(__u64 sum) {
    return (__u16)~vnf_checksum_fold(sum);
}

static __always_inline void keep_checksum(struct udphdr *udp, __u64 key, __u32 start, __u32 bytes,
                                          const struct common_bits *common) {
    __u64 upper_sum = common->upper_sum - common->zero;
    __u64 lower_sum = common->sum - common->zero - (upper_sum << 32);
    __u64 last = key & ~(~0ULL << (bytes % 8 * 8));
    __u64 sum = bytes / 8 * folded(key) + (__u32)last + (last >> 32);
    __u16 more = folded(sum + 2 * (0xffff - folded(lower_sum + upper_sum)));
    /* From an odd byte on, each of the key's is in the other half of its word. */
    if (start & 1)
        more = __builtin_bswap16(more);
    vnf_udp_checksum_replace16(&udp->check, 0, more);
}

/* Change at most COPY_BYTES, wherever they lie. */
static __always_inline int change_copy(struct vnf_ctx *ctx, __u32 at, __u32 bytes, __u64 key,
                                       struct common_bits *common) {
    __u64 words[COPY_BYTES / 8];
    if (bytes < COPY_BYTES)
        __builtin_memset(words, 0, sizeof(words));
    if (vnf_load(ctx, at, words, bytes))
        return -1;
    for (int word = 0; word < COPY_BYTES / 8; word++)
        change(&words[word], key, common);
    return vnf_store(ctx, at, words, bytes);
}

static __always_inline void change_copies(struct vnf_ctx *ctx, __u32 start, __u32 bytes, __u64 key,
                                          struct common_bits *common) {
    for (__u32 done = 0; done < 65536 && done + COPY_BYTES <= bytes; done += COPY_BYTES)
        if (change_copy(ctx, start + done, COPY_BYTES, key, common))
            return;
    __u32 left = vnf_udp_number(bytes, COPY_BYTES - 1);
    if (left)
        change_copy(ctx, start + (bytes & ~(COPY_BYTES - 1)), left, key, common);
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
    __u32 left = vnf_udp_number(bytes, MOST_BYTES);
    while (left >= GROUP_BYTES && at + GROUP_BYTES <= end) {
        vnf_word64 *words = at;
        change(&words[0], key, common);
        change(&words[1], key, common);
        change(&words[2], key, common);
        change(&words[3], key, common);
        at += GROUP_BYTES;
        KEEP(at);
        left -= GROUP_BYTES;
    }
    at = data + vnf_udp_number(start + (bytes & ~(GROUP_BYTES - 1)), FURTHEST);
    left = vnf_udp_number(bytes, GROUP_BYTES - 1);
    while (left >= 8 && at + 8 <= end) {
        change(at, key, common);
        at += 8;
        KEEP(at);
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
    if (!VNF_PIECES || (bytes <= MOST_BYTES && start + bytes <= end - data))
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
