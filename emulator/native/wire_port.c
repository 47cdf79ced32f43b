// SPDX-License-Identifier: MIT

#define _GNU_SOURCE
#include "wire_port.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SOCKET_BUFFER_BYTES = 64 << 20,
    // A stamp that is older than this, or from the future, is that of another clock.
    STAMP_MOST_NS = 1000000000,
    CONTROL_BYTES = 128,
    SEND_TRIES = 3,
};

// Newer than the headers of some systems. A kernel that does not know it takes no notice, and hears
// nothing either: what is sent past queues is shown to nobody.
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

static int64_t wall_ahead_ns;

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

uint64_t now_monotonic_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

void port_follow_clock(void) {
    int64_t best = INT64_MAX;

    // The reading that was interrupted least is the best one.
    for (int i = 0; i < 5; i++) {
        uint64_t before = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME);
        uint64_t after = clock_ns(CLOCK_MONOTONIC);
        if ((int64_t)(after - before) < best) {
            best = (int64_t)(after - before);
            wall_ahead_ns = (int64_t)(wall - (before + after) / 2);
        }
    }
}

static int set_option(int fd, int level, int option, const void *value, socklen_t bytes,
                      const char *name, const char **what) {
    if (!setsockopt(fd, level, option, value, bytes))
        return 0;
    *what = name;
    return errno;
}

// A group of one, to which the socket of a ring can be added.
static int make_group(int fd) {
    int group = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_ROLLOVER | PACKET_FANOUT_FLAG_UNIQUEID |
                PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    socklen_t bytes = sizeof(group);

    group = (int)((unsigned)group << 16);
    if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) ||
        getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, &bytes))
        return 0;
    return group;
}

int port_open(struct port *port, const char *name, const char **what) {
    const int on = 1, bytes = SOCKET_BUFFER_BYTES;
    int error = 0;

    *port = (struct port){.fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                          .ring = {.fd = -1}};
    port->out = port->fd;
    if (port->fd < 0) {
        *what = "opening a packet socket";
        return errno;
    }
    port->index = (int)if_nametoindex(name);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = port->index};
    struct packet_mreq everything = {.mr_ifindex = port->index, .mr_type = PACKET_MR_PROMISC};
    const struct {
        int level, option;
        const void *value;
        socklen_t bytes;
        const char *name;
    } options[] = {
        {SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes), "a large buffer"},
        {SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes), "a large buffer"},
        {SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on), "stamps of arrival"},
        {SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on), "unfinished checksums"},
        {SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on), "VLAN tags"},
        {SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on), "sending past queues"},
        {SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on), "not hearing what is sent"},
        {SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof(everything), "hearing all"},
    };
    if (!port->index) {
        *what = "finding the interface";
        error = errno;
    }
    for (size_t i = 0; !error && i < sizeof(options) / sizeof(*options); i++)
        error = set_option(port->fd, options[i].level, options[i].option, options[i].value,
                           options[i].bytes, options[i].name, what);
    if (!error && bind(port->fd, (struct sockaddr *)&address, sizeof(address))) {
        *what = "binding to the interface";
        error = errno;
    }
    if (error)
        port_close(port);
    else
        port->group = make_group(port->fd);
    return error;
}

void port_close(struct port *port) {
    if (port->out >= 0 && port->out != port->fd)
        close(port->out);
    if (port->fd >= 0)
        close(port->fd);
    ring_close(&port->ring);
    port->fd = port->out = -1;
}

int port_open_out(int *out, int index, const char **what) {
    const int on = 1, bytes = SOCKET_BUFFER_BYTES;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = index};
    int error = 0;

    *what = "a socket to send by";
    *out = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*out < 0)
        return errno;
    if (setsockopt(*out, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
        setsockopt(*out, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
        setsockopt(*out, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) ||
        bind(*out, (struct sockaddr *)&address, sizeof(address))) {
        error = errno;
        close(*out);
        *out = -1;
    }
    return error;
}

uint64_t port_arrival_ns(uint64_t stamp_ns, uint64_t now_ns) {
    uint64_t arrival_ns = stamp_ns - (uint64_t)wall_ahead_ns;

    return arrival_ns <= now_ns && now_ns - arrival_ns <= STAMP_MOST_NS ? arrival_ns : now_ns;
}

// What the kernel says beside a frame: when it came, and the VLAN tag that it took out.
static uint64_t take_notes(struct msghdr *message, struct frame *frame, uint64_t now_ns) {
    uint64_t arrival_ns = now_ns;

    for (struct cmsghdr *note = CMSG_FIRSTHDR(message); note; note = CMSG_NXTHDR(message, note)) {
        if (note->cmsg_level == SOL_SOCKET && note->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(note), sizeof(stamp));
            arrival_ns = port_arrival_ns(
                (uint64_t)stamp.tv_sec * 1000000000ULL + (uint64_t)stamp.tv_nsec, now_ns);
        } else if (note->cmsg_level == SOL_PACKET && note->cmsg_type == PACKET_AUXDATA) {
            struct tpacket_auxdata data;
            memcpy(&data, CMSG_DATA(note), sizeof(data));
            if (data.tp_status & TP_STATUS_VLAN_VALID)
                frame_put_tag(frame,
                              data.tp_status & TP_STATUS_VLAN_TPID_VALID ? data.tp_vlan_tpid
                                                                         : ETHERTYPE_VLAN,
                              data.tp_vlan_tci);
        }
    }
    return arrival_ns;
}

static uint64_t missed_since(int fd) {
    struct tpacket_stats stats;
    socklen_t bytes = sizeof(stats);

    // Asking sets it back to zero.
    return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes) ? 0 : stats.tp_drops;
}

uint64_t port_missed(const struct port *port) {
    return missed_since(port->fd) + (port->ring.memory ? missed_since(port->ring.fd) : 0);
}

void port_forget_error(const struct port *port) {
    int error;
    socklen_t bytes = sizeof(error);

    getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    if (port->ring.memory)
        getsockopt(port->ring.fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
}

uint32_t port_receive(struct port *port, struct slot **slots, uint64_t *arrivals_ns,
                      uint32_t wanted) {
    struct mmsghdr messages[PORT_BATCH];
    struct iovec parts[PORT_BATCH];
    union {
        struct cmsghdr aligned;
        char room[CONTROL_BYTES];
    } notes[PORT_BATCH];

    for (uint32_t i = 0; i < wanted; i++) {
        parts[i] = (struct iovec){slots[i]->data + SLOT_ROOM_BYTES - VNET_BYTES,
                                  slot_bytes[slots[i]->class] + VNET_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                              .msg_iovlen = 1,
                                              .msg_control = &notes[i],
                                              .msg_controllen = sizeof(notes[i])};
    }
    int count = recvmmsg(port->fd, messages, wanted, MSG_DONTWAIT, NULL);
    // Beside a ring only nothing is nothing: what overflows while these are sorted in is no less
    // in the order.
    port->more = port->ring.memory ? count > 0 : count == (int)wanted;
    if (count <= 0)
        return 0;
    uint64_t now_ns = now_monotonic_ns();
    uint32_t kept = 0;
    for (int i = 0; i < count; i++) {
        struct slot *slot = slots[i];
        if (messages[i].msg_hdr.msg_flags & MSG_TRUNC || messages[i].msg_len <= VNET_BYTES) {
            port->missed++;
            continue;
        }
        slot->frame = (struct frame){slot->data + SLOT_ROOM_BYTES,
                                     messages[i].msg_len - (uint32_t)VNET_BYTES};
        arrivals_ns[kept] = take_notes(&messages[i].msg_hdr, &slot->frame, now_ns);
        slots[i] = slots[kept];
        slots[kept++] = slot;
    }
    return kept;
}

uint32_t port_send(struct port *port, struct slot *const *slots, uint32_t count) {
    struct mmsghdr messages[PORT_BATCH];
    struct iovec parts[PORT_BATCH];
    uint32_t sent = 0, unsent = 0, tries = 0;

    for (uint32_t i = 0; i < count; i++) {
        parts[i] =
            (struct iovec){slots[i]->frame.data - VNET_BYTES, slots[i]->frame.bytes + VNET_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while (sent < count) {
        int done = sendmmsg(port->out, messages + sent, count - sent, MSG_DONTWAIT);
        if (done > 0) {
            sent += (uint32_t)done;
            tries = 0;
        } else if (errno != EINTR && ++tries >= SEND_TRIES) {
            sent++;
            unsent++;
            tries = 0;
        }
    }
    return unsent;
}
