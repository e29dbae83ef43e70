/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"

/* The forms of RFC 3629 section 4. The range of the second byte is what shuts out overlong forms
 * (E0, F0), surrogates (ED) and code points past U+10FFFF (F4); further bytes are all 80-BF. */
static const struct form {
    unsigned char first_min, first_max;
    unsigned char second_min, second_max;
    unsigned char bytes;
} forms[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static const struct form *form_of(unsigned char first)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (first >= forms[i].first_min && first <= forms[i].first_max) {
            return &forms[i];
        }
    }
    return NULL;
}

size_t utf8_decode(struct str text, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    if (text.len > 0 && p[0] < 0x80) {
        *code_point = p[0];
        return 1;
    }
    const struct form *form = text.len > 0 ? form_of(p[0]) : NULL;
    if (form == NULL || text.len < form->bytes || p[1] < form->second_min ||
        p[1] > form->second_max) {
        return 0;
    }
    uint32_t value = p[0] & (0x7Fu >> form->bytes);
    for (size_t i = 1; i < form->bytes; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = value << 6 | (p[i] & 0x3F);
    }
    *code_point = value;
    return form->bytes;
}

/* Most text is ASCII: eight bytes at a time, while none of them has its high bit set. */
static size_t ascii_prefix(struct str text)
{
    size_t at = 0;
    uint64_t eight;
    while (text.len - at >= sizeof(eight)) {
        memcpy(&eight, text.ptr + at, sizeof(eight));
        if ((eight & 0x8080808080808080u) != 0) {
            break;
        }
        at += sizeof(eight);
    }
    while (at < text.len && (unsigned char)text.ptr[at] < 0x80) {
        at++;
    }
    return at;
}

bool utf8_valid(struct str text)
{
    for (;;) {
        size_t ascii = ascii_prefix(text);
        if (ascii == text.len) {
            return true;
        }
        text = (struct str){text.ptr + ascii, text.len - ascii};
        uint32_t code_point;
        size_t bytes = utf8_decode(text, &code_point);
        if (bytes == 0) {
            return false;
        }
        text = (struct str){text.ptr + bytes, text.len - bytes};
    }
}

bool utf8_hidden(uint32_t code_point)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x2028, 0x202E}, /* separators, then bidi */
        {0x2066, 0x2069}, {0xFEFF, 0xFEFF},
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (code_point >= ranges[i].first && code_point <= ranges[i].last) {
            return true;
        }
    }
    return false;
}
