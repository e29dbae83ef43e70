/* SPDX-License-Identifier: MIT */
/* bucket: token bucket rate limit. Pure: time is passed in. 8 bytes of state, so that every
 * connection can have several: all that is kept is when the bucket would be full again, from which
 * what is missing follows (the "virtual scheduling" form of ITU-T I.371, annex A). */
#ifndef COMMON_BUCKET_H
#define COMMON_BUCKET_H

#include "common/base.h"

/* A rate as a setting says it ("20/s burst 40"): per_s 0 switches the limit off. */
struct rate {
    double per_s;
    double burst; /* at least 1 when per_s > 0 */
};

struct bucket {
    double full_ms; /* 0: never used */
};

/* Takes one token. False: none left, and *wait_ms (may be NULL) says when there will be one. After
 * a change of the rate a bucket is full no later than it would have been under the old one. */
bool bucket_take(struct bucket *b, const struct rate *rate, uint64_t now_ms,
                 uint64_t *wait_ms) MUST_CHECK;

#endif
