/* SPDX-License-Identifier: MIT */
/* process: what the system says about this process (Linux's /proc). */
#ifndef GATEWAY_OPS_PROCESS_H
#define GATEWAY_OPS_PROCESS_H

#include "common/base.h"

struct process_figures {
    double cpu_seconds;   /* user and system */
    double start_seconds; /* Unix time */
    uint64_t resident_bytes, open_fds, max_fds;
};

void process_measure(struct process_figures *out); /* what cannot be read is 0 */

#endif
