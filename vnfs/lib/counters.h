/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What is counted of each port, on every data plane. */
#ifndef VNF_COUNTERS_H
#define VNF_COUNTERS_H

/* The emulator reads it in this order: FIXED_COUNTERS, then what the manifest declares. */
struct port_counters {
    __u64 rx_packets;
    __u64 rx_bytes;
    __u64 tx_packets;
    __u64 tx_bytes;
    __u64 dropped_packets;
    __u64 back_packets;
    __u64 to_host_packets;
    __u64 unsent_packets;
    __u64 no_port_packets; /* of those dropped, for a port that the VNF does not have */
    struct vnf_counters own;
};

#endif
