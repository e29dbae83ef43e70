/* SPDX-License-Identifier: MIT */
/* tag: what begins the text of every message that the load generator sends, `~~`, then publisher
 * and number in eight letters each, `@` and `A` to `O` for nibbles of 0 to 15. These letters need
 * no escape in JSON, survive any server, and are read eight at a time. */
#ifndef CLIENT_CLI_TAG_H
#define CLIENT_CLI_TAG_H

#include "common/base.h"

#include <endian.h>

#define TAG_MARK "~~"
#define TAG_MARK_LEN 2
#define TAG_DIGITS 8
#define TAG_LEN (TAG_MARK_LEN + 2 * TAG_DIGITS)

struct tag {
    uint32_t publisher;
    uint32_t number; /* of the publisher's messages, from 0 */
};

static inline void tag_write_number(char *out, uint32_t n)
{
    for (int i = TAG_DIGITS; i-- > 0; n >>= 4) {
        out[i] = (char)('@' + (n & 15));
    }
}

static inline void tag_write(char out[TAG_LEN], struct tag tag)
{
    memcpy(out, TAG_MARK, TAG_MARK_LEN);
    tag_write_number(out + TAG_MARK_LEN, tag.publisher);
    tag_write_number(out + TAG_MARK_LEN + TAG_DIGITS, tag.number);
}

/* Eight letters at once: the first letter is in the highest byte, so neighbours fold together. */
static inline bool tag_read_number(const char *in, uint32_t *n)
{
    uint64_t letters;
    memcpy(&letters, in, sizeof(letters));
    letters = be64toh(letters);
    if ((letters & 0xf0f0f0f0f0f0f0f0u) != 0x4040404040404040u) {
        return false;
    }
    letters &= 0x0f0f0f0f0f0f0f0fu;
    letters = (letters | letters >> 4) & 0x00ff00ff00ff00ffu;
    letters = (letters | letters >> 8) & 0x0000ffff0000ffffu;
    *n = (uint32_t)(letters | letters >> 16);
    return true;
}

static inline bool tag_read(const char in[TAG_LEN], struct tag *tag)
{
    return memcmp(in, TAG_MARK, TAG_MARK_LEN) == 0 &&
           tag_read_number(in + TAG_MARK_LEN, &tag->publisher) &&
           tag_read_number(in + TAG_MARK_LEN + TAG_DIGITS, &tag->number);
}

/* Finds the tag in a frame. The messages of one server are alike, so it mostly stands where the
 * last one stood: *at, which moves with it. */
static inline bool tag_find(struct str text, size_t *at, struct tag *tag)
{
    if (*at + TAG_LEN <= text.len && tag_read(text.ptr + *at, tag)) {
        return true;
    }
    const char *from = text.ptr, *end = text.ptr + text.len;
    const char *mark;
    while ((size_t)(end - from) >= TAG_LEN &&
           (mark = memmem(from, (size_t)(end - from), TAG_MARK, TAG_MARK_LEN)) != NULL) {
        if ((size_t)(end - mark) >= TAG_LEN && tag_read(mark, tag)) {
            *at = (size_t)(mark - text.ptr);
            return true;
        }
        from = mark + 1;
    }
    return false;
}

#endif
