/* SPDX-License-Identifier: MIT */
#include "gateway/edge/listener.h"

#include "common/alloc.h"
#include "common/log.h"
#include "gateway/edge/bind.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

/* Accepts per turn of the loop: a flood of connections must not keep it from those that exist. */
#define ACCEPTS_PER_TURN 64

struct listener {
    struct listener_options options;
    int fd;                   /* owned */
    char *address;            /* owned */
    char *socket_file;        /* owned; NULL: not a unix socket of ours */
    struct event *event;      /* owned */
    struct loop_timer *timer; /* owned */
    bool resting;             /* since the last refusal for want of descriptors */
};

static bool out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void rest(struct listener *l, int error)
{
    event_del(l->event);
    loop_timer_start(l->timer, LISTENER_REST_MS);
    l->options.stats->accept_paused++;
    if (!l->resting) {
        l->resting = true;
        LOG(ERROR, ACCEPT, F_TEXT("state", "paused"), F_TEXT("listen", l->address),
            F_TEXT("reason", strerror(error)));
    }
}

static void on_rested(void *ctx)
{
    struct listener *l = ctx;
    event_add(l->event, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct listener *l = ctx;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
        socklen_t size = sizeof(peer);
        int connection = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (connection >= 0) {
            l->options.on_accept(l->options.ctx, connection, &peer);
            continue;
        }
        if (out_of_resources(errno)) {
            rest(l, errno);
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        }
        /* Anything else concerns that one connection (accept(2), "Error handling"). */
    }
    if (l->resting) {
        l->resting = false;
        LOG(WARN, ACCEPT, F_TEXT("state", "resumed"), F_TEXT("listen", l->address));
    }
}

struct listener *listener_open(const struct listener_options *options, const char *address,
                               char *err, size_t err_size)
{
    struct bind_options how = {.setting = options->setting, .backlog = options->backlog};
    const char *path = bind_socket_file(address);
    int fd = bind_listen(&how, address, err, err_size);
    if (fd < 0) {
        return NULL;
    }
    struct listener *l = xcalloc(1, sizeof(*l));
    l->options = *options;
    l->fd = fd;
    l->address = str_dup(str_from(address));
    l->socket_file = path == NULL ? NULL : str_dup(str_from(path));
    l->timer = loop_timer_new(options->loop, on_rested, l);
    l->event = event_new(loop_base(options->loop), fd, EV_READ | EV_PERSIST, on_readable, l);
    assert(l->event != NULL);
    event_add(l->event, NULL);
    return l;
}

void listener_close(struct listener *l)
{
    if (l == NULL) {
        return;
    }
    event_free(l->event);
    loop_timer_free(l->timer);
    if (l->socket_file != NULL) {
        (void)unlink(l->socket_file);
    }
    close(l->fd);
    free(l->socket_file);
    free(l->address);
    free(l);
}
