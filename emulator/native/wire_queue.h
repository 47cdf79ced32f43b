/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait until they are due: those of one direction of a link.
 *
 * Most are due in the order in which they came, and a list is all that takes. The others, which
 * overtake, lie in a heap beside it.
 */
#ifndef WIRE_QUEUE_H
#define WIRE_QUEUE_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "wire_frame.h"

enum { SLOT_ROOM_BYTES = 32, SLOTS_AT_ONCE = 1024, SLOTS_IN_HAND = 512, POOL_CLASSES = 3 };
/* The lengths of frames, with all headers, that a slot of each class takes. */
static const uint32_t slot_bytes[POOL_CLASSES] = {2048, 10240, 66560};

struct slot {
    struct slot *next;
    uint64_t due_ns;
    uint64_t order; /* of arrival, where due at the same time */
    struct frame frame;
    uint8_t class;
    uint8_t data[];
};

struct pool {
    struct slot *free[POOL_CLASSES];
    uint64_t free_count[POOL_CLASSES];
    uint32_t users[POOL_CLASSES]; /* directions whose frames are of the class */
    uint64_t taken_bytes;
    uint64_t most_bytes;
};

static inline int pool_class(uint32_t bytes) {
    for (int class = 0; class < POOL_CLASSES; class ++)
        if (bytes <= slot_bytes[class])
            return class;
    return -1;
}

static inline int pool_grow(struct pool *pool, int class) {
    uint64_t each = (sizeof(struct slot) + SLOT_ROOM_BYTES + slot_bytes[class] + 63) & ~63ULL;
    uint64_t bytes = each * SLOTS_AT_ONCE;

    if (pool->taken_bytes + bytes > pool->most_bytes)
        return 0;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return 0;
    pool->taken_bytes += bytes;
    for (uint64_t at = 0; at < bytes; at += each) {
        struct slot *slot = (struct slot *)(memory + at);
        slot->class = (uint8_t) class;
        slot->next = pool->free[class];
        pool->free[class] = slot;
    }
    pool->free_count[class] += SLOTS_AT_ONCE;
    return 1;
}

/*
 * Make room ahead of need, for one class at a time; whether there was need. The kernel takes a
 * millisecond to give so much memory, in which frames that are due would be late.
 */
static inline int pool_prepare(struct pool *pool) {
    for (int class = 0; class < POOL_CLASSES; class ++)
        if (pool->users[class] && pool->free_count[class] < SLOTS_IN_HAND)
            return pool_grow(pool, class);
    return 0;
}

static inline struct slot *pool_take(struct pool *pool, int class) {
    struct slot *slot = pool->free[class];

    if (!slot && pool_grow(pool, class))
        slot = pool->free[class];
    if (slot) {
        pool->free[class] = slot->next;
        pool->free_count[class]--;
    }
    return slot;
}

static inline void pool_give(struct pool *pool, struct slot *slot) {
    slot->next = pool->free[slot->class];
    pool->free[slot->class] = slot;
    pool->free_count[slot->class]++;
}

struct queue {
    struct slot *first, *last;
    struct slot **early; /* a heap */
    uint32_t early_count, early_room;
    uint64_t count;
};

static inline int slot_before(const struct slot *a, const struct slot *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static inline int queue_put_early(struct queue *queue, struct slot *slot) {
    if (queue->early_count == queue->early_room) {
        uint32_t room = queue->early_room ? 2 * queue->early_room : 64;
        struct slot **more = realloc(queue->early, room * sizeof(*more));
        if (!more)
            return 0;
        queue->early = more;
        queue->early_room = room;
    }
    uint32_t at = queue->early_count++;
    while (at && slot_before(slot, queue->early[(at - 1) / 2])) {
        queue->early[at] = queue->early[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->early[at] = slot;
    return 1;
}

/* Whether there was memory to note it. */
static inline int queue_put(struct queue *queue, struct slot *slot) {
    slot->next = NULL;
    if (queue->last && slot_before(slot, queue->last)) {
        if (!queue_put_early(queue, slot))
            return 0;
    } else {
        if (queue->last)
            queue->last->next = slot;
        else
            queue->first = slot;
        queue->last = slot;
    }
    queue->count++;
    return 1;
}

/* The frame that is due next; NULL when none waits. */
static inline struct slot *queue_next(const struct queue *queue) {
    if (!queue->early_count)
        return queue->first;
    return !queue->first || slot_before(queue->early[0], queue->first) ? queue->early[0]
                                                                       : queue->first;
}

/* Take out what queue_next() returned. */
static inline void queue_drop_next(struct queue *queue) {
    struct slot *slot = queue_next(queue);

    queue->count--;
    if (slot == queue->first) {
        queue->first = slot->next;
        if (!queue->first)
            queue->last = NULL;
        return;
    }
    struct slot *moved = queue->early[--queue->early_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= queue->early_count)
            break;
        if (child + 1 < queue->early_count &&
            slot_before(queue->early[child + 1], queue->early[child]))
            child++;
        if (!slot_before(queue->early[child], moved))
            break;
        queue->early[at] = queue->early[child];
        at = child;
    }
    if (queue->early_count)
        queue->early[at] = moved;
}

#endif
