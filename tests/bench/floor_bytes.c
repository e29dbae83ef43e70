/* SPDX-License-Identifier: MIT */
#include "floor_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

uint8_t *bytes_reserve(struct bytes *b, size_t len)
{
    if (b->len + len > b->room) {
        b->room = (b->len + len) * 2;
        b->at = realloc(b->at, b->room);
        if (b->at == NULL) {
            die("realloc");
        }
    }
    return b->at + b->len;
}

void bytes_add(struct bytes *b, const void *from, size_t len)
{
    memcpy(bytes_reserve(b, len), from, len);
    b->len += len;
}

void bytes_drop(struct bytes *b, size_t len)
{
    b->len -= len;
    if (b->len > 0) {
        memmove(b->at, b->at + len, b->len);
    }
}

void bytes_fini(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){NULL, 0, 0};
}
