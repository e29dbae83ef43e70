/* SPDX-License-Identifier: MIT */
#include "gateway/serve.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/version.h"
#include "gateway/bus/bus.h"
#include "gateway/chat/chat.h"
#include "gateway/config.h"
#include "gateway/edge/server.h"
#include "gateway/edge/shed.h"
#include "gateway/edge/static.h"
#include "gateway/edge/ws.h"
#include "gateway/files.h"
#include "gateway/loop.h"
#include "gateway/memory.h"
#include "gateway/ops/admin.h"
#include "gateway/stats.h"
#include "gateway/wheel.h"

#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* After the last slot of a drain: for close frames to be answered, and for the bus to be told. */
#define DRAIN_SPARE_MS 3000
/* For the bus to take this gateway's presence and lease away. */
#define BUS_CLOSE_MS 1500
/* A gateway that did not drain spreads its closes over this time. */
#define STOP_SPREAD_MS 100

enum phase { STARTING, READY, LEAVING, DRAINING, STOPPING };

struct gateway {
    struct config *config;                /* borrowed; nobody else changes it (config.h) */
    const struct config_sources *sources; /* borrowed */
    struct stats stats;
    struct loop *loop;
    struct wheel *wheel;
    struct bus *bus;
    struct ws *ws;
    struct memory *memory;
    struct chat_context context;
    struct chat *chat;
    struct static_site *files;
    struct ops *ops;
    struct server *server;
    struct loop_timer *timer; /* what the phase waits for at most */
    enum phase phase;
};

static void on_bus_closed(void *ctx)
{
    struct gateway *g = ctx;
    loop_stop(g->loop);
}

static void stop(struct gateway *g)
{
    if (g->phase == STOPPING) {
        return;
    }
    g->phase = STOPPING;
    loop_timer_stop(g->timer);
    bus_close(g->bus, BUS_CLOSE_MS, on_bus_closed, g);
}

static void on_empty(void *ctx)
{
    stop(ctx);
}

static void drain(struct gateway *g, uint64_t over_ms)
{
    LOG(INFO, DRAIN, F_NUM("connections", g->stats.connections), F_NUM("over_ms", over_ms));
    g->phase = DRAINING;
    server_drain(g->server);
    server_stop_listening(g->server);
    chat_drain(g->chat, over_ms, on_empty, g);
    loop_timer_start(g->timer, over_ms + DRAIN_SPARE_MS);
}

/* The phase has lasted as long as it may. */
static void on_timer(void *ctx)
{
    struct gateway *g = ctx;
    if (g->phase == LEAVING) {
        drain(g, g->config->shutdown.drain_ms);
    } else {
        stop(g);
    }
}

static void on_signal(int signo, void *ctx)
{
    struct gateway *g = ctx;
    if (g->phase < LEAVING && signo == SIGTERM) {
        g->phase = LEAVING;
        g->stats.draining = 1;
        ops_set_state(g->ops, OPS_DRAINING);
        LOG(INFO, DRAIN,
            F_TEXT("msg", "not ready any more; waiting for the balancer; "
                          "a second signal stops at once"),
            F_NUM("grace_ms", g->config->shutdown.grace_ms));
        loop_timer_start(g->timer, g->config->shutdown.grace_ms);
    } else if (g->phase < DRAINING) {
        g->stats.draining = 1;
        ops_set_state(g->ops, OPS_DRAINING);
        drain(g, STOP_SPREAD_MS);
    } else {
        stop(g);
    }
}

static void log_config_line(void *ctx, bool is_error, const char *text)
{
    (void)ctx;
    if (is_error) {
        LOG(ERROR, RELOAD_FAILED, F_TEXT("msg", text));
    } else {
        LOG(WARN, CONFIG, F_TEXT("msg", text));
    }
}

/* What reads a setting where it is used needs no word; the rest makes its copies anew. */
static void apply_config(struct gateway *g)
{
    g->stats.config_loaded_s = clock_wall_s();
    chat_reload(g->chat);
    bus_reload(g->bus);
    server_reload(g->server);
    memory_reload(g->memory);
}

static void on_hangup(int signo, void *ctx)
{
    static const struct config_report report = {log_config_line, NULL};
    struct gateway *g = ctx;
    struct buf applied = {NULL, 0, 0}, restart = {NULL, 0, 0};
    enum log_level before = g->config->log.level;
    (void)signo;
    if (config_reload(g->config, g->sources, &report, &applied, &restart)) {
        apply_config(g);
        g->stats.reloads[RELOAD_OK]++;
        /* Told when either of the levels lets it be told. */
        log_set_level(before > g->config->log.level ? before : g->config->log.level);
        LOG(INFO, RELOAD, F_STR("changed", buf_str(&applied)));
        log_set_level(g->config->log.level);
    } else {
        g->stats.reloads[RELOAD_FAILED]++;
        LOG(ERROR, RELOAD_FAILED, F_TEXT("msg", "the settings are as they were"));
    }
    if (restart.len > 0) {
        LOG(WARN, RELOAD, F_TEXT("msg", "these change with a restart only"),
            F_STR("changed", buf_str(&restart)));
    }
    buf_fini(&applied);
    buf_fini(&restart);
}

static bool open_bus(struct gateway *g, char *err, size_t err_size)
{
    if (g->config->redis.url[0] == '\0') {
        g->bus = bus_memory_new(g->loop, g->config, &g->stats);
    } else {
        g->bus = bus_redis_new(g->loop, g->config, &g->stats, err, err_size);
    }
    return g->bus != NULL;
}

static bool open_edge(struct gateway *g, char *err, size_t err_size)
{
    g->files = static_site_new(g->config->server.static_dir, err, err_size);
    if (g->files == NULL) {
        return false;
    }
    g->server = server_new(g->loop, g->config, &g->stats, g->ws, static_site_http(g->files),
                           ops_http(g->ops), err, err_size);
    return g->server != NULL && server_listen(g->server, err, err_size);
}

static void on_lag(void *ctx, uint64_t us)
{
    struct gateway *g = ctx;
    stats_observe(&g->stats.loop_lag, us);
}

static uint64_t on_memory_over(void *ctx, uint64_t bytes)
{
    struct gateway *g = ctx;
    return ws_shed(g->ws, bytes);
}

static void build(struct gateway *g)
{
    struct ws_handlers handlers;
    g->loop = loop_new();
    loop_on_lag(g->loop, on_lag, g);
    g->wheel = wheel_new(g->loop);
    g->timer = loop_timer_new(g->loop, on_timer, g);
    g->context = (struct chat_context){
        .loop = g->loop, .wheel = g->wheel, .config = g->config, .stats = &g->stats};
    g->chat = chat_new(&g->context);
    chat_ws_handlers(g->chat, &handlers);
    g->ws = ws_new(g->loop, g->wheel, g->config, &g->stats, &handlers);
    g->context.ws = g->ws;
    const struct memory_events events = {on_memory_over, g};
    g->memory = memory_new(g->loop, g->config, &g->stats, &events);
}

static void start(struct gateway *g)
{
    struct bus_events events;
    g->context.bus = g->bus;
    chat_bus_events(g->chat, &events);
    bus_start(g->bus, &events);
    loop_on_signal(g->loop, SIGTERM, on_signal, g);
    loop_on_signal(g->loop, SIGINT, on_signal, g);
    loop_on_signal(g->loop, SIGHUP, on_hangup, g);
    g->phase = READY;
    ops_set_state(g->ops, OPS_READY);
    for (size_t i = 0; i < g->config->server.listen.count; i++) {
        LOG(INFO, READY, F_TEXT("listen", g->config->server.listen.items[i]),
            F_TEXT("path", g->config->server.path),
            F_TEXT("bus", g->config->redis.url[0] != '\0' ? "redis" : "memory"));
    }
}

/* In reverse, and in this order: closing the sockets ends the sessions, which still speak to the
 * bus; freeing the bus completes what rooms and users wait for. */
static void take_down(struct gateway *g)
{
    server_free(g->server);
    bus_free(g->bus);
    chat_free(g->chat);
    memory_free(g->memory);
    ws_free(g->ws);
    ops_free(g->ops);
    static_site_free(g->files);
    loop_timer_free(g->timer);
    wheel_free(g->wheel);
    loop_free(g->loop);
}

int serve(struct config *config, const struct config_sources *sources)
{
    struct gateway g = {.config = config, .sources = sources};
    char err[256] = "";
    int code = EX_OK;

    log_setup(str_from(config->server.gateway_name), config->log.level, config->log.format,
              config->log.rate_limit, STDERR_FILENO);
    LOG(INFO, START, F_TEXT("version", PARLEY_VERSION), F_TEXT("revision", PARLEY_REVISION),
        F_NUM("pid", getpid()), F_NUM("nofile", files_raise_limit()));
    LOG(WARN, INSECURE,
        F_TEXT("msg", "no tokens yet: whoever reaches the port may join any room "
                      "under any free name"));
    g.stats.config_loaded_s = clock_wall_s();
    build(&g);
    if (!open_bus(&g, err, sizeof(err))) {
        fprintf(stderr, "parley: %s\n", err);
        code = EX_CONFIG;
        goto end;
    }
    g.ops = ops_new(&g.stats, g.bus, config, g.loop);
    if (!open_edge(&g, err, sizeof(err))) {
        fprintf(stderr, "parley: %s\n", err);
        code = EX_UNAVAILABLE;
        goto end;
    }
    start(&g);
    loop_run(g.loop);
    LOG(INFO, STOP, F_NUM("connections", g.stats.connections));

end:
    take_down(&g);
    return code;
}
