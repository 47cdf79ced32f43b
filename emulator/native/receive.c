/* The app mechanism's receiver, and its reflector: packets from an AF_PACKET socket. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common.h"
#include "packet.h"

#define MAX_BATCH 64

/* How often a receiver that hears nothing looks whether it should end. */
#define PATIENCE_US 5000

/*
 * A receiver whose packets come at shorter gaps than that looks for the next one so long before it
 * sleeps: at high rates its sender need not wake it for each packet. At longer gaps it sleeps at
 * once, for looking on would only keep whoever its packet woke up from a core they share: a round
 * trip in which the reflector looked on took 22 us longer there.
 */
#define SPIN_NS (20 * NS_PER_US)

struct receiver {
    struct probe_block *block;
    struct probe_record *records; /* NULL: not recorded */
    uint32_t *remembered;
    int fd;
    struct mmsghdr messages[MAX_BATCH];
    struct iovec vectors[MAX_BATCH];
    uint8_t *frames;
};

static void prepare(struct receiver *receiver) {
    struct probe_block *block = receiver->block;
    struct timeval patience = {.tv_usec = PATIENCE_US};

    receiver->frames = calloc(MAX_BATCH, PROBE_MAX_FRAME_BYTES);
    receiver->remembered = calloc(PROBE_REMEMBERED, sizeof(*receiver->remembered));
    if (!receiver->frames || !receiver->remembered)
        fail(block, PROBE_AT_MEMORY);
    if (block->memory_fd >= 0)
        receiver->records =
            map_memory(block, block->memory_fd, block->schedule.count * sizeof(*receiver->records));
    for (unsigned int i = 0; i < MAX_BATCH; i++) {
        receiver->vectors[i].iov_base = receiver->frames + i * PROBE_MAX_FRAME_BYTES;
        receiver->vectors[i].iov_len = PROBE_MAX_FRAME_BYTES;
        receiver->messages[i].msg_hdr.msg_iov = &receiver->vectors[i];
        receiver->messages[i].msg_hdr.msg_iovlen = 1;
    }
    keep_port_quiet(block);
    receiver->fd = open_packet_socket(block, 1);
    if (setsockopt(receiver->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
        fail(block, PROBE_AT_SOCKET);
}

static void note(struct receiver *receiver, uint32_t seq, unsigned int bytes, uint64_t now) {
    struct probe_counts *counts = &receiver->block->counts;
    int first = 0;

    if (seq >= receiver->block->schedule.count)
        counts->damaged++;
    else if (receiver->records)
        first = probe_note_record(counts, &receiver->records[seq], seq, now);
    else
        first =
            probe_note_remembered(counts, &receiver->remembered[seq % PROBE_REMEMBERED], seq, now);
    if (first)
        counts->bytes += bytes;
}

static void send_back(struct receiver *receiver, unsigned int packets) {
    unsigned int done = 0;

    for (unsigned int i = 0; i < packets; i++) {
        packet_turn_round(receiver->vectors[i].iov_base);
        receiver->vectors[i].iov_len = receiver->messages[i].msg_len;
    }
    while (done < packets) {
        int sent = sendmmsg(receiver->fd, receiver->messages + done, packets - done, 0);

        if (sent > 0)
            done += (unsigned int)sent;
        else if (errno == ENOBUFS || errno == EAGAIN)
            done++;
        else if (errno != EINTR)
            fail(receiver->block, PROBE_AT_TRANSFER);
    }
    for (unsigned int i = 0; i < packets; i++)
        receiver->vectors[i].iov_len = PROBE_MAX_FRAME_BYTES;
}

/* The kernel counts what it threw away because we were too slow to take it. */
static void report_overrun(struct receiver *receiver) {
    struct tpacket_stats statistics = {0};
    socklen_t bytes = sizeof(statistics);

    if (getsockopt(receiver->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &bytes))
        fail(receiver->block, PROBE_AT_SOCKET);
    receiver->block->overrun = statistics.tp_drops;
}

static int is_over(const struct probe_block *block, uint64_t now) {
    uint64_t ended = __atomic_load_n(&block->sending_ended_ns, __ATOMIC_ACQUIRE);
    uint64_t heard = block->counts.last_ns > ended ? block->counts.last_ns : ended;

    return now > block->deadline_ns || (ended && now > heard + block->quiet_ns);
}

void receive_packets(struct probe_block *block) {
    struct receiver receiver = {.block = block};
    uint64_t now = 0, last = 0, look_until = 0;

    prepare(&receiver);
    tell_ready(block);
    while (!is_over(block, now)) {
        int flags = now < look_until ? MSG_DONTWAIT : MSG_WAITFORONE;
        int packets = recvmmsg(receiver.fd, receiver.messages, MAX_BATCH, flags, NULL);

        now = now_ns();
        if (packets < 0) {
            if (errno != EAGAIN && errno != EINTR)
                fail(block, PROBE_AT_TRANSFER);
            continue;
        }
        look_until = now < last + SPIN_NS ? now + SPIN_NS : 0;
        last = now;
        for (int i = 0; i < packets; i++) {
            const struct probe_stamp *stamp =
                (void *)(receiver.frames + i * PROBE_MAX_FRAME_BYTES + PROBE_STAMP_OFFSET);

            note(&receiver, stamp->seq, receiver.messages[i].msg_len, now);
        }
        if (block->role == PROBE_REFLECT)
            send_back(&receiver, (unsigned int)packets);
    }
    report_overrun(&receiver);
    block->ended_ns = now_ns();
}
