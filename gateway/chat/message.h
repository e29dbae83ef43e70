/* SPDX-License-Identifier: MIT */
/* message: the JSON of everything a gateway says (common/PROTOCOL.md, "Events"). Pure. Each call
 * clears out and fills it with one whole message, on one line.
 *
 * id is the raw JSON of the request's id ("abc" with its quotes, or 17), {NULL,0} for none. */
#ifndef GATEWAY_CHAT_MESSAGE_H
#define GATEWAY_CHAT_MESSAGE_H

#include "common/base.h"
#include "common/protocol.h"

struct buf;
struct bus_position;

struct message_welcome {
    struct str id, room, user;
    uint64_t online;
    struct str epoch;
    uint64_t offset;
    bool recovered;
    uint64_t heartbeat_s;
    uint64_t connection;
    struct str gateway;
};
void message_welcome(struct buf *out, const struct message_welcome *w);

void message_left(struct buf *out, struct str id, struct str room);
void message_pong(struct buf *out, struct str id);
void message_ack_chat(struct buf *out, struct str id, struct str room,
                      const struct bus_position *position, uint64_t ts);
/* The ack of what has no offset; member is "to" or "room". */
void message_ack(struct buf *out, struct str id, const char *member, struct str value);
/* text NULL: the code's own sentence. retry_after_ms 0: left out. */
void message_error(struct buf *out, struct str id, enum protocol_error e, const char *text,
                   uint64_t retry_after_ms);
void message_bye(struct buf *out, const char *reason, uint64_t reconnect_in_ms);

enum message_gap_why { GAP_HISTORY, GAP_SLOW, GAP_RESET };
struct message_gap {
    struct str room, epoch;
    uint64_t from, to;
    enum message_gap_why why;
};
void message_gap(struct buf *out, const struct message_gap *gap);

/* What a client sends on: meta is checked raw JSON, {NULL,0} for none. */
struct message_text {
    struct str room; /* chat, signal */
    struct str from;
    struct str to;   /* direct */
    struct str text; /* chat, direct: text; signal: kind */
    struct str meta;
    uint64_t ts;
};
void message_chat_data(struct buf *out, const struct message_text *m); /* the data member alone */
void message_direct(struct buf *out, const struct message_text *m);
void message_signal(struct buf *out, const struct message_text *m);

/* A digest of who came and went; a name stands once per connection. */
struct message_presence {
    struct str room;
    uint64_t online;
    const struct str *joined, *left;
    size_t joined_count, left_count;
    bool more; /* the lists were cut */
};
void message_presence(struct buf *out, const struct message_presence *p);

/* lines: whole messages as they were sent, oldest first. */
struct message_history {
    struct str id, room, epoch;
    const struct str *lines;
    size_t count;
    bool more; /* older ones are kept, or may be */
};
void message_history(struct buf *out, const struct message_history *h);

struct bus_member;
/* The answer to a presence request; users 0: left out. */
struct message_members {
    struct str id, room, cursor;
    uint64_t online, users;
    const struct bus_member *members;
    size_t count;
};
void message_members(struct buf *out, const struct message_members *m);

#endif
