/* SPDX-License-Identifier: MIT */
#include "gateway/chat/chat.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/chat/join.h"
#include "gateway/chat/message.h"
#include "gateway/chat/requests.h"
#include "gateway/chat/room.h"
#include "gateway/chat/session.h"
#include "gateway/chat/user.h"
#include "gateway/config.h"
#include "gateway/edge/ws.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <stdlib.h>

/* While a drain waits for the bus: how often it looks. */
#define SETTLE_LOOK_MS 50

struct chat {
    struct session_env env;
    uint64_t drain_ms; /* over which the slots of a drain are spread */
    struct wheel_timer settle;
    void (*on_empty)(void *ctx);
    void *on_empty_ctx;
};

/* Its slot: the connection is closed then, and may come back at once. */
static void say_bye(void *session, void *ctx)
{
    struct session *s = session;
    const uint64_t *over_ms = ctx;
    uint64_t slot = random_below(*over_ms + 1);
    s->drained = true;
    message_bye(&s->env->ctx->text, "drain", slot);
    session_send(s);
    session_limit(s, slot);
}

static void *on_open(void *ctx, struct ws_conn *conn)
{
    struct chat *c = ctx;
    LOG(DEBUG, CONN_OPEN, F_HEX("conn", ws_conn_id(conn)), F_STR("ip", ws_conn_ip(conn)));
    struct session *s = session_new(&c->env, conn);
    if (c->env.draining) {
        say_bye(s, &c->drain_ms); /* its handshake was under way when the drain began */
    }
    return s;
}

static void on_text(void *session, struct str text)
{
    request_handle(session, text);
}

static void log_close(const struct session *s, enum close_reason reason)
{
    const struct ws_traffic *t = ws_conn_traffic(s->conn);
    if (!s->env->ctx->config->log.access) {
        return;
    }
    LOG(INFO, CONN_CLOSE, F_HEX("conn", ws_conn_id(s->conn)), F_STR("user", session_user(s)),
        F_STR("ip", ws_conn_ip(s->conn)), F_NUM("code", close_reason_code(reason)),
        F_TEXT("reason", close_reason_word(reason)),
        F_NUM("dur_s", (loop_now_ms(s->env->ctx->loop) - t->opened_ms) / 1000),
        F_NUM("msgs_in", t->messages_in), F_NUM("msgs_out", t->frames_out),
        F_NUM("bytes_in", t->bytes_in), F_NUM("bytes_out", t->bytes_out),
        F_NUM("rooms", s->room_count));
}

static void on_sent(void *session)
{
    struct session *s = session;
    list_each_safe (it, &s->joins) {
        join_continue(container_of(it, struct join, in_session));
    }
}

static void on_close(void *session, enum close_reason reason)
{
    struct session *s = session;
    log_close(s, reason);
    join_cancel_all(s);
    session_free(s);
}

void chat_ws_handlers(struct chat *c, struct ws_handlers *out)
{
    *out = (struct ws_handlers){.on_open = on_open,
                                .on_text = on_text,
                                .on_cut = room_on_cut,
                                .on_sent = on_sent,
                                .on_close = on_close,
                                .ctx = c};
}

static void on_identity(void *ctx)
{
    struct chat *c = ctx;
    rooms_on_identity(c->env.rooms);
}

void chat_bus_events(struct chat *c, struct bus_events *out)
{
    *out = (struct bus_events){.on_direct = user_on_direct, .on_identity = on_identity, .ctx = c};
    rooms_events(out);
}

void chat_reload(struct chat *c)
{
    rooms_reload(c->env.rooms);
}

static struct join *join_of(struct room_waiter *w)
{
    return container_of(w, struct join, waiter);
}

static void on_room_live(struct room_waiter *w)
{
    join_try(join_of(w));
}

static void on_room_failed(struct room_waiter *w)
{
    join_fail(join_of(w));
}

static struct session *user_session(struct user_member *m)
{
    return container_of(m, struct session, member);
}

static void on_user_ready(struct user_member *m)
{
    struct session *s = user_session(m);
    list_each_safe (it, &s->joins) {
        join_try(container_of(it, struct join, in_session));
    }
}

static void on_user_direct(struct user_member *m, struct str line)
{
    ws_send(user_session(m)->conn, line);
}

static struct room_member *find_member(void *ctx, uint64_t connection, const struct room *room)
{
    struct chat *c = ctx;
    const struct session *s = ws_session(c->env.ctx->ws, connection);
    if (s == NULL) {
        return NULL;
    }
    list_each (it, &s->rooms) {
        struct room_member *m = container_of(it, struct room_member, in_session);
        if (m->room == room) {
            return m;
        }
    }
    return NULL;
}

static void on_settle(struct wheel_timer *t)
{
    struct chat *c = container_of(t, struct chat, settle);
    if (c->env.ctx->stats->connections == 0 && rooms_settled(c->env.rooms)) {
        c->on_empty(c->on_empty_ctx);
        return;
    }
    wheel_start(c->env.ctx->wheel, &c->settle, SETTLE_LOOK_MS);
}

void chat_drain(struct chat *c, uint64_t over_ms, void (*on_empty)(void *ctx), void *ctx)
{
    c->env.draining = true;
    c->drain_ms = over_ms;
    c->on_empty = on_empty;
    c->on_empty_ctx = ctx;
    ws_each(c->env.ctx->ws, say_bye, &c->drain_ms);
    wheel_start(c->env.ctx->wheel, &c->settle, SETTLE_LOOK_MS);
}

struct chat *chat_new(struct chat_context *ctx)
{
    static const struct user_handlers user_handlers = {.on_ready = on_user_ready,
                                                       .on_direct = on_user_direct};
    struct chat *c = xcalloc(1, sizeof(*c));
    const struct room_handlers room_handlers = {
        .on_live = on_room_live, .on_failed = on_room_failed, .find_member = find_member, .ctx = c};
    c->env.ctx = ctx;
    c->env.users = users_new(ctx, &user_handlers);
    c->env.rooms = rooms_new(ctx, &room_handlers);
    wheel_timer_init(&c->settle, on_settle);
    return c;
}

void chat_free(struct chat *c)
{
    if (c == NULL) {
        return;
    }
    wheel_stop(&c->settle);
    rooms_free(c->env.rooms);
    users_free(c->env.users);
    buf_fini(&c->env.ctx->text);
    free(c);
}
