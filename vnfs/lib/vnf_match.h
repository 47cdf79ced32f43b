/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Whether a frame is what a rule is about, for VNFs whose users write rules in words:
 *
 *     udp dport 9999
 *     tcp saddr 10.0.0.0/8 sport 1000-2000
 *
 * emulator/match.py turns the words into struct vnf_match; docs/reference/matches.md lists them. A
 * VNF puts one into the entries of a VNF_SETTINGS, picks a frame's key apart once, and then
 * compares it with one entry after another:
 *
 *     struct rule { struct vnf_match match; __u64 verdict; };
 *     VNF_SETTINGS(rules, struct rule, 64);
 *
 *     struct vnf_key key;
 *     vnf_key_of(ctx, &headers, &key);
 *     for (__u32 at = 0; at < 64; at++) {
 *         const struct rule *rule = vnf_setting(ctx, rules, at);
 *         if (!rule || !rule->match.used)
 *             break;
 *         if (vnf_matches(&key, &rule->match))
 *             return …;
 *     }
 */
#ifndef VNF_MATCH_H
#define VNF_MATCH_H

#include "vnf.h"

/* What a frame has, and what a match may ask for. */
#define VNF_HAS_IPV4  0x01
#define VNF_HAS_IPV6  0x02
#define VNF_HAS_ARP   0x04
#define VNF_HAS_VLAN  0x08
#define VNF_HAS_PORTS 0x10 /* a whole TCP or UDP header, not in a later fragment */
/* Payload behind whole headers, not in a later fragment; it may be empty. */
#define VNF_HAS_LENGTH 0x20
#define VNF_HAS_ICMP   0x40 /* a whole head of an ICMP or ICMPv6 message */

#define VNF_TCP_FIN 0x01
#define VNF_TCP_SYN 0x02
#define VNF_TCP_RST 0x04
#define VNF_TCP_ACK 0x10

/* An IPv4 address fills the first word, the others are zero. */
union vnf_address {
    __be32 words[4];
    __u64 halves[2];
};

/* The two bytes behind the six are zero. */
union vnf_mac {
    struct {
        __u32 head;
        __u16 tail;
    };
    __u64 whole;
};

/* Numbers are in the machine's byte order. A range that asks for nothing is 0 to 65535. */
struct vnf_match {
    union vnf_address source, source_mask;
    union vnf_address destination, destination_mask;
    union vnf_mac source_mac, source_mac_mask;
    union vnf_mac destination_mac, destination_mac_mask;
    __u16 source_port_first, source_port_last;
    __u16 destination_port_first, destination_port_last;
    __u16 length_first, length_last;
    __u16 vlan_first, vlan_last;
    __u8 protocol, protocol_mask;
    __u16 needs;
    /* 1; 0 in the empty entries behind the last one. */
    __u32 used;
};

/*
 * A frame without pointers into it: what matches can ask, and what tells connections apart. To the
 * verifier a frame's headers in their many places are many cases; from here on they are one.
 */
struct vnf_key {
    union vnf_address source, destination;
    union vnf_mac source_mac, destination_mac;
    __u16 source_port, destination_port;
    /* Bytes of payload, as the IP header counts them: padding of the frame is none of it. */
    __u16 length;
    __u16 vlan;
    __u16 has;
    /* How far behind the frame's first byte the payload begins; 0 without one. */
    __u16 payload_at;
    __u16 icmp_id;
    __u8 protocol;
    __u8 hop_limit; /* or time to live */
    __u8 tcp_flags;
    __u8 icmp_type;
    __u8 later_fragment;
};

static __always_inline union vnf_mac vnf_mac_at(const __u8 *bytes) {
    union vnf_mac mac = {.whole = 0};
    mac.head = *(const vnf_word32 *)bytes;
    mac.tail = *(const vnf_word16 *)(bytes + 4);
    return mac;
}

static __always_inline void vnf_key_of(const struct vnf_ctx *ctx, const struct vnf_headers *found,
                                       struct vnf_key *key) {
    __s64 whole = ctx->length;
    void *from = found->eth;
    *key = (struct vnf_key){.protocol = found->protocol, .later_fragment = found->later_fragment};
    key->source_mac = vnf_mac_at(found->eth->h_source);
    key->destination_mac = vnf_mac_at(found->eth->h_dest);
    if (found->vlan) {
        key->has |= VNF_HAS_VLAN;
        key->vlan = vnf_ntohs(found->vlan->tci) & 0xfff;
    }
    if (found->udp) {
        key->has |= VNF_HAS_PORTS;
        key->source_port = vnf_ntohs(found->udp->source);
        key->destination_port = vnf_ntohs(found->udp->dest);
    } else if (found->tcp) {
        key->has |= VNF_HAS_PORTS;
        key->source_port = vnf_ntohs(found->tcp->source);
        key->destination_port = vnf_ntohs(found->tcp->dest);
        key->tcp_flags = ((__u8 *)found->tcp)[13];
    } else if (found->icmp) {
        key->has |= VNF_HAS_ICMP;
        key->icmp_type = found->icmp->type;
        key->icmp_id = vnf_ntohl(found->icmp->rest) >> 16;
    }
    if (found->ipv4) {
        key->has |= VNF_HAS_IPV4;
        key->source.words[0] = found->ipv4->saddr;
        key->destination.words[0] = found->ipv4->daddr;
        key->hop_limit = found->ipv4->ttl;
        from = found->ipv4;
        whole = vnf_ntohs(found->ipv4->tot_len);
    } else if (found->ipv6) {
        key->has |= VNF_HAS_IPV6;
        __builtin_memcpy(&key->source, &found->ipv6->saddr, sizeof(key->source));
        __builtin_memcpy(&key->destination, &found->ipv6->daddr, sizeof(key->destination));
        key->hop_limit = found->ipv6->hop_limit;
        from = found->ipv6;
        whole = sizeof(*found->ipv6) + vnf_ntohs(found->ipv6->payload_len);
    } else if (found->arp) {
        key->has |= VNF_HAS_ARP;
    }
    if (found->payload) {
        __s64 length = whole - (found->payload - from);
        /* A packet that says it is shorter than its headers has no payload. */
        key->length = length & ~(length >> 63);
        key->payload_at = found->payload - (void *)found->eth;
        if (!found->later_fragment)
            key->has |= VNF_HAS_LENGTH;
    }
}

/* Where the payload begins, to be checked against the end before it is looked at. */
static __always_inline void *vnf_payload_of(const struct vnf_key *key, void *data) {
    /* Beyond all headers that vnf_parse() looks behind; the verifier wants to know a limit. */
    return data + (key->payload_at & 0x3fff);
}

/* Negative when a value lies outside of a range. */
static __always_inline __s64 vnf_outside(__u16 value, __u16 first, __u16 last) {
    return ((__s64)value - first) | ((__s64)last - value);
}

/* Every condition is computed and none branches: the verifier then has one path to follow. */
static __always_inline int vnf_matches(const struct vnf_key *key, const struct vnf_match *match) {
    __u64 differs = 0;
    differs |= (key->source.halves[0] ^ match->source.halves[0]) & match->source_mask.halves[0];
    differs |= (key->source.halves[1] ^ match->source.halves[1]) & match->source_mask.halves[1];
    differs |= (key->destination.halves[0] ^ match->destination.halves[0]) &
               match->destination_mask.halves[0];
    differs |= (key->destination.halves[1] ^ match->destination.halves[1]) &
               match->destination_mask.halves[1];
    differs |= (key->source_mac.whole ^ match->source_mac.whole) & match->source_mac_mask.whole;
    differs |= (key->destination_mac.whole ^ match->destination_mac.whole) &
               match->destination_mac_mask.whole;
    differs |= (__u64)((key->protocol ^ match->protocol) & match->protocol_mask);
    differs |= (__u64)(match->needs & ~key->has);
    __s64 outside =
        vnf_outside(key->source_port, match->source_port_first, match->source_port_last) |
        vnf_outside(key->destination_port, match->destination_port_first,
                    match->destination_port_last) |
        vnf_outside(key->length, match->length_first, match->length_last) |
        vnf_outside(key->vlan, match->vlan_first, match->vlan_last);
    return !(differs | ((__u64)outside >> 63));
}

#endif
