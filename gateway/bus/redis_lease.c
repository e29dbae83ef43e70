/* SPDX-License-Identifier: MIT */
/* The tick: this gateway's own sign of life; what it knows of the others is in redis_others.c.
 *
 * A tick is two plain commands, so that an idle gateway costs four lines a second in `redis-cli
 * monitor`: always its own renewal, and one of a rotation. More is read only when something is
 * suspicious. */
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/bus/redis.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

/* A gateway whose loop stood still for longer may have been reaped meanwhile: it renews before it
 * sends anything else. */
#define STALL_MS 2000

/* The rotation: a look at the others' counters in every second tick, because the time of a frozen
 * gateway runs from the first reading of its last value; in the ticks between alternately a look at
 * their channels and something of our own: the beat, and every third time a chore. */
#define ROTATION 4
#define CHORE_EVERY 3
#define CHORE_TICKS (ROTATION * CHORE_EVERY)

/* The beat's longest pause is two rotations; one that is missing is no reason not to be ready. */
#define BEAT_FRESH_ROTATIONS 4

/* Counters begin at a random number below this: one that is raised by somebody else, or after Redis
 * lost it, is never taken for ours, and it passes through Lua's doubles. */
#define COUNTER_START_MAX ((uint64_t)1 << 48)

struct own_channel {
    struct channel channel;
    char name[];
};

static void renew(struct redis *s);
static void beat(struct redis *s);

static void on_fed(struct channel *c)
{
    struct redis *s = c->redis;
    if (c != s->me.channel) {
        return;
    }
    renew(s);
    if (s->me.registered && link_is_up(s->commands)) {
        beat(s); /* to be ready again does not wait for its turn */
    }
}

static void on_lost(struct channel *c)
{
    c->redis->me.nonce = 0; /* a beat under way will not come */
}

static void on_payload(struct channel *c, struct str text)
{
    struct redis *s = c->redis;
    uint64_t nonce = 0;
    struct str head = STR("beat ");
    bool beat = str_starts(text, head) &&
                payload_hex((struct str){text.ptr + head.len, text.len - head.len}, &nonce);
    if (!beat) {
        s->base.stats->dropped[DROP_BAD_PAYLOAD]++;
        LOG(WARN, BAD_PAYLOAD, F_TEXT("what", "a beat"));
    } else if (nonce == s->me.nonce && nonce != 0) { /* else late, or forged: proves nothing */
        stats_observe(&s->base.stats->relay_latency, clock_now_us() - s->me.nonce_us);
        s->me.nonce = 0;
        s->me.beat_ms = redis_now_ms(s);
    }
}

static void on_gone(struct channel *c)
{
    free(container_of(c, struct own_channel, channel));
}

static const struct channel_kind own_channel = {
    .on_fed = on_fed,
    .on_lost = on_lost,
    .on_payload = on_payload,
    .on_gone = on_gone,
};

/* A new id, its counter, and its channel; the old channel is given up. */
static void take_identity(struct redis *s)
{
    struct channel *old = s->me.channel;
    bus_id_make(s->base.id, s->base.config->server.gateway_name);
    args_clear(&s->args);
    key_gateway(s, &s->args.text, str_from(s->base.id));
    struct str name = buf_str(&s->args.text);
    struct own_channel *c = xcalloc(1, sizeof(*c) + name.len);
    memcpy(c->name, name.ptr, name.len);
    c->channel.name = (struct str){c->name, name.len};
    s->me.channel = &c->channel;
    s->me.start = 1 + random_below(COUNTER_START_MAX - 1);
    s->me.counter = s->me.uncertain = 0;
    s->me.registered = s->me.clear = false;
    s->me.nonce = 0;
    channel_init(&c->channel, s, &own_channel);
    channel_want(&c->channel);
    if (old != NULL) {
        channel_drop(old);
    }
}

static bool write_renew(struct ask *a, struct args *out)
{
    struct redis *s = a->redis;
    ARGS_LIT(out, "HINCRBY");
    arg_key(s, out, "gateways");
    args_add(out, str_from(s->base.id));
    args_num(out, s->me.registered ? 1 : s->me.start);
    return true;
}

static void cleared(struct redis *s)
{
    if (!s->me.clear) {
        beat(s); /* as soon as it can come back, over this link */
    }
    s->me.clear = true;
    ask_pump(s);
}

static void registered(struct redis *s, uint64_t counter)
{
    s->me.registered = true;
    s->me.counter = counter;
    s->me.uncertain = 0;
    others_read(s);
    cleared(s);
    if (s->me.announce) {
        s->me.announce = false;
        s->base.events.on_identity(s->base.events.ctx);
    }
}

/* Somebody declared us dead, or Redis lost what we had. All goes on under a new id, and what is
 * left under the old one is reaped. Where that is we know ourselves: the set of rooms was lost with
 * the rest, and a register that was written since stands in none. */
static void lose_identity(struct redis *s, uint64_t counter)
{
    char old[BUS_ID_MAX];
    struct args rooms = {0};
    memcpy(old, s->base.id, sizeof(old));
    memcpy(s->me.former[s->me.former_next++ % FORMER_IDS], old, sizeof(old));
    take_identity(s);
    LOG(WARN, GATEWAY_ID, F_TEXT("was", old), F_TEXT("is", s->base.id));
    s->me.announce = true;
    room_forget_set(s, &rooms);
    others_sentence(s, old, counter);
    reap_former(s, str_from(old), &rooms);
}

bool lease_was_ours(const struct redis *s, struct str id)
{
    for (size_t i = 0; i < FORMER_IDS; i++) {
        if (str_equal(str_from(s->me.former[i]), id)) {
            return true;
        }
    }
    return false;
}

static void start_closing(struct redis *s);

static void renewed(struct redis *s, uint64_t counter)
{
    struct redis_identity *me = &s->me;
    if (!me->registered) {
        /* Tries without an answer may have counted. */
        if (counter > 0 && counter % me->start == 0) {
            registered(s, counter);
        } else {
            lose_identity(s, counter);
        }
    } else if (counter > me->counter && counter - me->counter - 1 <= me->uncertain) {
        me->uncertain -= counter - me->counter - 1;
        me->counter = counter;
        cleared(s);
    } else {
        lose_identity(s, counter);
    }
}

static void answer_renew(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct redis *s = a->redis;
    uint64_t counter;
    s->me.renewing = false;
    if (err != BUS_OK || !reply_u64(reply, &counter)) {
        s->me.uncertain += s->me.registered ? 1 : 0;
        /* Where we cannot write, neither can the others: nobody's silence means anything. */
        lease_restart(&s->lease, redis_now_ms(s), true);
    } else {
        renewed(s, counter);
    }
    if (s->is_closing && s->me.closed != NULL) {
        start_closing(s);
    }
}

static const struct ask_kind renew_kind = {
    .command = COMMAND_LEASE,
    .proof = true,
    .write = write_renew,
    .answer = answer_renew,
};

static void renew(struct redis *s)
{
    if (!link_is_up(s->commands) || s->me.renewing || s->is_closing ||
        (!s->me.registered && !s->me.channel->fed)) {
        return; /* the channel comes first: without a subscriber we would look dead */
    }
    s->me.renewing = true;
    ask_send(ask_new(s, &renew_kind, sizeof(struct ask)));
}

static bool write_beat(struct ask *a, struct args *out)
{
    struct redis *s = a->redis;
    ARGS_LIT(out, "PUBLISH");
    args_add(out, s->me.channel->name);
    buf_addf(&out->text, "beat %llx", (unsigned long long)s->me.nonce);
    args_end(out);
    return true;
}

/* A beat that Redis refused says nothing of the other link. */
static void answer_beat(struct ask *a, enum bus_err err, const redisReply *reply)
{
    (void)reply;
    if (err != BUS_OK) {
        a->redis->me.nonce = 0;
    }
}

static const struct ask_kind beat_kind = {
    .command = COMMAND_LEASE,
    .proof = true,
    .write = write_beat,
    .answer = answer_beat,
};

static void beat(struct redis *s)
{
    if (s->me.channel->fed && s->me.nonce == 0) {
        s->me.nonce = 1 + random_below(UINT64_MAX);
        s->me.nonce_us = clock_now_us();
        s->me.beat_sent_ms = redis_now_ms(s);
        ask_send(ask_new(s, &beat_kind, sizeof(struct ask)));
    }
}

bool lease_beat_is_fresh(const struct redis *s)
{
    uint64_t limit_ms = BEAT_FRESH_ROTATIONS * ROTATION * s->base.config->redis.tick_ms;
    return s->me.beat_ms != 0 && redis_now_ms(s) - s->me.beat_ms <= limit_ms;
}

static void look_at_rooms(struct redis *s)
{
    check_rooms(s, CHORE_TICKS * 2);
}

static void (*const chores[])(struct redis *s) = {
    look_at_rooms,
    others_read_leftovers,
    look_at_rooms,
    check_sets,
};

static void rotate(struct redis *s)
{
    unsigned turn = s->me.ticks++;
    unsigned round = turn / ROTATION;
    if (turn % 2 == 1) {
        others_read(s);
    } else if (turn % ROTATION == 0) {
        if (!list_empty(&s->lease.peers)) {
            others_read_channels(s);
        }
    } else if (round % CHORE_EVERY == CHORE_EVERY - 1) {
        chores[round / CHORE_EVERY % ARRAY_LEN(chores)](s);
    } else {
        beat(s);
    }
}

/* What is not at rest may cost more lines. */
static void look_again(struct redis *s)
{
    uint64_t now_ms = redis_now_ms(s);
    if (lease_unproven(&s->lease, now_ms)) {
        others_read(s);
        others_read_channels(s);
    }
    if (s->reap_look_ms != 0 && now_ms > s->reap_look_ms) {
        s->reap_look_ms = 0;
        others_read_leftovers(s);
    }
    check_suspects(s);
}

static bool stalled(const struct redis *s)
{
    return redis_now_ms(s) - s->me.tick_ms > STALL_MS;
}

void lease_tick(void *redis)
{
    struct redis *s = redis;
    uint64_t now_ms = redis_now_ms(s);
    if (stalled(s)) {
        s->me.clear = false;
        s->me.beat_sent_ms = now_ms; /* it may lie in the socket, behind much else */
        lease_restart(&s->lease, now_ms, true);
    }
    s->me.tick_ms = now_ms;
    loop_timer_start(s->tick, s->base.config->redis.tick_ms);
    error_tick(s);
    if (s->me.nonce != 0 && link_is_up(s->subscriber) &&
        now_ms - s->me.beat_sent_ms > s->base.config->redis.command_timeout_ms) {
        s->me.nonce = 0;
        link_drop(s->subscriber, LOSS_BEAT, "no beat in time");
    }
    if (!link_is_up(s->commands)) {
        return;
    }
    if (s->me.renewing) {
        lease_late(s);
    }
    renew(s);
    if (s->me.registered) {
        rotate(s);
        look_again(s);
    }
    room_retry(s);
}

bool lease_clear(struct redis *s)
{
    if (s->me.clear && !s->is_closing && stalled(s)) {
        s->me.clear = false; /* the tick is due, and renews */
    }
    return s->me.clear;
}

void lease_late(struct redis *s)
{
    lease_restart(&s->lease, redis_now_ms(s), false);
}

void lease_link_up(struct redis *s)
{
    s->me.clear = false;
    lease_restart(&s->lease, redis_now_ms(s), true);
    renew(s);
}

void lease_link_down(struct redis *s)
{
    s->me.clear = false;
    s->me.nonce = 0;
}

void lease_start(struct redis *s)
{
    s->base.stats->gateways = 1;
    s->me.tick_ms = redis_now_ms(s);
    take_identity(s);
    loop_timer_start(s->tick, s->base.config->redis.tick_ms);
}

/* We declare ourselves dead, and reap ourselves: the same steps as for any other. */
static void start_closing(struct redis *s)
{
    if (!s->me.registered || !link_is_up(s->commands)) {
        s->me.closed(s);
        return;
    }
    s->me.registered = false;
    others_sentence(s, s->base.id, s->me.counter);
}

void lease_close(struct redis *s, void (*done)(struct redis *s))
{
    loop_timer_stop(s->tick);
    loop_timer_stop(s->look);
    s->me.closed = done;
    if (!s->me.renewing) {
        start_closing(s);
    }
}
