/* SPDX-License-Identifier: MIT */
/* registers: what the other gateways said of a room: each its version and its count. Pure; the time
 * is passed in. A lower version never replaces a higher one. */
#ifndef GATEWAY_CHAT_REGISTERS_H
#define GATEWAY_CHAT_REGISTERS_H

#include "gateway/bus/bus.h"

struct registers_entry;

/* Embedded; all zero is empty. */
struct registers {
    struct registers_entry *entries; /* owned */
    size_t count;
    uint64_t online; /* the sum of their counts */
    bool missed;     /* counts changed by more than digests told; the owner clears it */
};

void registers_fini(struct registers *r);

/* A digest's, or one of a list that was read. False: what is known is as new. One that is gone
 * (count 0) is kept for a while, against a list that was read before. */
bool registers_set(struct registers *r, const struct bus_register *reg, uint64_t now_ms);

/* From now on a list that is read counts for more than what digests said before. */
void registers_doubt(struct registers *r);
/* A list that was read: who is not in it is forgotten, unless a digest was newer. self: our own id,
 * left out. */
void registers_on_state(struct registers *r, const struct bus_room_state *state, struct str self,
                        uint64_t now_ms);
/* As the background check found them: forgotten is who is missing at two checks, one after the
 * other. (Once may be one that was written only now.) */
void registers_on_check(struct registers *r, const struct bus_check *check, struct str self,
                        uint64_t now_ms);

/* The one of a gateway in a list; NULL: none. */
const struct bus_register *registers_find(const struct bus_register *list, size_t count,
                                          struct str gateway);

#endif
