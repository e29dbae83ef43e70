/* SPDX-License-Identifier: MIT */
#include "gateway/bus/redis.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

static struct str channel_name(const void *item)
{
    const struct channel *c = item;
    return c->name;
}

/* Both links must lead to the same Redis: behind a name or a balancer there may be several. */
static bool same_redis(struct redis *s)
{
    if (!link_is_up(s->commands) || !link_is_up(s->subscriber) ||
        str_equal(link_fence(s->commands), link_fence(s->subscriber))) {
        return true;
    }
    link_drop(s->subscriber, LOSS_PROTOCOL, "not the Redis of the other link");
    return false;
}

static void commands_up(void *ctx)
{
    (void)same_redis(ctx);
    lease_link_up(ctx);
}

static void commands_down(void *ctx)
{
    lease_link_down(ctx);
}

static void subscriber_up(void *ctx)
{
    if (same_redis(ctx)) {
        channel_link_up(ctx);
    }
}

static void subscriber_down(void *ctx)
{
    channel_link_down(ctx);
}

static void subscriber_push(void *ctx, const struct redisReply *reply)
{
    channel_push(ctx, reply);
}

static struct link *new_link(struct redis *s, enum stats_link which,
                             const struct link_events *events)
{
    struct link_options options = {s->base.loop, s->base.config, s->base.stats, &s->url, which};
    return link_new(&options, events);
}

static void redis_start(struct bus *b)
{
    struct redis *s = redis_of(b);
    lease_start(s);
    link_start(s->subscriber);
    link_start(s->commands);
}

static void redis_reload(struct bus *b)
{
    room_reload_all(redis_of(b));
}

static void closed(struct redis *s)
{
    loop_timer_stop(s->closing);
    s->me.closed = NULL;
    bus_closed(&s->base);
}

static void close_in_time(void *ctx)
{
    struct redis *s = ctx;
    if (s->me.closed != NULL) {
        closed(s);
    }
}

static void redis_close(struct bus *b, uint64_t deadline_ms)
{
    struct redis *s = redis_of(b);
    s->is_closing = true;
    loop_timer_start(s->closing, deadline_ms);
    lease_close(s, closed);
}

/* Completes all that waits. Completions may ask for more: that fails at once, as the links are
 * gone. */
static void fail_all(struct redis *s)
{
    do {
        publish_flush(s);
        publish_expire(s, UINT64_MAX);
        channel_expire(s, UINT64_MAX);
        ask_fail_waiting(s);
    } while (!list_empty(&s->waiting) || !list_empty(&s->messages) || !list_empty(&s->opening) ||
             !list_empty(&s->publishing));
}

static void redis_free(struct bus *b)
{
    struct redis *s = redis_of(b);
    struct link *commands = s->commands;
    s->is_closing = true;
    s->me.closed = NULL;
    s->commands = NULL;
    link_free(commands);
    link_free(s->subscriber);
    s->subscriber = NULL;
    fail_all(s);
    bus_base_fini(b);
    fail_all(s);
    channel_free_all(s);
    reap_fini(s);
    check_fini(s);
    lease_fini(&s->lease);
    ask_fini_all(s);
    loop_timer_free(s->linger);
    loop_timer_free(s->tick);
    loop_timer_free(s->look);
    loop_timer_free(s->closing);
    loop_task_free(s->subscribe);
    loop_task_free(s->publish);
    args_fini(&s->args);
    buf_fini(&s->chats);
    map_fini(&s->channels);
    url_free(&s->url);
    free(s);
}

static void redis_health(const struct bus *b, struct bus_health *out)
{
    const struct redis *s = (const struct redis *)(const void *)b; /* base is the first member */
    bool unready;
    const char *refused = error_word(s, &unready);
    out->publish = link_state(s->commands);
    out->subscribe = link_state(s->subscriber);
    bool commands_up_now = link_is_up(s->commands);
    bool subscriber_up_now = link_is_up(s->subscriber);
    if (commands_up_now && refused != NULL) {
        out->publish = refused;
    } else if (commands_up_now && !s->me.registered) {
        out->publish = "registering";
    }
    if (subscriber_up_now && !s->me.channel->fed) {
        out->subscribe = "subscribing";
    } else if (subscriber_up_now && !lease_beat_is_fresh(s)) {
        out->subscribe = "no beat";
    }
    out->ready = commands_up_now && !unready && s->me.registered && subscriber_up_now &&
                 s->me.channel->fed && lease_beat_is_fresh(s);
}

static const struct bus_ops redis_ops = {
    .start = redis_start,
    .reload = redis_reload,
    .close = redis_close,
    .free = redis_free,
    .health = redis_health,
    .open_room = redis_open_room,
    .close_room = redis_close_room,
    .sync_room = redis_sync_room,
    .open_user = redis_open_user,
    .close_user = redis_close_user,
    .publish = redis_publish,
    .signal = redis_signal,
    .direct = redis_direct,
    .presence = redis_presence,
    .members = redis_members,
    .read = redis_read,
};

static void init_lists(struct redis *s)
{
    struct list *const lists[] = {
        &s->dirty,      &s->opening, &s->reads,     &s->failed, &s->lingering, &s->messages,
        &s->publishing, &s->reaps,   &s->leftovers, &s->checks, &s->suspects,
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_init(lists[i]);
    }
}

struct bus *bus_redis_new(struct loop *loop, const struct config *config, struct stats *stats,
                          char *err, size_t err_size)
{
    struct url url;
    if (!url_parse(&url, config->redis.url, err, err_size)) {
        return NULL;
    }
    struct redis *s = xcalloc(1, sizeof(*s));
    s->url = url;
    bus_base_init(&s->base, &redis_ops, loop, config, stats);
    s->limits = payload_limits_of(config);
    map_init(&s->channels, channel_name);
    init_lists(s);
    lease_init(&s->lease, config->redis.lease_ms);
    ask_init_all(s);
    s->subscribe = loop_task_new(loop, channel_flush, s);
    s->publish = loop_task_new(loop, publish_flush, s);
    s->linger = loop_timer_new(loop, room_linger, s);
    s->tick = loop_timer_new(loop, lease_tick, s);
    s->look = loop_timer_new(loop, others_look, s);
    s->closing = loop_timer_new(loop, close_in_time, s);
    s->commands =
        new_link(s, LINK_COMMAND,
                 &(struct link_events){.on_up = commands_up, .on_down = commands_down, .ctx = s});
    s->subscriber = new_link(s, LINK_SUBSCRIBE,
                             &(struct link_events){.on_up = subscriber_up,
                                                   .on_down = subscriber_down,
                                                   .on_push = subscriber_push,
                                                   .ctx = s});
    return &s->base;
}
