/* SPDX-License-Identifier: MIT */
/* The directions of all links, and the one in which a frame is due next. */
#ifndef WIRE_DIRECTION_H
#define WIRE_DIRECTION_H

#include "wire.h"
#include "wire_port.h"
#include "wire_queue.h"

enum {
    NEVER_IN_HEAP = -1,
    /* Beside a direction's number in an event: it is the socket that has something, not the ring.
     */
    FROM_SOCKET = 1 << 30,
};

/* What a direction is to do, as a request says it. */
struct wish {
    struct impairment impairment;
    struct impair_drops drops;
    struct impair_table table;
    struct impair_trace trace; /* its points are its own */
};

struct direction {
    struct impair_stream stream;
    struct wish *next; /* for frames that arrive from next_ns on */
    uint64_t next_ns;
    struct port port; /* where its frames come in */
    struct queue queue;
    struct wire_counters *counters;
    int class;
    int heap; /* where it is in the heap of those in which frames wait */
    int used;
    uint64_t life; /* another one each time it is made */
    uint64_t busy_since_ns;
    uint32_t busy_batches;
    int ring_wanted; /* it has a ring, or has been refused one */
    uint32_t longest_bytes;
};

extern struct direction directions[2 * WIRE_MAX_LINKS];
extern struct pool pool;
extern struct wire_state *state;
extern int events; /* of all ports, by epoll */

static inline struct port *far_port(struct direction *direction) {
    return &directions[(direction - directions) ^ 1].port;
}

static inline uint64_t due_of(const struct direction *direction) {
    return queue_next(&direction->queue)->due_ns;
}

/* The direction in which a frame is due next; NULL when none waits anywhere. */
struct direction *heap_first(void);
void heap_remove(struct direction *direction);

/* To be called when what is due next has changed, or nothing waits any more. */
void heap_settle(struct direction *direction);

void forget_wish(struct wish *wish);

/* wire_in.c: take frames in that have come, some of them, and decide what becomes of them. */
void receive(struct direction *direction);

/* Use what the helper has made. */
void take_ring(void);

/* Have a port's sockets closed. */
void close_port(struct port *port);

/* wire_request.c: do what the emulator asks for; ends the process when that has gone. */
void answer_emulator(int fd);

#endif
