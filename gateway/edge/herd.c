/* SPDX-License-Identifier: MIT */
#include "gateway/edge/herd.h"

static void let_go(struct herd *h, const struct rate *rate, uint64_t now_ms)
{
    double gone = now_ms > h->at_ms ? (double)(now_ms - h->at_ms) / 1000 * rate->per_s : 0;
    h->waiting = h->waiting > gone ? h->waiting - gone : 0;
    h->at_ms = now_ms;
}

bool herd_admit(struct herd *h, const struct rate *rate, uint64_t now_ms)
{
    let_go(h, rate, now_ms);
    if (bucket_take(&h->entries, rate, now_ms, NULL)) {
        return true;
    }
    h->waiting += 1;
    return false;
}

bool herd_is_full(const struct herd *h, const struct rate *rate, uint64_t now_ms)
{
    struct bucket entries = h->entries;
    return !bucket_take(&entries, rate, now_ms, NULL);
}

unsigned herd_spread_s(const struct herd *h, const struct rate *rate)
{
    double seconds = rate->per_s > 0 ? h->waiting / rate->per_s : 0;
    if (seconds >= HERD_SPREAD_MAX_S) {
        return HERD_SPREAD_MAX_S;
    }
    return seconds > HERD_SPREAD_MIN_S ? (unsigned)seconds + 1 : HERD_SPREAD_MIN_S;
}
