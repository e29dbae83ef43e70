/* SPDX-License-Identifier: MIT */
#include "gateway/bus/args.h"

#include "common/alloc.h"

#include <stdlib.h>

void args_fini(struct args *a)
{
    buf_fini(&a->text);
    free(a->ends);
    buf_fini(&a->wire);
    *a = (struct args){0};
}

void args_clear(struct args *a)
{
    buf_clear(&a->text);
    a->count = 0;
}

void args_add(struct args *a, struct str word)
{
    buf_add(&a->text, word);
    args_end(a);
}

void args_num(struct args *a, uint64_t word)
{
    buf_add_u64(&a->text, word);
    args_end(a);
}

void args_end(struct args *a)
{
    if (a->count == a->cap) {
        a->cap = a->cap == 0 ? 32 : a->cap * 2;
        a->ends = xrealloc(a->ends, a->cap * sizeof(a->ends[0]));
    }
    a->ends[a->count++] = a->text.len;
}

struct str args_word(const struct args *a, size_t i)
{
    size_t start = i > 0 ? a->ends[i - 1] : 0;
    return (struct str){a->text.len > 0 ? a->text.ptr + start : "", a->ends[i] - start};
}

static void add_header(struct buf *out, char kind, size_t number)
{
    buf_add_char(out, kind);
    buf_add_u64(out, number);
    BUF_LIT(out, "\r\n");
}

struct str args_wire(struct args *a)
{
    buf_clear(&a->wire);
    add_header(&a->wire, '*', a->count);
    for (size_t i = 0; i < a->count; i++) {
        struct str word = args_word(a, i);
        add_header(&a->wire, '$', word.len);
        buf_add(&a->wire, word);
        BUF_LIT(&a->wire, "\r\n");
    }
    return buf_str(&a->wire);
}
