/* SPDX-License-Identifier: MIT */
/* The background check: what should never be wrong, and comes right by itself when it is.
 *
 * Every open room is looked at once in CHECK_PERIOD_TICKS (at most ROOMS_AT_ONCE at a time: a few a
 * second): chat compares this gateway's register and members with the truth, and a register of a
 * gateway that is not among the living is suspect. So is a set of rooms of such a gateway, which a
 * slow SCAN finds. Who is still not among the living a lease later is a ghost, and is reaped. That
 * cannot hit a living one: it enters <prefix>:gateways before it writes anything else, and an id
 * that went out of there never comes back.
 *
 * A room without registers (presence=off) has nothing to be compared, but nothing that keeps its
 * `meta` from expiring either, and with it the room's epoch: the check does that instead. */
#include "common/alloc.h"
#include "common/log.h"
#include "common/names.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define CHECK_PERIOD_TICKS 120 /* a minute */
#define ROOMS_AT_ONCE 36       /* of every 12 s */
#define SUSPECTS_MAX 1024      /* what does not fit is found again */
#define SCAN_COUNT 1000        /* keys that Redis passes in one step: about 0.2 ms of its time */
#define MEMBERS_UNKNOWN UINT64_MAX
#define META_MARGIN_MS 3600000 /* as in parley.lua */

struct check_ask {
    struct ask ask;
    struct bus_room *room; /* ref */
};

struct suspect {
    struct list in_suspects;
    uint64_t since_ms;
    char id[BUS_ID_MAX]; /* NUL-terminated */
    size_t room_len;     /* 0: a set of rooms */
    char room[];
};

static struct str suspect_room(const struct suspect *p)
{
    return (struct str){p->room, p->room_len};
}

static bool lives(struct redis *s, struct str id)
{
    return str_equal(id, str_from(s->base.id)) || lease_find(&s->lease, id) != NULL;
}

static void suspect(struct redis *s, struct str id, struct str room)
{
    if (lives(s, id) || s->suspect_count == SUSPECTS_MAX) {
        return;
    }
    list_each (it, &s->suspects) {
        const struct suspect *p = container_of(it, struct suspect, in_suspects);
        if (str_equal(str_from(p->id), id) && str_equal(suspect_room(p), room)) {
            return;
        }
    }
    struct suspect *p = xcalloc(1, sizeof(*p) + room.len);
    memcpy(p->id, id.ptr, id.len);
    p->since_ms = redis_now_ms(s);
    p->room_len = room.len;
    if (room.len > 0) {
        memcpy(p->room, room.ptr, room.len);
    }
    list_push(&s->suspects, &p->in_suspects);
    s->suspect_count++;
}

static void acquit(struct redis *s, struct suspect *p)
{
    list_remove(&p->in_suspects);
    s->suspect_count--;
    free(p);
}

/* The second look: at the living, as they were read a lease after the first. */
void check_suspects(struct redis *s)
{
    uint64_t lease_ms = s->base.config->redis.lease_ms;
    list_each_safe (it, &s->suspects) {
        struct suspect *p = container_of(it, struct suspect, in_suspects);
        struct str id = str_from(p->id);
        bool due = s->others_ms >= p->since_ms + lease_ms;
        if (lives(s, id) || (due && reap_ghost(s, id, suspect_room(p)))) {
            acquit(s, p);
        }
    }
}

static struct bus_room *of_ask(struct ask *a)
{
    return container_of(a, struct check_ask, ask)->room;
}

static void clear_check(struct ask *a)
{
    room_unref(of_ask(a));
}

static bool write_members(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "HLEN");
    arg_sub(out, of_ask(a)->channel.name, ":members:", str_from(a->redis->base.id));
    return true;
}

static void answer_members(struct ask *a, enum bus_err err, const redisReply *reply)
{
    uint64_t count;
    of_ask(a)->members_seen = err == BUS_OK && reply_u64(reply, &count) ? count : MEMBERS_UNKNOWN;
}

static const struct ask_kind members_kind = {
    .command = COMMAND_CHECK,
    .repeatable = true,
    .write = write_members,
    .answer = answer_members,
    .clear = clear_check,
};

static bool write_registers(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "HGETALL");
    arg_sub(out, of_ask(a)->channel.name, ":online", STR(""));
    return true;
}

static void answer_registers(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    struct bus_room *r = of_ask(a);
    if (err != BUS_OK || !r->open || !r->alive) {
        return;
    }
    struct bus_register *registers =
        xcalloc(reply_count(reply) / 2 + 1, sizeof(struct bus_register));
    struct bus_check check = {.registers = registers,
                              .register_count = room_registers(reply, registers),
                              .members_known = r->members_seen != MEMBERS_UNKNOWN,
                              .members = r->members_seen};
    for (size_t i = 0; i < check.register_count; i++) {
        suspect(s, registers[i].gateway, bus_room_name(r));
    }
    s->base.events.on_check(r->ctx, &check);
    free(registers);
}

static const struct ask_kind registers_kind = {
    .command = COMMAND_CHECK,
    .repeatable = true,
    .write = write_registers,
    .answer = answer_registers,
    .clear = clear_check,
};

static bool write_keep(struct ask *a, struct args *out)
{
    const struct bus_room *r = of_ask(a);
    uint64_t history_ms = r->policy.history_ttl_ms, keys_ms = r->policy.dedupe_ttl_ms;
    ARGS_LIT(out, "PEXPIRE");
    arg_sub(out, r->channel.name, ":meta", STR(""));
    args_num(out, (history_ms > keys_ms ? history_ms : keys_ms) + META_MARGIN_MS);
    ARGS_LIT(out, "GT"); /* what another gateway's register keeps does not expire at all */
    return true;
}

static void answer_keep(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)a; /* the next check tries again */
    (void)err;
    (void)reply;
}

static const struct ask_kind keep_kind = {
    .command = COMMAND_CHECK,
    .repeatable = true,
    .write = write_keep,
    .answer = answer_keep,
    .clear = clear_check,
};

static void ask_about(struct bus_room *r, const struct ask_kind *kind)
{
    struct check_ask *a = ask_new(r->channel.redis, kind, sizeof(*a));
    a->room = room_ref(r);
    ask_send(&a->ask);
}

void check_rooms(struct redis *s, unsigned ticks)
{
    s->check_credit += s->check_count * ticks;
    size_t due = s->check_credit / CHECK_PERIOD_TICKS;
    s->check_credit %= CHECK_PERIOD_TICKS;
    for (size_t i = 0; i < due && i < s->check_count && i < ROOMS_AT_ONCE; i++) {
        struct bus_room *r = container_of(list_pop(&s->checks), struct bus_room, in_checks);
        list_push(&s->checks, &r->in_checks);
        if (r->policy.presence == CONFIG_PRESENCE_OFF) {
            ask_about(r, &keep_kind);
        } else {
            ask_about(r, &members_kind);
            ask_about(r, &registers_kind);
        }
    }
}

static bool write_scan(struct ask *a, struct args *out)
{
    struct redis *s = a->redis;
    ARGS_LIT(out, "SCAN");
    args_num(out, s->scan);
    ARGS_LIT(out, "MATCH");
    arg_gateway(s, out, STR("*"), ":rooms");
    ARGS_LIT(out, "COUNT");
    args_num(out, SCAN_COUNT);
    return true;
}

static void answer_scan(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    size_t head = strlen(s->base.config->redis.prefix) + strlen(":gateway:");
    size_t tail = strlen(":rooms");
    if (err != BUS_OK || reply_count(reply) != 2 ||
        !payload_cursor(reply_text_at(reply, 0), &s->scan)) {
        s->scan = 0;
        return;
    }
    for (size_t i = 0; i < reply_count(reply->element[1]); i++) {
        struct str key = reply_text_at(reply->element[1], i);
        if (key.len > head + tail) {
            struct str id = {key.ptr + head, key.len - head - tail};
            if (payload_gateway_valid(id)) {
                suspect(s, id, STR(""));
            }
        }
    }
}

static const struct ask_kind scan_kind = {
    .command = COMMAND_CHECK,
    .repeatable = true,
    .write = write_scan,
    .answer = answer_scan,
};

void check_sets(struct redis *s)
{
    ask_send(ask_new(s, &scan_kind, sizeof(struct ask)));
}

void check_fini(struct redis *s)
{
    while (!list_empty(&s->suspects)) {
        acquit(s, container_of(s->suspects.next, struct suspect, in_suspects));
    }
}
