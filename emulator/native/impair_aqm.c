/* SPDX-License-Identifier: MIT */
/* Active queue management, decided about a frame when it arrives. */
#include <math.h>

#include "impair_parts.h"

#define USUAL_WEIGHT 0.002 /* Floyd and Jacobson's */

/* CoDel takes up an old count again when it stopped dropping less than so many intervals ago. */
#define RECENT 16

static enum impair_sentence sentence(bool can_mark) {
    return can_mark ? IMPAIR_MARK : IMPAIR_REJECT;
}

enum impair_sentence impair_red(struct impair_stream *stream, uint64_t index, uint64_t arrival_ns,
                                bool can_mark) {
    const struct impairment *spec = &stream->spec;
    double weight = spec->red_weight > 0 ? spec->red_weight : USUAL_WEIGHT;
    double base, chance;

    if (arrival_ns > stream->left_ns) {
        /* It was idle: as if so many frames had come to an empty queue. */
        double frames = (double)(arrival_ns - stream->left_ns) / stream->typical_ns;

        stream->red_average *= pow(1 - weight, frames);
    } else {
        stream->red_average += weight * ((double)stream->waiting_bytes - stream->red_average);
    }

    if (stream->red_average < spec->red_min_bytes) {
        stream->red_count = -1;
        return IMPAIR_PASS;
    }
    if (stream->red_average >= spec->red_max_bytes) {
        stream->red_count = 0;
        return sentence(can_mark);
    }
    stream->red_count++;
    base = spec->red_probability * (stream->red_average - spec->red_min_bytes) /
           (spec->red_max_bytes - spec->red_min_bytes);
    chance = (double)stream->red_count * base;
    chance = chance < 1 ? base / (1 - chance) : 1;
    if (impair_uniform(stream->key[IMPAIR_FOR_RED], index) >= chance)
        return IMPAIR_PASS;
    stream->red_count = 0;
    return sentence(can_mark);
}

static uint64_t next_drop(const struct impair_stream *stream, uint64_t after_ns) {
    double interval = (double)stream->spec.codel_interval_ns;

    return after_ns + (uint64_t)(interval / sqrt((double)stream->codel.count));
}

/* Whether the time in the queue has been above the target for an interval: RFC 8289, dodequeue. */
static bool stays_above(struct impair_stream *stream, uint64_t arrival_ns, uint64_t now_ns,
                        uint32_t bytes) {
    struct impair_codel *codel = &stream->codel;

    if (bytes > codel->largest_bytes)
        codel->largest_bytes = bytes;
    if (now_ns - arrival_ns < stream->spec.codel_target_ns ||
        stream->waiting_bytes + bytes <= codel->largest_bytes) {
        codel->first_above_ns = 0;
        return false;
    }
    if (codel->first_above_ns == 0) {
        codel->first_above_ns = now_ns + stream->spec.codel_interval_ns;
        return false;
    }
    return now_ns >= codel->first_above_ns;
}

/*
 * RFC 8289, deque: it drops frames one after another until one may go. Here each frame comes in a
 * call of its own, so what is to be done after a drop is done when the next one comes.
 */
enum impair_sentence impair_codel(struct impair_stream *stream, uint64_t arrival_ns,
                                  uint64_t start_ns, uint32_t bytes, bool can_mark) {
    struct impair_codel *codel = &stream->codel;
    bool dropped = codel->dropped;
    bool above = stays_above(stream, arrival_ns, start_ns, bytes);

    codel->dropped = false;
    if (!above) {
        codel->dropping = false;
        return IMPAIR_PASS;
    }
    if (!codel->dropping) {
        uint32_t since = codel->count - codel->last_count;
        bool recent = start_ns < codel->drop_next_ns + RECENT * stream->spec.codel_interval_ns;

        codel->dropping = true;
        codel->count = since > 1 && recent ? since : 1;
        codel->drop_next_ns = next_drop(stream, start_ns);
        codel->last_count = codel->count;
        return sentence(can_mark);
    }
    if (dropped)
        codel->drop_next_ns = next_drop(stream, codel->drop_next_ns);
    if (start_ns < codel->drop_next_ns)
        return IMPAIR_PASS;
    if (codel->count < UINT32_MAX)
        codel->count++;
    if (can_mark)
        codel->drop_next_ns = next_drop(stream, codel->drop_next_ns);
    else
        codel->dropped = true;
    return sentence(can_mark);
}
