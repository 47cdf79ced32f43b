/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A tap at an interface of a node whose packets go through the kernel's stack; see tap.h. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "tap_bpf.h"

const volatile __u32 tap_point;

SEC("tc") int note(struct __sk_buff *skb) {
    /* The headers may lie elsewhere than the frame's first bytes. */
    if (!bpf_skb_pull_data(skb, TAP_HEAD_BYTES))
        tap_note(tap_number((void *)(long)skb->data, (void *)(long)skb->data_end, tap_flow),
                 tap_point);
    /* Whoever else looks at the packet here has its turn. */
    return TC_ACT_UNSPEC;
}

char vnf_license[] SEC("license") = "Dual MIT/GPL";
