/* SPDX-License-Identifier: MIT */
/* bucket: token bucket rate limit. Pure: time is passed in. 16 bytes of state, so that every
 * connection can have several. */
#ifndef COMMON_BUCKET_H
#define COMMON_BUCKET_H

#include "common/base.h"

/* A rate as a setting says it ("20/s burst 40"): per_s 0 switches the limit off. */
struct rate {
    double per_s;
    double burst; /* at least 1 when per_s > 0 */
};

struct bucket {
    uint64_t at_ms; /* when tokens was true; 0: never used, full */
    double tokens;
};

/* Takes one token. False: none left, and *wait_ms (may be NULL) says when there will be one. */
bool bucket_take(struct bucket *b, const struct rate *rate, uint64_t now_ms,
                 uint64_t *wait_ms) MUST_CHECK;

#endif
