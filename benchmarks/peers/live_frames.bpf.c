// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The least that makes packets inside the kernel and takes them: no schedule, no stamps, no counts.
 * BPF_PROG_TEST_RUN with live frames calls `make`; whatever a generator does besides costs more.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 ifindex;

SEC("xdp")
int make(struct xdp_md *context) {
    return bpf_redirect(ifindex, 0);
}

SEC("xdp")
int take(struct xdp_md *context) {
    return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
