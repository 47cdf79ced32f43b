/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The contract of vnf.h in a process: plain memory, one thread that handles all frames. */
#ifndef VNF_USER_H
#define VNF_USER_H

#include <string.h>
#include <time.h>

#include "vnf_tables.h"

/* With the address sanitiser, what a frame may grow into is out of bounds until it has grown. */
#if defined(__SANITIZE_ADDRESS__)
#define VNF_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VNF_SANITIZED
#endif
#endif
#ifdef VNF_SANITIZED
#include <sanitizer/asan_interface.h>
#define VNF_UNPOISON(from, bytes) ASAN_UNPOISON_MEMORY_REGION(from, bytes)
#define VNF_POISON(from, bytes)   ASAN_POISON_MEMORY_REGION(from, bytes)
#else
#define VNF_UNPOISON(from, bytes) ((void)0)
#define VNF_POISON(from, bytes)   ((void)0)
#endif

/* How many frames are handled at once at most, and how many may be emitted meanwhile. */
#ifndef VNF_BURST_FRAMES
#define VNF_BURST_FRAMES 64
#endif
/* A jumbo frame. */
#define VNF_EMIT_BYTES 9216

/* A further verdict of handle_burst(). */
#define VNF_TAKE 4
/* What handle_idle() returns when it has no wish. */
#define VNF_WHENEVER (~0ULL)

/* A frame in the data plane's memory. */
struct vnf_packet {
    __u8 *data;
    __u8 *end;
    /* The frame may grow down to here, and up to there. */
    __u8 *floor;
    __u8 *ceiling;
    /* The data plane's own name for the memory. */
    union {
        void *handle;
        __u64 address;
    };
};

/* What user space keeps of the VNF as a whole; set up by the run loop. */
static struct {
    __u8 clock_is_set;
    __u64 clock_ns;
    __u64 random_state[VNF_MAX_PORTS];
} vnf_process;

static __always_inline void *vnf_data(struct vnf_ctx *ctx) {
    return ctx->frame->data;
}

static __always_inline void *vnf_end(struct vnf_ctx *ctx) {
    return ctx->frame->end;
}

static __always_inline int vnf_push(struct vnf_ctx *ctx, __u32 bytes) {
    struct vnf_packet *packet = ctx->frame;
    if (bytes > (size_t)(packet->data - packet->floor))
        return -1;
    packet->data -= bytes;
    VNF_UNPOISON(packet->data, bytes);
    return 0;
}

/* Like the kernel, we leave at least an Ethernet header. */
static __always_inline int vnf_shorter(const struct vnf_packet *packet, __u32 bytes) {
    return packet->end - packet->data < 14 || bytes > (size_t)(packet->end - packet->data) - 14;
}

static __always_inline int vnf_pull(struct vnf_ctx *ctx, __u32 bytes) {
    if (vnf_shorter(ctx->frame, bytes))
        return -1;
    ctx->frame->data += bytes;
    return 0;
}

static __always_inline int vnf_append(struct vnf_ctx *ctx, __u32 bytes) {
    struct vnf_packet *packet = ctx->frame;
    if (bytes > (size_t)(packet->ceiling - packet->end))
        return -1;
    VNF_UNPOISON(packet->end, bytes);
    memset(packet->end, 0, bytes);
    packet->end += bytes;
    return 0;
}

static __always_inline int vnf_trim(struct vnf_ctx *ctx, __u32 bytes) {
    if (vnf_shorter(ctx->frame, bytes))
        return -1;
    ctx->frame->end -= bytes;
    return 0;
}

#define VNF_PIECES 0

static __always_inline int vnf_load(struct vnf_ctx *ctx, __u32 offset, void *to, __u32 bytes) {
    struct vnf_packet *packet = ctx->frame;
    if ((__u64)offset + bytes > (__u64)(packet->end - packet->data))
        return -1;
    memcpy(to, packet->data + offset, bytes);
    return 0;
}

static __always_inline int vnf_store(struct vnf_ctx *ctx, __u32 offset, const void *from,
                                     __u32 bytes) {
    struct vnf_packet *packet = ctx->frame;
    if ((__u64)offset + bytes > (__u64)(packet->end - packet->data))
        return -1;
    memcpy(packet->data + offset, from, bytes);
    return 0;
}

static __always_inline __u64 vnf_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

static __always_inline __u64 vnf_now_ns(struct vnf_ctx *ctx) {
    (void)ctx;
    return vnf_process.clock_is_set ? vnf_process.clock_ns : vnf_monotonic_ns();
}

static __always_inline __u64 vnf_random(struct vnf_ctx *ctx) {
    __u64 *state = &vnf_process.random_state[ctx->port & (VNF_MAX_PORTS - 1)];
    return vnf_mix64(*state += 0x9e3779b97f4a7c15ULL);
}

static __always_inline void vnf_at(struct vnf_ctx *ctx, struct vnf_packet *packet) {
    ctx->frame = packet;
    ctx->length = (__u32)(packet->end - packet->data);
}

/* Frames of the VNF's own, until the run loop sends them. */
static struct {
    __u32 count;
    struct {
        __u32 port;
        __u32 bytes;
        __u8 data[VNF_EMIT_BYTES];
    } frame[VNF_BURST_FRAMES];
} vnf_emitted;

static __always_inline __u8 *vnf_emit(struct vnf_ctx *ctx, __u32 port, __u32 bytes) {
    if (port >= ctx->ports || bytes < 14 || bytes > VNF_EMIT_BYTES ||
        vnf_emitted.count == VNF_BURST_FRAMES)
        return NULL;
    __u32 number = vnf_emitted.count++;
    vnf_emitted.frame[number].port = port;
    vnf_emitted.frame[number].bytes = bytes;
    return memset(vnf_emitted.frame[number].data, 0, bytes);
}

#define VNF_TABLE(table_name, table_kind, key_type, value_type, count)                             \
    static struct vnf_table table_name = {.name = #table_name,                                     \
                                          .kind = table_kind,                                      \
                                          .key_bytes = sizeof(key_type),                           \
                                          .value_bytes = sizeof(value_type),                       \
                                          .capacity = (count)};                                    \
    VNF_REGISTERED(tables, struct vnf_table, table_name)

#define VNF_ARRAY(name, value_type, count) VNF_TABLE(name, VNF_KIND_ARRAY, __u32, value_type, count)
#define VNF_PER_CORE(name, value_type, count)                                                      \
    VNF_TABLE(name, VNF_KIND_PER_CORE, __u32, value_type, count)
#define VNF_HASH(name, key_type, value_type, count)                                                \
    VNF_TABLE(name, VNF_KIND_HASH, key_type, value_type, count)
#define VNF_LRU(name, key_type, value_type, count)                                                 \
    VNF_TABLE(name, VNF_KIND_LRU, key_type, value_type, count)
#define VNF_LPM(name, key_type, value_type, count)                                                 \
    VNF_TABLE(name, VNF_KIND_LPM, key_type, value_type, count)

#define vnf_lookup(table, key)        vnf_table_lookup(table, key)
#define vnf_update(table, key, value) vnf_table_write(table, key, value, 1)
#define vnf_insert(table, key, value) vnf_table_write(table, key, value, 0)
#define vnf_delete(table, key)        vnf_table_delete(table, key)

/* A settings array; its two banks lie in memory shared with the control plane. */
struct vnf_settings {
    const char *name;
    __u32 entry_bytes;
    __u32 entries;
    void *bank[2];
};

#define VNF_SETTINGS(settings_name, type, count)                                                   \
    typedef type settings_name##_entry;                                                            \
    static struct vnf_settings settings_name = {                                                   \
        .name = #settings_name, .entry_bytes = sizeof(type), .entries = (count)};                  \
    VNF_REGISTERED(settings, struct vnf_settings, settings_name)
#define vnf_setting(ctx, settings_name, index)                                                     \
    ({                                                                                             \
        __u32 at_ = (index);                                                                       \
        at_ < settings_name.entries                                                                \
            ? (const settings_name##_entry *)settings_name.bank[(ctx)->bank & 1] + at_             \
            : (void *)0;                                                                           \
    })

#endif
