/* SPDX-License-Identifier: MIT */
/* The look at the other gateways: their counters, the subscribers of their channels, and the
 * sentence when lease.h finds one dead. All of it is read at the tick's pace, and more often only
 * while one is suspect. */
#include "common/log.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>

struct others_ask {
    struct ask ask;
    uint64_t asked_ms;
    uint64_t counter;    /* sentence: the one that was judged */
    char id[BUS_ID_MAX]; /* sentence: whose */
};

static struct others_ask *others_ask_new(struct redis *s, const struct ask_kind *kind)
{
    struct others_ask *a = ask_new(s, kind, sizeof(*a));
    a->asked_ms = redis_now_ms(s);
    return a;
}

static const struct others_ask *of_ask(struct ask *a)
{
    return container_of(a, struct others_ask, ask);
}

static bool write_sentence(struct ask *a, struct args *out)
{
    const struct others_ask *l = of_ask(a);
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_sentence");
    ARGS_LIT(out, "2");
    arg_key(a->redis, out, "gateways");
    arg_key(a->redis, out, "reaping");
    args_add(out, str_from(l->id));
    args_num(out, l->counter);
    return true;
}

/* Of a gateway that is known; our own old ids are not. */
static void lose_gateway(struct redis *s, struct str id)
{
    if (lease_find(&s->lease, id) != NULL) {
        LOG(WARN, GATEWAY_LOST, F_STR("lost", id));
        lease_forget(&s->lease, id);
        s->reap_look_ms = redis_now_ms(s); /* whoever reaps it may die of it */
        s->base.stats->gateways = 1 + s->lease.by_id.count;
    }
}

static void answer_sentence(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    struct str id = str_from(of_ask(a)->id);
    uint64_t dead = 0;
    if (err == BUS_OK && reply_u64(reply, &dead) && dead == 1) {
        bool own = lease_was_ours(s, id) || str_equal(id, str_from(s->base.id));
        s->base.stats->reaps += own ? 0 : 1;
        lose_gateway(s, id);
        reap_start(s, id);
    }
    if (str_equal(id, str_from(s->base.id)) && s->is_closing && s->me.closed != NULL &&
        reap_idle(s)) {
        s->me.closed(s);
    }
}

static const struct ask_kind sentence_kind = {
    .command = COMMAND_REAP,
    .proof = true,
    .write = write_sentence,
    .answer = answer_sentence,
};

void others_sentence(struct redis *s, const char *id, uint64_t counter)
{
    struct others_ask *a = others_ask_new(s, &sentence_kind);
    memcpy(a->id, id, strnlen(id, BUS_ID_MAX - 1));
    a->counter = counter;
    ask_send(&a->ask);
}

static bool write_others(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "HGETALL");
    arg_key(a->redis, out, "gateways");
    return true;
}

/* True when its channel is to be looked at. */
static bool read_one(struct redis *s, struct str id, uint64_t counter, uint64_t asked_ms)
{
    if (lease_find(&s->lease, id) == NULL) {
        LOG(INFO, GATEWAY_JOIN, F_STR("joined", id));
    }
    enum lease_verdict verdict = lease_reading(&s->lease, id, counter, asked_ms, redis_now_ms(s));
    if (verdict == LEASE_DEAD) {
        others_sentence(s, lease_find(&s->lease, id)->id, counter);
    }
    return verdict == LEASE_STANDS;
}

/* Forgets those that are not in the list any more: they left, or somebody else has declared them
 * dead. */
static void forget_unlisted(struct redis *s)
{
    list_each_safe (it, &s->lease.peers) {
        struct lease_peer *p = container_of(it, struct lease_peer, in_order);
        if (!p->listed) {
            lose_gateway(s, str_from(p->id));
        }
    }
}

static void answer_others(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    s->looking = false;
    if (err != BUS_OK) {
        return;
    }
    bool stands = false;
    s->others_ms = of_ask(a)->asked_ms;
    list_each (it, &s->lease.peers) {
        container_of(it, struct lease_peer, in_order)->listed = false;
    }
    for (size_t i = 0; i + 1 < reply_count(reply); i += 2) {
        struct str id = reply_text_at(reply, i);
        uint64_t counter;
        /* A former id of ours is like any other: should our own sentence get lost, it is judged. */
        if (payload_gateway_valid(id) && !str_equal(id, str_from(s->base.id)) &&
            reply_u64_at(reply, i + 1, &counter)) {
            stands = read_one(s, id, counter, of_ask(a)->asked_ms) || stands;
        }
    }
    forget_unlisted(s);
    s->base.stats->gateways = 1 + s->lease.by_id.count;
    if (stands) {
        others_read_channels(s);
    }
    uint64_t next_ms = lease_next_look_ms(&s->lease);
    if (next_ms != 0) {
        uint64_t now_ms = redis_now_ms(s);
        loop_timer_start(s->look, next_ms > now_ms ? next_ms - now_ms : 1);
    }
}

static const struct ask_kind others_kind = {
    .command = COMMAND_LEASE,
    .proof = true,
    .write = write_others,
    .answer = answer_others,
};

void others_read(struct redis *s)
{
    if (!s->looking && link_is_up(s->commands)) {
        s->looking = true;
        ask_send(&others_ask_new(s, &others_kind)->ask);
    }
}

void others_look(void *redis)
{
    others_read(redis);
}

static bool write_channels(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "PUBSUB");
    ARGS_LIT(out, "NUMSUB");
    list_each (it, &a->redis->lease.peers) {
        arg_gateway(a->redis, out, str_from(container_of(it, struct lease_peer, in_order)->id), "");
    }
    return true;
}

static void answer_channels(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    size_t head = strlen(s->base.config->redis.prefix) + strlen(":gateway:");
    bool suspicious = false;
    for (size_t i = 0; err == BUS_OK && i + 1 < reply_count(reply); i += 2) {
        struct str name = reply_text_at(reply, i);
        uint64_t subscribers;
        if (name.len > head && reply_u64_at(reply, i + 1, &subscribers) &&
            lease_subscribers(&s->lease, (struct str){name.ptr + head, name.len - head},
                              subscribers)) {
            suspicious = true;
        }
    }
    if (suspicious) {
        others_read(s);
    }
}

static const struct ask_kind channels_kind = {
    .command = COMMAND_LEASE,
    .proof = true,
    .write = write_channels,
    .answer = answer_channels,
};

void others_read_channels(struct redis *s)
{
    ask_send(&others_ask_new(s, &channels_kind)->ask);
}

static bool write_leftovers(struct ask *a, struct args *out)
{
    ARGS_LIT(out, "HGETALL");
    arg_key(a->redis, out, "reaping");
    return true;
}

static void answer_leftovers(struct ask *a, enum bus_err err, const redisReply *reply)
{
    if (err == BUS_OK) {
        reap_leftovers(a->redis, reply);
    }
}

static const struct ask_kind leftovers_kind = {
    .command = COMMAND_REAP,
    .proof = true,
    .write = write_leftovers,
    .answer = answer_leftovers,
};

void others_read_leftovers(struct redis *s)
{
    ask_send(&others_ask_new(s, &leftovers_kind)->ask);
}
