/* SPDX-License-Identifier: MIT */
/* The page is read by a small strict parser of the text exposition format (version 0.0.4), with the
 * rules that `promtool check metrics` adds: HELP and TYPE once each and first, counters end in
 * _total, no series twice, cumulative buckets that end in +Inf and agree with _count. */
#include "gateway/ops/metrics.h"

#include "common/protocol.h"
#include "gateway/stats.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define SERIES_MAX 512
#define NAME_MAX_LEN 96

static const struct metrics_build build = {"1.2.3", "abc\\def\"g\nh", "4.3.5", "1.2.0"};

struct parser {
    char family[NAME_MAX_LEN];
    enum { NONE, COUNTER, GAUGE, HISTOGRAM } type;
    char seen_families[64][NAME_MAX_LEN];
    size_t family_count;
    char *series[SERIES_MAX]; /* name and labels; borrowed from the page's lines */
    double values[SERIES_MAX];
    size_t series_count;
    double bucket, last_bound; /* of the histogram under way */
    bool helped, has_inf, has_sum, has_count;
};

static size_t name_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == ':') {
        n++;
    }
    ck_assert_msg(n > 0 && n < NAME_MAX_LEN && !isdigit((unsigned char)text[0]), "name in: %s",
                  text);
    return n;
}

static void end_family(const struct parser *p)
{
    if (p->type == HISTOGRAM) {
        ck_assert_msg(p->has_inf && p->has_sum && p->has_count, "%s lacks a part", p->family);
    }
}

static void parse_comment(struct parser *p, const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0;
    ck_assert_msg(help || strncmp(line, "# TYPE ", 7) == 0, "comment: %s", line);
    const char *name = line + 7;
    size_t len = name_length(name);
    ck_assert_msg(name[len] == ' ', "comment: %s", line);
    if (help) {
        end_family(p);
        ck_assert_msg(line[strlen(line) - 1] == '.', "help is a sentence: %s", line);
        memcpy(p->family, name, len);
        p->family[len] = '\0';
        for (size_t i = 0; i < p->family_count; i++) {
            ck_assert_msg(strcmp(p->seen_families[i], p->family) != 0, "twice: %s", p->family);
        }
        ck_assert_uint_lt(p->family_count, 64);
        memcpy(p->seen_families[p->family_count++], p->family, len + 1);
        p->helped = true;
        p->type = NONE;
        return;
    }
    ck_assert_msg(p->helped && strlen(p->family) == len && strncmp(p->family, name, len) == 0,
                  "TYPE follows HELP: %s", line);
    const char *type = name + len + 1;
    p->helped = false;
    p->type = strcmp(type, "counter") == 0     ? COUNTER
              : strcmp(type, "gauge") == 0     ? GAUGE
              : strcmp(type, "histogram") == 0 ? HISTOGRAM
                                               : NONE;
    ck_assert_msg(p->type != NONE, "type: %s", line);
    bool total = len > 6 && strncmp(name + len - 6, "_total", 6) == 0;
    ck_assert_msg(total == (p->type == COUNTER), "_total is for counters: %s", line);
    p->bucket = p->last_bound = -1;
    p->has_inf = p->has_sum = p->has_count = false;
}

/* Returns what follows the labels; *le is the bucket's bound when there is one. */
static const char *parse_labels(const char *at, double *le, bool *is_bound)
{
    ck_assert_int_eq(*at, '{');
    do {
        const char *name = ++at;
        size_t len = name_length(name);
        at += len;
        ck_assert_msg(at[0] == '=' && at[1] == '"', "label: %s", name);
        const char *value = at += 2;
        while (*at != '"') {
            ck_assert_msg(*at != '\0', "label without end: %s", name);
            if (*at == '\\') {
                at++;
                ck_assert_msg(*at == '\\' || *at == '"' || *at == 'n', "escape: %s", name);
            }
            at++;
        }
        if (len == 2 && strncmp(name, "le", 2) == 0) {
            *is_bound = true;
            *le = strncmp(value, "+Inf\"", 5) == 0 ? HUGE_VAL : strtod(value, NULL);
        }
        at++;
    } while (*at == ',');
    ck_assert_msg(*at == '}', "after the labels: %s", at);
    return at + 1;
}

static void check_histogram(struct parser *p, const char *suffix, double value, double le,
                            bool is_bound)
{
    if (strcmp(suffix, "_bucket") == 0) {
        ck_assert_msg(is_bound && le > p->last_bound && value >= p->bucket, "buckets of %s",
                      p->family);
        p->last_bound = le;
        p->bucket = value;
        p->has_inf = le == HUGE_VAL;
    } else if (strcmp(suffix, "_sum") == 0) {
        p->has_sum = true;
    } else {
        ck_assert_msg(strcmp(suffix, "_count") == 0, "part %s of %s", suffix, p->family);
        ck_assert_msg(p->has_inf && value == p->bucket, "count of %s", p->family);
        p->has_count = true;
    }
}

static void parse_sample(struct parser *p, char *line)
{
    size_t len = name_length(line);
    double le = 0;
    bool is_bound = false;
    char name[NAME_MAX_LEN];
    memcpy(name, line, len);
    name[len] = '\0';
    const char *at = line[len] == '{' ? parse_labels(line + len, &le, &is_bound) : line + len;
    ck_assert_msg(*at == ' ', "no value: %s", line);
    char *end = NULL;
    double value = strtod(at + 1, &end);
    ck_assert_msg(end != at + 1 && *end == '\0' && value >= 0, "value: %s", line);
    size_t family = strlen(p->family);
    ck_assert_msg(p->type != NONE && strncmp(name, p->family, family) == 0, "stray: %s", line);
    if (p->type == HISTOGRAM) {
        check_histogram(p, name + family, value, le, is_bound);
    } else {
        ck_assert_msg(name[family] == '\0' && !is_bound, "stray: %s", line);
    }
    line[at - line] = '\0';
    for (size_t i = 0; i < p->series_count; i++) {
        ck_assert_msg(strcmp(p->series[i], line) != 0, "series twice: %s", line);
    }
    ck_assert_uint_lt(p->series_count, SERIES_MAX);
    p->series[p->series_count] = line;
    p->values[p->series_count++] = value;
}

static struct parser parser;
static struct buf page;

static void read_page(const struct stats *stats)
{
    parser = (struct parser){.type = NONE};
    buf_clear(&page);
    metrics_write(&page, stats, &build);
    ck_assert_msg(page.len > 0 && page.ptr[page.len - 1] == '\n', "ends with a line feed");
    ck_assert_ptr_null(memchr(page.ptr, '\0', page.len));
    char *line = page.ptr;
    while (line < page.ptr + page.len) {
        char *end = memchr(line, '\n', (size_t)(page.ptr + page.len - line));
        *end = '\0';
        if (*line == '#') {
            parse_comment(&parser, line);
        } else {
            parse_sample(&parser, line);
        }
        line = end + 1;
    }
    end_family(&parser);
}

static double value_of(const char *series)
{
    for (size_t i = 0; i < parser.series_count; i++) {
        if (strcmp(parser.series[i], series) == 0) {
            return parser.values[i];
        }
    }
    ck_abort_msg("no series %s", series);
    return -1;
}

START_TEST(an_empty_page_is_well_formed_and_complete)
{
    static const struct stats stats;
    read_page(&stats);
    ck_assert_uint_gt(parser.series_count, 100);
    ck_assert_double_eq(
        value_of("parley_build_info{version=\"1.2.3\",revision=\"abc\\\\def\\\"g\\nh\","
                 "lws=\"4.3.5\",hiredis=\"1.2.0\"}"),
        1);
    ck_assert_double_eq(value_of("parley_connections"), 0);
    buf_fini(&page);
}
END_TEST

START_TEST(each_counter_stands_under_its_own_label)
{
    static struct stats stats;
    stats.connections = 7;
    stats.received[REQUEST_CHAT] = 11;
    stats.errors[ERROR_RATE_LIMITED] = 13;
    stats.closed[CLOSE_SLOW] = 17;
    stats.rejected[REJECT_ORIGIN] = 19;
    stats.dropped[DROP_SLOW] = 23;
    stats.command_errors[COMMAND_REAP] = 29;
    stats.link_up[LINK_SUBSCRIBE] = 1;
    stats.reconnects[LINK_COMMAND] = 31;
    stats.sent_bytes = UINT64_C(1) << 40;
    read_page(&stats);
    ck_assert_double_eq(value_of("parley_connections"), 7);
    ck_assert_double_eq(value_of("parley_messages_received_total{type=\"chat\"}"), 11);
    ck_assert_double_eq(value_of("parley_messages_received_total{type=\"join\"}"), 0);
    ck_assert_double_eq(value_of("parley_client_errors_total{code=\"rate_limited\"}"), 13);
    ck_assert_double_eq(value_of("parley_connections_closed_total{code=\"4002\",reason=\"slow\"}"),
                        17);
    ck_assert_double_eq(value_of("parley_handshakes_rejected_total{reason=\"origin\"}"), 19);
    ck_assert_double_eq(value_of("parley_messages_dropped_total{reason=\"slow_consumer\"}"), 23);
    ck_assert_double_eq(value_of("parley_redis_command_errors_total{command=\"reap\"}"), 29);
    ck_assert_double_eq(value_of("parley_redis_up{link=\"subscribe\"}"), 1);
    ck_assert_double_eq(value_of("parley_redis_up{link=\"publish\"}"), 0);
    ck_assert_double_eq(value_of("parley_redis_reconnects_total{link=\"publish\"}"), 31);
    ck_assert_double_eq(value_of("parley_sent_bytes_total"), 1099511627776.0);
    buf_fini(&page);
}
END_TEST

START_TEST(histograms_are_cumulative_and_in_seconds)
{
    static struct stats stats;
    stats_observe(&stats.loop_lag, 100);
    stats_observe(&stats.loop_lag, 300);
    stats_observe(&stats.loop_lag, 3000000);
    read_page(&stats);
    ck_assert_double_eq(value_of("parley_loop_lag_seconds_bucket{le=\"0.00025\"}"), 1);
    ck_assert_double_eq(value_of("parley_loop_lag_seconds_bucket{le=\"0.0005\"}"), 2);
    ck_assert_double_eq(value_of("parley_loop_lag_seconds_bucket{le=\"1\"}"), 2);
    ck_assert_double_eq(value_of("parley_loop_lag_seconds_bucket{le=\"+Inf\"}"), 3);
    ck_assert_double_eq(value_of("parley_loop_lag_seconds_count"), 3);
    ck_assert_double_eq_tol(value_of("parley_loop_lag_seconds_sum"), 3.0004, 1e-9);
    buf_fini(&page);
}
END_TEST

START_TEST(the_process_is_measured)
{
    static const struct stats stats;
    read_page(&stats);
    ck_assert_double_gt(value_of("process_resident_memory_bytes"), 100000);
    ck_assert_double_ge(value_of("process_open_fds"), 3);
    ck_assert_double_gt(value_of("process_max_fds"), value_of("process_open_fds"));
    double start = value_of("process_start_time_seconds");
    double now = (double)time(NULL);
    ck_assert_msg(start > now - 600 && start < now + 60, "started at %.0f, now %.0f", start, now);
    ck_assert_double_lt(value_of("process_cpu_seconds_total"), 60);
    buf_fini(&page);
}
END_TEST

UNIT_MAIN("metrics", an_empty_page_is_well_formed_and_complete,
          each_counter_stands_under_its_own_label, histograms_are_cumulative_and_in_seconds,
          the_process_is_measured)
