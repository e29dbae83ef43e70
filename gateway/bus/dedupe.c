/* SPDX-License-Identifier: MIT */
#include "gateway/bus/dedupe.h"

#include "common/alloc.h"

#include <stdlib.h>

struct dedupe_entry {
    struct list in_order;
    uint64_t at_ms;
    struct bus_position position;
    size_t key_len;
    char key[];
};

static struct str entry_key(const void *item)
{
    const struct dedupe_entry *e = item;
    return (struct str){e->key, e->key_len};
}

void dedupe_init(struct dedupe *d, uint64_t ttl_ms)
{
    map_init(&d->seen, entry_key);
    list_init(&d->order);
    d->ttl_ms = ttl_ms;
    d->key = (struct buf){0};
}

void dedupe_set_ttl(struct dedupe *d, uint64_t ttl_ms)
{
    d->ttl_ms = ttl_ms;
}

static void drop_oldest(struct dedupe *d)
{
    struct dedupe_entry *e = container_of(d->order.next, struct dedupe_entry, in_order);
    list_remove(&e->in_order);
    map_remove(&d->seen, entry_key(e));
    free(e);
}

void dedupe_fini(struct dedupe *d)
{
    while (!list_empty(&d->order)) {
        drop_oldest(d);
    }
    map_fini(&d->seen);
    buf_fini(&d->key);
}

/* Lengths stand before the names, so that no two triples of names make one text. */
static struct str joined(struct dedupe *d, const struct dedupe_name *name)
{
    buf_clear(&d->key);
    buf_add_u64(&d->key, name->place.len);
    buf_add_char(&d->key, ':');
    buf_add_u64(&d->key, name->user.len);
    buf_add_char(&d->key, ':');
    buf_add(&d->key, name->place);
    buf_add(&d->key, name->user);
    buf_add(&d->key, name->key);
    return buf_str(&d->key);
}

const struct bus_position *dedupe_find(struct dedupe *d, const struct dedupe_name *name,
                                       uint64_t now_ms)
{
    dedupe_expire(d, now_ms);
    if (name->key.len == 0) {
        return NULL;
    }
    const struct dedupe_entry *e = map_get(&d->seen, joined(d, name));
    return e == NULL ? NULL : &e->position;
}

void dedupe_add(struct dedupe *d, const struct dedupe_name *name,
                const struct bus_position *position, uint64_t now_ms)
{
    if (name->key.len == 0 || d->ttl_ms == 0) {
        return;
    }
    struct str key = joined(d, name);
    struct dedupe_entry *e = xmalloc(sizeof(*e) + key.len);
    e->at_ms = now_ms;
    e->position = *position;
    e->key_len = key.len;
    memcpy(e->key, key.ptr, key.len);
    list_push(&d->order, &e->in_order);
    map_put(&d->seen, e);
}

void dedupe_expire(struct dedupe *d, uint64_t now_ms)
{
    while (!list_empty(&d->order)) {
        const struct dedupe_entry *e = container_of(d->order.next, struct dedupe_entry, in_order);
        if (now_ms - e->at_ms < d->ttl_ms) {
            return;
        }
        drop_oldest(d);
    }
}
