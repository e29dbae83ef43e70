/* SPDX-License-Identifier: MIT */
/* sender: offers bytes to many sockets at once, and tells at once what each took.
 *
 * Through io_uring (io_uring(7), Linux 6.1 or newer) that is one system call for all; where the
 * kernel has none or does not allow it, one send(2) for each. Either way nothing is left under way
 * when sender_send returns, and a full socket is never waited for. */
#ifndef GATEWAY_EDGE_SENDER_H
#define GATEWAY_EDGE_SENDER_H

#include "common/base.h"

#include <sys/types.h>

#define SENDER_MOST 256u /* sends in one call */

struct sender;

/* One socket and its bytes, borrowed for the call. A socket stands in a call once at most: what
 * follows a send that was cut short would tear the frame. */
struct send {
    int fd;
    struct str bytes;
    ssize_t took; /* answer: how many bytes, or -errno; -EAGAIN: none now */
};

/* wants_ring: io_uring is used where it can be. */
struct sender *sender_new(bool wants_ring);
void sender_free(struct sender *s); /* NULL: no-op */

/* Whether io_uring is in use. Where it is not though it was wanted, a log line has told why. */
bool sender_has_ring(const struct sender *s);

/* Sends in the given order; count is SENDER_MOST at most. */
void sender_send(struct sender *s, struct send *sends, size_t count);
/* The same for a single socket, always with send(2). */
ssize_t sender_send_one(int fd, struct str bytes) MUST_CHECK;

#endif
