// SPDX-License-Identifier: MIT
//
// What the emulator asks for.

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "wire_direction.h"

static uint64_t lives;

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

void answer_emulator(int fd) {
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
