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
// memory for the counters of WIRE_MAX_LINKS links, and more, see wire.h.

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
#include "wire_helper.h"
#include "wire_port.h"
#include "wire_queue.h"

enum {
    EVENTS = 64,
    NEVER_IN_HEAP = -1,
    CLOCK_EVERY_NS = 1000000000,
    // So much time there has to be before memory is asked for.
    PREPARE_NS = 3000000,
    // Of the emulator's socket and the helper's, in place of a direction's number.
    CONTROL = 2 * WIRE_MAX_LINKS,
    HELPER,
    // Beside a direction's number: it is the socket that has something, not the ring.
    FROM_SOCKET = 1 << 30,
    // Taken from a ring at once, from a socket when it is behind, and sent, in turns: what waits in
    // the kernel is lost when there is too much of it, what waits here is late at worst.
    RING_AT_ONCE = 256,
    BATCHES_IN = 8,
    BATCHES_OUT = 4,
    // A port that the kernel has so many full batches for in so short a time gets a ring.
    BUSY_BATCHES = 8,
    BUSY_NS = 1000000000,
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
    uint64_t life; // another one each time it is made
    uint64_t busy_since_ns;
    uint32_t busy_batches;
    int ring_wanted; // it has a ring, or has been refused one
    uint32_t longest_bytes;
};

static struct direction directions[2 * WIRE_MAX_LINKS];
static struct direction *heap[2 * WIRE_MAX_LINKS];
static int heap_count;
static struct pool pool;
static uint64_t arrivals, lives;
static uint64_t spin_ns;
static struct wire_state *state;
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

static void close_port(struct port *port) {
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

static void take_ring(void) {
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

static void receive(struct direction *direction) {
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

// And out ---------------------------------------------------------------------------------------

static void send_batch(struct direction *direction, uint64_t now_ns) {
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

// What is due, or some of it; returns what time it was.
static uint64_t send_due(void) {
    uint64_t now_ns = now_monotonic_ns();

    for (int i = 0; i < BATCHES_OUT && heap_count && due_of(heap[0]) <= now_ns; i++)
        send_batch(heap[0], now_ns);
    return now_ns;
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
    if (direction->port.ring.memory)
        pool.taken_bytes -= RING_BYTES;
    close_port(&direction->port);
    impair_free(&direction->stream);
    forget_wish(direction->next);
    *direction = (struct direction){.heap = NEVER_IN_HEAP, .counters = direction->counters};
}

static int add_link(const struct wire_request *request, struct reading *from,
                    struct wire_answer *answer) {
    // Two VLAN tags, of which one is put back here.
    uint32_t longest_bytes = request->mtu_bytes + FRAME_HEADER_BYTES + 2 * FRAME_TAG_BYTES;
    int class = pool_class(longest_bytes);

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
        direction->port = (struct port){.fd = -1, .out = -1, .ring = {.fd = -1}};
        direction->longest_bytes = longest_bytes;
        direction->life = ++lives;
        direction->used = 1;
        memset(direction->counters, 0, sizeof(*direction->counters));
        struct wish *wish = read_direction(from, &direction->stream, &number, answer);
        int error = wish ? port_open(&direction->port, name, &what) : answer->error;
        forget_wish(wish);
        struct epoll_event event = {.events = EPOLLIN,
                                    .data.u32 = (uint32_t)(direction - directions) | FROM_SOCKET};
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
            uint32_t number = found[i].data.u32 & ~(uint32_t)FROM_SOCKET;
            if (number == CONTROL) {
                answer_emulator(control);
            } else if (number == HELPER) {
                take_ring();
            } else if (directions[number].used) {
                directions[number].port.more |= (found[i].data.u32 & FROM_SOCKET) != 0;
                if (found[i].events & EPOLLERR)
                    port_forget_error(&directions[number].port);
                receive(&directions[number]);
                send_due();
            }
        }
        uint64_t now_ns = send_due();
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
    uint64_t bytes =
        2ULL * WIRE_MAX_LINKS * sizeof(struct wire_counters) + sizeof(struct wire_state);
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
    state = (struct wire_state *)&counters[2 * WIRE_MAX_LINKS];
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param parameters = {.sched_priority = REALTIME_PRIORITY};
    if (atoi(argv[4]) && sched_setscheduler(0, SCHED_FIFO, &parameters)) {
        state->realtime_errno = (uint64_t)errno;
        fprintf(stderr, "note: no real-time priority: %s\n", strerror(errno));
    }
    // With the same priority: what it holds in the kernel meanwhile, this thread may have to wait
    // for.
    int helper = helper_start();
    events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event requests = {.events = EPOLLIN, .data.u32 = CONTROL};
    struct epoll_event answers = {.events = EPOLLIN, .data.u32 = HELPER};
    if (helper < 0 || events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, control, &requests) ||
        epoll_ctl(events, EPOLL_CTL_ADD, helper, &answers)) {
        perror("vnf-wire: starting");
        return 1;
    }
    port_follow_clock();
    run(control);
}
