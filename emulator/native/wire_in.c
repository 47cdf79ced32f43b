// SPDX-License-Identifier: MIT
//
// What comes in at the ports, and what is decided of it.

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "wire_direction.h"
#include "wire_helper.h"

enum {
    // Taken from a ring at once, and from a socket when it is behind.
    RING_AT_ONCE = 256,
    BATCHES_IN = 8,
    // A port that the kernel has so many full batches for in so short a time gets a ring.
    BUSY_BATCHES = 8,
    BUSY_NS = 1000000000,
};

static uint64_t arrivals;

static void hold(struct direction *direction, struct slot *slot, uint64_t due_ns) {
    slot->due_ns = due_ns;
    slot->order = ++arrivals;
    if (!queue_put(&direction->queue, slot)) {
        direction->counters->no_memory_packets++;
        pool_give(&pool, slot);
    }
    if (direction->queue.count > direction->counters->queue_high_packets)
        direction->counters->queue_high_packets = direction->queue.count;
}

static void hold_copy(struct direction *direction, const struct slot *slot, uint64_t due_ns) {
    struct slot *copy = pool_take(&pool, slot->class);

    if (!copy) {
        direction->counters->no_memory_packets++;
        return;
    }
    uint32_t offset = (uint32_t)(slot->frame.data - slot->data);
    copy->frame = (struct frame){copy->data + offset, slot->frame.bytes};
    memcpy(copy->data + offset - VNET_BYTES, slot->frame.data - VNET_BYTES,
           VNET_BYTES + slot->frame.bytes);
    direction->counters->duplicated_packets++;
    hold(direction, copy, due_ns);
}

static void take_over(struct direction *direction) {
    struct wish *wish = direction->next;

    // It has been tried before, so it can fail for want of memory only.
    if (impair_change(&direction->stream, &wish->impairment, &wish->drops, &wish->table,
                      &wish->trace))
        direction->counters->lost_changes++;
    forget_wish(wish);
    direction->next = NULL;
}

static void admit(struct direction *direction, struct slot *slot, uint64_t arrival_ns) {
    struct wire_counters *counters = direction->counters;
    struct impair_verdict verdict;

    counters->in_packets++;
    counters->in_bytes += slot->frame.bytes;
    if (direction->next && arrival_ns >= direction->next_ns)
        take_over(direction);
    int can_mark = direction->stream.spec.ecn && frame_can_mark(&slot->frame);
    impair_decide(&direction->stream, arrival_ns, slot->frame.bytes, (uint32_t)can_mark, &verdict);
    if (verdict.fate != IMPAIR_DELIVER) {
        counters->lost_packets += verdict.fate == IMPAIR_LOST;
        counters->overflow_packets += verdict.fate == IMPAIR_OVERFLOW;
        counters->aqm_packets += verdict.fate == IMPAIR_AQM_DROP;
        pool_give(&pool, slot);
        return;
    }
    if (verdict.mark) {
        frame_mark(&slot->frame);
        counters->marked_packets++;
    }
    if (verdict.copy_due_ns)
        hold_copy(direction, slot, verdict.copy_due_ns);
    if (verdict.flip_bit >= 0) {
        frame_flip(&slot->frame, (uint64_t)verdict.flip_bit);
        counters->corrupted_packets++;
    }
    hold(direction, slot, verdict.due_ns);
}

// Rings: for ports that are busy ----------------------------------------------------------------

static void refuse_ring(const char *what, int error) {
    state->rings_refused++;
    fprintf(stderr, "note: a busy port goes on without a ring: %s: %s\n", what, strerror(error));
}

static void want_ring(struct direction *direction) {
    struct port *port = &direction->port;
    struct helper_job job = {.task = HELPER_SPEED_UP,
                             .direction = (uint32_t)(direction - directions),
                             .life = direction->life,
                             .port = *port,
                             .far_index = far_port(direction)->index};

    direction->ring_wanted = 1;
    // Longer frames come so seldom that asking for each is no burden.
    if (direction->longest_bytes > RING_MOST_BYTES)
        return;
    if (!port->group)
        refuse_ring("its interface was down at first", ENETDOWN);
    else if (pool.taken_bytes + RING_BYTES > pool.most_bytes / 2)
        refuse_ring("half of the memory is in use", ENOMEM);
    else if (helper_ask(&job))
        pool.taken_bytes += RING_BYTES;
    else
        refuse_ring("asking for it", errno);
}

static void note_full_batch(struct direction *direction) {
    uint64_t now_ns = now_monotonic_ns();

    if (now_ns - direction->busy_since_ns > BUSY_NS) {
        direction->busy_since_ns = now_ns;
        direction->busy_batches = 0;
    }
    if (++direction->busy_batches == BUSY_BATCHES)
        want_ring(direction);
}

void close_port(struct port *port) {
    struct helper_job job = {.task = HELPER_CLOSE, .port = *port};

    // Until it is closed it might still be heard of.
    epoll_ctl(events, EPOLL_CTL_DEL, port->fd, NULL);
    epoll_ctl(events, EPOLL_CTL_DEL, port->ring.fd, NULL);
    if (!helper_ask(&job))
        port_close(port);
}

static int use_ring(struct direction *direction, const struct helper_job *job) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = job->direction};

    struct ring ring = job->port.ring;
    if (epoll_ctl(events, EPOLL_CTL_ADD, ring.fd, &event))
        return errno;
    int error = ring_begin(&ring);
    if (error)
        return error;
    direction->port.ring = ring;
    far_port(direction)->out = job->out;
    // Frames that are in the socket already go first.
    direction->port.more = 1;
    return 0;
}

void take_ring(void) {
    struct helper_job job;

    if (!helper_answer(&job))
        return;
    struct direction *direction = &directions[job.direction];
    int wanted = direction->used && direction->life == job.life;
    int error = job.error;
    if (!error && wanted) {
        error = use_ring(direction, &job);
        job.what = "beginning it";
    }
    if (error && wanted)
        refuse_ring(job.what, error);
    if (error || !wanted) {
        pool.taken_bytes -= RING_BYTES;
        if (!job.error)
            close_port(&(struct port){.fd = -1, .out = job.out, .ring = job.port.ring});
    }
}

// Frames come in -------------------------------------------------------------------------------

// Take frames out of the ring, those up to a moment and so many at most; returns how many.
static uint32_t receive_ring(struct direction *direction, uint64_t until_ns, uint32_t most) {
    struct port *port = &direction->port;
    struct tpacket2_hdr *head;
    uint32_t count = 0;
    uint64_t now_ns = now_monotonic_ns();

    for (; count < most && (head = ring_first(&port->ring)); count++) {
        uint64_t arrival_ns = port_arrival_ns(ring_stamp_ns(head), now_ns);
        if (arrival_ns > until_ns)
            break;
        struct slot *slot = pool_take(&pool, direction->class);
        int whole = slot && ring_read(head, slot);
        ring_drop_first(&port->ring, head);
        if (whole) {
            admit(direction, slot, arrival_ns);
        } else if (slot) {
            port->missed++;
            pool_give(&pool, slot);
        } else {
            direction->counters->no_memory_packets++;
        }
    }
    return count;
}

static void receive_socket(struct direction *direction) {
    struct slot *slots[PORT_BATCH];
    uint64_t arrivals_ns[PORT_BATCH];
    struct port *port = &direction->port;
    uint32_t wanted = 0;

    while (wanted < PORT_BATCH && (slots[wanted] = pool_take(&pool, direction->class)))
        wanted++;
    if (!wanted) {
        // Nothing can be kept: take it away, or it would be late by the time there is room.
        char nothing;
        while (recv(port->fd, &nothing, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0)
            direction->counters->no_memory_packets++;
        port->more = 0;
        return;
    }
    uint32_t count = port_receive(port, slots, arrivals_ns, wanted);
    for (uint32_t i = count; i < wanted; i++)
        pool_give(&pool, slots[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (port->ring.memory)
            receive_ring(direction, arrivals_ns[i], UINT32_MAX);
        admit(direction, slots[i], arrivals_ns[i]);
    }
    if (port->more && !direction->ring_wanted)
        note_full_batch(direction);
}

void receive(struct direction *direction) {
    struct port *port = &direction->port;
    uint32_t count = 0;

    if (port->ring.memory && !port->more)
        count = receive_ring(direction, UINT64_MAX, RING_AT_ONCE);
    // A frame goes past a ring when three quarters of that are full. To look at the socket between
    // so many and the next is to see it before any that came later.
    if (!port->ring.memory || port->more || count == RING_AT_ONCE) {
        for (int i = 0; i < BATCHES_IN && (!i || port->more); i++)
            receive_socket(direction);
        // That is also when the kernel may have run out of room.
        if (port->more || count == RING_AT_ONCE)
            port->missed += port_missed(port);
    }
    direction->counters->missed_packets += port->missed;
    port->missed = 0;
    heap_settle(direction);
}
