/* SPDX-License-Identifier: MIT */
/* bench_process: CPU time and memory of the servers under load, from /proc. */
#ifndef CLIENT_CLI_BENCH_PROCESS_H
#define CLIENT_CLI_BENCH_PROCESS_H

#include "common/base.h"

struct process_sample {
    double cpu_s; /* user and system, all threads */
    uint64_t rss_bytes;
};

struct process {
    const char *name; /* borrowed; not NUL-terminated at name_len */
    int name_len;
    int pid;
    bool aux; /* shown, but not counted as the server's */
    struct process_sample start, from, to;
};

/* Reads "NAME=PID". False: it is not one. */
bool process_parse(struct process *p, const char *text) MUST_CHECK;
/* False, and zeros: there is no such process. */
bool process_sample(int pid, struct process_sample *sample) MUST_CHECK;
double process_own_cpu_s(void); /* of the load generator */

#endif
