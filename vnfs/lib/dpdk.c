/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF on DPDK: frames come and go in bursts of mbufs through poll mode drivers.
 *
 * The command line is the EAL's arguments, `--`, and our options. A device that the EAL has and
 * that belongs to none of the node's interfaces, such as a network card, becomes a further port.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

/* DPDK includes it for nothing, and a VNF has the same structures from <linux/ip.h>. */
#define __NETINET_IP_H 1
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* What DPDK's own programs take at once. */
#define VNF_BURST_FRAMES 32

/* An mbuf has to know where its frame begins and ends. */
#define PORT_RESIZED

#include "hostpath.h"
#include "run.h"

#include "memif.h"
#include "overhear.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define RING_FRAMES    2048
#define CACHED_BUFFERS 256
/* How long to sleep where nothing tells of a frame that comes. */
#define BLIND_SLEEP_NS 100000
#define MODE_BYTES     64

static struct port {
    /* How the port tells that a frame has come while we sleep. */
    enum { SILENT, SOCKET, INTERRUPT, BELL } tells;
    __u16 id;
    /* Of the socket, or of an epoll instance that gets the interrupts. */
    int fd;
    __u8 armed;
    /* Frames that came between the last look and the sleep. */
    __u16 early;
    struct rte_mbuf *early_frames[VNF_BURST_FRAMES];
    char mode[MODE_BYTES];
    struct memif memif;
} ports[VNF_MAX_PORTS];

static struct {
    char *device[VNF_MAX_PORTS];
    char *bell[VNF_MAX_PORTS];
    __u32 devices;
    __u32 buffers;
    __u32 room;
    struct rte_mempool *pool;
    int timer;
    int always_ready;
} dpdk = {.buffers = 8191, .room = RTE_MBUF_DEFAULT_BUF_SIZE, .timer = -1, .always_ready = -1};

/* ---- what DPDK says ---- */

/* What it says when all is well. */
static int is_small_talk(const char *line) {
    static const char *const beginnings[] = {
        "EAL: Detected", "EAL: Multi-process",    "EAL: Selected",
        "EAL: VFIO",     "EAL: Physical address", "TELEMETRY: No legacy",
    };
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        if (!strncmp(line, beginnings[i], strlen(beginnings[i])))
            return 1;
    return !*line;
}

/* XDP sockets take frames in memory that is locked. */
static int may_lock(size_t bytes) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[2] = {{0}};
    struct rlimit limit;
    if (!syscall(SYS_capget, &header, rights) && rights[0].effective & 1U << CAP_IPC_LOCK)
        return 1;
    return getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur >= bytes;
}

static void __attribute__((noreturn)) fail_to_open(__u32 number, int error, const char *words) {
    const char *name = vnf.port_name[number], *device = dpdk.device[number];
    size_t bytes = (size_t)dpdk.buffers * dpdk.room;
    if (!strncmp(device, "net_af_xdp", 10) && !may_lock(bytes))
        vnf_fail(EXIT_MACHINE, "give it CAP_IPC_LOCK, or raise the limit: ulimit -l",
                 "%s: it may not lock the %zu KiB that its frames take", name, bytes >> 10);
    vnf_fail(EXIT_MACHINE, NULL, "%s: DPDK cannot open it by %s: %s", name, device,
             *words ? words : rte_strerror(-error));
}

/* ---- ports ---- */

/* A driver's socket for a port that has just been started: one that no port before it has. */
static int new_socket(int *domain) {
    DIR *folder = opendir("/proc/self/fd");
    int found = -1;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int fd = atoi(entry->d_name);
        socklen_t size = sizeof(*domain);
        __u32 port = 0;
        if (entry->d_name[0] == '.' || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domain, &size) ||
            (*domain != AF_XDP && *domain != AF_PACKET))
            continue;
        while (port < vnf.ports && (ports[port].tells != SOCKET || ports[port].fd != fd))
            port++;
        if (port == vnf.ports) {
            found = fd;
            break;
        }
    }
    if (folder)
        closedir(folder);
    return found;
}

static const char *copy_mode(int fd) {
    struct xdp_options options = {0};
    socklen_t size = sizeof(options);
    if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &size))
        return "";
    return options.flags & XDP_OPTIONS_ZEROCOPY ? " zero-copy" : " copy";
}

/* Find out how the port can wake us. */
static void find_descriptor(struct port *port, const char *driver) {
    const char *how = "";
    int domain = 0, fd = -1;
    if (!strcmp(driver, "net_af_xdp") || !strcmp(driver, "net_af_packet"))
        fd = new_socket(&domain);
    if (fd >= 0) {
        port->tells = SOCKET;
        port->fd = fd;
        if (domain == AF_XDP)
            how = copy_mode(fd);
        else if (vnf_ignore_marked(fd))
            vnf_fail(EXIT_MACHINE, NULL, "%s: the packet socket takes no filter: %s",
                     vnf.port_name[port - ports], strerror(errno));
    } else {
        port->fd = epoll_create1(EPOLL_CLOEXEC);
        if (port->fd >= 0 &&
            !rte_eth_dev_rx_intr_ctl_q(port->id, 0, port->fd, RTE_INTR_EVENT_ADD, NULL) &&
            !rte_eth_dev_rx_intr_disable(port->id, 0))
            port->tells = INTERRUPT;
    }
    if (!strncmp(driver, "net_", 4))
        driver += 4;
    snprintf(port->mode, sizeof(port->mode), "%s%s", driver, how);
}

static int configure(struct port *port, int interrupts) {
    struct rte_eth_conf conf = {.intr_conf.rxq = interrupts != 0};
    __u16 rx = RING_FRAMES, tx = RING_FRAMES;
    int failed = rte_eth_dev_configure(port->id, 1, 1, &conf);
    if (!failed)
        failed = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
    if (!failed)
        failed = rte_eth_rx_queue_setup(port->id, 0, rx, SOCKET_ID_ANY, NULL, dpdk.pool);
    if (!failed)
        failed = rte_eth_tx_queue_setup(port->id, 0, tx, SOCKET_ID_ANY, NULL);
    /* Who is to call a neighbour may do so before that one listens. */
    if (!failed && !port->memif.calls)
        failed = rte_eth_dev_start(port->id);
    return failed;
}

static const char *port_open(__u32 number) {
    struct port *port = &ports[number];
    const char *name = vnf.port_name[number];
    struct rte_eth_dev_info info;

    if (dpdk.bell[number]) {
        memif_open(&port->memif, dpdk.bell[number], name);
        port->tells = BELL;
        port->fd = port->memif.fd;
    }
    overhear_begin();
    int failed = rte_eth_dev_get_port_by_name(dpdk.device[number], &port->id);
    if (!failed)
        failed = rte_eth_dev_info_get(port->id, &info);
    /* Few drivers have interrupts, and some refuse to start when they are asked for them. */
    if (!failed && configure(port, 1)) {
        overheard(is_small_talk);
        overhear_begin();
        failed = configure(port, 0);
    }
    const char *words = overheard(is_small_talk);
    if (failed)
        fail_to_open(number, failed, words);
    if (port->tells == BELL) {
        vnf.port_apart[number] = 1;
        return "memif";
    }
    rte_eth_promiscuous_enable(port->id);
    find_descriptor(port, info.driver_name);
    return port->mode;
}

static void port_close(__u32 number) {
    struct port *port = &ports[number];
    if (port->tells == BELL)
        memif_close(&port->memif);
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
}

/* ---- frames ---- */

static __rte_always_inline void show(struct vnf_packet *packet, struct rte_mbuf *mbuf) {
    packet->handle = mbuf;
    packet->floor = mbuf->buf_addr;
    packet->ceiling = packet->floor + mbuf->buf_len;
    packet->data = packet->floor + mbuf->data_off;
    packet->end = packet->data + mbuf->data_len;
    rte_prefetch0(packet->data);
}

static void port_resized(const struct vnf_packet *packet) {
    struct rte_mbuf *mbuf = packet->handle;
    mbuf->data_off = (__u16)(packet->data - (__u8 *)mbuf->buf_addr);
    mbuf->data_len = (__u16)(packet->end - packet->data);
    mbuf->pkt_len = mbuf->data_len;
}

static void disarm(struct port *port);

static __u32 port_receive(__u32 number, struct vnf_packet *packets, __u32 room) {
    struct port *port = &ports[number];
    struct rte_mbuf *mbufs[VNF_BURST_FRAMES];
    __u32 count, kept = 0;

    if (unlikely(port->armed))
        disarm(port);
    if (unlikely(port->early)) {
        count = port->early;
        memcpy(mbufs, port->early_frames, count * sizeof(mbufs[0]));
        port->early = 0;
    } else if (likely(port->memif.link != APART)) {
        count = rte_eth_rx_burst(port->id, 0, mbufs, (__u16)room);
    } else {
        count = 0;
    }
    if (port->tells == BELL && !count) {
        memif_found_empty(&port->memif, port->id);
        vnf.port_apart[number] = port->memif.link != JOINED;
    }
    for (__u32 i = 0; i < count; i++) {
        if (unlikely(mbufs[i]->nb_segs != 1) && rte_pktmbuf_linearize(mbufs[i])) {
            vnf.shared->counters[number].rx_packets++;
            vnf.shared->counters[number].rx_bytes += mbufs[i]->pkt_len;
            vnf.shared->counters[number].dropped_packets++;
            rte_pktmbuf_free(mbufs[i]);
            continue;
        }
        show(&packets[kept++], mbufs[i]);
    }
    return kept;
}

static __u32 port_send(__u32 number, struct vnf_packet *packets, __u32 count) {
    struct port *port = &ports[number];
    struct rte_mbuf *mbufs[VNF_BURST_FRAMES];
    __u32 sent = 0;
    for (__u32 i = 0; i < count; i++)
        mbufs[i] = packets[i].handle;
    if (likely(port->memif.link != APART))
        sent = rte_eth_tx_burst(port->id, 0, mbufs, (__u16)count);
    if (port->tells == BELL)
        sent = memif_push(&port->memif, port->id, mbufs, sent, count);
    if (unlikely(sent < count))
        rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
    return sent;
}

static void port_release(__u32 number, struct vnf_packet *packets, __u32 count) {
    struct rte_mbuf *mbufs[VNF_BURST_FRAMES];
    (void)number;
    for (__u32 i = 0; i < count; i++)
        mbufs[i] = packets[i].handle;
    rte_pktmbuf_free_bulk(mbufs, count);
}

static int port_copy(__u32 number, const struct vnf_packet *packet, struct vnf_packet *copy) {
    size_t length = (size_t)(packet->end - packet->data);
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dpdk.pool);
    (void)number;
    if (!mbuf)
        return -1;
    if (length > rte_pktmbuf_tailroom(mbuf)) {
        rte_pktmbuf_free(mbuf);
        return -1;
    }
    memcpy(rte_pktmbuf_append(mbuf, (__u16)length), packet->data, length);
    show(copy, mbuf);
    return 0;
}

/* ---- sleeping ---- */

/* Have the port tell of frames; those that came meanwhile are kept. */
static void arm(struct port *port) {
    port->armed = 1;
    if (port->tells == BELL)
        memif_fall_asleep(&port->memif);
    else
        rte_eth_dev_rx_intr_enable(port->id, 0);
    port->early = rte_eth_rx_burst(port->id, 0, port->early_frames, VNF_BURST_FRAMES);
}

static void disarm(struct port *port) {
    port->armed = 0;
    if (port->tells == BELL) {
        memif_wake_up(&port->memif);
    } else {
        struct rte_epoll_event event;
        rte_eth_dev_rx_intr_disable(port->id, 0);
        while (rte_epoll_wait(port->fd, &event, 1, 0) > 0)
            ;
    }
}

/* For how long nobody would tell us of a frame; 0: somebody would. */
static __u64 unheard_ns(const struct port *port) {
    if (port->memif.link != JOINED)
        return MEMIF_APART_NS;
    if (port->tells == SILENT || (port->tells == BELL && !memif_is_watched(&port->memif)))
        return BLIND_SLEEP_NS;
    return 0;
}

/* That a port went down is told once; left unread, it would end every wait at once. */
static void forget_error(int fd) {
    int error;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
}

static __u32 port_wait(struct pollfd *fds) {
    __u64 sleep_ns = VNF_WHENEVER;
    __u32 count = 0, early = 0;
    for (__u32 number = 0; number < vnf.ports; number++) {
        struct port *port = &ports[number];
        __u64 unheard = unheard_ns(port);
        if (unheard) {
            sleep_ns = unheard < sleep_ns ? unheard : sleep_ns;
            continue;
        }
        if (port->tells == SOCKET)
            forget_error(port->fd);
        else
            arm(port);
        early += port->early;
        fds[count++] = (struct pollfd){.fd = port->fd, .events = POLLIN};
    }
    if (early) {
        fds[0] = (struct pollfd){.fd = dpdk.always_ready, .events = POLLIN};
    } else if (sleep_ns != VNF_WHENEVER) {
        struct itimerspec once = {.it_value = {.tv_nsec = (long)sleep_ns}};
        timerfd_settime(dpdk.timer, 0, &once, NULL);
        fds[count++] = (struct pollfd){.fd = dpdk.timer, .events = POLLIN};
    }
    return count;
}

/* ---- starting ---- */

/*
 * Start the EAL; if it does not, its own words are the message. They go to standard error; on
 * standard output it only lists all the arguments there are.
 */
static void start_eal(int argc, char **argv) {
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), output = dup(STDOUT_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    overhear_begin();
    int failed = rte_eal_init(argc, argv) < 0;
    const char *words = overheard(is_small_talk);
    dup2(output, STDOUT_FILENO);
    close(output);
    close(nowhere);
    if (failed)
        vnf_fail(EXIT_USAGE, "see eal=[…] of the VNF", "DPDK does not start: %s", words);
}

/* Devices that the user added through the EAL's arguments become ports behind the node's own. */
static void adopt_devices(void) {
    __u16 id;
    RTE_ETH_FOREACH_DEV(id) {
        char name[RTE_ETH_NAME_MAX_LEN];
        __u32 known = 0;
        rte_eth_dev_get_name_by_port(id, name);
        while (known < dpdk.devices && strcmp(dpdk.device[known], name))
            known++;
        if (known < dpdk.devices)
            continue;
        if (vnf.ports == VNF_MAX_PORTS)
            vnf_fail(EXIT_USAGE, NULL, "there are more than %u ports", VNF_MAX_PORTS);
        dpdk.device[dpdk.devices++] = strdup(name);
        vnf.port_name[vnf.ports++] = dpdk.device[dpdk.devices - 1];
    }
}

static int own_option(const char *name, char *value) {
    if (!strcmp(name, "--devices")) {
        for (char *device = strtok(value, ","); device && dpdk.devices < VNF_MAX_PORTS;
             device = strtok(NULL, ","))
            dpdk.device[dpdk.devices++] = device;
    } else if (!strcmp(name, "--bells")) {
        __u32 port = 0;
        for (char *bell = strtok(value, ","); bell && port < VNF_MAX_PORTS;
             bell = strtok(NULL, ","), port++)
            dpdk.bell[port] = strchr(bell, '=') ? bell : NULL;
    } else if (!strcmp(name, "--buffers")) {
        dpdk.buffers = (__u32)atoi(value);
    } else if (!strcmp(name, "--room")) {
        dpdk.room = (__u32)atoi(value);
    } else {
        return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    int eal = 0;
    while (eal < argc && strcmp(argv[eal], "--"))
        eal++;
    if (eal == argc)
        vnf_fail(EXIT_USAGE, NULL, "there is no -- between the EAL's arguments and the options");
    /* Before the EAL starts its threads: they shall run on the same CPUs. */
    vnf_options(argc - eal, argv + eal, own_option);
    start_eal(eal, argv);
    adopt_devices();
    dpdk.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    dpdk.always_ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    dpdk.pool = rte_pktmbuf_pool_create("frames", dpdk.buffers, CACHED_BUFFERS, 0, (__u16)dpdk.room,
                                        SOCKET_ID_ANY);
    if (!dpdk.pool)
        vnf_fail(EXIT_MACHINE, "give DPDK more memory: eal=[\"-m\", \"512\"]",
                 "no memory for %u packet buffers: %s", dpdk.buffers, rte_strerror(rte_errno));
    vnf_run();
    rte_eal_cleanup();
    return 0;
}
