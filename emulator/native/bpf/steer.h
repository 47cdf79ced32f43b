/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* What lies in the maps of steer.bpf.c; emulator/chains/bridges.py packs and unpacks it. */
#ifndef STEER_H
#define STEER_H

#include <linux/types.h>

#include "vnf_match.h"

#define STEER_RULES 64   /* of one port of a bridge */
#define STEER_LEGS  4096 /* of all chains of a lab */

/* The port leads to a VNF beside the bridge, by way of which the bridge must not hear itself. */
#define STEER_ASIDE 1

struct steer_rule {
    struct vnf_match match;
    __u32 out_ifindex;
    __u32 leg; /* where frames are counted; STEER_LEGS: nowhere */
};

/* Of one port, the first that matches first. */
struct steer_rules {
    __u32 count;
    __u32 flags;
    struct steer_rule rules[STEER_RULES];
};

struct steer_count {
    __u64 packets, bytes;
};

#endif
