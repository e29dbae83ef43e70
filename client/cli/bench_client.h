/* SPDX-License-Identifier: MIT */
/* bench_client: the load generator's connections: connecting, the upgrade, framing, and the poller
 * that turns all of them. What arrives is read where the kernel put it; only the beginning of a
 * frame that is not complete is copied.
 *
 * The poller promises: on_opened comes at most once for each client_open; on_closed at most once,
 * after which nothing comes until it is opened anew, and never from within client_open or
 * client_cut; a handler may open, cut, or talk through any client. */
#ifndef CLIENT_CLI_BENCH_CLIENT_H
#define CLIENT_CLI_BENCH_CLIENT_H

#include "client/cli/adapter.h"
#include "client/cli/bench_check.h"
#include "client/cli/tag.h"
#include "client/cli/wsframe.h"
#include "common/buf.h"
#include "common/list.h"

struct bench_room;
struct poller;
struct endpoint;

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_UPGRADING,
    CLIENT_JOINING,
    CLIENT_READY,
};

struct client {
    /* Given by whoever opens it. */
    const struct endpoint *url; /* borrowed */
    uint32_t source; /* which of the loopback addresses it comes from; 0: the kernel's choice */
    struct adapter_member member;
    struct bench_room *room; /* borrowed */

    /* bench_client's own. */
    enum client_state state;
    int fd;
    bool wants_write;     /* as epoll was told */
    bool failed;          /* on_closed is due at the end of the turn */
    struct list outgoing; /* on the poller's list while something waits to be written */
    struct buf out;
    size_t out_sent;
    struct buf rest; /* the beginning of a frame */
    const char *why; /* static text: why it closed */

    /* bench_load's and bench's own. */
    uint64_t opened_ns;
    uint64_t due_ns;            /* drops: when the link is cut, or is there again */
    struct check_track *tracks; /* one for each publisher of its room; NULL: it is no member */
    uint64_t place;             /* in the room's order */
    bool publishes;
    bool connected_once;
};

struct client_events {
    void (*on_opened)(void *ctx, struct client *c, bool recovered); /* joined its room */
    void (*on_delivery)(void *ctx, struct client *c, struct tag tag, struct str text,
                        uint64_t now_ns);
    void (*on_closed)(void *ctx, struct client *c, bool was_ready);
};

struct client_counts {
    uint64_t bytes, frames, reads;
    uint64_t heartbeats; /* answered, of both kinds */
    uint64_t errors;     /* that servers sent to members */
    uint64_t spun_ns;    /* spent in polls that found nothing */
};

/* adapter and events are borrowed. */
struct poller *poller_new(const struct adapter *adapter, const struct client_events *events,
                          void *ctx);
void poller_free(struct poller *p);

/* Whether it polls without ever sleeping: whoever sends to a sleeper on the same machine pays for
 * waking it, as nobody pays whose clients are elsewhere. */
void poller_spin(struct poller *p, bool spins);
/* Whether SIGINT or SIGTERM came; poller_resume forgets it. */
bool poller_interrupted(const struct poller *p);
void poller_resume(struct poller *p);
/* Writes what is to be written, then handles what comes until until_ns, at most one batch. */
void poller_turn(struct poller *p, uint64_t until_ns);
const struct client_counts *poller_counts(const struct poller *p);
const char *poller_first_error(const struct poller *p); /* what a server said; NULL: nothing */

void client_init(struct client *c);
void client_fini(struct client *c); /* it must be closed */

/* Begins to connect; a failure comes as on_closed, too. */
void client_open(struct poller *p, struct client *c);
/* Sends one text; written at the next turn, with everything else that waits. */
void client_say(struct poller *p, struct client *c, struct str text);
/* The link is gone, as when a cable is pulled: no close frame, and what was on its way is lost. No
 * on_closed. No-op when it is closed. */
void client_cut(struct client *c);
/* Says goodbye with a close frame, as a page does that is left. No on_closed. */
void client_close(struct poller *p, struct client *c);

#endif
