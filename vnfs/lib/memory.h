/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Ports in memory, for a VNF that is tried without any network. Whoever includes this hands frames
 * over with vnf_handle_burst() and is told by memory_sent() what leaves.
 */
#ifndef VNF_MEMORY_H
#define VNF_MEMORY_H

#include "run.h"

#define MEMORY_FRAME_BYTES 65536

/* Where a frame lies; with the address sanitiser all around it is out of bounds. */
struct memory_room {
    __u8 bytes[VNF_HEADROOM_BYTES + MEMORY_FRAME_BYTES + VNF_TAILROOM_BYTES];
};

static __u8 memory_copies[VNF_BURST_FRAMES][MEMORY_FRAME_BYTES + VNF_TAILROOM_BYTES];
static __u32 memory_next_copy;

/* A frame leaves by a port; it is gone when this returns. */
static void memory_sent(__u32 port, const __u8 *data, __u32 bytes);

/* Where a frame's bytes are to be written before memory_frame(). */
static __u8 *memory_open(struct memory_room *room) {
    VNF_UNPOISON(room->bytes, sizeof(room->bytes));
    return room->bytes + VNF_HEADROOM_BYTES;
}

static struct vnf_packet memory_frame(struct memory_room *room, __u32 bytes) {
    __u8 *data = room->bytes + VNF_HEADROOM_BYTES;
    VNF_POISON(room->bytes, VNF_HEADROOM_BYTES);
    VNF_POISON(data + bytes, sizeof(room->bytes) - VNF_HEADROOM_BYTES - bytes);
    return (struct vnf_packet){
        .data = data,
        .end = data + bytes,
        .floor = room->bytes,
        .ceiling = data + bytes + VNF_TAILROOM_BYTES,
    };
}

static const char *port_open(__u32 port) {
    (void)port;
    return "memory";
}

static __u32 port_receive(__u32 port, struct vnf_packet *packets, __u32 room) {
    (void)port;
    (void)packets;
    (void)room;
    return 0;
}

static __u32 port_send(__u32 port, struct vnf_packet *packets, __u32 count) {
    for (__u32 i = 0; i < count; i++)
        memory_sent(port, packets[i].data, (__u32)(packets[i].end - packets[i].data));
    return count;
}

static void port_release(__u32 port, struct vnf_packet *packets, __u32 count) {
    (void)port;
    (void)packets;
    (void)count;
}

static int port_copy(__u32 port, const struct vnf_packet *packet, struct vnf_packet *copy) {
    size_t length = (size_t)(packet->end - packet->data);
    (void)port;
    __u8 *data = memory_copies[memory_next_copy++ % VNF_BURST_FRAMES];
    memcpy(data, packet->data, length);
    *copy = (struct vnf_packet){.data = data, .end = data + length};
    return 0;
}

static __u32 port_wait(struct pollfd *fds) {
    (void)fds;
    return 0;
}

static void port_close(__u32 port) {
    (void)port;
}

#endif
