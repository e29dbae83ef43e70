/* SPDX-License-Identifier: MIT */
/* log: one line a fact, on stderr, as logfmt (or JSON lines):
 *   ts=2026-11-22T19:02:11.123Z level=info event=conn_open gateway=gw-2 conn=9f3a msg="…"
 * The events are a closed list. Values are quoted where they need it, control bytes escaped. Never
 * message text, tokens or passwords. More than `rate` lines a second of one event are folded into
 * `event=log_suppressed n=…`. A sink that fails (closed, full disk) never stops the process. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

#define LOG_EVENTS(X)                 \
    X(START, "start")                 \
    X(READY, "ready")                 \
    X(DRAIN, "drain")                 \
    X(STOP, "stop")                   \
    X(CONN_OPEN, "conn_open")         \
    X(CONN_CLOSE, "conn_close")       \
    X(CONN_REJECT, "conn_reject")     \
    X(JOIN, "join")                   \
    X(LEAVE, "leave")                 \
    X(RATE_LIMITED, "rate_limited")   \
    X(SLOW_CONSUMER, "slow_consumer") \
    X(REDIS_UP, "redis_up")           \
    X(REDIS_DOWN, "redis_down")       \
    X(REDIS_ERROR, "redis_error")     \
    X(REDIS_CALM, "redis_calm")       \
    X(BAD_PAYLOAD, "bad_payload")     \
    X(EPOCH, "epoch")                 \
    X(GATEWAY_JOIN, "gateway_join")   \
    X(GATEWAY_LOST, "gateway_lost")   \
    X(GATEWAY_ID, "gateway_id")       \
    X(GHOST, "ghost")                 \
    X(RESTORED, "register_restored")  \
    X(ACCEPT, "accept")               \
    X(MEMORY, "memory")               \
    X(WORKER, "worker")               \
    X(IO_URING, "io_uring")           \
    X(CONFIG, "config")               \
    X(RELOAD, "reload")               \
    X(RELOAD_FAILED, "reload_failed") \
    X(INSECURE, "insecure")           \
    X(SUPPRESSED, "log_suppressed")

enum log_event {
#define X(id, name) LOG_EV_##id,
    LOG_EVENTS(X)
#undef X
        LOG_EV_COUNT
};

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_NUM, LOG_FIELD_HEX } kind;
    struct str text;
    uint64_t num;
};

#define F_STR(key, value) ((struct log_field){(key), LOG_FIELD_TEXT, (value), 0})
#define F_TEXT(key, c_string) F_STR(key, str_from(c_string))
#define F_NUM(key, value) ((struct log_field){(key), LOG_FIELD_NUM, {NULL, 0}, (uint64_t)(value)})
#define F_HEX(key, value) ((struct log_field){(key), LOG_FIELD_HEX, {NULL, 0}, (uint64_t)(value)})

/* LOG(INFO, CONN_OPEN, F_HEX("conn", id), F_STR("ip", ip)); at least one field. */
#define LOG(level, event, ...)                                                                 \
    do {                                                                                       \
        if (log_wants(LOG_LEVEL_##level)) {                                                    \
            const struct log_field log_fields_[] = {__VA_ARGS__};                              \
            log_write(LOG_LEVEL_##level, LOG_EV_##event, log_fields_, ARRAY_LEN(log_fields_)); \
        }                                                                                      \
    } while (0)

/* gateway stands in every line; the text is copied. rate_per_s 0: no folding. fd is borrowed. */
void log_setup(struct str gateway, enum log_level level, enum log_format format,
               unsigned rate_per_s, int fd);
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);
void log_write(enum log_level level, enum log_event event, const struct log_field *fields,
               size_t count);

#endif
