// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The generator of the probe's kernel mechanism. BPF_PROG_TEST_RUN calls it in a loop, each time
 * with a fresh page (BPF_F_TEST_XDP_LIVE_FRAMES); a page that is not due goes back unused, one that
 * is due becomes a packet on the interface.
 *
 * What a trial does not need, the verifier takes out: the constants are known when it looks.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"
#include "../probe.h"

#define HEAD_WORDS (PROBE_HEAD_BYTES / 8)

/* How many packets that are too late are passed over in one run. */
#define PASSED_OVER 64

const volatile __u32 ifindex;
const volatile __u32 recording;
const volatile __u32 planned; /* the table `due_after_ns` says when packets are due */
const volatile __u32 sizes;   /* entries of the table `frame_sizes`; 0: frames keep their size */
const volatile __u32 largest; /* bytes of a page's frame, which can only be made smaller */
const volatile __u64 interval;
const volatile __u64 count;
const volatile __u64 head[HEAD_WORDS + 1];

struct probe_progress progress;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} sent_ns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} due_after_ns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct probe_size);
} frame_sizes SEC(".maps");

/*
 * Without schedule and records nobody asks when a packet left, and looking at the clock each time
 * would cost a fifth of the packets; except the last one's time, which tells how long it took.
 */
#define CLOCK_EVERY 64

static __u64 look_at_clock(void) {
    if (recording || interval || planned || progress.next % CLOCK_EVERY == 0 ||
        progress.next + 1 == count)
        return bpf_ktime_get_ns();
    return progress.last_sent_ns;
}

/* As probe_is_due, for a schedule that is a table. */
static int is_planned_now(__u64 now, __u64 *due_ns) {
    for (int i = 0; i < PASSED_OVER; i++) {
        __u32 place = (__u32)progress.next;
        __u64 *offset_ns;

        if (progress.next >= count)
            return 0;
        offset_ns = bpf_map_lookup_elem(&due_after_ns, &place);
        if (!offset_ns)
            return 0;
        enum probe_when when = probe_when(progress.start_ns, *offset_ns, now, due_ns);
        if (when != PROBE_TOO_LATE)
            return when == PROBE_NOW;
        progress.next++;
    }
    return 0;
}

static int is_due(__u64 now, __u64 *due_ns) {
    struct probe_schedule schedule = {.interval = interval, .count = count};

    return planned ? is_planned_now(now, due_ns) : probe_is_due(&schedule, &progress, now, due_ns);
}

/* The size of the packet at a place, to which the page's frame is cut; NULL: it could not be. */
static struct probe_size *cut(struct xdp_md *ctx, __u32 place) {
    __u32 entry = place % sizes;
    struct probe_size *size = bpf_map_lookup_elem(&frame_sizes, &entry);

    if (!size)
        return NULL;
    if (size->frame_bytes < largest &&
        bpf_xdp_adjust_tail(ctx, (int)size->frame_bytes - (int)largest))
        return NULL;
    return size;
}

SEC("xdp")
int generate(struct xdp_md *ctx) {
    struct probe_size *size = NULL;
    __u64 now = look_at_clock(), due_ns;

    if (!progress.start_ns)
        progress.start_ns = now + PROBE_LEAD_NS;
    if (!is_due(now, &due_ns))
        return XDP_DROP;

    __u32 seq = (__u32)progress.next;
    if (sizes) {
        size = cut(ctx, seq);
        if (!size)
            return XDP_ABORTED;
    }

    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    if (data + PROBE_HEAD_BYTES > end)
        return XDP_ABORTED;

    /* The kernel reuses pages with whatever the path did to them, so the head is written anew. */
    __u64 *words = data;
#pragma unroll
    for (int i = 0; i < HEAD_WORDS; i++)
        words[i] = head[i];
    *(__u32 *)(words + HEAD_WORDS) = (__u32)head[HEAD_WORDS];
    if (size) {
        *(__u16 *)(data + PACKET_IP_LENGTH) = size->ip_length;
        *(__u16 *)(data + PACKET_IP_CHECKSUM) = size->ip_checksum;
        *(__u16 *)(data + PACKET_UDP_LENGTH) = size->udp_length;
        progress.bytes += size->frame_bytes;
    }
    *(__u32 *)(data + PROBE_SEQ_OFFSET) = seq;
    *(__u64 *)(data + PROBE_INTENDED_OFFSET) = due_ns;
    if (recording) {
        __u64 *stamp = bpf_map_lookup_elem(&sent_ns, &seq);
        if (stamp)
            *stamp = now;
    }
    progress.next++;
    progress.sent++;
    progress.last_sent_ns = now;
    return bpf_redirect(ifindex, 0);
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
