/* SPDX-License-Identifier: MIT */
#include "gateway/stats.h"

#include <math.h>

/* Upper bounds, inclusive, as Prometheus wants them: from a relay on one machine (a quarter of a
 * millisecond) to an outage, with the thresholds of the shipped alerts (100 and 250 ms) among them.
 */
static const uint64_t bounds_us[STATS_BUCKETS - 1] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000,
};

void stats_observe(struct stats_histogram *h, uint64_t us)
{
    size_t bucket = 0;
    while (bucket < ARRAY_LEN(bounds_us) && us > bounds_us[bucket]) {
        bucket++;
    }
    h->buckets[bucket]++;
    h->count++;
    h->sum_us += us;
}

double stats_bucket_bound_s(size_t bucket)
{
    return bucket < ARRAY_LEN(bounds_us) ? (double)bounds_us[bucket] / 1e6 : (double)INFINITY;
}

enum stats_refusal stats_refusal_of(const char *error)
{
    static const char *const prefixes[] = {
#define X(id, prefix, label) prefix,
        STATS_REFUSALS(X)
#undef X
    };
    enum stats_refusal r = 0;
    while (r < REFUSAL_OTHER && strncmp(error, prefixes[r], strlen(prefixes[r])) != 0) {
        r++;
    }
    return r;
}
