/* SPDX-License-Identifier: MIT */
/* topic: one room as the memory bus keeps it: its log, this gateway's register, its members. The
 * counterpart of the room's keys in Redis. Pure: time is passed in. */
#ifndef GATEWAY_BUS_TOPIC_H
#define GATEWAY_BUS_TOPIC_H

#include "common/buf.h"
#include "gateway/bus/impl.h"
#include "gateway/bus/page.h"

struct topic_limits {
    unsigned history_size;   /* messages kept; 0: none */
    uint64_t history_ttl_ms; /* 0: for ever */
};

struct topic {
    struct bus_position position;
    struct topic_entry **log; /* owned; a ring of log_cap entries, the oldest at log_at */
    size_t log_cap, log_at, log_len;
    uint64_t version, count;      /* the register; version 0: there is none */
    struct topic_member *members; /* owned; sorted by connection */
    size_t member_count, member_cap;
};

void topic_init(struct topic *t);
void topic_fini(struct topic *t);

/* Appends one message to the log, and its whole text, as clients get it, to out. */
void topic_append(struct topic *t, const struct topic_limits *limits, struct str data,
                  uint64_t now_ms, struct buf *out);
void topic_expire(struct topic *t, const struct topic_limits *limits, uint64_t now_ms);

/* Fills lines with the messages of the range that are kept, oldest first; returns how many, *first
 * is the offset of lines[0]. Borrowed until the next append or expiry. */
size_t topic_read(const struct topic *t, const struct bus_range *range,
                  struct str lines[BUS_READ_MAX], uint64_t *first);

/* A change that is not newer than the register changes nothing. */
void topic_presence(struct topic *t, const struct bus_presence *change);

/* Adds up to limit connections behind *after (which moves on) to page; false: no more follow. */
bool topic_page(const struct topic *t, uint64_t *after, unsigned limit, struct page *page);

#endif
