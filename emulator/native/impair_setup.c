/* SPDX-License-Identifier: MIT */
/* Streams: what they may be told, and what follows of it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impair_parts.h"

/* Of a frame, where RED asks how many would have passed while the line was idle; as tc-red. */
#define TYPICAL_BYTES 1000

static bool is_probability(double value) {
    return value >= 0 && value <= 1;
}

static bool is_spec(const struct impairment *spec) {
    return spec->distribution <= IMPAIR_TABLE && spec->loss_model <= IMPAIR_GEMODEL &&
           spec->aqm <= IMPAIR_CODEL && is_probability(spec->loss) && is_probability(spec->ge_p) &&
           is_probability(spec->ge_r) && is_probability(spec->ge_loss_bad) &&
           is_probability(spec->ge_loss_good) && is_probability(spec->duplicate) &&
           is_probability(spec->reorder) && is_probability(spec->corrupt) &&
           is_probability(spec->red_probability) && is_probability(spec->red_weight) &&
           spec->delay_ns <= IMPAIR_LONGEST_NS && spec->jitter_ns <= IMPAIR_LONGEST_NS &&
           spec->rate_bps < IMPAIR_AS_IT_IS &&
           (spec->aqm != IMPAIR_RED || spec->red_min_bytes < spec->red_max_bytes) &&
           (spec->aqm != IMPAIR_CODEL ||
            (spec->codel_target_ns > 0 && spec->codel_target_ns <= IMPAIR_LONGEST_NS &&
             spec->codel_interval_ns > 0 && spec->codel_interval_ns <= IMPAIR_LONGEST_NS / 16));
}

static bool are_drops(const struct impair_drops *drops) {
    if (drops->count > IMPAIR_MAX_DROPS)
        return false;
    for (uint32_t i = 1; i < drops->count; i++)
        if (drops->index[i] <= drops->index[i - 1])
            return false;
    return true;
}

static bool is_table(const struct impair_table *table) {
    if (table->count > IMPAIR_TABLE_ENTRIES)
        return false;
    for (uint32_t i = 0; i < table->count; i++)
        if (!isfinite(table->quantile[i]) || fabs(table->quantile[i]) > 0x1p100 ||
            (i && table->quantile[i] < table->quantile[i - 1]))
            return false;
    return true;
}

static bool is_point(const struct impair_point *point) {
    return (point->delay_ns == IMPAIR_AS_IT_IS || point->delay_ns <= IMPAIR_LONGEST_NS) &&
           point->loss <= 1;
}

static bool is_trace(const struct impair_trace *trace) {
    if (trace->kind == IMPAIR_NO_TRACE)
        return true;
    if (trace->kind > IMPAIR_SETTINGS || trace->count == 0 || trace->count > IMPAIR_MAX_POINTS ||
        trace->period_ns == 0 || trace->period_ns > IMPAIR_LONGEST_NS ||
        trace->start_ns > IMPAIR_LATEST_NS ||
        trace->points[trace->count - 1].at_ns > trace->period_ns)
        return false;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct impair_point *point = &trace->points[i];
        bool after = i == 0 || point->at_ns > point[-1].at_ns ||
                     (trace->kind == IMPAIR_OPPORTUNITIES && point->at_ns == point[-1].at_ns);

        if (!after || (trace->kind == IMPAIR_SETTINGS && !is_point(point)))
            return false;
    }
    return trace->kind == IMPAIR_SETTINGS || trace->opportunity_bytes > 0;
}

static uint64_t loss_below(const struct impairment *spec) {
    return spec->loss_model == IMPAIR_BERNOULLI ? impair_below(spec->loss) : 0;
}

/* Make the steps of a trace complete. */
static int make_steps(struct impair_stream *stream) {
    const struct impair_trace *trace = &stream->trace;
    const struct impairment *spec = &stream->spec;
    struct impair_step step = {
        .rate_bps = spec->rate_bps ? spec->rate_bps : IMPAIR_AS_IT_IS,
        .delay_ns = spec->delay_ns,
        .lose_below = loss_below(spec),
    };
    bool has_rates = false, has_losses = false, ever_open = false;
    uint32_t count = 0;

    stream->steps = calloc((size_t)trace->count + 1, sizeof *stream->steps);
    if (!stream->steps)
        return -ENOMEM;
    if (trace->points[0].at_ns > 0)
        stream->steps[count++] = step;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct impair_point *point = &trace->points[i];

        step.at_ns = point->at_ns;
        if (point->rate_bps != IMPAIR_AS_IT_IS) {
            step.rate_bps = point->rate_bps;
            has_rates = true;
        }
        if (point->delay_ns != IMPAIR_AS_IT_IS)
            step.delay_ns = point->delay_ns;
        if (point->loss >= 0) {
            step.lose_below = impair_below(point->loss);
            has_losses = true;
        }
        stream->steps[count++] = step;
    }
    stream->step_count = count;
    stream->period_work = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t until_ns = i + 1 < count ? stream->steps[i + 1].at_ns : trace->period_ns;
        uint64_t lasts_ns = until_ns - stream->steps[i].at_ns;

        if (lasts_ns && stream->steps[i].rate_bps)
            ever_open = true;
        if (stream->steps[i].rate_bps != IMPAIR_AS_IT_IS)
            stream->period_work += (unsigned __int128)stream->steps[i].rate_bps * lasts_ns;
    }
    if (has_rates)
        stream->pace = IMPAIR_BY_SETTINGS;
    if (!ever_open || (has_rates && spec->burst_bytes) ||
        (has_losses && spec->loss_model == IMPAIR_GEMODEL))
        return -EINVAL;
    return 0;
}

/* Where the queue has to hold more than its ring, make it larger; what waits stays. */
static int make_ring(struct impair_stream *stream) {
    uint64_t packets = stream->spec.queue_packets;
    uint32_t wanted = 16;
    struct impair_waiting *ring;

    if (packets == 0)
        packets = IMPAIR_DEFAULT_QUEUE;
    while (wanted < packets && wanted < IMPAIR_LONGEST_QUEUE)
        wanted *= 2;
    /* Without a rate nothing waits but behind what came when there was one. */
    if ((stream->pace == IMPAIR_UNPACED && !stream->ring) || wanted <= stream->ring_size)
        return 0;
    ring = calloc(wanted, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (uint32_t i = 0; i < stream->waiting; i++)
        ring[i] = stream->ring[(stream->ring_first + i) & (stream->ring_size - 1)];
    stream->ring = ring;
    stream->ring_size = wanted;
    stream->ring_first = 0;
    return 0;
}

static int take_drops(struct impair_stream *stream, const struct impair_drops *drops) {
    size_t bytes = drops->count * sizeof *stream->drops;

    if (!are_drops(drops))
        return -EINVAL;
    stream->drops = malloc(bytes + 1);
    if (!stream->drops)
        return -ENOMEM;
    memcpy(stream->drops, drops->index, bytes);
    stream->drop_count = drops->count;
    stream->next_drop = 0;
    return 0;
}

static int take_table(struct impair_stream *stream, const struct impair_table *table) {
    size_t bytes = table->count * sizeof *stream->table;

    if (!is_table(table))
        return -EINVAL;
    stream->table = malloc(bytes + 1);
    if (!stream->table)
        return -ENOMEM;
    memcpy(stream->table, table->quantile, bytes);
    stream->table_count = table->count;
    return 0;
}

static bool is_same(const struct impair_trace *a, const struct impair_trace *b) {
    return a->kind == b->kind && a->count == b->count && a->period_ns == b->period_ns &&
           a->opportunity_bytes == b->opportunity_bytes && a->points && b->points &&
           memcmp(a->points, b->points, a->count * sizeof *a->points) == 0;
}

static int take_trace(struct impair_stream *stream, const struct impair_trace *trace) {
    struct impair_point *points = NULL;

    if (!is_trace(trace))
        return -EINVAL;
    if (is_same(trace, &stream->trace))
        return 0;
    if (trace->kind != IMPAIR_NO_TRACE) {
        points = malloc(trace->count * sizeof *points);
        if (!points)
            return -ENOMEM;
        memcpy(points, trace->points, trace->count * sizeof *points);
    }
    stream->trace = *trace;
    stream->trace.points = points;
    impair_rewind(stream);
    return 0;
}

/* How long RED takes a typical frame to last. */
static double typical_ns(const struct impair_stream *stream) {
    const struct impair_trace *trace = &stream->trace;
    double bits = 8.0 * TYPICAL_BYTES;

    if (stream->pace == IMPAIR_BY_OPPORTUNITY)
        return bits / 8 * (double)trace->period_ns /
               ((double)trace->opportunity_bytes * trace->count);
    if (stream->pace == IMPAIR_BY_SETTINGS && stream->period_work)
        return bits * 1e9 * (double)trace->period_ns / (double)stream->period_work;
    return stream->spec.rate_bps ? bits * 1e9 / (double)stream->spec.rate_bps : 1;
}

/* Everything that follows of the specification. */
static int derive(struct impair_stream *stream) {
    const struct impairment *spec = &stream->spec;
    unsigned __int128 burst = (unsigned __int128)spec->burst_bytes * 8 * NS_IN_S;
    int error = 0;

    if (!is_spec(spec) || (spec->distribution == IMPAIR_TABLE && stream->table_count == 0))
        return -EINVAL;
    for (uint32_t purpose = 0; purpose < IMPAIR_PURPOSES; purpose++)
        stream->key[purpose] = impair_key(spec->seed, purpose);
    stream->lose_below = loss_below(spec);
    stream->bad_below = impair_below(spec->ge_p);
    stream->good_below = impair_below(spec->ge_r);
    stream->lose_in_bad_below = impair_below(spec->ge_loss_bad);
    stream->lose_in_good_below = impair_below(spec->ge_loss_good);
    stream->duplicate_below = impair_below(spec->duplicate);
    stream->reorder_below = impair_below(spec->reorder);
    stream->corrupt_below = impair_below(spec->corrupt);
    if (spec->loss_model != IMPAIR_GEMODEL)
        stream->in_bad_state = false;
    stream->burst_ns = spec->rate_bps ? (int64_t)(burst / spec->rate_bps) : 0;

    stream->pace = spec->rate_bps ? IMPAIR_PACED : IMPAIR_UNPACED;
    stream->step_from_ns = stream->step_until_ns = 0;
    stream->shut_from_ns = stream->shut_until_ns = 0;
    stream->steps = NULL;
    if (stream->trace.kind == IMPAIR_OPPORTUNITIES) {
        if (spec->rate_bps)
            return -EINVAL;
        stream->pace = IMPAIR_BY_OPPORTUNITY;
    } else if (stream->trace.kind == IMPAIR_SETTINGS) {
        error = make_steps(stream);
    }
    stream->typical_ns = typical_ns(stream);
    return error ? error : make_ring(stream);
}

/* Free what a stream has and another has not. */
static void free_unless_in(struct impair_stream *stream, const struct impair_stream *other) {
    if (stream->drops != other->drops)
        free(stream->drops);
    if (stream->table != other->table)
        free(stream->table);
    if (stream->trace.points != other->trace.points)
        free((void *)stream->trace.points);
    if (stream->steps != other->steps)
        free(stream->steps);
    if (stream->ring != other->ring)
        free(stream->ring);
}

int impair_change(struct impair_stream *stream, const struct impairment *spec,
                  const struct impair_drops *drops, const struct impair_table *table,
                  const struct impair_trace *trace) {
    struct impair_stream next = *stream;
    int error = 0;

    next.spec = *spec;
    if (drops)
        error = take_drops(&next, drops);
    if (!error && table)
        error = take_table(&next, table);
    if (!error && trace)
        error = take_trace(&next, trace);
    if (!error)
        error = derive(&next);
    if (error) {
        free_unless_in(&next, stream);
        return error;
    }
    free_unless_in(stream, &next);
    *stream = next;
    return 0;
}

int impair_init(struct impair_stream *stream, const struct impairment *spec,
                const struct impair_drops *drops, const struct impair_table *table,
                const struct impair_trace *trace) {
    memset(stream, 0, sizeof *stream);
    stream->free_ns = -(int64_t)IMPAIR_LATEST_NS;
    stream->red_count = -1;
    return impair_change(stream, spec, drops, table, trace);
}

void impair_free(struct impair_stream *stream) {
    static const struct impair_stream nothing;

    free_unless_in(stream, &nothing);
    memset(stream, 0, sizeof *stream);
}
