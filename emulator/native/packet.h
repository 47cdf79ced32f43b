/* The few things about an Ethernet frame with UDP over IPv4 that BPF and user space both need. */
#ifndef PACKET_H
#define PACKET_H

#include <linux/types.h>

#define PACKET_ETHERTYPE      12
#define PACKET_IP             14
#define PACKET_IP_LENGTH      16
#define PACKET_IP_PROTOCOL    23
#define PACKET_IP_CHECKSUM    24
#define PACKET_IP_SOURCE      26
#define PACKET_IP_DESTINATION 30
#define PACKET_UDP_SOURCE     34
#define PACKET_UDP_TARGET     36
#define PACKET_UDP_LENGTH     38

/* IPv4 without options: what the probe sends. */
static inline int packet_is_udp(const __u8 *frame) {
    return frame[PACKET_ETHERTYPE] == 0x08 && frame[PACKET_ETHERTYPE + 1] == 0x00 &&
           frame[PACKET_IP] == 0x45 && frame[PACKET_IP_PROTOCOL] == 17;
}

static inline void packet_swap(__u8 *frame, int one, int other, int bytes) {
    for (int i = 0; i < bytes; i++) {
        __u8 kept = frame[one + i];
        frame[one + i] = frame[other + i];
        frame[other + i] = kept;
    }
}

/* Address a frame to its sender. Swapping leaves the checksums as they are. */
static inline void packet_turn_round(__u8 *frame) {
    packet_swap(frame, 0, 6, 6);
    packet_swap(frame, PACKET_IP_SOURCE, PACKET_IP_DESTINATION, 4);
    packet_swap(frame, PACKET_UDP_SOURCE, PACKET_UDP_TARGET, 2);
}

#endif
