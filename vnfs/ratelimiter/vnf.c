/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_match.h"

#define CLASSES 16

/*
 * A bucket holds what may be sent at once. Its unit is the billionth of a bit: of that, a rate in
 * bits per second fills in exactly its own number in each nanosecond, so nothing is ever rounded.
 */
#define BILLIONTHS_PER_BYTE 8000000000ULL

struct class {
    struct vnf_match match;
    __u64 rate_bps;
    __u64 burst;
    /* How long an empty bucket takes to fill, rounded up. */
    __u64 fill_ns;
};
VNF_SETTINGS(classes, struct class, CLASSES);

struct bucket {
    __u64 filled_ns;
    __s64 content;
};
VNF_ARRAY(buckets, struct bucket, CLASSES *VNF_MAX_PORTS);

/*
 * Several CPUs may use one bucket, each step is atomic, and nobody waits. Of those who see that
 * time has passed, the one that moves `filled_ns` on pours in for it, so no nanosecond counts
 * twice.
 */
static __always_inline void fill(struct bucket *bucket, const struct class *class, __u64 now_ns) {
    __u64 filled_ns = *(volatile __u64 *)&bucket->filled_ns;
    __s64 passed_ns = now_ns - filled_ns;

    if (passed_ns <= 0 ||
        __sync_val_compare_and_swap(&bucket->filled_ns, filled_ns, now_ns) != filled_ns)
        return;
    __s64 room = class->burst - *(volatile __s64 *)&bucket->content;
    __s64 more = class->burst;
    if (filled_ns && (__u64)passed_ns < class->fill_ns)
        more = passed_ns * class->rate_bps;
    /* Less than nothing when the burst has become smaller. */
    __sync_fetch_and_add(&bucket->content, more < room ? more : room);
}

static __always_inline int take(struct bucket *bucket, __s64 cost) {
    if (__sync_fetch_and_add(&bucket->content, -cost) >= cost)
        return 0;
    __sync_fetch_and_add(&bucket->content, cost);
    return -1;
}

/* The number of the first class that a frame matches, or CLASSES. */
static __always_inline __u32 class_of(struct vnf_ctx *ctx, const struct vnf_key *key) {
    for (__u32 at = 0; at < CLASSES; at++) {
        const struct class *class = vnf_setting(ctx, classes, at);
        if (!class || !class->match.used)
            break;
        if (vnf_matches(key, &class->match))
            return at;
    }
    return CLASSES;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers found;
    struct vnf_key key = {0};

    if (!vnf_parse(data, end, &found))
        vnf_key_of(ctx, &found, &key);
    __u32 number = class_of(ctx, &key);
    __u32 index = port * CLASSES + number;
    const struct class *class = vnf_setting(ctx, classes, number);
    struct bucket *bucket = vnf_lookup(&buckets, &index);
    if (number == CLASSES || !class || !bucket) {
        ctx->counters->unlimited++;
        return VNF_FORWARD(vnf_peer(port));
    }
    fill(bucket, class, vnf_now_ns(ctx));
    if (take(bucket, (ctx->length + (__u64)ctx->config->overhead) * BILLIONTHS_PER_BYTE)) {
        ctx->counters->exceeding++;
        return VNF_DROP;
    }
    ctx->counters->conforming++;
    return VNF_FORWARD(vnf_peer(port));
}
