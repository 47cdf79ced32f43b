// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The generator of the probe's kernel mechanism. BPF_PROG_TEST_RUN calls it in a loop, each time
 * with a fresh page (BPF_F_TEST_XDP_LIVE_FRAMES); a page that is not due goes back unused, one that
 * is due becomes a packet on the interface.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../probe.h"

#define HEAD_WORDS (PROBE_HEAD_BYTES / 8)

const volatile __u32 ifindex;
const volatile __u32 recording;
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

/*
 * Without schedule and records nobody asks when a packet left, and looking at the clock each time
 * would cost a fifth of the packets.
 */
#define CLOCK_EVERY 64

static __u64 look_at_clock(void) {
    if (recording || interval || progress.next % CLOCK_EVERY == 0)
        return bpf_ktime_get_ns();
    return progress.last_sent_ns;
}

SEC("xdp")
int generate(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    struct probe_schedule schedule = {.interval = interval, .count = count};
    __u64 now = look_at_clock(), due_ns;

    if (!progress.start_ns)
        progress.start_ns = now + PROBE_LEAD_NS;
    if (!probe_is_due(&schedule, &progress, now, &due_ns))
        return XDP_DROP;
    if (data + PROBE_HEAD_BYTES > end)
        return XDP_ABORTED;

    /* The kernel reuses pages with whatever the path did to them, so the head is written anew. */
    __u64 *words = data;
#pragma unroll
    for (int i = 0; i < HEAD_WORDS; i++)
        words[i] = head[i];
    *(__u32 *)(words + HEAD_WORDS) = (__u32)head[HEAD_WORDS];

    __u32 seq = (__u32)progress.next;
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
