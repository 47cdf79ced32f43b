/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What DPDK's memif driver lacks: its client calls the server once, when it starts, and its rings
 * cannot wake anybody.
 *
 * So the client calls again until it is answered, also after the neighbour was gone for a while;
 * and beside the rings there is a bell: whoever sleeps says so in memory that both map, and is
 * woken through a FIFO.
 */
#ifndef VNF_MEMIF_H
#define VNF_MEMIF_H

#include <limits.h>
#include <sys/stat.h>

/* How long to sleep while there is no neighbour, and how often a call is made. */
#define MEMIF_APART_NS 10000000
/* A neighbour that takes the call answers at once, but for a machine that has much else to do. */
#define MEMIF_ANSWER_NS 500000000
/* The driver takes the old connection apart in a thread of its own. */
#define MEMIF_CLEAR_UP_NS 20000000
#define MEMIF_EMPTY_LOOKS 64
/* How often, and how far apart, frames are offered to a neighbour whose ring is full. */
#define MEMIF_PUSHES  40
#define MEMIF_PUSH_NS 50000

/* A neighbour that is no program of ours knows nothing of the bell and is never there. */
struct bell {
    struct {
        __u32 there;
        __u32 asleep;
    } __attribute__((aligned(64))) side[2];
};

struct memif {
    /* A port of another kind has no bell and is joined for ever. */
    enum { JOINED, CALLING, APART } link;
    struct bell *bell;
    int fd;
    int neighbour_fd;
    __u8 side;
    __u8 calls; /* the server waits for calls */
    __u32 empty_looks;
    __u64 due_ns;
};

static int memif_open_fifo(const char *base, __u32 side) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s.%u", base, side);
    mkfifo(path, 0600);
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Where the bell is: `server=` or `client=` and the beginning of its paths. */
static void memif_open(struct memif *memif, const char *option, const char *name) {
    const char *base = strchr(option, '=') + 1;
    char path[PATH_MAX];
    memif->calls = memif->side = option[0] == 'c';
    memif->link = memif->calls ? APART : CALLING;
    snprintf(path, sizeof(path), "%s.bell", base);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && !ftruncate(fd, sizeof(struct bell)))
        memif->bell = mmap(NULL, sizeof(struct bell), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memif->fd = memif_open_fifo(base, memif->side);
    memif->neighbour_fd = memif_open_fifo(base, !memif->side);
    if (!memif->bell || memif->bell == MAP_FAILED || memif->fd < 0 || memif->neighbour_fd < 0)
        vnf_fail(EXIT_MACHINE, NULL, "%s: its bell %s cannot be made: %s", name, path,
                 strerror(errno));
    close(fd);
    memif->bell->side[memif->side].asleep = 0;
    memif->bell->side[memif->side].there = 1;
}

static void memif_close(struct memif *memif) {
    memif->bell->side[memif->side].there = 0;
}

/* See whether the neighbour is there; one that has gone may come back, and is called again. */
static void memif_look(struct memif *memif, __u16 id) {
    __u64 now_ns = vnf_monotonic_ns();
    struct rte_eth_link link = {0};
    if (memif->link != APART && rte_eth_link_get_nowait(id, &link))
        link.link_status = RTE_ETH_LINK_DOWN; /* a device that does not tell has no neighbour */
    if (link.link_status) {
        memif->link = JOINED;
    } else if (memif->link == JOINED) {
        memif->link = CALLING;
        memif->due_ns = now_ns + MEMIF_CLEAR_UP_NS;
    } else if (!memif->calls || now_ns < memif->due_ns) {
        return;
    } else if (memif->link == CALLING) {
        rte_eth_dev_stop(id);
        memif->link = APART;
    } else {
        int failed = rte_eth_dev_start(id);
        memif->link = failed ? APART : CALLING;
        memif->due_ns = now_ns + (failed ? MEMIF_APART_NS : MEMIF_ANSWER_NS);
    }
}

/* Nothing came: now and then, that is because nobody is there. */
static __rte_always_inline void memif_found_empty(struct memif *memif, __u16 id) {
    if (memif->link != JOINED || !(++memif->empty_looks % MEMIF_EMPTY_LOOKS))
        memif_look(memif, id);
}

static void memif_wake_neighbour(struct memif *memif) {
    __u32 *asleep = &memif->bell->side[!memif->side].asleep;
    rte_smp_mb();
    if (*asleep && __atomic_exchange_n(asleep, 0, __ATOMIC_ACQ_REL) &&
        write(memif->neighbour_fd, "", 1) < 0)
        return; /* it is full, so the neighbour has been woken */
}

/*
 * Wake the neighbour for what has been sent, and sleep while its ring is full: to go on, and lose
 * the frames, would only take CPU time from the VNFs that those before them have still to pass.
 * Returns how many frames have been sent by now.
 */
static __u32 memif_push(struct memif *memif, __u16 id, struct rte_mbuf **mbufs, __u32 sent,
                        __u32 count) {
    for (__u32 i = 0; memif->link == JOINED; i++) {
        memif_wake_neighbour(memif);
        if (likely(sent == count))
            break;
        if (i == MEMIF_PUSHES) {
            memif_look(memif, id);
            break;
        }
        idle_poll(NULL, 0, MEMIF_PUSH_NS);
        sent += rte_eth_tx_burst(id, 0, mbufs + sent, (__u16)(count - sent));
    }
    return sent;
}

/* Whether the neighbour would wake us. */
static int memif_is_watched(const struct memif *memif) {
    return memif->bell->side[!memif->side].there != 0;
}

static void memif_fall_asleep(struct memif *memif) {
    __atomic_store_n(&memif->bell->side[memif->side].asleep, 1, __ATOMIC_RELEASE);
    rte_smp_mb();
}

static void memif_wake_up(struct memif *memif) {
    char rings[64];
    __atomic_store_n(&memif->bell->side[memif->side].asleep, 0, __ATOMIC_RELEASE);
    while (read(memif->fd, rings, sizeof(rings)) == sizeof(rings))
        ;
}

#endif
