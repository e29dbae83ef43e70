/* SPDX-License-Identifier: MIT */
/* alloc: allocation that cannot fail. Out of memory ends the process (one line on stderr, abort),
 * so no caller has, or tests, an out-of-memory branch. Sizes that come from outside are checked
 * against a configured limit first. */
#ifndef COMMON_ALLOC_H
#define COMMON_ALLOC_H

#include "common/base.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));

/* A NUL-terminated copy; the caller owns it (free). */
char *str_dup(struct str s) __attribute__((malloc, returns_nonnull));

#endif
