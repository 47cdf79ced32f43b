/* The app mechanism's sender: packets through an AF_PACKET socket, on an open-loop schedule. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common.h"

#define MAX_BATCH 64

/* Waking up takes a while, so the last stretch before a packet is due is spent looking at the
 * clock. */
#define SPIN_NS (50 * NS_PER_US)

/* As long as the generator is not behind, it looks that often whether the time is over. */
#define MAX_SLEEP_NS (10 * NS_PER_S / 1000)

struct sender {
    struct probe_block *block;
    uint64_t *sent_ns; /* NULL: not recorded */
    int fd;
    uint64_t end_ns;
    uint64_t places[MAX_BATCH];
    struct mmsghdr messages[MAX_BATCH];
    struct iovec vectors[MAX_BATCH];
    uint8_t *frames;
};

static struct probe_stamp *stamp_of(struct sender *sender, unsigned int i) {
    return (void *)(sender->frames + i * PROBE_MAX_FRAME_BYTES + PROBE_STAMP_OFFSET);
}

static void prepare(struct sender *sender) {
    struct probe_block *block = sender->block;

    sender->frames = calloc(MAX_BATCH, PROBE_MAX_FRAME_BYTES);
    if (!sender->frames)
        fail(block, PROBE_AT_MEMORY);
    for (unsigned int i = 0; i < MAX_BATCH; i++) {
        uint8_t *frame = sender->frames + i * PROBE_MAX_FRAME_BYTES;

        memcpy(frame, block->frame, block->frame_bytes);
        sender->vectors[i] = (struct iovec){.iov_base = frame, .iov_len = block->frame_bytes};
        sender->messages[i].msg_hdr.msg_iov = &sender->vectors[i];
        sender->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

/* Stamp every packet that is due, and return how many there are. */
static unsigned int stamp_due(struct sender *sender, uint64_t now) {
    struct probe_progress *progress = &sender->block->progress;
    unsigned int due = 0;
    __u64 due_ns;

    while (due < sender->block->batch &&
           probe_is_due(&sender->block->schedule, progress, now, &due_ns)) {
        struct probe_stamp *stamp = stamp_of(sender, due);

        stamp->seq = (uint32_t)progress->next;
        stamp->intended_ns = due_ns;
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
    progress->sent += sent;
    progress->last_sent_ns = now;
}

/* A packet that the socket does not take at once stays unsent: waiting would delay those after it.
 */
static void send_batch(struct sender *sender, unsigned int packets, uint64_t now) {
    unsigned int done = 0;

    while (done < packets) {
        int sent = sendmmsg(sender->fd, sender->messages + done, packets - done, MSG_DONTWAIT);

        if (sent > 0) {
            note_sent(sender, done, (unsigned int)sent, now);
            done += (unsigned int)sent;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            done++;
        } else if (errno != EINTR) {
            fail(sender->block, PROBE_AT_TRANSFER);
        }
    }
}

static void wait_for_next(struct sender *sender, uint64_t now) {
    const struct probe_progress *progress = &sender->block->progress;
    uint64_t due = probe_due(&sender->block->schedule, progress->start_ns, progress->next);

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

    if (block->batch > MAX_BATCH)
        block->batch = MAX_BATCH;
    prepare(&sender);
    if (block->memory_fd >= 0)
        sender.sent_ns = map_memory(block, sizeof(*sender.sent_ns));
    sender.fd = open_packet_socket(block, 0);
    /* Without this a sleep may last 50 us longer than asked, so that the kernel wakes up less. */
    if (prctl(PR_SET_TIMERSLACK, 1UL))
        fail(block, PROBE_AT_TIMER);
    stay_on_core(block);
    tell_ready(block);
    before = usage_now();
    progress->start_ns = now_ns() + PROBE_LEAD_NS;
    sender.end_ns = progress->start_ns + block->duration_ns;
    if (block->schedule.interval)
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
