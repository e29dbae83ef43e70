/* SPDX-License-Identifier: MIT */
/* floor_wire: as much of WebSocket (RFC 6455) as the floors need: the upgrade, and whole frames. */
#ifndef TESTS_BENCH_FLOOR_WIRE_H
#define TESTS_BENCH_FLOOR_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Texts are shorter than this; a longer one ends the connection. */
#define WIRE_TEXT_MAX 32768
#define WIRE_PATH_MAX 128
#define WIRE_ANSWER_MAX 256
#define WIRE_HEAD_MAX 4

enum wire_verdict {
    WIRE_WHOLE,
    WIRE_MORE, /* not all of it is there */
    WIRE_BAD,
};

struct wire_request {
    char path[WIRE_PATH_MAX];
    char answer[WIRE_ANSWER_MAX]; /* to be sent, answer_len bytes */
    size_t answer_len;
    size_t used; /* bytes of the request */
};

struct wire_frame {
    int opcode;
    uint8_t *payload; /* within the bytes given, unmasked */
    size_t len;
    size_t used; /* bytes of the frame */
};

enum wire_verdict wire_upgrade(const uint8_t *at, size_t len, struct wire_request *request);
/* Unmasks in place. A frame of a client must be masked. */
enum wire_verdict wire_frame(uint8_t *at, size_t len, struct wire_frame *frame);
/* The head of a server's frame, unmasked; returns its length. */
size_t wire_head(uint8_t head[WIRE_HEAD_MAX], int opcode, size_t len);

#endif
