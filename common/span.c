/* SPDX-License-Identifier: MIT */
#include "common/span.h"

static uint64_t word_at(struct str text, size_t at)
{
    uint64_t word;
    memcpy(&word, text.ptr + at, sizeof(word));
    return word;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20;
}

static bool is_plain(char c, bool ascii)
{
    return !is_control(c) && c != '"' && c != '\\' && (!ascii || (unsigned char)c < 0x80);
}

size_t span_no_control(struct str text)
{
    size_t at = 0;
    while (text.len - at >= sizeof(uint64_t) && span_below(word_at(text, at), 0x20) == 0) {
        at += sizeof(uint64_t);
    }
    while (at < text.len && !is_control(text.ptr[at])) {
        at++;
    }
    return at;
}

size_t span_json_plain(struct str text, bool ascii)
{
    size_t at = 0;
    uint64_t high = ascii ? SPAN_HIGH : 0;
    while (text.len - at >= sizeof(uint64_t)) {
        uint64_t word = word_at(text, at);
        if ((span_below(word, 0x20) | span_equal(word, '"') | span_equal(word, '\\') |
             (word & high)) != 0) {
            break;
        }
        at += sizeof(uint64_t);
    }
    while (at < text.len && is_plain(text.ptr[at], ascii)) {
        at++;
    }
    return at;
}
