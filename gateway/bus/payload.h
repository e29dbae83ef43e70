/* SPDX-License-Identifier: MIT */
/* payload: what travels on the channels in Redis. Pure.
 *
 * Of a room: a head line, then one text a line.
 *   log <epoch> <first offset>        chats, the data of each; the text is an entry of the log, too
 *   pres <gateway> <version> <count>  a digest; the lines are a mark and a name each
 *   sig <gateway> <connection, hex>   a signal; one line, exactly as clients get it
 *   {…}                               an outsider's chat or signal; one line, no offset
 * Of a user: {…}, a message of type direct. Of a gateway: beat <nonce, hex>.
 *
 * Anybody who reaches Redis can publish, and a byte that is not UTF-8 would make our own frame
 * invalid and every browser close; so nothing is trusted. Lines of heads are checked for UTF-8 and
 * for control characters (a pass at memory speed); an outsider's whole text goes through json_check
 * and must have the members that make it a chat, signal or direct. */
#ifndef GATEWAY_BUS_PAYLOAD_H
#define GATEWAY_BUS_PAYLOAD_H

#include "common/json.h"
#include "gateway/bus/impl.h"

struct buf;

#define PAYLOAD_LINES_MAX (2 * BUS_BATCH_MAX)
#define PAYLOAD_NAMES_MAX 64 /* 50 and a BUS_MORE are sent */

enum payload_kind { PAYLOAD_LOG, PAYLOAD_DIGEST, PAYLOAD_SIGNAL, PAYLOAD_OUTSIDER, PAYLOAD_BAD };

/* What was read; texts are borrowed from the payload. */
struct payload {
    enum payload_kind kind;
    struct bus_position position;        /* log: of the last line */
    uint64_t first;                      /* log */
    struct str lines[PAYLOAD_LINES_MAX]; /* log: data; signal, outsider: lines[0] is a message */
    size_t line_count;
    struct bus_register reg;                  /* digest; signal: reg.gateway */
    struct bus_name names[PAYLOAD_NAMES_MAX]; /* digest */
    size_t name_count;
    uint64_t connection; /* signal */
    const char *why;     /* bad: what is wrong, for the log */
};

struct payload_limits {
    size_t line_bytes;     /* a gateway's line */
    size_t outsider_bytes; /* an outsider's text */
    struct json_limits json;
};
struct payload_limits payload_limits_of(const struct config *config);

void payload_read(struct payload *p, struct str text, const struct payload_limits *limits);

/* Makes whole messages of the data of chats: they stand in out, which is cleared, and lines points
 * there. */
void payload_chats(struct buf *out, struct str *lines, size_t count, uint64_t first);

/* A text of a user's channel: true when it may go to the user's connections. */
bool payload_is_direct(struct str text, const struct payload_limits *limits);

/* Texts and numbers of Redis, where anybody may have written. */
bool payload_gateway_valid(struct str id); /* 1 to 79 of [A-Za-z0-9._-] */
bool payload_line_valid(struct str line, size_t max_bytes);
bool payload_u64(struct str digits, uint64_t *out) MUST_CHECK;    /* decimal, at most 2^53 */
bool payload_cursor(struct str digits, uint64_t *out) MUST_CHECK; /* decimal, 64 bits: SCAN's */
bool payload_hex(struct str digits, uint64_t *out) MUST_CHECK;    /* 1 to 16 digits */
/* "<version>:<count>"; the version at most 2^52: whoever has to pass it still can. */
bool payload_register(struct str text, struct bus_register *out) MUST_CHECK;

/* Writes the lines of a digest's names, without the head. */
void payload_add_names(struct buf *out, const struct bus_name *names, size_t count);

#endif
