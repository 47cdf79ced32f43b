/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* What lies in the maps of switch.bpf.c; emulator/switches/xdp_memory.py packs and unpacks it. */
#ifndef SWITCH_H
#define SWITCH_H

#include <linux/types.h>

#include "vnf_match.h"

#define SWITCH_SWITCHES 4096  /* of a lab */
#define SWITCH_INDICES  65536 /* numbers of interfaces in the fabric that can be ports */
#define SWITCH_RULES    128   /* of one switch */
#define SWITCH_LABELS   1024  /* that rules are counted under, of all its switches */

#define SWITCH_VLANS 4096

/* Flags of a port. */
#define SWITCH_VLAN_AWARE     1 /* its switch keeps VLANs apart; 0: tags are bytes like any other */
#define SWITCH_TAKES_UNTAGGED 2 /* frames without a tag belong to the VLAN `vlan` */
#define SWITCH_NO_LEARN       4 /* nothing is learnt from what comes in here */

struct switch_port {
    __u64 ageing_ns; /* for how long its switch believes what it has learnt */
    __u32 number;    /* its switch */
    __u32 slot;      /* where its counters are */
    __u16 vlan;
    __u16 flags;
    __u32 unused;
    __u64 tagged[SWITCH_VLANS / 64]; /* a bit for each VLAN whose frames have a tag here */
};

/* Of one port and CPU: plain increments are exact. */
struct switch_counters {
    __u64 rx_packets, rx_bytes;
    __u64 tx_packets, tx_bytes; /* handed over; a full queue at the far end loses some */
    __u64 flooded;              /* came in here and went out of all other ports */
    __u64 steered;              /* came in here and went where a rule says */
    __u64 moved;                /* came from an address that was behind another port until then */
    /* Came in here and went nowhere, because … */
    __u64 same_port; /* they are for somebody behind this very port */
    __u64 reserved;  /* they are for the next bridge alone: 01:80:c2:00:00:00 to :0f */
    __u64 vlan;      /* the port, or the one they would leave by, is not in their VLAN */
    __u64 malformed; /* they have no sender that could be */
};

struct switch_address {
    __u8 mac[6];
    __u16 vlan;
};

struct switch_place {
    __u64 port;    /* the interface's number, and above it the slot of its counters */
    __u64 seen_ns; /* CLOCK_MONOTONIC, as exact as a tick of the kernel */
};

/* The flow that a port saw last on a CPU, and where it went: most frames are of the same again. */
struct switch_flow {
    struct switch_address sender, target;
    __u64 generation; /* of what its switch knew then */
    __u64 looked_ns;
    __u64 port;
};

/* What a CPU keeps of a port. */
struct switch_share {
    struct switch_counters counters;
    struct switch_flow last;
};

#define SWITCH_RULE_LEARNS 1

/* Steering: what matches leaves by a port whatever has been learnt. */
struct switch_rule {
    struct vnf_match match;
    __u32 in_ifindex; /* 0: wherever it comes in */
    __u32 out_ifindex;
    __u32 out_slot;
    __u32 label;
    __u32 flags;
    __u32 unused;
};

struct switch_steered {
    __u64 packets, bytes;
};

#endif
