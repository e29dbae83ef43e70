/* SPDX-License-Identifier: MIT */
#include "common/json_scan.h"

#include "common/alloc.h"
#include "common/json_text.h"
#include "common/span.h"
#include "common/utf8.h"

#include <stdlib.h>

/* Keys of the open objects that need no allocation: an envelope and its data have about ten. */
#define FIRST_KEYS 32

/* An object of up to this many keys has them compared in pairs; a bigger one sorts them, so that a
 * message of thousands of keys costs n log n, however they were chosen. */
#define PAIRED_KEYS 16

/* Every step below starts at p and leaves it behind what it read, or where it saw an error. */
struct scan {
    const char *p, *end;
    const struct json_limits *limits;
    enum json_err err; /* why a step answered false */
    unsigned nodes;
    unsigned depth;
    uint64_t objects;                   /* bit d-1: the container open at depth d is an object */
    size_t keys_before[JSON_DEPTH_MAX]; /* [d-1]: key_count when that container was opened */
    struct json_key *keys;              /* of all open objects: a stack; first_keys, or owned */
    size_t key_count, key_cap;
    struct json_key first_keys[FIRST_KEYS];
    size_t long_number; /* bytes of the longest one */
};

static bool fail(struct scan *s, enum json_err err)
{
    s->err = err;
    return false;
}

static size_t left(const struct scan *s)
{
    return (size_t)(s->end - s->p);
}

static struct str rest(const struct scan *s)
{
    return (struct str){s->p, left(s)};
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && json_is_space(*s->p)) {
        s->p++;
    }
}

static bool is_digit(const struct scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* p stands at the u of an escape. A high surrogate must be followed by the escape of a low one. */
static bool scan_unicode_escape(struct scan *s)
{
    int32_t unit = json_hex4(s->p + 1, s->end);
    if (unit == 0) {
        return fail(s, JSON_NUL);
    }
    if (unit < 0 || json_is_low_surrogate(unit)) {
        return fail(s, JSON_ESCAPE);
    }
    s->p += 5;
    if (json_is_high_surrogate(unit)) {
        if (left(s) < 6 || s->p[0] != '\\' || s->p[1] != 'u' ||
            !json_is_low_surrogate(json_hex4(s->p + 2, s->end))) {
            return fail(s, JSON_ESCAPE);
        }
        s->p += 6;
    }
    return true;
}

/* p stands at a backslash. */
static bool scan_escape(struct scan *s)
{
    if (left(s) < 2) {
        return fail(s, JSON_SYNTAX);
    }
    s->p++;
    if (*s->p == 'u') {
        return scan_unicode_escape(s);
    }
    if (*s->p == '\0' || strchr("\"\\/bfnrt", *s->p) == NULL) {
        return fail(s, JSON_ESCAPE);
    }
    s->p++;
    return true;
}

static bool is_ascii(char c)
{
    return ((unsigned char)c & 0x80) == 0;
}

/* Passes over characters that mean themselves. */
static void skip_plain(struct scan *s)
{
    s->p += span_json_plain((struct str){s->p, left(s)}, true);
}

static bool skip_utf8(struct scan *s)
{
    while (s->p < s->end && !is_ascii(*s->p)) {
        uint32_t code_point;
        size_t bytes = utf8_decode(rest(s), &code_point);
        if (bytes == 0) {
            return fail(s, JSON_UTF8);
        }
        s->p += bytes;
    }
    return true;
}

/* p stands at the opening quote, and then behind the closing one. */
static bool scan_string(struct scan *s, bool *escaped)
{
    *escaped = false;
    s->p++;
    for (;;) {
        skip_plain(s);
        if (s->p == s->end) {
            return fail(s, JSON_SYNTAX);
        }
        char c = *s->p;
        if (c == '"') {
            s->p++;
            return true;
        }
        if (c == '\\') {
            *escaped = true;
            if (!scan_escape(s)) {
                return false;
            }
        } else if (is_ascii(c)) {
            return fail(s, c == '\0' ? JSON_NUL : JSON_CONTROL);
        } else if (!skip_utf8(s)) {
            return false;
        }
    }
}

static bool scan_digits(struct scan *s)
{
    if (!is_digit(s)) {
        return fail(s, JSON_NUMBER);
    }
    while (is_digit(s)) {
        s->p++;
    }
    return true;
}

/* RFC 8259 section 6. How big a number is does not matter here: 1e999 is well formed. */
static bool scan_number(struct scan *s)
{
    const char *start = s->p;
    s->p += *s->p == '-';
    bool zero = s->p < s->end && *s->p == '0';
    if (zero) {
        s->p++;
        if (is_digit(s)) {
            return fail(s, JSON_NUMBER);
        }
    } else if (!scan_digits(s)) {
        return false;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s)) {
            return false;
        }
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        s->p += s->p < s->end && (*s->p == '+' || *s->p == '-');
        if (!scan_digits(s)) {
            return false;
        }
    }
    size_t len = (size_t)(s->p - start);
    s->long_number = len > s->long_number ? len : s->long_number;
    return true;
}

static bool scan_word(struct scan *s)
{
    static const struct str words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_starts(rest(s), words[i])) {
            s->p += words[i].len;
            return true;
        }
    }
    return fail(s, JSON_SYNTAX);
}

static int compare_for_qsort(const void *a, const void *b)
{
    return json_key_compare(a, b);
}

static bool repeated(struct scan *s, const struct json_key *a, const struct json_key *b)
{
    if (json_key_compare(a, b) != 0) {
        return false;
    }
    s->p = a->ptr > b->ptr ? a->ptr : b->ptr;
    return true;
}

/* Looks at the keys of the object that ends here. */
static bool check_keys(struct scan *s, size_t first)
{
    struct json_key *keys = s->keys + first;
    size_t count = s->key_count - first;
    if (count > PAIRED_KEYS) {
        qsort(keys, count, sizeof(*keys), compare_for_qsort);
    }
    for (size_t i = 1; i < count; i++) {
        for (size_t j = count > PAIRED_KEYS ? i - 1 : 0; j < i; j++) {
            if (repeated(s, &keys[i], &keys[j])) {
                return fail(s, JSON_DUPLICATE);
            }
        }
    }
    return true;
}

/* A value follows each key and is counted, so the node limit bounds what is kept here too. */
static void keep_key(struct scan *s, struct json_key key)
{
    if (s->key_count == s->key_cap) {
        bool first = s->keys == s->first_keys;
        struct json_key *more = xrealloc(first ? NULL : s->keys, 2 * s->key_cap * sizeof(*s->keys));
        if (first) {
            memcpy(more, s->first_keys, sizeof(s->first_keys));
        }
        s->keys = more;
        s->key_cap *= 2;
    }
    s->keys[s->key_count++] = key;
}

/* A key and its colon. */
static bool scan_key(struct scan *s)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '"') {
        return fail(s, JSON_SYNTAX);
    }
    struct json_key key = {s->p + 1, 0, false};
    if (!scan_string(s, &key.escaped)) {
        return false;
    }
    key.len = (size_t)(s->p - 1 - key.ptr);
    skip_space(s);
    if (s->p == s->end || *s->p != ':') {
        return fail(s, JSON_SYNTAX);
    }
    s->p++;
    keep_key(s, key);
    return true;
}

static bool in_object(const struct scan *s)
{
    return (s->objects >> (s->depth - 1) & 1) != 0;
}

static bool open_container(struct scan *s)
{
    unsigned depth_max = s->limits->depth < JSON_DEPTH_MAX ? s->limits->depth : JSON_DEPTH_MAX;
    if (s->depth == depth_max) {
        return fail(s, JSON_DEPTH);
    }
    uint64_t bit = (uint64_t)1 << s->depth;
    s->objects = *s->p == '{' ? s->objects | bit : s->objects & ~bit;
    s->keys_before[s->depth++] = s->key_count;
    s->p++;
    return true;
}

/* p stands at the bracket that ends the innermost container. */
static bool close_container(struct scan *s)
{
    const char *bracket = s->p;
    size_t first = s->keys_before[s->depth - 1];
    if (!check_keys(s, first)) {
        return false;
    }
    s->p = bracket + 1;
    s->key_count = first;
    s->depth--;
    return true;
}

static bool at_close(const struct scan *s)
{
    return s->p < s->end && *s->p == (in_object(s) ? '}' : ']');
}

/* Behind a value: closes what ends here and passes a comma. *more: another value is due. */
static bool scan_after_value(struct scan *s, bool *more)
{
    for (;;) {
        *more = s->depth > 0;
        if (!*more) {
            return true;
        }
        skip_space(s);
        if (at_close(s)) {
            if (!close_container(s)) {
                return false;
            }
            continue;
        }
        if (s->p == s->end || *s->p != ',') {
            return fail(s, JSON_SYNTAX);
        }
        s->p++;
        return !in_object(s) || scan_key(s);
    }
}

static bool scan_scalar(struct scan *s)
{
    bool escaped;
    if (*s->p == '"') {
        return scan_string(s, &escaped);
    }
    return *s->p == '-' || is_digit(s) ? scan_number(s) : scan_word(s);
}

/* One value, or the opening of one. *open: its first value is due, nothing is behind it yet. */
static bool scan_value(struct scan *s, bool *open)
{
    *open = false;
    skip_space(s);
    if (s->p == s->end) {
        return fail(s, JSON_SYNTAX);
    }
    if (s->nodes == s->limits->nodes) {
        return fail(s, JSON_NODES);
    }
    s->nodes++;
    if (*s->p != '{' && *s->p != '[') {
        return scan_scalar(s);
    }
    if (!open_container(s)) {
        return false;
    }
    skip_space(s);
    if (at_close(s)) {
        return close_container(s);
    }
    *open = true;
    return !in_object(s) || scan_key(s);
}

static bool scan_document(struct scan *s)
{
    bool more = true;
    while (more) {
        bool open;
        if (!scan_value(s, &open) || (!open && !scan_after_value(s, &more))) {
            return false;
        }
    }
    skip_space(s);
    return s->p == s->end || fail(s, JSON_TRAILING);
}

enum json_err json_scan(struct str text, const struct json_limits *limits,
                        struct json_scan_result *result)
{
    struct scan s;
    s.p = text.len > 0 ? text.ptr : "";
    s.end = s.p + text.len;
    s.limits = limits;
    s.err = JSON_OK;
    s.nodes = s.depth = 0;
    s.objects = 0;
    s.keys = s.first_keys;
    s.key_count = 0;
    s.key_cap = ARRAY_LEN(s.first_keys);
    s.long_number = 0;
    bool valid = scan_document(&s);
    if (s.keys != s.first_keys) {
        free(s.keys);
    }
    result->at = text.len - left(&s);
    result->long_number = s.long_number;
    return valid ? JSON_OK : s.err;
}
