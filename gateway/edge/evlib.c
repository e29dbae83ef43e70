/* SPDX-License-Identifier: MIT */
#include "gateway/edge/evlib.h"

#include "common/alloc.h"
#include "gateway/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* One descriptor that libwebsockets watches. */
struct watch {
    struct lws *wsi; /* borrowed; NULL: not watched */
    struct event read;
    struct event *write; /* owned; NULL: nobody waits to write, which is nearly always */
};

/* Watches are found by descriptor, and allocated so many at a time. They live as long as the evlib:
 * a handler may so close any connection, its own too, and an event that is already under way still
 * points at something. */
#define BLOCK 64
struct watch_block {
    struct watch watches[BLOCK];
};

struct evlib {
    struct loop *loop;           /* borrowed: outlives us */
    struct lws_context *context; /* borrowed; NULL: not started, or stopped */
    struct loop_task *turn;      /* owned */
    struct loop_timer *timer;    /* owned */
    struct watch_block **blocks; /* owned, as are the entries; NULL: never used */
    size_t block_count;
    void *loops[1]; /* what libwebsockets hands to op_init_pt */
};

/* libwebsockets keeps this for us, for its one service thread. */
struct thread_data {
    struct evlib *evlib; /* borrowed */
};

static struct evlib *of_wsi(struct lws *wsi)
{
    const struct thread_data *data = lws_evlib_wsi_to_evlib_pt(wsi);
    return data->evlib;
}

static void on_turn(void *ctx)
{
    struct evlib *e = ctx;
    if (e->context == NULL) {
        return;
    }
    /* The call runs the timers that are due; 0 says that a connection has input that libwebsockets
     * holds itself (frames that came in one packet with the handshake), which no socket will
     * report. */
    int wait_ms = lws_service_adjust_timeout(e->context, EVLIB_IDLE_MS, 0);
    if (wait_ms == 0) {
        (void)_lws_plat_service_forced_tsi(e->context, 0);
        wait_ms = lws_service_adjust_timeout(e->context, EVLIB_IDLE_MS, 0);
    }
    loop_timer_start(e->timer, wait_ms > 0 ? (uint64_t)wait_ms : 1);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    const struct watch *w = arg;
    struct evlib *e = w->wsi == NULL ? NULL : of_wsi(w->wsi);
    if (e == NULL || e->context == NULL) {
        return;
    }
    struct lws_pollfd ready = {.fd = fd};
    if (what & EV_READ) {
        ready.events |= LWS_POLLIN;
    }
    if (what & EV_WRITE) {
        ready.events |= LWS_POLLOUT;
    }
    ready.revents = ready.events;
    (void)lws_service_fd_tsi(e->context, &ready, 0);
    loop_task_soon(e->turn);
}

/* The entry of a descriptor; NULL for none (libwebsockets asks with an invalid one at times). */
static struct watch *watch_of(struct lws *wsi, bool create)
{
    struct evlib *e = of_wsi(wsi);
    int fd = lws_get_socket_fd(wsi);
    size_t block = (size_t)fd / BLOCK;
    if (fd < 0 || (block >= e->block_count && !create)) {
        return NULL;
    }
    if (block >= e->block_count) {
        size_t count = e->block_count == 0 ? 4 : e->block_count;
        while (count <= block) {
            count *= 2;
        }
        e->blocks = xrealloc(e->blocks, count * sizeof(struct watch_block *));
        memset(e->blocks + e->block_count, 0,
               (count - e->block_count) * sizeof(struct watch_block *));
        e->block_count = count;
    }
    if (e->blocks[block] == NULL && create) {
        e->blocks[block] = xcalloc(1, sizeof(struct watch_block));
    }
    return e->blocks[block] != NULL ? &e->blocks[block]->watches[(size_t)fd % BLOCK] : NULL;
}

static void watch_reading(struct watch *w, bool wanted)
{
    bool reading = event_pending(&w->read, EV_READ, NULL) != 0;
    if (wanted && !reading) {
        event_add(&w->read, NULL);
    } else if (!wanted && reading) {
        event_del(&w->read);
    }
}

static void watch_writing(struct watch *w, bool wanted)
{
    if (wanted && w->write == NULL) {
        w->write = event_new(event_get_base(&w->read), event_get_fd(&w->read),
                             EV_WRITE | EV_PERSIST, on_ready, w);
        assert(w->write != NULL);
        event_add(w->write, NULL);
    } else if (!wanted && w->write != NULL) {
        event_free(w->write);
        w->write = NULL;
    }
}

static void unwatch(struct watch *w)
{
    watch_reading(w, false);
    watch_writing(w, false);
    w->wsi = NULL;
}

static int op_init_pt(struct lws_context *context, void *loop, int tsi)
{
    struct thread_data *data = lws_evlib_tsi_to_evlib_pt(context, tsi);
    data->evlib = loop;
    return 0;
}

static int op_sock_accept(struct lws *wsi)
{
    struct watch *w = watch_of(wsi, true);
    if (w == NULL) {
        return 0;
    }
    if (w->wsi != NULL) {
        unwatch(w);
    }
    struct event_base *base = loop_base(of_wsi(wsi)->loop);
    event_assign(&w->read, base, lws_get_socket_fd(wsi), EV_READ | EV_PERSIST, on_ready, w);
    w->wsi = wsi;
    return 0;
}

/* Level-triggered on purpose: libwebsockets leaves "writable" on after it sent a control frame of
 * its own, and expects to be called again. */
static void op_io(struct lws *wsi, unsigned int flags)
{
    struct watch *w = watch_of(wsi, false);
    if (w == NULL || w->wsi != wsi) {
        return;
    }
    bool wanted = (flags & LWS_EV_START) != 0;
    if (flags & LWS_EV_READ) {
        watch_reading(w, wanted);
    }
    if (flags & LWS_EV_WRITE) {
        watch_writing(w, wanted);
    }
    loop_task_soon(of_wsi(wsi)->turn);
}

static void op_destroy_wsi(struct lws *wsi)
{
    struct watch *w = watch_of(wsi, false);
    if (w != NULL && w->wsi == wsi) {
        unwatch(w);
    }
}

static int op_logical_close(struct lws *wsi)
{
    op_destroy_wsi(wsi);
    return 0; /* go on: the socket may be closed at once */
}

static const struct lws_event_loop_ops ops = {
    .name = "parley",
    .init_pt = op_init_pt,
    .sock_accept = op_sock_accept,
    .io = op_io,
    .wsi_logical_close = op_logical_close,
    .destroy_wsi = op_destroy_wsi,
    .evlib_size_pt = sizeof(struct thread_data),
};

static const lws_plugin_evlib_t library = {
    .hdr = {"parley", "lws_evlib_plugin", LWS_BUILD_HASH, LWS_PLUGIN_API_MAGIC},
    .ops = &ops,
};

struct evlib *evlib_new(struct loop *loop)
{
    struct evlib *e = xcalloc(1, sizeof(*e));
    e->loop = loop;
    e->turn = loop_task_new(loop, on_turn, e);
    e->timer = loop_timer_new(loop, on_turn, e);
    e->loops[0] = e;
    return e;
}

void evlib_free(struct evlib *e)
{
    if (e == NULL) {
        return;
    }
    for (size_t i = 0; i < e->block_count; i++) {
        for (size_t k = 0; e->blocks[i] != NULL && k < BLOCK; k++) {
            assert(e->blocks[i]->watches[k].wsi == NULL);
        }
        free(e->blocks[i]);
    }
    free(e->blocks);
    loop_task_free(e->turn);
    loop_timer_free(e->timer);
    free(e);
}

void evlib_prepare(struct evlib *e, struct lws_context_creation_info *info)
{
    info->event_lib_custom = &library;
    info->foreign_loops = e->loops;
}

void evlib_start(struct evlib *e, struct lws_context *context)
{
    e->context = context;
    on_turn(e); /* the first call also initialises the protocols */
}

void evlib_stop(struct evlib *e)
{
    e->context = NULL;
    loop_timer_stop(e->timer);
}
