/* SPDX-License-Identifier: MIT */
/*
 * What one direction of an impaired link does to each frame: pure, without clocks or I/O.
 *
 * Everything about a frame is decided when it arrives: a queue that is served in order at a known
 * rate lets one compute when a frame will leave it. Randomness is a function of the seed, of what
 * it is for, and of the frame's index, so the same seed gives the same losses, delays and
 * reorderings by index, whatever the timing, and a change of one setting leaves the others' as
 * they were. emulator/wire/model.py loads this as a shared library; vnf-wire includes it.
 *
 * The order in which a frame meets them: loss, duplication, the queue and its rate, corruption,
 * the delay. It is that of tc-netem but for the delay, which netem has before the rate: here the
 * queue holds the frames that wait for the rate, and none of those that are on their way. What
 * else differs from netem:
 *
 * - The copy of a frame follows it through the queue and takes its time at the rate, but is
 *   neither lost by the loss model, nor corrupted, nor copied again, nor seen by an AQM. Its delay
 *   is drawn for itself. With no room left in the queue there is no copy. A lost frame has none.
 * - keep_order also holds for copies. A reordered frame goes ahead in spite of it.
 * - The jitter of every distribution but the uniform one is its standard deviation, and its mean
 *   is the delay. netem's tables of pareto and paretonormal have neither property.
 * - There is no correlation.
 */
#ifndef IMPAIR_H
#define IMPAIR_H

#include <stdint.h>

enum impair_distribution {
    IMPAIR_CONSTANT,     /* no jitter */
    IMPAIR_UNIFORM,      /* delay - jitter ... delay + jitter */
    IMPAIR_NORMAL,       /* jitter is the standard deviation; so it is of those below */
    IMPAIR_PARETO,       /* as tc-netem's table of the same name: heavy tail to the right */
    IMPAIR_PARETONORMAL, /* 1/4 normal + 3/4 pareto, as tc-netem's */
    IMPAIR_TABLE,        /* quantiles of the user's own, in units of jitter */
};

enum impair_loss { IMPAIR_LOSSLESS, IMPAIR_BERNOULLI, IMPAIR_GEMODEL };

enum impair_aqm { IMPAIR_FIFO, IMPAIR_RED, IMPAIR_CODEL };

enum impair_trace_kind { IMPAIR_NO_TRACE, IMPAIR_OPPORTUNITIES, IMPAIR_SETTINGS };

enum {
    IMPAIR_TABLE_ENTRIES = 4096,
    IMPAIR_MAX_DROPS = 4096,
    IMPAIR_MAX_POINTS = 1 << 20,
    /* A queue without a limit in packets holds so many; none holds more than the second. */
    IMPAIR_DEFAULT_QUEUE = 1 << 16,
    IMPAIR_LONGEST_QUEUE = 1 << 20,
};

/* No time is later, and no delay or waiting time may be longer (36 years). */
#define IMPAIR_LATEST_NS  (UINT64_C(1) << 62)
#define IMPAIR_LONGEST_NS (UINT64_C(1) << 60)

/* "As it is" in the points of a trace. */
#define IMPAIR_AS_IT_IS UINT64_MAX

/* One direction of a link. All zero: nothing is done to frames. */
struct impairment {
    uint64_t seed;
    uint64_t delay_ns;
    uint64_t jitter_ns;    /* a delay that comes out negative is 0 */
    uint32_t distribution; /* enum impair_distribution */
    uint32_t keep_order;   /* no frame leaves before one that came earlier */
    uint32_t loss_model;   /* enum impair_loss */
    uint32_t aqm;          /* enum impair_aqm */
    /*
     * Probabilities, 0 to 1. BERNOULLI: loss. GEMODEL (Gilbert-Elliott, with the letters of
     * tc-netem): p good to bad, r bad to good; loss in the bad state 1-h, in the good one 1-k. It
     * begins in the good state; a frame meets the state that the one before it left.
     */
    double loss;
    double ge_p, ge_r, ge_loss_bad, ge_loss_good;
    double duplicate;
    double reorder; /* goes at once, without the delay */
    double corrupt; /* one bit is flipped */
    /*
     * 0: none; of frames with their overhead. With a burst it is a token bucket, full at the
     * beginning: a frame waits until the bucket holds as many bytes as it has.
     */
    uint64_t rate_bps;
    uint32_t overhead_bytes; /* per frame, added to its length where time on the wire is counted */
    uint32_t burst_bytes;    /* 0: none */
    /*
     * Limits of what waits, 0 for none; the frame being sent does not count, and overhead neither.
     * They do not matter without a rate or a trace that has one.
     */
    uint64_t queue_packets;
    uint64_t queue_bytes;
    uint64_t queue_ns; /* a frame that would wait longer is dropped */
    uint32_t ecn;      /* AQMs mark frames that can be marked instead of dropping them */
    /*
     * RED as of Floyd and Jacobson (1993), in bytes that wait: not gentle, and with ECN a frame
     * above the maximum is marked too, both as tc-red has it.
     */
    uint32_t red_min_bytes, red_max_bytes;
    double red_probability;
    double red_weight; /* of the present queue in the average; 0: 0.002 */
    /*
     * CoDel as of RFC 8289. How much is in the queue when a frame leaves is not yet known when it
     * arrives, so a frame counts as below the target when no more than the largest frame waited
     * when it came, itself included.
     */
    uint64_t codel_target_ns, codel_interval_ns;
};

/* Indices count the frames that came in this direction, from 0. */
struct impair_drops {
    uint32_t count;
    uint64_t index[IMPAIR_MAX_DROPS]; /* rising */
};

/*
 * Entry i of n is the quantile i / (n - 1), in units of jitter; between them the distribution is
 * even. One entry: the delay is always off by as much.
 */
struct impair_table {
    uint32_t count;
    uint32_t reserved;
    double quantile[IMPAIR_TABLE_ENTRIES]; /* finite, not falling */
};

/*
 * When a trace lets frames through, or what it says at a time; repeated when it is over.
 *
 * OPPORTUNITIES are those of Mahimahi's mm-link: each carries so many bytes of packets, those of
 * one packet or more, and of a large packet a part; it leaves with its last part. An opportunity
 * at which nothing waits is lost. Bytes count without the Ethernet header (and overhead_bytes does
 * not count): an opportunity of 1500 carries one IP packet of 1500. rate_bps has to be 0.
 *
 * SETTINGS hold from their time on; until the first of a period the specification's do. Before
 * start_ns holds what does at time 0. Frames meet the delay and the loss of the time at which they
 * come, and all the rates of the time in which they are sent. There is no
 * burst where the trace has rates, and no GEMODEL where it has losses.
 */
struct impair_trace {
    uint32_t kind; /* enum impair_trace_kind */
    uint32_t count;
    uint64_t period_ns;
    uint64_t start_ns; /* of the first period, on the clock of arrivals */
    uint32_t opportunity_bytes;
    const struct impair_point *points;
};
struct impair_point {
    uint64_t at_ns;    /* from the beginning of a period; SETTINGS: rising, else not falling */
    uint64_t rate_bps; /* SETTINGS: 0: nothing gets through; or IMPAIR_AS_IT_IS */
    uint64_t delay_ns; /* SETTINGS; IMPAIR_AS_IT_IS: like that of the point before */
    double loss;       /* SETTINGS; negative: as it is */
};

enum impair_fate {
    IMPAIR_DELIVER,
    IMPAIR_LOST,     /* by the loss model or the list of drops */
    IMPAIR_OVERFLOW, /* the queue was full */
    IMPAIR_AQM_DROP,
};

struct impair_verdict {
    uint32_t fate; /* enum impair_fate; all that follows is only of frames to deliver */
    uint32_t mark; /* set ECN's "congestion experienced", in the copy too */
    uint64_t due_ns;
    uint64_t copy_due_ns; /* of a duplicate; 0: there is none */
    int64_t
        flip_bit; /* bit to corrupt, counted from the frame's first; not in the copy; -1: none */
    uint64_t waited_ns; /* in the queue; of a frame that CoDel drops too */
};

/* What randomness is for. The numbers are part of what a seed means: add, never renumber. */
enum impair_purpose {
    IMPAIR_FOR_LOSS,
    IMPAIR_FOR_STATE,
    IMPAIR_FOR_DELAY,
    IMPAIR_FOR_REORDER,
    IMPAIR_FOR_CORRUPT,
    IMPAIR_FOR_BIT,
    IMPAIR_FOR_DUPLICATE,
    IMPAIR_FOR_COPY_DELAY,
    IMPAIR_FOR_RED,
    IMPAIR_PURPOSES,
};

/* What decides how long frames wait. */
enum impair_pace { IMPAIR_UNPACED, IMPAIR_PACED, IMPAIR_BY_OPPORTUNITY, IMPAIR_BY_SETTINGS };

struct impair_waiting {
    uint64_t start_ns; /* when it will be its turn */
    uint32_t bytes;
};

struct impair_step {
    uint64_t at_ns, rate_bps, delay_ns, lose_below;
};

struct impair_codel {
    uint64_t first_above_ns; /* 0: not above the target */
    uint64_t drop_next_ns;
    uint32_t count, last_count;
    uint32_t dropping;
    uint32_t dropped; /* the frame before, and not as the first */
    uint32_t largest_bytes;
};

/*
 * The state of one direction. Others may read spec, index and the numbers of the queue, and write
 * none. Its owner sees to it that one thread at a time uses it.
 */
struct impair_stream {
    struct impairment spec;
    uint64_t index;         /* of the next frame */
    uint64_t last_due_ns;   /* the latest of all */
    uint64_t waiting_bytes; /* these four as of the last frame that came */
    uint64_t most_waiting_bytes;
    uint32_t waiting;
    uint32_t most_waiting;

    /* What follows of spec; probabilities are of draws of 53 bits. */
    uint64_t key[IMPAIR_PURPOSES];
    uint64_t lose_below, duplicate_below, reorder_below, corrupt_below;
    uint64_t bad_below, good_below, lose_in_bad_below, lose_in_good_below;
    int64_t burst_ns;
    double typical_ns; /* that RED takes one frame to last */
    uint32_t pace;     /* enum impair_pace */

    uint32_t in_bad_state;
    uint32_t drop_count, next_drop;
    uint64_t *drops;
    uint32_t table_count;
    double *table;

    /* The line: when it was, or will be, done with all that came, and the rest of a nanosecond. */
    int64_t free_ns;
    uint64_t rest;       /* bits x 1e9 / s */
    uint64_t left_ns;    /* of the last frame */
    uint64_t started_ns; /* of the last that had to wait */
    struct impair_waiting *ring;
    uint32_t ring_size, ring_first; /* a power of two */

    struct impair_trace trace; /* its points are the stream's own */
    struct impair_step *steps; /* of SETTINGS: complete, and the first is at 0 */
    uint32_t step_count;
    uint32_t opportunity;
    uint64_t cycle;
    uint64_t opportunity_left;            /* bytes */
    unsigned __int128 period_work;        /* bits x 1e9 / s */
    uint64_t step_from_ns, step_until_ns; /* where step is known to hold */
    uint32_t step;
    uint64_t shut_from_ns, shut_until_ns; /* where nothing is known to get through */

    double red_average;
    int64_t red_count; /* since the last that was marked */
    struct impair_codel codel;
};

/*
 * Make a stream. drops, table and trace may be NULL, and nothing of them is needed afterwards.
 *
 * Returns 0, -EINVAL for what cannot be, or -ENOMEM. When it fails, there is nothing to free.
 */
int impair_init(struct impair_stream *stream, const struct impairment *spec,
                const struct impair_drops *drops, const struct impair_table *table,
                const struct impair_trace *trace);

/*
 * Settings from the next frame on. Index, queue and order stay: what has been decided holds, no
 * frame overtakes those that wait. NULL leaves drops, table and trace as they are; a count or kind
 * of 0 takes them away. A trace that is as before goes on where it is, whatever its start_ns. Not
 * for the hot path: it allocates.
 *
 * Returns as impair_init; when it fails, the stream is as it was.
 */
int impair_change(struct impair_stream *stream, const struct impairment *spec,
                  const struct impair_drops *drops, const struct impair_table *table,
                  const struct impair_trace *trace);

/* Count frames that are not there, so that the next has a later index: what is lost does not move.
 */
void impair_skip(struct impair_stream *stream, uint64_t frames);

/*
 * Decide about the next frame. Arrivals should not fall; one that does is as if its queue had
 * already been seen at the latest arrival. Takes amortised constant time, plus a search of
 * O(log n) in a trace of n points.
 */
void impair_decide(struct impair_stream *stream, uint64_t arrival_ns, uint32_t bytes,
                   uint32_t can_mark, struct impair_verdict *verdict);

void impair_free(struct impair_stream *stream);

#endif
