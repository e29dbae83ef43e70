/* SPDX-License-Identifier: MIT */
#include "gateway/ops/admin.h"

#include "common/alloc.h"
#include "common/json.h"
#include "common/version.h"
#include "gateway/bus/bus.h"
#include "gateway/config.h"
#include "gateway/edge/server.h"
#include "gateway/loop.h"
#include "gateway/ops/metrics.h"

#include <stdio.h>
#include <stdlib.h>

/* A loop this late serves nobody well; new clients are better off elsewhere. */
#define LAG_LIMIT_MS 500

struct ops {
    const struct stats *stats; /* borrowed: outlives us, as the three below */
    const struct bus *bus;
    const struct config *config;
    const struct loop *loop;
    enum ops_state state;
    struct http_site site;
};

static void add_check(struct buf *body, const char *name, const char *value, bool last)
{
    json_add_string(body, str_from(name));
    buf_add_char(body, ':');
    json_add_string(body, str_from(value));
    if (!last) {
        buf_add_char(body, ',');
    }
}

static const char *overall(const struct ops *o, bool healthy)
{
    switch (o->state) {
    case OPS_STARTING:
        return "starting";
    case OPS_DRAINING:
        return "draining";
    case OPS_READY:
        break;
    }
    return healthy ? "ready" : "degraded";
}

static void serve_health(void *ctx, const struct http_request *request, struct http_answer *answer)
{
    (void)ctx;
    (void)request;
    BUF_LIT(&answer->body, "{\"status\":\"ok\"}\n");
}

static void serve_ready(void *ctx, const struct http_request *request, struct http_answer *answer)
{
    (void)request;
    const struct ops *o = ctx;
    struct bus_health health;
    char lag[64] = "ok";
    uint64_t lag_ms = loop_lag_us(o->loop) / 1000;
    bus_health(o->bus, &health);
    if (lag_ms > LAG_LIMIT_MS) {
        (void)snprintf(lag, sizeof(lag), "late: %llu ms", (unsigned long long)lag_ms);
    }
    const char *status = overall(o, health.ready && lag_ms <= LAG_LIMIT_MS);
    answer->status = strcmp(status, "ready") == 0 ? 200 : 503;

    struct buf *body = &answer->body;
    buf_addf(body, "{\"status\":\"%s\",\"checks\":{", status);
    add_check(body, "listen", o->state == OPS_STARTING ? "not yet" : "ok", false);
    add_check(body, "redis_publish", health.publish, false);
    add_check(body, "redis_subscribe", health.subscribe, false);
    add_check(body, "loop", lag, true);
    BUF_LIT(body, "},");
    add_check(body, "gateway", o->config->server.gateway_name, true);
    BUF_LIT(body, "}\n");
}

static void serve_metrics(void *ctx, const struct http_request *request, struct http_answer *answer)
{
    (void)request;
    const struct ops *o = ctx;
    if (!o->config->metrics.enabled) {
        http_answer_error(answer, 404, "not_found", "metrics.enabled is off");
        return;
    }
    struct metrics_build build = {
        .version = PARLEY_VERSION,
        .revision = PARLEY_REVISION,
        .lws = edge_library_version(),
        .hiredis = bus_library_version(),
    };
    answer->content_type = METRICS_CONTENT_TYPE;
    metrics_write(&answer->body, o->stats, &build);
}

static const struct http_route routes[] = {
    {"/healthz", serve_health},
    {"/readyz", serve_ready},
    {"/metrics", serve_metrics},
};

struct ops *ops_new(const struct stats *stats, const struct bus *bus, const struct config *config,
                    const struct loop *loop)
{
    struct ops *o = xcalloc(1, sizeof(*o));
    o->stats = stats;
    o->bus = bus;
    o->config = config;
    o->loop = loop;
    o->state = OPS_STARTING;
    o->site = (struct http_site){routes, ARRAY_LEN(routes), o};
    return o;
}

void ops_free(struct ops *o)
{
    free(o);
}

void ops_set_state(struct ops *o, enum ops_state state)
{
    o->state = state;
}

const struct http_site *ops_http(const struct ops *o)
{
    return &o->site;
}
