/* SPDX-License-Identifier: MIT */
#include "gateway/chat/user.h"

#include "common/alloc.h"
#include "common/map.h"
#include "gateway/bus/bus.h"
#include "gateway/chat/context.h"
#include "gateway/stats.h"
#include "gateway/wheel.h"

#include <assert.h>
#include <stdlib.h>

/* A subscription that failed is tried again after this time. */
#define RETRY_MS 500

struct users {
    struct chat_context *ctx; /* borrowed */
    struct user_handlers handlers;
    struct map by_name;
};

/* Until the user's messages reach this gateway. */
struct opening {
    struct bus_call call;
    struct wheel_timer retry;
    struct user *user; /* NULL: it is gone, only the bus still holds `call` */
    bool asked;        /* the bus holds `call`: we must not be freed */
};

struct user {
    struct users *users;
    struct list sessions; /* struct user_member */
    struct bus_user *bus;
    struct opening *opening; /* owned; NULL: ready */
    size_t name_len;
    char name[];
};

static struct str name_of(const void *item)
{
    return user_name(item);
}

static void on_opened(struct bus_call *call, const struct bus_result *result);

static void start_open(struct opening *o)
{
    struct user *u = o->user;
    o->asked = true;
    o->call.done = on_opened;
    u->bus = bus_open_user(u->users->ctx->bus, user_name(u), u, &o->call);
}

static void on_retry(struct wheel_timer *t)
{
    start_open(container_of(t, struct opening, retry));
}

static void on_opened(struct bus_call *call, const struct bus_result *result)
{
    struct opening *o = container_of(call, struct opening, call);
    struct user *u = o->user;
    o->asked = false;
    if (u == NULL) {
        free(o); /* its last session left meanwhile */
        return;
    }
    if (result->err != BUS_OK) {
        bus_close_user(u->users->ctx->bus, u->bus);
        u->bus = NULL;
        wheel_start(u->users->ctx->wheel, &o->retry, RETRY_MS);
        return;
    }
    u->opening = NULL;
    free(o);
    list_each_safe (it, &u->sessions) {
        u->users->handlers.on_ready(container_of(it, struct user_member, in_user));
    }
}

static struct user *user_new(struct users *users, struct str name)
{
    struct user *u = xcalloc(1, sizeof(*u) + name.len);
    u->users = users;
    u->name_len = name.len;
    memcpy(u->name, name.ptr, name.len);
    list_init(&u->sessions);
    map_put(&users->by_name, u);
    users->ctx->stats->users++;
    u->opening = xcalloc(1, sizeof(*u->opening));
    u->opening->user = u;
    wheel_timer_init(&u->opening->retry, on_retry);
    start_open(u->opening);
    return u;
}

static void user_free(struct user *u)
{
    struct opening *o = u->opening;
    if (o != NULL) {
        wheel_stop(&o->retry);
        o->user = NULL;
        if (!o->asked) {
            free(o);
        }
    }
    if (u->bus != NULL) {
        bus_close_user(u->users->ctx->bus, u->bus);
    }
    free(u);
}

struct users *users_new(struct chat_context *ctx, const struct user_handlers *handlers)
{
    struct users *users = xcalloc(1, sizeof(*users));
    users->ctx = ctx;
    users->handlers = *handlers;
    map_init(&users->by_name, name_of);
    return users;
}

void users_free(struct users *users)
{
    if (users == NULL) {
        return;
    }
    assert(users->by_name.count == 0);
    map_fini(&users->by_name);
    free(users);
}

void user_attach(struct users *users, struct str name, struct user_member *m)
{
    assert(m->user == NULL);
    struct user *u = map_get(&users->by_name, name);
    if (u == NULL) {
        u = user_new(users, name);
    }
    m->user = u;
    list_push(&u->sessions, &m->in_user);
}

void user_detach(struct users *users, struct user_member *m)
{
    struct user *u = m->user;
    if (u == NULL) {
        return;
    }
    list_remove(&m->in_user);
    m->user = NULL;
    if (!list_empty(&u->sessions)) {
        return;
    }
    map_remove(&users->by_name, user_name(u));
    users->ctx->stats->users--;
    user_free(u);
}

struct str user_name(const struct user *u)
{
    return (struct str){u->name, u->name_len};
}

bool user_ready(const struct user *u)
{
    return u->opening == NULL;
}

void user_on_direct(void *user_ctx, struct str line)
{
    struct user *u = user_ctx;
    list_each_safe (it, &u->sessions) {
        u->users->handlers.on_direct(container_of(it, struct user_member, in_user), line);
    }
}
