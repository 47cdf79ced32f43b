/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF as XDP programs, one per port, in the driver's receive path of the node's interfaces.
 *
 * VNF_SOURCE is the VNF's vnf.c. VNF_FRAGMENTS is defined when an interface's MTU is too large for
 * a frame to fit one page, and VNF_TAP in a program that takes the place of another one for a while
 * to note when packets pass (tap.h).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "vnf.h"
#include "counters.h"
/* The hooks of vnf.h are for user space: the kernel calls handle(). */
#pragma GCC poison VNF_BURST VNF_IDLE VNF_START
#include VNF_SOURCE

#ifdef VNF_FRAGMENTS
#define VNF_SECTION "xdp.frags"
#else
#define VNF_SECTION "xdp"
#endif

/* All ports in one value: a frame costs one lookup, though it is counted on two of them. */
struct all_counters {
    struct port_counters port[VNF_MAX_PORTS];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct all_counters);
} counters SEC(".maps");

/* Where VNF_FLOOD goes: the interfaces of all ports. */
struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, VNF_MAX_PORTS);
    __type(key, __u32);
    __type(value, __u32);
} all_ports SEC(".maps");

/* Set before loading, so that the verifier compiles them in as constants. */
const volatile __u32 port_count;
const volatile __u32 port_ifindex[VNF_MAX_PORTS];

#ifdef VNF_TAP
#include "tap_bpf.h"
const volatile __u32 tap_in_point;
const volatile __u32 tap_out_point;
const volatile __u32 tap_out_port;

static __always_inline __u32 tap_in(struct xdp_md *xdp) {
    __u32 number = tap_xdp_number(xdp);
    tap_note(number, tap_in_point);
    return number;
}

/* A handler may have made the packet unreadable, or readable again. */
static __always_inline void tap_out(struct xdp_md *xdp, __u32 number, __u32 port) {
    if (port == tap_out_port)
        tap_note(number == TAP_NONE ? tap_xdp_number(xdp) : number, tap_out_point);
}
#else
static __always_inline __u32 tap_in(struct xdp_md *xdp) {
    return 0;
}

static __always_inline void tap_out(struct xdp_md *xdp, __u32 number, __u32 port) {}
#endif

struct vnf_config config_settings[2] VNF_LIVE;
__u32 active_bank VNF_LIVE;

#ifdef VNF_STATE
struct {
    VNF_STATE of;
} __attribute__((aligned(64))) state[VNF_MAX_PORTS];
#define STATE_OF(port) (&state[port].of)
#else
#define STATE_OF(port) ((void *)0)
#endif

static __always_inline __u32 length_of(struct xdp_md *xdp) {
#ifdef VNF_FRAGMENTS
    return bpf_xdp_get_buff_len(xdp);
#else
    return xdp->data_end - xdp->data;
#endif
}

static __always_inline int run(struct xdp_md *xdp, __u32 port) {
    __u32 zero = 0;
    struct all_counters *all = bpf_map_lookup_elem(&counters, &zero);
    if (!all)
        return XDP_ABORTED;

    __u32 number = tap_in(xdp);
    struct port_counters *in = &all->port[port];
    __u32 bank = *(volatile __u32 *)&active_bank & 1;
    struct vnf_ctx ctx = {
        .config = &config_settings[bank],
        .state = STATE_OF(port),
        .counters = &in->own,
        .ports = port_count,
        .port = port,
        .length = length_of(xdp),
        .bank = bank,
        .frame = xdp,
    };
    in->rx_packets++;
    in->rx_bytes += ctx.length;

    int verdict = handle(&ctx, (void *)(long)xdp->data, (void *)(long)xdp->data_end, port);
    __u32 out = (__u32)verdict - VNF_FORWARD_BASE;
    if (out < port_count && out < VNF_MAX_PORTS) {
        all->port[out].tx_packets++;
        all->port[out].tx_bytes += length_of(xdp);
        tap_out(xdp, number, out);
        return bpf_redirect(port_ifindex[out], 0);
    }
    if (verdict == VNF_BACK) {
        in->back_packets++;
        in->tx_packets++;
        in->tx_bytes += length_of(xdp);
        /* With XDP_TX, veth wakes its peer only if that runs XDP too: the frame would lie there. */
        return bpf_redirect(port_ifindex[port], 0);
    }
    if (verdict == VNF_FLOOD) {
#pragma clang loop unroll(full)
        for (__u32 other = 0; other < VNF_MAX_PORTS; other++) {
            if (other == port || other >= port_count)
                continue;
            all->port[other].tx_packets++;
            all->port[other].tx_bytes += length_of(xdp);
            tap_out(xdp, number, other);
        }
        return bpf_redirect_map(&all_ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
    }
    if (verdict == VNF_TO_HOST) {
        in->to_host_packets++;
        return XDP_PASS;
    }
    in->dropped_packets++;
    in->no_port_packets += verdict >= VNF_FORWARD_BASE;
    return XDP_DROP;
}

#define PORT(number)                                                                               \
    SEC(VNF_SECTION) int port##number(struct xdp_md *xdp) {                                        \
        return run(xdp, number);                                                                   \
    }

PORT(0)
PORT(1)
PORT(2)
PORT(3)
PORT(4)
PORT(5)
PORT(6)
PORT(7)

char vnf_license[] SEC("license") = "Dual MIT/GPL";
