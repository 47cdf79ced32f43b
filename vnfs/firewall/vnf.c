/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_match.h"

#define RULES       64
#define CONNECTIONS 65536

/* Neighbour discovery, RFC 4861: nobody farther away than the link can send with 255 hops left. */
#define NEIGHBOUR_SOLICITATION  135
#define NEIGHBOUR_ADVERTISEMENT 136
#define LINK_HOP_LIMIT          255

/* Echoes and errors: RFC 792, and RFC 4443 for IPv6, where errors are the types below 128. */
#define ECHO_REPLY          0
#define ECHO_REQUEST        8
#define UNREACHABLE         3
#define TIME_EXCEEDED       11
#define PARAMETER_PROBLEM   12
#define FIRST_INFORMATIONAL 128
#define ECHO_REQUEST6       128
#define ECHO_REPLY6         129

/* What a rule says. The last entry is the policy. */
#define ALLOWS    1
#define IS_POLICY 2

struct rule {
    struct vnf_match match;
    __u64 says;
};
VNF_SETTINGS(rules, struct rule, RULES + 1);

/* The two ends of a connection in an order that is the same for both directions. */
struct flow {
    union vnf_address low, high;
    __u16 low_port, high_port;
    __u16 vlan;
    __u8 protocol;
    __u8 family; /* VNF_HAS_IPV4 or VNF_HAS_IPV6 */
};

#define ANSWERED 1 /* the end that did not open it has sent something */
#define CLOSING  2 /* a segment with FIN or RST has passed */

struct connection {
    __u64 last_ns;
    __u32 seen;
    __u32 opened_by_low;
};
VNF_LRU(connections, struct flow, struct connection, CONNECTIONS);

/* What a frame can be to a connection. */
#define MAY_OPEN   1 /* and, unless it may also belong, is always judged by the rules */
#define MAY_BELONG 2
#define MAY_ANSWER 4 /* belongs if it comes from the end that did not open it */
#define MAY_CLOSE  8

struct subject {
    struct flow flow;
    __u32 role;
    __u32 from_low;
};

/* The borrow of a - b - borrow: with it, numbers of many words are compared without a branch. */
static __always_inline __u64 borrow_of(__u64 a, __u64 b, __u64 borrow) {
    __u64 difference = a - b - borrow;
    return ((~a & b) | ((~a | b) & difference)) >> 63;
}

static __always_inline __u64 chosen(__u64 mask, __u64 one, __u64 other) {
    return other ^ ((one ^ other) & mask);
}

/*
 * The verifier follows each branch on its own, and here it would have many that differ in nothing
 * it has to know: so there is none, and the compiler is kept from making one of the mask.
 */
static __always_inline void order_ends(const struct vnf_key *key, struct subject *subject) {
    const union vnf_address *from = &key->source, *to = &key->destination;
    __u64 borrow = borrow_of(key->source_port, key->destination_port, 0);
    borrow = borrow_of(from->halves[1], to->halves[1], borrow);
    borrow = borrow_of(from->halves[0], to->halves[0], borrow);
    __u64 mask = 0 - borrow;
    __asm__ volatile("" : "+r"(mask));
    struct flow *flow = &subject->flow;
    flow->low.halves[0] = chosen(mask, from->halves[0], to->halves[0]);
    flow->low.halves[1] = chosen(mask, from->halves[1], to->halves[1]);
    flow->high.halves[0] = chosen(mask, to->halves[0], from->halves[0]);
    flow->high.halves[1] = chosen(mask, to->halves[1], from->halves[1]);
    flow->low_port = chosen(mask, key->source_port, key->destination_port);
    flow->high_port = chosen(mask, key->destination_port, key->source_port);
    flow->vlan = key->vlan;
    flow->protocol = key->protocol;
    flow->family = key->has & (VNF_HAS_IPV4 | VNF_HAS_IPV6);
    subject->from_low = borrow;
}

/* Which connection a frame is about, in which role; role 0 stands for none. */
static __always_inline void examine(const struct vnf_key *key, struct subject *subject) {
    struct vnf_key ends = *key;
    if (key->has & VNF_HAS_ICMP) {
        __u8 request = key->protocol == IPPROTO_ICMP ? ECHO_REQUEST : ECHO_REQUEST6;
        __u8 reply = key->protocol == IPPROTO_ICMP ? ECHO_REPLY : ECHO_REPLY6;
        if (key->icmp_type == request)
            subject->role = MAY_OPEN;
        else if (key->icmp_type == reply)
            subject->role = MAY_ANSWER;
        else
            return;
        /* The identifier is all that tells the pings between two hosts apart. */
        ends.source_port = ends.destination_port = key->icmp_id;
    } else if (!(key->has & VNF_HAS_PORTS)) {
        return;
    } else if (key->protocol == IPPROTO_UDP) {
        subject->role = MAY_OPEN | MAY_BELONG;
    } else {
        __u8 flags = key->tcp_flags;
        subject->role = MAY_BELONG;
        if ((flags & (VNF_TCP_SYN | VNF_TCP_ACK)) == VNF_TCP_SYN)
            subject->role = MAY_OPEN;
        if (flags & (VNF_TCP_FIN | VNF_TCP_RST))
            subject->role |= MAY_CLOSE;
    }
    order_ends(&ends, subject);
}

static __always_inline int is_error(const struct vnf_key *key) {
    __u8 type = key->icmp_type;
    if (!(key->has & VNF_HAS_ICMP))
        return 0;
    if (key->protocol == IPPROTO_ICMPV6)
        return type < FIRST_INFORMATIONAL;
    return type == UNREACHABLE || type == TIME_EXCEEDED || type == PARAMETER_PROBLEM;
}

/* The ends of the packet that an ICMP error quotes; at least 8 bytes behind its IP header are. */
static __always_inline int quoted_ends(const struct vnf_key *key, void *quoted, void *end,
                                       struct vnf_key *ends) {
    void *behind;
    if (key->protocol == IPPROTO_ICMP) {
        struct iphdr *ip = quoted;
        if (!VNF_FITS(ip, end) || ip->version != 4 || ip->ihl < 5)
            return -1;
        if (ip->frag_off & vnf_htons(0x1fff))
            return -1;
        ends->source.words[0] = ip->saddr;
        ends->destination.words[0] = ip->daddr;
        ends->protocol = ip->protocol;
        behind = quoted + ip->ihl * 4;
    } else {
        struct ipv6hdr *ip = quoted;
        if (!VNF_FITS(ip, end) || ip->version != 6)
            return -1;
        __builtin_memcpy(&ends->source, &ip->saddr, sizeof(ends->source));
        __builtin_memcpy(&ends->destination, &ip->daddr, sizeof(ends->destination));
        ends->protocol = ip->nexthdr;
        behind = ip + 1;
    }
    if (behind + 8 > end)
        return -1;
    const __be16 *words = behind;
    ends->has = key->has;
    ends->vlan = key->vlan;
    if (ends->protocol == IPPROTO_UDP || ends->protocol == IPPROTO_TCP) {
        ends->source_port = vnf_ntohs(words[0]);
        ends->destination_port = vnf_ntohs(words[1]);
    } else if (ends->protocol == key->protocol) {
        ends->source_port = ends->destination_port = vnf_ntohs(words[2]);
    } else {
        return -1;
    }
    return 0;
}

static __always_inline __u64 timeout_ns(const struct vnf_ctx *ctx, const struct flow *flow,
                                        __u32 seen) {
    __u64 seconds = ctx->config->icmp_timeout;
    if (flow->protocol == IPPROTO_UDP)
        seconds = ctx->config->udp_timeout;
    else if (flow->protocol == IPPROTO_TCP)
        seconds = seen == ANSWERED ? ctx->config->tcp_timeout : ctx->config->tcp_short_timeout;
    return seconds * 1000000000ULL;
}

/* The connection if it is tracked and not over. */
static __always_inline struct connection *track(struct vnf_ctx *ctx, const struct flow *flow,
                                                __u64 now_ns) {
    struct connection *connection = vnf_lookup(&connections, flow);
    if (!connection)
        return 0;
    /* Another CPU may have noted a later moment than this one's. */
    __s64 idle_ns = now_ns - connection->last_ns;
    if (idle_ns > (__s64)timeout_ns(ctx, flow, connection->seen))
        return 0;
    return connection;
}

/* Whether a frame belongs to a tracked connection, which is then no longer idle. */
static __always_inline int belongs(struct vnf_ctx *ctx, const struct subject *subject,
                                   __u64 now_ns) {
    if (!(subject->role & (MAY_BELONG | MAY_ANSWER)))
        return 0;
    struct connection *connection = track(ctx, &subject->flow, now_ns);
    if (!connection)
        return 0;
    int answers = subject->from_low != connection->opened_by_low;
    if (subject->role & MAY_ANSWER && !answers)
        return 0;
    __u32 seen = connection->seen;
    if (answers)
        seen |= ANSWERED;
    if (subject->role & MAY_CLOSE)
        seen |= CLOSING;
    connection->last_ns = now_ns;
    connection->seen = seen;
    return 1;
}

/* Whether a frame is an ICMP error about a tracked connection, on its way to the sender. */
static __always_inline int reports(struct vnf_ctx *ctx, const struct vnf_key *key, void *quoted,
                                   void *end, __u64 now_ns) {
    struct vnf_key ends = {0};
    struct subject subject = {0};
    if (quoted_ends(key, quoted, end, &ends))
        return 0;
    if (ends.source.halves[0] != key->destination.halves[0] ||
        ends.source.halves[1] != key->destination.halves[1])
        return 0;
    order_ends(&ends, &subject);
    return track(ctx, &subject.flow, now_ns) != 0;
}

static __always_inline int finds_neighbours(const struct vnf_key *key) {
    if (key->has & VNF_HAS_ARP)
        return 1;
    return key->has & VNF_HAS_ICMP && key->protocol == IPPROTO_ICMPV6 &&
           key->hop_limit == LINK_HOP_LIMIT &&
           (key->icmp_type == NEIGHBOUR_SOLICITATION || key->icmp_type == NEIGHBOUR_ADVERTISEMENT);
}

static __always_inline __u32 judge(struct vnf_ctx *ctx, const struct vnf_key *key) {
    for (__u32 at = 0; at < RULES + 1; at++) {
        const struct rule *rule = vnf_setting(ctx, rules, at);
        if (!rule || !rule->match.used)
            break;
        if (vnf_matches(key, &rule->match))
            return rule->says;
    }
    return IS_POLICY;
}

static __always_inline int allow(struct vnf_ctx *ctx, __u32 port) {
    ctx->counters->allowed++;
    return VNF_FORWARD(vnf_peer(port));
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers found;
    struct subject subject = {0};
    struct vnf_key key = {0};
    __u64 now_ns = 0;

    if (!vnf_parse(data, end, &found))
        vnf_key_of(ctx, &found, &key);
    if (ctx->config->neighbours && finds_neighbours(&key)) {
        ctx->counters->neighbours++;
        return allow(ctx, port);
    }
    if (ctx->config->stateful) {
        int known;
        now_ns = vnf_now_ns(ctx);
        if (is_error(&key)) {
            known = reports(ctx, &key, vnf_payload_of(&key, data), end, now_ns);
        } else {
            examine(&key, &subject);
            known = belongs(ctx, &subject, now_ns);
        }
        if (known) {
            ctx->counters->established++;
            return allow(ctx, port);
        }
    }
    __u32 says = judge(ctx, &key);
    if (!(says & ALLOWS)) {
        ctx->counters->denied++;
        if (says & IS_POLICY)
            ctx->counters->denied_by_policy++;
        else
            ctx->counters->denied_by_rule++;
        return VNF_DROP;
    }
    if (subject.role & MAY_OPEN) {
        struct connection opened = {.last_ns = now_ns, .opened_by_low = subject.from_low};
        vnf_update(&connections, &subject.flow, &opened);
        ctx->counters->connections++;
    }
    return allow(ctx, port);
}
