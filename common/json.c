/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/json_scan.h"
#include "common/json_text.h"
#include "common/span.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <stddef.h>
#include <stdlib.h>

/* A cJSON without the fix of CVE-2023-26819 reads this many bytes of a number, and then trips over
 * the rest. Distributions differ in having it, so no cJSON gets to see a longer one. */
#define CJSON_NUMBER_BYTES 63

/* 2^53 - 1: past it neighbours share one double, and JavaScript's numbers end. */
#define WHOLE_MAX 9007199254740991.0

/* cJSON allocates a dozen small pieces a message, and a document lives for one request. So they are
 * taken off one block, which begins anew when no document is left; what does not fit there comes
 * from the heap. */
#define ARENA_BYTES 16384
#define ARENA_ALIGN _Alignof(max_align_t)

static struct {
    _Alignas(max_align_t) char block[ARENA_BYTES];
    size_t used;
    size_t documents; /* alive */
} arena;

static void *arena_alloc(size_t size)
{
    size_t rounded = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (rounded > ARENA_BYTES - arena.used) {
        return xmalloc(size);
    }
    void *piece = arena.block + arena.used;
    arena.used += rounded;
    return piece;
}

static void arena_free(void *piece)
{
    char *at = piece;
    if (at < arena.block || at >= arena.block + ARENA_BYTES) {
        free(piece);
    }
}

/* struct json is never defined: outside this file it is a pointer that cannot be looked into. */
static const cJSON *node(const struct json *v)
{
    return (const cJSON *)(const void *)v;
}

static const struct json *from_node(const cJSON *n)
{
    return (const struct json *)(const void *)n;
}

static void add_number_for_cjson(struct buf *b, struct str number)
{
    if (number.len <= CJSON_NUMBER_BYTES) {
        buf_add(b, number);
        return;
    }
    char *copy = str_dup(number);
    double value = strtod(copy, NULL);
    free(copy);
    if (value > DBL_MAX || value < -DBL_MAX) {
        buf_add(b, value > 0 ? STR("1e999") : STR("-1e999"));
    } else {
        buf_addf(b, "%.17g", value);
    }
}

/* The same text with each number in a length that cJSON can read. */
static void add_text_for_cjson(struct buf *b, struct str checked)
{
    const char *end = checked.ptr + checked.len;
    for (const char *p = checked.ptr; p < end;) {
        const char *start = p;
        bool escaped;
        if (*p == '"') {
            p = json_string_end(p, end, &escaped);
            buf_add(b, (struct str){start, (size_t)(p - start)});
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            p = json_scalar_end(p, end);
            add_number_for_cjson(b, (struct str){start, (size_t)(p - start)});
        } else {
            buf_add_char(b, *p++);
        }
    }
}

const char *json_err_str(enum json_err e)
{
    static const char *const texts[] = {
#define X(id, text) [JSON_##id] = text,
        JSON_ERRORS(X)
#undef X
    };
    return (size_t)e < ARRAY_LEN(texts) ? texts[e] : "unknown error";
}

enum json_err json_check(struct str text, const struct json_limits *limits, size_t *at)
{
    struct json_scan_result result;
    enum json_err err = json_scan(text, limits, &result);
    if (err != JSON_OK && at != NULL) {
        *at = result.at;
    }
    return err;
}

enum json_err json_parse(struct str text, const struct json_limits *limits, struct json **out,
                         size_t *at)
{
    *out = NULL;
    struct json_scan_result result;
    enum json_err err = json_scan(text, limits, &result);
    if (err != JSON_OK) {
        if (at != NULL) {
            *at = result.at;
        }
        return err;
    }
    struct buf shorter = {NULL, 0, 0};
    if (result.long_number > CJSON_NUMBER_BYTES) {
        add_text_for_cjson(&shorter, text);
        text = buf_str(&shorter);
    }
    arena.used = arena.documents == 0 ? 0 : arena.used;
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = arena_alloc, .free_fn = arena_free});
    cJSON *root = cJSON_ParseWithLength(text.ptr, text.len);
    buf_fini(&shorter);
    if (root == NULL) {
        /* No text is known that comes here; it ends one message and not the process all the same.
         */
        if (at != NULL) {
            *at = 0;
        }
        return JSON_SYNTAX;
    }
    arena.documents++;
    *out = (struct json *)(void *)root;
    return JSON_OK;
}

void json_free(struct json *root)
{
    if (root == NULL) {
        return;
    }
    cJSON_Delete((cJSON *)(void *)root);
    arena.documents--;
}

bool json_is_object(const struct json *v)
{
    return cJSON_IsObject(node(v));
}

const struct json *json_member(const struct json *v, const char *key)
{
    if (!json_is_object(v)) {
        return NULL;
    }
    return from_node(cJSON_GetObjectItemCaseSensitive(node(v), key));
}

struct str json_string(const struct json *v)
{
    if (!cJSON_IsString(node(v))) {
        return (struct str){NULL, 0};
    }
    return str_from(node(v)->valuestring); /* no NUL inside: the strict pass refuses it */
}

bool json_whole(const struct json *v, uint64_t *out)
{
    if (!cJSON_IsNumber(node(v))) {
        return false;
    }
    double number = node(v)->valuedouble;
    if (!(number >= 0 && number <= WHOLE_MAX)) {
        return false;
    }
    uint64_t whole = (uint64_t)number;
    if ((double)whole < number) {
        return false;
    }
    *out = whole;
    return true;
}

bool json_is_null(const struct json *v)
{
    return cJSON_IsNull(node(v));
}

struct str json_raw(struct str checked, const char *const *path, size_t depth)
{
    const char *end = checked.ptr + checked.len;
    const char *p = json_space_end(checked.ptr, end);
    for (size_t i = 0; i < depth; i++) {
        p = json_member_start(p, end, path[i]);
        if (p == NULL) {
            return (struct str){NULL, 0};
        }
    }
    return (struct str){p, (size_t)(json_value_end(p, end) - p)};
}

void json_add_compact(struct buf *b, struct str checked)
{
    buf_reserve(b, checked.len);
    const char *end = checked.ptr + checked.len;
    for (const char *p = json_space_end(checked.ptr, end); p < end; p = json_space_end(p, end)) {
        const char *start = p;
        bool escaped;
        while (p < end && !json_is_space(*p)) {
            p = *p == '"' ? json_string_end(p, end, &escaped) : p + 1;
        }
        buf_add(b, (struct str){start, (size_t)(p - start)});
    }
}

static void add_escape(struct buf *b, unsigned char c)
{
    static const char letters[] = "btnvfr"; /* of 8 to 13; JSON has no \v */
    static const char hex[] = "0123456789abcdef";
    char letter = '\0';
    if (c == '"' || c == '\\') {
        letter = (char)c;
    } else if (c >= '\b' && c <= '\r' && c != '\v') {
        letter = letters[c - '\b'];
    }
    if (letter != '\0') {
        const char escape[] = {'\\', letter};
        buf_add(b, (struct str){escape, sizeof(escape)});
        return;
    }
    const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    buf_add(b, (struct str){escape, sizeof(escape)});
}

void json_add_string(struct buf *b, struct str text)
{
    buf_reserve(b, text.len + 2);
    buf_add_char(b, '"');
    while (text.len > 0) {
        size_t plain = span_json_plain(text, false);
        buf_add(b, (struct str){text.ptr, plain});
        if (plain < text.len) {
            add_escape(b, (unsigned char)text.ptr[plain++]);
        }
        text = (struct str){text.ptr + plain, text.len - plain};
    }
    buf_add_char(b, '"');
}
