/* SPDX-License-Identifier: MIT */
#include "common/alloc.h"

#include <stdlib.h>
#include <unistd.h>

/* Plain write(2): the log needs no memory either, but its line would need a module above us. */
static NORETURN void out_of_memory(void)
{
    static const char text[] = "parley: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    abort();
}

/* malloc(0) may answer NULL without being out of memory, so nothing asks for 0 bytes. */
static size_t at_least_one(size_t size)
{
    return size == 0 ? 1 : size;
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(at_least_one(size));
    if (ptr == NULL) {
        out_of_memory();
    }
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    void *ptr = calloc(at_least_one(count), at_least_one(size));
    if (ptr == NULL) {
        out_of_memory();
    }
    return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
    void *moved = realloc(ptr, at_least_one(size));
    if (moved == NULL) {
        out_of_memory();
    }
    return moved;
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}
