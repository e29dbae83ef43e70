/* SPDX-License-Identifier: MIT */
#include "gateway/chat/registers.h"

#include "common/alloc.h"

#include <stdlib.h>

/* So long a register that is gone is kept, as 0: no answer to a question takes longer. */
#define GONE_KEPT_MS 10000

struct registers_entry {
    char *gateway; /* owned */
    uint64_t version, count;
    uint64_t gone_ms; /* count 0: since when */
    bool fresh;       /* told by a digest since registers_doubt */
    bool missing;     /* the last check did not find it */
};

static struct registers_entry *find(struct registers *r, struct str gateway)
{
    for (size_t i = 0; i < r->count; i++) {
        if (str_equal(str_from(r->entries[i].gateway), gateway)) {
            return &r->entries[i];
        }
    }
    return NULL;
}

static struct registers_entry *add(struct registers *r, struct str gateway)
{
    r->entries = xrealloc(r->entries, (r->count + 1) * sizeof(*r->entries));
    r->entries[r->count] = (struct registers_entry){.gateway = str_dup(gateway)};
    return &r->entries[r->count++];
}

/* The last one takes its place. */
static void forget(struct registers *r, struct registers_entry *e)
{
    r->online -= e->count;
    free(e->gateway);
    *e = r->entries[--r->count];
}

/* So that nothing grows with the number of gateways that ever were. */
static void forget_gone(struct registers *r, uint64_t now_ms)
{
    for (size_t i = r->count; i-- > 0;) {
        struct registers_entry *e = &r->entries[i];
        if (e->count == 0 && now_ms - e->gone_ms > GONE_KEPT_MS) {
            forget(r, e);
        }
    }
}

void registers_fini(struct registers *r)
{
    while (r->count > 0) {
        forget(r, &r->entries[r->count - 1]);
    }
    free(r->entries);
    r->entries = NULL;
}

bool registers_set(struct registers *r, const struct bus_register *reg, uint64_t now_ms)
{
    forget_gone(r, now_ms);
    struct registers_entry *e = find(r, reg->gateway);
    if (e != NULL && reg->version <= e->version) {
        return false;
    }
    if (e == NULL) {
        e = add(r, reg->gateway);
    } else if (e->count > 0 && reg->version > e->version + 1) {
        r->missed = true; /* each digest counts one up; a room that was closed there begins anew */
    }
    r->online += reg->count - e->count;
    e->count = reg->count;
    e->version = reg->version;
    e->gone_ms = now_ms;
    e->fresh = true;
    e->missing = false;
    return true;
}

void registers_doubt(struct registers *r)
{
    for (size_t i = 0; i < r->count; i++) {
        r->entries[i].fresh = false;
    }
}

static void set_all(struct registers *r, const struct bus_register *list, size_t count,
                    struct str self, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(list[i].gateway, self) && registers_set(r, &list[i], now_ms)) {
            r->missed = true;
        }
    }
}

void registers_on_state(struct registers *r, const struct bus_room_state *state, struct str self,
                        uint64_t now_ms)
{
    for (size_t i = r->count; i-- > 0;) {
        struct registers_entry *e = &r->entries[i];
        bool found =
            registers_find(state->registers, state->register_count, str_from(e->gateway)) != NULL;
        if (!found && (!e->fresh || e->count == 0)) {
            r->missed = r->missed || e->count > 0;
            forget(r, e);
        }
    }
    set_all(r, state->registers, state->register_count, self, now_ms);
}

void registers_on_check(struct registers *r, const struct bus_check *check, struct str self,
                        uint64_t now_ms)
{
    for (size_t i = r->count; i-- > 0;) {
        struct registers_entry *e = &r->entries[i];
        bool found = e->count == 0 || registers_find(check->registers, check->register_count,
                                                     str_from(e->gateway)) != NULL;
        if (!found && e->missing) {
            r->missed = true;
            forget(r, e);
        } else {
            e->missing = !found;
        }
    }
    set_all(r, check->registers, check->register_count, self, now_ms);
}

const struct bus_register *registers_find(const struct bus_register *list, size_t count,
                                          struct str gateway)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(list[i].gateway, gateway)) {
            return &list[i];
        }
    }
    return NULL;
}
