/* SPDX-License-Identifier: MIT */
/* The packet socket of one end of a link, from which frames are taken and to which they go. */
#ifndef WIRE_PORT_H
#define WIRE_PORT_H

#include <stdint.h>

#include "wire_queue.h"

enum { PORT_BATCH = 64 };

struct port {
    int fd;
    int index; /* of the interface, for messages */
    uint64_t missed;
};

/* Open the socket of an interface; returns 0 or an errno, and in `what` what it was that failed. */
int port_open(struct port *port, const char *name, const char **what);
void port_close(struct port *port);

/*
 * Take frames that have come, at most PORT_BATCH, into slots, with the kernel's stamps of their
 * arrival on CLOCK_MONOTONIC. Returns how many; those the kernel had no room for are added to
 * `missed`. `wanted` is how many slots there are.
 */
uint32_t port_receive(struct port *port, struct slot **slots, uint64_t *arrivals_ns,
                      uint32_t wanted);

/* Send frames; returns how many the far end had no room for. */
uint32_t port_send(struct port *port, struct slot *const *slots, uint32_t count);

/* To be called now and then: the wall clock, by which the kernel stamps, may be set. */
void port_follow_clock(void);

uint64_t now_monotonic_ns(void);

#endif
