/* SPDX-License-Identifier: MIT */
/* json_scan: the strict pass over JSON text; a part of json, included by json.c only. One pass, no
 * recursion: what is open is a depth and one bit a level. Nothing is allocated before the node
 * limit was asked, and then only where the open objects have more than a few keys. */
#ifndef COMMON_JSON_SCAN_H
#define COMMON_JSON_SCAN_H

#include "common/base.h"
#include "common/json.h"

/* No limit lets deeper nesting pass: the open containers are the bits of one 64-bit word. */
#define JSON_DEPTH_MAX 64u

struct json_scan_result {
    size_t at;          /* on an error: the byte where it was seen */
    size_t long_number; /* bytes of the longest number */
};

enum json_err json_scan(struct str text, const struct json_limits *limits,
                        struct json_scan_result *result) MUST_CHECK;

#endif
