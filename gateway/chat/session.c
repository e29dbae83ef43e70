/* SPDX-License-Identifier: MIT */
#include "gateway/chat/session.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/chat/context.h"
#include "gateway/chat/message.h"
#include "gateway/config.h"
#include "gateway/edge/ws.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <assert.h>
#include <stdlib.h>

#define RETRY_ABOUT_MS 1000

static void on_limit(struct wheel_timer *t)
{
    struct session *s = container_of(t, struct session_limit, timer)->session;
    ws_close(s->conn, s->drained ? CLOSE_MOVED : CLOSE_JOIN_TIMEOUT);
}

struct session *session_new(const struct session_env *env, struct ws_conn *conn)
{
    struct session *s = xcalloc(1, sizeof(*s));
    uint64_t join_timeout_ms = env->ctx->config->client.join_timeout_ms;
    s->env = env;
    s->conn = conn;
    list_init(&s->rooms);
    list_init(&s->joins);
    list_init(&s->asks);
    if (join_timeout_ms > 0) {
        session_limit(s, join_timeout_ms);
    }
    return s;
}

void session_free(struct session *s)
{
    session_unlimit(s);
    for (struct list *it = s->rooms.next; it != &s->rooms; it = s->rooms.next) {
        session_leave(s, container_of(it, struct room_member, in_session), BUS_LOST);
    }
    for (struct list *it = list_pop(&s->asks); it != NULL; it = list_pop(&s->asks)) {
        container_of(it, struct ask, in_session)->session = NULL;
    }
    user_detach(s->env->users, &s->member); /* last: the memberships borrowed its name */
    free(s);
}

void session_limit(struct session *s, uint64_t after_ms)
{
    if (s->limit == NULL) {
        s->limit = xmalloc(sizeof(*s->limit));
        s->limit->session = s;
        wheel_timer_init(&s->limit->timer, on_limit);
    }
    wheel_start(s->env->ctx->wheel, &s->limit->timer, after_ms);
}

void session_unlimit(struct session *s)
{
    if (s->limit != NULL) {
        wheel_stop(&s->limit->timer);
        free(s->limit);
        s->limit = NULL;
    }
}

void session_send(struct session *s)
{
    ws_send(s->conn, buf_str(&s->env->ctx->text));
}

static void send_error(struct session *s, struct str id, enum protocol_error e, const char *text,
                       uint64_t retry_after_ms)
{
    s->env->ctx->stats->errors[e]++;
    message_error(&s->env->ctx->text, id, e, text, retry_after_ms);
    session_send(s);
}

void session_error(struct session *s, struct str id, enum protocol_error e, const char *text)
{
    if (e == ERROR_UNAVAILABLE) {
        session_error_later(s, id, e, RETRY_ABOUT_MS);
        return;
    }
    send_error(s, id, e, text, 0);
}

void session_error_later(struct session *s, struct str id, enum protocol_error e, uint64_t about_ms)
{
    send_error(s, id, e, NULL, about_ms / 2 + random_below(about_ms + 1));
}

void session_refuse(struct session *s, struct str id, uint64_t wait_ms)
{
    const struct rate *limit = &s->env->ctx->config->client.rate_refused;
    LOG(DEBUG, RATE_LIMITED, F_HEX("conn", ws_conn_id(s->conn)));
    if (!bucket_take(&s->refused, limit, loop_now_ms(s->env->ctx->loop), NULL)) {
        ws_close(s->conn, CLOSE_FLOOD);
        return;
    }
    send_error(s, id, ERROR_RATE_LIMITED, NULL, wait_ms > 0 ? wait_ms : 1);
}

void session_malformed(struct session *s, struct str id, enum protocol_error e, const char *text)
{
    const struct rate *limit = &s->env->ctx->config->client.rate_errors;
    send_error(s, id, e, text, 0);
    if (!bucket_take(&s->errors, limit, loop_now_ms(s->env->ctx->loop), NULL)) {
        ws_close(s->conn, CLOSE_PROTOCOL);
    }
}

struct room_member *session_member(struct session *s, struct str room)
{
    list_each (it, &s->rooms) {
        struct room_member *m = container_of(it, struct room_member, in_session);
        if (str_equal(room_name(m->room), room)) {
            return m;
        }
    }
    return NULL;
}

struct str session_user(const struct session *s)
{
    return s->member.user != NULL ? user_name(s->member.user) : (struct str){NULL, 0};
}

static void on_answer(struct bus_call *call, const struct bus_result *result)
{
    struct ask *a = container_of(call, struct ask, call);
    if (a->session != NULL) {
        list_remove(&a->in_session);
        a->answer(a->session, a, result);
    }
    free(a);
}

struct ask *session_ask(struct session *s, struct str id, struct str name,
                        void (*answer)(struct session *s, struct ask *a,
                                       const struct bus_result *result))
{
    struct ask *a = xmalloc(sizeof(*a) + id.len + name.len);
    *a = (struct ask){.session = s, .answer = answer, .id_len = id.len, .name_len = name.len};
    a->call.done = on_answer;
    memcpy(a->text, id.ptr != NULL ? id.ptr : "", id.len);
    memcpy(a->text + id.len, name.ptr, name.len);
    list_push(&s->asks, &a->in_session);
    return a;
}

struct str ask_id(const struct ask *a)
{
    return (struct str){a->text, a->id_len};
}

struct str ask_name(const struct ask *a)
{
    return (struct str){a->text + a->id_len, a->name_len};
}

enum protocol_error ask_error(enum bus_err err)
{
    static const enum protocol_error errors[] = {[BUS_OK] = ERROR_OK,
                                                 [BUS_UNAVAILABLE] = ERROR_UNAVAILABLE,
                                                 [BUS_UNKNOWN] = ERROR_UNKNOWN_OUTCOME,
                                                 [BUS_REFUSED] = ERROR_UNAVAILABLE,
                                                 [BUS_NOT_ONLINE] = ERROR_NOT_ONLINE,
                                                 [BUS_BAD_CURSOR] = ERROR_BAD_ENVELOPE};
    return errors[err];
}

void session_leave(struct session *s, struct room_member *m, enum bus_mark mark)
{
    LOG(DEBUG, LEAVE, F_HEX("conn", ws_conn_id(s->conn)), F_STR("user", session_user(s)),
        F_STR("room", room_name(m->room)));
    list_remove(&m->in_session);
    s->room_count--;
    room_leave(m, mark);
    free(m);
}
