/* SPDX-License-Identifier: MIT */
/* The queue: what waits for its turn, and what has no room left. */
#include "impair_parts.h"

/* Take out those whose turn has come. */
static void settle(struct impair_stream *stream, uint64_t now_ns) {
    if (stream->waiting && stream->started_ns <= now_ns) {
        stream->ring_first += stream->waiting;
        stream->waiting = 0;
        stream->waiting_bytes = 0;
    }
    while (stream->waiting) {
        struct impair_waiting *first = &stream->ring[stream->ring_first & (stream->ring_size - 1)];

        if (first->start_ns > now_ns)
            return;
        stream->waiting_bytes -= first->bytes;
        stream->waiting--;
        stream->ring_first++;
    }
}

static bool has_room(const struct impair_stream *stream, uint64_t wait_ns, uint32_t bytes) {
    const struct impairment *spec = &stream->spec;

    return stream->waiting < stream->ring_size &&
           !(spec->queue_packets && stream->waiting >= spec->queue_packets) &&
           !(spec->queue_bytes && stream->waiting_bytes + bytes > spec->queue_bytes) &&
           !(spec->queue_ns && wait_ns > spec->queue_ns);
}

static void wait_in_line(struct impair_stream *stream, uint64_t start_ns, uint32_t bytes) {
    uint32_t last = stream->ring_first + stream->waiting;

    stream->ring[last & (stream->ring_size - 1)] =
        (struct impair_waiting){.start_ns = start_ns, .bytes = bytes};
    stream->started_ns = start_ns;
    stream->waiting++;
    stream->waiting_bytes += bytes;
    if (stream->waiting > stream->most_waiting)
        stream->most_waiting = stream->waiting;
    if (stream->waiting_bytes > stream->most_waiting_bytes)
        stream->most_waiting_bytes = stream->waiting_bytes;
}

static enum impair_fate take(struct impair_stream *stream, uint64_t arrival_ns, uint64_t start_ns,
                             uint32_t bytes, uint64_t *left_ns) {
    if (!impair_send(stream, arrival_ns, start_ns, bytes, left_ns))
        return IMPAIR_OVERFLOW;
    stream->left_ns = *left_ns;
    if (start_ns > arrival_ns)
        wait_in_line(stream, start_ns, bytes);
    return IMPAIR_DELIVER;
}

enum impair_fate impair_enqueue(struct impair_stream *stream, uint64_t index, uint64_t arrival_ns,
                                uint32_t bytes, bool can_mark, struct impair_verdict *verdict,
                                uint64_t *left_ns) {
    bool marks = can_mark && stream->spec.ecn;
    enum impair_sentence sentence = IMPAIR_PASS;
    uint64_t start_ns;

    settle(stream, arrival_ns);
    if (stream->spec.aqm == IMPAIR_RED)
        sentence = impair_red(stream, index, arrival_ns, marks);
    if (sentence == IMPAIR_REJECT)
        return IMPAIR_AQM_DROP;
    if (!impair_turn(stream, arrival_ns, &start_ns) ||
        (start_ns > arrival_ns && !has_room(stream, start_ns - arrival_ns, bytes)))
        return IMPAIR_OVERFLOW;
    if (stream->spec.aqm == IMPAIR_CODEL)
        sentence = impair_codel(stream, arrival_ns, start_ns, bytes, marks);
    if (sentence == IMPAIR_REJECT) {
        /* It goes when it is its turn, and is in the way until then. */
        wait_in_line(stream, start_ns, bytes);
        verdict->waited_ns = start_ns - arrival_ns;
        return IMPAIR_AQM_DROP;
    }
    verdict->mark = sentence == IMPAIR_MARK;
    verdict->waited_ns = start_ns - arrival_ns;
    return take(stream, arrival_ns, start_ns, bytes, left_ns);
}

enum impair_fate impair_enqueue_copy(struct impair_stream *stream, uint64_t arrival_ns,
                                     uint32_t bytes, uint64_t *left_ns) {
    uint64_t start_ns;

    if (!impair_turn(stream, arrival_ns, &start_ns) ||
        (start_ns > arrival_ns && !has_room(stream, start_ns - arrival_ns, bytes)))
        return IMPAIR_OVERFLOW;
    return take(stream, arrival_ns, start_ns, bytes, left_ns);
}
