/* SPDX-License-Identifier: MIT */
/* bench_load: who sends what and when, and what every delivery means: for the figures, for the
 * checks, and for the publisher, whose window it makes room in. It touches no socket: what is to be
 * sent goes through client_say, and time comes in as a value. */
#ifndef CLIENT_CLI_BENCH_LOAD_H
#define CLIENT_CLI_BENCH_LOAD_H

#include "client/cli/bench_check.h"
#include "client/cli/bench_client.h"
#include "client/cli/histogram.h"

struct load;
struct options;

struct bench_room {
    char *text;          /* owned by the load */
    struct str name;     /* borrowed from it */
    uint32_t receivers;  /* deliveries of one message */
    uint32_t publishers; /* their tags are in a row, from first_publisher */
    uint32_t first_publisher;
    bool ordered; /* more than one publisher: all members must see one order */
    struct check_order order;
};

struct load_counts {
    uint64_t sent, deliveries;
    uint64_t window_sent, window_deliveries; /* between load_measure and load_measure_end */
    uint64_t duplicates, reordered, diverged;
    uint64_t strays;    /* of a publisher of another room */
    uint64_t malformed; /* strict: the JSON, the room or the text is not what was sent */
    uint64_t stalls;    /* messages given up in a closed loop */
};

/* Publishers of one kind that take turns. */
struct load_schedule {
    double rate; /* messages a second of all together; 0: closed loop with a window for each */
    uint32_t window;
    uint32_t first, count;   /* of the publishers */
    uint64_t start_ns, sent; /* rate: message n is due at start + n / rate */
    bool running;
    struct histogram *latency; /* borrowed; in ns */
};

struct load *load_new(const struct options *o, struct poller *poller);
void load_free(struct load *l);

/* A room of `receivers` members; publishers are added to it at once, one after another. */
struct bench_room *load_add_room(struct load *l, struct str name, uint32_t receivers);
/* c publishes to its room; to_user: direct messages go to that user instead, UINT32_MAX for none.
 * slots: how many messages may be on their way and still be timed. */
void load_add_publisher(struct load *l, struct client *c, struct load_schedule *s, uint32_t to_user,
                        size_t slots);
/* After the last publisher: every member can be given its tracks. */
void load_add_member(struct load *l, struct client *c);

void load_start(struct load *l, struct load_schedule *s, uint64_t now_ns);
void load_stop(struct load_schedule *s);
/* Sends what is due; returns when the next is, at the latest in a tenth of a second. */
uint64_t load_pump(struct load *l, struct load_schedule *const *schedules, size_t count,
                   uint64_t now_ns);

/* Latencies of messages that are due from now on count, until the end. */
void load_measure(struct load *l, uint64_t now_ns);
void load_measure_end(struct load *l, uint64_t now_ns);

void load_delivered(struct load *l, struct client *c, struct tag tag, struct str delivery,
                    uint64_t now_ns);

const struct load_counts *load_counts(const struct load *l);
bool load_all_arrived(const struct load *l);
/* How many of the messages to this member have not come. */
uint64_t load_missing(const struct load *l, const struct client *c);
/* How many messages went to this member's room. */
uint64_t load_sent_to(const struct load *l, const struct client *c);

#endif
