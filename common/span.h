/* SPDX-License-Identifier: MIT */
/* span: how far a text goes without a byte of a kind, eight bytes at a time. Each step treats a
 * word as eight lanes (Warren, "Hacker's Delight", section 6-1): (x - n) & ~x has a lane's high bit
 * set where the lane is below n and was below 0x80; a borrow can only come from such a lane, so the
 * first one found is right, and that is all that is asked. */
#ifndef COMMON_SPAN_H
#define COMMON_SPAN_H

#include "common/base.h"

#define SPAN_EACH UINT64_C(0x0101010101010101) /* times a byte: that byte in each lane */
#define SPAN_HIGH (SPAN_EACH * 0x80)

static inline uint64_t span_below(uint64_t word, unsigned char limit)
{
    return (word - SPAN_EACH * limit) & ~word & SPAN_HIGH;
}

static inline uint64_t span_equal(uint64_t word, unsigned char byte)
{
    return span_below(word ^ SPAN_EACH * byte, 1);
}

/* The bytes before the first control character (below 0x20); all of them when there is none. */
size_t span_no_control(struct str text);

/* The bytes that stand in a JSON string as they are: before the first control character, quote or
 * backslash; with ascii, also before the first byte above 0x7F. */
size_t span_json_plain(struct str text, bool ascii);

#endif
