/* SPDX-License-Identifier: MIT */
/* histogram: how often which value came, in log-linear steps as HdrHistogram has them: each power
 * of two in 128 equal steps, so that a percentile is at most 0.8 % too high, at any size. */
#ifndef CLIENT_CLI_HISTOGRAM_H
#define CLIENT_CLI_HISTOGRAM_H

#include "common/base.h"

#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)
/* Values below HISTOGRAM_STEPS have a step of their own; each power of two above has a row. */
#define HISTOGRAM_SLOTS ((64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

/* A zeroed struct is an empty histogram. */
struct histogram {
    uint64_t count, sum, max;
    uint64_t slots[HISTOGRAM_SLOTS];
};

static inline size_t histogram_slot(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (size_t)value;
    }
    unsigned shift = 63u - HISTOGRAM_STEP_BITS - (unsigned)__builtin_clzll(value);
    return ((size_t)(shift + 1) << HISTOGRAM_STEP_BITS) +
           (size_t)((value >> shift) - HISTOGRAM_STEPS);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    h->slots[histogram_slot(value)]++;
    h->count++;
    h->sum += value;
    if (value > h->max) {
        h->max = value;
    }
}

/* The greatest value that the slot of the quantile q (0 … 1) stands for, but never more than the
 * greatest that was added; 0 for an empty histogram. */
uint64_t histogram_at(const struct histogram *h, double q);
double histogram_mean(const struct histogram *h); /* 0 for an empty one */

#endif
