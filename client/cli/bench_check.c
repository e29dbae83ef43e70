/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_check.h"

#include "common/alloc.h"

#include <stdlib.h>

void check_track_fini(struct check_track *t)
{
    free(t->holes);
    *t = (struct check_track){0, 0, NULL};
}

/* There is always room for the next power of two, so it grows, or shrinks back, only at one. */
static void insert_hole(struct check_track *t, uint32_t at, struct check_span span)
{
    if ((t->hole_count & (t->hole_count - 1)) == 0) {
        size_t cap = t->hole_count == 0 ? 1 : 2 * (size_t)t->hole_count;
        t->holes = xrealloc(t->holes, cap * sizeof(t->holes[0]));
    }
    memmove(&t->holes[at + 1], &t->holes[at], (t->hole_count - at) * sizeof(t->holes[0]));
    t->holes[at] = span;
    t->hole_count++;
}

static void remove_hole(struct check_track *t, uint32_t at)
{
    t->hole_count--;
    memmove(&t->holes[at], &t->holes[at + 1], (t->hole_count - at) * sizeof(t->holes[0]));
}

static void fill(struct check_track *t, uint32_t at, uint32_t number)
{
    struct check_span *hole = &t->holes[at];
    uint32_t to = hole->to;
    if (hole->from == number) {
        hole->from++;
    } else {
        hole->to = number;
        if (number + 1 < to) {
            insert_hole(t, at + 1, (struct check_span){number + 1, to});
        }
    }
    if (t->holes[at].from == t->holes[at].to) {
        remove_hole(t, at);
    }
}

enum check_verdict check_out_of_sequence(struct check_track *t, uint32_t number)
{
    if (number >= t->next) {
        insert_hole(t, t->hole_count, (struct check_span){t->next, number});
        t->next = number + 1;
        return CHECK_AHEAD;
    }
    /* The youngest holes are the likeliest to be filled. */
    for (uint32_t i = t->hole_count; i-- > 0;) {
        if (number >= t->holes[i].from) {
            if (number >= t->holes[i].to) {
                break;
            }
            fill(t, i, number);
            return CHECK_LATE;
        }
    }
    return CHECK_REPEATED;
}

uint64_t check_missing(const struct check_track *t, uint32_t sent)
{
    uint64_t missing = sent > t->next ? sent - t->next : 0;
    for (uint32_t i = 0; i < t->hole_count; i++) {
        missing += t->holes[i].to - t->holes[i].from;
    }
    return missing;
}

void check_order_init(struct check_order *o, size_t room_for)
{
    size_t cap = 1024;
    while (cap < room_for) {
        cap *= 2;
    }
    *o = (struct check_order){xcalloc(cap, sizeof(o->ring[0])), cap - 1, 0};
}

void check_order_fini(struct check_order *o)
{
    free(o->ring);
    *o = (struct check_order){NULL, 0, 0};
}
