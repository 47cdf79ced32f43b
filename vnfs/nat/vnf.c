/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Source NAT, RFC 3022. A port inside keeps the port it was given outside whomever it talks to, and
 * whoever knows that one can send to it: mapping and filtering are endpoint-independent, in the
 * words of RFC 4787.
 */
#include "vnf.h"

#define BINDINGS  65536
#define FRAGMENTS 1024
#define TRIES     32

#define SECOND_NS 1000000000ULL
/* RFC 1122, section 3.3.2: a datagram is reassembled within 60 seconds or not at all. */
#define FRAGMENTS_NS    (60 * SECOND_NS)
#define MORE_FRAGMENTS  0x2000
#define FRAGMENT_OFFSET 0x1fff

/* RFC 792. */
#define ECHO_REPLY        0
#define UNREACHABLE       3
#define ECHO_REQUEST      8
#define TIME_EXCEEDED     11
#define PARAMETER_PROBLEM 12

struct own {
    __be32 address;
    __u8 mac[ETH_ALEN];
    __u16 unused;
};
VNF_SETTINGS(owns, struct own, 1);

/* The port of a ping is its identifier. */
struct inside {
    __be32 address;
    __be16 port;
    __u8 protocol;
    __u8 unused;
};

struct outside {
    __be16 port;
    __u8 protocol;
    __u8 unused;
};

#define ANSWERED 1 /* TCP: a segment came from outside */
#define CLOSING  2 /* TCP: a segment with FIN or RST passed */

struct binding {
    struct inside inside;
    __u64 last_ns;
    __u64 mac; /* in the first six bytes */
    __u32 seen;
    __u32 unused;
};

/* A binding is found by its port outside; by the one inside, that is found first. */
VNF_HASH(bindings, struct outside, struct binding, BINDINGS);
VNF_HASH(given, struct inside, struct outside, BINDINGS);

/* Where the later fragments of a datagram from outside go: they have no ports. */
struct datagram {
    __be32 source;
    __be16 id;
    __u8 protocol;
    __u8 unused;
};

struct receiver {
    __u64 since_ns;
    __u64 mac;
    __be32 address;
    __u32 unused;
};
VNF_LRU(receivers, struct datagram, struct receiver, FRAGMENTS);

static __always_inline int has_expired(const struct vnf_ctx *ctx, const struct binding *binding,
                                       __u64 now_ns) {
    __u64 seconds = ctx->config->icmp_timeout;
    if (binding->inside.protocol == IPPROTO_UDP)
        seconds = ctx->config->udp_timeout;
    else if (binding->inside.protocol == IPPROTO_TCP)
        seconds =
            binding->seen == ANSWERED ? ctx->config->tcp_timeout : ctx->config->tcp_short_timeout;
    /* Another CPU may have noted a later moment than this one's. */
    return (__s64)(now_ns - binding->last_ns) > (__s64)(seconds * SECOND_NS);
}

static __always_inline int is_same(const struct inside *one, const struct inside *other) {
    return one->address == other->address && one->port == other->port &&
           one->protocol == other->protocol;
}

/* Give up a binding whose time is over; 0 when this CPU is the one that did. */
static __always_inline int take_back(const struct outside *key, const struct inside *inside) {
    struct inside owner = *inside;
    if (vnf_delete(&bindings, key))
        return -1;
    struct outside *now = vnf_lookup(&given, &owner);
    if (now && now->port == key->port)
        vnf_delete(&given, &owner);
    return 0;
}

/* Find a free port outside: from where a hash says, the first of so many. Port 0 when none is. */
static __always_inline struct outside give_port(struct vnf_ctx *ctx, const struct inside *inside,
                                                __u64 mac, __u64 now_ns) {
    struct outside key = {.protocol = inside->protocol};
    struct binding binding = {.inside = *inside, .last_ns = now_ns, .mac = mac};
    __u32 first = ctx->config->first_port;
    __u32 range = ctx->config->last_port - first + 1;
    __u64 hash = vnf_mix64((__u64)vnf_ntohl(inside->address) << 32 |
                           (__u32)vnf_ntohs(inside->port) << 8 | inside->protocol);
    __u32 start = hash % range;
    for (__u32 tried = 0; tried < TRIES; tried++) {
        if (tried >= range)
            break;
        key.port = vnf_htons(first + (start + tried) % range);
        struct binding *taken = vnf_lookup(&bindings, &key);
        if (taken) {
            if (!has_expired(ctx, taken, now_ns) || take_back(&key, &taken->inside))
                continue;
            ctx->counters->expired++;
        }
        if (vnf_insert(&bindings, &key, &binding))
            continue;
        if (vnf_update(&given, inside, &key)) {
            vnf_delete(&bindings, &key);
            break;
        }
        ctx->counters->bound++;
        return key;
    }
    key.port = 0;
    return key;
}

static __always_inline struct binding *binding_of(const struct inside *inside,
                                                  struct outside *key) {
    struct outside *known = vnf_lookup(&given, inside);
    if (!known)
        return 0;
    *key = *known;
    struct binding *binding = vnf_lookup(&bindings, key);
    return binding && is_same(&binding->inside, inside) ? binding : 0;
}

/* The binding that a port outside belongs to, unless its time is over. */
static __always_inline struct binding *binding_at(const struct vnf_ctx *ctx,
                                                  const struct outside *key, __u64 now_ns) {
    struct binding *binding = vnf_lookup(&bindings, key);
    return binding && !has_expired(ctx, binding, now_ns) ? binding : 0;
}

static __always_inline __u64 read_mac(const __u8 *from) {
    __u64 mac = 0;
    __builtin_memcpy(&mac, from, ETH_ALEN);
    return mac;
}

/* What TCP's flags make of what was seen before; of other protocols nothing is. */
static __always_inline __u32 seen_now(const struct vnf_headers *found, __u32 seen, int comes_in) {
    if (!found->tcp)
        return 0;
    if (!comes_in && found->tcp->syn && !found->tcp->ack)
        seen = 0;
    if (comes_in)
        seen |= ANSWERED;
    if (found->tcp->fin || found->tcp->rst)
        seen |= CLOSING;
    return seen;
}

static __always_inline void set_address(struct vnf_headers *found, __be32 *address, __be32 now) {
    __be32 old = *address;
    *address = now;
    vnf_checksum_replace32(&found->ipv4->check, old, now);
    if (found->udp)
        vnf_udp_checksum_replace32(&found->udp->check, old, now);
    else if (found->tcp)
        vnf_checksum_replace32(&found->tcp->check, old, now);
}

/* The identifier is the first half of what follows the checksum. */
static __always_inline __be16 *identifier(struct vnf_icmp *icmp) {
    return (__be16 *)&icmp->rest;
}

static __always_inline void set_port(struct vnf_headers *found, int source, __be16 now) {
    if (found->udp) {
        __be16 *port = source ? &found->udp->source : &found->udp->dest;
        vnf_udp_checksum_replace16(&found->udp->check, *port, now);
        *port = now;
    } else if (found->tcp) {
        __be16 *port = source ? &found->tcp->source : &found->tcp->dest;
        vnf_checksum_replace16(&found->tcp->check, *port, now);
        *port = now;
    } else if (found->icmp) {
        vnf_checksum_replace16(&found->icmp->checksum, *identifier(found->icmp), now);
        *identifier(found->icmp) = now;
    }
}

static __always_inline int is_error(const struct vnf_headers *found) {
    return found->icmp && (found->icmp->type == UNREACHABLE || found->icmp->type == TIME_EXCEEDED ||
                           found->icmp->type == PARAMETER_PROBLEM);
}

/* The packet that an ICMP error quotes. */
struct quoted {
    struct iphdr *ip;
    __be16 *port; /* of the end that is or was inside */
};

static __always_inline int find_quoted(const struct vnf_headers *found, void *end, int sent_out,
                                       struct quoted *quoted) {
    struct iphdr *ip = (void *)(found->icmp + 1);
    if (!VNF_FITS(ip, end) || ip->version != 4 || ip->ihl < 5 ||
        ip->frag_off & vnf_htons(FRAGMENT_OFFSET))
        return -1;
    /* RFC 792: at least 8 bytes of what is behind the header are quoted. */
    __be16 *words = (void *)ip + ip->ihl * 4;
    if ((void *)words + 8 > end)
        return -1;
    quoted->ip = ip;
    if (ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_TCP)
        quoted->port = sent_out ? words : words + 1;
    else if (ip->protocol == IPPROTO_ICMP &&
             *(__u8 *)words == (sent_out ? ECHO_REQUEST : ECHO_REPLY))
        quoted->port = words + 2;
    else
        return -1;
    return 0;
}

/* Change an address and a port in a quoted packet, its header's checksum and that of the error. */
static __always_inline void set_quoted(struct vnf_icmp *icmp, struct quoted *quoted,
                                       __be32 *address, __be32 now, __be16 port) {
    __sum16 check = quoted->ip->check;
    vnf_checksum_replace32(&icmp->checksum, *address, now);
    vnf_checksum_replace32(&quoted->ip->check, *address, now);
    *address = now;
    vnf_checksum_replace16(&icmp->checksum, check, quoted->ip->check);
    vnf_checksum_replace16(&icmp->checksum, *quoted->port, port);
    *quoted->port = port;
}

static __always_inline int drop(__u64 *counter) {
    (*counter)++;
    return VNF_DROP;
}

static __always_inline int goes_out(struct vnf_ctx *ctx, struct vnf_headers *found,
                                    const struct own *own) {
    vnf_copy_mac(found->eth->h_source, own->mac);
    set_address(found, &found->ipv4->saddr, own->address);
    ctx->counters->translated++;
    return VNF_FORWARD(vnf_peer(ctx->port));
}

static __always_inline int comes_in(struct vnf_ctx *ctx, struct vnf_headers *found, __be32 address,
                                    __u64 mac) {
    vnf_copy_mac(found->eth->h_dest, (const __u8 *)&mac);
    set_address(found, &found->ipv4->daddr, address);
    ctx->counters->translated++;
    return VNF_FORWARD(vnf_peer(ctx->port));
}

/* An error that somebody inside sends about a packet from outside. */
static __always_inline int error_out(struct vnf_ctx *ctx, struct vnf_headers *found, void *end,
                                     const struct own *own) {
    struct quoted quoted;
    struct outside key = {0};
    if (find_quoted(found, end, 0, &quoted))
        return drop(&ctx->counters->unsupported);
    struct inside inside = {
        .address = quoted.ip->daddr, .port = *quoted.port, .protocol = quoted.ip->protocol};
    if (!binding_of(&inside, &key))
        return drop(&ctx->counters->unsupported);
    set_quoted(found->icmp, &quoted, &quoted.ip->daddr, own->address, key.port);
    return goes_out(ctx, found, own);
}

/* An error about a packet that went out. */
static __always_inline int error_in(struct vnf_ctx *ctx, struct vnf_headers *found, void *end,
                                    const struct own *own, __u64 now_ns) {
    struct quoted quoted;
    if (find_quoted(found, end, 1, &quoted) || quoted.ip->saddr != own->address)
        return drop(&ctx->counters->untracked);
    struct outside key = {.port = *quoted.port, .protocol = quoted.ip->protocol};
    const struct binding *binding = binding_at(ctx, &key, now_ns);
    if (!binding)
        return drop(&ctx->counters->untracked);
    set_quoted(found->icmp, &quoted, &quoted.ip->saddr, binding->inside.address,
               binding->inside.port);
    return comes_in(ctx, found, binding->inside.address, binding->mac);
}

static __always_inline int handle_out(struct vnf_ctx *ctx, struct vnf_headers *found, void *end,
                                      const struct own *own) {
    struct iphdr *ip = found->ipv4;
    struct inside inside = {.address = ip->saddr, .protocol = ip->protocol};
    struct outside key = {0};
    /* To nobody in particular, or to somebody inside by the address seen outside. */
    if (vnf_ntohl(ip->daddr) >= 0xe0000000U || ip->daddr == own->address)
        return drop(&ctx->counters->unsupported);
    if (found->later_fragment && (ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_TCP ||
                                  ip->protocol == IPPROTO_ICMP))
        return goes_out(ctx, found, own);
    if (is_error(found))
        return error_out(ctx, found, end, own);
    if (found->udp)
        inside.port = found->udp->source;
    else if (found->tcp)
        inside.port = found->tcp->source;
    else if (found->icmp && found->icmp->type == ECHO_REQUEST)
        inside.port = *identifier(found->icmp);
    else
        return drop(&ctx->counters->unsupported);

    __u64 now_ns = vnf_now_ns(ctx), mac = read_mac(found->eth->h_source);
    struct binding *binding = binding_of(&inside, &key);
    if (binding) {
        __u32 seen = binding->seen;
        if (has_expired(ctx, binding, now_ns)) {
            ctx->counters->expired++;
            seen = 0;
        }
        binding->seen = seen_now(found, seen, 0);
        binding->mac = mac;
        binding->last_ns = now_ns;
    } else {
        key = give_port(ctx, &inside, mac, now_ns);
        if (!key.port)
            return drop(&ctx->counters->no_port);
    }
    set_port(found, 1, key.port);
    return goes_out(ctx, found, own);
}

static __always_inline int handle_in(struct vnf_ctx *ctx, struct vnf_headers *found, void *end,
                                     const struct own *own) {
    struct iphdr *ip = found->ipv4;
    struct outside key = {.protocol = ip->protocol};
    struct datagram datagram = {.source = ip->saddr, .id = ip->id, .protocol = ip->protocol};
    __u64 now_ns = vnf_now_ns(ctx);
    if (ip->daddr != own->address)
        return drop(&ctx->counters->untracked);
    if (found->later_fragment) {
        const struct receiver *receiver = vnf_lookup(&receivers, &datagram);
        if (!receiver || (__s64)(now_ns - receiver->since_ns) > (__s64)FRAGMENTS_NS)
            return drop(&ctx->counters->untracked);
        return comes_in(ctx, found, receiver->address, receiver->mac);
    }
    if (is_error(found))
        return error_in(ctx, found, end, own, now_ns);
    if (found->udp)
        key.port = found->udp->dest;
    else if (found->tcp)
        key.port = found->tcp->dest;
    else if (found->icmp && found->icmp->type == ECHO_REPLY)
        key.port = *identifier(found->icmp);
    else
        return drop(&ctx->counters->untracked);

    struct binding *binding = binding_at(ctx, &key, now_ns);
    if (!binding)
        return drop(&ctx->counters->untracked);
    binding->seen = seen_now(found, binding->seen, 1);
    binding->last_ns = now_ns;
    if (ip->frag_off & vnf_htons(MORE_FRAGMENTS)) {
        struct receiver receiver = {
            .since_ns = now_ns, .mac = binding->mac, .address = binding->inside.address};
        vnf_update(&receivers, &datagram, &receiver);
    }
    set_port(found, 0, binding->inside.port);
    return comes_in(ctx, found, binding->inside.address, binding->mac);
}

/* RFC 826: the address seen outside is ours. */
static __always_inline int answer_arp(struct vnf_ctx *ctx, struct vnf_headers *found,
                                      const struct own *own) {
    struct vnf_arp *arp = found->arp;
    arp->operation = vnf_htons(2);
    vnf_copy_mac(arp->target_mac, arp->sender_mac);
    arp->target_ip = arp->sender_ip;
    vnf_copy_mac(arp->sender_mac, own->mac);
    arp->sender_ip = own->address;
    vnf_copy_mac(found->eth->h_dest, found->eth->h_source);
    vnf_copy_mac(found->eth->h_source, own->mac);
    ctx->counters->arp_replies++;
    return VNF_BACK;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    struct vnf_headers found;
    const struct own *own = vnf_setting(ctx, owns, 0);
    int is_inside = port == ctx->config->inside;

    if (!own)
        return VNF_DROP;
    if (vnf_parse(data, end, &found) || found.type != ETH_P_IP) {
        if (found.arp && !is_inside && found.arp->operation == vnf_htons(1) &&
            found.arp->target_ip == own->address)
            return answer_arp(ctx, &found, own);
        ctx->counters->passed++;
        return VNF_FORWARD(vnf_peer(port));
    }
    if (!found.ipv4)
        return drop(is_inside ? &ctx->counters->unsupported : &ctx->counters->untracked);
    return is_inside ? handle_out(ctx, &found, end, own) : handle_in(ctx, &found, end, own);
}
