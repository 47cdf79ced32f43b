// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Takes the packets of the probe's app mechanism off the network behind the packet socket that has
 * seen them: the IP layer would spend longer on refusing each than everything before it together.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"
#include "../probe.h"

const volatile __u32 flow;

SEC("tc")
int sink(struct __sk_buff *skb) {
    __u8 *frame, *end;

    /* Of a frame that was cut from a larger one, only the headers may lie at hand. */
    if (bpf_skb_pull_data(skb, PROBE_HEAD_BYTES))
        return TC_ACT_UNSPEC;
    frame = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    if (frame + PROBE_HEAD_BYTES > end || !packet_is_udp(frame))
        return TC_ACT_UNSPEC;
    if (*(__u32 *)(frame + PROBE_STAMP_OFFSET) != (PROBE_STAMP_MAGIC | flow << 16))
        return TC_ACT_UNSPEC;
    return TC_ACT_SHOT;
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
