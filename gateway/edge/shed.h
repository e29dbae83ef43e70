/* SPDX-License-Identifier: MIT */
/* shed: what slow readers give up when the process holds too much (memory.h). Only connections that
 * have taken nothing for a second are looked at; who holds most gives first:
 *
 *   - of rooms' logs it skips all that it has not read, and will be told of the gap when it reads
 * on;
 *   - what waits for it alone cannot be skipped (replies, pages of history): it is closed as slow.
 *
 * Where that is not enough, those that have taken nothing for a while are closed: each of them
 * holds a piece of a write inside libwebsockets that nobody else can let go. */
#ifndef GATEWAY_EDGE_SHED_H
#define GATEWAY_EDGE_SHED_H

#include "common/base.h"

struct ws;

/* The result is how many bytes were given up, as far as we count them ourselves. */
uint64_t ws_shed(struct ws *ws, uint64_t wanted);

#endif
