/* SPDX-License-Identifier: MIT */
/* protocol: the words of the wire protocol (common/PROTOCOL.md), each list once. */
#ifndef COMMON_PROTOCOL_H
#define COMMON_PROTOCOL_H

#include "common/base.h"

/* What a client may say. */
#define PROTOCOL_REQUESTS(X) \
    X(JOIN, "join")          \
    X(LEAVE, "leave")        \
    X(CHAT, "chat")          \
    X(DIRECT, "direct")      \
    X(SIGNAL, "signal")      \
    X(PRESENCE, "presence")  \
    X(HISTORY, "history")    \
    X(PING, "ping")          \
    X(PONG, "pong")

enum request_type {
#define X(id, name) REQUEST_##id,
    PROTOCOL_REQUESTS(X)
#undef X
        REQUEST_COUNT
};

/* Error codes with the sentence that stands in `message` when the place has no better one. */
#define PROTOCOL_ERRORS(X)                                                                         \
    X(OK, "ok", "")                                                                                \
    X(BAD_JSON, "bad_json", "the message is not valid JSON")                                       \
    X(BAD_ENVELOPE, "bad_envelope", "the message is not a valid envelope")                         \
    X(UNKNOWN_TYPE, "unknown_type", "a client cannot send this type")                              \
    X(BAD_ROOM, "bad_room",                                                                        \
      "a room name is 1 to 128 bytes of UTF-8 without control characters, braces or outer spaces") \
    X(BAD_USER, "bad_user",                                                                        \
      "a user name is 1 to 64 bytes of UTF-8 without control characters, braces or outer spaces")  \
    X(BAD_TEXT, "bad_text", "text must be a string that is not empty")                             \
    X(TOO_LONG, "too_long", "a field is longer than allowed")                                      \
    X(NOT_JOINED, "not_joined", "join the room first")                                             \
    X(ALREADY_USER, "already_user", "this connection has another user name already")               \
    X(ROOM_FULL, "room_full", "the room holds its maximum of members")                             \
    X(TOO_MANY_ROOMS, "too_many_rooms", "this connection is in its maximum of rooms")              \
    X(FORBIDDEN, "forbidden", "not allowed")                                                       \
    X(UNAUTHORIZED, "unauthorized", "a valid token is needed")                                     \
    X(TOKEN_EXPIRED, "token_expired", "the token has expired")                                     \
    X(RATE_LIMITED, "rate_limited", "too many messages; wait")                                     \
    X(NOT_ONLINE, "not_online", "that user has no connection now")                                 \
    X(HISTORY_DISABLED, "history_disabled", "this room keeps no history")                          \
    X(UNAVAILABLE, "unavailable", "the message bus cannot be reached; nothing was done")           \
    X(UNKNOWN_OUTCOME, "unknown_outcome",                                                          \
      "the link broke before the answer; send again with the same key")                            \
    X(INTERNAL, "internal", "a fault of the gateway")

enum protocol_error {
#define X(id, code, text) ERROR_##id,
    PROTOCOL_ERRORS(X)
#undef X
        ERROR_COUNT
};

const char *protocol_error_code(enum protocol_error e); /* "bad_json" */
const char *protocol_error_text(enum protocol_error e); /* the default sentence */

/* Every way a connection ends: close code, reason word (close frame, log, metric label). */
#define CLOSE_REASONS(X)                                               \
    X(NORMAL, 1000, "normal")                                          \
    X(GONE, 1006, "gone") /* the socket ended without a close frame */ \
    X(PROTOCOL_1002, 1002, "bad_frame")                                \
    X(BINARY, 1003, "binary")                                          \
    X(UTF8, 1007, "utf8")                                              \
    X(TOO_BIG, 1009, "too_big")                                        \
    X(SHUTDOWN, 1001, "shutdown")                                      \
    X(FULL, 1013, "full")                                              \
    X(MOVED, 4000, "moved")                                            \
    X(HEARTBEAT, 4001, "heartbeat")                                    \
    X(SLOW, 4002, "slow")                                              \
    X(TOKEN_EXPIRED, 4401, "token_expired")                            \
    X(JOIN_TIMEOUT, 4408, "join_timeout")                              \
    X(FLOOD, 4429, "flood")                                            \
    X(PROTOCOL, 4500, "protocol")                                      \
    X(UNAUTHORIZED, 4501, "unauthorized")                              \
    X(KICKED, 4503, "kicked")                                          \
    X(TOO_MANY, 4504, "too_many")

enum close_reason {
#define X(id, code, word) CLOSE_##id,
    CLOSE_REASONS(X)
#undef X
        CLOSE_COUNT
};

unsigned close_reason_code(enum close_reason r);
const char *close_reason_word(enum close_reason r);

/* False when name is none a client may say. */
bool request_from_name(struct str name, enum request_type *out) MUST_CHECK;
const char *request_name(enum request_type t);

#endif
