/* SPDX-License-Identifier: MIT */
/*
 * Frames as packet sockets give and take them with PACKET_VNET_HDR: what there is of a checksum
 * stands in a header of its own, and VLAN tags that the kernel took out come beside the frame.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <stdint.h>
#include <string.h>

enum {
    FRAME_MAC_BYTES = 12,
    FRAME_HEADER_BYTES = 14,
    FRAME_TAG_BYTES = 4,
    VNET_BYTES = sizeof(struct virtio_net_hdr),
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_VLAN_SERVICE = 0x88a8,
    ECN_MASK = 3,
};

/* A frame in memory: the vnet header lies right before its data. */
struct frame {
    uint8_t *data;
    uint32_t bytes;
};

static inline struct virtio_net_hdr frame_vnet(const struct frame *frame) {
    struct virtio_net_hdr header;
    memcpy(&header, frame->data - VNET_BYTES, sizeof(header));
    return header;
}

static inline void frame_set_vnet(struct frame *frame, const struct virtio_net_hdr *header) {
    memcpy(frame->data - VNET_BYTES, header, sizeof(*header));
}

/* Put a VLAN tag back; there must be room for it before the vnet header. */
static inline void frame_put_tag(struct frame *frame, uint16_t protocol, uint16_t tci) {
    struct virtio_net_hdr header = frame_vnet(frame);
    uint8_t *data = frame->data - FRAME_TAG_BYTES;
    uint16_t tag[2] = {htons(protocol), htons(tci)};

    memmove(data, frame->data, FRAME_MAC_BYTES);
    memcpy(data + FRAME_MAC_BYTES, tag, sizeof(tag));
    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        header.csum_start += FRAME_TAG_BYTES;
    frame->data = data;
    frame->bytes += FRAME_TAG_BYTES;
    frame_set_vnet(frame, &header);
}

static inline uint16_t checksum_of(const uint8_t *data, uint32_t bytes, uint32_t sum) {
    for (; bytes > 1; data += 2, bytes -= 2)
        sum += (uint32_t)data[0] << 8 | data[1];
    if (bytes)
        sum += (uint32_t)data[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Finish a checksum that the sender left to its interface: what changes now must not be in it. */
static inline void frame_finish_checksum(struct frame *frame) {
    struct virtio_net_hdr header = frame_vnet(frame);
    uint32_t at = (uint32_t)header.csum_start + header.csum_offset;

    if (!(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return;
    if (header.csum_start < frame->bytes && at + 2 <= frame->bytes) {
        uint32_t rest = frame->bytes - header.csum_start;
        uint16_t sum = checksum_of(frame->data + header.csum_start, rest, 0);
        /* Zero means "no checksum" in UDP. */
        uint16_t written = htons(sum ? sum : 0xffff);
        memcpy(frame->data + at, &written, sizeof(written));
    }
    header = (struct virtio_net_hdr){
        .gso_type = header.gso_type, .gso_size = header.gso_size, .hdr_len = header.hdr_len};
    frame_set_vnet(frame, &header);
}

/* Where the frame's IP header begins, behind VLAN tags; 0: it has none that is whole. */
static inline uint32_t frame_ip(const struct frame *frame, uint16_t *ethertype) {
    uint32_t at = FRAME_MAC_BYTES;

    for (;;) {
        uint16_t type;
        if (at + 2 > frame->bytes)
            return 0;
        memcpy(&type, frame->data + at, sizeof(type));
        *ethertype = ntohs(type);
        if (*ethertype != ETHERTYPE_VLAN && *ethertype != ETHERTYPE_VLAN_SERVICE)
            break;
        at += FRAME_TAG_BYTES;
    }
    at += 2;
    if (*ethertype == ETHERTYPE_IPV4)
        return at + 20 <= frame->bytes ? at : 0;
    return *ethertype == ETHERTYPE_IPV6 && at + 40 <= frame->bytes ? at : 0;
}

/* Whether both ends of the transport understand congestion marks. */
static inline int frame_can_mark(const struct frame *frame) {
    uint16_t type;
    uint32_t at = frame_ip(frame, &type);

    if (!at)
        return 0;
    if (type == ETHERTYPE_IPV4)
        return frame->data[at + 1] & ECN_MASK;
    return frame->data[at + 1] >> 4 & ECN_MASK;
}

static inline void frame_mark(struct frame *frame) {
    uint16_t type;
    uint32_t at = frame_ip(frame, &type);

    if (!at)
        return;
    if (type == ETHERTYPE_IPV4) {
        uint8_t *header = frame->data + at;
        uint32_t bytes = (uint32_t)(header[0] & 15) * 4;
        if (bytes < 20 || at + bytes > frame->bytes)
            return;
        header[1] |= ECN_MASK;
        memset(header + 10, 0, 2);
        uint16_t sum = htons(checksum_of(header, bytes, 0));
        memcpy(header + 10, &sum, sizeof(sum));
    } else {
        frame->data[at + 1] |= ECN_MASK << 4;
    }
}

static inline void frame_flip(struct frame *frame, uint64_t bit) {
    if (bit / 8 < frame->bytes) {
        frame_finish_checksum(frame);
        frame->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

#endif
