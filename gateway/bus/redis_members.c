/* SPDX-License-Identifier: MIT */
/* A page of members: the gateways in the room's `online`, in the order of their ids, and of each
 * its hash of members with HSCAN. The cursor says where to go on: "<gateway>/<HSCAN cursor>/<fields
 * to skip>"; the skip is there because HSCAN gives small hashes whole, however many were asked for.
 * It comes back from clients, with another limit perhaps, so HSCAN is always asked for as many: its
 * answer to a cursor must be the same again. */
#include "common/alloc.h"
#include "common/names.h"
#include "gateway/bus/page.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* Fields that HSCAN is asked for. */
#define SCAN_COUNT 200

struct members_walk {
    struct bus_call *call; /* borrowed until done */
    unsigned limit;
    struct page page;
    char gateway[BUS_ID_MAX]; /* where we are; empty: before the first */
    uint64_t scan;            /* HSCAN's cursor there */
    uint64_t skip;            /* fields of that HSCAN's answer that were told before */
    struct redis *redis;
    char **gateways; /* owned; sorted */
    size_t gateway_count;
    struct buf base; /* the room's channel */
};

struct members_ask {
    struct ask ask;
    struct members_walk *walk;
};

static void walk_free(struct members_walk *w)
{
    for (size_t i = 0; i < w->gateway_count; i++) {
        free(w->gateways[i]);
    }
    free(w->gateways);
    page_fini(&w->page);
    buf_fini(&w->base);
    free(w);
}

static void walk_done(struct members_walk *w, enum bus_err err, bool more)
{
    struct bus_result result = {.err = err};
    char cursor[BUS_ID_MAX + 48];
    result.members = page_members(&w->page, &result.member_count);
    if (more) {
        snprintf(cursor, sizeof(cursor), "%s/%llu/%llu", w->gateway, (unsigned long long)w->scan,
                 (unsigned long long)w->skip);
        result.cursor = str_from(cursor);
    }
    bus_done(w->call, &result);
    walk_free(w);
}

static void scan_next(struct members_walk *w);

static bool write_scan(struct ask *a, struct args *out)
{
    struct members_walk *w = container_of(a, struct members_ask, ask)->walk;
    ARGS_LIT(out, "HSCAN");
    arg_sub(out, buf_str(&w->base), ":members:", str_from(w->gateway));
    args_num(out, w->scan);
    ARGS_LIT(out, "COUNT");
    args_num(out, SCAN_COUNT);
    return true;
}

/* Moves on to the first gateway behind the present one; false: there is none. */
static bool next_gateway(struct members_walk *w)
{
    w->scan = w->skip = 0;
    for (size_t i = 0; i < w->gateway_count; i++) {
        if (strcmp(w->gateways[i], w->gateway) > 0) {
            snprintf(w->gateway, sizeof(w->gateway), "%s", w->gateways[i]);
            return true;
        }
    }
    return false;
}

static void answer_scan(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct members_walk *w = container_of(a, struct members_ask, ask)->walk;
    uint64_t next;
    if (err != BUS_OK || !reply_u64_at(reply, 0, &next) || reply_count(reply) != 2) {
        walk_done(w, err == BUS_OK ? BUS_REFUSED : err, false);
        return;
    }
    const redisReply *fields = reply->element[1];
    for (size_t i = 2 * (size_t)w->skip; i + 1 < reply_count(fields); i += 2) {
        struct str user = reply_text_at(fields, i + 1);
        if (w->page.connections == w->limit) {
            w->skip = i / 2;
            walk_done(w, BUS_OK, true);
            return;
        }
        if (user.ptr != NULL && name_valid(user, NAMES_USER_MAX_BYTES)) {
            page_add(&w->page, user);
        }
    }
    w->scan = next;
    w->skip = 0;
    bool more = next != 0 || next_gateway(w);
    if (more && w->page.connections < w->limit) {
        scan_next(w);
    } else {
        walk_done(w, BUS_OK, more);
    }
}

static const struct ask_kind scan_kind = {
    .command = COMMAND_MEMBERS,
    .repeatable = true,
    .metered = true,
    .write = write_scan,
    .answer = answer_scan,
};

static void scan_next(struct members_walk *w)
{
    struct members_ask *a = ask_new(w->redis, &scan_kind, sizeof(*a));
    a->walk = w;
    ask_send(&a->ask);
}

static bool write_keys(struct ask *a, struct args *out)
{
    struct members_walk *w = container_of(a, struct members_ask, ask)->walk;
    ARGS_LIT(out, "HKEYS");
    arg_sub(out, buf_str(&w->base), ":online", STR(""));
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void answer_keys(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct members_walk *w = container_of(a, struct members_ask, ask)->walk;
    if (err != BUS_OK) {
        walk_done(w, err, false);
        return;
    }
    w->gateways = xcalloc(reply_count(reply) + 1, sizeof(char *));
    bool present = false; /* the cursor's gateway is still there */
    for (size_t i = 0; i < reply_count(reply); i++) {
        struct str id = reply_text_at(reply, i);
        if (payload_gateway_valid(id)) {
            present = present || str_equal(id, str_from(w->gateway));
            w->gateways[w->gateway_count++] = str_dup(id);
        }
    }
    qsort(w->gateways, w->gateway_count, sizeof(char *), by_text);
    if (present || next_gateway(w)) {
        scan_next(w);
    } else {
        walk_done(w, BUS_OK, false);
    }
}

static const struct ask_kind keys_kind = {
    .command = COMMAND_MEMBERS,
    .repeatable = true,
    .metered = true,
    .write = write_keys,
    .answer = answer_keys,
};

static bool read_cursor(struct members_walk *w, struct str cursor)
{
    const char *end = cursor.ptr + cursor.len;
    const char *first = cursor.len > 0 ? memchr(cursor.ptr, '/', cursor.len) : NULL;
    const char *second = first == NULL ? NULL : memchr(first + 1, '/', (size_t)(end - first - 1));
    if (second == NULL) {
        return cursor.len == 0;
    }
    struct str id = {cursor.ptr, (size_t)(first - cursor.ptr)};
    if (!payload_gateway_valid(id) ||
        !payload_cursor((struct str){first + 1, (size_t)(second - first - 1)}, &w->scan) ||
        !payload_u64((struct str){second + 1, (size_t)(end - second - 1)}, &w->skip)) {
        return false;
    }
    memcpy(w->gateway, id.ptr, id.len);
    return true;
}

void redis_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                   struct bus_call *call)
{
    if (!ask_fits(redis_of(b), sizeof(struct members_ask), call)) {
        return;
    }
    struct members_walk *w = xcalloc(1, sizeof(*w));
    w->redis = redis_of(b);
    w->call = call;
    w->limit = limit;
    page_init(&w->page);
    if (!read_cursor(w, cursor)) {
        walk_free(w);
        bus_settle(b, call, BUS_BAD_CURSOR);
        return;
    }
    key_room(w->redis, &w->base, room);
    struct members_ask *a = ask_new(w->redis, &keys_kind, sizeof(*a));
    a->walk = w;
    ask_send(&a->ask);
}
