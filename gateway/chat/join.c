/* SPDX-License-Identifier: MIT */
#include "gateway/chat/join.h"

#include "common/alloc.h"
#include "common/log.h"
#include "gateway/chat/context.h"
#include "gateway/chat/message.h"
#include "gateway/chat/session.h"
#include "gateway/config.h"
#include "gateway/edge/ws.h"
#include "gateway/stats.h"

#include <stdlib.h>

/* When a page after the first is asked for again that could not be read. */
#define AGAIN_MS 1000

static struct str join_id(const struct join *j)
{
    return (struct str){j->id, j->id_len};
}

static void end(struct join *j)
{
    list_remove(&j->in_session);
    wheel_stop(&j->deadline);
    room_wait_end(&j->waiter);
    j->session = NULL;
    if (!j->reading) {
        free(j);
    }
}

static void send_welcome(struct join *j, bool recovered)
{
    struct session *s = j->session;
    struct message_welcome w = {.id = join_id(j),
                                .room = room_name(j->member->room),
                                .user = session_user(s),
                                .online = room_online(j->member->room),
                                .epoch = bus_epoch(&j->cut),
                                .offset = j->cut.offset,
                                .recovered = recovered,
                                .heartbeat_s = s->env->ctx->config->client.heartbeat_ms / 1000,
                                .connection = ws_conn_id(s->conn),
                                .gateway = str_from(s->env->ctx->config->server.gateway_name)};
    message_welcome(&s->env->ctx->text, &w);
    session_send(s);
    j->welcomed = true;
    list_each (it, &s->joins) {
        struct join *other = container_of(it, struct join, in_session);
        other->unsure = other->unsure && other->member != j->member;
    }
}

static void send_gap(struct join *j, uint64_t from, uint64_t to, enum message_gap_why why)
{
    struct session *s = j->session;
    struct message_gap gap = {.room = room_name(j->member->room),
                              .epoch = bus_epoch(&j->cut),
                              .from = from,
                              .to = to,
                              .why = why};
    message_gap(&s->env->ctx->text, &gap);
    session_send(s);
}

static void go_live(struct join *j)
{
    if (j->holds) {
        ws_release(&j->member->reader);
    }
    end(j);
}

static void read_page(struct join *j);

/* A page came: `first` is the offset of its first line, past the cut when there is none. */
static void replay(struct join *j, uint64_t first, const struct str *lines, size_t count)
{
    struct session *s = j->session;
    /* So much at once; what the page holds more is read again when the socket has taken it. */
    size_t most = s->env->ctx->config->client.backlog_hard / 2;
    if (!j->welcomed) {
        send_welcome(j, j->wish.resumes && first == j->next);
    }
    if (first > j->next && j->wish.resumes) {
        send_gap(j, j->next, first - 1, GAP_HISTORY);
    }
    j->next = first;
    for (size_t i = 0, bytes = 0; i < count && (i == 0 || bytes < most); i++) {
        ws_send(s->conn, lines[i]);
        bytes += lines[i].len;
        j->next++;
        s->env->ctx->stats->replayed++;
    }
    if (j->next > j->cut.offset) {
        go_live(j);
    } else if (j->next < first + count) {
        j->pauses = true; /* enough for now: the socket is to take it first */
        ws_tell_sent(s->conn);
    } else {
        read_page(j);
    }
}

/* Another join of the same member, that is not through yet; or NULL. */
static struct join *other_join(const struct join *j)
{
    list_each (it, &j->session->joins) {
        struct join *other = container_of(it, struct join, in_session);
        if (other != j && other->member == j->member) {
            return other;
        }
    }
    return NULL;
}

/* It cannot be said what was missed. The client asks again; so nobody is told that it left, where
 * there is a grace. */
static void refuse(struct join *j)
{
    struct session *s = j->session;
    struct room_member *m = j->member;
    struct join *other = other_join(j);
    bool leaves = j->unsure && other == NULL;
    if (other != NULL) {
        other->unsure = j->unsure || other->unsure;
    }
    session_error(s, join_id(j), ERROR_UNAVAILABLE, NULL);
    go_live(j);
    if (leaves) {
        session_leave(s, m, BUS_LOST);
    }
}

static void page_failed(struct join *j)
{
    if (j->welcomed) {
        wheel_start(j->session->env->ctx->wheel, &j->deadline, AGAIN_MS);
    } else {
        refuse(j);
    }
}

/* The history is gone with its epoch. The room's log tells of the reset behind the cut; but the end
 * of the old epoch may stand before it, so what is missing up to there is told here. */
static void epoch_over(struct join *j)
{
    if (!j->welcomed) {
        send_welcome(j, false);
    }
    if (j->wish.resumes) {
        send_gap(j, j->next, j->cut.offset, GAP_HISTORY);
    }
    room_doubt_epoch(j->member->room);
    go_live(j);
}

static void on_page(struct bus_call *call, const struct bus_result *result)
{
    struct join *j = container_of(call, struct join, page);
    j->reading = false;
    if (j->session == NULL) {
        free(j);
    } else if (result->err == BUS_UNAVAILABLE || result->err == BUS_UNKNOWN) {
        page_failed(j);
    } else if (result->err == BUS_OK && result->other_epoch) {
        epoch_over(j);
    } else if (result->err == BUS_OK && result->line_count > 0) {
        replay(j, result->first, result->lines, result->line_count);
    } else {
        replay(j, j->cut.offset + 1, NULL, 0);
    }
}

static void read_page(struct join *j)
{
    struct session *s = j->session;
    j->reading = true;
    j->page.done = on_page;
    bus_read(s->env->ctx->bus, room_bus(j->member->room), bus_epoch(&j->cut), j->next,
             j->cut.offset, &j->page);
}

static void on_deadline(struct wheel_timer *t)
{
    struct join *j = container_of(t, struct join, deadline);
    if (j->member == NULL) {
        join_fail(j);
    } else {
        read_page(j);
    }
}

/* It is a member from here on; what it missed, or asked for, comes first. */
static void begin_replay(struct join *j)
{
    unsigned kept = room_policy(j->member->room)->history_size;
    uint64_t newest = j->cut.offset;
    const struct bus_position *since = &j->wish.since;
    /* A place past the log's end (see room_reaches) is none of this epoch, whatever it says. */
    bool same = str_equal(bus_epoch(since), bus_epoch(&j->cut)) && since->offset <= newest;
    uint64_t history = j->wish.history < kept ? j->wish.history : kept;
    j->next = newest + 1;
    if (j->wish.resumes && !same) {
        send_welcome(j, false);
        send_gap(j, 0, newest, GAP_RESET);
    } else if (j->wish.resumes) {
        j->next = since->offset + 1;
    } else {
        j->next -= history < newest ? history : newest;
    }
    if (j->next <= newest && kept > 0) {
        j->holds = true;
        ws_hold(&j->member->reader);
        read_page(j);
    } else if (!j->welcomed) {
        replay(j, newest + 1, NULL, 0);
    } else {
        go_live(j);
    }
}

static void become_member(struct join *j, struct room *room)
{
    struct session *s = j->session;
    struct room_member *m = session_member(s, room_name(room));
    if (m == NULL) {
        m = xcalloc(1, sizeof(*m));
        m->session = s;
        room_join(room, m, s->conn, session_user(s));
        j->unsure = true;
        LOG(DEBUG, JOIN, F_HEX("conn", ws_conn_id(s->conn)), F_STR("user", session_user(s)),
            F_STR("room", room_name(room)));
    } else {
        list_remove(&m->in_session); /* joined last again */
        s->room_count--;
    }
    list_push(&s->rooms, &m->in_session);
    if (!s->drained) {
        session_unlimit(s);
    }
    wheel_stop(&j->deadline);
    j->member = m;
    j->cut = room_position(m);
    room_wait_end(&j->waiter);
}

void join_begin(struct session *s, struct str id, struct str room, const struct join_wish *wish)
{
    struct join *j = xcalloc(1, sizeof(*j) + id.len);
    j->session = s;
    j->wish = *wish;
    j->id_len = id.len;
    memcpy(j->id, id.ptr != NULL ? id.ptr : "", id.len);
    list_init(&j->waiter.in_room);
    list_push(&s->joins, &j->in_session);
    wheel_timer_init(&j->deadline, on_deadline);
    wheel_start(s->env->ctx->wheel, &j->deadline, s->env->ctx->config->redis.command_timeout_ms);
    s->room_count++;
    (void)room_wait(s->env->rooms, room, &j->waiter);
    join_try(j);
}

void join_try(struct join *j)
{
    struct session *s = j->session;
    struct room *room = j->waiter.room;
    unsigned most = room_policy(room)->max_members;
    if (j->member != NULL || !room_live(room) || !user_ready(s->member.user) ||
        ws_closing(s->conn)) {
        return;
    }
    if (most > 0 && room_online(room) >= most && session_member(s, room_name(room)) == NULL) {
        session_error(s, join_id(j), ERROR_ROOM_FULL, NULL);
        s->room_count--;
        end(j);
        return;
    }
    if (j->wish.resumes && !room_reaches(room, &j->wish.since, &j->asked)) {
        return;
    }
    become_member(j, room);
    begin_replay(j);
}

void join_continue(struct join *j)
{
    if (j->pauses) {
        j->pauses = false;
        read_page(j);
    }
}

void join_fail(struct join *j)
{
    struct session *s = j->session;
    if (j->member != NULL) {
        return;
    }
    session_error(s, join_id(j), ERROR_UNAVAILABLE, NULL);
    s->room_count--;
    end(j);
}

static void cancel(struct join *j)
{
    j->session->room_count -= j->member == NULL ? 1 : 0;
    end(j); /* the membership, if any, ends too: nothing is to be released */
}

void join_leave(struct session *s, struct str room)
{
    list_each_safe (it, &s->joins) {
        struct join *j = container_of(it, struct join, in_session);
        if (j->member == NULL && str_equal(room_name(j->waiter.room), room)) {
            join_fail(j);
        } else if (j->member != NULL && str_equal(room_name(j->member->room), room)) {
            if (!j->welcomed) {
                send_welcome(j, false); /* each request has its one reply */
            }
            cancel(j);
        }
    }
}

void join_cancel_all(struct session *s)
{
    list_each_safe (it, &s->joins) {
        cancel(container_of(it, struct join, in_session));
    }
}
