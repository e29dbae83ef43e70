/* SPDX-License-Identifier: MIT */
/* floor_redis: the floor's way through Redis' pub/sub, as cheap for both sides as we know how.
 *
 * One connection does everything: it speaks RESP3, on which messages come to the connection that
 * publishes, and replies are off, so that nothing comes but messages. Commands go in one write a
 * turn. */
#ifndef TESTS_BENCH_FLOOR_REDIS_H
#define TESTS_BENCH_FLOOR_REDIS_H

#include "floor_bytes.h"

struct redis {
    int fd;
    struct bytes in, out;
};

/* Connects to 127.0.0.1 and waits until Redis has answered. Ends the process when it cannot. */
void redis_open(struct redis *r, int port);

/* Both wait for redis_flush. A message published after the subscription comes back. */
void redis_subscribe(struct redis *r, const char *channel);
void redis_publish(struct redis *r, const char *channel, const struct bytes *message);
void redis_flush(struct redis *r);

/* Reads once, and hands every whole message on; channel ends with NUL. */
void redis_read(struct redis *r,
                void (*on_message)(const char *channel, const uint8_t *at, size_t len));

#endif
