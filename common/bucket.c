/* SPDX-License-Identifier: MIT */
#include "common/bucket.h"

/* What rounding may take from a token that is due: so a caller who waits *wait_ms gets it. */
#define ALMOST_ONE (1 - 1e-6)

/* A wait past this (317 years) is cut, so that its conversion from double stays defined. */
#define WAIT_MAX_MS 1e13

static double refilled(const struct bucket *b, const struct rate *rate, uint64_t now_ms)
{
    if (b->at_ms == 0) {
        return rate->burst;
    }
    /* The clock is monotonic, but a caller may have read it before another one did. */
    double elapsed_s = now_ms > b->at_ms ? (double)(now_ms - b->at_ms) / 1000 : 0;
    double tokens = b->tokens + elapsed_s * rate->per_s;
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
        b->tokens = refilled(b, rate, now_ms);
        b->at_ms = now_ms > b->at_ms ? now_ms : b->at_ms;
        taken = b->tokens >= ALMOST_ONE;
        if (taken) {
            b->tokens -= 1;
        } else {
            wait = wait_for_one_ms(b->tokens, rate->per_s);
        }
    }
    if (wait_ms != NULL) {
        *wait_ms = wait;
    }
    return taken;
}
