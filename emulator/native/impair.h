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
 * The order in which a frame meets them: loss, the queue and its rate, corruption, the delay.
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

enum { IMPAIR_TABLE_ENTRIES = 4096, IMPAIR_MAX_DROPS = 4096 };

/* One direction of a link. All zero: nothing is done to frames. */
struct impairment {
    uint64_t seed;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    uint32_t distribution; /* enum impair_distribution */
    uint32_t keep_order;   /* no frame leaves before one that came earlier */
    uint32_t loss_model;   /* enum impair_loss */
    uint32_t aqm;          /* enum impair_aqm */
    /*
     * Probabilities, 0 to 1. BERNOULLI: loss. GEMODEL (Gilbert-Elliott, with the letters of
     * tc-netem): p good to bad, r bad to good; loss in the bad state 1-h, in the good one 1-k.
     */
    double loss;
    double ge_p, ge_r, ge_loss_bad, ge_loss_good;
    double duplicate;
    double reorder; /* goes at once, without the delay */
    double corrupt; /* one bit is flipped */
    uint64_t rate_bps;   /* 0: none; of frames with their overhead */
    uint32_t overhead_bytes; /* per frame, added to its length where time on the wire is counted */
    uint32_t burst_bytes;    /* of a token bucket that is full at the beginning; 0: none */
    uint64_t queue_packets;  /* 0: no such limit; the frame being sent does not count */
    uint64_t queue_bytes;
    uint64_t queue_ns;   /* a frame that would wait longer is dropped */
    uint32_t ecn;        /* AQMs mark frames that can be marked instead of dropping them */
    uint32_t red_min_bytes, red_max_bytes;
    double red_probability;
    uint64_t codel_target_ns, codel_interval_ns;
};

/* Indices count the frames that came in this direction, from 0. */
struct impair_drops {
    uint32_t count;
    uint64_t index[IMPAIR_MAX_DROPS]; /* rising */
};

/* When a trace lets frames through, or what it says at a time; repeated when it is over. */
struct impair_trace {
    uint32_t kind; /* 0: none, 1: delivery opportunities, 2: settings over time */
    uint32_t count;
    uint64_t period_ns;
    uint64_t start_ns; /* of the first period, on the clock of arrivals */
    uint32_t opportunity_bytes;
    const struct impair_point *points;
};
struct impair_point {
    uint64_t at_ns; /* from the beginning of a period; rising */
    uint64_t rate_bps, delay_ns; /* kind 2: UINT64_MAX leaves it as it is */
    double loss;                 /* kind 2: negative leaves it as it is */
};

enum impair_fate {
    IMPAIR_DELIVER,
    IMPAIR_LOST,     /* by the loss model or the list of drops */
    IMPAIR_OVERFLOW, /* the queue was full */
    IMPAIR_AQM_DROP,
};

struct impair_verdict {
    uint32_t fate; /* enum impair_fate */
    uint32_t mark; /* set ECN's "congestion experienced" */
    uint64_t due_ns;
    uint64_t copy_due_ns; /* of a duplicate; 0: there is none */
    int64_t flip_bit;     /* bit to corrupt, counted from the frame's first; -1: none */
    uint64_t waited_ns;   /* in the queue */
};
