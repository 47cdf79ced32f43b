/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The contract of vnf.h inside the kernel: tables are BPF maps. */
#ifndef VNF_BPF_H
#define VNF_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What the control plane may write while the VNF runs; a map of its own, mapped into memory. */
#define VNF_LIVE SEC(".data.live")

/* For trying a VNF on packets: time then stands still unless it is moved. */
const volatile __u8 vnf_clock_is_set;
__u64 vnf_clock_ns VNF_LIVE;
__u64 vnf_random_state[VNF_MAX_PORTS] VNF_LIVE;

static __always_inline void *vnf_data(struct vnf_ctx *ctx) {
    return (void *)(long)ctx->frame->data;
}

static __always_inline void *vnf_end(struct vnf_ctx *ctx) {
    return (void *)(long)ctx->frame->data_end;
}

static __always_inline int vnf_push(struct vnf_ctx *ctx, __u32 bytes) {
    return bpf_xdp_adjust_head(ctx->frame, -(int)bytes) ? -1 : 0;
}

static __always_inline int vnf_pull(struct vnf_ctx *ctx, __u32 bytes) {
    return bpf_xdp_adjust_head(ctx->frame, (int)bytes) ? -1 : 0;
}

#define VNF_MOVED_BYTES 64

/* Move `length` bytes to the frame's beginning, over `bytes` that are there, and zero the rest. */
static __always_inline int vnf_move_down(struct xdp_md *frame, __u32 length, __u32 bytes) {
    __u8 moved[VNF_MOVED_BYTES] = {0};
    for (__u32 at = 0; at < 65536 && at + VNF_MOVED_BYTES <= length; at += VNF_MOVED_BYTES)
        if (bpf_xdp_load_bytes(frame, at + bytes, moved, VNF_MOVED_BYTES) ||
            bpf_xdp_store_bytes(frame, at, moved, VNF_MOVED_BYTES))
            return -1;
    /* A number of its own: the verifier need not go on from here after each round of the loop. */
    barrier_var(length);
    __u32 left = length & (VNF_MOVED_BYTES - 1), last = length & ~(VNF_MOVED_BYTES - 1);
    if (left && (bpf_xdp_load_bytes(frame, last + bytes, moved, left) ||
                 bpf_xdp_store_bytes(frame, last, moved, left)))
        return -1;
    __builtin_memset(moved, 0, sizeof(moved));
    for (int i = 0; i < VNF_TAILROOM_BYTES / VNF_MOVED_BYTES && bytes; i++) {
        __u32 now = bytes < VNF_MOVED_BYTES ? bytes : VNF_MOVED_BYTES;
        if (bpf_xdp_store_bytes(frame, length, moved, now))
            return -1;
        length += now;
        bytes -= now;
    }
    return 0;
}

/*
 * A veth's frame often has no room behind its last byte, but always before its first one: then the
 * whole frame moves there.
 */
static __always_inline int vnf_append(struct vnf_ctx *ctx, __u32 bytes) {
    if (!bpf_xdp_adjust_tail(ctx->frame, (int)bytes))
        return 0;
    __u32 length = bpf_xdp_get_buff_len(ctx->frame);
    if (bytes > VNF_TAILROOM_BYTES || bpf_xdp_adjust_head(ctx->frame, -(int)bytes))
        return -1;
    return vnf_move_down(ctx->frame, length, bytes);
}

static __always_inline int vnf_trim(struct vnf_ctx *ctx, __u32 bytes) {
    return bpf_xdp_adjust_tail(ctx->frame, -(int)bytes) ? -1 : 0;
}

/* See xdp.bpf.c: only where an interface's MTU is that large. */
#ifdef VNF_FRAGMENTS
#define VNF_PIECES 1
#else
#define VNF_PIECES 0
#endif

static __always_inline int vnf_load(struct vnf_ctx *ctx, __u32 offset, void *to, __u32 bytes) {
    return bpf_xdp_load_bytes(ctx->frame, offset, to, bytes) ? -1 : 0;
}

static __always_inline int vnf_store(struct vnf_ctx *ctx, __u32 offset, const void *from,
                                     __u32 bytes) {
    return bpf_xdp_store_bytes(ctx->frame, offset, (void *)from, bytes) ? -1 : 0;
}

static __always_inline __u64 vnf_now_ns(struct vnf_ctx *ctx) {
    return vnf_clock_is_set ? *(volatile __u64 *)&vnf_clock_ns : bpf_ktime_get_ns();
}

static __always_inline __u64 vnf_random(struct vnf_ctx *ctx) {
    const __u64 step = 0x9e3779b97f4a7c15ULL;
    __u32 port = ctx->port & (VNF_MAX_PORTS - 1);
    return vnf_mix64(__sync_fetch_and_add(&vnf_random_state[port], step) + step);
}

#define VNF_TABLE(name, map_type, key_type, value_type, count, flags)                              \
    struct {                                                                                       \
        __uint(type, map_type);                                                                    \
        __uint(max_entries, count);                                                                \
        __uint(map_flags, flags);                                                                  \
        __type(key, key_type);                                                                     \
        __type(value, value_type);                                                                 \
    } name SEC(".maps")

#define VNF_ARRAY(name, value_type, count)                                                         \
    VNF_TABLE(name, BPF_MAP_TYPE_ARRAY, __u32, value_type, count, 0)
#define VNF_PER_CORE(name, value_type, count)                                                      \
    VNF_TABLE(name, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, value_type, count, 0)
#define VNF_HASH(name, key_type, value_type, count)                                                \
    VNF_TABLE(name, BPF_MAP_TYPE_HASH, key_type, value_type, count, 0)
#define VNF_LRU(name, key_type, value_type, count)                                                 \
    VNF_TABLE(name, BPF_MAP_TYPE_LRU_HASH, key_type, value_type, count, 0)
#define VNF_LPM(name, key_type, value_type, count)                                                 \
    VNF_TABLE(name, BPF_MAP_TYPE_LPM_TRIE, key_type, value_type, count, BPF_F_NO_PREALLOC)

#define vnf_lookup(table, key)        bpf_map_lookup_elem(table, key)
#define vnf_update(table, key, value) (bpf_map_update_elem(table, key, value, BPF_ANY) ? -1 : 0)
#define vnf_insert(table, key, value) (bpf_map_update_elem(table, key, value, BPF_NOEXIST) ? -1 : 0)
#define vnf_delete(table, key)        (bpf_map_delete_elem(table, key) ? -1 : 0)

/* Not static: the compiler must not conclude that nobody ever writes it. */
#define VNF_SETTINGS(name, type, count) type name##_settings[2][count] VNF_LIVE
#define vnf_setting(ctx, name, index)                                                              \
    ({                                                                                             \
        const __typeof__(name##_settings[0][0]) *found_ = (void *)0;                               \
        __u32 at_ = (index);                                                                       \
        barrier_var(at_);                                                                          \
        if (at_ < sizeof(name##_settings[0]) / sizeof(name##_settings[0][0]))                      \
            found_ = &name##_settings[(ctx)->bank & 1][at_];                                       \
        found_;                                                                                    \
    })

#endif
