/* SPDX-License-Identifier: MIT */
/* upgrade: the HTTP request that opens a WebSocket, and the answer to it (RFC 6455, 4.1). Pure.
 * Every connection sends the key of the RFC's own example: it only proves that the server answers
 * a WebSocket client, and a generator has better things to do than hashing. */
#ifndef CLIENT_CLI_UPGRADE_H
#define CLIENT_CLI_UPGRADE_H

#include "common/base.h"

struct buf;

/* {room} in path is replaced. */
void upgrade_request(struct buf *out, struct str host, struct str path, struct str room);

enum upgrade_result {
    UPGRADE_OPEN,
    UPGRADE_PART,    /* the head of the answer is not complete */
    UPGRADE_REFUSED, /* another status than 101 */
    UPGRADE_BAD,     /* no HTTP, a wrong Sec-WebSocket-Accept, or a head that does not end */
};

/* UPGRADE_OPEN: *used is how many bytes the head has; frames may follow it. */
enum upgrade_result upgrade_read(struct str input, size_t *used);

#endif
