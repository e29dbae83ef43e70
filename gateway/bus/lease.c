/* SPDX-License-Identifier: MIT */
#include "gateway/bus/lease.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

static struct str peer_id(const void *item)
{
    return str_from(((const struct lease_peer *)item)->id);
}

void lease_init(struct lease *l, uint64_t slow_ms)
{
    map_init(&l->by_id, peer_id);
    list_init(&l->peers);
    l->slow_ms = slow_ms;
    l->fast_from_ms = 0;
}

void lease_fini(struct lease *l)
{
    struct list *it;
    while ((it = list_pop(&l->peers)) != NULL) {
        free(container_of(it, struct lease_peer, in_order));
    }
    map_fini(&l->by_id);
}

void lease_restart(struct lease *l, uint64_t now_ms, bool relinked)
{
    if (relinked) {
        l->fast_from_ms = now_ms + l->slow_ms;
    }
    list_each (it, &l->peers) {
        struct lease_peer *p = container_of(it, struct lease_peer, in_order);
        p->timed = false;
        if (relinked) {
            p->heard = p->unheard = false;
            p->rises = 0;
        }
    }
}

static bool is_back(const struct lease_peer *p)
{
    return p->heard && p->rises >= LEASE_PROOF;
}

static bool fast_holds(const struct lease *l, const struct lease_peer *p, uint64_t now_ms)
{
    return now_ms >= l->fast_from_ms || is_back(p);
}

static struct lease_peer *add(struct lease *l, struct str id)
{
    assert(id.len < BUS_ID_MAX);
    struct lease_peer *p = xcalloc(1, sizeof(*p));
    memcpy(p->id, id.ptr, id.len);
    list_push(&l->peers, &p->in_order);
    map_put(&l->by_id, p);
    return p;
}

enum lease_verdict lease_reading(struct lease *l, struct str id, uint64_t counter,
                                 uint64_t asked_ms, uint64_t now_ms)
{
    struct lease_peer *p = lease_find(l, id);
    if (p == NULL) {
        p = add(l, id);
    }
    p->listed = true;
    p->stands = false;
    if (!p->timed || p->counter != counter) {
        p->rises += p->timed ? 1 : 0;
        p->timed = true;
        p->counter = counter;
        p->since_ms = now_ms;
        return p->unheard && fast_holds(l, p, now_ms) ? LEASE_SUSPECT : LEASE_ALIVE;
    }
    uint64_t quiet_ms = asked_ms > p->since_ms ? asked_ms - p->since_ms : 0;
    if (quiet_ms >= l->slow_ms) {
        return LEASE_DEAD;
    }
    bool suspect = p->unheard && fast_holds(l, p, now_ms);
    if (suspect && quiet_ms >= LEASE_QUIET_MS) {
        return LEASE_DEAD;
    }
    p->stands = true;
    if (suspect) {
        return LEASE_SUSPECT;
    }
    return quiet_ms >= LEASE_QUIET_MS ? LEASE_STANDS : LEASE_ALIVE;
}

bool lease_subscribers(struct lease *l, struct str id, uint64_t count)
{
    struct lease_peer *p = lease_find(l, id);
    if (p == NULL) {
        return false;
    }
    p->unheard = count == 0;
    p->heard = p->heard || count > 0;
    return p->unheard;
}

struct lease_peer *lease_find(struct lease *l, struct str id)
{
    return map_get(&l->by_id, id);
}

void lease_forget(struct lease *l, struct str id)
{
    struct lease_peer *p = map_remove(&l->by_id, id);
    if (p != NULL) {
        list_remove(&p->in_order);
        free(p);
    }
}

bool lease_unproven(const struct lease *l, uint64_t now_ms)
{
    if (now_ms >= l->fast_from_ms) {
        return false;
    }
    list_each (it, &l->peers) {
        if (!is_back(container_of(it, struct lease_peer, in_order))) {
            return true;
        }
    }
    return false;
}

/* When either rule could find it dead; 0 when it gives no reason to look. */
static uint64_t look_ms(const struct lease *l, const struct lease_peer *p)
{
    uint64_t slow = p->stands ? p->since_ms + l->slow_ms : 0;
    if (!p->unheard) {
        return slow;
    }
    uint64_t fast = p->since_ms + LEASE_QUIET_MS;
    fast = fast < l->fast_from_ms && !is_back(p) ? l->fast_from_ms : fast;
    return slow != 0 && slow < fast ? slow : fast;
}

uint64_t lease_next_look_ms(const struct lease *l)
{
    uint64_t next = 0;
    list_each (it, &l->peers) {
        const struct lease_peer *p = container_of(it, struct lease_peer, in_order);
        uint64_t look = p->timed ? look_ms(l, p) : 0;
        if (look != 0 && (next == 0 || look < next)) {
            next = look;
        }
    }
    return next;
}
