/* SPDX-License-Identifier: MIT */
#include "common/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* a kernel without getrandom: ids and seeds would be guessable */
        }
        at += got;
        len -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t n;
    random_bytes(&n, sizeof(n));
    return n;
}

uint64_t random_below(uint64_t n)
{
    assert(n > 0);
    /* 2^64 mod n values at the bottom are drawn again, so that each remainder is equally likely. */
    uint64_t unfair = (UINT64_MAX - n + 1) % n;
    uint64_t drawn;
    do {
        drawn = random_u64();
    } while (drawn < unfair);
    return drawn % n;
}

void random_hex(char *out, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[32];
    for (size_t i = 0; i < digits; i++) {
        size_t nibble = i % (2 * sizeof(bytes));
        if (nibble == 0) {
            random_bytes(bytes, sizeof(bytes));
        }
        out[i] = hex[(nibble % 2 == 0 ? bytes[nibble / 2] >> 4 : bytes[nibble / 2]) & 15];
    }
}
