// SPDX-License-Identifier: MIT

#define _GNU_SOURCE
#include "wire_ring.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 << 10 };

// Wait until the kernel delivers nothing to a socket any more by what it was before: to close a
// packet socket does.
static int wait_for_kernel(void) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    return fd < 0 ? errno : close(fd) ? errno : 0;
}

// All of it, so that the kernel finds no room, or the kernel's.
static void ring_give(struct ring *ring, uint32_t status) {
    for (uint32_t i = 0; i < RING_FRAMES; i++) {
        void *found = ring->memory + (uint64_t)i * RING_FRAME_BYTES;
        struct tpacket2_hdr *head = found;
        __atomic_store_n(&head->tp_status, status, __ATOMIC_RELEASE);
    }
}

int ring_open(struct ring *ring, int index, int group, const char **what) {
    const int on = 1, version = TPACKET_V2;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
    struct tpacket_req request = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = RING_BYTES / BLOCK_BYTES,
        .tp_frame_size = RING_FRAME_BYTES,
        .tp_frame_nr = RING_FRAMES,
    };
    void *memory = MAP_FAILED;
    int error = 0;

    *ring = (struct ring){.fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (ring->fd < 0) {
        *what = "opening a packet socket";
        return errno;
    }
    *what = "a ring";
    if (setsockopt(ring->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
        setsockopt(ring->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
        error = errno;
    if (!error) {
        memory =
            mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, 0);
        if (memory == MAP_FAILED)
            error = errno;
        else
            ring->memory = memory;
    }
    if (!error) {
        // Between being bound and being of the group it would hear what the other socket hears.
        ring_give(ring, TP_STATUS_USER);
        *what = "joining the port's socket";
        if (bind(ring->fd, (struct sockaddr *)&address, sizeof(address)) ||
            setsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)))
            error = errno;
    }
    if (!error)
        error = wait_for_kernel();
    if (!error) {
        // What it had no room for was not lost. Asking sets the count back to zero.
        struct tpacket_stats stats;
        socklen_t bytes = sizeof(stats);
        if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes))
            error = errno;
    }
    if (error)
        ring_close(ring);
    return error;
}

void ring_close(struct ring *ring) {
    if (ring->memory)
        munmap(ring->memory, RING_BYTES);
    if (ring->fd >= 0)
        close(ring->fd);
    *ring = (struct ring){.fd = -1};
}

int ring_begin(struct ring *ring) {
    // The second member of the group is asked first, and the first where that has no room.
    struct sock_filter second[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
    struct sock_fprog program = {.len = 1, .filter = second};

    ring_give(ring, TP_STATUS_KERNEL);
    return setsockopt(ring->fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof(program)) ? errno
                                                                                           : 0;
}
