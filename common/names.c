/* SPDX-License-Identifier: MIT */
#include "common/names.h"

#include "common/utf8.h"

#define NO_BREAK_SPACE 0xA0

static bool is_space(uint32_t code_point)
{
    return code_point == ' ' || code_point == NO_BREAK_SPACE;
}

bool name_valid(struct str name, size_t max_bytes)
{
    if (name.len == 0 || name.len > max_bytes) {
        return false;
    }
    uint32_t last = 0;
    for (size_t at = 0; at < name.len;) {
        uint32_t code_point;
        size_t bytes = utf8_decode((struct str){name.ptr + at, name.len - at}, &code_point);
        if (bytes == 0 || utf8_hidden(code_point) || code_point == '{' || code_point == '}') {
            return false;
        }
        if (at == 0 && is_space(code_point)) {
            return false;
        }
        last = code_point;
        at += bytes;
    }
    return !is_space(last);
}

bool key_valid(struct str key)
{
    if (key.len == 0 || key.len > NAMES_KEY_MAX_BYTES) {
        return false;
    }
    for (size_t at = 0; at < key.len;) {
        uint32_t code_point;
        size_t bytes = utf8_decode((struct str){key.ptr + at, key.len - at}, &code_point);
        if (bytes == 0 || utf8_hidden(code_point)) {
            return false;
        }
        at += bytes;
    }
    return true;
}
