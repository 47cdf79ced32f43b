/*
 * vnf-probe: sends and receives the probe's packets inside the namespace it is started in.
 *
 * It is run by the emulator, with the descriptor of a struct probe_block as its only argument. It
 * reads what to do from the block, and reports into it; it writes no text except when the block is
 * not to be had. It ends with the emulator: its lifeline's other end closes, and SIGIO kills it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

/* How often a sender looks whether it is to begin. */
#define LOOK_NS (100 * NS_PER_US)

uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t when_ns) {
    struct timespec when = {
        .tv_sec = (time_t)(when_ns / NS_PER_S),
        .tv_nsec = (long)(when_ns % NS_PER_S),
    };

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

noreturn void fail(struct probe_block *block, enum probe_stage stage) {
    block->stage = stage;
    block->error = errno;
    exit(EXIT_FAILURE);
}

void *map_memory(struct probe_block *block, int fd, size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

    if (memory == MAP_FAILED)
        fail(block, PROBE_AT_MEMORY);
    return memory;
}

void tell_ready(struct probe_block *block) {
    if (write(block->lifeline_fd, "", 1) != 1)
        fail(block, PROBE_AT_LIFELINE);
}

void await_go(struct probe_block *block) {
    while (!__atomic_load_n(&block->go, __ATOMIC_ACQUIRE))
        sleep_until(now_ns() + LOOK_NS);
}

struct usage usage_now(void) {
    struct usage usage = {0};
    struct timespec cpu;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    unsigned long long wait;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    usage.cpu_ns = (uint64_t)cpu.tv_sec * NS_PER_S + (uint64_t)cpu.tv_nsec;
    if (file) {
        if (fscanf(file, "%*u %llu", &wait) == 1)
            usage.wait_ns = wait;
        fclose(file);
    }
    return usage;
}

void report_usage(struct probe_block *block, const struct usage *before) {
    struct usage after = usage_now();

    block->ended_ns = now_ns();
    block->cpu_ns = after.cpu_ns - before->cpu_ns;
    block->wait_ns = after.wait_ns - before->wait_ns;
}

/* Have the kernel kill us when the emulator closes its end, by dying or because it is interrupted.
 */
static void hold_on_to_emulator(struct probe_block *block) {
    int fd = block->lifeline_fd;
    struct pollfd end = {.fd = fd, .events = POLLIN};

    if (fcntl(fd, F_SETOWN, getpid()) || fcntl(fd, F_SETFL, O_ASYNC))
        fail(block, PROBE_AT_LIFELINE);
    if (poll(&end, 1, 0)) {
        errno = EPIPE;
        fail(block, PROBE_AT_LIFELINE);
    }
}

void stay_on_core(struct probe_block *block) {
    cpu_set_t set;

    if (block->core < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(block->core, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        fail(block, PROBE_AT_CORE);
}

static struct probe_block *map_block(const char *argument) {
    char *rest;
    long fd = strtol(argument, &rest, 10);
    struct stat status;
    struct probe_block *block;

    if (*rest || fstat((int)fd, &status) || status.st_size < (off_t)sizeof(*block))
        return NULL;
    block = mmap(NULL, sizeof(*block), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    if (block == MAP_FAILED)
        return NULL;
    if (block->magic != PROBE_BLOCK_MAGIC || block->version != PROBE_VERSION ||
        block->bytes != sizeof(*block))
        return NULL;
    return block;
}

int main(int argc, char **argv) {
    struct probe_block *block = argc == 2 ? map_block(argv[1]) : NULL;

    if (!block) {
        fputs("vnf-probe: this is run by the emulator, with a block of memory of the same version; "
              "after an update, build the native parts again\n",
              stderr);
        return 2;
    }
    hold_on_to_emulator(block);
    switch (block->role) {
    case PROBE_GENERATE:
        generate(block);
        break;
    case PROBE_SEND:
        send_packets(block);
        break;
    case PROBE_RECEIVE:
    case PROBE_REFLECT:
        receive_packets(block);
        break;
    default:
        errno = EINVAL;
        fail(block, PROBE_AT_START);
    }
    return EXIT_SUCCESS;
}
