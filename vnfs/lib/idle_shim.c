/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Puts the idle policy under a DPDK program that is used as it is: a library for LD_PRELOAD.
 *
 * The policy is read from $BUILD_VNF_IDLE, in the words of idle.h. When the program starts a port,
 * each of its receive queues gets a callback, which learns of every look at the queue. A thread may
 * look at many queues, so it idles only when it has found all of its queues empty, one after the
 * other: no frame ever waits for a thread that waits at another port.
 *
 * Lines that begin with "idle: " on standard error tell the emulator that this works, and how.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif

#define MAX_QUEUES    256
#define QUEUE_SOCKETS 8
#define MAX_SOCKETS   256
#define WORDS         (MAX_QUEUES / 64)

/* So many empty looks are enough to learn which queues a thread has. */
#define LEARNING_LOOKS 512

/*
 * Programs do more between two looks than look, such as sending what they have gathered: a wait is
 * short while frames came lately, and never long.
 */
#define LATELY_NS     1000000ULL
#define SHORT_WAIT_NS 100000ULL
#define LONG_WAIT_NS  50000000ULL
/* Instead of waiting, where a queue has no socket to wait on. */
#define BLIND_SLEEP_NS 100000ULL

#define EXIT_USAGE 2

static struct {
    enum { IDLE_POLL, IDLE_YIELD, IDLE_WAIT, IDLE_SLEEP } then;
    uint64_t spin_ns;
    uint64_t sleep_ns;
} policy;

struct queue {
    uint16_t port;
    uint16_t number;
    const struct rte_eth_rxtx_callback *callback;
    uint32_t sockets;
    int socket[QUEUE_SOCKETS];
};

/* Written while ports are set up and started, when nobody looks at their queues. */
static struct queue queues[MAX_QUEUES];
static uint32_t queue_count;
static pthread_mutex_t queues_lock = PTHREAD_MUTEX_INITIALIZER;

/* What one thread knows: which queues are its own, and which it found empty in this round. */
static __thread struct {
    uint64_t own[WORDS];
    uint64_t empty[WORDS];
    uint32_t owned;
    uint32_t found_empty;
    uint32_t looks;
    uint8_t learned;
    uint8_t precise_timers;
    uint64_t idle_since_ns; /* 0: a frame came just now */
    uint64_t spin_until_ns;
    uint32_t bursts;     /* since ran_out_ns */
    uint64_t ran_out_ns; /* when there was no more frame, the last time */
} thread;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static struct timespec time_of(uint64_t time_ns) {
    return (struct timespec){(time_t)(time_ns / 1000000000ULL), (long)(time_ns % 1000000000ULL)};
}

static void __attribute__((constructor)) read_policy(void) {
    const char *given = getenv("BUILD_VNF_IDLE");
    char text[128], *rest = text;
    if (!given)
        return;
    snprintf(text, sizeof(text), "%s", given);
    for (char *word = strsep(&rest, ","); word; word = strsep(&rest, ",")) {
        if (!strncmp(word, "spin=", 5)) {
            policy.spin_ns = strtoull(word + 5, NULL, 10);
        } else if (!strncmp(word, "sleep=", 6)) {
            policy.then = IDLE_SLEEP;
            policy.sleep_ns = strtoull(word + 6, NULL, 10);
        } else if (!strcmp(word, "poll")) {
            policy.then = IDLE_POLL;
        } else if (!strcmp(word, "yield")) {
            policy.then = IDLE_YIELD;
        } else if (!strcmp(word, "wait")) {
            policy.then = IDLE_WAIT;
        } else {
            fprintf(stderr, "error: there is no idle policy %s\n", word);
            exit(EXIT_USAGE);
        }
    }
}

/* The function that ours stands in front of. */
static void *hidden(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "error: DPDK's %s is not to be found\n", name);
        exit(EXIT_FAILURE);
    }
    return found;
}

/* ---- which sockets frames come by ---- */

struct open_socket {
    int fd;
    int domain;
    ino_t inode;
};

/* The sockets that this process has open and that frames can come by. */
static uint32_t list_sockets(struct open_socket *list) {
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    for (struct dirent *entry; count < MAX_SOCKETS && (entry = readdir(folder));) {
        int fd = atoi(entry->d_name), domain = 0;
        socklen_t size = sizeof(domain);
        struct stat status;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || fstat(fd, &status))
            continue;
        if (domain == AF_XDP || domain == AF_PACKET)
            list[count++] = (struct open_socket){fd, domain, status.st_ino};
    }
    closedir(folder);
    return count;
}

static int is_among(const struct open_socket *one, const struct open_socket *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (list[i].fd == one->fd && list[i].inode == one->inode)
            return 1;
    return 0;
}

static int leads_to(const struct open_socket *one, uint32_t if_index) {
    struct sockaddr_ll address = {0};
    socklen_t size = sizeof(address);
    return one->domain == AF_PACKET && if_index &&
           !getsockname(one->fd, (struct sockaddr *)&address, &size) &&
           address.sll_ifindex == (int)if_index;
}

static void add_socket(struct queue *queue, int fd) {
    for (uint32_t i = 0; i < queue->sockets; i++)
        if (queue->socket[i] == fd)
            return;
    if (queue->sockets < QUEUE_SOCKETS)
        queue->socket[queue->sockets++] = fd;
}

static uint32_t interface_of(uint16_t port) {
    /* Another version of DPDK may have more in it; what is read stands near the front. */
    union {
        struct rte_eth_dev_info info;
        char room[8192];
    } answer;
    memset(&answer, 0, sizeof(answer));
    return rte_eth_dev_info_get(port, &answer.info) ? 0 : answer.info.if_index;
}

/* ---- what a thread does when all of its queues are empty ---- */

static void sleep_for(uint64_t time_ns) {
    struct timespec left = time_of(time_ns);
    if (!thread.precise_timers) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        thread.precise_timers = 1;
    }
    nanosleep(&left, NULL);
}

static void wait_for_frame(uint64_t longest_ns) {
    struct pollfd fds[MAX_SOCKETS];
    struct timespec timeout = time_of(longest_ns);
    nfds_t count = 0;
    for (uint32_t word = 0; word < WORDS; word++)
        for (uint64_t bits = thread.own[word]; bits; bits &= bits - 1) {
            struct queue *queue = &queues[word * 64 + (uint32_t)__builtin_ctzll(bits)];
            if (!queue->sockets) {
                sleep_for(BLIND_SLEEP_NS);
                return;
            }
            for (uint32_t i = 0; i < queue->sockets && count < MAX_SOCKETS; i++)
                fds[count++] = (struct pollfd){.fd = queue->socket[i], .events = POLLIN};
        }
    if (ppoll(fds, count, &timeout, NULL) <= 0)
        return;
    int comes = 0;
    for (nfds_t i = 0; i < count; i++) {
        int error;
        socklen_t size = sizeof(error);
        comes |= fds[i].revents & POLLIN;
        /* An error that nobody fetches, such as that of a link that went down, ends every wait. */
        if (fds[i].revents & POLLERR)
            getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (!comes)
        sleep_for(BLIND_SLEEP_NS);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/*
 * To look on for a frame that is not to be expected would only keep others from the core: first of
 * all whoever was woken up by the frame that was just sent.
 */
static void begin_idle(uint64_t now) {
    int close = now - thread.ran_out_ns < policy.spin_ns * thread.bursts;
    thread.idle_since_ns = now;
    thread.spin_until_ns = close ? now + policy.spin_ns : now;
    thread.ran_out_ns = now;
    thread.bursts = 0;
}

static void idle(void) {
    uint64_t now = now_ns();
    if (!thread.idle_since_ns)
        begin_idle(now);
    uint64_t idle_ns = now - thread.idle_since_ns;
    if (now < thread.spin_until_ns || policy.then == IDLE_POLL)
        relax();
    else if (policy.then == IDLE_YIELD)
        sched_yield();
    else if (policy.then == IDLE_SLEEP)
        sleep_for(policy.sleep_ns);
    else
        wait_for_frame(idle_ns < policy.spin_ns + LATELY_NS ? SHORT_WAIT_NS : LONG_WAIT_NS);
}

/* ---- rounds ---- */

static void begin_round(void) {
    memset(thread.empty, 0, sizeof(thread.empty));
    thread.found_empty = 0;
    thread.looks = 0;
}

static void learn_anew(void) {
    memset(thread.own, 0, sizeof(thread.own));
    thread.owned = 0;
    thread.learned = 0;
    begin_round();
}

static void found_empty(uint32_t slot) {
    uint64_t bit = 1ULL << (slot % 64);
    if (!(thread.own[slot / 64] & bit)) {
        thread.own[slot / 64] |= bit;
        thread.owned++;
    }
    if (!(thread.empty[slot / 64] & bit)) {
        thread.empty[slot / 64] |= bit;
        thread.found_empty++;
    }
    thread.looks++;
    if (!thread.learned) {
        if (thread.looks < LEARNING_LOOKS)
            return;
        thread.learned = 1;
        begin_round();
    } else if (thread.found_empty == thread.owned) {
        idle();
        begin_round();
    } else if (thread.looks >= LEARNING_LOOKS) {
        /* One of its queues is another thread's now. */
        learn_anew();
    }
}

static uint16_t after_look(uint16_t port, uint16_t number, struct rte_mbuf **frames, uint16_t count,
                           uint16_t room, void *slot) {
    (void)port, (void)number, (void)frames, (void)room;
    if (count) {
        thread.idle_since_ns = 0;
        thread.bursts++;
        if (thread.learned && thread.looks)
            begin_round();
    } else {
        found_empty((uint32_t)(uintptr_t)slot);
    }
    return count;
}

/* ---- the functions of DPDK that we stand in front of ---- */

static struct queue *queue_of(uint16_t port, uint16_t number) {
    for (uint32_t i = 0; i < queue_count; i++)
        if (queues[i].port == port && queues[i].number == number)
            return &queues[i];
    if (queue_count == MAX_QUEUES)
        return NULL;
    queues[queue_count] = (struct queue){.port = port, .number = number};
    return &queues[queue_count++];
}

/* A thread that idles must know all of its queues, so without one of them nobody idles. */
static void give_up(uint16_t port, uint16_t number) {
    policy.then = IDLE_POLL;
    fprintf(stderr, "idle: port %u queue %u cannot be watched, so all are polled without end\n",
            port, number);
}

/* Frames of a queue come by the sockets that appear while it is set up, or that its port has. */
static void find_sockets(struct queue *queue, const struct open_socket *before,
                         uint32_t count_before) {
    struct open_socket now[MAX_SOCKETS];
    uint32_t count = list_sockets(now), interface = interface_of(queue->port);
    queue->sockets = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!is_among(&now[i], before, count_before) || leads_to(&now[i], interface))
            add_socket(queue, now[i].fd);
}

int rte_eth_rx_queue_setup(uint16_t port, uint16_t number, uint16_t descriptors,
                           unsigned int socket, const struct rte_eth_rxconf *config,
                           struct rte_mempool *pool) {
    static __typeof__(rte_eth_rx_queue_setup) *real;
    struct open_socket before[MAX_SOCKETS];
    if (!real)
        real = (__typeof__(real))hidden("rte_eth_rx_queue_setup");
    uint32_t count_before = list_sockets(before);
    int result = real(port, number, descriptors, socket, config, pool);
    if (result || policy.then == IDLE_POLL)
        return result;
    pthread_mutex_lock(&queues_lock);
    struct queue *queue = queue_of(port, number);
    if (queue) {
        find_sockets(queue, before, count_before);
        fprintf(stderr, "idle: port %u queue %u has %s\n", port, number,
                queue->sockets ? "a socket to wait on" : "no socket to wait on");
    } else {
        give_up(port, number);
    }
    pthread_mutex_unlock(&queues_lock);
    return result;
}

int rte_eth_dev_start(uint16_t port) {
    static __typeof__(rte_eth_dev_start) *real;
    if (!real)
        real = (__typeof__(real))hidden("rte_eth_dev_start");
    int result = real(port);
    if (result || policy.then == IDLE_POLL)
        return result;
    pthread_mutex_lock(&queues_lock);
    for (uint32_t slot = 0; slot < queue_count; slot++) {
        struct queue *queue = &queues[slot];
        if (queue->port != port || queue->callback)
            continue;
        queue->callback =
            rte_eth_add_rx_callback(port, queue->number, after_look, (void *)(uintptr_t)slot);
        if (!queue->callback)
            give_up(port, queue->number);
    }
    pthread_mutex_unlock(&queues_lock);
    return result;
}

int rte_eth_dev_close(uint16_t port) {
    static __typeof__(rte_eth_dev_close) *real;
    if (!real)
        real = (__typeof__(real))hidden("rte_eth_dev_close");
    int result = real(port);
    pthread_mutex_lock(&queues_lock);
    for (uint32_t slot = 0; slot < queue_count; slot++)
        if (queues[slot].port == port) {
            queues[slot].callback = NULL;
            queues[slot].sockets = 0;
        }
    pthread_mutex_unlock(&queues_lock);
    return result;
}
