/* SPDX-License-Identifier: MIT */
/* world: the whole chat layer between a fake edge and a fake bus, in a time that tests make. */
#ifndef TESTS_FAKE_WORLD_H
#define TESTS_FAKE_WORLD_H

#include "gateway/bus/bus.h"
#include "gateway/chat/context.h"
#include "gateway/config.h"
#include "gateway/stats.h"

struct chat;
struct ws_conn;

struct world {
    struct config config; /* as the defaults, without any rate; a test may change it */
    struct stats stats;
    struct chat_context ctx;
    struct chat *chat;
};

/* The context alone, without chat and ws: for tests of one module. */
void world_start_context(struct world *w);
void world_end_context(struct world *w);

void world_start(struct world *w);
/* Ends every connection, completes whatever is asked, and fails when something is left. */
void world_end(struct world *w);
/* Ends every connection and takes everything down, whatever the bus still has to do. */
void world_take_down(struct world *w);

/* A connection whose join is answered; the bus did what it was asked, and what the connection heard
 * is forgotten. The room opens at epoch "a", offset 5, where it is not open yet. */
struct ws_conn *world_join(struct world *w, const char *user, const char *room);

/* Raises on_log: one line "NUMBER" for each offset from first to last. */
void world_log(const char *room, char epoch, uint64_t first, uint64_t last);

#endif
