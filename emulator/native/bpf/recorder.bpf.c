// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The receiving side of the probe's kernel mechanism: notes when each packet of a few flows of the
 * probe arrives, then takes it off the network or sends it back. All other traffic passes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"
#include "../probe.h"

const volatile __u32 flow_count;
const volatile struct probe_flow flows[PROBE_FLOWS];

struct probe_counts counts[PROBE_FLOWS];

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct probe_record);
} records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, PROBE_FLOWS *PROBE_REMEMBERED);
    __type(key, __u32);
    __type(value, __u32);
} remembered SEC(".maps");

/* With a constant flow, the verifier knows its settings and takes out what it does not need. */
static __always_inline int note(__u32 flow, __u32 seq, __u64 now) {
    if (seq >= flows[flow].count) {
        __sync_fetch_and_add(&counts[flow].damaged, 1);
        return 0;
    }
    if (flows[flow].recording) {
        __u32 place = (__u32)flows[flow].first + seq;
        struct probe_record *record = bpf_map_lookup_elem(&records, &place);

        return record && probe_note_record(&counts[flow], record, seq, now);
    }
    __u32 slot = flow * PROBE_REMEMBERED + seq % PROBE_REMEMBERED;
    __u32 *last = bpf_map_lookup_elem(&remembered, &slot);

    return last && probe_note_remembered(&counts[flow], last, seq, now);
}

static __always_inline int take(struct xdp_md *ctx, __u8 *frame, __u32 flow) {
    /* Looking at the clock takes longer than all the rest here. */
    __u64 now = flows[flow].recording ? bpf_ktime_get_ns() : 0;

    if (note(flow, *(__u32 *)(frame + PROBE_SEQ_OFFSET), now) && flows[flow].mixed)
        __sync_fetch_and_add(&counts[flow].bytes, bpf_xdp_get_buff_len(ctx));
    if (!flows[flow].reflecting)
        return XDP_DROP;
    packet_turn_round(frame);
    /* Not XDP_TX: a veth then tells its peer of the packet only if the peer has a program too. */
    return bpf_redirect(ctx->ingress_ifindex, 0);
}

/*
 * The first flow's code is inlined and the others' is not: so the compiler cannot make one of them
 * all that works out at run time whose it is.
 */
#define TAKER(flow)                                                                                \
    static __noinline int take_##flow(struct xdp_md *ctx, __u8 *frame) {                           \
        return take(ctx, frame, flow);                                                             \
    }
TAKER(1)
TAKER(2)
TAKER(3)
_Static_assert(PROBE_FLOWS == 4, "a taker for each flow");

/* Fragments are allowed, so that interfaces with an MTU above a page can be measured too. */
SEC("xdp.frags")
int record(struct xdp_md *ctx) {
    __u8 *frame = (void *)(long)ctx->data;
    __u8 *end = (void *)(long)ctx->data_end;

    if (frame + PROBE_HEAD_BYTES > end || !packet_is_udp(frame))
        return XDP_PASS;

    __u32 head = *(__u32 *)(frame + PROBE_STAMP_OFFSET);
    if (head == (PROBE_STAMP_MAGIC | flows[0].number << 16))
        return take(ctx, frame, 0);
    if (flow_count > 1 && head == (PROBE_STAMP_MAGIC | flows[1].number << 16))
        return take_1(ctx, frame);
    if (flow_count > 2 && head == (PROBE_STAMP_MAGIC | flows[2].number << 16))
        return take_2(ctx, frame);
    if (flow_count > 3 && head == (PROBE_STAMP_MAGIC | flows[3].number << 16))
        return take_3(ctx, frame);
    return XDP_PASS;
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
