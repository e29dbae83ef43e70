/* SPDX-License-Identifier: MIT */
#include "client/cli/upgrade.h"

#include "common/buf.h"

/* RFC 6455, 1.3. */
#define EXAMPLE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define EXAMPLE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define HEAD_MAX_BYTES 16384

static void add_path(struct buf *out, struct str path, struct str room)
{
    static const char place[] = "{room}";
    const size_t place_len = sizeof(place) - 1;
    const char *at;
    while (path.len > 0 && (at = memmem(path.ptr, path.len, place, place_len)) != NULL) {
        buf_add(out, (struct str){path.ptr, (size_t)(at - path.ptr)});
        buf_add(out, room);
        path.len -= (size_t)(at - path.ptr) + place_len;
        path.ptr = at + place_len;
    }
    buf_add(out, path);
}

void upgrade_request(struct buf *out, struct str host, struct str path, struct str room)
{
    BUF_LIT(out, "GET ");
    add_path(out, path, room);
    BUF_LIT(out, " HTTP/1.1\r\nHost: ");
    buf_add(out, host);
    BUF_LIT(out, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " EXAMPLE_KEY
                 "\r\nSec-WebSocket-Version: 13\r\n\r\n");
}

enum upgrade_result upgrade_read(struct str input, size_t *used)
{
    static const char status[] = "HTTP/1.1 101";
    size_t known = input.len < sizeof(status) - 1 ? input.len : sizeof(status) - 1;
    if (memcmp(input.ptr, status, known) != 0) {
        size_t http = known < 5 ? known : 5;
        return memcmp(input.ptr, status, http) == 0 ? UPGRADE_REFUSED : UPGRADE_BAD;
    }
    const char *end = memmem(input.ptr, input.len, "\r\n\r\n", 4);
    if (end == NULL) {
        return input.len < HEAD_MAX_BYTES ? UPGRADE_PART : UPGRADE_BAD;
    }
    *used = (size_t)(end - input.ptr) + 4;
    return memmem(input.ptr, *used, EXAMPLE_ACCEPT, sizeof(EXAMPLE_ACCEPT) - 1) != NULL
               ? UPGRADE_OPEN
               : UPGRADE_BAD;
}
