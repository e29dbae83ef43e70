/* SPDX-License-Identifier: MIT */
/* suggest: "did you mean …?": the known word nearest to one that nobody knows. Nearness is the
 * optimal string alignment distance (insertions, deletions, changes, and swaps of neighbours). */
#ifndef GATEWAY_SUGGEST_H
#define GATEWAY_SUGGEST_H

#include "common/base.h"

/* The best candidate so far. Start with {.asked = …}. */
struct suggestion {
    struct str asked; /* borrowed */
    const void *best; /* the item of the nearest candidate; NULL while none is near enough */
    size_t distance;
};

/* item stands for the word; it must not be NULL. Words past 64 bytes are never near. */
void suggest_try(struct suggestion *s, struct str word, const void *item);

#endif
