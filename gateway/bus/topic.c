/* SPDX-License-Identifier: MIT */
#include "gateway/bus/topic.h"

#include "common/alloc.h"
#include "common/random.h"

#include <stdlib.h>

struct topic_entry {
    uint64_t at_ms;
    size_t len;
    char text[];
};

struct topic_member {
    uint64_t connection;
    char *user; /* owned */
};

void topic_init(struct topic *t)
{
    *t = (struct topic){0};
    random_hex(t->position.epoch, sizeof(t->position.epoch));
}

static void drop_oldest(struct topic *t)
{
    free(t->log[t->log_at]);
    t->log_at = (t->log_at + 1) % t->log_cap;
    t->log_len--;
}

static void drop_members(struct topic *t)
{
    for (size_t i = 0; i < t->member_count; i++) {
        free(t->members[i].user);
    }
    free(t->members);
    t->members = NULL;
    t->member_count = t->member_cap = 0;
}

static void drop_log(struct topic *t)
{
    while (t->log_len > 0) {
        drop_oldest(t);
    }
    free(t->log);
    t->log = NULL;
    t->log_cap = t->log_at = 0;
}

void topic_fini(struct topic *t)
{
    drop_log(t);
    drop_members(t);
}

/* Doubles the ring; its oldest entry moves to the front. */
static void grow_log(struct topic *t)
{
    size_t cap = t->log_cap == 0 ? 8 : t->log_cap * 2;
    struct topic_entry **log = xcalloc(cap, sizeof(struct topic_entry *));
    for (size_t i = 0; i < t->log_len; i++) {
        log[i] = t->log[(t->log_at + i) % t->log_cap];
    }
    free(t->log);
    t->log = log;
    t->log_cap = cap;
    t->log_at = 0;
}

static void keep(struct topic *t, const struct topic_limits *limits, struct str text,
                 uint64_t now_ms)
{
    while (t->log_len >= limits->history_size) {
        drop_oldest(t);
    }
    if (t->log_len == t->log_cap) {
        grow_log(t);
    }
    struct topic_entry *e = xmalloc(sizeof(*e) + text.len);
    e->at_ms = now_ms;
    e->len = text.len;
    memcpy(e->text, text.ptr, text.len);
    t->log[(t->log_at + t->log_len) % t->log_cap] = e;
    t->log_len++;
}

void topic_append(struct topic *t, const struct topic_limits *limits, struct str data,
                  uint64_t now_ms, struct buf *out)
{
    t->position.offset++;
    size_t start = out->len;
    bus_add_chat(out, t->position.offset, data);
    if (limits->history_size > 0) {
        keep(t, limits, (struct str){out->ptr + start, out->len - start}, now_ms);
    } else {
        drop_log(t); /* of an earlier setting: the log ends with the newest message, or is empty */
    }
}

void topic_expire(struct topic *t, const struct topic_limits *limits, uint64_t now_ms)
{
    if (limits->history_ttl_ms == 0) {
        return;
    }
    while (t->log_len > 0 && now_ms - t->log[t->log_at]->at_ms >= limits->history_ttl_ms) {
        drop_oldest(t);
    }
    if (t->log_len == 0) {
        drop_log(t);
    }
}

size_t topic_read(const struct topic *t, const struct bus_range *range,
                  struct str lines[BUS_READ_MAX], uint64_t *first)
{
    uint64_t oldest = t->position.offset - t->log_len + 1;
    uint64_t from = range->from < oldest ? oldest : range->from;
    uint64_t to = range->to > t->position.offset ? t->position.offset : range->to;
    *first = from;
    if (!str_equal(range->epoch, bus_epoch(&t->position)) || from > to) {
        return 0;
    }
    size_t count = to - from + 1 < BUS_READ_MAX ? (size_t)(to - from + 1) : BUS_READ_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t at = (t->log_at + (size_t)(from - oldest) + i) % t->log_cap;
        lines[i] = (struct str){t->log[at]->text, t->log[at]->len};
    }
    return count;
}

/* Where connection is in members, or where it belongs. */
static size_t member_at(const struct topic *t, uint64_t connection)
{
    size_t low = 0;
    size_t high = t->member_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->members[middle].connection < connection) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void remove_member(struct topic *t, size_t at)
{
    free(t->members[at].user);
    t->member_count--;
    memmove(&t->members[at], &t->members[at + 1], (t->member_count - at) * sizeof(t->members[0]));
}

static void insert_member(struct topic *t, size_t at, const struct bus_presence_member *m)
{
    if (t->member_count == t->member_cap) {
        t->member_cap = t->member_cap == 0 ? 4 : t->member_cap * 2;
        t->members = xrealloc(t->members, t->member_cap * sizeof(t->members[0]));
    }
    memmove(&t->members[at + 1], &t->members[at], (t->member_count - at) * sizeof(t->members[0]));
    t->members[at] = (struct topic_member){m->connection, str_dup(m->user)};
    t->member_count++;
}

void topic_presence(struct topic *t, const struct bus_presence *change)
{
    if (t->version != 0 && change->version <= t->version) {
        return;
    }
    if (change->full || change->count == 0) {
        drop_members(t);
    }
    for (size_t i = 0; i < change->member_count && change->count > 0; i++) {
        const struct bus_presence_member *m = &change->members[i];
        size_t at = member_at(t, m->connection);
        if (at < t->member_count && t->members[at].connection == m->connection) {
            remove_member(t, at);
        }
        if (m->user.len > 0) {
            insert_member(t, at, m);
        }
    }
    t->version = change->count == 0 ? 0 : change->version;
    t->count = change->count;
}

bool topic_page(const struct topic *t, uint64_t *after, unsigned limit, struct page *page)
{
    size_t at = *after == UINT64_MAX ? t->member_count : member_at(t, *after + 1);
    while (at < t->member_count && page->connections < limit) {
        page_add(page, str_from(t->members[at].user));
        *after = t->members[at].connection;
        at++;
    }
    return at < t->member_count;
}
