/* SPDX-License-Identifier: MIT */
/* metrics: the counters as a page for Prometheus (text exposition format 0.0.4), and the five
 * standard metrics of a process. Names, labels and help texts come from the tables of
 * gateway/stats.h. */
#ifndef GATEWAY_OPS_METRICS_H
#define GATEWAY_OPS_METRICS_H

#include "common/buf.h"

struct stats;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What parley_build_info says; borrowed for the call. */
struct metrics_build {
    const char *version, *revision, *lws, *hiredis;
};

void metrics_write(struct buf *page, const struct stats *stats, const struct metrics_build *build);

#endif
