/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Finding the headers of a frame, and keeping their checksums right. */
#ifndef VNF_PACKET_H
#define VNF_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define vnf_htons(value)  ((__be16)__builtin_bswap16(value))
#define vnf_htonl(value)  ((__be32)__builtin_bswap32(value))
#define vnf_htonll(value) ((__be64)__builtin_bswap64(value))
#else
#define vnf_htons(value)  ((__be16)(value))
#define vnf_htonl(value)  ((__be32)(value))
#define vnf_htonll(value) ((__be64)(value))
#endif
#define vnf_ntohs(value)  ((__u16)vnf_htons(value))
#define vnf_ntohl(value)  ((__u32)vnf_htonl(value))
#define vnf_ntohll(value) ((__u64)vnf_htonll(value))

/* IEEE 802.1Q and 802.1ad tags that vnf_parse() looks behind. */
#define VNF_MAX_VLANS 2
/* IPv6 extension headers that vnf_parse() looks behind (RFC 8200, section 4). */
#define VNF_MAX_EXTENSIONS 4

/* 802.1Q: what follows the first twelve bytes of a tagged frame and the type 0x8100. */
struct vnf_vlan {
    __be16 tci;
    __be16 type;
};

/* ARP for IPv4 over Ethernet (RFC 826). */
struct vnf_arp {
    __be16 hardware;
    __be16 protocol;
    __u8 hardware_bytes;
    __u8 protocol_bytes;
    __be16 operation;
    __u8 sender_mac[ETH_ALEN];
    __be32 sender_ip;
    __u8 target_mac[ETH_ALEN];
    __be32 target_ip;
} __attribute__((packed));

/* The head of an ICMP message, the same for IPv4 (RFC 792) and IPv6 (RFC 4443). */
struct vnf_icmp {
    __u8 type;
    __u8 code;
    __sum16 checksum;
    __be32 rest;
};

/* An IPv6 extension header's beginning; its length is 8 * (units + 1) bytes. */
struct vnf_extension {
    __u8 next;
    __u8 units;
};

/* The headers of a frame; NULL stands for one that is not there or not whole. */
struct vnf_headers {
    struct ethhdr *eth;
    struct vnf_vlan *vlan; /* the inner one of two */
    struct vnf_arp *arp;
    struct iphdr *ipv4;
    struct ipv6hdr *ipv6;
    struct udphdr *udp;
    struct tcphdr *tcp;
    struct vnf_icmp *icmp; /* of IPv6 when ipv6 is set */
    /* What follows the last header found; NULL if that header itself is cut off. */
    void *payload;
    /* The type behind any VLAN tags, in the machine's byte order. */
    __u16 type;
    /* IPPROTO_…; of IPv6, the one behind the extension headers. 0 without IP. */
    __u8 protocol;
    /* Part of a packet that was cut up: what ports it has, only the first part says. */
    __u8 fragment;
    /* A fragment other than the first of its packet: ports and payload are not to be seen. */
    __u8 later_fragment;
};

#define VNF_FITS(pointer, end) ((void *)((pointer) + 1) <= (end))

static __always_inline void vnf_parse_transport(void *at, void *end, struct vnf_headers *found) {
    found->payload = at;
    if (found->later_fragment)
        return;
    if (found->protocol == IPPROTO_UDP) {
        struct udphdr *udp = at;
        found->udp = VNF_FITS(udp, end) ? udp : 0;
        found->payload = found->udp ? udp + 1 : 0;
    } else if (found->protocol == IPPROTO_TCP) {
        struct tcphdr *tcp = at;
        found->payload = 0;
        if (!VNF_FITS(tcp, end) || tcp->doff < 5)
            return;
        found->tcp = tcp;
        void *behind = at + tcp->doff * 4;
        found->payload = behind <= end ? behind : 0;
    } else if (found->protocol == (found->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
        struct vnf_icmp *icmp = at;
        found->icmp = VNF_FITS(icmp, end) ? icmp : 0;
        found->payload = found->icmp ? icmp + 1 : 0;
    }
}

static __always_inline void vnf_parse_ipv4(void *at, void *end, struct vnf_headers *found) {
    struct iphdr *ip = at;
    if (!VNF_FITS(ip, end) || ip->version != 4 || ip->ihl < 5)
        return;
    void *behind = at + ip->ihl * 4;
    if (behind > end)
        return;
    found->ipv4 = ip;
    found->protocol = ip->protocol;
    /* The offset, and before it the bit for more fragments. */
    found->fragment = (ip->frag_off & vnf_htons(0x3fff)) != 0;
    found->later_fragment = (ip->frag_off & vnf_htons(0x1fff)) != 0;
    vnf_parse_transport(behind, end, found);
}

static __always_inline void vnf_parse_ipv6(void *at, void *end, struct vnf_headers *found) {
    struct ipv6hdr *ip = at;
    if (!VNF_FITS(ip, end) || ip->version != 6)
        return;
    found->ipv6 = ip;
    __u8 next = ip->nexthdr;
    at = ip + 1;
#if defined(__clang__)
#pragma clang loop unroll(full)
#endif
    for (int skipped = 0; skipped < VNF_MAX_EXTENSIONS; skipped++) {
        struct vnf_extension *extension = at;
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
            next != IPPROTO_FRAGMENT)
            break;
        found->protocol = next;
        if (at + 8 > end)
            return;
        if (next == IPPROTO_FRAGMENT) {
            /* RFC 8200, section 4.5: always 8 bytes; the upper 13 bits of these are the offset,
             * the lowest one is set when more fragments follow. */
            __be16 offset = *(vnf_word16 *)(at + 2);
            if (offset & vnf_htons(0xfff9))
                found->fragment = 1;
            if (offset & vnf_htons(0xfff8))
                found->later_fragment = 1;
            next = extension->next;
            at += 8;
        } else {
            next = extension->next;
            at += ((__u32)extension->units + 1) * 8;
        }
    }
    found->protocol = next;
    if (at <= end)
        vnf_parse_transport(at, end, found);
}

/* Find the headers of a frame; returns 0, or -1 when not even the Ethernet header is whole. */
static __always_inline int vnf_parse(void *data, void *end, struct vnf_headers *found) {
    *found = (struct vnf_headers){.eth = data};
    if (!VNF_FITS(found->eth, end))
        return -1;
    void *at = found->eth + 1;
    __be16 type = found->eth->h_proto;
#if defined(__clang__)
#pragma clang loop unroll(full)
#endif
    for (int tags = 0; tags < VNF_MAX_VLANS; tags++) {
        if (type != vnf_htons(ETH_P_8021Q) && type != vnf_htons(ETH_P_8021AD))
            break;
        struct vnf_vlan *vlan = at;
        if (!VNF_FITS(vlan, end))
            return 0;
        found->vlan = vlan;
        type = vlan->type;
        at = vlan + 1;
    }
    found->type = vnf_ntohs(type);
    found->payload = at;
    if (type == vnf_htons(ETH_P_IP)) {
        found->payload = 0;
        vnf_parse_ipv4(at, end, found);
    } else if (type == vnf_htons(ETH_P_IPV6)) {
        found->payload = 0;
        vnf_parse_ipv6(at, end, found);
    } else if (type == vnf_htons(ETH_P_ARP)) {
        struct vnf_arp *arp = at;
        found->arp = VNF_FITS(arp, end) ? arp : 0;
        found->payload = found->arp ? arp + 1 : 0;
    }
    return 0;
}

static __always_inline __sum16 vnf_checksum_fold(__u64 sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__sum16)~sum;
}

/* Account for a 16-bit word that changed (RFC 1624, equation 3). A wrong checksum stays wrong. */
static __always_inline void vnf_checksum_replace16(__sum16 *check, __be16 old, __be16 now) {
    *check = vnf_checksum_fold((__u64)(__u16) ~*check + (__u16)~old + now);
}

static __always_inline void vnf_checksum_replace32(__sum16 *check, __be32 old, __be32 now) {
    __u64 sum = (__u16) ~*check;
    sum += (__u16) ~(old & 0xffff) + (__u64)(__u16) ~(old >> 16);
    sum += (now & 0xffff) + (__u64)(now >> 16);
    *check = vnf_checksum_fold(sum);
}

/* The same for UDP, where 0 says that there is no checksum (RFC 768). */
static __always_inline void vnf_udp_checksum_replace16(__sum16 *check, __be16 old, __be16 now) {
    if (!*check)
        return;
    vnf_checksum_replace16(check, old, now);
    if (!*check)
        *check = (__sum16)0xffff;
}

static __always_inline void vnf_udp_checksum_replace32(__sum16 *check, __be32 old, __be32 now) {
    if (!*check)
        return;
    vnf_checksum_replace32(check, old, now);
    if (!*check)
        *check = (__sum16)0xffff;
}

/* The sum of 16-bit words over `bytes`, a constant and even number of them. */
static __always_inline __u64 vnf_sum(const void *from, __u32 bytes) {
    const __u16 *word = from;
    __u64 sum = 0;
    for (__u32 at = 0; at < bytes / 2; at++)
        sum += word[at];
    return sum;
}

/* The checksum of an IPv4 header without options, as it should be. */
static __always_inline __sum16 vnf_ipv4_checksum(const struct iphdr *ip) {
    __u64 sum = vnf_sum(ip, sizeof(*ip));
    return vnf_checksum_fold(sum - ip->check);
}

/* One hop less to live, with the IPv4 checksum kept. */
static __always_inline void vnf_ipv4_decrease_ttl(struct iphdr *ip) {
    __be16 old = *(__be16 *)&ip->ttl;
    ip->ttl--;
    vnf_checksum_replace16(&ip->check, old, *(__be16 *)&ip->ttl);
}

static __always_inline void vnf_copy_mac(__u8 *to, const __u8 *from) {
    __builtin_memcpy(to, from, ETH_ALEN);
}

static __always_inline void vnf_swap_macs(struct ethhdr *eth) {
    __u8 kept[ETH_ALEN];
    vnf_copy_mac(kept, eth->h_dest);
    vnf_copy_mac(eth->h_dest, eth->h_source);
    vnf_copy_mac(eth->h_source, kept);
}

#endif
