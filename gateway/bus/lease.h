/* SPDX-License-Identifier: MIT */
/* lease: a survivor's judgement of the other gateways. Pure: time and readings are passed in.
 *
 * A living gateway raises its counter at every tick. We time each counter with our own monotonic
 * clock, from the first reading of a value; nobody's wall clock is asked. Dead is a gateway whose
 * counter
 *   - did not change for LEASE_QUIET_MS while nobody subscribes to its own channel (a kill -9 shows
 * there within a millisecond), or
 *   - did not change for slow_ms (frozen, cable cut).
 * A reading counts from when its reply came (a new value) or when it was asked for (an old value):
 * so a slow reply never makes a counter look older than it is. Whoever could not look, judges
 * nobody: after a reconnect, a late reply, or a renewal of our own that failed, all timers start
 * anew; after a reconnect or a failed renewal only the slow rule holds for slow_ms, because the
 * others have to come back as we had. Else a frozen or restarted Redis would make the living reap
 * each other. For one that is seen to be back the quick rule holds earlier: it subscribes, and its
 * counter rose LEASE_PROOF times before our eyes. (Of a link that died one renewal at most can
 * still be under way to Redis, so the second rise is of a loop that lives, on a link that works.)
 */
#ifndef GATEWAY_BUS_LEASE_H
#define GATEWAY_BUS_LEASE_H

#include "common/map.h"
#include "gateway/bus/impl.h"

#define LEASE_QUIET_MS 700 /* a tick of 500 ms, and some lag */
#define LEASE_LATE_MS 500  /* a reply later than this is no basis for a judgement */
#define LEASE_PROOF 2      /* rises of a counter that show that its gateway is back */

enum lease_verdict {
    LEASE_ALIVE,
    LEASE_STANDS, /* no rise for LEASE_QUIET_MS: who subscribes to its channel is to be asked now */
    LEASE_SUSPECT, /* nobody subscribes, and the counter stands: read again after LEASE_QUIET_MS */
    LEASE_DEAD
};

struct lease_peer {
    struct list in_order;
    uint64_t counter, since_ms;
    bool timed;          /* counter and since_ms hold */
    bool unheard;        /* the last look found no subscriber on its own channel */
    bool heard;          /* a look since the last reconnect found one */
    unsigned rises;      /* of the counter, seen since the last reconnect */
    bool stands;         /* the last reading found the counter unchanged, and no death */
    bool listed;         /* was in the list that is being read: its reader's to use */
    char id[BUS_ID_MAX]; /* NUL-terminated */
};

struct lease {
    struct map by_id;  /* of struct lease_peer */
    struct list peers; /* the same; owns them */
    uint64_t slow_ms;
    uint64_t fast_from_ms; /* before this the quick rule holds only for those that are back */
};

void lease_init(struct lease *l, uint64_t slow_ms);
void lease_fini(struct lease *l);

/* All timers start anew. relinked: the link was lost, or our own renewal failed. */
void lease_restart(struct lease *l, uint64_t now_ms, bool relinked);

/* A reading of id's counter that was asked for at asked_ms and came at now_ms. An id that was not
 * known is from now on. */
enum lease_verdict lease_reading(struct lease *l, struct str id, uint64_t counter,
                                 uint64_t asked_ms, uint64_t now_ms);
/* How many subscribe to id's own channel. True when that makes it suspect. */
bool lease_subscribers(struct lease *l, struct str id, uint64_t count);

struct lease_peer *lease_find(struct lease *l, struct str id); /* NULL: not known */
void lease_forget(struct lease *l, struct str id);

/* Somebody has not shown yet that he is back: a more frequent look at the counters is worth it. */
bool lease_unproven(const struct lease *l, uint64_t now_ms);

/* When one whose counter stands, or a suspect, is to be read again; 0 when there is none. */
uint64_t lease_next_look_ms(const struct lease *l);

#endif
