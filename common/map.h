/* SPDX-License-Identifier: MIT */
/* map: a hash table from text to the caller's items. An item holds its own key; the map holds
 * pointers (12 bytes a slot, open addressing, at most 3/4 full) and never owns an item.
 *
 * Keys come from the network, so hashing is SipHash-1-3 (Aumasson and Bernstein, 2012, with fewer
 * rounds as in Rust's and Ruby's tables) under a random seed of each map's own. */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include "common/base.h"

struct map {
    void **items;      /* owned, not what it points to; an entry is NULL where a slot is free; NULL
                          while the map never held an item */
    size_t count, cap; /* cap is 0 or a power of two */
    struct str (*key_of)(const void *item);
    uint64_t seed[2];
};

/* key_of tells an item's key; the key must not change while the item is in the map. */
void map_init(struct map *m, struct str (*key_of)(const void *item));
void map_fini(struct map *m); /* frees the table, not the items */

void *map_get(const struct map *m, struct str key); /* NULL when absent */
void map_put(struct map *m, void *item);            /* its key must not be in the map (asserted) */
void *map_remove(struct map *m, struct str key);    /* the removed item, or NULL */

/* Visits every item: start with *at = 0; NULL at the end. The map must not change meanwhile; an
 * item may be removed only after the walk. */
void *map_next(const struct map *m, size_t *at);

#endif
