/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF on XDP sockets, all of them with one memory, so that a frame goes from port to port
 * without a copy of ours. xsk.bpf.c, which leads frames to the sockets, is attached by others:
 * what is left to do here takes CAP_NET_RAW and CAP_IPC_LOCK, and every other right is given up.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <xdp/xsk.h>

#include "run.h"

#define QUEUE       0
#define RING_FRAMES 2048
#define CHUNK_BYTES 4096
/* For each port: as many as its receive side may hold, and as many again to send. */
#define PORT_CHUNKS (2 * RING_FRAMES)
/* The kernel sends some tens of frames a call, and stops when the far end lags behind. */
#define KICKS 8
/* The kernel gives a queue free some time after the socket of the VNF before has been closed. */
#define RELEASED_WITHIN_MS 2000

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

_Static_assert(XDP_PACKET_HEADROOM >= VNF_HEADROOM_BYTES, "the kernel leaves room at the front");

/* Where a port's map of sockets is, if it is none of ours. */
enum { NOWHERE = -1, OUTSIDE = -2 };

static struct port {
    struct xsk_socket *socket;
    struct xsk_ring_cons received;
    struct xsk_ring_prod to_send;
    struct xsk_ring_prod to_fill;
    struct xsk_ring_cons sent;
    int fd;
    int map;
    char mode[64];
} ports[VNF_MAX_PORTS];

static struct {
    struct xsk_umem *umem;
    __u8 *start;
    __u64 free[VNF_MAX_PORTS * PORT_CHUNKS];
    __u32 free_count;
} memory;

static __u64 chunk_of(__u64 address) {
    return address & ~(__u64)(CHUNK_BYTES - 1);
}

/* Take back the chunks of frames that have been sent. */
static __always_inline void reap(struct port *port) {
    __u32 at = 0, count = xsk_ring_cons__peek(&port->sent, RING_FRAMES, &at);
    for (__u32 i = 0; i < count; i++)
        memory.free[memory.free_count++] = chunk_of(*xsk_ring_cons__comp_addr(&port->sent, at + i));
    if (count)
        xsk_ring_cons__release(&port->sent, count);
}

/* Give the kernel chunks to receive into. */
static __always_inline void refill(struct port *port) {
    __u32 at = 0, count = xsk_prod_nb_free(&port->to_fill, VNF_BURST_FRAMES);
    if (count > memory.free_count)
        count = memory.free_count;
    if (!count || !xsk_ring_prod__reserve(&port->to_fill, count, &at))
        return;
    for (__u32 i = 0; i < count; i++)
        *xsk_ring_prod__fill_addr(&port->to_fill, at + i) = memory.free[--memory.free_count];
    xsk_ring_prod__submit(&port->to_fill, count);
}

static __always_inline int unsent(const struct port *port) {
    return *port->to_send.producer != __atomic_load_n(port->to_send.consumer, __ATOMIC_RELAXED);
}

/* Have the kernel send; what it leaves in the ring goes with the next call. */
static void kick(struct port *port) {
    for (int i = 0; i < KICKS && xsk_ring_prod__needs_wakeup(&port->to_send); i++) {
        if (sendto(port->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
            return;
        if (errno != EAGAIN && errno != EBUSY)
            return;
        reap(port);
    }
}

static void open_memory(void) {
    struct port *first = &ports[0];
    __u64 chunks = (__u64)vnf.ports * PORT_CHUNKS, bytes = chunks * CHUNK_BYTES;
    struct xsk_umem_config config = {
        .fill_size = RING_FRAMES, .comp_size = RING_FRAMES, .frame_size = CHUNK_BYTES};

    memory.start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory.start == MAP_FAILED)
        vnf_fail(EXIT_MACHINE, NULL, "no memory for frames: %s", strerror(errno));
    int error =
        xsk_umem__create(&memory.umem, memory.start, bytes, &first->to_fill, &first->sent, &config);
    if (error == -ENOBUFS)
        vnf_fail(EXIT_MACHINE, "give it CAP_IPC_LOCK, or raise the limit: ulimit -l",
                 "it may not lock the %llu KiB that its frames take", bytes >> 10);
    if (error == -EPERM)
        vnf_fail(EXIT_MACHINE, "give it CAP_NET_RAW", "no XDP socket: %s", strerror(-error));
    if (error)
        vnf_fail(EXIT_MACHINE, NULL, "no memory for XDP sockets: %s", strerror(-error));
    for (__u64 chunk = chunks; chunk > 0; chunk--)
        memory.free[memory.free_count++] = (chunk - 1) * CHUNK_BYTES;
}

/* A frame that came by another queue than ours would be lost. */
static void require_one_queue(const char *name, int fd) {
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {.ifr_data = (void *)&channels};
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, SIOCETHTOOL, &request))
        return; /* its driver knows nothing of queues, so there is one */
    if (channels.rx_count + channels.combined_count > 1)
        vnf_fail(EXIT_MACHINE, "ethtool -L INTERFACE combined 1 gives it one",
                 "%s receives by several queues", name);
}

static const char *xdp_mode(const char *name) {
    LIBBPF_OPTS(bpf_xdp_query_opts, state);
    int error = bpf_xdp_query((int)if_nametoindex(name), 0, &state);
    if (error)
        vnf_fail(EXIT_FAILED, NULL, "%s: its XDP mode cannot be read: %s", name, strerror(-error));
    if (state.attach_mode == XDP_ATTACHED_NONE)
        vnf_fail(EXIT_FAILED, NULL, "%s: no XDP program leads frames to the VNF", name);
    return state.attach_mode == XDP_ATTACHED_SKB ? "generic" : "native";
}

static const char *port_open(__u32 number) {
    struct port *port = &ports[number];
    const char *name = vnf.port_name[number];
    const char *mode = xdp_mode(name);
    struct xdp_options options = {0};
    socklen_t bytes = sizeof(options);
    __u32 queue = QUEUE;
    const struct timespec millisecond = {.tv_nsec = 1000000};
    struct xsk_socket_config config = {
        .rx_size = RING_FRAMES,
        .tx_size = RING_FRAMES,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = XDP_USE_NEED_WAKEUP,
    };

    if (!memory.umem)
        open_memory();
    int error = -EBUSY;
    for (int i = 0; error == -EBUSY && i < RELEASED_WITHIN_MS; i++) {
        if (i)
            nanosleep(&millisecond, NULL);
        error = xsk_socket__create_shared(&port->socket, name, QUEUE, memory.umem, &port->received,
                                          &port->to_send, &port->to_fill, &port->sent, &config);
    }
    if (error)
        vnf_fail(EXIT_MACHINE, error == -EPERM ? "give it CAP_NET_RAW" : NULL,
                 "%s: no XDP socket: %s", name, strerror(-error));
    port->fd = xsk_socket__fd(port->socket);
    require_one_queue(name, port->fd);
    for (int i = 0; i < RING_FRAMES / VNF_BURST_FRAMES; i++)
        refill(port);
    vnf.port_socket[number] = port->fd;
    if (port->map != OUTSIDE && bpf_map_update_elem(port->map, &queue, &port->fd, 0))
        vnf_fail(EXIT_MACHINE,
                 errno == EPERM ? "before Linux 6.0 this needs CAP_BPF too, or sysctl "
                                  "kernel.unprivileged_bpf_disabled=0"
                                : NULL,
                 "%s: its socket cannot be put into the map of sockets: %s", name, strerror(errno));
    if (getsockopt(port->fd, SOL_XDP, XDP_OPTIONS, &options, &bytes))
        vnf_fail(EXIT_MACHINE, NULL, "%s: its socket does not tell its mode: %s", name,
                 strerror(errno));
    snprintf(port->mode, sizeof(port->mode), "AF_XDP %s %s, need-wakeup", mode,
             options.flags & XDP_OPTIONS_ZEROCOPY ? "zero-copy" : "copy");
    return port->mode;
}

static __u32 port_receive(__u32 number, struct vnf_packet *packets, __u32 room) {
    struct port *port = &ports[number];
    __u32 at = 0, count = xsk_ring_cons__peek(&port->received, room, &at);

    for (__u32 i = 0; i < count; i++) {
        const struct xdp_desc *frame = xsk_ring_cons__rx_desc(&port->received, at + i);
        __u64 chunk = chunk_of(frame->addr);
        __u8 *data = memory.start + frame->addr;
        packets[i] = (struct vnf_packet){
            .data = data,
            .end = data + frame->len,
            .floor = memory.start + chunk,
            .ceiling = memory.start + chunk + CHUNK_BYTES,
            .address = chunk,
        };
    }
    if (count) {
        xsk_ring_cons__release(&port->received, count);
    } else {
        if (unsent(port))
            kick(port);
        reap(port);
    }
    refill(port);
    if (!count && xsk_ring_prod__needs_wakeup(&port->to_fill))
        recvfrom(port->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    return count;
}

static void port_release(__u32 number, struct vnf_packet *packets, __u32 count) {
    (void)number;
    for (__u32 i = 0; i < count; i++)
        memory.free[memory.free_count++] = packets[i].address;
}

static __u32 port_send(__u32 number, struct vnf_packet *packets, __u32 count) {
    struct port *port = &ports[number];
    __u32 at = 0, room = xsk_prod_nb_free(&port->to_send, count);

    if (room < count) {
        kick(port);
        room = xsk_prod_nb_free(&port->to_send, count);
    }
    __u32 taken = room < count ? room : count;
    if (taken) {
        xsk_ring_prod__reserve(&port->to_send, taken, &at);
        for (__u32 i = 0; i < taken; i++)
            *xsk_ring_prod__tx_desc(&port->to_send, at + i) = (struct xdp_desc){
                .addr = (__u64)(packets[i].data - memory.start),
                .len = (__u32)(packets[i].end - packets[i].data),
            };
        xsk_ring_prod__submit(&port->to_send, taken);
        kick(port);
    }
    reap(port);
    port_release(number, packets + taken, count - taken);
    return taken;
}

static int port_copy(__u32 number, const struct vnf_packet *packet, struct vnf_packet *copy) {
    size_t length = (size_t)(packet->end - packet->data);
    if (!memory.free_count)
        reap(&ports[number]);
    if (!memory.free_count || length > CHUNK_BYTES - XDP_PACKET_HEADROOM)
        return -1;
    __u64 chunk = memory.free[--memory.free_count];
    __u8 *data = memory.start + chunk + XDP_PACKET_HEADROOM;
    memcpy(data, packet->data, length);
    *copy = (struct vnf_packet){.data = data, .end = data + length, .address = chunk};
    return 0;
}

static __u32 port_wait(struct pollfd *fds) {
    for (__u32 port = 0; port < vnf.ports; port++)
        fds[port] = (struct pollfd){.fd = ports[port].fd, .events = POLLIN};
    return vnf.ports;
}

static void port_close(__u32 port) {
    xsk_socket__delete(ports[port].socket);
}

/*
 *     --xskmap outside            whoever started it puts its sockets into their maps
 *     --xskmap FD,FD              the map of each port's XDP program, inherited
 *     --xskmap-pinned PATH,PATH   the same, pinned in a BPF file system
 */
static int own_option(const char *name, char *value) {
    int pinned = !strcmp(name, "--xskmap-pinned");
    __u32 port = 0;
    if (!pinned && strcmp(name, "--xskmap"))
        return 0;
    if (!pinned && !strcmp(value, "outside")) {
        for (; port < VNF_MAX_PORTS; port++)
            ports[port].map = OUTSIDE;
        return 1;
    }
    for (char *word = strtok(value, ","); word && port < VNF_MAX_PORTS; word = strtok(NULL, ",")) {
        int map = pinned ? bpf_obj_get(word) : atoi(word);
        if (map < 0)
            vnf_fail(EXIT_MACHINE, NULL, "%s: the map of sockets cannot be opened: %s", word,
                     strerror(errno));
        ports[port++].map = map;
    }
    return 1;
}

static void give_up_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[2] = {{0}};
    syscall(SYS_capget, &header, rights);
    rights[0].permitted &= 1U << CAP_NET_RAW | 1U << CAP_IPC_LOCK;
    rights[0].effective = rights[0].permitted;
    rights[0].inheritable = 0;
    rights[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &header, rights) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        vnf_fail(EXIT_FAILED, NULL, "its rights cannot be given up: %s", strerror(errno));
}

int main(int argc, char **argv) {
    for (__u32 port = 0; port < VNF_MAX_PORTS; port++)
        ports[port].map = NOWHERE;
    vnf_options(argc, argv, own_option);
    for (__u32 port = 0; port < vnf.ports; port++)
        if (ports[port].map == NOWHERE)
            vnf_fail(EXIT_USAGE, "see --xskmap and --xskmap-pinned", "%s has no map of sockets",
                     vnf.port_name[port]);
    give_up_rights();
    vnf_run();
    return 0;
}
