/* SPDX-License-Identifier: MIT */
#include "floor_wire.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_FIELD "Sec-WebSocket-Key: "
#define KEY_LEN 24

enum wire_verdict wire_upgrade(const uint8_t *at, size_t len, struct wire_request *request)
{
    const uint8_t *end = memmem(at, len, "\r\n\r\n", 4);
    if (end == NULL) {
        return WIRE_MORE;
    }
    const char *key = memmem(at, len, KEY_FIELD, sizeof(KEY_FIELD) - 1);
    const char *path = memchr(at, '/', len);
    const char *path_end =
        path != NULL ? memchr(path, ' ', (size_t)((const char *)end - path)) : NULL;
    if (key == NULL || path_end == NULL || path_end - path >= WIRE_PATH_MAX ||
        key + sizeof(KEY_FIELD) - 1 + KEY_LEN > (const char *)end) {
        return WIRE_BAD;
    }
    snprintf(request->path, sizeof(request->path), "%.*s", (int)(path_end - path), path);
    char text[KEY_LEN + sizeof(GUID)];
    snprintf(text, sizeof(text), "%.*s" GUID, KEY_LEN, key + sizeof(KEY_FIELD) - 1);
    uint8_t digest[SHA_DIGEST_LENGTH], accept[32];
    SHA1((const uint8_t *)text, strlen(text), digest);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    request->answer_len = (size_t)snprintf(request->answer, sizeof(request->answer),
                                           "HTTP/1.1 101 Switching Protocols\r\n"
                                           "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                           "Sec-WebSocket-Accept: %s\r\n\r\n",
                                           (const char *)accept);
    request->used = (size_t)(end - at) + 4;
    return WIRE_WHOLE;
}

enum wire_verdict wire_frame(uint8_t *at, size_t len, struct wire_frame *frame)
{
    if (len < 4) {
        return WIRE_MORE;
    }
    size_t head_len = 2;
    frame->opcode = at[0] & 0x0f;
    frame->len = at[1] & 0x7f;
    if (frame->len == 126) {
        frame->len = (size_t)at[2] << 8 | at[3];
        head_len = 4;
    }
    if (frame->len > WIRE_TEXT_MAX || (at[1] & 0x80) == 0) {
        return WIRE_BAD;
    }
    frame->used = head_len + 4 + frame->len;
    if (len < frame->used) {
        return WIRE_MORE;
    }
    const uint8_t *mask = at + head_len;
    frame->payload = at + head_len + 4;
    for (size_t i = 0; i < frame->len; i++) {
        frame->payload[i] ^= mask[i & 3];
    }
    return WIRE_WHOLE;
}

size_t wire_head(uint8_t head[WIRE_HEAD_MAX], int opcode, size_t len)
{
    head[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        head[1] = (uint8_t)len;
        return 2;
    }
    head[1] = 126;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    return 4;
}
