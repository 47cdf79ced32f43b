// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * A learning switch, IEEE 802.1Q without its protocols. One program serves all ports of all
 * switches of a lab: what comes in at an interface says which port of which switch that is.
 *
 * `forward` runs where frames come in, `leave` only for the copies of a frame that is flooded, once
 * for each port that it is to leave by.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "vnf.h"
#include "vnf_match.h"
#include "switch.h"

/* How long a port's last flow is believed, and how old a place's time is before it is written anew.
 */
#define REFRESH_NS 100000000ULL

#define PRIORITY_BITS 0xf000 /* of a tag: priority and drop eligibility, which stay */
#define VLAN_BITS     0x0fff
#define NO_VLAN       (-1)

/* For each number of an interface the slot of the port that it is, and one more; 0: it is none. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SWITCH_INDICES);
    __type(key, __u32);
    __type(value, __u32);
} slots SEC(".maps");

/* By slot; sized for the lab before they are loaded. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct switch_port);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct switch_share);
} shares SEC(".maps");

/* By the numbers of switches: changes whenever something that a switch knew is true no more. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SWITCH_SWITCHES);
    __type(key, __u32);
    __type(value, __u64);
} generations SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SWITCH_LABELS);
    __type(key, __u32);
    __type(value, struct switch_steered);
} steered SEC(".maps");

/*
 * By the numbers of the switches: where each has seen whom, …
 *
 * Sizes in place of types: of types that only such a map names, the compiler says nothing.
 */
struct places {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 64);
    __uint(key_size, sizeof(struct switch_address));
    __uint(value_size, sizeof(struct switch_place));
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SWITCH_SWITCHES);
    __type(key, __u32);
    __array(values, struct places);
} switch_places SEC(".maps");

/* … which interfaces it floods to, … */
struct flooded {
    __uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct bpf_devmap_val));
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SWITCH_SWITCHES);
    __type(key, __u32);
    __array(values, struct flooded);
} switch_flooded SEC(".maps");

/* … and its rules, the first that matches first; behind the last one `used` is 0. */
struct rules {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SWITCH_RULES);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct switch_rule));
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SWITCH_SWITCHES);
    __type(key, __u32);
    __array(values, struct rules);
} switch_rules SEC(".maps");

static __always_inline __u64 now_ns(void) {
    return vnf_clock_is_set ? *(volatile __u64 *)&vnf_clock_ns : bpf_ktime_get_coarse_ns();
}

static __always_inline struct switch_port *port_of(__u32 ifindex) {
    __u32 *slot = bpf_map_lookup_elem(&slots, &ifindex), place;

    if (!slot || !*slot)
        return NULL;
    place = *slot - 1;
    return bpf_map_lookup_elem(&ports, &place);
}

static __always_inline int carries_tagged(const struct switch_port *port, __u32 vlan) {
    return port->tagged[vlan / 64 % (SWITCH_VLANS / 64)] >> vlan % 64 & 1;
}

static __always_inline int carries_untagged(const struct switch_port *port, __u32 vlan) {
    return (port->flags & SWITCH_TAKES_UNTAGGED) && port->vlan == vlan;
}

/* Whether an address is one that no bridge forwards, IEEE 802.1Q, table 8-1. */
static __always_inline int is_reserved(const __u8 *mac) {
    return *(vnf_word32 *)mac == vnf_htonl(0x0180c200) && !mac[4] && mac[5] < 0x10;
}

/* The tag of a frame; NULL without one. */
static __always_inline struct vnf_vlan *tag_of(struct xdp_md *xdp) {
    struct ethhdr *eth = (void *)(long)xdp->data;
    void *end = (void *)(long)xdp->data_end;
    struct vnf_vlan *tag = (void *)(eth + 1);

    if (!VNF_FITS(tag, end) || eth->h_proto != vnf_htons(ETH_P_8021Q))
        return NULL;
    return tag;
}

/* The VLAN of a frame that comes in at a port; NO_VLAN: of none that the port is in. */
static __always_inline int vlan_of(struct xdp_md *xdp, const struct switch_port *port) {
    struct vnf_vlan *tag = tag_of(xdp);
    __u32 vlan = tag ? vnf_ntohs(tag->tci) & VLAN_BITS : 0;

    /* A tag of VLAN 0 says only which priority the frame has. */
    if (!vlan)
        return port->flags & SWITCH_TAKES_UNTAGGED ? port->vlan : NO_VLAN;
    return carries_tagged(port, vlan) || carries_untagged(port, vlan) ? (int)vlan : NO_VLAN;
}

static __always_inline int push_tag(struct xdp_md *xdp, __u32 vlan) {
    if (bpf_xdp_adjust_head(xdp, -(int)sizeof(struct vnf_vlan)))
        return -1;
    __u8 *data = (void *)(long)xdp->data;
    if (data + sizeof(struct ethhdr) + sizeof(struct vnf_vlan) > (__u8 *)(long)xdp->data_end)
        return -1;
    __builtin_memmove(data, data + sizeof(struct vnf_vlan), 2 * ETH_ALEN);
    struct ethhdr *eth = (void *)data;
    eth->h_proto = vnf_htons(ETH_P_8021Q);
    ((struct vnf_vlan *)(eth + 1))->tci = vnf_htons(vlan);
    return 0;
}

static __always_inline int pop_tag(struct xdp_md *xdp) {
    __u8 *data = (void *)(long)xdp->data;
    __u8 addresses[2 * ETH_ALEN];

    if (data + sizeof(struct ethhdr) + sizeof(struct vnf_vlan) > (__u8 *)(long)xdp->data_end)
        return -1;
    __builtin_memcpy(addresses, data, sizeof(addresses));
    __builtin_memcpy(data + sizeof(struct vnf_vlan), addresses, sizeof(addresses));
    return bpf_xdp_adjust_head(xdp, sizeof(struct vnf_vlan)) ? -1 : 0;
}

/* Give a frame of a VLAN the tag that it is to have, or none; 0, or -1: there is no room for it. */
static __always_inline int retag(struct xdp_md *xdp, __u32 vlan, int tagged) {
    struct vnf_vlan *tag = tag_of(xdp);

    if (!tag)
        return tagged ? push_tag(xdp, vlan) : 0;
    if (!tagged)
        return pop_tag(xdp);
    tag->tci = (tag->tci & vnf_htons(PRIORITY_BITS)) | vnf_htons(vlan);
    return 0;
}

static __always_inline void learn(const struct switch_port *port, __u32 ifindex,
                                  struct switch_counters *in, void *places, __u64 *generation,
                                  const struct switch_address *sender, __u64 now) {
    struct switch_place here = {.port = (__u64)port->slot << 32 | ifindex, .seen_ns = now};
    struct switch_place *known = bpf_map_lookup_elem(places, sender);

    if (!known) {
        /* A table that is full forgets who was silent longest. */
        bpf_map_update_elem(places, sender, &here, BPF_ANY);
        return;
    }
    if (known->port != here.port) {
        if ((__s64)(now - known->seen_ns) < (__s64)port->ageing_ns)
            in->moved++;
        known->port = here.port;
        __sync_fetch_and_add(generation, 1);
    }
    if (now - known->seen_ns >= REFRESH_NS)
        known->seen_ns = now;
}

/*
 * What matches can ask of a frame; 0, or -1 for one that is none. As this function and the next one
 * are not static, the verifier looks at each of them once, and not once for each kind of frame.
 */
__attribute__((noinline)) int key_of(struct xdp_md *xdp, struct vnf_key *key) {
    void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
    struct vnf_ctx ctx = {.length = end - data};
    struct vnf_headers headers;

    if (!key || vnf_parse(data, end, &headers))
        return -1;
    vnf_key_of(&ctx, &headers, key);
    return 0;
}

/* The place of the first rule that a frame matches; -1: it matches none. */
__attribute__((noinline)) int place_of_rule(struct xdp_md *xdp, __u32 number, __u32 ifindex) {
    struct vnf_key key = {};
    void *rules = bpf_map_lookup_elem(&switch_rules, &number);

    if (!rules || key_of(xdp, &key))
        return -1;
    for (__u32 at = 0; at < SWITCH_RULES; at++) {
        __u32 place = at;
        struct switch_rule *rule = bpf_map_lookup_elem(rules, &place);
        if (!rule || !rule->match.used)
            return -1;
        if (rule->in_ifindex && rule->in_ifindex != ifindex)
            continue;
        if (vnf_matches(&key, &rule->match))
            return place;
    }
    return -1;
}

/* The rule that a frame matches first; NULL: it matches none. */
static __always_inline struct switch_rule *rule_of(struct xdp_md *xdp, void *rules, __u32 number,
                                                   __u32 ifindex) {
    int place = place_of_rule(xdp, number, ifindex);

    return place >= 0 ? bpf_map_lookup_elem(rules, &place) : NULL;
}

static __always_inline void count_out(__u32 slot, __u32 bytes) {
    struct switch_share *out = bpf_map_lookup_elem(&shares, &slot);

    if (out) {
        out->counters.tx_packets++;
        out->counters.tx_bytes += bytes;
    }
}

/* Leave by a port that is in the VLAN as its frames do, and by any other port as it came in. */
static __always_inline void dress_for(struct xdp_md *xdp, __u32 ifindex, int vlan) {
    struct switch_port *out = port_of(ifindex);

    if (out && vlan != NO_VLAN && (carries_untagged(out, vlan) || carries_tagged(out, vlan)))
        retag(xdp, vlan, !carries_untagged(out, vlan));
}

static __always_inline int steer(struct xdp_md *xdp, const struct switch_rule *rule,
                                 const struct switch_port *port, struct switch_counters *in,
                                 int vlan) {
    __u32 label = rule->label;
    struct switch_steered *count = bpf_map_lookup_elem(&steered, &label);

    if (port->flags & SWITCH_VLAN_AWARE)
        dress_for(xdp, rule->out_ifindex, vlan);
    __u32 bytes = xdp->data_end - xdp->data;
    if (count) {
        count->packets++;
        count->bytes += bytes;
    }
    in->steered++;
    count_out(rule->out_slot, bytes);
    return bpf_redirect(rule->out_ifindex, 0);
}

static __always_inline int flood(struct xdp_md *xdp, const struct switch_port *port,
                                 struct switch_counters *in, int vlan) {
    __u32 number = port->number;
    void *others = bpf_map_lookup_elem(&switch_flooded, &number);

    /* The copies are all alike, and say of which VLAN they are: leave() retags each of them. */
    if ((port->flags & SWITCH_VLAN_AWARE) && retag(xdp, vlan, vlan != 0)) {
        in->malformed++;
        return XDP_DROP;
    }
    if (!others)
        return XDP_ABORTED;
    in->flooded++;
    return bpf_redirect_map(others, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
}

static __always_inline int is_same(const struct switch_address *one,
                                   const struct switch_address *other) {
    return *(const __u64 *)one == *(const __u64 *)other;
}

static __always_inline int leave_by(struct xdp_md *xdp, __u64 port) {
    count_out(port >> 32, xdp->data_end - xdp->data);
    return bpf_redirect((__u32)port, 0);
}

SEC("xdp")
int forward(struct xdp_md *xdp) {
    struct ethhdr *eth = (void *)(long)xdp->data;
    void *end = (void *)(long)xdp->data_end;
    __u32 ifindex = xdp->ingress_ifindex;
    struct switch_port *port = port_of(ifindex);
    if (!port)
        return XDP_DROP;
    __u32 slot = port->slot, number = port->number;
    struct switch_share *share = bpf_map_lookup_elem(&shares, &slot);
    __u64 *newest = bpf_map_lookup_elem(&generations, &number);
    if (!share || !newest)
        return XDP_ABORTED;

    struct switch_counters *in = &share->counters;
    in->rx_packets++;
    in->rx_bytes += xdp->data_end - xdp->data;
    if (!VNF_FITS(eth, end)) {
        in->malformed++;
        return XDP_DROP;
    }
    struct switch_address sender = {}, target = {};
    __builtin_memcpy(sender.mac, eth->h_source, ETH_ALEN);
    __builtin_memcpy(target.mac, eth->h_dest, ETH_ALEN);

    /* Read before anything that it may be too old for. */
    __u64 generation = *(volatile __u64 *)newest, now = now_ns();
    void *rules = bpf_map_lookup_elem(&switch_rules, &number);
    struct switch_flow *last = &share->last;
    if (!rules && is_same(&last->sender, &sender) && is_same(&last->target, &target) &&
        last->generation == generation && now - last->looked_ns < REFRESH_NS)
        return leave_by(xdp, last->port);

    if ((sender.mac[0] & 1) || !(*(vnf_word32 *)sender.mac | *(vnf_word16 *)(sender.mac + 4))) {
        in->malformed++;
        return XDP_DROP;
    }
    void *places = bpf_map_lookup_elem(&switch_places, &number);
    if (!places)
        return XDP_ABORTED;
    struct switch_rule *rule = rules ? rule_of(xdp, rules, number, ifindex) : NULL;
    int vlan = port->flags & SWITCH_VLAN_AWARE ? vlan_of(xdp, port) : 0;
    sender.vlan = target.vlan = vlan;
    if (vlan != NO_VLAN && !(port->flags & SWITCH_NO_LEARN) &&
        (!rule || rule->flags & SWITCH_RULE_LEARNS))
        learn(port, ifindex, in, places, newest, &sender, now);
    if (is_reserved(target.mac)) {
        in->reserved++;
        return XDP_DROP;
    }
    if (rule)
        return steer(xdp, rule, port, in, vlan);
    if (vlan == NO_VLAN) {
        in->vlan++;
        return XDP_DROP;
    }

    struct switch_place *place = target.mac[0] & 1 ? NULL : bpf_map_lookup_elem(places, &target);
    if (!place || (__s64)(now - place->seen_ns) >= (__s64)port->ageing_ns)
        return flood(xdp, port, in, vlan);
    __u64 there = place->port;
    if ((__u32)there == ifindex) {
        in->same_port++;
        return XDP_DROP;
    }
    if (port->flags & SWITCH_VLAN_AWARE) {
        struct switch_port *other = port_of((__u32)there);
        int bare = other && carries_untagged(other, vlan);
        if (!other || !(bare || carries_tagged(other, vlan)) || retag(xdp, vlan, !bare)) {
            in->vlan++;
            return XDP_DROP;
        }
        return leave_by(xdp, there);
    }
    *last = (struct switch_flow){
        .sender = sender,
        .target = target,
        .generation = generation,
        .looked_ns = now,
        .port = there,
    };
    return leave_by(xdp, there);
}

SEC("xdp/devmap")
int leave(struct xdp_md *xdp) {
    struct switch_port *port = port_of(xdp->egress_ifindex);

    if (!port)
        return XDP_DROP;
    if (port->flags & SWITCH_VLAN_AWARE) {
        struct vnf_vlan *tag = tag_of(xdp);
        __u32 vlan = tag ? vnf_ntohs(tag->tci) & VLAN_BITS : 0;
        int bare = carries_untagged(port, vlan);
        if (!(bare || carries_tagged(port, vlan)) || retag(xdp, vlan, !bare))
            return XDP_DROP;
    }
    count_out(port->slot, xdp->data_end - xdp->data);
    return XDP_PASS;
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
