/* The kernel mechanism: run the BPF generator in the kernel until the time is over. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

/* After the end of the schedule, for packets that are late but not too late. */
#define GRACE_NS PROBE_BEHIND_NS

/* How often the timekeeper looks whether sending has begun, and then insists that it end. */
#define TICK_NS (500 * NS_PER_US)

/* The same for whether all packets are sent, where there is no pace and so no time for the last. */
#define LOOK_NS (5000 * NS_PER_US)

struct timekeeper {
    const struct probe_schedule *schedule;
    struct probe_progress *progress;
    uint64_t duration_ns;
    pthread_t generator;
    atomic_bool over;
    atomic_bool noticed;
};

static void wake_up(int signal) {
    (void)signal;
}

static void await_end(const struct timekeeper *keeper, uint64_t end_ns) {
    const struct probe_schedule *schedule = keeper->schedule;
    uint64_t now;

    if (probe_has_pace(schedule)) {
        sleep_until(end_ns);
        return;
    }
    while ((now = now_ns()) < end_ns &&
           __atomic_load_n(&keeper->progress->next, __ATOMIC_RELAXED) < schedule->count)
        sleep_until(now + LOOK_NS < end_ns ? now + LOOK_NS : end_ns);
}

/*
 * The kernel needs about 10 ms before it first runs the program, so the program itself sets the
 * time of the start. From then on the timekeeper counts, and a signal ends the generator's call. It
 * comes again and again, in case one arrives between two calls.
 */
static void *keep_time(void *argument) {
    struct timekeeper *keeper = argument;
    uint64_t start_ns;

    while (!(start_ns = __atomic_load_n(&keeper->progress->start_ns, __ATOMIC_ACQUIRE)))
        sleep_until(now_ns() + TICK_NS);
    await_end(keeper, start_ns + keeper->duration_ns);
    atomic_store(&keeper->over, true);
    while (!atomic_load(&keeper->noticed)) {
        pthread_kill(keeper->generator, SIGUSR1);
        sleep_until(now_ns() + TICK_NS);
    }
    return NULL;
}

/* One call runs the program up to 2^32 times and takes about 25 ms to end. */
static int run_program(struct probe_block *block) {
    struct xdp_md context = {.data_end = block->frame_bytes};
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof(attributes));
    attributes.test.prog_fd = (__u32)block->program_fd;
    attributes.test.data_in = (__u64)(uintptr_t)block->frame;
    attributes.test.data_size_in = block->frame_bytes;
    attributes.test.ctx_in = (__u64)(uintptr_t)&context;
    attributes.test.ctx_size_in = sizeof(context);
    attributes.test.repeat = UINT32_MAX;
    attributes.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    attributes.test.batch_size = block->batch;
    return (int)syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes));
}

void generate(struct probe_block *block) {
    struct sigaction action = {.sa_handler = wake_up};
    struct probe_progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED, block->progress_fd, 0);
    struct timekeeper keeper = {
        .schedule = &block->schedule,
        .progress = progress,
        .duration_ns = block->duration_ns + (probe_has_pace(&block->schedule) ? GRACE_NS : 0),
        .generator = pthread_self(),
    };
    struct usage before;
    pthread_t thread;

    if (progress == MAP_FAILED)
        fail(block, PROBE_AT_MEMORY);
    if (sigaction(SIGUSR1, &action, NULL))
        fail(block, PROBE_AT_TIMER);
    errno = pthread_create(&thread, NULL, keep_time, &keeper);
    if (errno)
        fail(block, PROBE_AT_TIMER);
    stay_on_core(block);
    tell_ready(block);
    await_go(block);
    before = usage_now();
    while (!atomic_load(&keeper.over)) {
        if (run_program(block) && errno != EINTR)
            fail(block, PROBE_AT_RUN);
    }
    atomic_store(&keeper.noticed, true);
    pthread_join(thread, NULL);
    report_usage(block, &before);
    block->progress = *progress;
}
