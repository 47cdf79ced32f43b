/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The contract between a VNF and the data plane that runs it.
 *
 * A VNF is one C file, vnf.c, that includes this header and defines
 *
 *     static __always_inline int handle(struct vnf_ctx *ctx, void *data, void *end, __u32 port)
 *
 * It is called once per frame, with the frame's first byte (of the Ethernet header), the byte after
 * its last one, and the number of the port it came in by, and returns one of the verdicts below.
 * It may change the frame in place.
 *
 * The same file is compiled for every data plane, so it keeps to what the strictest one, the
 * kernel's BPF verifier, accepts: every access is checked against `end` first, loops have a
 * constant bound, nothing is called that this header does not offer, and nothing is remembered but
 * in `state`.
 */
#ifndef VNF_H
#define VNF_H

#include <linux/types.h>

/* Generated from vnf.toml: struct vnf_config, a field per parameter; struct vnf_counters likewise.
 */
#include "vnf_config.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif

#define VNF_MAX_PORTS 8

/* Verdicts. Anything else drops the frame, as does a port that the VNF does not have. */
#define VNF_DROP          0
#define VNF_BACK          1 /* out of the port it came in by */
#define VNF_TO_HOST       2 /* to the network stack of the VNF's own node */
#define VNF_FORWARD(port) (VNF_FORWARD_BASE + (int)(port))
#define VNF_FORWARD_BASE  16

struct vnf_ctx {
    /* The parameters the user gave; they do not change while the VNF runs. */
    const struct vnf_config *config;
    /*
     * This port's memory: a zeroed VNF_STATE, if vnf.c defines that as a type after including this
     * header, else NULL. Several CPUs may hold frames of one port at once: see vnf_next().
     */
    void *state;
    /* The counters that vnf.toml declares, of this port and CPU: plain increments are exact. */
    struct vnf_counters *counters;
    __u32 ports;
    /* All bytes of the frame; more than end - data when a jumbo frame lies in several pieces. */
    __u32 length;
};

/* The other port of a VNF with two. */
static __always_inline __u32 vnf_peer(__u32 port) {
    return port ^ 1;
}

/* Add one to a number in `state` and return the sum, each caller a different one. */
static __always_inline __u64 vnf_next(__u64 *number) {
    return __sync_fetch_and_add(number, 1) + 1;
}

#endif
