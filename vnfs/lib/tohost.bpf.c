/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What leads frames from a VNF process into its node's stack; see hostpath.h. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "hostpath.h"

/* Interface number of a TAP device -> that of the port it stands for. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8);
    __type(key, __u32);
    __type(value, __u32);
} port_of SEC(".maps");

/* At the TAP devices: what the VNF writes comes in by the port. */
SEC("tc") int enter_by_port(struct __sk_buff *skb) {
    __u32 tap = skb->ifindex;
    __u32 *port = bpf_map_lookup_elem(&port_of, &tap);
    if (!port)
        return TC_ACT_SHOT;
    skb->mark = VNF_HOST_MARK;
    return bpf_redirect(*port, BPF_F_INGRESS);
}

/* At the ports, where the stack would see all that comes: it sees what the VNF lets it see. */
SEC("tc") int shield(struct __sk_buff *skb) {
    if (skb->mark != VNF_HOST_MARK)
        return TC_ACT_SHOT;
    skb->mark = 0;
    return TC_ACT_UNSPEC;
}

char vnf_license[] SEC("license") = "Dual MIT/GPL";
