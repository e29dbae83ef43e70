/* SPDX-License-Identifier: MIT */
/* gather: whether to look at the sockets once more before acting on what they brought. What clients
 * send at once comes in pieces, over several looks, and what is done for a piece often costs as
 * much as for all of them: a wave of calls to Redis, a write to each member of a room. A look
 * costs about a microsecond. Pure; the time is passed in. */
#ifndef GATEWAY_GATHER_H
#define GATEWAY_GATHER_H

#include "common/base.h"

/* The longest wait. */
#define GATHER_US 500

/* Zeroed: nothing waits. */
struct gather {
    uint64_t arrived;  /* whatever is waited for, ever: the owner counts it up */
    uint64_t seen;     /* of these, at the last look */
    uint64_t since_us; /* 0: nothing waits */
    unsigned idle;     /* looks since then that brought nothing */
};

/* Called after each look. True: look once more. False: act; the next call begins anew. It is false
 * when as many looks as idle_looks, one after the other, brought nothing, or the wait was long; and
 * at once where nothing has arrived since it was false last: what there is to do is old. */
bool gather_waits(struct gather *g, unsigned idle_looks, uint64_t now_us) MUST_CHECK;

#endif
