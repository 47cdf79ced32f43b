/* SPDX-License-Identifier: MIT */
/* What the files of the model of impairments share. */
#ifndef IMPAIR_PARTS_H
#define IMPAIR_PARTS_H

#include <stdbool.h>

#include "impair.h"

#define NS_IN_S UINT64_C(1000000000)

/*
 * Numbers that look random, by their place alone: the outputs of SplitMix64 (Steele, Lea, Flood
 * 2014) at any place of its sequence. A key is a start in it; those of different seeds and purposes
 * lie so far apart that their stretches do not meet.
 */
static inline uint64_t impair_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t impair_key(uint64_t seed, uint32_t purpose) {
    return impair_mix(impair_mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^
                      (purpose + 1) * UINT64_C(0xd6e8feb86659fd93));
}

static inline uint64_t impair_draw(uint64_t key, uint64_t index) {
    return impair_mix(key + (index + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* Whether what has the probability of impair_below() comes about. */
static inline bool impair_happens(uint64_t key, uint64_t index, uint64_t below) {
    return below && impair_draw(key, index) >> 11 < below;
}

/* In (0, 1), neither of them. */
static inline double impair_uniform(uint64_t key, uint64_t index) {
    return ((double)(impair_draw(key, index) >> 11) + 0.5) * 0x1p-53;
}

/* The limit of draws of 53 bits that have a probability. */
static inline uint64_t impair_below(double probability) {
    return (uint64_t)(probability * 0x1p53);
}

/* impair_jitter.c: by how much a delay is off, in ns, for a number in (0, 1). */
int64_t impair_jitter(const struct impair_stream *stream, double uniform);

/* impair_line.c: the queue, and the line it waits for. */

/* Whether a frame would have to ask the line at all. */
static inline bool impair_meets_line(const struct impair_stream *stream, uint64_t arrival_ns) {
    return stream->pace != IMPAIR_UNPACED || arrival_ns < stream->left_ns;
}

/*
 * Put a frame into the queue. Returns its fate; when it is to be delivered, *left_ns is when it
 * will have left the line, and *waited_ns how long it will have waited until it was its turn.
 */
enum impair_fate impair_enqueue(struct impair_stream *stream, uint64_t index, uint64_t arrival_ns,
                                uint32_t bytes, bool can_mark, struct impair_verdict *verdict,
                                uint64_t *left_ns);

/* The same for a copy, which no AQM sees. */
enum impair_fate impair_enqueue_copy(struct impair_stream *stream, uint64_t arrival_ns,
                                     uint32_t bytes, uint64_t *left_ns);

/* impair_pace.c: when frames leave a line. */

/* When the next frame's turn would be. False: never. */
bool impair_turn(struct impair_stream *stream, uint64_t arrival_ns, uint64_t *start_ns);

/* Send a frame at its turn. False: it would never be sent; nothing has changed. */
bool impair_send(struct impair_stream *stream, uint64_t arrival_ns, uint64_t start_ns,
                 uint32_t bytes, uint64_t *left_ns);

/* The step of SETTINGS that holds at a time, and until when. */
const struct impair_step *impair_step_at(struct impair_stream *stream, uint64_t when_ns,
                                         uint64_t *until_ns);

/* Forget where in the trace one was. */
void impair_rewind(struct impair_stream *stream);

/* impair_aqm.c: what an active queue management does to a frame. */
enum impair_sentence { IMPAIR_PASS, IMPAIR_MARK, IMPAIR_REJECT };

enum impair_sentence impair_red(struct impair_stream *stream, uint64_t index, uint64_t arrival_ns,
                                bool can_mark);

enum impair_sentence impair_codel(struct impair_stream *stream, uint64_t arrival_ns,
                                  uint64_t start_ns, uint32_t bytes, bool can_mark);

#endif
