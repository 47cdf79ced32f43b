// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Chains on Linux bridges: sees what comes in at a bridge's port before the bridge does, and sends
 * what a chain is about to another port. All else goes on to the bridge.
 *
 * One program serves all ports of a lab. Their rules lie in one table, which is never changed but
 * replaced as a whole, so a frame meets the old rules or the new ones and never half of both.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "vnf.h"
#include "vnf_match.h"
#include "steer.h"

/* Headers with options behind two tags are hardly ever longer. */
#define HEAD_BYTES 192

/*
 * By the number of the interface that frames come in by.
 *
 * Sizes in place of types: of types that only such a map names, the compiler says nothing.
 */
struct ports {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct steer_rules));
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct ports);
} table SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, STEER_LEGS);
    __type(key, __u32);
    __type(value, struct steer_count);
} counts SEC(".maps");

static __always_inline void count(struct __sk_buff *skb, __u32 leg) {
    struct steer_count *found = bpf_map_lookup_elem(&counts, &leg);

    if (found) {
        /* What a host leaves to be cut up further on is many frames in one. */
        found->packets += skb->gso_segs > 1 ? skb->gso_segs : 1;
        found->bytes += skb->len;
    }
}

/* What a frame can be matched by; 0, or -1 when not even its Ethernet header is whole. */
static __noinline int look(struct __sk_buff *skb, struct vnf_key *key) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct vnf_ctx ctx = {.length = skb->len};
    struct vnf_headers headers;

    if (!key || vnf_parse(data, end, &headers))
        return -1;
    vnf_key_of(&ctx, &headers, key);
    /* The outermost tag does not lie in the frame; of two, the inner one counts. */
    if (skb->vlan_present && !headers.vlan) {
        key->has |= VNF_HAS_VLAN;
        key->vlan = skb->vlan_tci & 0xfff;
    }
    return 0;
}

SEC("tc")
int steer(struct __sk_buff *skb) {
    __u32 first = 0, port = skb->ifindex;
    __u32 head = skb->len < HEAD_BYTES ? skb->len : HEAD_BYTES;
    const union vnf_mac bridges = {.head = vnf_htonl(0x0180c200)};
    struct vnf_key key;

    void *ports = bpf_map_lookup_elem(&table, &first);
    if (!ports)
        return TC_ACT_UNSPEC;
    const struct steer_rules *found = bpf_map_lookup_elem(ports, &port);
    if (!found)
        return TC_ACT_UNSPEC;
    /* The headers may lie elsewhere than the frame's first bytes. */
    if (skb->data_end - skb->data < head && bpf_skb_pull_data(skb, head))
        return TC_ACT_UNSPEC;
    if (look(skb, &key))
        return TC_ACT_UNSPEC;
    /* 01:80:c2:00:00:00 is where bridges tell each other of the spanning tree. */
    if ((found->flags & STEER_ASIDE) && key.destination_mac.whole == bridges.whole)
        return TC_ACT_SHOT;
    for (__u32 at = 0; at < STEER_RULES; at++) {
        if (at >= found->count)
            break;
        const struct steer_rule *rule = &found->rules[at];
        if (vnf_matches(&key, &rule->match)) {
            count(skb, rule->leg);
            return bpf_redirect(rule->out_ifindex, 0);
        }
    }
    return TC_ACT_UNSPEC;
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
