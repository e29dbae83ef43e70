/* SPDX-License-Identifier: MIT */
#include "gateway/ops/admin.h"

#include "common/json.h"
#include "gateway/bus/bus.h"
#include "gateway/config.h"
#include "gateway/edge/server.h"
#include "gateway/loop.h"
#include "gateway/stats.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static struct bus_health health = {true, "ok", "ok"};
static uint64_t lag_us;

void bus_health(const struct bus *b, struct bus_health *out)
{
    (void)b;
    *out = health;
}

const char *bus_library_version(void)
{
    return "1.2.0";
}

const char *edge_library_version(void)
{
    return "4.3.5";
}

uint64_t loop_lag_us(const struct loop *l)
{
    (void)l;
    return lag_us;
}

static char gateway_name[] = "gw-\"1\"";
static struct config config = {.server = {.gateway_name = gateway_name}, .metrics = {true}};
static const struct stats stats;

static struct http_answer get(const struct ops *o, const char *path)
{
    const struct http_site *site = ops_http(o);
    struct http_request request = {.method = STR("GET"), .path = str_from(path)};
    struct http_answer answer = {.status = 200, .content_type = "application/json"};
    for (size_t i = 0; i < site->route_count; i++) {
        if (strcmp(site->routes[i].path, path) == 0) {
            site->routes[i].serve(site->ctx, &request, &answer);
            return answer;
        }
    }
    ck_abort_msg("no route %s", path);
    return answer;
}

static struct json *parse(const struct http_answer *a)
{
    static const struct json_limits limits = {4, 32};
    struct json *root = NULL;
    struct str text = {a->body.ptr, a->body.len};
    ck_assert_msg(json_parse(text, &limits, &root, NULL) == JSON_OK, "%.*s", STR_ARG(text));
    return root;
}

static void expect_ready(struct ops *o, unsigned status, const char *word)
{
    struct http_answer a = get(o, "/readyz");
    struct json *root = parse(&a);
    ck_assert_uint_eq(a.status, status);
    ck_assert_str_is(json_string(json_member(root, "status")), str_from(word));
    ck_assert_str_is(json_string(json_member(root, "gateway")), STR("gw-\"1\""));
    json_free(root);
    buf_fini(&a.body);
}

static void expect_check(struct ops *o, const char *name, const char *value)
{
    struct http_answer a = get(o, "/readyz");
    struct json *root = parse(&a);
    const struct json *checks = json_member(root, "checks");
    ck_assert_str_is(json_string(json_member(checks, name)), str_from(value));
    json_free(root);
    buf_fini(&a.body);
}

START_TEST(ready_means_listening_and_a_healthy_bus)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    expect_ready(o, 503, "starting");
    expect_check(o, "listen", "not yet");
    ops_set_state(o, OPS_READY);
    expect_ready(o, 200, "ready");
    expect_check(o, "listen", "ok");
    expect_check(o, "redis_publish", "ok");
    expect_check(o, "redis_subscribe", "ok");
    expect_check(o, "loop", "ok");
    ops_free(o);
}
END_TEST

START_TEST(a_lost_bus_degrades_and_says_why)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    ops_set_state(o, OPS_READY);
    health = (struct bus_health){false, "ok", "down: ECONNREFUSED"};
    expect_ready(o, 503, "degraded");
    expect_check(o, "redis_publish", "ok");
    expect_check(o, "redis_subscribe", "down: ECONNREFUSED");
    health.subscribe = "down: \"quoted\"\n";
    expect_check(o, "redis_subscribe", "down: \"quoted\"\n");
    ops_free(o);
}
END_TEST

START_TEST(a_late_loop_degrades)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    ops_set_state(o, OPS_READY);
    lag_us = 500 * 1000;
    expect_ready(o, 200, "ready");
    lag_us = 501 * 1000;
    expect_ready(o, 503, "degraded");
    expect_check(o, "loop", "late: 501 ms");
    ops_free(o);
}
END_TEST

START_TEST(draining_wins_and_the_bus_does_not_matter_any_more)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    ops_set_state(o, OPS_DRAINING);
    expect_ready(o, 503, "draining");
    health.ready = false;
    expect_ready(o, 503, "draining");
    ops_free(o);
}
END_TEST

START_TEST(health_is_about_the_loop_alone)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    health = (struct bus_health){false, "down", "down"};
    struct http_answer a = get(o, "/healthz");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_is(buf_str(&a.body), STR("{\"status\":\"ok\"}\n"));
    buf_fini(&a.body);
    ops_free(o);
}
END_TEST

START_TEST(metrics_can_be_switched_off)
{
    struct ops *o = ops_new(&stats, NULL, &config, NULL);
    struct http_answer a = get(o, "/metrics");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "text/plain; version=0.0.4; charset=utf-8");
    ck_assert_uint_gt(a.body.len, 1000);
    buf_fini(&a.body);
    config.metrics.enabled = false;
    a = get(o, "/metrics");
    ck_assert_uint_eq(a.status, 404);
    json_free(parse(&a));
    buf_fini(&a.body);
    ops_free(o);
}
END_TEST

UNIT_MAIN("admin", ready_means_listening_and_a_healthy_bus, a_lost_bus_degrades_and_says_why,
          a_late_loop_degrades, draining_wins_and_the_bus_does_not_matter_any_more,
          health_is_about_the_loop_alone, metrics_can_be_switched_off)
