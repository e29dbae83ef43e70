/* SPDX-License-Identifier: MIT */
/* user: who has a connection on this gateway, under which name; where direct messages go.
 *
 * A user exists while a session of that name does. Its first session subscribes the user's channel,
 * its last one unsubscribes it. A join is answered only when the channel is known to be subscribed,
 * so that whoever has a welcome can be reached. */
#ifndef GATEWAY_CHAT_USER_H
#define GATEWAY_CHAT_USER_H

#include "common/list.h"

struct chat_context;
struct user;
struct users;

/* A session's place among the sessions of its user; embedded in the session. */
struct user_member {
    struct list in_user;
    struct user *user; /* NULL: no name yet */
};

struct user_handlers {
    void (*on_ready)(struct user_member *m); /* the user can be reached from now on */
    void (*on_direct)(struct user_member *m, struct str line);
};

struct users *users_new(struct chat_context *ctx, const struct user_handlers *handlers);
void users_free(struct users *users); /* no user is left */

void user_attach(struct users *users, struct str name, struct user_member *m);
void user_detach(struct users *users, struct user_member *m); /* no-op when not attached */

struct str user_name(const struct user *u);
bool user_ready(const struct user *u);

/* For bus_events.on_direct: user_ctx is a struct user. */
void user_on_direct(void *user_ctx, struct str line);

#endif
