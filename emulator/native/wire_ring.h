/* SPDX-License-Identifier: MIT */
/*
 * The fast way in, for a port that is busy: memory into which the kernel puts frames itself, where
 * reading one takes a twentieth of what asking for it does.
 *
 * It is small. What it has no room for waits in the port's socket, where everything does as long
 * as there is no ring: both are of one fanout group, in which the kernel decides where a frame goes
 * when it arrives, so none is lost or seen twice when a ring begins. The order is that of arrival.
 */
#ifndef WIRE_RING_H
#define WIRE_RING_H

#include <linux/if_packet.h>
#include <stdint.h>

#include "wire_queue.h"

enum {
    RING_FRAMES = 2048,
    RING_FRAME_BYTES = 2048, /* with what the kernel says of it */
    RING_BYTES = RING_FRAMES * RING_FRAME_BYTES,
    /* So long a frame may be, with all headers. */
    RING_MOST_BYTES = RING_FRAME_BYTES - 128,
};

struct ring {
    int fd;
    uint8_t *memory; /* NULL: there is none */
    uint32_t at;
};

/*
 * Make one that takes nothing yet, which needs some 20 ms: the kernel waits until nobody looks at
 * what was before. `group` is the fanout group of the port's socket, as the kernel tells it.
 * Returns 0 or an errno, and in `what` what it was that failed.
 */
int ring_open(struct ring *ring, int index, int group, const char **what);
void ring_close(struct ring *ring);

/* Have frames come into it from now on; returns 0 or an errno. */
int ring_begin(struct ring *ring);

/* The frame that came first of those in it; NULL when there is none. */
static inline struct tpacket2_hdr *ring_first(const struct ring *ring) {
    void *found = ring->memory + (uint64_t)ring->at * RING_FRAME_BYTES;
    struct tpacket2_hdr *head = found;

    return __atomic_load_n(&head->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER ? head : NULL;
}

static inline uint64_t ring_stamp_ns(const struct tpacket2_hdr *head) {
    return head->tp_sec * 1000000000ULL + head->tp_nsec;
}

/* Copy a frame out, into a slot it fits in; whether it was whole. */
static inline int ring_read(const struct tpacket2_hdr *head, struct slot *slot) {
    if (head->tp_len > head->tp_snaplen || head->tp_snaplen > slot_bytes[slot->class])
        return 0;
    slot->frame = (struct frame){slot->data + SLOT_ROOM_BYTES, head->tp_snaplen};
    memcpy(slot->frame.data - VNET_BYTES, (const uint8_t *)head + head->tp_mac - VNET_BYTES,
           VNET_BYTES + head->tp_snaplen);
    if (head->tp_status & TP_STATUS_VLAN_VALID)
        frame_put_tag(&slot->frame,
                      head->tp_status & TP_STATUS_VLAN_TPID_VALID ? head->tp_vlan_tpid
                                                                  : ETHERTYPE_VLAN,
                      head->tp_vlan_tci);
    return 1;
}

/* Give the first frame's place back to the kernel. */
static inline void ring_drop_first(struct ring *ring, struct tpacket2_hdr *head) {
    __atomic_store_n(&head->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->at = (ring->at + 1) % RING_FRAMES;
}

#endif
