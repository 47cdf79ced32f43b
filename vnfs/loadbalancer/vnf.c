/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "vnf_match.h"

#define CLIENTS 0
#define SERVERS 1

#define SERVICES    16
#define BACKENDS    64
#define CONNECTIONS 65536
/* A prime: see control.py, which fills the slots. */
#define SLOTS 4099

#define ARP_REQUEST  1
#define ARP_REPLY    2
#define ECHO_REPLY   0
#define ECHO_REQUEST 8

VNF_SETTINGS(services, struct vnf_match, SERVICES);

struct backend {
    __be32 ip;
    __u8 mac[ETH_ALEN];
    __u8 up;
    __u8 unused;
};
VNF_SETTINGS(backends, struct backend, BACKENDS);

/* After Eisenbud et al., "Maglev", NSDI 2016: the number of a backend plus one; 0 is none. */
VNF_SETTINGS(slots, __u8, SLOTS);

struct own {
    __u8 mac[ETH_ALEN];
};
VNF_SETTINGS(own, struct own, VNF_MAX_PORTS);

struct flow {
    __be32 client;
    __be16 client_port;
    __be16 service_port;
    __u32 protocol;
};

/* The address counts. The number says where it was, which a change of the backends may change. */
struct connection {
    __be32 ip;
    __u32 number;
};
VNF_LRU(connections, struct flow, struct connection, CONNECTIONS);

/* What a balanced packet's headers are, found once. */
struct packet {
    struct ethhdr *eth;
    struct iphdr *ip;
    struct tcphdr *tcp;
    struct udphdr *udp;
};

static __always_inline void replace_address(const struct packet *packet, __be32 *address,
                                            __be32 now) {
    __be32 before = *address;
    *address = now;
    vnf_checksum_replace32(&packet->ip->check, before, now);
    /* TCP and UDP sum the addresses, too. */
    if (packet->tcp)
        vnf_checksum_replace32(&packet->tcp->check, before, now);
    else if (packet->udp)
        vnf_udp_checksum_replace32(&packet->udp->check, before, now);
}

static __always_inline int is_service(struct vnf_ctx *ctx, const struct vnf_headers *found) {
    struct vnf_key key = {0};
    vnf_key_of(ctx, found, &key);
    for (__u32 at = 0; at < SERVICES; at++) {
        const struct vnf_match *match = vnf_setting(ctx, services, at);
        if (!match || !match->used)
            break;
        if (vnf_matches(&key, match))
            return 1;
    }
    return 0;
}

/*
 * The number of the backend with an address, or BACKENDS. Without a branch: the verifier would go
 * on from each round of the loop on its own.
 */
static __always_inline __u32 number_of(struct vnf_ctx *ctx, __be32 ip) {
    __u32 number = BACKENDS;
    for (__u32 at = 0; at < BACKENDS; at++) {
        const struct backend *backend = vnf_setting(ctx, backends, at);
        if (!backend)
            break;
        __u64 other = (backend->ip ^ ip) | (backend->up ^ 1U);
        __u32 mask = (__u32)((other - 1) >> 32);
        number = (number & ~mask) | (at & mask);
    }
    return number;
}

/* The backend that a connection has already, if it is there and up. */
static __always_inline const struct backend *kept_backend(struct vnf_ctx *ctx,
                                                          struct connection *connection) {
    __be32 ip = connection->ip;
    const struct backend *backend = vnf_setting(ctx, backends, connection->number);
    if (backend && backend->ip == ip && backend->up)
        return backend;
    __u32 number = number_of(ctx, ip);
    backend = vnf_setting(ctx, backends, number);
    if (backend)
        connection->number = number;
    return backend;
}

static __always_inline const struct backend *new_backend(struct vnf_ctx *ctx,
                                                         const struct flow *flow) {
    __u64 ends = (__u64)flow->client << 32 | (__u32)flow->client_port << 16 | flow->service_port;
    __u64 hash = vnf_mix64(vnf_mix64(ends) ^ flow->protocol);
    const __u8 *slot = vnf_setting(ctx, slots, (__u32)hash % SLOTS);
    if (!slot || !*slot)
        return 0;
    struct connection connection = {.number = *slot - 1U};
    const struct backend *backend = vnf_setting(ctx, backends, connection.number);
    if (!backend)
        return 0;
    connection.ip = backend->ip;
    vnf_update(&connections, flow, &connection);
    return backend;
}

/* A packet from a client to the VIP. */
static __always_inline int balance(struct vnf_ctx *ctx, const struct vnf_headers *found) {
    struct packet packet = {found->eth, found->ipv4, found->tcp, found->udp};
    struct flow flow = {.client = packet.ip->saddr, .protocol = found->protocol};
    const struct backend *backend = 0;
    struct connection *connection = 0;

    if (packet.tcp) {
        flow.client_port = packet.tcp->source;
        flow.service_port = packet.tcp->dest;
    } else if (packet.udp) {
        flow.client_port = packet.udp->source;
        flow.service_port = packet.udp->dest;
    } else {
        ctx->counters->no_service++;
        return VNF_DROP;
    }
    /* Who opens a connection does not mean one that had the same ports before. */
    if (!packet.tcp || !packet.tcp->syn || packet.tcp->ack)
        connection = vnf_lookup(&connections, &flow);
    if (connection)
        backend = kept_backend(ctx, connection);
    if (!backend) {
        if (!is_service(ctx, found)) {
            ctx->counters->no_service++;
            return VNF_DROP;
        }
        backend = new_backend(ctx, &flow);
        if (!backend) {
            ctx->counters->no_backend++;
            return VNF_DROP;
        }
        if (connection)
            ctx->counters->moved++;
        else
            ctx->counters->connections++;
    }
    vnf_copy_mac(packet.eth->h_dest, backend->mac);
    if (ctx->config->rewrite)
        replace_address(&packet, &packet.ip->daddr, backend->ip);
    ctx->counters->balanced++;
    return VNF_FORWARD(SERVERS);
}

/* A packet from a server: give it the VIP's address if it answers a connection of ours. */
static __always_inline void return_answer(struct vnf_ctx *ctx, const struct vnf_headers *found) {
    struct packet packet = {found->eth, found->ipv4, found->tcp, found->udp};
    struct flow flow = {.client = packet.ip->daddr, .protocol = found->protocol};

    if (packet.tcp) {
        flow.client_port = packet.tcp->dest;
        flow.service_port = packet.tcp->source;
    } else if (packet.udp) {
        flow.client_port = packet.udp->dest;
        flow.service_port = packet.udp->source;
    } else {
        return;
    }
    struct connection *connection = vnf_lookup(&connections, &flow);
    if (!connection || connection->ip != packet.ip->saddr)
        return;
    replace_address(&packet, &packet.ip->saddr, ctx->config->vip);
    ctx->counters->returned++;
}

static __always_inline int answer_arp(struct vnf_ctx *ctx, struct ethhdr *eth, struct vnf_arp *arp,
                                      const __u8 *mac) {
    arp->operation = vnf_htons(ARP_REPLY);
    vnf_copy_mac(arp->target_mac, arp->sender_mac);
    arp->target_ip = arp->sender_ip;
    vnf_copy_mac(arp->sender_mac, mac);
    arp->sender_ip = ctx->config->vip;
    vnf_copy_mac(eth->h_dest, eth->h_source);
    vnf_copy_mac(eth->h_source, mac);
    ctx->counters->answered++;
    return VNF_BACK;
}

static __always_inline int answer_ping(struct vnf_ctx *ctx, const struct vnf_headers *found) {
    struct vnf_icmp *icmp = found->icmp;
    struct iphdr *ip = found->ipv4;
    __be16 before = *(vnf_word16 *)icmp;
    icmp->type = ECHO_REPLY;
    vnf_checksum_replace16(&icmp->checksum, before, *(vnf_word16 *)icmp);
    ip->daddr = ip->saddr;
    ip->saddr = ctx->config->vip;
    vnf_swap_macs(found->eth);
    ctx->counters->answered++;
    return VNF_BACK;
}

static __always_inline int asks_for(const struct vnf_arp *arp, __be32 ip) {
    return arp->hardware == vnf_htons(1) && arp->protocol == vnf_htons(ETH_P_IP) &&
           arp->hardware_bytes == ETH_ALEN && arp->protocol_bytes == 4 &&
           arp->operation == vnf_htons(ARP_REQUEST) && arp->target_ip == ip;
}

static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port) {
    const struct own *self = vnf_setting(ctx, own, port);
    __be32 vip = ctx->config->vip;
    struct vnf_headers found;

    if (!self || vnf_parse(data, end, &found))
        return VNF_FORWARD(vnf_peer(port));
    if (found.arp && asks_for(found.arp, vip))
        return answer_arp(ctx, found.eth, found.arp, self->mac);
    if (!found.ipv4)
        return VNF_FORWARD(vnf_peer(port));
    if (port == SERVERS) {
        if (ctx->config->rewrite && !found.fragment)
            return_answer(ctx, &found);
        return VNF_FORWARD(CLIENTS);
    }
    if (found.ipv4->daddr != vip)
        return VNF_FORWARD(SERVERS);
    if (found.fragment) {
        ctx->counters->fragments++;
        return VNF_DROP;
    }
    if (found.icmp && found.icmp->type == ECHO_REQUEST)
        return answer_ping(ctx, &found);
    return balance(ctx, &found);
}
