/* SPDX-License-Identifier: MIT */
#include "gateway/chat/requests.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/names.h"
#include "gateway/chat/context.h"
#include "gateway/chat/join.h"
#include "gateway/chat/message.h"
#include "gateway/chat/session.h"
#include "gateway/config.h"
#include "gateway/edge/ws.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

/* Messages in one answer to a history request when the client does not say, and at most. */
#define HISTORY_DEFAULT 50
#define HISTORY_MAX 256
/* A presence page when the client does not say, and at most. */
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
/* An id that is an integer: as many digits as 64 bits have, and a sign. */
#define ID_NUMBER_MAX 20
/* A cursor comes back as it was given: a gateway's name and a number. */
#define CURSOR_MAX 256

/* One request, decoded as far as all have it in common. */
struct request {
    struct str text;         /* the whole message, checked */
    struct str id;           /* raw JSON, {NULL,0} for none */
    const struct json *data; /* NULL: none */
};

static struct str field(const struct request *r, const char *name)
{
    return json_string(json_member(r->data, name));
}

static bool has_field(const struct request *r, const char *name)
{
    return json_member(r->data, name) != NULL;
}

/* False: the error was sent. */
static bool get_room(struct session *s, const struct request *r, struct str *room)
{
    *room = field(r, "room");
    if (!name_valid(*room, s->env->ctx->config->room_name_max_bytes)) {
        session_error(s, r->id, ERROR_BAD_ROOM, NULL);
        return false;
    }
    return true;
}

static bool get_membership(struct session *s, const struct request *r, struct room_member **m)
{
    struct str room = {NULL, 0};
    if (!get_room(s, r, &room)) {
        return false;
    }
    *m = session_member(s, room);
    if (*m == NULL) {
        session_error(s, r->id, ERROR_NOT_JOINED, NULL);
        return false;
    }
    return true;
}

/* Whether members may be heard there. False: the error was sent. */
static bool may_publish(struct session *s, const struct request *r, const struct room *room)
{
    if (room_policy(room)->publish == CONFIG_PUBLISH_MEMBERS) {
        return true;
    }
    session_error(s, r->id, ERROR_FORBIDDEN, "only the server publishes in this room");
    return false;
}

static bool get_text(struct session *s, const struct request *r, struct str *text)
{
    *text = field(r, "text");
    if (text->len == 0) {
        session_error(s, r->id, ERROR_BAD_TEXT, NULL);
        return false;
    }
    return true;
}

/* An optional key, or a kind: a short string. */
static bool get_short(struct session *s, const struct request *r, const char *name, struct str *out)
{
    *out = field(r, name);
    if (has_field(r, name) && !key_valid(*out)) {
        bool too_long = out->len > NAMES_KEY_MAX_BYTES;
        session_error(s, r->id, too_long ? ERROR_TOO_LONG : ERROR_BAD_ENVELOPE,
                      "key and kind are strings of 1 to 64 bytes without control characters");
        return false;
    }
    return true;
}

/* An optional object that is sent on as it is. */
static bool get_meta(struct session *s, const struct request *r, struct str *meta)
{
    static const char *const path[] = {"data", "meta"};
    const struct json *v = json_member(r->data, "meta");
    *meta = (struct str){NULL, 0};
    if (v == NULL) {
        return true;
    }
    if (!json_is_object(v)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "meta must be an object");
        return false;
    }
    *meta = json_raw(r->text, path, ARRAY_LEN(path));
    return true;
}

static bool get_since(struct session *s, const struct request *r, struct join_wish *wish)
{
    const struct json *v = json_member(r->data, "since");
    struct str epoch = json_string(json_member(v, "epoch"));
    wish->resumes = v != NULL && !json_is_null(v);
    if (!wish->resumes) {
        return true;
    }
    if (!json_is_object(v)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "since must be an object {epoch, offset}");
        return false;
    }
    /* What cannot be a place of ours simply is not recovered. */
    if (epoch.len == BUS_EPOCH_LEN && json_whole(json_member(v, "offset"), &wish->since.offset)) {
        memcpy(wish->since.epoch, epoch.ptr, BUS_EPOCH_LEN);
    }
    return true;
}

/* What the client wants to hear before live messages. */
static bool get_wish(struct session *s, const struct request *r, struct join_wish *wish)
{
    *wish = (struct join_wish){.resumes = false};
    if (has_field(r, "history") && !json_whole(json_member(r->data, "history"), &wish->history)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "history is a whole number of messages");
        return false;
    }
    return get_since(s, r, wish);
}

/* The connection's user: the first join names it, a later one may only repeat it. */
static bool set_user(struct session *s, const struct request *r)
{
    struct str user = field(r, "user");
    struct str present = session_user(s);
    if (!has_field(r, "user") && present.ptr != NULL) {
        return true;
    }
    if (!name_valid(user, NAMES_USER_MAX_BYTES)) {
        session_error(s, r->id, ERROR_BAD_USER, NULL);
        return false;
    }
    if (present.ptr != NULL && !str_equal(present, user)) {
        session_error(s, r->id, ERROR_ALREADY_USER, NULL);
        return false;
    }
    if (present.ptr == NULL) {
        user_attach(s->env->users, user, &s->member);
    }
    return true;
}

static void do_join(struct session *s, const struct request *r)
{
    struct str room = {NULL, 0};
    struct join_wish wish;
    uint64_t wait_ms = 0;
    uint64_t now = loop_now_ms(s->env->ctx->loop);
    if (!bucket_take(&s->join_rate, &s->env->ctx->config->client.rate_joins, now, &wait_ms)) {
        session_refuse(s, r->id, wait_ms);
        return;
    }
    if (s->env->draining || s->env->ctx->stats->memory_over != 0) {
        session_error(s, r->id, ERROR_UNAVAILABLE, NULL);
        return;
    }
    if (!get_room(s, r, &room) || !get_wish(s, r, &wish) || !set_user(s, r)) {
        return;
    }
    if (session_member(s, room) == NULL && s->room_count >= s->env->ctx->config->client.max_rooms) {
        session_error(s, r->id, ERROR_TOO_MANY_ROOMS, NULL);
        return;
    }
    join_begin(s, r->id, room, &wish);
}

static void do_leave(struct session *s, const struct request *r)
{
    struct str room = {NULL, 0};
    if (!get_room(s, r, &room)) {
        return;
    }
    struct room_member *m = session_member(s, room);
    join_leave(s, room);
    message_left(&s->env->ctx->text, r->id, room);
    session_send(s);
    if (m != NULL) {
        session_leave(s, m, BUS_LEFT);
    }
}

static void on_chat_answer(struct session *s, struct ask *a, const struct bus_result *result)
{
    if (result->err != BUS_OK) {
        session_error(s, ask_id(a), ask_error(result->err), NULL);
        return;
    }
    if (a->id_len > 0) {
        message_ack_chat(&s->env->ctx->text, ask_id(a), ask_name(a), &result->position, a->ts);
        session_send(s);
    }
}

static void do_chat(struct session *s, const struct request *r)
{
    struct message_text m = {.from = session_user(s), .ts = clock_wall_s()};
    struct room_member *in = NULL;
    struct str key = {NULL, 0};
    if (has_field(r, "room")) {
        if (!get_membership(s, r, &in)) {
            return;
        }
    } else if (list_empty(&s->rooms)) {
        session_error(s, r->id, ERROR_NOT_JOINED, NULL);
        return;
    } else {
        in = container_of(s->rooms.prev, struct room_member, in_session);
    }
    if (!may_publish(s, r, in->room) || !get_text(s, r, &m.text) || !get_short(s, r, "key", &key) ||
        !get_meta(s, r, &m.meta)) {
        return;
    }
    m.room = room_name(in->room);
    struct ask *a = session_ask(s, r->id, m.room, on_chat_answer);
    a->ts = m.ts;
    message_chat_data(&s->env->ctx->text, &m);
    bus_publish(s->env->ctx->bus, room_bus(in->room), m.from, key, buf_str(&s->env->ctx->text),
                &a->call);
}

static void on_direct_answer(struct session *s, struct ask *a, const struct bus_result *result)
{
    if (result->err != BUS_OK) {
        session_error(s, ask_id(a), ask_error(result->err), NULL);
    } else if (a->id_len > 0) {
        message_ack(&s->env->ctx->text, ask_id(a), "to", ask_name(a));
        session_send(s);
    }
}

static void do_direct(struct session *s, const struct request *r)
{
    struct message_text m = {.from = session_user(s), .to = field(r, "to"), .ts = clock_wall_s()};
    struct str key = {NULL, 0};
    if (m.from.ptr == NULL) {
        session_error(s, r->id, ERROR_NOT_JOINED, NULL);
        return;
    }
    if (!name_valid(m.to, NAMES_USER_MAX_BYTES)) {
        session_error(s, r->id, ERROR_BAD_USER, NULL);
        return;
    }
    if (!get_text(s, r, &m.text) || !get_short(s, r, "key", &key) || !get_meta(s, r, &m.meta)) {
        return;
    }
    struct ask *a = session_ask(s, r->id, m.to, on_direct_answer);
    message_direct(&s->env->ctx->text, &m);
    bus_direct(s->env->ctx->bus, m.to, m.from, key, buf_str(&s->env->ctx->text), &a->call);
}

static void on_signal_answer(struct session *s, struct ask *a, const struct bus_result *result)
{
    if (result->err != BUS_OK) {
        session_error(s, ask_id(a), ask_error(result->err), NULL);
    } else if (a->id_len > 0) {
        message_ack(&s->env->ctx->text, ask_id(a), "room", ask_name(a));
        session_send(s);
    }
}

static void do_signal(struct session *s, const struct request *r)
{
    struct message_text m = {.from = session_user(s)};
    struct room_member *in = NULL;
    if (!get_membership(s, r, &in) || !may_publish(s, r, in->room) ||
        !get_short(s, r, "kind", &m.text) || !get_meta(s, r, &m.meta)) {
        return;
    }
    if (m.text.len == 0) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "a signal needs a kind");
        return;
    }
    m.room = room_name(in->room);
    struct ask *a = session_ask(s, r->id, m.room, on_signal_answer);
    message_signal(&s->env->ctx->text, &m);
    bus_signal(s->env->ctx->bus, room_bus(in->room), ws_conn_id(s->conn),
               buf_str(&s->env->ctx->text), &a->call);
}

/* `online` is as of the answer, not of the asking: digests told it meanwhile. */
static void on_members(struct session *s, struct ask *a, const struct bus_result *result)
{
    const struct room_member *in = session_member(s, ask_name(a));
    if (result->err != BUS_OK) {
        bool strange = result->err == BUS_BAD_CURSOR;
        session_error(s, ask_id(a), ask_error(result->err),
                      strange ? "cursor is not one that a page ended with" : NULL);
        return;
    }
    struct message_members m = {.id = ask_id(a),
                                .room = ask_name(a),
                                .cursor = result->cursor,
                                .online = in != NULL ? room_online(in->room) : a->online,
                                .members = result->members,
                                .count = result->member_count};
    m.users = a->first_page && result->cursor.len == 0 ? m.count : 0; /* each stands once */
    message_members(&s->env->ctx->text, &m);
    session_send(s);
}

/* What a room that names nobody has to say to a presence request. */
static void answer_number(struct session *s, const struct request *r, const struct room *room)
{
    struct message_members m = {.id = r->id, .room = room_name(room), .online = room_online(room)};
    message_members(&s->env->ctx->text, &m);
    session_send(s);
}

static void do_presence(struct session *s, const struct request *r)
{
    struct room_member *in = NULL;
    uint64_t limit = PAGE_DEFAULT;
    struct str cursor = field(r, "cursor");
    if (!get_membership(s, r, &in)) {
        return;
    }
    if (has_field(r, "limit") &&
        (!json_whole(json_member(r->data, "limit"), &limit) || limit == 0 || limit > PAGE_MAX)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "limit is a whole number from 1 to 1000");
        return;
    }
    if (cursor.len > CURSOR_MAX) {
        session_error(s, r->id, ERROR_TOO_LONG, NULL);
        return;
    }
    if (room_policy(in->room)->presence != CONFIG_PRESENCE_FULL) {
        answer_number(s, r, in->room);
        return;
    }
    room_flush_presence(in->room); /* ahead of the question, on the same link */
    struct ask *a = session_ask(s, r->id, room_name(in->room), on_members);
    a->online = room_online(in->room);
    a->first_page = cursor.len == 0;
    bus_members(s->env->ctx->bus, room_name(in->room), cursor, (unsigned)limit, &a->call);
}

/* The newest of the lines that fit into one message; a client asks for the rest with `before`. */
static size_t fitting(const struct session *s, const struct str *lines, size_t count)
{
    size_t room_bytes =
        s->env->ctx->config->client.backlog_hard / 4; /* so that some can be asked at once */
    size_t fit = 0;
    while (fit < count && lines[count - 1 - fit].len + 1 <= room_bytes) {
        room_bytes -= lines[count - 1 - fit].len + 1;
        fit++;
    }
    return fit;
}

static void on_history(struct session *s, struct ask *a, const struct bus_result *result)
{
    if (result->err != BUS_OK) {
        session_error(s, ask_id(a), ask_error(result->err), NULL);
        return;
    }
    size_t fit = fitting(s, result->lines, result->line_count);
    struct message_history m = {.id = ask_id(a),
                                .room = ask_name(a),
                                .epoch = bus_epoch(&a->asked),
                                .lines = result->lines + (result->line_count - fit),
                                .count = fit};
    uint64_t first = result->first + (result->line_count - fit);
    m.more = fit > 0 && first > 1 && (fit < result->line_count || fit == a->limit);
    message_history(&s->env->ctx->text, &m);
    session_send(s);
}

static void do_history(struct session *s, const struct request *r)
{
    struct room_member *in = NULL;
    uint64_t limit = HISTORY_DEFAULT;
    uint64_t before = 0;
    if (!get_membership(s, r, &in)) {
        return;
    }
    if (room_policy(in->room)->history_size == 0) {
        session_error(s, r->id, ERROR_HISTORY_DISABLED, NULL);
        return;
    }
    struct bus_position newest = room_position(in);
    before = newest.offset + 1;
    if (has_field(r, "limit") &&
        (!json_whole(json_member(r->data, "limit"), &limit) || limit == 0 || limit > HISTORY_MAX)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "limit is a whole number from 1 to 256");
        return;
    }
    if (has_field(r, "before") && !json_whole(json_member(r->data, "before"), &before)) {
        session_error(s, r->id, ERROR_BAD_ENVELOPE, "before is an offset");
        return;
    }
    before = before <= newest.offset ? before : newest.offset + 1;
    struct ask *a = session_ask(s, r->id, room_name(in->room), on_history);
    a->limit = limit;
    a->asked = newest;
    bus_read(s->env->ctx->bus, room_bus(in->room), bus_epoch(&newest),
             before > limit ? before - limit : 1, before > 0 ? before - 1 : 0, &a->call);
}

static void do_ping(struct session *s, const struct request *r)
{
    message_pong(&s->env->ctx->text, r->id);
    session_send(s);
}

static void do_pong(struct session *s, const struct request *r)
{
    (void)s; /* that it came is all it says */
    (void)r;
}

/* The whole client protocol in one table. */
static const struct {
    void (*run)(struct session *s, const struct request *r);
    bool needs_data;
    bool limited; /* counts against client.rate_messages */
} requests[REQUEST_COUNT] = {
    [REQUEST_JOIN] = {do_join, true, false},      [REQUEST_LEAVE] = {do_leave, true, true},
    [REQUEST_CHAT] = {do_chat, true, true},       [REQUEST_DIRECT] = {do_direct, true, true},
    [REQUEST_SIGNAL] = {do_signal, true, true},   [REQUEST_PRESENCE] = {do_presence, true, true},
    [REQUEST_HISTORY] = {do_history, true, true}, [REQUEST_PING] = {do_ping, false, true},
    [REQUEST_PONG] = {do_pong, false, false},
};

/* A string of up to 64 bytes, or an integer as it was written. */
static bool id_valid(struct str raw, const struct json *v)
{
    if (json_string(v).ptr != NULL) {
        return key_valid(json_string(v));
    }
    if (raw.len == 0 || raw.len > ID_NUMBER_MAX) {
        return false;
    }
    for (size_t i = 0; i < raw.len; i++) {
        if ((raw.ptr[i] < '0' || raw.ptr[i] > '9') && !(i == 0 && raw.ptr[i] == '-')) {
            return false;
        }
    }
    return true;
}

static bool get_id(struct session *s, const struct json *root, struct request *r)
{
    static const char *const path[] = {"id"};
    const struct json *v = json_member(root, "id");
    if (v == NULL) {
        return true;
    }
    struct str raw = json_raw(r->text, path, ARRAY_LEN(path));
    if (!id_valid(raw, v)) {
        bool too_long = json_string(v).len > NAMES_KEY_MAX_BYTES;
        session_malformed(s, r->id, too_long ? ERROR_TOO_LONG : ERROR_BAD_ENVELOPE,
                          "id is a string of 1 to 64 bytes or an integer");
        return false;
    }
    r->id = raw;
    return true;
}

static void dispatch(struct session *s, const struct json *root, struct request *r)
{
    struct str name = json_string(json_member(root, "type"));
    enum request_type type = REQUEST_PING;
    uint64_t wait_ms = 0;
    uint64_t now = loop_now_ms(s->env->ctx->loop);
    r->data = json_member(root, "data");
    if (name.ptr == NULL) {
        session_malformed(s, r->id, ERROR_BAD_ENVELOPE, "type must be a string");
        return;
    }
    bool known = request_from_name(name, &type);
    if (known) {
        s->env->ctx->stats->received[type]++;
    }
    if ((!known || requests[type].limited) &&
        !bucket_take(&s->messages, &s->env->ctx->config->client.rate_messages, now, &wait_ms)) {
        session_refuse(s, r->id, wait_ms);
        return;
    }
    if (!known) { /* a newer client than we are: no fault of its own */
        session_error(s, r->id, ERROR_UNKNOWN_TYPE, NULL);
        return;
    }
    if ((r->data != NULL && !json_is_object(r->data)) ||
        (r->data == NULL && requests[type].needs_data)) {
        session_malformed(s, r->id, ERROR_BAD_ENVELOPE, "data must be an object");
        return;
    }
    requests[type].run(s, r);
}

void request_handle(struct session *s, struct str text)
{
    const struct json_limits limits = {.depth = s->env->ctx->config->client.max_json_depth,
                                       .nodes = s->env->ctx->config->client.max_json_nodes};
    struct request r = {.text = text};
    struct json *root = NULL;
    enum json_err err = json_parse(text, &limits, &root, NULL);
    if (err != JSON_OK) {
        session_malformed(s, r.id, ERROR_BAD_JSON, json_err_str(err));
        return;
    }
    if (!json_is_object(root)) {
        session_malformed(s, r.id, ERROR_BAD_ENVELOPE, "a message is a JSON object");
    } else if (get_id(s, root, &r)) {
        dispatch(s, root, &r);
    }
    json_free(root);
}
