/* SPDX-License-Identifier: MIT */
/*
 * How the emulator speaks to vnf-wire; emulator/wire/protocol.py is the other side.
 *
 * Each request is one message on a SOCK_SEQPACKET socket, and so is its answer. Counters lie in
 * memory that both share, a struct wire_counters for each direction of each link: that from a to b
 * of link n at 2n, the other at 2n + 1. After the last of them comes a struct wire_state.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#include "impair.h"

enum {
    WIRE_MAX_LINKS = 4096,
    WIRE_NAME_BYTES = 16,
    WIRE_MESSAGE_BYTES = 256,
    WIRE_REQUEST_BYTES = 4 << 20,
    /* Releases later than this are counted as late. */
    WIRE_LATE_NS = 100000,
};

enum wire_operation { WIRE_ADD = 1, WIRE_CHANGE = 2, WIRE_REMOVE = 3 };

/* After it, for each of its directions, a struct wire_direction and what that announces. */
struct wire_request {
    uint32_t operation;
    uint32_t directions;
    /* ADD and REMOVE: of the one link. */
    uint32_t link;
    uint32_t mtu_bytes;
    char ports[2][WIRE_NAME_BYTES]; /* a's and b's end, in the namespace of the process */
    /* CHANGE: frames that arrive from then on, CLOCK_MONOTONIC; 0: from now on. */
    uint64_t at_ns;
};

struct wire_direction {
    uint32_t number; /* 2 * link, or 2 * link + 1 */
    uint32_t drops;  /* so many uint64_t follow */
    uint32_t table;  /* then so many double */
    uint32_t points; /* then so many struct impair_point */
    uint32_t trace_kind;
    uint32_t opportunity_bytes;
    uint64_t period_ns;
    struct impairment impairment;
};

struct wire_answer {
    int32_t error; /* an errno, or 0 */
    char message[WIRE_MESSAGE_BYTES];
};

struct wire_counters {
    uint64_t in_packets, in_bytes;
    uint64_t out_packets, out_bytes;
    uint64_t lost_packets;     /* by the loss model and the list */
    uint64_t overflow_packets; /* the queue was full */
    uint64_t aqm_packets;
    uint64_t marked_packets;
    uint64_t duplicated_packets;
    uint64_t corrupted_packets;
    uint64_t queue_high_packets; /* the most that waited at once, for the rate or the delay */
    uint64_t late_packets;       /* released more than WIRE_LATE_NS after they were due */
    uint64_t late_most_ns;
    /* Not asked for: the machine was too slow, or its memory too small. */
    uint64_t missed_packets; /* the kernel had no room for them */
    uint64_t unsent_packets; /* the far end's ring was full, or its interface down */
    uint64_t no_memory_packets;
    uint64_t lost_changes; /* that were agreed to, and for which there was no memory then */
};

/* What is not as it should be with the process as a whole. */
struct wire_state {
    uint64_t realtime_errno; /* why it has no real-time priority; 0: it has, or was not to */
    uint64_t rings_refused;  /* busy ports that got no ring: they carry less */
};

#endif
