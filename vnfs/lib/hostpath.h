/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The way of a frame from a VNF process into its node's own network stack.
 *
 * The process writes the frame into a TAP device; tohost.bpf.c has it come in again by the port it
 * once came by, marked, so that whatever watches the port can tell it from what the link brings.
 */
#ifndef VNF_HOSTPATH_H
#define VNF_HOSTPATH_H

#define VNF_HOST_MARK 0x766e6621

#ifndef __bpf__
#include <linux/filter.h>
#include <sys/socket.h>

/*
 * Have a packet socket not see the frames that go to the node's stack, nor those that the stack
 * sends; 0 or -1 with errno. Sockets in a fanout group have no other way not to see the latter.
 */
static inline int vnf_ignore_marked(int packet_socket) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_MARK)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VNF_HOST_MARK, 2, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4 /* PACKET_OUTGOING */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return setsockopt(packet_socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}
#endif

#endif
