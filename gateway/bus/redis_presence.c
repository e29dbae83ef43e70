/* SPDX-License-Identifier: MIT */
/* Registers, digests, and signals. The gateway's set of rooms tells the others what to reap when it
 * dies: a room goes into it before the register is written, and out after the register is gone. */
#include "common/alloc.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>

struct set_ask {
    struct ask ask;
    struct bus_room *room; /* ref; NULL: the gateway and room in names */
    struct buf names;
    size_t gateway_len;
};

static bool write_add(struct ask *a, struct args *out)
{
    const struct set_ask *sa = container_of(a, struct set_ask, ask);
    ARGS_LIT(out, "SADD");
    arg_gateway(a->redis, out, str_from(a->redis->base.id), ":rooms");
    args_add(out, bus_room_name(sa->room));
    return true;
}

static bool write_remove(struct ask *a, struct args *out)
{
    const struct set_ask *sa = container_of(a, struct set_ask, ask);
    struct str names = buf_str(&sa->names);
    ARGS_LIT(out, "SREM");
    arg_gateway(a->redis, out, (struct str){names.ptr, sa->gateway_len}, ":rooms");
    args_add(out, (struct str){names.ptr + sa->gateway_len, names.len - sa->gateway_len});
    return true;
}

static void answer_set(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)reply;
    const struct set_ask *sa = container_of(a, struct set_ask, ask);
    if (err != BUS_OK && sa->room != NULL) {
        sa->room->in_set = false; /* the next change of its register tries again */
    }
}

static void clear_set(struct ask *a)
{
    struct set_ask *sa = container_of(a, struct set_ask, ask);
    buf_fini(&sa->names);
    if (sa->room != NULL) {
        room_unref(sa->room);
    }
}

static const struct ask_kind add_kind = {
    .command = COMMAND_PRESENCE,
    .repeatable = true,
    .write = write_add,
    .answer = answer_set,
    .clear = clear_set,
};

static const struct ask_kind remove_kind = {
    .command = COMMAND_PRESENCE,
    .repeatable = true,
    .write = write_remove,
    .answer = answer_set,
    .clear = clear_set,
};

static void set_add(struct bus_room *r)
{
    struct set_ask *sa = ask_new(r->channel.redis, &add_kind, sizeof(*sa));
    sa->room = room_ref(r);
    r->in_set = true;
    ask_send(&sa->ask);
}

void presence_set_remove(struct redis *s, struct str gateway, struct str room)
{
    struct set_ask *sa = ask_new(s, &remove_kind, sizeof(*sa));
    buf_add(&sa->names, gateway);
    buf_add(&sa->names, room);
    sa->gateway_len = gateway.len;
    ask_send(&sa->ask);
}

struct presence_ask {
    struct ask ask;
    struct bus_call *call; /* borrowed until done */
    struct bus_room *room; /* ref */
    uint64_t number;       /* among the room's changes */
    uint64_t version, count;
    bool full;
    struct buf names;    /* the digest's lines */
    struct args members; /* pairs of connection and user */
};

static bool write_presence(struct ask *a, struct args *out)
{
    struct presence_ask *p = container_of(a, struct presence_ask, ask);
    struct redis *s = a->redis;
    struct str base = p->room->channel.name;
    struct str id = str_from(s->base.id);
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_presence");
    ARGS_LIT(out, "3");
    arg_sub(out, base, ":online", STR(""));
    arg_sub(out, base, ":members:", id);
    arg_sub(out, base, ":meta", STR(""));
    args_add(out, base);
    args_add(out, id);
    args_num(out, p->version);
    args_num(out, p->count);
    args_num(out, p->full ? 1 : 0);
    ask_add_ttls(&p->room->policy, out);
    args_add(out, buf_str(&p->names));
    for (size_t i = 0; i < p->members.count; i++) {
        args_add(out, args_word(&p->members, i));
    }
    return true;
}

static void answer_presence(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)reply; /* 0 says that Redis has a newer one: as good */
    struct presence_ask *p = container_of(a, struct presence_ask, ask);
    struct bus_room *r = p->room;
    if (err == BUS_OK && p->count == 0 && r->presences == p->number && r->in_set) {
        r->in_set = false;
        presence_set_remove(a->redis, str_from(a->redis->base.id), bus_room_name(r));
    }
    bus_done_err(p->call, err);
}

static void clear_presence(struct ask *a)
{
    struct presence_ask *p = container_of(a, struct presence_ask, ask);
    buf_fini(&p->names);
    args_fini(&p->members);
    room_unref(p->room);
}

static const struct ask_kind presence_kind = {
    .command = COMMAND_PRESENCE,
    .repeatable = true,
    .write = write_presence,
    .answer = answer_presence,
    .clear = clear_presence,
};

void redis_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                    struct bus_call *call)
{
    struct redis *s = redis_of(b);
    if (change->count > 0 && !room->in_set) {
        set_add(room);
    }
    struct presence_ask *p = ask_new(s, &presence_kind, sizeof(*p));
    p->call = call;
    p->room = room_ref(room);
    p->number = ++room->presences;
    p->version = room->version = change->version;
    p->count = change->count;
    p->full = change->full;
    payload_add_names(&p->names, change->names, change->name_count);
    for (size_t i = 0; i < change->member_count; i++) {
        buf_add_hex(&p->members.text, change->members[i].connection);
        args_end(&p->members);
        args_add(&p->members, change->members[i].user);
    }
    ask_send(&p->ask);
}

struct signal_ask {
    struct ask ask;
    struct bus_call *call; /* borrowed until done */
    struct bus_room *room; /* ref */
    uint64_t connection;
    struct str line;
    char text[];
};

static bool write_signal(struct ask *a, struct args *out)
{
    struct signal_ask *g = container_of(a, struct signal_ask, ask);
    ARGS_LIT(out, "PUBLISH");
    args_add(out, g->room->channel.name);
    BUF_LIT(&out->text, "sig ");
    buf_add(&out->text, str_from(a->redis->base.id));
    buf_add_char(&out->text, ' ');
    buf_add_hex(&out->text, g->connection);
    buf_add_char(&out->text, '\n');
    buf_add(&out->text, g->line);
    args_end(out);
    return true;
}

static void answer_signal(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)reply;
    bus_done_err(container_of(a, struct signal_ask, ask)->call, err);
}

static void clear_signal(struct ask *a)
{
    room_unref(container_of(a, struct signal_ask, ask)->room);
}

static const struct ask_kind signal_kind = {
    .command = COMMAND_SIGNAL,
    .repeatable = false,
    .metered = true,
    .write = write_signal,
    .answer = answer_signal,
    .clear = clear_signal,
};

void redis_signal(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                  struct bus_call *call)
{
    struct signal_ask *g;
    if (!ask_fits(redis_of(b), sizeof(*g) + line.len, call)) {
        return;
    }
    g = ask_new(redis_of(b), &signal_kind, sizeof(*g) + line.len);
    char *at = g->text;
    g->call = call;
    g->room = room_ref(room);
    g->connection = connection;
    g->line = bus_put(&at, line);
    ask_send(&g->ask);
}
