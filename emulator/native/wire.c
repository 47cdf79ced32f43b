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

#include "wire_direction.h"
#include "wire_helper.h"

enum {
    EVENTS = 64,
    CLOCK_EVERY_NS = 1000000000,
    // So much time there has to be before memory is asked for.
    PREPARE_NS = 3000000,
    // Of the emulator's socket and the helper's, in place of a direction's number.
    CONTROL = 2 * WIRE_MAX_LINKS,
    HELPER,
    // Sent at once: receiving and sending take turns, since what waits in the kernel is lost when
    // there is too much of it, and what waits here is late at worst.
    BATCHES_OUT = 4,
    REALTIME_PRIORITY = 1,
};

static uint64_t spin_ns;

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
    struct direction *next;

    for (int i = 0; i < BATCHES_OUT && (next = heap_first()) && due_of(next) <= now_ns; i++)
        send_batch(next, now_ns);
    return now_ns;
}

// Wait until something comes, or it is nearly time to send what is due next: the rest is spun.
static int wait_for_events(struct epoll_event *found) {
    struct timespec longest = {.tv_sec = 1}, *wait = &longest;
    const struct direction *next = heap_first();

    if (next) {
        uint64_t now_ns = now_monotonic_ns(), due_ns = due_of(next);
        uint64_t left_ns = due_ns > now_ns + spin_ns ? due_ns - now_ns - spin_ns : 0;
        if (left_ns > PREPARE_NS && pool_prepare(&pool))
            left_ns = 0;
        if (left_ns < 1000000000)
            longest = (struct timespec){.tv_nsec = (long)left_ns};
    }
    while (!next && pool_prepare(&pool))
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
