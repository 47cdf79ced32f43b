// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The receiving side of the probe's kernel mechanism: notes when each of the probe's packets
 * arrives, then takes it off the network or sends it back. All other traffic passes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"
#include "../probe.h"

const volatile __u32 recording;
const volatile __u32 reflecting;
const volatile __u32 flow;
const volatile __u64 count;

struct probe_counts counts;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct probe_record);
} records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, PROBE_REMEMBERED);
    __type(key, __u32);
    __type(value, __u32);
} remembered SEC(".maps");

static void note(__u32 seq, __u64 now) {
    if (seq >= count) {
        __sync_fetch_and_add(&counts.damaged, 1);
        return;
    }
    if (recording) {
        struct probe_record *record = bpf_map_lookup_elem(&records, &seq);
        if (record)
            probe_note_record(&counts, record, seq, now);
    } else {
        __u32 slot = seq % PROBE_REMEMBERED;
        __u32 *last = bpf_map_lookup_elem(&remembered, &slot);
        if (last)
            probe_note_remembered(&counts, last, seq, now);
    }
}

/* Fragments are allowed, so that interfaces with an MTU above a page can be measured too. */
SEC("xdp.frags")
int record(struct xdp_md *ctx) {
    /* Looking at the clock takes longer than all the rest here. */
    __u64 now = recording ? bpf_ktime_get_ns() : 0;
    __u8 *frame = (void *)(long)ctx->data;
    __u8 *end = (void *)(long)ctx->data_end;

    if (frame + PROBE_HEAD_BYTES > end || !packet_is_udp(frame))
        return XDP_PASS;
    if (*(__u32 *)(frame + PROBE_STAMP_OFFSET) != (PROBE_STAMP_MAGIC | flow << 16))
        return XDP_PASS;
    note(*(__u32 *)(frame + PROBE_SEQ_OFFSET), now);
    if (!reflecting)
        return XDP_DROP;
    packet_turn_round(frame);
    /* Not XDP_TX: a veth then tells its peer of the packet only if the peer has a program too. */
    return bpf_redirect(ctx->ingress_ifindex, 0);
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
