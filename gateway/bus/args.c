/* SPDX-License-Identifier: MIT */
#include "gateway/bus/args.h"

#include "common/alloc.h"

#include <stdlib.h>

void args_fini(struct args *a)
{
    buf_fini(&a->text);
    free(a->ends);
    free(a->words);
    free(a->lens);
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
        a->words = xrealloc(a->words, a->cap * sizeof(a->words[0]));
        a->lens = xrealloc(a->lens, a->cap * sizeof(a->lens[0]));
    }
    a->ends[a->count++] = a->text.len;
}

void args_words(struct args *a)
{
    size_t start = 0;
    for (size_t i = 0; i < a->count; i++) {
        a->words[i] = a->text.len > 0 ? a->text.ptr + start : "";
        a->lens[i] = a->ends[i] - start;
        start = a->ends[i];
    }
}
