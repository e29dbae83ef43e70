/* SPDX-License-Identifier: MIT */
/* context: what every module of the chat layer works with. Everything is borrowed from main, which
 * creates it before chat and frees it after. */
#ifndef GATEWAY_CHAT_CONTEXT_H
#define GATEWAY_CHAT_CONTEXT_H

#include "common/buf.h"

struct bus;
struct config;
struct loop;
struct stats;
struct wheel;
struct ws;

struct chat_context {
    struct loop *loop;
    struct wheel *wheel;
    const struct config *config;
    struct stats *stats;
    struct bus *bus;
    struct ws *ws;
    struct buf text; /* one outgoing message at a time is put together here */
};

#endif
