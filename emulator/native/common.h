/* What the parts of vnf-probe share; they all work on one block of memory. */
#ifndef COMMON_H
#define COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "probe.h"

#define NS_PER_S  1000000000ULL
#define NS_PER_US 1000ULL

uint64_t now_ns(void);

/* Sleep until an absolute time; returns early when a signal comes. */
void sleep_until(uint64_t when_ns);

/* End now, saying in the report which step failed; errno says why. */
noreturn void fail(struct probe_block *block, enum probe_stage stage);

/* Map so much shared memory, with every page in place: a page fault would look like latency. */
void *map_memory(struct probe_block *block, int fd, size_t bytes);

/* Keep the calling thread on the block's core, if it names one. */
void stay_on_core(struct probe_block *block);

void tell_ready(struct probe_block *block);

/* Wait until the emulator has a sender begin. */
void await_go(struct probe_block *block);

/* What the thread has used so far, to be taken before and after sending. */
struct usage {
    uint64_t cpu_ns;
    uint64_t wait_ns;
};

struct usage usage_now(void);
void report_usage(struct probe_block *block, const struct usage *before);

/* An AF_PACKET socket on the block's interface; receiving, it gets this trial's packets only. */
int open_packet_socket(struct probe_block *block, int receiving);

/* Keep the kernel from answering each received packet with "port unreachable". */
void keep_port_quiet(struct probe_block *block);

/* The roles. */
void generate(struct probe_block *block);
void send_packets(struct probe_block *block);
void receive_packets(struct probe_block *block);

#endif
