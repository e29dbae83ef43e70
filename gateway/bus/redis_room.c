/* SPDX-License-Identifier: MIT */
#include "common/alloc.h"
#include "common/log.h"
#include "gateway/bus/redis.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

/* State reads on their way at once: after an outage a gateway has thousands to do. */
#define READS_MAX 256

/* A closed room's subscription stays this long: people who reload a page come back in that time. */
#define LINGER_MS 1000

/* What may wait for a room's state. What does not fit is found again: messages in the log, members
 * by one more read of the state; only signals are lost. */
#define HELD_MAX_BYTES ((size_t)1 << 20)

struct held {
    struct list link;
    size_t len;
    char text[];
};

static struct bus_room *of_channel(struct channel *c)
{
    return container_of(c, struct bus_room, channel);
}

struct str bus_room_name(const struct bus_room *r)
{
    return (struct str){r->name, r->name_len};
}

struct bus_room *room_ref(struct bus_room *r)
{
    r->refs++;
    return r;
}

static void drop_held(struct bus_room *r)
{
    struct list *it;
    while ((it = list_pop(&r->held)) != NULL) {
        free(container_of(it, struct held, link));
    }
    r->held_bytes = 0;
    r->held_over = false;
}

static void room_free(struct bus_room *r)
{
    drop_held(r);
    list_remove(&r->in_reads);
    list_remove(&r->in_linger);
    list_remove(&r->in_checks);
    list_remove(&r->channel.in_dirty);
    free(r);
}

/* A room goes when nobody follows it, nothing is asked about it, and Redis has confirmed that it is
 * not subscribed any more. */
void room_unref(struct bus_room *r)
{
    assert(r->refs > 0);
    if (--r->refs == 0) {
        room_free(r);
    }
}

static void on_gone(struct channel *c)
{
    room_unref(of_channel(c));
}

static void bad_payload(struct bus_room *r, const char *why)
{
    struct redis *s = r->channel.redis;
    s->base.stats->dropped[DROP_BAD_PAYLOAD]++;
    LOG(WARN, BAD_PAYLOAD, F_STR("room", bus_room_name(r)), F_TEXT("what", why));
}

/* What the state that was told covers is not repeated. */
static void pass_log(struct bus_room *r, struct payload *p)
{
    struct redis *s = r->channel.redis;
    size_t skip = 0;
    if (str_equal(bus_epoch(&p->position), bus_epoch(&r->floor)) && p->first <= r->floor.offset) {
        skip = r->floor.offset >= p->position.offset ? p->line_count
                                                     : (size_t)(r->floor.offset - p->first) + 1;
        s->base.stats->dropped[DROP_STALE] += skip;
    }
    if (skip < p->line_count) {
        uint64_t first = p->first + skip;
        size_t count = p->line_count - skip;
        payload_chats(&s->chats, p->lines + skip, count, first);
        s->base.events.on_log(r->ctx, &p->position, first, p->lines + skip, count);
    }
}

/* A digest under our id is ours, or tells that somebody took us for dead; under one that we gave up
 * it can only be the latter. */
static void pass_digest(struct bus_room *r, const struct payload *p)
{
    struct redis *s = r->channel.redis;
    bool former = lease_was_ours(s, p->reg.gateway);
    bool own = former || str_equal(p->reg.gateway, str_from(s->base.id));
    bool by_others = former || p->reg.version > r->version;
    if (own && by_others && p->reg.count == 0 && p->name_count > 0) {
        s->base.events.on_reaped(r->ctx, former);
    }
    if (former) {
        s->base.events.on_digest(r->ctx, &p->reg, NULL, 0); /* a state may have told of it */
    } else if (!own) {
        s->base.events.on_digest(r->ctx, &p->reg, p->names, p->name_count);
    }
}

static void pass(struct bus_room *r, struct str text)
{
    struct redis *s = r->channel.redis;
    struct payload *p = &s->payload;
    payload_read(p, text, &s->limits);
    bool own = p->kind == PAYLOAD_SIGNAL && str_equal(p->reg.gateway, str_from(s->base.id));
    switch (p->kind) {
    case PAYLOAD_LOG:
        pass_log(r, p);
        break;
    case PAYLOAD_DIGEST:
        pass_digest(r, p);
        break;
    case PAYLOAD_SIGNAL:
        s->base.events.on_signal(r->ctx, own, p->connection, p->lines[0]);
        break;
    case PAYLOAD_OUTSIDER:
        s->base.events.on_signal(r->ctx, false, 0, p->lines[0]);
        break;
    case PAYLOAD_BAD:
        bad_payload(r, p->why);
        break;
    }
}

static void hold(struct bus_room *r, struct str text)
{
    if (r->held_bytes + text.len > HELD_MAX_BYTES) {
        r->held_over = true;
        return;
    }
    struct held *h = xmalloc(sizeof(*h) + text.len);
    h->len = text.len;
    memcpy(h->text, text.ptr, text.len);
    r->held_bytes += text.len;
    list_push(&r->held, &h->link);
}

static void on_payload(struct channel *c, struct str text)
{
    struct bus_room *r = of_channel(c);
    if (r->open && r->alive) {
        pass(r, text);
    } else if (r->open) {
        hold(r, text);
    }
}

struct room_ask {
    struct ask ask;
    struct bus_room *room; /* ref */
};

static bool write_room(struct ask *a, struct args *out)
{
    struct bus_room *r = container_of(a, struct room_ask, ask)->room;
    struct str base = r->channel.name;
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_room");
    ARGS_LIT(out, "3");
    arg_sub(out, base, ":meta", STR(""));
    arg_sub(out, base, ":log", STR(""));
    arg_sub(out, base, ":online", STR(""));
    ask_add_fence(a->redis, out);
    ask_add_ttls(&r->policy, out);
    return true;
}

static void queue_read(struct bus_room *r)
{
    if (r->read == ROOM_READ_SENT) {
        r->read_again = true;
        return;
    }
    r->read = ROOM_READ_QUEUED;
    list_remove(&r->in_reads);
    list_push(&r->channel.redis->reads, &r->in_reads);
    room_reads_pump(r->channel.redis);
}

size_t room_registers(const redisReply *online, struct bus_register *registers)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < reply_count(online); i += 2) {
        struct bus_register reg = {reply_text_at(online, i), 0, 0};
        if (payload_gateway_valid(reg.gateway) &&
            payload_register(reply_text_at(online, i + 1), &reg)) {
            registers[count++] = reg;
        }
    }
    return count;
}

static void tell(struct bus_room *r, const struct bus_room_state *state)
{
    struct redis *s = r->channel.redis;
    r->floor = state->position;
    r->alive = true;
    if (r->channel.call != NULL) {
        channel_opened(
            &r->channel,
            &(struct bus_result){.err = BUS_OK, .position = state->position, .state = state});
    } else {
        s->base.events.on_synced(r->ctx, state);
    }
    while (r->open && r->alive && !list_empty(&r->held)) {
        struct held *h = container_of(list_pop(&r->held), struct held, link);
        pass(r, (struct str){h->text, h->len});
        free(h);
    }
    bool over = r->held_over && r->open && r->alive;
    drop_held(r);
    if (over) {
        queue_read(r);
    }
}

static bool tell_reply(struct bus_room *r, const redisReply *reply)
{
    struct bus_room_state state = {0};
    struct str epoch = reply_text_at(reply, 0);
    uint64_t ignored;
    if (reply_count(reply) != 3 || epoch.len != BUS_EPOCH_LEN || !payload_hex(epoch, &ignored) ||
        !reply_u64_at(reply, 1, &state.position.offset)) {
        return false;
    }
    memcpy(state.position.epoch, epoch.ptr, BUS_EPOCH_LEN);
    const redisReply *online = reply->element[2];
    struct bus_register *registers =
        xcalloc(reply_count(online) / 2 + 1, sizeof(struct bus_register));
    state.registers = registers;
    state.register_count = room_registers(online, registers);
    tell(r, &state);
    free(registers);
    return true;
}

static void answer_room(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct bus_room *r = container_of(a, struct room_ask, ask)->room;
    struct redis *s = a->redis;
    s->reads_under_way--;
    r->read = ROOM_READ_NONE;
    bool again = r->read_again;
    r->read_again = false;
    if (r->open && r->channel.fed) {
        if (again) {
            queue_read(r);
        } else if (err != BUS_OK || !tell_reply(r, reply)) {
            /* An open is told so now; the room comes alive with a later try. */
            list_push(&s->failed, &r->in_reads);
            channel_opened(&r->channel,
                           &(struct bus_result){.err = err == BUS_OK ? BUS_REFUSED : err});
        }
    }
    room_reads_pump(s);
}

static void clear_room(struct ask *a)
{
    room_unref(container_of(a, struct room_ask, ask)->room);
}

static const struct ask_kind room_kind = {
    .command = COMMAND_ROOM,
    .repeatable = true,
    .write = write_room,
    .answer = answer_room,
    .clear = clear_room,
};

void room_reads_pump(struct redis *s)
{
    while (s->reads_under_way < READS_MAX && !list_empty(&s->reads)) {
        struct bus_room *r = container_of(list_pop(&s->reads), struct bus_room, in_reads);
        r->read = ROOM_READ_SENT;
        s->reads_under_way++;
        struct room_ask *a = ask_new(s, &room_kind, sizeof(*a));
        a->room = room_ref(r);
        ask_send(&a->ask);
    }
}

void room_retry(struct redis *s)
{
    struct list failed;
    list_init(&failed);
    list_splice(&failed, &s->failed);
    struct list *it;
    while ((it = list_pop(&failed)) != NULL) {
        struct bus_room *r = container_of(it, struct bus_room, in_reads);
        if (r->open && r->channel.fed) {
            queue_read(r);
        }
    }
}

static void on_fed(struct channel *c)
{
    if (of_channel(c)->open) {
        queue_read(of_channel(c));
    }
}

static void on_lost(struct channel *c)
{
    struct bus_room *r = of_channel(c);
    drop_held(r);
    if (r->read == ROOM_READ_QUEUED) {
        r->read = ROOM_READ_NONE;
    }
    list_remove(&r->in_reads);
    if (r->open && r->alive) {
        r->alive = false;
        c->redis->base.events.on_lost(r->ctx); /* r may be closed by this */
    }
}

const struct channel_kind room_channel = {
    .on_fed = on_fed,
    .on_lost = on_lost,
    .on_payload = on_payload,
    .on_gone = on_gone,
};

void room_forget_set(struct redis *s, struct args *rooms)
{
    size_t at = 0;
    struct channel *c;
    while ((c = map_next(&s->channels, &at)) != NULL) {
        if (c->kind != &room_channel) {
            continue;
        }
        struct bus_room *r = of_channel(c);
        r->in_set = false;
        if (r->presences > 0) {
            args_add(rooms, bus_room_name(r));
        }
    }
}

void room_reload_all(struct redis *s)
{
    size_t at = 0;
    struct channel *c;
    while ((c = map_next(&s->channels, &at)) != NULL) {
        if (c->kind == &room_channel) {
            of_channel(c)->policy = *config_policy(s->base.config, bus_room_name(of_channel(c)));
        }
    }
}

static struct bus_room *room_new(struct redis *s, struct str name, struct str channel)
{
    struct bus_room *r = xcalloc(1, sizeof(*r) + name.len + channel.len);
    r->name_len = name.len;
    memcpy(r->name, name.ptr, name.len);
    memcpy(r->name + name.len, channel.ptr, channel.len);
    r->channel.name = (struct str){r->name + name.len, channel.len};
    r->policy = *config_policy(s->base.config, name);
    list_init(&r->in_reads);
    list_init(&r->in_linger);
    list_init(&r->in_checks);
    list_init(&r->held);
    list_init(&r->pending);
    list_init(&r->in_publishing);
    channel_init(&r->channel, s, &room_channel);
    r->refs = 1; /* the channel's; on_gone takes it away */
    return r;
}

struct bus_room *redis_open_room(struct bus *b, struct str name, void *ctx, struct bus_call *call)
{
    struct redis *s = redis_of(b);
    args_clear(&s->args);
    key_room(s, &s->args.text, name);
    struct channel *c = channel_find(s, buf_str(&s->args.text));
    struct bus_room *r = c != NULL ? of_channel(c) : room_new(s, name, buf_str(&s->args.text));
    assert(!r->open && !r->alive);
    list_remove(&r->in_linger);
    list_push(&s->checks, &r->in_checks);
    s->check_count++;
    r->open = true;
    r->ctx = ctx;
    channel_opening(&r->channel, call);
    channel_want(&r->channel);
    if (r->channel.fed) {
        queue_read(r);
    }
    return r;
}

void redis_close_room(struct bus *b, struct bus_room *room)
{
    struct redis *s = redis_of(b);
    assert(room->open);
    room->open = room->alive = false;
    room->ctx = NULL;
    drop_held(room);
    list_remove(&room->in_reads);
    list_remove(&room->in_checks);
    s->check_count--;
    room->read = room->read == ROOM_READ_SENT ? ROOM_READ_SENT : ROOM_READ_NONE;
    room->read_again = false;
    channel_settle(&room->channel, BUS_UNAVAILABLE);
    if (list_empty(&s->lingering)) {
        loop_timer_start(s->linger, LINGER_MS);
    }
    room->linger_ms = redis_now_ms(s) + LINGER_MS;
    list_push(&s->lingering, &room->in_linger);
}

void room_linger(void *redis)
{
    struct redis *s = redis;
    uint64_t now_ms = redis_now_ms(s);
    while (!list_empty(&s->lingering)) {
        struct bus_room *r = container_of(s->lingering.next, struct bus_room, in_linger);
        if (r->linger_ms > now_ms) {
            loop_timer_start(s->linger, r->linger_ms - now_ms);
            return;
        }
        list_remove(&r->in_linger);
        channel_drop(&r->channel);
    }
}

void redis_sync_room(struct bus *b, struct bus_room *room)
{
    (void)b;
    assert(room->open);
    if (room->channel.fed) {
        queue_read(room);
    }
}
