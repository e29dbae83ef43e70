/* SPDX-License-Identifier: MIT */
#include "client/cli/histogram.h"

/* The greatest value that falls into a slot. */
static uint64_t slot_top(size_t slot)
{
    if (slot < HISTOGRAM_STEPS) {
        return slot;
    }
    unsigned shift = (unsigned)(slot >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = (slot & (HISTOGRAM_STEPS - 1)) + HISTOGRAM_STEPS;
    return (step << shift) + (((uint64_t)1 << shift) - 1);
}

uint64_t histogram_at(const struct histogram *h, double q)
{
    /* The rank is 1 for the smallest value: half of 10 values are those up to the fifth. */
    double exact = q * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0) {
        rank++;
    }
    uint64_t seen = 0;
    for (size_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += h->slots[slot];
        if (seen >= rank) {
            uint64_t top = slot_top(slot);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count > 0 ? (double)h->sum / (double)h->count : 0;
}
