// SPDX-License-Identifier: MIT
//
// The certificate's frames: sent at one end of a link, looked at bit by bit at the other.
//
// A shared library for emulator/wire/frames.py, which opens the sockets, says what to send, and
// draws the conclusions. All times are CLOCK_REALTIME, which is what the kernel stamps frames
// with as they come in: nobody has to be awake for that, so what is measured is the link.

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BATCH = 64,
    MAX_FRAME_BYTES = 9234,
    CONTROL_BYTES = 128,
    PATIENCE_MS = 2,
    // The number of a frame is in it three times, so that no flipped bit hides it.
    NUMBERS = 3,
    REALTIME_PRIORITY = 1,
    ECN_MASK = 3,
    IP_OFFSET = 14,
    IP_ECN_OFFSET = IP_OFFSET + 1,
    IP_CHECKSUM_OFFSET = IP_OFFSET + 10,
};

// Waking up takes a while, so the last stretch before a frame is due is spent looking at the clock.
#define SPIN_NS UINT64_C(80000)
#define LEAD_NS UINT64_C(2000000)

struct certify_trial {
    int32_t send_fd, receive_fd;
    uint32_t count;
    uint32_t frame_bytes;
    uint32_t number_offset; // where the number of a frame begins
    uint32_t ip;            // whether it is IPv4, and may be marked
    uint32_t batch;         // frames of one system call
    uint32_t realtime;
    uint64_t interval_ns; // of batches; 0: as fast as possible
    const uint8_t *frame;

    // Of each frame, by its number.
    uint64_t *sent_ns, *done_ns; // around the system call; 0: it was not taken
    uint64_t *first_ns, *second_ns;
    uint32_t *place; // of the first copy, in the order of arrival
    uint32_t *copies;
    int64_t *flipped; // the first bit that differs in any copy; -1: none
    uint8_t *marked;

    uint64_t strangers; // that came in and were none of ours, or damaged beyond one bit
    uint64_t overrun;   // came in and found no room in the socket
    int32_t error;
    // Set by the sender when it is done, and by the emulator to end either.
    uint32_t sent, stop;
    uint64_t until_ns; // the receiver's end, once it is known

    pthread_t sender, receiver;
};

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void wait_until(uint64_t when_ns) {
    uint64_t now = now_ns();

    if (when_ns > now + 2 * SPIN_NS) {
        uint64_t sleep_ns = when_ns - now - SPIN_NS;
        struct timespec sleep = {.tv_sec = (time_t)(sleep_ns / UINT64_C(1000000000)),
                                 .tv_nsec = (long)(sleep_ns % UINT64_C(1000000000))};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, NULL);
    }
    while (now_ns() < when_ns)
        ;
}

static void put_number(const struct certify_trial *trial, uint8_t *frame, uint32_t number) {
    for (int i = 0; i < NUMBERS; i++)
        memcpy(frame + trial->number_offset + (size_t)i * sizeof(number), &number, sizeof(number));
}

static void be_realtime(void) {
    struct sched_param parameters = {.sched_priority = REALTIME_PRIORITY};

    // Without it the trial is as good as the machine is idle.
    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
}

static void *send_frames(void *argument) {
    struct certify_trial *trial = argument;
    uint32_t batch = trial->batch;
    uint8_t *frames = malloc((size_t)batch * trial->frame_bytes);
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];

    if (!frames) {
        trial->error = ENOMEM;
        __atomic_store_n(&trial->sent, 1, __ATOMIC_RELEASE);
        return NULL;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    if (trial->realtime)
        be_realtime();
    for (uint32_t i = 0; i < batch; i++) {
        parts[i] = (struct iovec){frames + (size_t)i * trial->frame_bytes, trial->frame_bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        memcpy(parts[i].iov_base, trial->frame, trial->frame_bytes);
    }
    uint64_t due_ns = now_ns() + LEAD_NS;
    for (uint32_t next = 0; next < trial->count; due_ns += trial->interval_ns) {
        uint32_t some = trial->count - next < batch ? trial->count - next : batch;
        for (uint32_t i = 0; i < some; i++)
            put_number(trial, parts[i].iov_base, next + i);
        wait_until(due_ns);
        if (__atomic_load_n(&trial->stop, __ATOMIC_ACQUIRE))
            break;
        uint64_t before = now_ns();
        int done = sendmmsg(trial->send_fd, messages, some, MSG_DONTWAIT);
        uint64_t after = now_ns();
        if (done < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
            trial->error = errno;
            break;
        }
        for (int i = 0; i < done; i++) {
            trial->sent_ns[next + (uint32_t)i] = before;
            trial->done_ns[next + (uint32_t)i] = after;
        }
        // Those that were not taken stay unsent where there is a time for each.
        if (trial->interval_ns)
            next += some;
        else if (done > 0)
            next += (uint32_t)done;
    }
    free(frames);
    __atomic_store_n(&trial->sent, 1, __ATOMIC_RELEASE);
    return NULL;
}

static uint32_t number_of(const struct certify_trial *trial, const uint8_t *frame) {
    uint32_t each[NUMBERS];

    memcpy(each, frame + trial->number_offset, sizeof(each));
    return (each[0] & each[1]) | (each[0] & each[2]) | (each[1] & each[2]);
}

static int was_marked(const struct certify_trial *trial, uint8_t *frame) {
    if (!trial->ip || (frame[IP_ECN_OFFSET] & ECN_MASK) != ECN_MASK ||
        !memcmp(frame + IP_CHECKSUM_OFFSET, trial->frame + IP_CHECKSUM_OFFSET, 2))
        return 0;
    frame[IP_ECN_OFFSET] = trial->frame[IP_ECN_OFFSET];
    memcpy(frame + IP_CHECKSUM_OFFSET, trial->frame + IP_CHECKSUM_OFFSET, 2);
    return 1;
}

// How many bits differ from the frame that was sent, and which is the first of them.
static uint32_t differing(const uint8_t *frame, const uint8_t *sent, uint32_t bytes,
                          int64_t *first) {
    uint32_t bits = 0;

    *first = -1;
    if (!memcmp(frame, sent, bytes))
        return 0;
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t difference = frame[i] ^ sent[i];
        if (difference && *first < 0)
            *first = 8 * (int64_t)i + __builtin_ctz(difference);
        bits += (uint32_t)__builtin_popcount(difference);
    }
    return bits;
}

static void look_at(struct certify_trial *trial, uint8_t *frame, uint32_t bytes, uint64_t stamp_ns,
                    uint32_t *arrivals) {
    uint8_t sent[MAX_FRAME_BYTES];
    int64_t flipped;

    uint32_t number = bytes == trial->frame_bytes ? number_of(trial, frame) : UINT32_MAX;
    if (number >= trial->count) {
        trial->strangers++;
        return;
    }
    int marked = was_marked(trial, frame);
    memcpy(sent, trial->frame, bytes);
    put_number(trial, sent, number);
    if (differing(frame, sent, bytes, &flipped) > 1) {
        trial->strangers++;
        return;
    }
    if (flipped >= 0)
        trial->flipped[number] = flipped;
    trial->marked[number] |= (uint8_t)marked;
    uint32_t copy = trial->copies[number]++;
    if (copy == 0) {
        trial->first_ns[number] = stamp_ns;
        trial->place[number] = (*arrivals)++;
    } else if (copy == 1) {
        trial->second_ns[number] = stamp_ns;
    }
}

static uint64_t stamp_of(struct msghdr *message) {
    struct timespec stamp = {0};

    for (struct cmsghdr *note = CMSG_FIRSTHDR(message); note; note = CMSG_NXTHDR(message, note)) {
        if (note->cmsg_level == SOL_SOCKET && note->cmsg_type == SCM_TIMESTAMPNS)
            memcpy(&stamp, CMSG_DATA(note), sizeof(stamp));
    }
    return (uint64_t)stamp.tv_sec * UINT64_C(1000000000) + (uint64_t)stamp.tv_nsec;
}

static void *receive_frames(void *argument) {
    struct certify_trial *trial = argument;
    uint8_t *frames = malloc((size_t)BATCH * MAX_FRAME_BYTES);
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    union {
        struct cmsghdr aligned;
        char room[CONTROL_BYTES];
    } notes[BATCH];
    struct pollfd readable = {.fd = trial->receive_fd, .events = POLLIN};
    uint32_t arrivals = 0;

    if (!frames) {
        trial->error = ENOMEM;
        return NULL;
    }
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){frames + (size_t)i * MAX_FRAME_BYTES, MAX_FRAME_BYTES};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = &notes[i],
                                                  .msg_controllen = sizeof(notes[i])};
        }
        int count = recvmmsg(trial->receive_fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (count <= 0) {
            uint64_t until_ns = __atomic_load_n(&trial->until_ns, __ATOMIC_ACQUIRE);
            if (__atomic_load_n(&trial->stop, __ATOMIC_ACQUIRE) ||
                (until_ns && now_ns() > until_ns))
                break;
            poll(&readable, 1, PATIENCE_MS);
            continue;
        }
        for (int i = 0; i < count; i++)
            look_at(trial, parts[i].iov_base, messages[i].msg_len, stamp_of(&messages[i].msg_hdr),
                    &arrivals);
    }
    free(frames);
    return NULL;
}

// Begin to send and to receive; 0, or an errno.
int certify_start(struct certify_trial *trial) {
    if (!trial->count || !trial->batch || trial->batch > BATCH ||
        trial->frame_bytes > MAX_FRAME_BYTES ||
        trial->number_offset + NUMBERS * sizeof(uint32_t) > trial->frame_bytes)
        return EINVAL;
    int error = pthread_create(&trial->receiver, NULL, receive_frames, trial);
    if (error)
        return error;
    error = pthread_create(&trial->sender, NULL, send_frames, trial);
    if (error) {
        __atomic_store_n(&trial->stop, 1, __ATOMIC_RELEASE);
        pthread_join(trial->receiver, NULL);
    }
    return error;
}

// Wait for the ends of both; they are near once stop is set, or until_ns is over.
int certify_finish(struct certify_trial *trial) {
    pthread_join(trial->sender, NULL);
    pthread_join(trial->receiver, NULL);
    return trial->error;
}

uint64_t certify_trial_bytes(void) {
    return sizeof(struct certify_trial);
}
