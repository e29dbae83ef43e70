/* SPDX-License-Identifier: MIT */
/* The leaves of a dead gateway, room by room, until its set of rooms is empty; of an id that was
 * ours first those rooms where we know that it was. Each step may be repeated, and several
 * survivors may do the same: whoever comes second finds nothing. When a step fails the reap is
 * given up; what is left stands in <prefix>:reaping, and whoever sees it there for long enough goes
 * on. */
#include "common/alloc.h"
#include "common/log.h"
#include "common/names.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

/* Rooms under way at once for one dead gateway. */
#define ROOMS_AT_ONCE 64

/* A reap that is under way elsewhere is done by then. */
#define LEFTOVER_MS 5000

struct reap {
    struct list in_reaps;
    size_t under_way; /* rooms */
    bool failed;
    bool own;            /* an id that was ours: its members are here still */
    bool ghost;          /* no sentence: what it left was found */
    struct args rooms;   /* to be left before those of the set */
    size_t next;         /* of these */
    char id[BUS_ID_MAX]; /* NUL-terminated */
};

struct reap_ask {
    struct ask ask;
    struct reap *reap;
    size_t room_len;
    char room[];
};

struct leftover {
    struct list in_leftovers;
    uint64_t since_ms;
    bool listed;
    char id[BUS_ID_MAX]; /* NUL-terminated */
};

static void leave_rooms(struct redis *s, struct reap *r);

static void reap_free(struct reap *r)
{
    list_remove(&r->in_reaps);
    args_fini(&r->rooms);
    free(r);
}

static void reap_done(struct redis *s, struct reap *r)
{
    reap_free(r);
    if (s->is_closing && s->me.closed != NULL && reap_idle(s)) {
        s->me.closed(s);
    }
}

static struct reap_ask *of_ask(struct ask *a)
{
    return container_of(a, struct reap_ask, ask);
}

static void send_step(struct redis *s, const struct ask_kind *kind, struct reap *r, struct str room)
{
    struct reap_ask *a = ask_new(s, kind, sizeof(*a) + room.len);
    a->reap = r;
    a->room_len = room.len;
    if (room.len > 0) {
        memcpy(a->room, room.ptr, room.len);
    }
    ask_send(&a->ask);
}

static bool write_end(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "HDEL");
    arg_key(a->redis, out, "reaping");
    args_add(out, str_from(of_ask(a)->reap->id));
    return true;
}

static void answer_end(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)err;
    (void)reply;
    reap_done(a->redis, of_ask(a)->reap);
}

static const struct ask_kind end_kind = {
    .command = COMMAND_REAP,
    .repeatable = true,
    .write = write_end,
    .answer = answer_end,
};

static bool write_room(struct ask *a, struct args *out)
{
    struct redis *s = a->redis;
    const struct reap_ask *ra = of_ask(a);
    struct str id = str_from(ra->reap->id);
    struct str room = {ra->room, ra->room_len};
    struct buf base = {0};
    key_room(s, &base, room);
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_reap");
    ARGS_LIT(out, "3");
    arg_sub(out, buf_str(&base), ":online", STR(""));
    arg_sub(out, buf_str(&base), ":members:", id);
    arg_sub(out, buf_str(&base), ":meta", STR(""));
    args_add(out, buf_str(&base));
    args_add(out, id);
    ask_add_ttls(config_policy(s->base.config, room), out);
    args_add(out, ra->reap->own ? STR("1") : STR("0"));
    buf_fini(&base);
    return true;
}

static void note_ghost(struct redis *s, const struct reap *r, struct str room,
                       const redisReply *reply)
{
    uint64_t removed = 0;
    if (r->ghost && reply_u64(reply, &removed) && removed == 1) {
        s->base.stats->ghosts++;
        LOG(WARN, GHOST, F_STR("room", room), F_STR("lost", str_from(r->id)));
    }
}

static void answer_room(struct ask *a, enum bus_err err, const redisReply *reply)
{
    const struct reap_ask *ra = of_ask(a);
    struct reap *r = ra->reap;
    struct str room = {ra->room, ra->room_len};
    if (err == BUS_OK) {
        presence_set_remove(a->redis, str_from(r->id), room);
        note_ghost(a->redis, r, room, reply);
    } else {
        r->failed = true;
    }
    if (--r->under_way > 0) {
        return;
    }
    if (r->failed) {
        reap_done(a->redis, r);
    } else {
        leave_rooms(a->redis, r);
    }
}

static const struct ask_kind room_kind = {
    .command = COMMAND_REAP,
    .repeatable = true,
    .write = write_room,
    .answer = answer_room,
};

static bool write_rooms(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "SRANDMEMBER");
    arg_gateway(a->redis, out, str_from(of_ask(a)->reap->id), ":rooms");
    args_num(out, ROOMS_AT_ONCE);
    return true;
}

static void answer_rooms(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    struct reap *r = of_ask(a)->reap;
    if (err != BUS_OK) {
        reap_done(s, r);
        return;
    }
    if (reply_count(reply) == 0) {
        send_step(s, &end_kind, r, STR(""));
        return;
    }
    for (size_t i = 0; i < reply_count(reply); i++) {
        struct str room = reply_text_at(reply, i);
        if (room.ptr != NULL && name_valid(room, NAMES_ROOM_MAX_BYTES)) {
            r->under_way++;
            send_step(s, &room_kind, r, room);
        } else if (room.ptr != NULL) {
            presence_set_remove(s, str_from(r->id), room); /* no gateway of ours wrote this */
        }
    }
    if (r->under_way == 0) {
        leave_rooms(s, r);
    }
}

static const struct ask_kind rooms_kind = {
    .command = COMMAND_REAP,
    .repeatable = true,
    .write = write_rooms,
    .answer = answer_rooms,
};

static void leave_rooms(struct redis *s, struct reap *r)
{
    while (r->next < r->rooms.count && r->under_way < ROOMS_AT_ONCE) {
        r->under_way++;
        send_step(s, &room_kind, r, args_word(&r->rooms, r->next++));
    }
    if (r->under_way == 0) {
        send_step(s, &rooms_kind, r, STR(""));
    }
}

static bool knows(struct redis *s, struct str gateway)
{
    list_each (it, &s->reaps) {
        if (str_equal(str_from(container_of(it, struct reap, in_reaps)->id), gateway)) {
            return true;
        }
    }
    return false;
}

bool reap_idle(const struct redis *s)
{
    return list_empty(&s->reaps);
}

static struct reap *reap_new(struct redis *s, struct str gateway)
{
    struct reap *r = xcalloc(1, sizeof(*r));
    memcpy(r->id, gateway.ptr, gateway.len);
    r->own = lease_was_ours(s, gateway);
    list_push(&s->reaps, &r->in_reaps);
    return r;
}

void reap_start(struct redis *s, struct str gateway)
{
    if (!knows(s, gateway)) {
        leave_rooms(s, reap_new(s, gateway));
    }
}

void reap_former(struct redis *s, struct str id, struct args *rooms)
{
    struct reap *r = reap_new(s, id);
    r->rooms = *rooms;
    *rooms = (struct args){0};
    leave_rooms(s, r);
}

bool reap_ghost(struct redis *s, struct str gateway, struct str room)
{
    if (knows(s, gateway)) {
        return false;
    }
    struct reap *r = reap_new(s, gateway);
    r->ghost = true;
    if (room.len == 0) {
        leave_rooms(s, r);
    } else {
        r->under_way = 1;
        send_step(s, &room_kind, r, room);
    }
    return true;
}

static struct leftover *find_leftover(struct redis *s, struct str id)
{
    list_each (it, &s->leftovers) {
        struct leftover *l = container_of(it, struct leftover, in_leftovers);
        if (str_equal(str_from(l->id), id)) {
            return l;
        }
    }
    struct leftover *l = xcalloc(1, sizeof(*l));
    memcpy(l->id, id.ptr, id.len);
    l->since_ms = redis_now_ms(s);
    list_push(&s->leftovers, &l->in_leftovers);
    return l;
}

void reap_leftovers(struct redis *s, const redisReply *reaping)
{
    for (size_t i = 0; i + 1 < reply_count(reaping); i += 2) {
        struct str id = reply_text_at(reaping, i);
        if (payload_gateway_valid(id)) {
            find_leftover(s, id)->listed = true;
        }
    }
    list_each_safe (it, &s->leftovers) {
        struct leftover *l = container_of(it, struct leftover, in_leftovers);
        bool due = l->listed && redis_now_ms(s) - l->since_ms >= LEFTOVER_MS;
        if (due) {
            reap_start(s, str_from(l->id));
        }
        if (due || !l->listed) {
            list_remove(it);
            free(l);
        } else {
            l->listed = false;
            s->reap_look_ms = l->since_ms + LEFTOVER_MS - 1;
        }
    }
}

void reap_fini(struct redis *s)
{
    struct list *it;
    while ((it = list_pop(&s->leftovers)) != NULL) {
        free(container_of(it, struct leftover, in_leftovers));
    }
    while ((it = list_pop(&s->reaps)) != NULL) {
        reap_free(container_of(it, struct reap, in_reaps));
    }
}
