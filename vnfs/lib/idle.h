/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What a polling loop does while no frame comes.
 *
 *     poll                 looks again at once: the least latency, and a core that is never free
 *     yield                lets others run first (sched_yield)
 *     wait                 sleeps until a frame comes (poll)
 *     sleep=NS             sleeps that long
 *     spin=NS,THEN         looks again at once for so long after the last frame, then does THEN;
 *                          where frames come at longer gaps than that, does THEN at once
 */
#ifndef VNF_IDLE_H
#define VNF_IDLE_H

#define IDLE_CONTROL_NS 1000000ULL /* how long a request may have to wait at most */
#define IDLE_WAIT_NS    100000000ULL

static struct {
    enum { IDLE_POLL, IDLE_YIELD, IDLE_WAIT, IDLE_SLEEP } then;
    __u64 spin_ns;
    __u64 sleep_ns;
    __u64 idle_since_ns; /* 0: a frame came just now */
    __u64 ran_out_ns;    /* when there was no more frame, the last time */
    __u64 spin_until_ns;
    __u64 control_due_ns;
    __u32 busy_rounds;
    __u32 ran_out_round; /* busy_rounds at that time */
} idle = {.then = IDLE_WAIT, .spin_ns = 20000};

static __always_inline void idle_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void idle_options(char *text) {
    idle.spin_ns = 0;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        if (!strncmp(word, "spin=", 5)) {
            idle.spin_ns = strtoull(word + 5, NULL, 10);
        } else if (!strncmp(word, "sleep=", 6)) {
            idle.then = IDLE_SLEEP;
            idle.sleep_ns = strtoull(word + 6, NULL, 10);
            prctl(PR_SET_TIMERSLACK, 1UL);
        } else if (!strcmp(word, "poll")) {
            idle.then = IDLE_POLL;
        } else if (!strcmp(word, "yield")) {
            idle.then = IDLE_YIELD;
        } else if (!strcmp(word, "wait")) {
            idle.then = IDLE_WAIT;
        } else {
            vnf_fail(EXIT_USAGE, NULL, "there is no idle policy %s", word);
        }
    }
}

/* The control plane gets its turn even when frames never stop. */
static __always_inline void idle_after_work(void) {
    idle.idle_since_ns = 0;
    if (++idle.busy_rounds % 256)
        return;
    __u64 now_ns = vnf_monotonic_ns();
    if (now_ns >= idle.control_due_ns) {
        control_serve();
        idle.control_due_ns = now_ns + IDLE_CONTROL_NS;
    }
}

static int idle_poll(struct pollfd *fds, __u32 count, __u64 time_ns) {
    struct timespec timeout = {(time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000)};
    return ppoll(fds, count, &timeout, NULL);
}

static void idle_sleep(__u64 time_ns) {
    struct pollfd fds[CONTROL_CLIENTS + 1];
    if (idle_poll(fds, control_wait(fds), time_ns) > 0)
        control_serve();
}

static void idle_wait(__u64 time_ns) {
    struct pollfd fds[CONTROL_CLIENTS + 1 + VNF_MAX_PORTS];
    __u32 count = control_wait(fds);
    __u32 all = count + port_wait(fds + count);
    if (idle_poll(fds, all, time_ns) <= 0)
        return;
    for (__u32 i = 0; i < count; i++)
        if (fds[i].revents) {
            control_serve();
            return;
        }
}

/*
 * To look on for a frame that is not to be expected would only keep others from the core: first of
 * all whoever was woken up by the frame that was just sent.
 */
static void idle_begin(__u64 now_ns) {
    __u32 rounds = idle.busy_rounds - idle.ran_out_round;
    int close = now_ns - idle.ran_out_ns < idle.spin_ns * rounds;
    idle.idle_since_ns = now_ns;
    idle.spin_until_ns = close ? now_ns + idle.spin_ns : now_ns;
    idle.ran_out_ns = now_ns;
    idle.ran_out_round = idle.busy_rounds;
}

static void idle_step(void) {
    __u64 now_ns = vnf_monotonic_ns(), longest_ns = IDLE_WAIT_NS;
#ifdef VNF_IDLE
    __u64 again_ns = vnf_ask_idle();
    if (again_ns < longest_ns)
        longest_ns = again_ns;
#endif
    if (!idle.idle_since_ns)
        idle_begin(now_ns);
    if (now_ns >= idle.control_due_ns) {
        control_serve();
        idle.control_due_ns = now_ns + IDLE_CONTROL_NS;
    }
    if (now_ns < idle.spin_until_ns || idle.then == IDLE_POLL)
        idle_relax();
    else if (idle.then == IDLE_YIELD)
        sched_yield();
    else if (idle.then == IDLE_SLEEP)
        idle_sleep(idle.sleep_ns < longest_ns ? idle.sleep_ns : longest_ns);
    else
        idle_wait(longest_ns);
}

#endif
