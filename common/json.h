/* SPDX-License-Identifier: MIT */
/* json: strict JSON in, compact JSON out. The only module that knows cJSON.
 *
 * cJSON by itself cuts strings at \u0000, ignores the case of keys, keeps duplicate keys, and lets
 * trailing garbage, bad UTF-8 and bad numbers pass. So json_parse runs its own strict pass first
 * (RFC 8259 grammar, UTF-8, no NUL, no lone surrogate, no duplicate key, bounded depth and node
 * count, no recursion); only text that passed reaches cJSON. */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/base.h"

struct buf;
struct json; /* one value; a parsed document is its root value */

struct json_limits {
    unsigned depth; /* nested arrays and objects; a scalar at the top has depth 0 */
    unsigned nodes; /* values in all, the root counts */
};

/* Why a text was refused; the text of each (json_err_str) finishes the sentence "not valid: ". */
#define JSON_ERRORS(X)                          \
    X(OK, "ok")                                 \
    X(SYNTAX, "syntax error")                   \
    X(UTF8, "invalid UTF-8")                    \
    X(ESCAPE, "invalid escape in a string")     \
    X(CONTROL, "control character in a string") \
    X(NUL, "NUL character in a string")         \
    X(NUMBER, "invalid number")                 \
    X(DUPLICATE, "duplicate key in an object")  \
    X(DEPTH, "nested too deeply")               \
    X(NODES, "too many values")                 \
    X(TRAILING, "text after the end")

enum json_err {
#define X(id, text) JSON_##id,
    JSON_ERRORS(X)
#undef X
};

const char *json_err_str(enum json_err e); /* static text */

/* The strict pass alone. On an error *at (may be NULL) is the byte where it was seen. */
enum json_err json_check(struct str text, const struct json_limits *limits, size_t *at) MUST_CHECK;

/* Strict pass, then cJSON. On JSON_OK *out is owned by the caller (json_free), else NULL. */
enum json_err json_parse(struct str text, const struct json_limits *limits, struct json **out,
                         size_t *at) MUST_CHECK;
void json_free(struct json *root); /* NULL is fine */

bool json_is_object(const struct json *v);
/* The member of an object with exactly this key; NULL when absent or v is NULL or no object. */
const struct json *json_member(const struct json *v, const char *key);
/* {NULL,0} when v is NULL or no string; borrowed from the document. */
struct str json_string(const struct json *v);
/* False when v is NULL, no number, not whole, negative, or past 2^53 - 1. */
bool json_whole(const struct json *v, uint64_t *out) MUST_CHECK;
bool json_is_null(const struct json *v); /* a JSON null (not: absent) */

/* The raw text of the member at path ("data", "meta") of a text that json_check passed; {NULL,0}
 * when absent. Numbers and escapes stand there as the client wrote them. */
struct str json_raw(struct str checked, const char *const *path, size_t depth);

/* Adds checked JSON text without white space between tokens, on one line. */
void json_add_compact(struct buf *b, struct str checked);
/* Adds text as a JSON string with its quotes; text must be valid UTF-8. Escapes only what must be.
 */
void json_add_string(struct buf *b, struct str text);

#endif
