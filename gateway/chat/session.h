/* SPDX-License-Identifier: MIT */
/* session: one client's conversation: who it is, where it is a member, what it waits for. What it
 * may say stands in requests.c. Inside gateway/chat; the outside sees chat.h.
 *
 * A session lives exactly as long as its connection. What it asked of the bus may outlive it: a
 * struct ask whose session is NULL ends quietly. */
#ifndef GATEWAY_CHAT_SESSION_H
#define GATEWAY_CHAT_SESSION_H

#include "common/bucket.h"
#include "common/protocol.h"
#include "gateway/bus/bus.h"
#include "gateway/chat/room.h"
#include "gateway/chat/user.h"
#include "gateway/wheel.h"

struct chat_context;
struct ws_conn;

/* What all sessions share. */
struct session_env {
    struct chat_context *ctx;
    struct users *users;
    struct rooms *rooms;
    bool draining;
};

struct session {
    const struct session_env *env; /* borrowed: chat's */
    struct ws_conn *conn;          /* borrowed: outlives us */
    struct user_member member;     /* of its user; no user before the first join */
    struct list rooms;             /* struct room_member, in the order of joining */
    struct list joins;             /* struct join */
    struct list asks;              /* struct ask */
    struct session_limit *limit;   /* owned; NULL: it may stay */
    struct bucket messages, join_rate, errors, refused;
    uint32_t room_count; /* members and joins under way */
    bool drained;        /* its slot in the drain is set */
};

/* A request that waits for the bus. Owned by itself: freed when the bus completes it. */
struct ask {
    struct bus_call call;
    struct list in_session;
    struct session *session; /* NULL: it is gone */
    void (*answer)(struct session *s, struct ask *a, const struct bus_result *result);
    uint64_t ts;
    uint64_t online;           /* presence: as of the asking, for one who left since */
    bool first_page;           /* presence */
    uint64_t limit;            /* history: messages asked for */
    struct bus_position asked; /* history: the epoch, and the newest offset then */
    size_t id_len, name_len;
    char text[]; /* id, then the room or user asked about */
};

/* Until when it may stay: nothing joined by then; in a drain: its slot. */
struct session_limit {
    struct wheel_timer timer;
    struct session *session;
};

struct session *session_new(const struct session_env *env, struct ws_conn *conn);
/* Leaves its rooms: the others hear of it as a loss. Its joins were cancelled before. */
void session_free(struct session *s);

/* It is closed after that time, or a new one; what for tells s->drained. */
void session_limit(struct session *s, uint64_t after_ms);
void session_unlimit(struct session *s); /* no-op where it has no limit */

/* What is in ctx->text, to this client. */
void session_send(struct session *s);
void session_error(struct session *s, struct str id, enum protocol_error e, const char *text);
/* With retry_after, jittered around about_ms. */
void session_error_later(struct session *s, struct str id, enum protocol_error e,
                         uint64_t about_ms);
/* Counts an answer rate_limited against the client; too many close it. */
void session_refuse(struct session *s, struct str id, uint64_t wait_ms);
/* Counts a malformed message against the client; too many close it. */
void session_malformed(struct session *s, struct str id, enum protocol_error e, const char *text);

struct room_member *session_member(struct session *s, struct str room);
struct str session_user(const struct session *s); /* {NULL,0} before the first join */

/* Creates a request to the bus; give &ask->call to it. id and name are copied. */
struct ask *session_ask(struct session *s, struct str id, struct str name,
                        void (*answer)(struct session *s, struct ask *a,
                                       const struct bus_result *result));
struct str ask_id(const struct ask *a);
struct str ask_name(const struct ask *a);
/* The error that tells what the bus said; ERROR_OK for BUS_OK. */
enum protocol_error ask_error(enum bus_err err);

void session_leave(struct session *s, struct room_member *m, enum bus_mark mark);

#endif
