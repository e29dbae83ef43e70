/* SPDX-License-Identifier: MIT */
/* memory: what this process holds in memory, against server.memory_max.
 *
 * Measured is the resident size, because that is what the kernel kills for: a sum of our own
 * buffers would leave out libwebsockets' (up to 128 KiB for a slow reader), the replies of Redis
 * under way, and what the allocator keeps. Asking costs two microseconds, four times a second, and
 * nothing while there is no limit.
 *
 * Past the limit the process is *over* (stats->memory_over) until it is below seven eighths of it
 * again: newcomers and joins are refused, and whoever holds backlogs is asked, at each look, to
 * give so much of them up that it gets there. */
#ifndef GATEWAY_MEMORY_H
#define GATEWAY_MEMORY_H

#include "common/base.h"

#define MEMORY_LOOK_MS 250

struct config;
struct loop;
struct memory;
struct stats;

struct memory_events {
    /* Gives up about so many bytes; the result is how many it gave. */
    uint64_t (*on_over)(void *ctx, uint64_t bytes);
    void *ctx;
};

/* All borrowed, and outlive it. */
struct memory *memory_new(struct loop *loop, const struct config *config, struct stats *stats,
                          const struct memory_events *events);
void memory_free(struct memory *m);
void memory_reload(struct memory *m); /* server.memory_max may be another */

/* The rule alone: was says whether it was over; max 0: no limit. */
bool memory_judge(bool was, uint64_t resident, uint64_t max);
uint64_t memory_resident(void); /* of this process, in bytes; 0: cannot be read */

#endif
