/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Taps inside the kernel; see tap.h. */
#ifndef VNF_TAP_BPF_H
#define VNF_TAP_BPF_H

#include <bpf/bpf_helpers.h>

#include "tap.h"

/* The table; every program on the way uses the same one. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} tap_stamps SEC(".maps");

const volatile __u32 tap_flow;
/* Of each column. */
const volatile __u32 tap_places;

static __always_inline void tap_note(__u32 number, __u32 point) {
    if (number >= tap_places)
        return;
    __u32 place = point * tap_places + number;
    __u64 *stamp = bpf_map_lookup_elem(&tap_stamps, &place);
    if (stamp && !*stamp)
        *stamp = bpf_ktime_get_ns();
}

/*
 * Each time the frame's beginning and end are read anew: a compiler that keeps them for the VNF's
 * handler as the numbers of 32 bits that they are declared as hides from the verifier what they
 * are.
 */
static __always_inline __u32 tap_xdp_number(struct xdp_md *xdp) {
    asm volatile("" ::: "memory");
    __u32 number = tap_number((void *)(long)xdp->data, (void *)(long)xdp->data_end, tap_flow);
    asm volatile("" ::: "memory");
    return number;
}

#endif
