/* SPDX-License-Identifier: MIT */
#include "common/bucket.h"

/* What rounding may take from a token that is due: so a caller who waits *wait_ms gets it. */
#define ALMOST_ONE (1 - 1e-6)

/* A wait past this (317 years) is cut, so that its conversion from double stays defined. */
#define WAIT_MAX_MS 1e13

/* A burst that was made smaller since may be missing altogether, but no more than that. */
static double missing(const struct bucket *b, const struct rate *rate, uint64_t now_ms)
{
    double tokens = (b->full_ms - (double)now_ms) * rate->per_s / 1000;
    if (tokens <= 0) {
        return 0;
    }
    return tokens < rate->burst ? tokens : rate->burst;
}

static uint64_t wait_for_one_ms(double tokens, double per_s)
{
    double wait = (1 - tokens) / per_s * 1000;
    /* Rounded up: never invite a caller too early. */
    return wait < WAIT_MAX_MS ? (uint64_t)wait + 1 : (uint64_t)WAIT_MAX_MS;
}

bool bucket_take(struct bucket *b, const struct rate *rate, uint64_t now_ms, uint64_t *wait_ms)
{
    bool taken = true;
    uint64_t wait = 0;
    if (rate->per_s > 0) {
        double tokens = rate->burst - missing(b, rate, now_ms);
        taken = tokens >= ALMOST_ONE;
        if (!taken) {
            wait = wait_for_one_ms(tokens, rate->per_s);
        } else if (b->full_ms < (double)now_ms) {
            b->full_ms = (double)now_ms + 1000 / rate->per_s;
        } else {
            b->full_ms += 1000 / rate->per_s;
        }
    }
    if (wait_ms != NULL) {
        *wait_ms = wait;
    }
    return taken;
}
