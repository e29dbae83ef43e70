/* SPDX-License-Identifier: MIT */
/* dedupe: what the memory bus remembers of idempotency keys, for a constant time each. Pure: time
 * is passed in. */
#ifndef GATEWAY_BUS_DEDUPE_H
#define GATEWAY_BUS_DEDUPE_H

#include "common/buf.h"
#include "common/map.h"
#include "gateway/bus/bus.h"

struct dedupe {
    struct map seen;   /* of struct dedupe_entry */
    struct list order; /* the same, oldest first; owns them */
    uint64_t ttl_ms;   /* of the whole order; 0: nothing is remembered */
    struct buf key;    /* scratch */
};

void dedupe_init(struct dedupe *d, uint64_t ttl_ms);
void dedupe_fini(struct dedupe *d);
void dedupe_set_ttl(struct dedupe *d, uint64_t ttl_ms); /* also of what is remembered already */

/* The three names together are the key: who said it, where, and the key they chose. */
struct dedupe_name {
    struct str place, user, key;
};

/* What was remembered under name, or NULL; borrowed until the next call. An empty key is never
 * found. */
const struct bus_position *dedupe_find(struct dedupe *d, const struct dedupe_name *name,
                                       uint64_t now_ms);
/* name was not found just before. An empty key is not remembered. */
void dedupe_add(struct dedupe *d, const struct dedupe_name *name,
                const struct bus_position *position, uint64_t now_ms);
void dedupe_expire(struct dedupe *d, uint64_t now_ms);

#endif
