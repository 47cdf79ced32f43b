/* The app mechanism's sender: packets through an AF_PACKET socket, on an open-loop schedule. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common.h"

#define MAX_BATCH 64

/* Ethernet, IPv4 and UDP: what comes before the payload. */
#define HEADERS_BYTES PROBE_STAMP_OFFSET
#define IP_OFFSET     14
#define UDP_OFFSET    34

/* IPv4 counts the bytes of a packet in 16 bits, also of one that will be cut into several. */
#define MAX_JOINT_BYTES 65000

/* Headers before Linux 6.2 do not have it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Waking up takes a while, so the last stretch before a packet is due is spent looking at the
 * clock. */
#define SPIN_NS (50 * NS_PER_US)

/* As long as the generator is not behind, it looks that often whether the time is over. */
#define MAX_SLEEP_NS (10 * NS_PER_S / 1000)

struct sender {
    struct probe_block *block;
    uint64_t *sent_ns;              /* NULL: not recorded */
    const uint64_t *due_after_ns;   /* NULL: not planned */
    const struct probe_size *sizes; /* NULL: all are as large */
    int fd;
    uint64_t end_ns;
    uint64_t places[MAX_BATCH];
    size_t payload_at[MAX_BATCH]; /* one behind the other */
    size_t payload_bytes[MAX_BATCH];
    struct joint *joint;
    unsigned int batch;
    unsigned int at_once; /* packets that the kernel takes as one */
};

/*
 * Packets that are due together go to the kernel as one, which it cuts into what they are: more
 * than twice as many per second as with a call that takes many packets. They must be of one size.
 */
struct joint {
    struct virtio_net_hdr header;
    uint8_t headers[HEADERS_BYTES];
    uint8_t payloads[];
} __attribute__((packed));

static void put_be16(uint8_t *where, size_t value) {
    where[0] = (uint8_t)(value >> 8);
    where[1] = (uint8_t)value;
}

/* RFC 1071, over an even number of bytes and on top of a sum so far; not inverted. */
static uint16_t internet_sum(const uint8_t *data, size_t bytes, uint32_t sum) {
    for (size_t i = 0; i < bytes; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void prepare(struct sender *sender) {
    struct probe_block *block = sender->block;
    size_t largest = block->frame_bytes - HEADERS_BYTES, fitting = MAX_JOINT_BYTES / largest;

    sender->batch = block->batch < MAX_BATCH ? block->batch : MAX_BATCH;
    if (sender->batch > fitting)
        sender->batch = (unsigned int)fitting;
    sender->at_once = sender->batch;
    sender->joint = calloc(1, sizeof(*sender->joint) + sender->batch * largest);
    if (!sender->joint)
        fail(block, PROBE_AT_MEMORY);
    memcpy(sender->joint->headers, block->frame, HEADERS_BYTES);
    if (block->memory_fd >= 0)
        sender->sent_ns =
            map_memory(block, block->memory_fd, block->schedule.count * sizeof(*sender->sent_ns));
    if (block->schedule.planned)
        sender->due_after_ns = map_memory(block, block->plan_fd,
                                          block->schedule.count * sizeof(*sender->due_after_ns));
    if (block->sizes)
        sender->sizes = map_memory(block, block->sizes_fd, block->sizes * sizeof(*sender->sizes));
}

/* Write the lengths and checksums of the packet that so many packets make together. */
static void join(struct sender *sender, unsigned int packets, size_t payload_bytes) {
    struct joint *joint = sender->joint;
    uint8_t *ip = joint->headers + IP_OFFSET, *udp = joint->headers + UDP_OFFSET;
    size_t udp_bytes = HEADERS_BYTES - UDP_OFFSET + packets * payload_bytes;

    memset(&joint->header, 0, sizeof(joint->header));
    put_be16(ip + 2, UDP_OFFSET - IP_OFFSET + udp_bytes);
    put_be16(ip + 10, 0);
    put_be16(ip + 10, (uint16_t)~internet_sum(ip, UDP_OFFSET - IP_OFFSET, 0));
    put_be16(udp + 4, udp_bytes);
    put_be16(udp + 6, 0);
    if (packets > 1) {
        /* The kernel insists on making a checksum for each; it begins with that of the addresses.
         */
        joint->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        joint->header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        joint->header.hdr_len = HEADERS_BYTES;
        joint->header.gso_size = (uint16_t)payload_bytes;
        joint->header.csum_start = UDP_OFFSET;
        joint->header.csum_offset = 6;
        put_be16(udp + 6, internet_sum(ip + 12, 8, (uint32_t)(IPPROTO_UDP + udp_bytes)));
    }
}

/* As probe_is_due, whatever the schedule. */
static int is_due(struct sender *sender, uint64_t now, __u64 *due_ns) {
    struct probe_block *block = sender->block;
    struct probe_progress *progress = &block->progress;

    if (!sender->due_after_ns)
        return probe_is_due(&block->schedule, progress, now, due_ns);
    for (; progress->next < block->schedule.count; progress->next++) {
        enum probe_when when =
            probe_when(progress->start_ns, sender->due_after_ns[progress->next], now, due_ns);

        if (when != PROBE_TOO_LATE)
            return when == PROBE_NOW;
    }
    return 0;
}

static size_t payload_bytes_at(const struct sender *sender, uint64_t place) {
    const struct probe_block *block = sender->block;
    size_t frame_bytes =
        sender->sizes ? sender->sizes[place % block->sizes].frame_bytes : block->frame_bytes;

    return frame_bytes - HEADERS_BYTES;
}

/* Stamp every packet that is due, and return how many there are. */
static unsigned int stamp_due(struct sender *sender, uint64_t now) {
    struct probe_progress *progress = &sender->block->progress;
    unsigned int due = 0;
    size_t end = 0;
    __u64 due_ns;

    while (due < sender->batch && is_due(sender, now, &due_ns)) {
        struct probe_stamp *stamp = (void *)(sender->joint->payloads + end);

        stamp->magic = PROBE_STAMP_MAGIC;
        stamp->flow = (__u16)sender->block->flow;
        stamp->seq = (uint32_t)progress->next;
        stamp->intended_ns = due_ns;
        sender->payload_at[due] = end;
        sender->payload_bytes[due] = payload_bytes_at(sender, progress->next);
        end += sender->payload_bytes[due];
        sender->places[due++] = progress->next++;
    }
    return due;
}

static void note_sent(struct sender *sender, unsigned int first, unsigned int sent, uint64_t now) {
    struct probe_progress *progress = &sender->block->progress;

    if (sender->sent_ns) {
        for (unsigned int i = first; i < first + sent; i++)
            sender->sent_ns[sender->places[i]] = now;
    }
    progress->bytes += sent * (HEADERS_BYTES + sender->payload_bytes[first]);
    progress->sent += sent;
    progress->last_sent_ns = now_ns(); /* the call itself is part of how long sending took */
}

static int send_joint(struct sender *sender, unsigned int first, unsigned int packets) {
    size_t payload_bytes = sender->payload_bytes[first];
    struct iovec parts[] = {
        {.iov_base = sender->joint, .iov_len = sizeof(*sender->joint)},
        {.iov_base = sender->joint->payloads + sender->payload_at[first],
         .iov_len = packets * payload_bytes},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    join(sender, packets, payload_bytes);
    return sendmsg(sender->fd, &message, MSG_DONTWAIT) < 0 ? errno : 0;
}

/* How many of the packets from the first on can go as one. */
static unsigned int alike(const struct sender *sender, unsigned int first, unsigned int packets) {
    unsigned int next = first + 1;

    while (next < packets && next - first < sender->at_once &&
           sender->payload_bytes[next] == sender->payload_bytes[first])
        next++;
    return next - first;
}

/*
 * Packets that the socket does not take at once stay unsent: waiting would delay those after them.
 * When the interface drops some of many, they have all been sent, and those that it dropped are
 * lost.
 */
static void send_batch(struct sender *sender, unsigned int packets, uint64_t now) {
    unsigned int done = 0;

    while (done < packets) {
        unsigned int some = alike(sender, done, packets);
        int error = send_joint(sender, done, some);

        if (error == EINTR)
            continue;
        if (error == EINVAL && some > 1) {
            sender->at_once = 1; /* Linux cuts such packets since 6.2 */
            continue;
        }
        if (!error || (error == ENOBUFS && some > 1))
            note_sent(sender, done, some, now);
        else if (error != EAGAIN && error != ENOBUFS)
            fail(sender->block, PROBE_AT_TRANSFER);
        done += some;
    }
}

static void wait_for_next(struct sender *sender, uint64_t now) {
    const struct probe_block *block = sender->block;
    const struct probe_progress *progress = &block->progress;
    uint64_t due;

    if (progress->next >= block->schedule.count)
        return;
    due = sender->due_after_ns ? progress->start_ns + sender->due_after_ns[progress->next]
                               : probe_due(&block->schedule, progress->start_ns, progress->next);
    if (due > now + MAX_SLEEP_NS)
        due = now + MAX_SLEEP_NS;
    if (due > now + 2 * SPIN_NS)
        sleep_until(due - SPIN_NS);
}

void send_packets(struct probe_block *block) {
    struct sender sender = {.block = block};
    struct probe_progress *progress = &block->progress;
    struct usage before;
    uint64_t now;

    prepare(&sender);
    sender.fd = open_packet_socket(block, 0);
    /* Without this a sleep may last 50 us longer than asked, so that the kernel wakes up less. */
    if (prctl(PR_SET_TIMERSLACK, 1UL))
        fail(block, PROBE_AT_TIMER);
    stay_on_core(block);
    tell_ready(block);
    await_go(block);
    before = usage_now();
    progress->start_ns = now_ns() + PROBE_LEAD_NS;
    sender.end_ns = progress->start_ns + block->duration_ns;
    if (probe_has_pace(&block->schedule))
        sender.end_ns += PROBE_BEHIND_NS;
    while ((now = now_ns()) < sender.end_ns && progress->next < block->schedule.count) {
        unsigned int due = stamp_due(&sender, now);

        if (due)
            send_batch(&sender, due, now);
        else
            wait_for_next(&sender, now);
    }
    report_usage(block, &before);
}
