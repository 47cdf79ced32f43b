/* SPDX-License-Identifier: MIT */
/*
 * When frames leave a line: by a rate, by the opportunities of a trace, or by rates that a trace
 * says over time.
 *
 * Work is counted in bits x 1e9, so that it takes work / rate nanoseconds. What is left of a
 * nanosecond is carried on to the next frame: nothing is rounded away, however long the line is
 * busy.
 */
#include "impair_parts.h"

typedef unsigned __int128 wide;

#define WORK_PER_BYTE   (8 * NS_IN_S)
#define ETHERNET_HEADER 14

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* A time that may be too far off. */
static bool is_ever(wide when_ns) {
    return when_ns < IMPAIR_LATEST_NS;
}

static wide work_of(const struct impair_stream *stream, uint32_t bytes) {
    return ((wide)bytes + stream->spec.overhead_bytes) * WORK_PER_BYTE;
}

/* Divide work by a rate, fast where it is small as it always is but for absurd frames. */
static wide duration(wide work, uint64_t rate_bps, uint64_t *rest) {
    if (work >> 64 == 0) {
        *rest = (uint64_t)work % rate_bps;
        return (uint64_t)work / rate_bps;
    }
    *rest = (uint64_t)(work % rate_bps);
    return work / rate_bps;
}

/*
 * A constant rate. free_ns is when the bucket holds nothing, and would be full burst_ns later:
 * without a burst, when the line is done with all that came.
 */
static bool send_at_rate(struct impair_stream *stream, uint64_t arrival_ns, uint64_t start_ns,
                         uint32_t bytes, uint64_t *left_ns) {
    int64_t from_ns = (int64_t)arrival_ns - stream->burst_ns;
    uint64_t rest = stream->rest;
    wide takes_ns;
    int64_t free_ns;

    if (stream->free_ns >= from_ns)
        from_ns = stream->free_ns;
    else
        rest = 0;
    takes_ns = duration(work_of(stream, bytes) + rest, stream->spec.rate_bps, &rest);
    if (!is_ever(takes_ns) || (free_ns = from_ns + (int64_t)takes_ns) >= (int64_t)IMPAIR_LATEST_NS)
        return false;
    stream->free_ns = free_ns;
    stream->rest = rest;
    *left_ns = free_ns > (int64_t)start_ns ? (uint64_t)free_ns : start_ns;
    return true;
}

static uint64_t opportunity_at(const struct impair_stream *stream, uint64_t cycle, uint32_t i) {
    wide when_ns = (wide)cycle * stream->trace.period_ns + stream->trace.start_ns +
                   stream->trace.points[i].at_ns;

    return is_ever(when_ns) ? (uint64_t)when_ns : IMPAIR_LATEST_NS;
}

/* The first point that is not before a time of its period; count if there is none. */
static uint32_t first_from(const struct impair_stream *stream, uint64_t offset_ns) {
    uint32_t low = 0, high = stream->trace.count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (stream->trace.points[middle].at_ns < offset_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void next_opportunity(struct impair_stream *stream, uint64_t how_many) {
    uint64_t place = stream->opportunity + how_many;

    stream->cycle += place / stream->trace.count;
    stream->opportunity = (uint32_t)(place % stream->trace.count);
}

/* Go to the first opportunity from a time on; those before it are lost. */
static void seek_opportunity(struct impair_stream *stream, uint64_t when_ns) {
    const struct impair_trace *trace = &stream->trace;
    uint64_t since_ns = when_ns > trace->start_ns ? when_ns - trace->start_ns : 0;
    uint64_t cycle = since_ns / trace->period_ns;
    uint64_t offset_ns = since_ns % trace->period_ns;

    /* The end of a period is the beginning of the next, and may have points of both. */
    if (offset_ns == 0 && cycle > 0) {
        cycle--;
        offset_ns = trace->period_ns;
    }
    stream->cycle = cycle;
    stream->opportunity = 0;
    next_opportunity(stream, first_from(stream, offset_ns));
    stream->opportunity_left = trace->opportunity_bytes;
}

static bool turn_by_opportunity(struct impair_stream *stream, uint64_t arrival_ns,
                                uint64_t *start_ns) {
    uint64_t from_ns = later(arrival_ns, stream->left_ns);

    if (stream->opportunity_left == 0) {
        next_opportunity(stream, 1);
        stream->opportunity_left = stream->trace.opportunity_bytes;
    }
    if (opportunity_at(stream, stream->cycle, stream->opportunity) < from_ns)
        seek_opportunity(stream, from_ns);
    *start_ns = opportunity_at(stream, stream->cycle, stream->opportunity);
    return is_ever(*start_ns);
}

static bool send_by_opportunity(struct impair_stream *stream, uint32_t bytes, uint64_t *left_ns) {
    uint64_t each = stream->trace.opportunity_bytes;
    uint64_t need = bytes > ETHERNET_HEADER ? bytes - ETHERNET_HEADER : 1;
    uint64_t cycle = stream->cycle;
    uint32_t opportunity = stream->opportunity;
    uint64_t left = stream->opportunity_left;

    if (need > left) {
        uint64_t more = (need - left + each - 1) / each;

        next_opportunity(stream, more);
        left += more * each;
    }
    *left_ns = opportunity_at(stream, stream->cycle, stream->opportunity);
    if (!is_ever(*left_ns)) {
        stream->cycle = cycle;
        stream->opportunity = opportunity;
        return false;
    }
    stream->opportunity_left = left - need;
    stream->free_ns = (int64_t)*left_ns;
    stream->rest = 0;
    return true;
}

const struct impair_step *impair_step_at(struct impair_stream *stream, uint64_t when_ns,
                                         uint64_t *until_ns) {
    const struct impair_trace *trace = &stream->trace;
    uint64_t since_ns, begin_ns, until;
    uint32_t low, high;

    if (when_ns >= stream->step_from_ns && when_ns < stream->step_until_ns) {
        *until_ns = stream->step_until_ns;
        return &stream->steps[stream->step];
    }
    since_ns = when_ns > trace->start_ns ? when_ns - trace->start_ns : 0;
    begin_ns = since_ns / trace->period_ns * trace->period_ns;
    since_ns -= begin_ns;
    begin_ns += trace->start_ns;
    low = 0;
    high = stream->step_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (stream->steps[middle].at_ns <= since_ns)
            low = middle;
        else
            high = middle;
    }
    until = high < stream->step_count ? stream->steps[high].at_ns : trace->period_ns;
    stream->step = low;
    stream->step_from_ns = when_ns < trace->start_ns ? 0 : begin_ns + stream->steps[low].at_ns;
    stream->step_until_ns = begin_ns + until;
    *until_ns = stream->step_until_ns;
    return &stream->steps[low];
}

/* From a time on, the first at which anything is let through. */
static uint64_t open_from(struct impair_stream *stream, uint64_t when_ns) {
    uint64_t from_ns = when_ns;
    uint64_t until_ns;

    if (when_ns >= stream->shut_from_ns && when_ns < stream->shut_until_ns)
        return stream->shut_until_ns;
    while (impair_step_at(stream, when_ns, &until_ns)->rate_bps == 0 && is_ever(when_ns))
        when_ns = until_ns;
    stream->shut_from_ns = from_ns;
    stream->shut_until_ns = when_ns;
    return when_ns;
}

static bool send_by_settings(struct impair_stream *stream, uint64_t start_ns, uint32_t bytes,
                             uint64_t *left_ns) {
    bool goes_on = stream->free_ns >= (int64_t)start_ns;
    wide work = work_of(stream, bytes) + (goes_on ? stream->rest : 0);
    uint64_t when_ns = start_ns;
    uint64_t steps = 0;
    uint64_t until_ns;

    for (;;) {
        uint64_t rate_bps = impair_step_at(stream, when_ns, &until_ns)->rate_bps;
        wide room = (wide)rate_bps * (until_ns - when_ns);

        if (!is_ever(when_ns))
            return false;
        if (rate_bps == IMPAIR_AS_IT_IS) {
            /* There is no rate at all. */
            stream->rest = 0;
            break;
        }
        if (rate_bps && work <= room) {
            when_ns += (uint64_t)duration(work, rate_bps, &stream->rest);
            break;
        }
        work -= room;
        when_ns = until_ns;
        /* It has seen a whole period, and none of it was without a rate. */
        if (++steps == stream->step_count + UINT64_C(1)) {
            wide periods = (work - 1) / stream->period_work;

            if (!is_ever(when_ns + periods * stream->trace.period_ns))
                return false;
            work -= periods * stream->period_work;
            when_ns += (uint64_t)periods * stream->trace.period_ns;
        }
    }
    stream->free_ns = (int64_t)when_ns;
    *left_ns = when_ns;
    return true;
}

bool impair_turn(struct impair_stream *stream, uint64_t arrival_ns, uint64_t *start_ns) {
    uint64_t when_ns = later(arrival_ns, stream->started_ns);

    switch (stream->pace) {
    case IMPAIR_BY_OPPORTUNITY:
        return turn_by_opportunity(stream, arrival_ns, start_ns);
    case IMPAIR_UNPACED:
        *start_ns = later(when_ns, stream->left_ns);
        return is_ever(*start_ns);
    }
    if (stream->free_ns > (int64_t)when_ns)
        when_ns = (uint64_t)stream->free_ns;
    if (stream->pace == IMPAIR_BY_SETTINGS)
        when_ns = open_from(stream, when_ns);
    *start_ns = when_ns;
    return is_ever(when_ns);
}

bool impair_send(struct impair_stream *stream, uint64_t arrival_ns, uint64_t start_ns,
                 uint32_t bytes, uint64_t *left_ns) {
    switch (stream->pace) {
    case IMPAIR_BY_OPPORTUNITY:
        return send_by_opportunity(stream, bytes, left_ns);
    case IMPAIR_BY_SETTINGS:
        return send_by_settings(stream, start_ns, bytes, left_ns);
    case IMPAIR_PACED:
        return send_at_rate(stream, arrival_ns, start_ns, bytes, left_ns);
    }
    *left_ns = start_ns;
    return true;
}

void impair_rewind(struct impair_stream *stream) {
    stream->cycle = 0;
    stream->opportunity = 0;
    stream->opportunity_left = stream->trace.opportunity_bytes;
}
