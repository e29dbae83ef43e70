/* SPDX-License-Identifier: MIT */
/* utf8: RFC 3629 validation: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include "common/base.h"

bool utf8_valid(struct str text);

/* The bytes (1 to 4) of the code point that text begins with, and the code point itself; 0 when
 * text is empty or does not begin with a whole valid sequence. */
size_t utf8_decode(struct str text, uint32_t *code_point);

/* True for what no reader sees: the controls (C0, DEL, C1), U+2028, U+2029, the bidi controls
 * U+202A-202E and U+2066-2069, and U+FEFF. Names refuse them, the log escapes them. */
bool utf8_hidden(uint32_t code_point);

#endif
