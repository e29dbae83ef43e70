/* SPDX-License-Identifier: MIT */
/* buf: a byte buffer that grows. The one tool for putting text together: JSON out, log lines, Redis
 * payloads. Embedded by value; buf_fini frees. A zeroed struct is an empty buffer. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/base.h"

struct buf {
    char *ptr; /* owned; not NUL-terminated */
    size_t len, cap;
};

void buf_fini(struct buf *b); /* frees, and leaves an empty buffer */
/* For buf_reserve: there is no room for that many more bytes. */
void buf_grow(struct buf *b, size_t more);

/* Room for that many more bytes. Inline as are the two below: a message out is put together from a
 * hundred short pieces. */
static inline void buf_reserve(struct buf *b, size_t more)
{
    if (more > b->cap - b->len) {
        buf_grow(b, more);
    }
}

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len}; /* borrowed until the next change */
}

static inline void buf_add(struct buf *b, struct str text)
{
    if (text.len > 0) {
        buf_reserve(b, text.len);
        memcpy(b->ptr + b->len, text.ptr, text.len);
        b->len += text.len;
    }
}

static inline void buf_add_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->ptr[b->len++] = c;
}

void buf_add_u64(struct buf *b, uint64_t n);                          /* decimal */
void buf_add_hex(struct buf *b, uint64_t n);                          /* in lower case */
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3); /* off the hot path */

#define BUF_LIT(b, literal) buf_add((b), STR(literal))

#endif
