/* SPDX-License-Identifier: MIT */
/* What only the shared library has: for emulator/wire/model.py. */
#include "impair_parts.h"

/* That the two agree on what the structures are. */
uint64_t impair_model_bytes(uint32_t which) {
    switch (which) {
    case 0:
        return sizeof(struct impair_stream);
    case 1:
        return sizeof(struct impairment);
    case 2:
        return sizeof(struct impair_drops);
    case 3:
        return sizeof(struct impair_table);
    case 4:
        return sizeof(struct impair_trace);
    case 5:
        return sizeof(struct impair_point);
    case 6:
        return sizeof(struct impair_verdict);
    }
    return 0;
}

void impair_model_decide(struct impair_stream *stream, uint64_t count, const uint64_t *arrivals_ns,
                         const uint32_t *sizes_bytes, const uint8_t *can_mark,
                         struct impair_verdict *verdicts) {
    for (uint64_t i = 0; i < count; i++)
        impair_decide(stream, arrivals_ns[i], sizes_bytes[i], can_mark[i], &verdicts[i]);
}

/* The numbers from 0 to 1 that decide about a purpose. */
void impair_model_uniforms(uint64_t seed, uint32_t purpose, uint64_t first, uint64_t count,
                           double *numbers) {
    uint64_t key = impair_key(seed, purpose);

    for (uint64_t i = 0; i < count; i++)
        numbers[i] = impair_uniform(key, first + i);
}
