/* SPDX-License-Identifier: MIT */
/* chat: the domain: sessions, rooms, users, presence. What main wires between the edge (ws) and the
 * bus. */
#ifndef GATEWAY_CHAT_CHAT_H
#define GATEWAY_CHAT_CHAT_H

#include "gateway/chat/context.h"

struct bus_events;
struct chat;
struct ws_handlers;

/* ctx is borrowed; its bus and ws may be set later, before the first event. */
struct chat *chat_new(struct chat_context *ctx);
/* Every connection is closed, and the bus has completed every call. */
void chat_free(struct chat *c);

void chat_ws_handlers(struct chat *c, struct ws_handlers *out);
void chat_bus_events(struct chat *c, struct bus_events *out);

/* The config was changed in place: rooms take their policies from it anew. */
void chat_reload(struct chat *c);

/* Says bye to every connection, each with a slot within over_ms, and closes it at its slot. New
 * joins are refused. on_empty is called once, from the loop, when no connection is left and the bus
 * knows it. */
void chat_drain(struct chat *c, uint64_t over_ms, void (*on_empty)(void *ctx), void *ctx);

#endif
