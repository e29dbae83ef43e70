/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The first allocation: most log lines and envelopes fit, so they grow at most once or twice. */
#define FIRST_CAP ((size_t)128)

void buf_fini(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){NULL, 0, 0};
}

void buf_grow(struct buf *b, size_t more)
{
    /* Sizes are checked against configured limits long before; half the address space is our bug.
     */
    assert(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
    size_t cap = b->cap == 0 ? FIRST_CAP : b->cap;
    while (cap - b->len < more) {
        cap *= 2;
    }
    b->ptr = xrealloc(b->ptr, cap);
    b->cap = cap;
}

void buf_add_u64(struct buf *b, uint64_t n)
{
    char digits[20]; /* 2^64 - 1 has 20 */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_add(b, (struct str){digits + at, sizeof(digits) - at});
}

void buf_add_hex(struct buf *b, uint64_t n)
{
    char digits[16]; /* 2^64 - 1 has 16 */
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[n % 16];
        n /= 16;
    } while (n > 0);
    buf_add(b, (struct str){digits + at, sizeof(digits) - at});
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(len >= 0); /* only a bad format fails */
    buf_reserve(b, (size_t)len + 1);
    vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, again);
    va_end(again);
    b->len += (size_t)len; /* the NUL stays behind the end */
}
