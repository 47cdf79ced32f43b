/* The sockets of the app mechanism. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common.h"
#include "packet.h"

#define BUFFER_BYTES (16 << 20)

static void set_filter(struct probe_block *block, int fd, struct sock_filter *code,
                       unsigned short length) {
    struct sock_fprog program = {.len = length, .filter = code};

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
        fail(block, PROBE_AT_SOCKET);
}

/* Everything but this trial's packets is left out by the kernel. */
static void accept_only_ours(struct probe_block *block, int fd) {
    /* The filter reads big-endian words, the stamp is in the machine's own order. */
    uint32_t head = htonl(PROBE_STAMP_MAGIC | block->flow << 16);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PACKET_ETHERTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PACKET_IP_PROTOCOL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROBE_STAMP_OFFSET),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, head, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };

    set_filter(block, fd, code, sizeof(code) / sizeof(*code));
}

int open_packet_socket(struct probe_block *block, int receiving) {
    /* Born without a protocol, so that nothing comes in before the filter is there. */
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int on = 1, bytes = BUFFER_BYTES;
    /* What is sent back does not wait in a queue; what has to be cut into packets cannot avoid it.
     */
    int manner = receiving ? PACKET_QDISC_BYPASS : PACKET_VNET_HDR;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = receiving ? htons(ETH_P_ALL) : 0,
        .sll_ifindex = (int)block->ifindex,
    };

    if (fd < 0)
        fail(block, PROBE_AT_SOCKET);
    if (setsockopt(fd, SOL_PACKET, manner, &on, sizeof(on)) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
        fail(block, PROBE_AT_SOCKET);
    if (receiving) {
        accept_only_ours(block, fd);
        /* What a sender beside us puts on the same interface has not arrived. */
        if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)))
            fail(block, PROBE_AT_SOCKET);
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
        fail(block, PROBE_AT_SOCKET);
    return fd;
}

void keep_port_quiet(struct probe_block *block) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)block->port),
    };

    if (fd < 0)
        fail(block, PROBE_AT_SOCKET);
    set_filter(block, fd, &nothing, 1);
    /* If it is taken, somebody listens there, and the kernel does not complain to the sender. */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) && errno != EADDRINUSE)
        fail(block, PROBE_AT_SOCKET);
}
