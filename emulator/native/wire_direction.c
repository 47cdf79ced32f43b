// SPDX-License-Identifier: MIT

#include "wire_direction.h"

struct direction directions[2 * WIRE_MAX_LINKS];
struct pool pool;
struct wire_state *state;
int events;

// The direction in which a frame is due next is at its top.
static struct direction *heap[2 * WIRE_MAX_LINKS];
static int heap_count;

static void heap_put(struct direction *direction, int at) {
    heap[at] = direction;
    direction->heap = at;
}

static void heap_up(struct direction *direction, int at) {
    while (at && due_of(direction) < due_of(heap[(at - 1) / 2])) {
        heap_put(heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    heap_put(direction, at);
}

static void heap_down(struct direction *direction, int at) {
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heap_count)
            break;
        if (child + 1 < heap_count && due_of(heap[child + 1]) < due_of(heap[child]))
            child++;
        if (due_of(heap[child]) >= due_of(direction))
            break;
        heap_put(heap[child], at);
        at = child;
    }
    heap_put(direction, at);
}

void heap_remove(struct direction *direction) {
    int at = direction->heap;

    if (at == NEVER_IN_HEAP)
        return;
    direction->heap = NEVER_IN_HEAP;
    struct direction *last = heap[--heap_count];
    if (last == direction)
        return;
    heap_up(last, at);
    heap_down(last, last->heap);
}

void heap_settle(struct direction *direction) {
    if (!direction->queue.count) {
        heap_remove(direction);
        return;
    }
    if (direction->heap == NEVER_IN_HEAP)
        heap_put(direction, heap_count++);
    heap_up(direction, direction->heap);
    heap_down(direction, direction->heap);
}

struct direction *heap_first(void) {
    return heap_count ? heap[0] : NULL;
}

void forget_wish(struct wish *wish) {
    if (wish)
        free((void *)wish->trace.points);
    free(wish);
}
