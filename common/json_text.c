/* SPDX-License-Identifier: MIT */
#include "common/json_text.h"

#include "common/utf8.h"

#include <assert.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The code point of the escape at p, and how many bytes it takes: 2, 6, or 12 for a pair. */
static uint32_t escape_value(const char *p, const char *end, size_t *bytes)
{
    static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
    if (p[1] != 'u') {
        *bytes = 2;
        const char *letter = strchr(letters, p[1]);
        return (uint32_t)(letter == NULL ? p[1] : values[letter - letters]);
    }
    int32_t unit = json_hex4(p + 2, end);
    if (!json_is_high_surrogate(unit)) {
        *bytes = 6;
        return (uint32_t)unit;
    }
    *bytes = 12;
    return (uint32_t)(0x10000 + (unit - 0xD800) * 0x400 + (json_hex4(p + 8, end) - 0xDC00));
}

static uint32_t next_code_point(struct json_key *k)
{
    uint32_t value = 0;
    size_t bytes;
    if (k->escaped && k->ptr[0] == '\\') {
        value = escape_value(k->ptr, k->ptr + k->len, &bytes);
    } else {
        bytes = utf8_decode((struct str){k->ptr, k->len}, &value);
        assert(bytes > 0); /* the strict pass saw it, or it is a name of our own */
    }
    k->ptr += bytes;
    k->len -= bytes;
    return value;
}

/* The order of UTF-8's bytes is that of the code points, so both ways of comparing agree. */
int json_key_compare(const struct json_key *a, const struct json_key *b)
{
    if (!a->escaped && !b->escaped) {
        int order = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
        return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
    }
    struct json_key x = *a, y = *b;
    while (x.len > 0 && y.len > 0) {
        uint32_t from_x = next_code_point(&x), from_y = next_code_point(&y);
        if (from_x != from_y) {
            return from_x > from_y ? 1 : -1;
        }
    }
    return (x.len > 0) - (y.len > 0);
}

const char *json_space_end(const char *p, const char *end)
{
    while (p < end && json_is_space(*p)) {
        p++;
    }
    return p;
}

const char *json_scalar_end(const char *p, const char *end)
{
    while (p < end && !json_is_space(*p) && *p != ',' && *p != ']' && *p != '}') {
        p++;
    }
    return p;
}

const char *json_string_end(const char *p, const char *end, bool *escaped)
{
    *escaped = false;
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\') {
            *escaped = true;
            p++;
        }
    }
    return p < end ? p + 1 : end;
}

/* Brackets need no matching here: the strict pass did that, so counting finds the right one. */
const char *json_value_end(const char *p, const char *end)
{
    size_t depth = 0;
    bool escaped;
    do {
        if (*p == '"') {
            p = json_string_end(p, end, &escaped);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else if (depth > 0) {
            p++;
        } else {
            p = json_scalar_end(p, end);
        }
    } while (depth > 0 && p < end);
    return p;
}

const char *json_member_start(const char *p, const char *end, const char *key)
{
    const struct json_key wanted = {key, strlen(key), false};
    if (p == end || *p != '{') {
        return NULL;
    }
    for (p = json_space_end(p + 1, end); p < end && *p == '"'; p = json_space_end(p, end)) {
        struct json_key found = {p + 1, 0, false};
        p = json_string_end(p, end, &found.escaped);
        found.len = (size_t)(p - 1 - found.ptr);
        p = json_space_end(json_space_end(p, end) + 1, end); /* the colon */
        if (json_key_compare(&found, &wanted) == 0) {
            return p;
        }
        p = json_space_end(json_value_end(p, end), end);
        if (p < end && *p == ',') {
            p++;
        }
    }
    return NULL;
}

int32_t json_hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}
