/* SPDX-License-Identifier: MIT */
/* The packet socket of one end of a link, from which frames are taken and to which they go. */
#ifndef WIRE_PORT_H
#define WIRE_PORT_H

#include <stdint.h>

#include "wire_queue.h"
#include "wire_ring.h"

enum { PORT_BATCH = 64 };

struct port {
    int fd;
    int out;   /* by which frames leave: the same, or one of their own */
    int index; /* of the interface */
    int group; /* to which a ring's socket can be added; 0: to none */
    int more;  /* frames may wait in `fd` that came before some of the ring */
    struct ring ring;
    uint64_t missed;
};

/* Open the socket of an interface; returns 0 or an errno, and in `what` what it was that failed. */
int port_open(struct port *port, const char *name, const char **what);

/* Each socket takes some 10 ms. */
void port_close(struct port *port);

/* A socket by which frames can leave, that nobody waits for: the kernel wakes none for it then. */
int port_open_out(int *out, int index, const char **what);

/*
 * Take frames that have come, at most PORT_BATCH, into slots, with the kernel's stamps of their
 * arrival on CLOCK_MONOTONIC. Returns how many; `more` says whether there may be others. `wanted`
 * is how many slots there are.
 */
uint32_t port_receive(struct port *port, struct slot **slots, uint64_t *arrivals_ns,
                      uint32_t wanted);

/* When a frame came that is stamped so by the kernel. */
uint64_t port_arrival_ns(uint64_t stamp_ns, uint64_t now_ns);

/* How many frames the kernel had no room for since it was asked last. */
uint64_t port_missed(const struct port *port);

/* Take note of an error, such as that the interface went down, or it would be told for ever. */
void port_forget_error(const struct port *port);

/* Send frames; returns how many the far end had no room for. */
uint32_t port_send(struct port *port, struct slot *const *slots, uint32_t count);

/* To be called now and then: the wall clock, by which the kernel stamps, may be set. */
void port_follow_clock(void);

uint64_t now_monotonic_ns(void);

#endif
