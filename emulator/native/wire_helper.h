/* SPDX-License-Identifier: MIT */
/*
 * A thread for what the kernel takes its time over: it closes packet sockets and opens rings, which
 * has the caller wait for 10 ms and more, in which frames would be late.
 */
#ifndef WIRE_HELPER_H
#define WIRE_HELPER_H

#include <stdint.h>

#include "wire_port.h"

enum helper_task { HELPER_SPEED_UP = 1, HELPER_CLOSE = 2 };

struct helper_job {
    enum helper_task task;
    /* Who asks: what is made for a direction that is gone meanwhile is closed again. */
    uint32_t direction;
    uint64_t life;
    /* CLOSE: what. SPEED_UP: the port that is to get a ring, and, in the answer, has one. */
    struct port port;
    /* SPEED_UP: the interface by which frames leave, and, in the answer, a socket for it. */
    int far_index;
    int out;
    int error;
    const char *what; /* failed */
};

/* Start it; returns a descriptor that is readable when there are answers, or -1, with errno. */
int helper_start(void);

/* Ask for something without waiting; whether it could be asked. */
int helper_ask(const struct helper_job *job);

/* The next answer, to HELPER_SPEED_UP; whether there was one. */
int helper_answer(struct helper_job *job);

#endif
