/* SPDX-License-Identifier: MIT */
/* herd: how many may come in a second, and when the others are told to come back. Pure.
 *
 * Who is refused comes back: so the refused are counted as waiting, and leave that count at the
 * rate at which newcomers are let in. All are told to come at random within the time that the
 * waiting take at that rate; so of a herd the gateway is asked about as often as it says yes. */
#ifndef GATEWAY_EDGE_HERD_H
#define GATEWAY_EDGE_HERD_H

#include "common/bucket.h"

#define HERD_SPREAD_MIN_S 5U
#define HERD_SPREAD_MAX_S 60U

/* Zeroed: nobody came yet. */
struct herd {
    struct bucket entries;
    double waiting; /* were refused, and are expected back */
    uint64_t at_ms; /* when waiting was true */
};

/* One more wants in. False: not now; it counts as waiting. */
bool herd_admit(struct herd *h, const struct rate *rate, uint64_t now_ms) MUST_CHECK;
/* Whether herd_admit would say no; changes nothing. */
bool herd_is_full(const struct herd *h, const struct rate *rate, uint64_t now_ms);
/* Seconds over which those who are refused now are to be spread. */
unsigned herd_spread_s(const struct herd *h, const struct rate *rate);

#endif
