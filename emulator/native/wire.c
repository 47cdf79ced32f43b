// SPDX-License-Identifier: MIT
//
// vnf-wire: impairs what crosses the links of a lab, one process for all of them.
//
// It lives in a network namespace that holds an end of each link's halves: what comes in at one
// end goes out at the other when it is due, or never. What is due when is decided by impair.h from
// the kernel's stamp of a frame's arrival; here frames are moved, and late ones counted.
//
// Usage: vnf-wire CONTROL_FD COUNTERS_FD SPIN_NS REALTIME MEMORY_BYTES
// CONTROL_FD is a socket of the emulator's, and the end of this when it is closed; COUNTERS_FD is
// memory for WIRE_MAX_LINKS links, see wire.h.

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"
#include "wire_port.h"
#include "wire_queue.h"

enum {
    EVENTS = 64,
    NEVER_IN_HEAP = -1,
    CLOCK_EVERY_NS = 1000000000,
    // So much time there has to be before memory is asked for.
    PREPARE_NS = 3000000,
    // Of the emulator's socket, in place of a direction's number.
    CONTROL = 2 * WIRE_MAX_LINKS,
    REALTIME_PRIORITY = 1,
};

// What a direction is to do, as a request says it.
struct wish {
    struct impairment impairment;
    struct impair_drops drops;
    struct impair_table table;
    struct impair_trace trace; // its points are its own
};

struct direction {
    struct impair_stream stream;
    struct wish *next; // for frames that arrive from next_ns on
    uint64_t next_ns;
    struct port port; // where its frames come in
    struct queue queue;
    struct wire_counters *counters;
    int class;
    int heap; // where it is in the heap of those in which frames wait
    int used;
};

static struct direction directions[2 * WIRE_MAX_LINKS];
static struct direction *heap[2 * WIRE_MAX_LINKS];
static int heap_count;
static struct pool pool;
static uint64_t arrivals;
static uint64_t spin_ns;
static int events;

static struct port *far_port(struct direction *direction) {
    return &directions[(direction - directions) ^ 1].port;
}

// The heap: the direction in which a frame is due next is at its top ---------------------------

static uint64_t due_of(const struct direction *direction) {
    return queue_next(&direction->queue)->due_ns;
}

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

static void heap_remove(struct direction *direction) {
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

// To be called when what is due next has changed, or nothing waits any more.
static void heap_settle(struct direction *direction) {
    if (!direction->queue.count) {
        heap_remove(direction);
        return;
    }
    if (direction->heap == NEVER_IN_HEAP)
        heap_put(direction, heap_count++);
    heap_up(direction, direction->heap);
    heap_down(direction, direction->heap);
}

// Frames ---------------------------------------------------------------------------------------

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

static void forget_wish(struct wish *wish) {
    if (wish)
        free((void *)wish->trace.points);
    free(wish);
}

static void take_over(struct direction *direction) {
    struct wish *wish = direction->next;

    // It has been tried before, so it can fail for want of memory only.
    if (impair_change(&direction->stream, &wish->impairment, &wish->drops, &wish->table,
                      &wish->trace))
        fprintf(stderr, "error: a change of a link was lost: no memory\n");
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

static uint32_t receive(struct direction *direction) {
    struct slot *slots[PORT_BATCH];
    uint64_t arrivals_ns[PORT_BATCH];
    uint32_t wanted = 0;

    while (wanted < PORT_BATCH && (slots[wanted] = pool_take(&pool, direction->class)))
        wanted++;
    if (!wanted) {
        // Nothing can be kept: take it away, or it would be late by the time there is room.
        char nothing;
        while (recv(direction->port.fd, &nothing, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0)
            direction->counters->no_memory_packets++;
        return 0;
    }
    uint32_t count = port_receive(&direction->port, slots, arrivals_ns, wanted);
    for (uint32_t i = count; i < wanted; i++)
        pool_give(&pool, slots[i]);
    for (uint32_t i = 0; i < count; i++)
        admit(direction, slots[i], arrivals_ns[i]);
    if (direction->port.missed) {
        direction->counters->missed_packets += direction->port.missed;
        direction->port.missed = 0;
    }
    if (count)
        heap_settle(direction);
    return count;
}

static void send_due(struct direction *direction, uint64_t now_ns) {
    struct wire_counters *counters = direction->counters;
    struct slot *slots[PORT_BATCH], *slot;
    uint32_t count = 0;

    while (count < PORT_BATCH && (slot = queue_next(&direction->queue)) && slot->due_ns <= now_ns) {
        uint64_t late_ns = now_ns - slot->due_ns;
        counters->late_packets += late_ns > WIRE_LATE_NS;
        if (late_ns > counters->late_most_ns)
            counters->late_most_ns = late_ns;
        queue_drop_next(&direction->queue);
        slots[count++] = slot;
    }
    heap_settle(direction);
    uint32_t unsent = port_send(far_port(direction), slots, count);
    counters->unsent_packets += unsent;
    counters->out_packets += count - unsent;
    for (uint32_t i = 0; i < count; i++) {
        counters->out_bytes += slots[i]->frame.bytes;
        pool_give(&pool, slots[i]);
    }
}

// Requests -------------------------------------------------------------------------------------

struct reading {
    const char *at, *end;
};

static const void *take(struct reading *from, uint64_t count, uint64_t bytes) {
    const char *found = from->at;

    if (count > UINT32_MAX || (uint64_t)(from->end - from->at) < count * bytes)
        return NULL;
    from->at += count * bytes;
    return found;
}

static int refuse(struct wire_answer *answer, int error, const char *what) {
    answer->error = error;
    snprintf(answer->message, sizeof(answer->message), "%s", what);
    return error;
}

static int read_wish(struct reading *from, struct wish *wish, uint32_t *number,
                     struct wire_answer *answer) {
    struct wire_direction head;
    const void *found = take(from, 1, sizeof(head));

    if (!found)
        return refuse(answer, EBADMSG, "the request is too short");
    memcpy(&head, found, sizeof(head));
    *number = head.number;
    const void *drops = take(from, head.drops, sizeof(uint64_t));
    const void *table = drops ? take(from, head.table, sizeof(double)) : NULL;
    const void *points = table ? take(from, head.points, sizeof(struct impair_point)) : NULL;
    if (!points || head.drops > IMPAIR_MAX_DROPS || head.table > IMPAIR_TABLE_ENTRIES ||
        head.points > IMPAIR_MAX_POINTS || head.number >= 2 * WIRE_MAX_LINKS)
        return refuse(answer, EBADMSG, "the request makes no sense");
    size_t bytes = head.points * sizeof(struct impair_point);
    struct impair_point *kept = malloc(bytes ? bytes : 1);
    if (!kept)
        return refuse(answer, ENOMEM, "there is no memory for the trace");
    memcpy(kept, points, bytes);
    wish->impairment = head.impairment;
    wish->drops.count = head.drops;
    memcpy(wish->drops.index, drops, head.drops * sizeof(uint64_t));
    wish->table.count = head.table;
    memcpy(wish->table.quantile, table, head.table * sizeof(double));
    wish->trace = (struct impair_trace){.kind = head.trace_kind,
                                        .count = head.points,
                                        .period_ns = head.period_ns,
                                        .start_ns = now_monotonic_ns(),
                                        .opportunity_bytes = head.opportunity_bytes,
                                        .points = kept};
    return 0;
}

// A direction as a request describes it; NULL when it makes no sense, or there is no memory.
static struct wish *read_direction(struct reading *from, struct impair_stream *stream,
                                   uint32_t *number, struct wire_answer *answer) {
    struct wish *wish = calloc(1, sizeof(*wish));

    if (!wish) {
        refuse(answer, ENOMEM, "there is no memory for it");
        return NULL;
    }
    int error = read_wish(from, wish, number, answer);
    if (!error)
        error = -impair_init(stream, &wish->impairment, &wish->drops, &wish->table, &wish->trace);
    if (!error)
        return wish;
    if (!answer->error)
        refuse(answer, error, strerror(error));
    forget_wish(wish);
    return NULL;
}

static void remove_direction(struct direction *direction) {
    struct slot *slot;

    if (!direction->used)
        return;
    while ((slot = queue_next(&direction->queue))) {
        queue_drop_next(&direction->queue);
        pool_give(&pool, slot);
    }
    heap_remove(direction);
    pool.users[direction->class]--;
    free(direction->queue.early);
    port_close(&direction->port);
    impair_free(&direction->stream);
    forget_wish(direction->next);
    *direction = (struct direction){.heap = NEVER_IN_HEAP, .counters = direction->counters};
}

static int add_link(const struct wire_request *request, struct reading *from,
                    struct wire_answer *answer) {
    // Two VLAN tags, of which one is put back here.
    int class = pool_class(request->mtu_bytes + FRAME_HEADER_BYTES + 2 * FRAME_TAG_BYTES);

    if (request->link >= WIRE_MAX_LINKS || request->directions != 2 || class < 0)
        return refuse(answer, EINVAL, "the link makes no sense");
    struct direction *pair = &directions[2 * request->link];
    if (pair->used)
        return refuse(answer, EEXIST, "there is a link of that number");
    for (int side = 0; side < 2; side++) {
        struct direction *direction = &pair[side];
        const char *what = NULL;
        uint32_t number;
        char name[WIRE_NAME_BYTES + 1] = {0};
        memcpy(name, request->ports[side], WIRE_NAME_BYTES);
        direction->class = class;
        pool.users[class]++;
        direction->port.fd = -1;
        direction->used = 1;
        memset(direction->counters, 0, sizeof(*direction->counters));
        struct wish *wish = read_direction(from, &direction->stream, &number, answer);
        int error = wish ? port_open(&direction->port, name, &what) : answer->error;
        forget_wish(wish);
        struct epoll_event event = {.events = EPOLLIN,
                                    .data.u32 = (uint32_t)(direction - directions)};
        if (!error && epoll_ctl(events, EPOLL_CTL_ADD, direction->port.fd, &event)) {
            what = "watching it";
            error = errno;
        }
        if (error) {
            if (what) {
                answer->error = error;
                snprintf(answer->message, sizeof(answer->message), "%s: %s: %s", name, what,
                         strerror(error));
            }
            remove_direction(&pair[0]);
            remove_direction(&pair[1]);
            return error;
        }
    }
    return 0;
}

static int change(const struct wire_request *request, struct reading *from,
                  struct wire_answer *answer) {
    struct wish *wishes[2 * WIRE_MAX_LINKS];
    uint32_t numbers[2 * WIRE_MAX_LINKS], count = 0;

    // All of them or none.
    for (; count < request->directions; count++) {
        struct impair_stream tried;
        wishes[count] = read_direction(from, &tried, &numbers[count], answer);
        if (!wishes[count])
            break;
        impair_free(&tried);
        if (!directions[numbers[count]].used)
            refuse(answer, ENOENT, "there is no link of that number");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct direction *direction = &directions[numbers[i]];
        if (answer->error) {
            forget_wish(wishes[i]);
            continue;
        }
        forget_wish(direction->next);
        direction->next = wishes[i];
        direction->next_ns = request->at_ns ? request->at_ns : now_monotonic_ns();
    }
    return answer->error;
}

static void answer_emulator(int fd) {
    static char data[WIRE_REQUEST_BYTES];
    struct wire_answer answer = {0};
    struct wire_request request;
    ssize_t size = recv(fd, data, sizeof(data), MSG_DONTWAIT | MSG_TRUNC);

    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        exit(0);
    struct reading from = {data, data + size};
    const void *head = take(&from, 1, sizeof(request));
    if (!head || size > (ssize_t)sizeof(data)) {
        refuse(&answer, EMSGSIZE, "the request has no sensible size");
    } else {
        memcpy(&request, head, sizeof(request));
        if (request.directions > 2 * WIRE_MAX_LINKS)
            refuse(&answer, EINVAL, "the request makes no sense");
        else if (request.operation == WIRE_ADD)
            add_link(&request, &from, &answer);
        else if (request.operation == WIRE_CHANGE)
            change(&request, &from, &answer);
        else if (request.operation == WIRE_REMOVE && request.link < WIRE_MAX_LINKS) {
            remove_direction(&directions[2 * request.link]);
            remove_direction(&directions[2 * request.link + 1]);
        } else
            refuse(&answer, EINVAL, "there is no such operation");
    }
    (void)!send(fd, &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The loop -------------------------------------------------------------------------------------

// Wait until something comes, or it is nearly time to send what is due next: the rest is spun.
static int wait_for_events(struct epoll_event *found) {
    struct timespec longest = {.tv_sec = 1}, *wait = &longest;

    if (heap_count) {
        uint64_t now_ns = now_monotonic_ns(), due_ns = due_of(heap[0]);
        uint64_t left_ns = due_ns > now_ns + spin_ns ? due_ns - now_ns - spin_ns : 0;
        if (left_ns > PREPARE_NS && pool_prepare(&pool))
            left_ns = 0;
        if (left_ns < 1000000000)
            longest = (struct timespec){.tv_nsec = (long)left_ns};
    }
    while (!heap_count && pool_prepare(&pool))
        ;
    int count = epoll_pwait2(events, found, EVENTS, wait, NULL);
    return count < 0 ? 0 : count;
}

static _Noreturn void run(int control) {
    struct epoll_event found[EVENTS];
    uint64_t clock_ns = 0;

    for (;;) {
        int count = wait_for_events(found);
        for (int i = 0; i < count; i++) {
            uint32_t number = found[i].data.u32;
            if (number == CONTROL)
                answer_emulator(control);
            else if (directions[number].used)
                receive(&directions[number]);
        }
        uint64_t now_ns = now_monotonic_ns();
        while (heap_count && due_of(heap[0]) <= now_ns)
            send_due(heap[0], now_ns);
        if (now_ns - clock_ns > CLOCK_EVERY_NS) {
            port_follow_clock();
            clock_ns = now_ns;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: vnf-wire CONTROL_FD COUNTERS_FD SPIN_NS REALTIME MEMORY_BYTES\n");
        return 2;
    }
    int control = atoi(argv[1]), shared = atoi(argv[2]);
    uint64_t bytes = 2ULL * WIRE_MAX_LINKS * sizeof(struct wire_counters);
    struct wire_counters *counters =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);

    spin_ns = strtoull(argv[3], NULL, 10);
    pool.most_bytes = strtoull(argv[5], NULL, 10);
    if (counters == MAP_FAILED) {
        perror("vnf-wire: the memory of the counters");
        return 1;
    }
    for (int i = 0; i < 2 * WIRE_MAX_LINKS; i++) {
        directions[i].counters = &counters[i];
        directions[i].heap = NEVER_IN_HEAP;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param parameters = {.sched_priority = REALTIME_PRIORITY};
    if (atoi(argv[4]) && sched_setscheduler(0, SCHED_FIFO, &parameters))
        fprintf(stderr, "note: no real-time priority: %s\n", strerror(errno));
    events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = CONTROL};
    if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, control, &event)) {
        perror("vnf-wire: watching for requests");
        return 1;
    }
    port_follow_clock();
    run(control);
}
