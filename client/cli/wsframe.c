/* SPDX-License-Identifier: MIT */
#include "client/cli/wsframe.h"

#include "common/buf.h"

static size_t add_header(char *out, enum wsframe_opcode opcode, size_t len)
{
    out[0] = (char)(WSFRAME_FIN | opcode);
    if (len < 126) {
        out[1] = (char)(WSFRAME_MASKED | len);
        return 2;
    }
    size_t bytes = len <= UINT16_MAX ? 2 : 8;
    out[1] = (char)(WSFRAME_MASKED | (bytes == 2 ? 126 : 127));
    for (size_t i = 0; i < bytes; i++) {
        out[2 + i] = (char)((uint64_t)len >> 8 * (bytes - 1 - i));
    }
    return 2 + bytes;
}

/* Eight bytes at a time; the mask repeats after four. */
static void add_masked(char *out, struct str payload, uint32_t mask)
{
    uint64_t twice = (uint64_t)mask << 32 | mask, word;
    size_t i = 0;
    for (; i + sizeof(word) <= payload.len; i += sizeof(word)) {
        memcpy(&word, payload.ptr + i, sizeof(word));
        word ^= twice;
        memcpy(out + i, &word, sizeof(word));
    }
    const char *key = (const char *)&twice;
    for (size_t k = 0; i < payload.len; i++, k++) {
        out[i] = (char)(payload.ptr[i] ^ key[k]);
    }
}

void wsframe_add(struct buf *out, enum wsframe_opcode opcode, struct str payload, uint32_t mask)
{
    buf_reserve(out, WSFRAME_HEADER_MAX + payload.len);
    char *at = out->ptr + out->len;
    size_t header = add_header(at, opcode, payload.len);
    memcpy(at + header, &mask, sizeof(mask));
    header += sizeof(mask);
    add_masked(at + header, payload, mask);
    out->len += header + payload.len;
}
