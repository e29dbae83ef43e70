/* SPDX-License-Identifier: MIT */
#include "common/backoff.h"

#include <limits.h>

/* min(max_ms, min_ms * 2^attempt) without overflow: it doubles only while that stays below max_ms.
 */
static uint64_t ceiling_ms(const struct backoff *b)
{
    uint64_t ceiling = b->min_ms;
    for (unsigned i = 0; i < b->attempt && ceiling > 0; i++) {
        if (ceiling > b->max_ms / 2) {
            return b->max_ms;
        }
        ceiling *= 2;
    }
    return ceiling < b->max_ms ? ceiling : b->max_ms;
}

uint64_t backoff_next_ms(struct backoff *b, uint64_t random)
{
    uint64_t ceiling = ceiling_ms(b);
    if (b->attempt < UINT_MAX) {
        b->attempt++;
    }
    /* The bias of the remainder is ceiling / 2^64: nothing for waits of minutes. */
    return ceiling == UINT64_MAX ? random : random % (ceiling + 1);
}
