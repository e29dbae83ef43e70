/* SPDX-License-Identifier: MIT */
#include "gateway/ops/metrics.h"

#include "gateway/ops/process.h"
#include "gateway/stats.h"

#include <inttypes.h>
#include <math.h>

static void begin(struct buf *page, const char *name, const char *type, const char *help)
{
    buf_addf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* In a label's value backslash, quote and line feed are escaped. */
static void add_label_value(struct buf *page, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        switch (*c) {
        case '\\':
            BUF_LIT(page, "\\\\");
            break;
        case '"':
            BUF_LIT(page, "\\\"");
            break;
        case '\n':
            BUF_LIT(page, "\\n");
            break;
        default:
            buf_add_char(page, *c);
        }
    }
}

static void add_label(struct buf *page, char before, const char *name, const char *value)
{
    buf_addf(page, "%c%s=\"", before, name);
    add_label_value(page, value);
    buf_add_char(page, '"');
}

static void add_value(struct buf *page, uint64_t value)
{
    buf_addf(page, " %" PRIu64 "\n", value);
}

static void add_plain(struct buf *page, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    begin(page, name, type, help);
    buf_addf(page, "%s", name);
    add_value(page, value);
}

static void add_real(struct buf *page, const char *name, const char *type, const char *help,
                     double value)
{
    begin(page, name, type, help);
    buf_addf(page, "%s %.3f\n", name, value);
}

static void add_labelled(struct buf *page, const char *name, const char *label,
                         const char *label_value, uint64_t value)
{
    buf_addf(page, "%s", name);
    add_label(page, '{', label, label_value);
    buf_add_char(page, '}');
    add_value(page, value);
}

static const char *const reject_labels[] = {
#define X(id, label, status, code, text) label,
    STATS_REJECTS(X)
#undef X
};
static const char *const drop_labels[] = {
#define X(id, label) label,
    STATS_DROPS(X)
#undef X
};
static const char *const command_labels[] = {
#define X(id, label) label,
    STATS_COMMANDS(X)
#undef X
};
static const char *const refusal_labels[] = {
#define X(id, prefix, label) label,
    STATS_REFUSALS(X)
#undef X
};
static const char *const loss_labels[] = {
#define X(id, label) label,
    STATS_LOSSES(X)
#undef X
};
static const char *const link_labels[LINK_COUNT] = {
    [LINK_COMMAND] = "publish",
    [LINK_SUBSCRIBE] = "subscribe",
};
static const char *const reload_labels[RELOAD_COUNT] = {
    [RELOAD_OK] = "ok",
    [RELOAD_FAILED] = "failed",
};

/* One family whose values stand in an array of struct stats, a label value for each. */
struct family {
    const char *name, *type, *help, *label;
    const char *const *values;
    size_t count;
    size_t offset; /* of the array in struct stats */
};

static const struct family families[] = {
    {"parley_handshakes_rejected_total", "counter", "Refused handshakes and requests by reason.",
     "reason", reject_labels, REJECT_COUNT, offsetof(struct stats, rejected)},
    {"parley_messages_dropped_total", "counter", "Messages not delivered by reason.", "reason",
     drop_labels, DROP_COUNT, offsetof(struct stats, dropped)},
    {"parley_redis_command_errors_total", "counter", "Failed commands of the bus.", "command",
     command_labels, COMMAND_COUNT, offsetof(struct stats, command_errors)},
    {"parley_redis_errors_total", "counter", "Error replies of Redis by their kind.", "error",
     refusal_labels, REFUSAL_COUNT, offsetof(struct stats, refusals)},
    {"parley_redis_lost_total", "counter", "Lost links to Redis, and tries, by cause.", "why",
     loss_labels, LOSS_COUNT, offsetof(struct stats, losses)},
    {"parley_redis_up", "gauge", "1 while the link to Redis is ready.", "link", link_labels,
     LINK_COUNT, offsetof(struct stats, link_up)},
    {"parley_redis_reconnects_total", "counter", "Reconnections to Redis.", "link", link_labels,
     LINK_COUNT, offsetof(struct stats, reconnects)},
    {"parley_config_reloads_total", "counter", "Reloads of the settings by result.", "result",
     reload_labels, RELOAD_COUNT, offsetof(struct stats, reloads)},
};

static void add_families(struct buf *page, const struct stats *stats)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct family *f = &families[i];
        const uint64_t *values = (const void *)((const char *)stats + f->offset);
        begin(page, f->name, f->type, f->help);
        for (size_t k = 0; k < f->count; k++) {
            add_labelled(page, f->name, f->label, f->values[k], values[k]);
        }
    }
}

static void add_received(struct buf *page, const struct stats *stats)
{
    static const char name[] = "parley_messages_received_total";
    begin(page, name, "counter", "Messages read from clients by type.");
    for (enum request_type t = 0; t < REQUEST_COUNT; t++) {
        add_labelled(page, name, "type", request_name(t), stats->received[t]);
    }
}

static void add_errors(struct buf *page, const struct stats *stats)
{
    static const char name[] = "parley_client_errors_total";
    begin(page, name, "counter", "Error replies sent to clients by code.");
    for (enum protocol_error e = ERROR_OK + 1; e < ERROR_COUNT; e++) {
        add_labelled(page, name, "code", protocol_error_code(e), stats->errors[e]);
    }
}

static void add_closed(struct buf *page, const struct stats *stats)
{
    static const char name[] = "parley_connections_closed_total";
    begin(page, name, "counter", "Closed connections by close code and reason.");
    for (enum close_reason r = 0; r < CLOSE_COUNT; r++) {
        buf_addf(page, "%s{code=\"%u\"", name, close_reason_code(r));
        add_label(page, ',', "reason", close_reason_word(r));
        buf_add_char(page, '}');
        add_value(page, stats->closed[r]);
    }
}

static void add_histogram(struct buf *page, const char *name, const char *help,
                          const struct stats_histogram *h)
{
    uint64_t total = 0;
    begin(page, name, "histogram", help);
    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        double bound = stats_bucket_bound_s(i);
        total += h->buckets[i];
        if (isinf(bound)) {
            buf_addf(page, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
        } else {
            buf_addf(page, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bound, total);
        }
    }
    buf_addf(page, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)h->sum_us / 1e6, name,
             h->count);
}

static void add_build(struct buf *page, const struct metrics_build *build)
{
    begin(page, "parley_build_info", "gauge", "Build information; the value is always 1.");
    BUF_LIT(page, "parley_build_info");
    add_label(page, '{', "version", build->version);
    add_label(page, ',', "revision", build->revision);
    add_label(page, ',', "lws", build->lws);
    add_label(page, ',', "hiredis", build->hiredis);
    BUF_LIT(page, "} 1\n");
}

static void add_process(struct buf *page)
{
    struct process_figures p;
    process_measure(&p);
    add_real(page, "process_cpu_seconds_total", "counter",
             "Total user and system CPU time spent in seconds.", p.cpu_seconds);
    add_plain(page, "process_open_fds", "gauge", "Number of open file descriptors.", p.open_fds);
    add_plain(page, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
              p.max_fds);
    add_plain(page, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
              p.resident_bytes);
    add_real(page, "process_start_time_seconds", "gauge",
             "Start time of the process since unix epoch in seconds.", p.start_seconds);
}

void metrics_write(struct buf *page, const struct stats *stats, const struct metrics_build *build)
{
    add_build(page, build);
#define X(field, name, help) add_plain(page, name, "counter", help, stats->field);
    STATS_COUNTERS(X)
#undef X
#define X(field, name, help) add_plain(page, name, "gauge", help, stats->field);
    STATS_GAUGES(X)
#undef X
    add_families(page, stats);
    add_received(page, stats);
    add_errors(page, stats);
    add_closed(page, stats);
    add_histogram(page, "parley_relay_latency_seconds",
                  "Time from publishing to receiving through Redis.", &stats->relay_latency);
    add_histogram(page, "parley_redis_command_duration_seconds", "Round trip of bus commands.",
                  &stats->command_latency);
    add_histogram(page, "parley_loop_lag_seconds", "Delay of the event loop.", &stats->loop_lag);
    add_process(page);
}
