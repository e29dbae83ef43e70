/* SPDX-License-Identifier: MIT */
/* Group commit: of each room at most one publish is under way, and what arrives meanwhile goes out
 * together in the next. So the busier a room, the cheaper its messages, and without load none
 * waits. Messages are put into the call when it is sent; until then each has its own deadline. */
#include "common/alloc.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define BATCH_MAX_BYTES ((size_t)256 << 10)

/* What a message costs besides its texts. */
#define MESSAGE_OVERHEAD 128

struct message {
    struct list in_room;     /* in room->pending, then in the batch */
    struct list in_messages; /* in redis->messages while it is pending */
    struct bus_call *call;   /* borrowed until done */
    uint64_t deadline_ms;
    struct str user, key, data;
    char text[];
};

struct publish_ask {
    struct ask ask;
    struct bus_room *room; /* ref */
    struct list batch;     /* of struct message; empty until it is sent first */
    size_t count;
};

static const struct ask_kind publish_kind;

static size_t cost(const struct message *m)
{
    return m->user.len + m->key.len + m->data.len + MESSAGE_OVERHEAD;
}

static void message_done(struct redis *s, struct message *m, const struct bus_result *result)
{
    s->publish_bytes -= cost(m);
    bus_done(m->call, result);
    free(m);
}

static struct message *message_of(struct list *in_room)
{
    return container_of(in_room, struct message, in_room);
}

static void take_batch(struct publish_ask *p)
{
    size_t bytes = 0;
    while (!list_empty(&p->room->pending) && p->count < BUS_BATCH_MAX) {
        struct message *m = message_of(p->room->pending.next);
        bytes += cost(m);
        if (p->count > 0 && bytes > BATCH_MAX_BYTES) {
            return;
        }
        list_remove(&m->in_room);
        list_remove(&m->in_messages);
        list_push(&p->batch, &m->in_room);
        p->count++;
    }
}

static bool has_key(const struct redis *s, const struct message *m)
{
    return m->key.len > 0 && s->base.config->room.dedupe_ttl_ms > 0;
}

static void add_keys(const struct redis *s, const struct publish_ask *p, struct args *out)
{
    struct str base = p->room->channel.name;
    size_t keys = 2;
    list_each (it, &p->batch) {
        keys += has_key(s, message_of(it)) ? 1 : 0;
    }
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_publish");
    args_num(out, keys);
    arg_sub(out, base, ":log", STR(""));
    arg_sub(out, base, ":meta", STR(""));
    list_each (it, &p->batch) {
        const struct message *m = message_of(it);
        if (has_key(s, m)) {
            arg_dedupe(out, base, m->user, m->key);
        }
    }
}

static bool write_publish(struct ask *a, struct args *out)
{
    struct redis *s = a->redis;
    struct publish_ask *p = container_of(a, struct publish_ask, ask);
    if (p->count == 0) {
        take_batch(p);
    }
    if (p->count == 0) { /* all of them were too late */
        p->room->publishing = false;
        return false;
    }
    add_keys(s, p, out);
    args_add(out, p->room->channel.name);
    ask_add_fence(s, out);
    args_num(out, s->base.config->room.history_size);
    ask_add_ttls(s, out);
    size_t key = 3;
    list_each (it, &p->batch) {
        const struct message *m = message_of(it);
        args_num(out, has_key(s, m) ? key++ : 0);
        args_add(out, m->data);
    }
    return true;
}

static bool position_at(const redisReply *reply, size_t i, struct bus_position *out, bool *fresh)
{
    struct str epoch = reply_text_at(reply, i);
    uint64_t number;
    if (epoch.len != BUS_EPOCH_LEN || !payload_hex(epoch, &number) ||
        !reply_u64_at(reply, i + 1, &out->offset) || !reply_u64_at(reply, i + 2, &number)) {
        return false;
    }
    memcpy(out->epoch, epoch.ptr, BUS_EPOCH_LEN);
    *fresh = number == 1;
    return true;
}

static void start_publish(struct bus_room *r);

static void answer_publish(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    struct publish_ask *p = container_of(a, struct publish_ask, ask);
    struct list *it;
    p->room->publishing = false;
    if (err == BUS_UNAVAILABLE && p->count == 0) {
        /* Never sent; each message has its own deadline, and some may be younger. */
        if (!list_empty(&p->room->pending)) {
            start_publish(p->room);
        }
        return;
    }
    if (!list_empty(&p->room->pending)) {
        start_publish(p->room);
    }
    for (size_t i = 1; (it = list_pop(&p->batch)) != NULL; i += 3) {
        struct bus_result result = {.err = err};
        bool fresh = false;
        if (err == BUS_OK && !position_at(reply, i, &result.position, &fresh)) {
            result.err = BUS_UNKNOWN; /* this is not the answer of our function */
        }
        s->base.stats->published += fresh ? 1 : 0;
        message_done(s, message_of(it), &result);
    }
}

static void clear_publish(struct ask *a)
{
    room_unref(container_of(a, struct publish_ask, ask)->room);
}

static const struct ask_kind publish_kind = {
    .command = COMMAND_PUBLISH,
    .repeatable = false,
    .write = write_publish,
    .answer = answer_publish,
    .clear = clear_publish,
};

static void start_publish(struct bus_room *r)
{
    struct publish_ask *p = ask_new(r->channel.redis, &publish_kind, sizeof(*p));
    p->room = room_ref(r);
    list_init(&p->batch);
    r->publishing = true;
    ask_send(&p->ask);
}

void redis_publish(struct bus *b, struct bus_room *room, const struct bus_message *message,
                   struct bus_call *call)
{
    struct redis *s = redis_of(b);
    struct message *m =
        xcalloc(1, sizeof(*m) + message->user.len + message->key.len + message->data.len);
    char *at = m->text;
    m->call = call;
    m->user = bus_put(&at, message->user);
    m->key = bus_put(&at, message->key);
    m->data = bus_put(&at, message->data);
    if (s->publish_bytes + cost(m) > b->config->redis.publish_buffer) {
        free(m);
        bus_settle(b, call, BUS_UNAVAILABLE);
        return;
    }
    s->publish_bytes += cost(m);
    m->deadline_ms = redis_now_ms(s) + b->config->redis.command_timeout_ms;
    list_push(&room->pending, &m->in_room);
    list_push(&s->messages, &m->in_messages);
    ask_watch_deadlines(s);
    if (!room->publishing) {
        /* At the end of the turn: what else comes in this one goes along. */
        room->publishing = true;
        list_push(&s->publishing, &room_ref(room)->in_publishing);
        loop_task_soon(s->publish);
    }
}

void publish_flush(void *redis)
{
    struct redis *s = redis;
    struct list *it;
    while ((it = list_pop(&s->publishing)) != NULL) {
        struct bus_room *r = container_of(it, struct bus_room, in_publishing);
        start_publish(r);
        room_unref(r);
    }
}

void publish_expire(struct redis *s, uint64_t now_ms)
{
    while (!list_empty(&s->messages)) {
        struct message *m = container_of(s->messages.next, struct message, in_messages);
        if (m->deadline_ms > now_ms) {
            return;
        }
        list_remove(&m->in_messages);
        list_remove(&m->in_room);
        message_done(s, m, &(struct bus_result){.err = BUS_UNAVAILABLE});
    }
}
