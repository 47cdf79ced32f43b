/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Runs a VNF on AF_PACKET sockets: frames come through a ring that the kernel fills (TPACKET_V2)
 * and leave in batches (sendmmsg), straight from the ring's memory.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The kernel notes it in the ring. */
#define PORT_ARRIVAL

#include "hostpath.h"
#include "run.h"

#define RING_FRAMES   2048
#define ETH_TAG_BYTES 4
#define BLOCK_BYTES   (1 << 18)
#define SEND_RETRIES  3

static struct port {
    int fd;
    __u8 *ring;
    __u32 frame_bytes;
    __u32 next;
} ports[VNF_MAX_PORTS];

static __u8 copies[VNF_BURST_FRAMES][65536];
static __u32 next_copy;

static void set_option(struct port *port, const char *name, int option, const void *value,
                       socklen_t bytes) {
    if (setsockopt(port->fd, SOL_PACKET, option, value, bytes))
        vnf_fail(EXIT_MACHINE, NULL, "%s: the packet socket refuses %s: %s",
                 vnf.port_name[port - ports], name, strerror(errno));
}

static __u32 mtu_of(int fd, const char *name) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, SIOCGIFMTU, &request))
        vnf_fail(EXIT_FAILED, NULL, "%s: there is no such interface", name);
    return (__u32)request.ifr_mtu;
}

static const char *port_open(__u32 number) {
    struct port *port = &ports[number];
    const char *name = vnf.port_name[number];
    int version = TPACKET_V2, yes = 1, headroom = VNF_HEADROOM_BYTES + ETH_TAG_BYTES;

    port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->fd < 0)
        vnf_fail(EXIT_MACHINE, "it needs CAP_NET_RAW", "%s: no packet socket: %s", name,
                 strerror(errno));
    __u32 whole = mtu_of(port->fd, name) + ETH_HLEN + ETH_TAG_BYTES + headroom +
                  VNF_TAILROOM_BYTES + TPACKET2_HDRLEN;
    port->frame_bytes = 2048;
    while (port->frame_bytes < whole)
        port->frame_bytes *= 2;
    set_option(port, "TPACKET_V2", PACKET_VERSION, &version, sizeof(version));
    set_option(port, "headroom", PACKET_RESERVE, &headroom, sizeof(headroom));
    set_option(port, "PACKET_IGNORE_OUTGOING", PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
    if (vnf_ignore_marked(port->fd))
        vnf_fail(EXIT_MACHINE, NULL, "%s: the packet socket takes no filter: %s", name,
                 strerror(errno));
    set_option(port, "PACKET_QDISC_BYPASS", PACKET_QDISC_BYPASS, &yes, sizeof(yes));
    struct tpacket_req ring = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = RING_FRAMES / (BLOCK_BYTES / port->frame_bytes),
        .tp_frame_size = port->frame_bytes,
        .tp_frame_nr = RING_FRAMES,
    };
    set_option(port, "its ring", PACKET_RX_RING, &ring, sizeof(ring));
    size_t bytes = (size_t)RING_FRAMES * port->frame_bytes;
    port->ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd, 0);
    if (port->ring == MAP_FAILED)
        vnf_fail(EXIT_MACHINE, NULL, "%s: no memory for the ring: %s", name, strerror(errno));
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(name),
    };
    if (bind(port->fd, (struct sockaddr *)&address, sizeof(address)))
        vnf_fail(EXIT_FAILED, NULL, "%s: the packet socket cannot be bound: %s", name,
                 strerror(errno));
    struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    set_option(port, "promiscuous mode", PACKET_ADD_MEMBERSHIP, &all, sizeof(all));
    return "AF_PACKET ring";
}

/* The kernel takes a VLAN tag out of the frame; it belongs back behind the addresses. */
static void put_tag_back(struct vnf_packet *packet, const struct tpacket2_hdr *header) {
    __be16 tag[2] = {htons(ETH_P_8021Q), htons(header->tp_vlan_tci)};
    if (header->tp_status & TP_STATUS_VLAN_TPID_VALID)
        tag[0] = htons(header->tp_vlan_tpid);
    packet->data -= sizeof(tag);
    memmove(packet->data, packet->data + sizeof(tag), 2 * ETH_ALEN);
    memcpy(packet->data + 2 * ETH_ALEN, tag, sizeof(tag));
}

static void drop_oversize(__u32 number, struct tpacket2_hdr *header) {
    struct port_counters *counters = &vnf.shared->counters[number];
    counters->rx_packets++;
    counters->rx_bytes += header->tp_len;
    counters->dropped_packets++;
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static __u32 port_receive(__u32 number, struct vnf_packet *packets, __u32 room) {
    struct port *port = &ports[number];
    __u32 count = 0;
    while (count < room) {
        struct tpacket2_hdr *header =
            (struct tpacket2_hdr *)(port->ring + (size_t)port->next * port->frame_bytes);
        __u32 status = __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
        if (!(status & TP_STATUS_USER))
            break;
        port->next = (port->next + 1) % RING_FRAMES;
        if (header->tp_len > header->tp_snaplen) {
            drop_oversize(number, header);
            continue;
        }
        struct vnf_packet *packet = &packets[count++];
        packet->data = (__u8 *)header + header->tp_mac;
        packet->end = packet->data + header->tp_snaplen;
        packet->floor = (__u8 *)header + TPACKET2_HDRLEN;
        packet->ceiling = (__u8 *)header + port->frame_bytes;
        packet->handle = header;
        if (status & TP_STATUS_VLAN_VALID)
            put_tag_back(packet, header);
    }
    return count;
}

static __u64 port_arrival_real_ns(const struct vnf_packet *packet) {
    const struct tpacket2_hdr *header = packet->handle;
    return header->tp_sec * 1000000000ULL + header->tp_nsec;
}

static void give_back(struct vnf_packet *packets, __u32 count) {
    for (__u32 i = 0; i < count; i++) {
        struct tpacket2_hdr *header = packets[i].handle;
        if (header)
            __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
}

static void swap(struct vnf_packet *a, struct vnf_packet *b) {
    struct vnf_packet kept = *a;
    *a = *b;
    *b = kept;
}

static __u32 port_send(__u32 number, struct vnf_packet *packets, __u32 count) {
    struct mmsghdr messages[VNF_BURST_FRAMES];
    struct iovec parts[VNF_BURST_FRAMES];
    __u32 sent = 0, at = 0;
    int retries = 0;

    for (__u32 i = 0; i < count; i++) {
        parts[i].iov_base = packets[i].data;
        parts[i].iov_len = (size_t)(packets[i].end - packets[i].data);
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    while (at < count) {
        int now = sendmmsg(ports[number].fd, messages + at, count - at, 0);
        for (int i = 0; i < now; i++)
            swap(&packets[sent++], &packets[at++]);
        if (now > 0)
            continue;
        if (errno == EMSGSIZE || errno == EINVAL)
            at++; /* of a length that the port does not take: the others can go */
        else if (errno == ENETDOWN || ++retries == SEND_RETRIES)
            break;
    }
    give_back(packets, count);
    return sent;
}

static void port_release(__u32 number, struct vnf_packet *packets, __u32 count) {
    (void)number;
    give_back(packets, count);
}

static int port_copy(__u32 number, const struct vnf_packet *packet, struct vnf_packet *copy) {
    size_t length = (size_t)(packet->end - packet->data);
    (void)number;
    if (length > sizeof(copies[0]))
        return -1;
    __u8 *data = memcpy(copies[next_copy++ % VNF_BURST_FRAMES], packet->data, length);
    *copy = (struct vnf_packet){.data = data, .end = data + length, .handle = NULL};
    return 0;
}

static __u32 port_wait(struct pollfd *fds) {
    for (__u32 port = 0; port < vnf.ports; port++) {
        int error;
        socklen_t bytes = sizeof(error);
        /* That a port went down is told once; left unread, it would end every wait at once. */
        getsockopt(ports[port].fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
        fds[port] = (struct pollfd){.fd = ports[port].fd, .events = POLLIN};
    }
    return vnf.ports;
}

static void port_close(__u32 port) {
    close(ports[port].fd);
}

int main(int argc, char **argv) {
    vnf_options(argc, argv, NULL);
    vnf_run();
    return 0;
}
