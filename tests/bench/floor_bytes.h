/* SPDX-License-Identifier: MIT */
/* floor_bytes: a buffer that grows, for what the floors have read or are to send. */
#ifndef TESTS_BENCH_FLOOR_BYTES_H
#define TESTS_BENCH_FLOOR_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct bytes {
    uint8_t *at; /* owned */
    size_t len, room;
};

void bytes_add(struct bytes *b, const void *from, size_t len);
/* Room for so many more behind what is there; returns where they begin. */
uint8_t *bytes_reserve(struct bytes *b, size_t len);
/* Takes the first ones out. */
void bytes_drop(struct bytes *b, size_t len);
void bytes_fini(struct bytes *b);

/* A floor has no way to go on without a socket, or memory: says what failed, and ends it. */
_Noreturn void die(const char *what);

#endif
