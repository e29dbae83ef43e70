/* SPDX-License-Identifier: MIT */
/* bench_options: the command line of `parley bench`, and the workloads it names. */
#ifndef CLIENT_CLI_BENCH_OPTIONS_H
#define CLIENT_CLI_BENCH_OPTIONS_H

#include "client/cli/adapter.h"
#include "client/cli/bench_process.h"
#include "client/cli/endpoint.h"

#include <assert.h>

#define OPTIONS_URLS_MAX 16
#define OPTIONS_PROCESSES_MAX 64

enum workload_kind {
    WORKLOAD_LOAD,   /* messages, closed loop or fixed rate */
    WORKLOAD_SETUP,  /* connections, and nothing after */
    WORKLOAD_IDLE,   /* connections that are held */
    WORKLOAD_DROPS,  /* messages while every member's link is cut again and again */
    WORKLOAD_DIRECT, /* direct messages beside a room that floods */
};

struct workload {
    const char *name;
    enum workload_kind kind;
    unsigned rooms, members; /* members of each room; 0: not given */
    unsigned publishers;     /* of each room; PUBLISHERS_ALL: every member */
    unsigned window;
    double rate; /* 0: closed loop */
    unsigned concurrency;
    unsigned seconds;
    const char *help;
};

#define PUBLISHERS_ALL 0u
#define CONCURRENCY_ALL 0u

extern const struct workload workloads[];
extern const size_t workload_count;

const struct workload *workload_find(const char *name); /* NULL: there is none */

struct options {
    const struct workload *workload;
    const struct adapter *adapter;
    struct endpoint urls[OPTIONS_URLS_MAX], publish_urls[OPTIONS_URLS_MAX];
    unsigned url_count, publish_url_count;
    struct process processes[OPTIONS_PROCESSES_MAX];
    unsigned process_count;
    unsigned rooms, members, connections; /* connections: in all; shared evenly by the rooms */
    unsigned publishers, window, concurrency, size;
    double rate, direct_rate;
    uint64_t warmup_ns, duration_ns, drain_ns, stall_ns, setup_ns, drop_every_ns, drop_for_ns;
    const char *room_prefix, *label; /* borrowed; room_prefix NULL: a random one */
    bool json, strict, spin, help;
};

/* argv[0] is the command's name. False: reported on stderr. */
bool options_read(struct options *o, int argc, char **argv) MUST_CHECK;
void options_print_help(void);

/* How many members room number `room` has. */
static inline unsigned options_room_size(const struct options *o, unsigned room)
{
    assert(o->rooms > 0);
    return o->connections / o->rooms + (room < o->connections % o->rooms);
}

#endif
