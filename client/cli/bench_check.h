/* SPDX-License-Identifier: MIT */
/* bench_check: what arrived, against what was sent. Pure.
 *
 * A track is what one member has of one publisher: every number below `next` came, but those in
 * its holes. So what is lost, what came twice and what came late is known exactly at any time,
 * and a message in sequence costs one comparison.
 *
 * An order is that of a whole room: each message has the place at which it was first seen by any
 * member, and every member must meet them in that order. */
#ifndef CLIENT_CLI_BENCH_CHECK_H
#define CLIENT_CLI_BENCH_CHECK_H

#include "common/base.h"

struct check_span {
    uint32_t from, to; /* to is the first that is not missing */
};

/* A zeroed struct has seen nothing and expects 0. */
struct check_track {
    uint32_t next;
    uint32_t hole_count;
    struct check_span *holes; /* owned; sorted; room for the next power of two */
};

void check_track_fini(struct check_track *t);

enum check_verdict {
    CHECK_NEXT,
    CHECK_AHEAD,    /* some before it are missing so far */
    CHECK_LATE,     /* was missing: it came out of sequence */
    CHECK_REPEATED, /* was here before */
};

enum check_verdict check_out_of_sequence(struct check_track *t, uint32_t number);

static inline enum check_verdict check_number(struct check_track *t, uint32_t number)
{
    if (__builtin_expect(number == t->next, true)) {
        t->next++;
        return CHECK_NEXT;
    }
    return check_out_of_sequence(t, number);
}

/* How many of the first `sent` numbers have not come. */
uint64_t check_missing(const struct check_track *t, uint32_t sent);

struct check_order {
    uint64_t *ring; /* owned */
    uint64_t mask;
    uint64_t len; /* messages ever; the ring has the last ones */
};

void check_order_init(struct check_order *o, size_t room_for); /* rounded up to a power of two */
void check_order_fini(struct check_order *o);

/* A member, whose place is *place, meets message id for the first time; first: nobody has before.
 * False: it meets it after one that others met later. Messages that it skipped are no matter
 * here: they are lost, or come late and are found then. */
static inline bool check_order_met(struct check_order *o, uint64_t *place, uint64_t id, bool first)
{
    if (first) {
        o->ring[o->len++ & o->mask] = id;
        *place = o->len;
        return true;
    }
    uint64_t from = *place;
    if (o->len - from > o->mask) {
        from = o->len - o->mask - 1; /* what is older is not in the ring any more */
    }
    for (uint64_t i = from; i < o->len; i++) {
        if (o->ring[i & o->mask] == id) {
            *place = i + 1;
            return true;
        }
    }
    return false;
}

#endif
