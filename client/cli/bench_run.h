/* SPDX-License-Identifier: MIT */
/* bench_run: a run under way; what the parts of bench share, and nobody else includes.
 *
 *   bench.c         the phases of each workload
 *   bench_cast.c    which clients there are, in which rooms, and who publishes
 *   bench_setup.c   connecting them all
 *   bench_drops.c   cutting their links, and bringing them back
 *   bench_report.c  the answer */
#ifndef CLIENT_CLI_BENCH_RUN_H
#define CLIENT_CLI_BENCH_RUN_H

#include "client/cli/bench_client.h"
#include "client/cli/bench_load.h"
#include "client/cli/bench_options.h"

struct bench {
    struct options options;
    struct poller *poller;
    struct load *load;
    struct client *clients; /* owned; members first, then those that are none */
    size_t client_count, member_count;
    struct adapter_position *positions; /* owned; one for each member, in drops alone */
    struct load_schedule messages, directs;
    struct load_schedule *schedules[2]; /* both */

    /* Connecting. */
    size_t next_to_open, opening, open;
    uint64_t failed; /* connections that were never made */
    uint64_t closed; /* that a server closed later */
    const char *why; /* static text: the first reason of either */
    double setup_s, setup_cpu_s;
    struct histogram setup;

    /* The measuring window. */
    double window_s, own_cpu_s;
    struct histogram latency;       /* of messages to rooms */
    struct histogram direct, quiet; /* of direct messages beside the flood, and alone */
    uint64_t heartbeats;            /* before the window, then in it */
    struct client_counts from, to;  /* of the poller */

    /* Drops. */
    bool dropping; /* links are cut; false: they only come back */
    uint64_t cuts, returns, recovered, retries;
};

/* Runs the loop until a time. */
void bench_run_until(struct bench *b, uint64_t end_ns);

void bench_cast(struct bench *b);
void bench_cast_free(struct bench *b);

/* Connects everybody; false: not all of them are in their room. */
bool bench_set_up(struct bench *b) MUST_CHECK;
extern const struct client_events bench_events;

void bench_drops_begin(struct bench *b, uint64_t now_ns);
uint64_t bench_drops_pump(struct bench *b, uint64_t now_ns); /* returns when it is due again */
bool bench_drops_all_back(const struct bench *b);
bool bench_drops_cuts(const struct client *c); /* whether this one's link is ever cut */

/* Prints the answer; false: a check failed. */
bool bench_report(struct bench *b);

#endif
