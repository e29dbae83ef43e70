/* SPDX-License-Identifier: MIT */
/* admin: what the internal listener serves: /healthz (the loop turns), /readyz (should a balancer
 * send clients here?) and /metrics. It tells, and changes nothing. */
#ifndef GATEWAY_OPS_ADMIN_H
#define GATEWAY_OPS_ADMIN_H

#include "common/base.h"
#include "gateway/edge/http.h"

struct bus;
struct config;
struct loop;
struct ops;
struct stats;

enum ops_state {
    OPS_STARTING, /* not listening yet */
    OPS_READY,
    OPS_DRAINING,
};

/* Everything is borrowed and outlives the ops. It begins in OPS_STARTING. */
struct ops *ops_new(const struct stats *stats, const struct bus *bus, const struct config *config,
                    const struct loop *loop);
void ops_free(struct ops *o);
void ops_set_state(struct ops *o, enum ops_state state);
const struct http_site *ops_http(const struct ops *o); /* borrowed from o */

#endif
