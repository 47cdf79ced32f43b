/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The VNF whose handler is written in Python. It takes the place of a vnf.c in the run loop of any
 * data plane in user space, which is compiled as a library with its main() renamed to plane_main();
 * python_loop.py loads that, gives it functions to call, and calls plane_main().
 *
 * What Python needs to know of this file is declared once more in python_loop.py.
 */
#include "vnf.h"

#define VNF_BURST
#define VNF_IDLE
#define VNF_START

#define PYTHON_EACH        (-1) /* the verdicts lie in python_burst.verdicts */
#define PYTHON_FRAME_BYTES 66048

/* The frames at hand, for Python. */
struct python_burst {
    int *verdicts;
    /* Their memory: `span` bytes from `base` on. */
    __u8 *base;
    __u64 span;
    /* As a matrix: frame i begins at base + first + i * stride. */
    __u64 first;
    __s64 stride;
    __u32 width;
    __u32 count;
    __u32 ports;
    __u64 *counters;
    __u32 lengths[VNF_BURST_FRAMES];
    /* As pieces of memory, in bytes from `base`: see python_places(). */
    __u64 floors[VNF_BURST_FRAMES];
    __u64 starts[VNF_BURST_FRAMES];
    __u64 ends[VNF_BURST_FRAMES];
    __u64 ceilings[VNF_BURST_FRAMES];
};
struct python_burst python_burst;

/* The parameters that Python knows. */
struct vnf_config python_parameters;

static struct {
    void (*start)(void);
    int (*burst)(__u32 port, __u32 count, int changed);
    __u64 (*idle)(__u32 port, int changed);
    struct vnf_ctx ctx;
    struct vnf_packet *packets;
    /* The matrix is a copy, which the frames have to be written back from. */
    int gathered;
} python;

static __u8 python_copy[VNF_BURST_FRAMES * PYTHON_FRAME_BYTES] __attribute__((aligned(64)));

void python_hooks(void (*start)(void), int (*burst)(__u32, __u32, int), __u64 (*idle)(__u32, int)) {
    python.start = start;
    python.burst = burst;
    python.idle = idle;
}

/* While it is copied, the bank may be written: whoever reads the copy checks its sum. */
void python_read_parameters(void) {
    __u32 bytes = python.ctx.config->bytes;
    if (bytes > VNF_TEXT_BYTES)
        bytes = 0;
    memcpy(&python_parameters, python.ctx.config, offsetof(struct vnf_config, text) + bytes);
}

/* Returns whether the parameters differ from those that Python knows, which it then can read. */
static int python_enter(const struct vnf_ctx *ctx) {
    const struct vnf_config *known = &python_parameters;
    python.ctx = *ctx;
    python_burst.ports = ctx->ports;
    python_burst.counters = ctx->counters->number;
    if (ctx->config->bytes == known->bytes && ctx->config->crc32 == known->crc32 &&
        !memcmp(ctx->config->text, known->text, known->bytes))
        return 0;
    python_read_parameters();
    return 1;
}

static void python_measure(void) {
    for (__u32 i = 0; i < python_burst.count; i++)
        python_burst.lengths[i] = (__u32)(python.packets[i].end - python.packets[i].data);
}

/* The frames' memory: from the lowest byte that one of them may use up to the highest. */
void python_places(void) {
    struct vnf_packet *packets = python.packets;
    __u32 count = python_burst.count;
    __u8 *base = packets[0].floor, *limit = packets[0].ceiling;
    for (__u32 i = 1; i < count; i++) {
        base = packets[i].floor < base ? packets[i].floor : base;
        limit = packets[i].ceiling > limit ? packets[i].ceiling : limit;
    }
    for (__u32 i = 0; i < count; i++) {
        python_burst.floors[i] = (__u64)(packets[i].floor - base);
        python_burst.starts[i] = (__u64)(packets[i].data - base);
        python_burst.ends[i] = (__u64)(packets[i].end - base);
        python_burst.ceilings[i] = (__u64)(packets[i].ceiling - base);
    }
    python_burst.base = base;
    python_burst.span = (__u64)(limit - base);
}

/* A frame has another beginning or end, in bytes from `base`. */
void python_place(__u32 number, __u64 start, __u64 end) {
    python.packets[number].data = python_burst.base + start;
    python.packets[number].end = python_burst.base + end;
}

/* Whether the frames lie evenly, each with room for the widest, so that they are a matrix. */
static int python_lie_evenly(__u32 width, __s64 *stride) {
    struct vnf_packet *packets = python.packets;
    __u32 count = python_burst.count;
    *stride = count > 1 ? packets[1].data - packets[0].data : (__s64)width;
    if ((*stride < 0 ? -*stride : *stride) < width)
        return 0;
    for (__u32 i = 0; i < count; i++)
        if (packets[i].data != packets[0].data + (__s64)i * *stride ||
            packets[i].ceiling - packets[i].data < width)
            return 0;
    return 1;
}

/* The frames as a matrix as wide as the longest; what lies behind the end of a frame is zero. */
void python_matrix(void) {
    struct vnf_packet *packets = python.packets;
    __u32 count = python_burst.count, width = 0;
    __s64 stride;

    for (__u32 i = 0; i < count; i++)
        width = python_burst.lengths[i] > width ? python_burst.lengths[i] : width;
    python.gathered = !python_lie_evenly(width, &stride);
    __u8 *row = packets[0].data;
    if (python.gathered) {
        stride = (width + 63) & ~63;
        row = python_copy;
    }
    __s64 height = (__s64)(count - 1) * stride;
    python_burst.base = height < 0 ? row + height : row;
    python_burst.first = height < 0 ? (__u64)-height : 0;
    python_burst.span = (__u64)(height < 0 ? -height : height) + width;
    python_burst.stride = stride;
    python_burst.width = width;
    for (__u32 i = 0; i < count; i++, row += stride) {
        __u32 length = python_burst.lengths[i];
        if (python.gathered)
            memcpy(row, packets[i].data, length);
        if (length < width)
            memset(row + length, 0, width - length);
    }
}

/* The matrix is not used any more: whatever Python wrote into it is in the frames now. */
static void python_put_back(void) {
    if (!python.gathered)
        return;
    python.gathered = 0;
    const __u8 *row = python_copy;
    for (__u32 i = 0; i < python_burst.count; i++, row += python_burst.stride)
        memcpy(python.packets[i].data, row, python_burst.lengths[i]);
}

/* Change the frames' lengths, frame i by bytes[i], and say for which that was possible. */
void python_change(char how, const __u32 *bytes, __u8 *done) {
    struct vnf_ctx *ctx = &python.ctx;
    python_put_back();
    for (__u32 i = 0; i < python_burst.count; i++) {
        vnf_at(ctx, &python.packets[i]);
        int failed = how == '<'   ? vnf_push(ctx, bytes[i])
                     : how == '(' ? vnf_pull(ctx, bytes[i])
                     : how == '>' ? vnf_append(ctx, bytes[i])
                                  : vnf_trim(ctx, bytes[i]);
        done[i] = !failed;
        if (how == '<' && !failed)
            memset(vnf_data(ctx), 0, bytes[i]);
    }
    python_measure();
}

__u64 python_now_ns(void) {
    return vnf_now_ns(&python.ctx);
}

__u64 python_random(void) {
    return vnf_random(&python.ctx);
}

void python_randoms(__u64 *numbers, __u32 count) {
    for (__u32 i = 0; i < count; i++)
        numbers[i] = vnf_random(&python.ctx);
}

__u8 *python_emit(__u32 port, __u32 bytes) {
    return vnf_emit(&python.ctx, port, bytes);
}

static void handle_start(struct vnf_ctx *ctx) {
    python_enter(ctx);
    python.start();
}

static void handle_burst(struct vnf_ctx *ctx, struct vnf_packet *packets, __u32 count, __u32 port,
                         int *verdicts) {
    int changed = python_enter(ctx);
    python.packets = packets;
    python_burst.verdicts = verdicts;
    python_burst.count = count;
    python_measure();
    int verdict = python.burst(port, count, changed);
    python_put_back();
    if (verdict != PYTHON_EACH)
        for (__u32 i = 0; i < count; i++)
            verdicts[i] = verdict;
}

static __u64 handle_idle(struct vnf_ctx *ctx, __u32 port) {
    if (!python.idle)
        return VNF_WHENEVER;
    int changed = python_enter(ctx);
    return python.idle(port, changed);
}
