/* SPDX-License-Identifier: MIT */
#include "gateway/chat/message.h"

#include "common/buf.h"
#include "common/json.h"
#include "gateway/bus/bus.h"

static void begin(struct buf *out, struct str type, struct str id)
{
    buf_clear(out);
    BUF_LIT(out, "{\"type\":\"");
    buf_add(out, type);
    BUF_LIT(out, "\"");
    if (id.len > 0) {
        BUF_LIT(out, ",\"id\":");
        buf_add(out, id);
    }
}

static void add_key(struct buf *out, const char *key)
{
    BUF_LIT(out, "\"");
    buf_add(out, str_from(key));
    BUF_LIT(out, "\":");
}

static void add_string(struct buf *out, const char *key, struct str value)
{
    add_key(out, key);
    json_add_string(out, value);
}

static void add_number(struct buf *out, const char *key, uint64_t value)
{
    BUF_LIT(out, ",");
    add_key(out, key);
    buf_add_u64(out, value);
}

static void add_next_string(struct buf *out, const char *key, struct str value)
{
    BUF_LIT(out, ",");
    add_string(out, key, value);
}

static void begin_data(struct buf *out)
{
    BUF_LIT(out, ",\"data\":{");
}

static void end_data(struct buf *out)
{
    BUF_LIT(out, "}}");
}

void message_welcome(struct buf *out, const struct message_welcome *w)
{
    begin(out, STR("welcome"), w->id);
    begin_data(out);
    add_string(out, "room", w->room);
    add_next_string(out, "user", w->user);
    add_number(out, "online", w->online);
    add_next_string(out, "epoch", w->epoch);
    add_number(out, "offset", w->offset);
    buf_add(out, w->recovered ? STR(",\"recovered\":true") : STR(",\"recovered\":false"));
    add_number(out, "heartbeat", w->heartbeat_s);
    BUF_LIT(out, ",\"connection\":\"");
    buf_add_hex(out, w->connection);
    buf_add_char(out, '"');
    add_next_string(out, "gateway", w->gateway);
    end_data(out);
}

void message_left(struct buf *out, struct str id, struct str room)
{
    begin(out, STR("left"), id);
    begin_data(out);
    add_string(out, "room", room);
    end_data(out);
}

void message_pong(struct buf *out, struct str id)
{
    begin(out, STR("pong"), id);
    BUF_LIT(out, "}");
}

void message_ack_chat(struct buf *out, struct str id, struct str room,
                      const struct bus_position *position, uint64_t ts)
{
    begin(out, STR("ack"), id);
    begin_data(out);
    add_string(out, "room", room);
    add_number(out, "offset", position->offset);
    add_next_string(out, "epoch", bus_epoch(position));
    add_number(out, "ts", ts);
    end_data(out);
}

void message_ack(struct buf *out, struct str id, const char *member, struct str value)
{
    begin(out, STR("ack"), id);
    begin_data(out);
    add_string(out, member, value);
    end_data(out);
}

void message_error(struct buf *out, struct str id, enum protocol_error e, const char *text,
                   uint64_t retry_after_ms)
{
    begin(out, STR("error"), id);
    begin_data(out);
    add_string(out, "code", str_from(protocol_error_code(e)));
    add_next_string(out, "message", str_from(text != NULL ? text : protocol_error_text(e)));
    if (retry_after_ms > 0) {
        add_number(out, "retry_after", retry_after_ms);
    }
    end_data(out);
}

void message_bye(struct buf *out, const char *reason, uint64_t reconnect_in_ms)
{
    begin(out, STR("bye"), (struct str){NULL, 0});
    begin_data(out);
    add_string(out, "reason", str_from(reason));
    add_number(out, "reconnect_in", reconnect_in_ms);
    end_data(out);
}

void message_gap(struct buf *out, const struct message_gap *gap)
{
    static const char *const why[] = {
        [GAP_HISTORY] = "history", [GAP_SLOW] = "slow", [GAP_RESET] = "reset"};
    begin(out, STR("gap"), (struct str){NULL, 0});
    begin_data(out);
    add_string(out, "room", gap->room);
    add_next_string(out, "epoch", gap->epoch);
    add_number(out, "from", gap->from);
    add_number(out, "to", gap->to);
    add_next_string(out, "why", str_from(why[gap->why]));
    end_data(out);
}

static void add_meta(struct buf *out, struct str meta)
{
    if (meta.len > 0) {
        BUF_LIT(out, ",\"meta\":");
        json_add_compact(out, meta);
    }
}

void message_chat_data(struct buf *out, const struct message_text *m)
{
    buf_clear(out);
    BUF_LIT(out, "{");
    add_string(out, "room", m->room);
    add_next_string(out, "from", m->from);
    add_next_string(out, "text", m->text);
    add_number(out, "ts", m->ts);
    add_meta(out, m->meta);
    BUF_LIT(out, "}");
}

void message_direct(struct buf *out, const struct message_text *m)
{
    begin(out, STR("direct"), (struct str){NULL, 0});
    begin_data(out);
    add_string(out, "from", m->from);
    add_next_string(out, "to", m->to);
    add_next_string(out, "text", m->text);
    add_number(out, "ts", m->ts);
    add_meta(out, m->meta);
    end_data(out);
}

void message_signal(struct buf *out, const struct message_text *m)
{
    begin(out, STR("signal"), (struct str){NULL, 0});
    begin_data(out);
    add_string(out, "room", m->room);
    add_next_string(out, "from", m->from);
    add_next_string(out, "kind", m->text);
    add_meta(out, m->meta);
    end_data(out);
}

static void add_names(struct buf *out, const char *key, const struct str *names, size_t count)
{
    BUF_LIT(out, ",");
    add_key(out, key);
    for (size_t i = 0; i < count; i++) {
        buf_add(out, i == 0 ? STR("[") : STR(","));
        json_add_string(out, names[i]);
    }
    buf_add(out, count == 0 ? STR("[]") : STR("]"));
}

void message_presence(struct buf *out, const struct message_presence *p)
{
    begin(out, STR("presence"), (struct str){NULL, 0});
    begin_data(out);
    add_string(out, "room", p->room);
    add_number(out, "online", p->online);
    add_names(out, "joined", p->joined, p->joined_count);
    add_names(out, "left", p->left, p->left_count);
    if (p->more) {
        BUF_LIT(out, ",\"more\":true");
    }
    end_data(out);
}

void message_history(struct buf *out, const struct message_history *h)
{
    begin(out, STR("history"), h->id);
    begin_data(out);
    add_string(out, "room", h->room);
    add_next_string(out, "epoch", h->epoch);
    BUF_LIT(out, ",\"messages\":[");
    for (size_t i = 0; i < h->count; i++) {
        if (i > 0) {
            BUF_LIT(out, ",");
        }
        buf_add(out, h->lines[i]);
    }
    buf_add(out, h->more ? STR("],\"more\":true") : STR("],\"more\":false"));
    end_data(out);
}

void message_members(struct buf *out, const struct message_members *m)
{
    begin(out, STR("presence"), m->id);
    begin_data(out);
    add_string(out, "room", m->room);
    add_number(out, "online", m->online);
    if (m->users > 0) {
        add_number(out, "users", m->users);
    }
    BUF_LIT(out, ",\"members\":[");
    for (size_t i = 0; i < m->count; i++) {
        buf_add(out, i > 0 ? STR(",{") : STR("{"));
        add_string(out, "user", m->members[i].user);
        add_number(out, "connections", m->members[i].connections);
        BUF_LIT(out, "}");
    }
    BUF_LIT(out, "]");
    if (m->cursor.len > 0) {
        add_next_string(out, "cursor", m->cursor);
    }
    end_data(out);
}
