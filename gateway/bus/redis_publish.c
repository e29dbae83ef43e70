/* SPDX-License-Identifier: MIT */
/* Group commit: publishes go out in waves, one call for each room that has something, and what
 * arrives while a wave is under way goes out together in the next. Redis works them off in order,
 * so a call sent behind the wave would hardly be answered earlier; but the busier the gateway, the
 * more messages share a call, and without load none waits for more than a few looks at the sockets.
 * Messages are put into the call when it is sent; until then each has its own deadline. */
#include "common/alloc.h"
#include "common/clock.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

/* Looks without a message before a wave goes out (gather.h): a message is a few pieces itself, so
 * one is not enough to believe that none comes. */
#define IDLE_LOOKS 3

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

static bool has_key(const struct bus_room *r, const struct message *m)
{
    return m->key.len > 0 && r->policy.dedupe_ttl_ms > 0;
}

static void add_keys(const struct publish_ask *p, struct args *out)
{
    struct str base = p->room->channel.name;
    size_t keys = 2;
    list_each (it, &p->batch) {
        keys += has_key(p->room, message_of(it)) ? 1 : 0;
    }
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_publish");
    args_num(out, keys);
    arg_sub(out, base, ":log", STR(""));
    arg_sub(out, base, ":meta", STR(""));
    list_each (it, &p->batch) {
        const struct message *m = message_of(it);
        if (has_key(p->room, m)) {
            arg_dedupe(out, base, m->user, m->key);
        }
    }
}

/* The data, a line each, and which of them the keys belong to. */
static void add_messages(const struct publish_ask *p, struct args *out)
{
    size_t number = 0;
    list_each (it, &p->batch) {
        if (number++ > 0) {
            buf_add_char(&out->text, '\n');
        }
        buf_add(&out->text, message_of(it)->data);
    }
    args_end(out);
    number = 0;
    list_each (it, &p->batch) {
        number++;
        if (has_key(p->room, message_of(it))) {
            args_num(out, number);
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
    add_keys(p, out);
    args_add(out, p->room->channel.name);
    ask_add_fence(s, out);
    args_num(out, p->room->policy.history_size);
    ask_add_ttls(&p->room->policy, out);
    args_num(out, p->count);
    add_messages(p, out);
    return true;
}

/* Epoch and offset at i of a reply. */
static bool position_at(const redisReply *reply, size_t i, struct bus_position *out)
{
    struct str epoch = reply_text_at(reply, i);
    uint64_t ignored;
    if (epoch.len != BUS_EPOCH_LEN || !payload_hex(epoch, &ignored) ||
        !reply_u64_at(reply, i + 1, &out->offset)) {
        return false;
    }
    memcpy(out->epoch, epoch.ptr, BUS_EPOCH_LEN);
    return true;
}

/* Where the messages of a batch stand: the new ones one after the other; repeats are named. */
struct places {
    const redisReply *reply;
    struct bus_position next; /* of the next new message */
    size_t repeat;            /* where the next repeat stands in the reply */
};

/* The place of the number-th message. False: nobody can say. */
static bool next_place(struct places *p, size_t number, struct bus_position *out, bool *fresh)
{
    uint64_t repeated;
    *fresh = !reply_u64_at(p->reply, p->repeat, &repeated) || repeated != number;
    if (*fresh) {
        *out = p->next;
        p->next.offset++;
        return out->offset > 0;
    }
    p->repeat += 3;
    return position_at(p->reply, p->repeat - 2, out);
}

/* The room's turn comes with the next wave: at the end of this turn, when none is under way. */
static void queue_publish(struct bus_room *r)
{
    struct redis *s = r->channel.redis;
    r->publishing = true;
    list_push(&s->publishing, &room_ref(r)->in_publishing);
    if (s->wave == 0) {
        loop_task_soon(s->publish);
    }
}

static void answer_publish(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    struct publish_ask *p = container_of(a, struct publish_ask, ask);
    struct list *it;
    p->room->publishing = false;
    if (!list_empty(&p->room->pending)) {
        queue_publish(p->room);
    }
    /* An empty batch was never sent: each message has its own deadline, and some may be younger. */
    struct places places = {.reply = reply, .repeat = 2};
    bool known = err == BUS_OK && position_at(reply, 0, &places.next);
    for (size_t i = 1; (it = list_pop(&p->batch)) != NULL; i++) {
        struct bus_result result = {.err = err};
        bool fresh = false;
        if (err == BUS_OK && !(known && next_place(&places, i, &result.position, &fresh))) {
            result.err = BUS_UNKNOWN; /* this is not the answer of our function */
        }
        s->base.stats->published += fresh && result.err == BUS_OK ? 1 : 0;
        message_done(s, message_of(it), &result);
    }
}

static void clear_publish(struct ask *a)
{
    struct redis *s = a->redis;
    room_unref(container_of(a, struct publish_ask, ask)->room);
    if (--s->wave == 0 && !list_empty(&s->publishing)) {
        loop_task_soon(s->publish);
    }
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
    r->channel.redis->wave++;
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
    s->gather.arrived++;
    m->deadline_ms = redis_now_ms(s) + b->config->redis.command_timeout_ms;
    list_push(&room->pending, &m->in_room);
    list_push(&s->messages, &m->in_messages);
    ask_watch_deadlines(s);
    if (!room->publishing) {
        queue_publish(room);
    }
}

void publish_flush(void *redis)
{
    struct redis *s = redis;
    struct list *it;
    if (s->wave > 0) {
        return; /* its last answer calls again */
    }
    if (gather_waits(&s->gather, IDLE_LOOKS, clock_now_us()) && !s->is_closing) {
        loop_task_next(s->publish);
        return;
    }
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
