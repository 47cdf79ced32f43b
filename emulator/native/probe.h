/*
 * What the parts of the probe agree on: the stamp inside a packet, the schedule, what is kept of
 * each packet, and the block of memory through which the emulator steers vnf-probe and reads its
 * report. emulator/traffic/native.py mirrors the structures; PROBE_VERSION changes with them.
 *
 * Included by BPF programs and by user space alike, so it uses the kernel's types only.
 */
#ifndef PROBE_H
#define PROBE_H

#include <linux/types.h>

#define PROBE_BLOCK_MAGIC 0x50464e56 /* "VNFP" */
#define PROBE_VERSION     3

/* Ethernet, IPv4 without options and UDP come before the stamp; two spare bytes come after it. */
#define PROBE_STAMP_OFFSET     42
#define PROBE_SEQ_OFFSET       46
#define PROBE_INTENDED_OFFSET  50
#define PROBE_HEAD_BYTES       60
#define PROBE_MAX_FRAME_BYTES  9216
#define PROBE_STAMP_MAGIC      0x564e
#define PROBE_SOURCE_PORT      9998
#define PROBE_DESTINATION_PORT 9999

/* All fields in the machine's byte order: the packet never leaves this machine. */
struct probe_stamp {
    __u16 magic;
    __u16 flow; /* of this trial: packets of an earlier one that are still about do not count */
    __u32 seq;
    __u64 intended_ns;
} __attribute__((packed));

/* Times are CLOCK_MONOTONIC, in ns; an interval is in units of 2^-20 ns. */
#define PROBE_FRACTION_BITS 20

/* Between being ready to send and the first packet. */
#define PROBE_LEAD_NS 200000

/* A packet later than this is not sent at all: it counts as unsent, never as slow or lost. */
#define PROBE_BEHIND_NS 1000000

struct probe_schedule {
    __u64 interval; /* 0: no equal distances; if not planned either, as fast as possible */
    __u64 count;    /* places in the schedule */
    __u64 planned;  /* not 0: a table says when each packet is due, in ns after the start */
};

static inline int probe_has_pace(const struct probe_schedule *schedule) {
    return schedule->interval || schedule->planned;
}

struct probe_progress {
    __u64 start_ns; /* when the packet at place 0 is due; 0: the generator has not run yet */
    __u64 next;     /* the next place in the schedule */
    __u64 sent;
    __u64 last_sent_ns;
    __u64 bytes; /* sent, without frame check sequences; not counted where all frames are alike */
};

static inline __u64 probe_due(const struct probe_schedule *schedule, __u64 start_ns, __u64 place) {
    return start_ns + ((place * schedule->interval) >> PROBE_FRACTION_BITS);
}

/*
 * Whether a packet is to be sent now. Sets when it was due, and once the next one is too late to be
 * sent, moves on to the present: catching up would only make a burst.
 */
static inline int probe_is_due(const struct probe_schedule *schedule,
                               struct probe_progress *progress, __u64 now, __u64 *due_ns) {
    __u64 start = progress->start_ns;

    if (progress->next >= schedule->count || now < start)
        return 0;
    if (!schedule->interval) {
        *due_ns = now;
        return 1;
    }
    *due_ns = probe_due(schedule, start, progress->next);
    if (now < *due_ns)
        return 0;
    if (now - *due_ns > PROBE_BEHIND_NS) {
        progress->next = ((now - start) << PROBE_FRACTION_BITS) / schedule->interval;
        *due_ns = probe_due(schedule, start, progress->next);
        if (now - *due_ns > PROBE_BEHIND_NS)
            progress->next++;
        return now - *due_ns <= PROBE_BEHIND_NS && progress->next < schedule->count;
    }
    return 1;
}

enum probe_when {
    PROBE_NOT_YET,
    PROBE_NOW,
    PROBE_TOO_LATE,
};

/* How a planned packet stands that is due so long after the start. */
static inline enum probe_when probe_when(__u64 start_ns, __u64 offset_ns, __u64 now,
                                         __u64 *due_ns) {
    *due_ns = start_ns + offset_ns;
    if (now < *due_ns)
        return PROBE_NOT_YET;
    return now - *due_ns > PROBE_BEHIND_NS ? PROBE_TOO_LATE : PROBE_NOW;
}

/*
 * Of a packet in a stream of several sizes: what its headers say of its size, in network order, and
 * its size itself, in the machine's order and without frame check sequence. The stream goes through
 * a table of them again and again.
 */
struct probe_size {
    __u16 frame_bytes;
    __u16 ip_length;
    __u16 ip_checksum;
    __u16 udp_length;
};

/* What the receiver keeps of each place in the schedule. */
struct probe_record {
    __u64 received_ns; /* of the first copy */
    __u32 arrival;     /* its place in the order of arrival */
    __u32 copies;
};

struct probe_counts {
    __u64 received; /* first copies only */
    __u64 duplicated;
    __u64 reordered; /* arrived after a packet that was sent later (RFC 4737, section 3) */
    __u64 damaged;   /* of this trial, but with a number that was never sent */
    __u64 expected;  /* one more than the highest number that has arrived */
    __u64 last_ns;
    __u64 bytes; /* of first copies, as in struct probe_progress */
};

/* A recorder serves so many flows: an interface takes one XDP program only. */
#define PROBE_FLOWS 4

struct probe_flow {
    __u32 number; /* in the stamp */
    __u32 recording;
    __u32 reflecting;
    __u32 mixed; /* frames of several sizes: count their bytes */
    __u64 count; /* places in its schedule */
    __u64 first; /* where its records begin */
};

/*
 * Where nothing is recorded, the last packets are remembered, so that copies are still told from
 * packets: each remembered number lies, one higher than it is, at its remainder.
 */
#define PROBE_REMEMBERED (1 << 16)

static inline void probe_count(struct probe_counts *counts, __u32 seq, __u64 now) {
    if (seq < counts->expected)
        __sync_fetch_and_add(&counts->reordered, 1);
    else
        counts->expected = (__u64)seq + 1;
    counts->last_ns = now;
}

static inline void probe_note_duplicate(struct probe_counts *counts, __u64 now) {
    __sync_fetch_and_add(&counts->duplicated, 1);
    counts->last_ns = now;
}

/* Both say whether it is the first copy. */
static inline int probe_note_record(struct probe_counts *counts, struct probe_record *record,
                                    __u32 seq, __u64 now) {
    if (__sync_fetch_and_add(&record->copies, 1)) {
        probe_note_duplicate(counts, now);
        return 0;
    }
    record->received_ns = now;
    record->arrival = (__u32)__sync_fetch_and_add(&counts->received, 1);
    probe_count(counts, seq, now);
    return 1;
}

static inline int probe_note_remembered(struct probe_counts *counts, __u32 *remembered, __u32 seq,
                                        __u64 now) {
    if (*remembered == seq + 1) {
        probe_note_duplicate(counts, now);
        return 0;
    }
    *remembered = seq + 1;
    __sync_fetch_and_add(&counts->received, 1);
    probe_count(counts, seq, now);
    return 1;
}

enum probe_role {
    PROBE_GENERATE = 1, /* run the BPF generator */
    PROBE_SEND = 2,     /* send through an AF_PACKET socket */
    PROBE_RECEIVE = 3,  /* receive from an AF_PACKET socket */
    PROBE_REFLECT = 4,  /* the same, and send each packet back */
};

/* Where vnf-probe was when a system call failed. */
enum probe_stage {
    PROBE_AT_START = 0,
    PROBE_AT_LIFELINE = 1,
    PROBE_AT_CORE = 2,
    PROBE_AT_MEMORY = 3,
    PROBE_AT_TIMER = 4,
    PROBE_AT_RUN = 5,
    PROBE_AT_SOCKET = 6,
    PROBE_AT_TRANSFER = 7,
};

struct probe_block {
    __u32 magic;
    __u32 version;
    __u32 bytes; /* sizeof(struct probe_block) */
    __u32 role;

    /* What to do. Descriptors are those of vnf-probe, -1 where there is none. */
    __s32 lifeline_fd; /* to the emulator: a byte when ready; its other end closed: stop at once */
    __s32 program_fd;  /* the BPF generator */
    __s32 progress_fd; /* its global variables: one struct probe_progress */
    __s32 memory_fd;   /* __u64 per packet sent, struct probe_record per packet received */
    __s32 plan_fd;     /* __u64 per packet to send, if its schedule is planned */
    __s32 sizes_fd;    /* struct probe_size, as many as sizes */
    __s32 core;        /* -1: any */
    __u32 ifindex;
    __u32 port; /* UDP port to keep quiet while packets to it are received */
    __u32 flow;
    __u32 batch;
    __u32 frame_bytes; /* of the frame below: the largest there is */
    __u32 sizes;       /* 0: all frames are as large */
    struct probe_schedule schedule;
    __u64 duration_ns; /* how long to send */
    __u64 quiet_ns;    /* how long to hear nothing, once sending has ended, before ending */
    __u64 deadline_ns; /* when to end in any case */

    /* Set by the emulator while it runs. */
    __u64 go;               /* of a sender: not 0 when it is to begin */
    __u64 sending_ended_ns; /* of a receiver */

    /* The report. */
    __u32 stage;
    __s32 error; /* errno; 0: none */
    __u64 ended_ns;
    __u64 cpu_ns;  /* of the thread, while it sent */
    __u64 wait_ns; /* runnable but not running, meanwhile */
    __u64 overrun; /* packets that a receiver's socket had no room for */
    struct probe_progress progress;
    struct probe_counts counts;

    __u8 frame[PROBE_MAX_FRAME_BYTES]; /* to send, stamp and all; without frame check sequence */
};

#endif
