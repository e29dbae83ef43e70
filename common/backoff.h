/* SPDX-License-Identifier: MIT */
/* backoff: exponential back-off with full jitter: a wait drawn evenly from 0 … min(max, min*2^n)
 * (Brooker, "Exponential Backoff And Jitter", 2015). Pure: the random number is passed in. */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include "common/base.h"

struct backoff {
    uint64_t min_ms, max_ms;
    unsigned attempt; /* failed tries since the last backoff_reset */
};

uint64_t backoff_next_ms(struct backoff *b, uint64_t random); /* counts one more try */

static inline void backoff_reset(struct backoff *b)
{
    b->attempt = 0;
}

#endif
