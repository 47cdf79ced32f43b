/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Hands the frames of a port to the XDP socket of its VNF (afxdp.c), which puts the socket into the
 * map itself. One object for each port. Until there is a socket, frames are dropped.
 *
 * VNF_TAP is defined in a program that takes the place of another one for a while to note when
 * packets arrive (tap.h).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef VNF_TAP
#include "tap_bpf.h"
const volatile __u32 tap_point;
#endif

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 1); /* the queues of a port: veth has one */
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

SEC("xdp") int to_socket(struct xdp_md *xdp) {
#ifdef VNF_TAP
    tap_note(tap_xdp_number(xdp), tap_point);
#endif
    return bpf_redirect_map(&sockets, xdp->rx_queue_index, XDP_DROP);
}

char vnf_license[] SEC("license") = "Dual MIT/GPL";
