/* SPDX-License-Identifier: MIT */
/* names: what may name a room or a user (common/PROTOCOL.md, "Names"): UTF-8 of a bounded length,
 * no control characters (C0, DEL, C1, and the invisible U+2028, U+2029, bidi controls U+202A-202E
 * and U+2066-2069, U+FEFF), no { or }, no leading or trailing space (ASCII or U+00A0). Compared
 * byte by byte. */
#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include "common/base.h"

#define NAMES_ROOM_MAX_BYTES 128
#define NAMES_USER_MAX_BYTES 64
#define NAMES_KEY_MAX_BYTES 64 /* idempotency keys, request ids, kinds of signals */

bool name_valid(struct str name, size_t max_bytes);
/* 1 to NAMES_KEY_MAX_BYTES bytes without control characters (braces and spaces allowed). */
bool key_valid(struct str key);

#endif
