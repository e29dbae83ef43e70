/* SPDX-License-Identifier: MIT */
/* Users whose direct messages this gateway takes, and direct messages. */
#include "common/alloc.h"
#include "common/log.h"
#include "gateway/bus/redis.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

struct bus_user {
    struct channel channel;
    void *ctx;
    bool open;
    char name[]; /* the channel's */
};

static struct bus_user *of_channel(struct channel *c)
{
    return container_of(c, struct bus_user, channel);
}

static void on_fed(struct channel *c)
{
    channel_opened(c, &(struct bus_result){.err = BUS_OK});
}

static void on_lost(struct channel *c)
{
    (void)c; /* it is subscribed again by itself; what came meanwhile is lost, as direct messages
                may be */
}

static void on_payload(struct channel *c, struct str text)
{
    struct redis *s = c->redis;
    if (!payload_is_direct(text, &s->limits)) {
        s->base.stats->dropped[DROP_BAD_PAYLOAD]++;
        LOG(WARN, BAD_PAYLOAD, F_TEXT("what", "a direct message"));
    } else if (of_channel(c)->open) {
        s->base.events.on_direct(of_channel(c)->ctx, text);
    }
}

static void on_gone(struct channel *c)
{
    free(of_channel(c));
}

static const struct channel_kind user_channel = {
    .on_fed = on_fed,
    .on_lost = on_lost,
    .on_payload = on_payload,
    .on_gone = on_gone,
};

struct bus_user *redis_open_user(struct bus *b, struct str name, void *ctx, struct bus_call *call)
{
    struct redis *s = redis_of(b);
    args_clear(&s->args);
    key_user(s, &s->args.text, name);
    struct str channel = buf_str(&s->args.text);
    struct channel *c = channel_find(s, channel);
    struct bus_user *u = c == NULL ? NULL : of_channel(c);
    if (u == NULL) {
        u = xcalloc(1, sizeof(*u) + channel.len);
        memcpy(u->name, channel.ptr, channel.len);
        u->channel.name = (struct str){u->name, channel.len};
        channel_init(&u->channel, s, &user_channel);
    }
    assert(!u->open);
    u->open = true;
    u->ctx = ctx;
    channel_opening(&u->channel, call);
    channel_want(&u->channel);
    if (u->channel.fed) { /* closed in this very turn, and not unsubscribed yet */
        channel_settle(&u->channel, BUS_OK);
    }
    return u;
}

void redis_close_user(struct bus *b, struct bus_user *user)
{
    (void)b;
    assert(user->open);
    user->open = false;
    channel_settle(&user->channel, BUS_UNAVAILABLE);
    channel_drop(&user->channel);
}

struct direct_ask {
    struct ask ask;
    struct bus_call *call; /* borrowed until done */
    struct str to, from, key, line;
    char text[];
};

static bool write_direct(struct ask *a, struct args *out)
{
    const struct direct_ask *d = container_of(a, struct direct_ask, ask);
    struct redis *s = a->redis;
    bool keyed = d->key.len > 0 && s->base.config->room.dedupe_ttl_ms > 0;
    struct buf channel = {0};
    key_user(s, &channel, d->to);
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_direct");
    args_num(out, keyed ? 1 : 0);
    if (keyed) {
        arg_dedupe(out, buf_str(&channel), d->from, d->key);
    }
    args_add(out, buf_str(&channel));
    args_num(out, s->base.config->room.dedupe_ttl_ms);
    args_add(out, d->line);
    buf_fini(&channel);
    return true;
}

static void answer_direct(struct ask *a, enum bus_err err, const redisReply *reply)
{
    uint64_t passed_on = 0;
    if (err == BUS_OK && !reply_u64(reply, &passed_on)) {
        err = BUS_UNKNOWN; /* this is not the answer of our function */
    } else if (err == BUS_OK && passed_on == 0) {
        err = BUS_NOT_ONLINE;
    }
    bus_done_err(container_of(a, struct direct_ask, ask)->call, err);
}

static const struct ask_kind direct_kind = {
    .command = COMMAND_DIRECT,
    .repeatable = false,
    .metered = true,
    .write = write_direct,
    .answer = answer_direct,
};

void redis_direct(struct bus *b, const struct bus_note *note, struct bus_call *call)
{
    size_t len = note->to.len + note->from.len + note->key.len + note->line.len;
    struct direct_ask *d;
    if (!ask_fits(redis_of(b), sizeof(*d) + len, call)) {
        return;
    }
    d = ask_new(redis_of(b), &direct_kind, sizeof(*d) + len);
    char *at = d->text;
    d->call = call;
    d->to = bus_put(&at, note->to);
    d->from = bus_put(&at, note->from);
    d->key = bus_put(&at, note->key);
    d->line = bus_put(&at, note->line);
    ask_send(&d->ask);
}
