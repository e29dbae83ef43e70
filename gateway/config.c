/* SPDX-License-Identifier: MIT */
#include "gateway/config.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/names.h"
#include "common/version.h"
#include "gateway/config_table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME_HOST_BYTES 52 /* of 64: the rest is for "-" and the process id */

#define AT(field) offsetof(struct config, field)

#define RANGE(lowest, highest) .min = (lowest), .max = (highest)
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define S UINT64_C(1000)
#define MIN (60 * S)
#define HOUR (60 * MIN)

#define ADDRESS_FORM "ADDRESS:PORT, [IPV6]:PORT, unix:/PATH or fd:NUMBER with ports from 1 to 65535"
#define ORIGIN_FORM "* or origins: scheme://host or scheme://host:port, without a path"
#define PATH_FORM                                                                               \
    "a path that begins with / and has only letters, digits and . _ ~ - / in it (not /client, " \
    "which holds the web client's files)"
#define REDIS_FORM                                                                                \
    "redis://[user:password@]host[:port][/database] or unix:///path[?db=N] (this version speaks " \
    "no TLS, "                                                                                    \
    "Sentinel or Cluster to Redis)"

/* A table reads best as a table: name, kind, field, default, help, then the range or the form.
 * Whatever reloads is read anew wherever it is used, or has its maker told (config.h). */
/* clang-format off */
const struct config_setting config_settings[] = {
    {"server", "listen", CONFIG_LIST, AT(server.listen), "0.0.0.0:8080",
     .help = "where clients connect; may be given several times",
     .valid = config_is_address, .form = ADDRESS_FORM},
    {"server", "path", CONFIG_TEXT, AT(server.path), "/ws",
     .help = "where the WebSocket lives", .valid = config_is_path, .form = PATH_FORM},
    {"server", "gateway_name", CONFIG_TEXT, AT(server.gateway_name), NULL,
     .help = "names this gateway in logs, metrics and welcomes",
     .valid = config_is_name, .form = "1 to 64 letters, digits and . _ -",
     .shown = "<hostname>-<pid>"},
    {"server", "workers", CONFIG_COUNT, AT(server.workers), "1",
     .help = "gateways on these addresses, with Redis; 0: one a core",
     RANGE(0, CONFIG_WORKERS_MAX)},
    {"server", "backlog", CONFIG_COUNT, AT(server.backlog), "4096",
     .help = "connections that may wait to be accepted", RANGE(1, 65535)},
    {"server", "static_dir", CONFIG_TEXT, AT(server.static_dir), PARLEY_STATIC_DIR,
     .help = "the web client's files; empty: serve none",
     .valid = config_is_any, .form = "a directory", .shown = "<prefix>/share/parley/client"},
    {"server", "max_header_bytes", CONFIG_SIZE, AT(server.max_header_bytes), "8k",
     .help = "headers of one request", RANGE(1 * KIB, 32 * KIB)},
    {"server", "flush_budget", CONFIG_COUNT, AT(server.flush_budget), "128",
     .help = "sends to one room before another room's turn", RANGE(1, 1000000)},
    {"server", "memory_max", CONFIG_SIZE, AT(server.memory_max), "0",
     .reloads = true, .help = "resident bytes; above, nobody new may come; 0: no limit",
     RANGE(0, 1024 * GIB)},
    {"server", "io_uring", CONFIG_BOOL, AT(server.io_uring), "yes",
     .help = "many sends in one system call, if the kernel can"},
    {"server", "trusted_proxies", CONFIG_LIST, AT(server.trusted_proxies), "",
     .reloads = true, .help = "whose X-Forwarded-For is believed",
     .valid = config_is_proxy, .form = "IP addresses or networks (as 10.0.0.0/8)"},

    {"admin", "listen", CONFIG_LIST, AT(admin.listen), "127.0.0.1:9080",
     .help = "health and metrics; keep it private; empty: none",
     .valid = config_is_address, .form = ADDRESS_FORM},

    {"client", "allowed_origins", CONFIG_LIST, AT(client.allowed_origins), "",
     .reloads = true, .help = "sites that may connect; empty: this host; *: all",
     .valid = config_is_origin, .form = ORIGIN_FORM},
    {"client", "allow_no_origin", CONFIG_BOOL, AT(client.allow_no_origin), "yes",
     .reloads = true, .help = "whether programs that send no Origin may connect"},
    {"client", "max_connections", CONFIG_COUNT, AT(client.max_connections), "0",
     .help = "of this gateway; 0: as many as open files allow", RANGE(0, 1048576)},
    {"client", "max_per_ip", CONFIG_COUNT, AT(client.max_per_ip), "0",
     .reloads = true, .help = "of one address (IPv6: of one /64); 0: no limit",
     RANGE(0, 1048576)},
    {"client", "connect_rate", CONFIG_RATE, AT(client.connect_rate), "0",
     .reloads = true, .help = "accepted; who is refused hears when to come back"},
    {"client", "join_timeout", CONFIG_DURATION, AT(client.join_timeout_ms), "60s",
     .help = "a connection that is in no room this long is closed", RANGE(100, HOUR)},
    {"client", "max_message_bytes", CONFIG_SIZE, AT(client.max_message_bytes), "16k",
     .help = "of one message from a client", RANGE(256, 16 * MIB)},
    {"client", "max_json_depth", CONFIG_COUNT, AT(client.max_json_depth), "16",
     .help = "nested objects and arrays of one message", RANGE(2, 64)},
    {"client", "max_json_nodes", CONFIG_COUNT, AT(client.max_json_nodes), "256",
     .help = "values in one message", RANGE(8, 65536)},
    {"client", "max_rooms", CONFIG_COUNT, AT(client.max_rooms), "128",
     .reloads = true, .help = "rooms that one connection may be in", RANGE(1, 65536)},
    {"client", "max_fragments", CONFIG_COUNT, AT(client.max_fragments), "64",
     .help = "frames that one message may come in", RANGE(1, 65535)},
    {"client", "rate_messages", CONFIG_RATE, AT(client.rate_messages), "20/s burst 40",
     .reloads = true, .help = "messages from one connection"},
    {"client", "rate_joins", CONFIG_RATE, AT(client.rate_joins), "5/s burst 128",
     .reloads = true, .help = "joins from one connection, all at once after a loss"},
    {"client", "rate_errors", CONFIG_RATE, AT(client.rate_errors), "10/min burst 10",
     .reloads = true, .help = "malformed messages before a connection is closed"},
    {"client", "rate_refused", CONFIG_RATE, AT(client.rate_refused), "5/s burst 50",
     .reloads = true, .help = "rate_limited answers before a connection is closed"},
    {"client", "heartbeat", CONFIG_DURATION, AT(client.heartbeat_ms), "25s",
     .help = "silence before a ping", RANGE(100, HOUR)},
    {"client", "heartbeat_timeout", CONFIG_DURATION, AT(client.heartbeat_timeout_ms), "10s",
     .help = "silence after it before the connection is closed", RANGE(50, HOUR)},
    {"client", "backlog_soft", CONFIG_SIZE, AT(client.backlog_soft), "256k",
     .reloads = true, .help = "unread bytes of a room before a client skips some",
     RANGE(1 * KIB, 1 * GIB)},
    {"client", "backlog_hard", CONFIG_SIZE, AT(client.backlog_hard), "1m",
     .reloads = true, .help = "unread bytes before a slow client is closed",
     RANGE(1 * KIB, 2 * GIB)},
    {"client", "stuck", CONFIG_DURATION, AT(client.stuck_ms), "30s",
     .help = "time without reading before a slow client is closed", RANGE(100, HOUR)},
    {"client", "send_buffer", CONFIG_SIZE, AT(client.send_buffer), "64k",
     .help = "the kernel's send buffer of a connection (SO_SNDBUF)", RANGE(4 * KIB, 16 * MIB)},

    {"room", "history_size", CONFIG_COUNT, AT(room.history_size), "100",
     .reloads = true, .help = "messages kept; 0: none", RANGE(0, 100000)},
    {"room", "history_ttl", CONFIG_DURATION, AT(room.history_ttl_ms), "1h",
     .reloads = true, .help = "how long a quiet room's messages are kept",
     RANGE(1 * S, 720 * HOUR)},
    {"room", "presence", CONFIG_WORD, AT(room.presence), "full",
     .reloads = true, .help = "who is there: with names, only how many, or nothing",
     .words = {"full", "count", "off"}},
    {"room", "presence_interval", CONFIG_DURATION, AT(room.presence_interval_ms), "250ms",
     .reloads = true, .help = "at most one presence message in this time", RANGE(10, MIN)},
    {"room", "rejoin_grace", CONFIG_DURATION, AT(room.rejoin_grace_ms), "3s",
     .reloads = true, .help = "a lost member who is back by then never left",
     RANGE(0, 5 * MIN)},
    {"room", "max_members", CONFIG_COUNT, AT(room.max_members), "0",
     .reloads = true, .help = "of one room; 0: no limit", RANGE(0, 10000000)},
    {"room", "publish", CONFIG_WORD, AT(room.publish), "members",
     .reloads = true, .help = "who may chat and signal: members, or only the server",
     .words = {"members", "server"}},
    {"room", "dedupe_ttl", CONFIG_DURATION, AT(room.dedupe_ttl_ms), "5m",
     .reloads = true, .help = "how long a key marks a message as sent before",
     RANGE(1 * S, 24 * HOUR)},
    {"room", "name_max_bytes", CONFIG_COUNT, AT(room_name_max_bytes), "128",
     .help = "of a room's name", RANGE(1, NAMES_ROOM_MAX_BYTES)},

    {"redis", "url", CONFIG_SECRET, AT(redis.url), "",
     .help = "what all gateways share; empty: one gateway alone",
     .valid = config_is_redis_url, .form = REDIS_FORM},
    {"redis", "url_file", CONFIG_SECRET_FILE, AT(redis.url), "",
     .help = "a file with the URL, which everybody may not read",
     .valid = config_is_redis_url, .form = "a Redis URL"},
    {"redis", "prefix", CONFIG_TEXT, AT(redis.prefix), "parley",
     .help = "begins every key and channel",
     .valid = config_is_prefix, .form = "1 to 64 letters, digits and . _ : -"},
    {"redis", "connect_timeout", CONFIG_DURATION, AT(redis.connect_timeout_ms), "2s",
     .help = "for one attempt", RANGE(10, 10 * MIN)},
    {"redis", "command_timeout", CONFIG_DURATION, AT(redis.command_timeout_ms), "2s",
     .help = "for one answer; after it the link counts as lost", RANGE(10, 10 * MIN)},
    {"redis", "reconnect_min", CONFIG_DURATION, AT(redis.reconnect_min_ms), "100ms",
     .help = "longest wait before the first new attempt; it doubles", RANGE(1, 10 * MIN)},
    {"redis", "reconnect_max", CONFIG_DURATION, AT(redis.reconnect_max_ms), "1s",
     .help = "longest wait before any attempt", RANGE(1, 10 * MIN)},
    {"redis", "tick", CONFIG_DURATION, AT(redis.tick_ms), "500ms",
     .help = "sign of life to the other gateways", RANGE(50, MIN)},
    {"redis", "lease", CONFIG_DURATION, AT(redis.lease_ms), "5s",
     .help = "silence after which a gateway counts as dead", RANGE(200, 10 * MIN)},
    {"redis", "publish_buffer", CONFIG_SIZE, AT(redis.publish_buffer), "1m",
     .help = "messages that may wait for Redis; more are refused", RANGE(4 * KIB, 1 * GIB)},
    {"redis", "request_buffer", CONFIG_SIZE, AT(redis.request_buffer), "8m",
     .help = "other requests that may wait for Redis",
     RANGE(4 * KIB, 1 * GIB)},

    {"log", "level", CONFIG_WORD, AT(log.level), "info",
     .reloads = true, .help = "the least that is logged",
     .words = {"error", "warn", "info", "debug"}},
    {"log", "format", CONFIG_WORD, AT(log.format), "logfmt",
     .help = "of the lines on stderr", .words = {"logfmt", "json"}},
    {"log", "access", CONFIG_BOOL, AT(log.access), "yes",
     .reloads = true, .help = "one line for each connection"},
    {"log", "rate_limit", CONFIG_COUNT, AT(log.rate_limit), "100",
     .help = "lines a second of one event; 0: no limit",
     RANGE(0, 1000000)},

    {"metrics", "enabled", CONFIG_BOOL, AT(metrics.enabled), "yes",
     .help = "whether the admin listener serves /metrics"},

    {"shutdown", "grace", CONFIG_DURATION, AT(shutdown.grace_ms), "5s",
     .help = "serving, but not ready: for balancers to notice", RANGE(0, 10 * MIN)},
    {"shutdown", "drain", CONFIG_DURATION, AT(shutdown.drain_ms), "60s",
     .help = "over which clients are sent away one after another", RANGE(0, HOUR)},
};
/* clang-format on */
const size_t config_setting_count = ARRAY_LEN(config_settings);

/* In alphabetical order. */
const struct config_later config_later_settings[] = {
    {"auth", NULL},
    {"admin", "agent_listen"},
    {"admin", "insecure"},
    {"admin", "key_file"},
    {"admin", "ops"},
    {"admin", "readonly"},
    {"client", "compression"},
    {"client", "compression_level"},
    {"client", "compression_min_bytes"},
    {"client", "max_per_user"},
    {"log", "file"},
    {"metrics", "path"},
    {"metrics", "process"},
    {"redis", "on_down"},
    {"room", "name_pattern"},
    {"server", "tls_cert"},
    {"server", "tls_key"},
    {"shutdown", "jitter"},
    {NULL, NULL},
};

__attribute__((format(printf, 4, 0))) static void report(struct config_load *l,
                                                         const struct config_place *at,
                                                         bool is_error, const char *fmt,
                                                         va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    assert(len >= 0);
    char *text = xmalloc((size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, fmt, args);

    struct buf line = {NULL, 0, 0};
    buf_add(&line, at->source);
    if (at->line > 0) {
        buf_addf(&line, ":%u:%u", at->line, at->column);
    }
    buf_add(&line, line.len > 0 ? STR(": ") : STR(""));
    buf_add(&line, str_from(text));
    buf_add_char(&line, '\0');
    l->report->line(l->report->ctx, is_error, line.ptr);
    l->failed = l->failed || is_error;
    buf_fini(&line);
    free(text);
}

void config_error(struct config_load *l, const struct config_place *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    report(l, at, true, fmt, args);
    va_end(args);
}

void config_warning(struct config_load *l, const struct config_place *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    report(l, at, false, fmt, args);
    va_end(args);
}

void config_assign(struct config_load *l, const struct config_setting *s, enum config_rank rank,
                   const struct config_place *at, struct str text)
{
    struct config_origin *origin = &l->origins[s - config_settings];
    assert(rank >= origin->rank); /* sources are read in the order in which they win */
    bool adds = s->kind == CONFIG_LIST && rank == origin->rank && rank != CONFIG_DEFAULT;
    if (s->kind == CONFIG_LIST && !adds) {
        config_value_clear(l->config, s);
    }
    struct buf why = {NULL, 0, 0};
    bool good = config_value_set(l->config, s, text, &why);
    if (!good) {
        config_error(l, at, "%.*s", STR_ARG(buf_str(&why)));
    }
    *origin = (struct config_origin){rank, *at, !good || (adds && origin->bad)};
    buf_fini(&why);
}

/* The machine's name and the process id: unique where gateways share a machine, and readable. */
static void add_default_name(struct buf *b)
{
    char host[NAME_HOST_BYTES + 1] = {0};
    if (gethostname(host, NAME_HOST_BYTES) != 0 || !config_is_name(str_from(host))) {
        buf_add(b, STR("gateway"));
    } else {
        buf_add(b, str_from(host));
    }
    buf_addf(b, "-%ld", (long)getpid());
}

static void load_defaults(struct config_load *l)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *s = &config_settings[i];
        const struct config_place nowhere = {{NULL, 0}, 0, 0};
        struct buf computed = {NULL, 0, 0};
        if (s->value == NULL) {
            add_default_name(&computed);
        }
        if (s->kind != CONFIG_SECRET_FILE) {
            config_assign(l, s, CONFIG_DEFAULT, &nowhere,
                          s->value != NULL ? str_from(s->value) : buf_str(&computed));
        }
        buf_fini(&computed);
    }
    assert(!l->failed); /* a default outside its own range is our bug */
}

bool config_load(struct config *c, const struct config_sources *sources,
                 const struct config_report *report_to)
{
    struct config_load l = {.config = c, .report = report_to};
    *c = (struct config){0};
    l.origins = xcalloc(config_setting_count, sizeof(*l.origins));
    load_defaults(&l);
    if (sources->file != NULL) {
        config_load_file(&l, sources->file);
    }
    config_load_environment(&l, sources->envp);
    config_load_flags(&l, sources->flag_count, sources->flags);
    config_kinds_inherit(&l);
    config_check(&l);
    config_kinds_end(&l);
    free(l.origins);
    if (l.failed) {
        config_free(c);
    }
    return !l.failed;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        config_value_clear(c, &config_settings[i]);
    }
    config_kinds_free(&c->kinds);
}
