/* SPDX-License-Identifier: MIT */
/* wsframe: frames of RFC 6455 as a client needs them: reads a server's (never masked), where they
 * lie; writes its own (always masked). Pure. A message is one frame here: servers that cut short
 * messages into fragments are refused, not served. */
#ifndef CLIENT_CLI_WSFRAME_H
#define CLIENT_CLI_WSFRAME_H

#include "common/base.h"

struct buf;

enum wsframe_opcode {
    WSFRAME_TEXT = 1,
    WSFRAME_BINARY = 2,
    WSFRAME_CLOSE = 8,
    WSFRAME_PING = 9,
    WSFRAME_PONG = 10,
};

#define WSFRAME_FIN 0x80
#define WSFRAME_MASKED 0x80
#define WSFRAME_HEADER_MAX 14

struct wsframe {
    enum wsframe_opcode opcode;
    struct str payload; /* borrowed from what was read */
    size_t size;        /* of the whole frame */
};

enum wsframe_result {
    WSFRAME_WHOLE,
    WSFRAME_PART, /* more bytes are needed; nothing was said of the frame */
    WSFRAME_BAD,  /* a fragment, a mask, a reserved bit, or a length over max */
};

/* Reads the frame at the start of input, in place. */
static inline enum wsframe_result wsframe_read(struct str input, size_t max, struct wsframe *frame)
{
    const unsigned char *p = (const unsigned char *)input.ptr;
    if (input.len < 2) {
        return WSFRAME_PART;
    }
    if ((p[0] & 0xf0) != WSFRAME_FIN || (p[0] & 0x0f) == 0 || (p[1] & WSFRAME_MASKED) != 0) {
        return WSFRAME_BAD;
    }
    size_t header = 2;
    uint64_t len = p[1];
    if (len >= 126) {
        header = len == 126 ? 4 : 10;
        if (input.len < header) {
            return WSFRAME_PART;
        }
        len = 0;
        for (size_t i = 2; i < header; i++) {
            len = len << 8 | p[i];
        }
        if (len > max) {
            return WSFRAME_BAD;
        }
    }
    if (input.len - header < len) {
        return WSFRAME_PART;
    }
    frame->opcode = (enum wsframe_opcode)(p[0] & 0x0f);
    frame->payload = (struct str){input.ptr + header, (size_t)len};
    frame->size = header + (size_t)len;
    return WSFRAME_WHOLE;
}

/* Adds a whole frame with its payload masked under mask (RFC 6455, 5.3). */
void wsframe_add(struct buf *out, enum wsframe_opcode opcode, struct str payload, uint32_t mask);

#endif
