/* SPDX-License-Identifier: MIT */
/* What becomes of a frame. */
#include "impair_parts.h"

#define BITS_PER_BYTE 8

/* Whether the loss model takes a frame. Its state moves with every frame, on the list or not. */
static bool is_lost(struct impair_stream *stream, uint64_t index, uint64_t lose_below) {
    if (stream->spec.loss_model == IMPAIR_GEMODEL) {
        bool bad = stream->in_bad_state;

        if (impair_happens(stream->key[IMPAIR_FOR_STATE], index,
                           bad ? stream->good_below : stream->bad_below))
            stream->in_bad_state = !bad;
        lose_below = bad ? stream->lose_in_bad_below : stream->lose_in_good_below;
    }
    return impair_happens(stream->key[IMPAIR_FOR_LOSS], index, lose_below);
}

static bool is_listed(struct impair_stream *stream, uint64_t index) {
    while (stream->next_drop < stream->drop_count && stream->drops[stream->next_drop] < index)
        stream->next_drop++;
    return stream->next_drop < stream->drop_count && stream->drops[stream->next_drop] == index;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When a frame arrives at the far end. */
static uint64_t after_delay(struct impair_stream *stream, enum impair_purpose purpose,
                            uint64_t index, uint64_t left_ns, uint64_t delay_ns) {
    uint64_t due;

    if (stream->spec.jitter_ns && stream->spec.distribution != IMPAIR_CONSTANT) {
        int64_t delay =
            (int64_t)delay_ns + impair_jitter(stream, impair_uniform(stream->key[purpose], index));

        delay_ns = delay < 0 ? 0 : (uint64_t)delay;
    }
    due = earlier(left_ns + delay_ns, IMPAIR_LATEST_NS);
    if (stream->spec.keep_order && due < stream->last_due_ns)
        due = stream->last_due_ns;
    if (due > stream->last_due_ns)
        stream->last_due_ns = due;
    return due;
}

void impair_skip(struct impair_stream *stream, uint64_t frames) {
    if (stream->spec.loss_model == IMPAIR_GEMODEL)
        for (uint64_t i = 0; i < frames; i++)
            is_lost(stream, stream->index + i, 0);
    stream->index += frames;
}

void impair_decide(struct impair_stream *stream, uint64_t arrival_ns, uint32_t bytes,
                   uint32_t can_mark, struct impair_verdict *verdict) {
    const struct impairment *spec = &stream->spec;
    uint64_t index = stream->index++;
    uint64_t lose_below = stream->lose_below;
    uint64_t delay_ns = spec->delay_ns;
    uint64_t copy_left_ns = 0;
    uint64_t left_ns;
    bool lost, copied;

    *verdict = (struct impair_verdict){.fate = IMPAIR_DELIVER, .flip_bit = -1};
    arrival_ns = earlier(arrival_ns, IMPAIR_LATEST_NS);
    left_ns = arrival_ns;
    if (stream->steps) {
        uint64_t until_ns;
        const struct impair_step *step = impair_step_at(stream, arrival_ns, &until_ns);

        delay_ns = step->delay_ns;
        lose_below = step->lose_below;
    }

    lost = is_lost(stream, index, lose_below);
    if (is_listed(stream, index) || lost) {
        verdict->fate = IMPAIR_LOST;
        return;
    }
    copied = impair_happens(stream->key[IMPAIR_FOR_DUPLICATE], index, stream->duplicate_below);

    if (impair_meets_line(stream, arrival_ns)) {
        verdict->fate =
            impair_enqueue(stream, index, arrival_ns, bytes, can_mark != 0, verdict, &left_ns);
        if (verdict->fate != IMPAIR_DELIVER)
            return;
    }
    if (copied) {
        copy_left_ns = arrival_ns;
        if (impair_meets_line(stream, arrival_ns) &&
            impair_enqueue_copy(stream, arrival_ns, bytes, &copy_left_ns) != IMPAIR_DELIVER)
            copied = false;
    }

    if (bytes && impair_happens(stream->key[IMPAIR_FOR_CORRUPT], index, stream->corrupt_below)) {
        uint64_t bits = (uint64_t)bytes * BITS_PER_BYTE;
        uint64_t draw = impair_draw(stream->key[IMPAIR_FOR_BIT], index);

        verdict->flip_bit = (int64_t)((unsigned __int128)draw * bits >> 64);
    }

    if (impair_happens(stream->key[IMPAIR_FOR_REORDER], index, stream->reorder_below))
        verdict->due_ns = left_ns;
    else
        verdict->due_ns = after_delay(stream, IMPAIR_FOR_DELAY, index, left_ns, delay_ns);
    if (copied) {
        uint64_t due = after_delay(stream, IMPAIR_FOR_COPY_DELAY, index, copy_left_ns, delay_ns);

        verdict->copy_due_ns = due ? due : 1;
    }
}
