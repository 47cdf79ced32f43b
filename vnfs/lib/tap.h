/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Taps: points on a packet's way where it is noted when the packet passes.
 *
 * The times go into a table in memory that the emulator maps too: for each point a column with a
 * place for each number that a packet of the probe can have, CLOCK_MONOTONIC in ns, 0 while the
 * packet has not been there. Of several copies of a packet the first one counts. The emulator
 * makes the table and says which column is whose (emulator/dataplane/taps.py); nothing is noted,
 * nor looked for, unless it has asked for that.
 */
#ifndef VNF_TAP_H
#define VNF_TAP_H

#include <linux/types.h>

/* The probe's stamp inside a packet, as in emulator/native/probe.h. */
#define TAP_STAMP_OFFSET 42
#define TAP_SEQ_OFFSET   46
#define TAP_HEAD_BYTES   60
#define TAP_STAMP_MAGIC  0x564e

/* What a frame says that is none of the probe's packets. */
#define TAP_NONE 0xffffffffU

/* See VNF_ANYWHERE in vnf.h. */
#ifdef __bpf__
typedef __u32 __attribute__((may_alias)) tap_word;
#else
typedef __u32 __attribute__((aligned(1), may_alias)) tap_word;
#endif

/* The number of a packet of the flow that is looked for; TAP_NONE for everything else. */
static inline __attribute__((always_inline)) __u32 tap_number(const __u8 *frame, const __u8 *end,
                                                              __u32 flow) {
    /* UDP over IPv4 without options. */
    if (frame + TAP_HEAD_BYTES > end || frame[12] != 0x08 || frame[13] || frame[14] != 0x45 ||
        frame[23] != 17)
        return TAP_NONE;
    if (*(const tap_word *)(frame + TAP_STAMP_OFFSET) != (TAP_STAMP_MAGIC | flow << 16))
        return TAP_NONE;
    return *(const tap_word *)(frame + TAP_SEQ_OFFSET);
}

#endif
