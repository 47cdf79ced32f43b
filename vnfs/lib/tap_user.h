/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Taps in a process; see tap.h. The emulator hands over the table and says what to note by a
 * request of control.h, and it is noted for as long as the connection lasts that the request came
 * by: an emulator that dies leaves no tap behind.
 */
#ifndef VNF_TAP_USER_H
#define VNF_TAP_USER_H

#include "tap.h"

/* What the emulator asks for; a point is the number of a column. */
struct tap_request {
    __u64 bytes; /* of the table */
    __u32 flow;
    __u32 places; /* of a column */
    __u32 in_port;
    __u32 out_port;
    __u32 arrived; /* the kernel had it; TAP_NONE where the data plane does not know when */
    __u32 taken;   /* we had it */
    __u32 sent;    /* we gave it to the port that it leaves by */
};

static struct {
    __u64 *table; /* NULL: nothing is noted */
    struct tap_request what;
    int client; /* the connection that asked for it */
    __s64 real_ahead_ns;
} tap;

#define TAP_CLOCK_TRIES 16

static __u64 tap_real_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

/* By how much CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: looked at until nothing comes between. */
static __s64 tap_real_ahead_ns(void) {
    __u64 least = ~0ULL;
    __s64 ahead = 0;
    for (int i = 0; i < TAP_CLOCK_TRIES; i++) {
        __u64 before = vnf_monotonic_ns(), real = tap_real_ns(), after = vnf_monotonic_ns();
        if (after - before < least) {
            least = after - before;
            ahead = (__s64)(real - before - least / 2);
        }
    }
    return ahead;
}

static void tap_end(int client) {
    if (!tap.table || tap.client != client)
        return;
    munmap(tap.table, tap.what.bytes);
    tap.table = NULL;
}

/* Returns 0 or a negative errno. */
static __s32 tap_begin(const struct tap_request *request, int fd, int client) {
    const __u32 points[] = {request->arrived, request->taken, request->sent};
    if (tap.table)
        return -EBUSY;
    if (!request->places)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        if (points[i] != TAP_NONE &&
            (1 + (__u64)points[i]) * request->places > request->bytes / sizeof(*tap.table))
            return -EINVAL;
    void *table = mmap(NULL, request->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (table == MAP_FAILED)
        return -errno;
    tap.what = *request;
    tap.client = client;
    tap.real_ahead_ns = tap_real_ahead_ns();
    tap.table = table;
    return 0;
}

static void tap_note(__u32 point, __u32 number, __u64 now_ns) {
    __u64 *stamp = &tap.table[(__u64)point * tap.what.places + number];
    if (!*stamp)
        *stamp = now_ns;
}

/* Frames that a port has received just now. */
static void tap_taken(__u32 port, const struct vnf_packet *packets, __u32 count) {
    __u64 now_ns = vnf_monotonic_ns();
    if (port != tap.what.in_port)
        return;
    for (__u32 i = 0; i < count; i++) {
        __u32 number = tap_number(packets[i].data, packets[i].end, tap.what.flow);
        if (number >= tap.what.places)
            continue;
        tap_note(tap.what.taken, number, now_ns);
#ifdef PORT_ARRIVAL
        if (tap.what.arrived != TAP_NONE)
            tap_note(tap.what.arrived, number,
                     port_arrival_real_ns(&packets[i]) - (__u64)tap.real_ahead_ns);
#endif
    }
}

/* Frames that a port is about to send: once it has begun, the far end may have them before us. */
static void tap_sent(__u32 port, const struct vnf_packet *packets, __u32 count) {
    __u64 now_ns = vnf_monotonic_ns();
    if (port != tap.what.out_port)
        return;
    for (__u32 i = 0; i < count; i++) {
        __u32 number = tap_number(packets[i].data, packets[i].end, tap.what.flow);
        if (number < tap.what.places)
            tap_note(tap.what.sent, number, now_ns);
    }
}

#endif
