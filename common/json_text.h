/* SPDX-License-Identifier: MIT */
/* json_text: finding the way in JSON text that the strict pass has seen; a part of json, for json.c
 * and json_scan.c only. Every call borrows the text; p is where it starts, end is the text's end.
 */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include "common/base.h"

/* A string's bytes as they stand between its quotes; escaped: there is a backslash among them. */
struct json_key {
    const char *ptr; /* borrowed from the text */
    size_t len;
    bool escaped;
};

/* Orders two keys by what they mean (so "ty\u0070e" equals "type"). */
int json_key_compare(const struct json_key *a, const struct json_key *b);

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

const char *json_space_end(const char *p,
                           const char *end); /* the next byte that is no white space */
const char *json_scalar_end(const char *p, const char *end); /* behind a number or a word */
const char *json_value_end(const char *p, const char *end);
/* From an opening quote to the byte behind the closing one. */
const char *json_string_end(const char *p, const char *end, bool *escaped);
/* The value of key in the object at p; NULL when there is no object or it has no such key. */
const char *json_member_start(const char *p, const char *end, const char *key);

/* The four hexadecimal digits at p, or -1; here the text need not have been seen before. */
int32_t json_hex4(const char *p, const char *end);

static inline bool json_is_high_surrogate(int32_t unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static inline bool json_is_low_surrogate(int32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

#endif
