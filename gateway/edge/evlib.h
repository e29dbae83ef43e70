/* SPDX-License-Identifier: MIT */
/* evlib: libwebsockets on our loop, through its public "custom event library" interface. (Its own
 * libevent glue is not in the packages of most systems, and costs two timers and two epoll calls
 * more for each event.) One context, one service thread.
 *
 * libwebsockets tells which sockets it wants to read or write, we tell it which are ready. Its
 * timers, and what it has read but not yet handled, are looked after once per turn of the loop in
 * which it did anything, and otherwise when its next timer is due, at most EVLIB_IDLE_MS later. */
#ifndef GATEWAY_EDGE_EVLIB_H
#define GATEWAY_EDGE_EVLIB_H

#include "common/base.h"

#include <libwebsockets.h>

/* A timer that is set by calling libwebsockets from outside of its callbacks is seen this late at
 * worst. */
#define EVLIB_IDLE_MS 250

struct evlib;
struct loop;

struct evlib *evlib_new(struct loop *loop); /* loop is borrowed and outlives us */
/* After lws_context_destroy, which still calls us. */
void evlib_free(struct evlib *e);

/* Fills in what lws_create_context must know of us. */
void evlib_prepare(struct evlib *e, struct lws_context_creation_info *info);
/* Right after lws_create_context and the vhosts: service begins. */
void evlib_start(struct evlib *e, struct lws_context *context);
/* Right before lws_context_destroy: from here on nothing calls libwebsockets any more. */
void evlib_stop(struct evlib *e);

#endif
