/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include "common/clock.h"
#include "common/utf8.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define TS "ts=2026-11-22T19:02:11.045Z "
#define LINE_MAX_BYTES 4096

/* The test's own clock takes the place of common/clock. */
static uint64_t now_ms = 5000;
static uint64_t wall_ms = 1795374131045; /* 2026-11-22T19:02:11.045Z */

uint64_t clock_now_ms(void)
{
    return now_ms;
}

uint64_t clock_now_us(void)
{
    return now_ms * 1000;
}

uint64_t clock_wall_s(void)
{
    return wall_ms / 1000;
}

uint64_t clock_wall_ms(void)
{
    return wall_ms;
}

static int pipe_fds[2];

static void start(enum log_format format, unsigned rate_per_s)
{
    ck_assert_int_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
    log_setup(STR("gw-2"), LOG_LEVEL_INFO, format, rate_per_s, pipe_fds[1]);
}

/* What was written since the last call. */
static struct str written(void)
{
    static char text[65536];
    ssize_t got = read(pipe_fds[0], text, sizeof(text));
    ck_assert(got > 0 || errno == EAGAIN);
    return (struct str){text, got < 0 ? 0 : (size_t)got};
}

static size_t count_lines(struct str text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n';
    }
    return lines;
}

START_TEST(a_line_names_time_level_event_gateway_and_then_its_fields)
{
    start(LOG_FORMAT_LOGFMT, 0);
    LOG(INFO, CONN_OPEN, F_HEX("conn", 0x9f3a), F_TEXT("ip", "192.0.2.7"), F_NUM("port", 40123));
    ck_assert_str_is(written(), STR(TS "level=info event=conn_open gateway=gw-2 conn=9f3a "
                                       "ip=192.0.2.7 port=40123\n"));
    LOG(ERROR, REDIS_ERROR, F_NUM("n", UINT64_MAX));
    ck_assert_str_is(written(), STR(TS "level=error event=redis_error gateway=gw-2 "
                                       "n=18446744073709551615\n"));
}
END_TEST

START_TEST(json_lines_say_the_same)
{
    start(LOG_FORMAT_JSON, 0);
    LOG(WARN, CONN_CLOSE, F_HEX("conn", 0x9f3a), F_TEXT("msg", "say \"hi\"\n"),
        F_NUM("code", 4001));
    ck_assert_str_is(written(),
                     STR("{\"ts\":\"2026-11-22T19:02:11.045Z\",\"level\":\"warn\","
                         "\"event\":\"conn_close\",\"gateway\":\"gw-2\",\"conn\":\"9f3a\","
                         "\"msg\":\"say \\\"hi\\\"\\n\",\"code\":4001}\n"));
}
END_TEST

START_TEST(values_are_quoted_and_escaped_where_they_need_it)
{
    static const struct {
        struct str value, logfmt, json;
    } rows[] = {
        {TEXT("plain-1.2:3/4"), TEXT("plain-1.2:3/4"), TEXT("\"plain-1.2:3/4\"")},
        {TEXT(""), TEXT("\"\""), TEXT("\"\"")},
        {{NULL, 0}, TEXT("\"\""), TEXT("\"\"")},
        {TEXT("two words"), TEXT("\"two words\""), TEXT("\"two words\"")},
        {TEXT("a=b"), TEXT("\"a=b\""), TEXT("\"a=b\"")},
        {TEXT("q\"q"), TEXT("\"q\\\"q\""), TEXT("\"q\\\"q\"")},
        {TEXT("b\\s"), TEXT("\"b\\\\s\""), TEXT("\"b\\\\s\"")},
        {TEXT("a\nevent=fake"), TEXT("\"a\\nevent=fake\""), TEXT("\"a\\nevent=fake\"")},
        {TEXT("\r\t"), TEXT("\"\\r\\t\""), TEXT("\"\\r\\t\"")},
        {TEXT("\0z"), TEXT("\"\\x00z\""), TEXT("\"\\u0000z\"")},
        {TEXT("\x1B[2J\x7F"), TEXT("\"\\x1b[2J\\x7f\""), TEXT("\"\\u001b[2J\\u007f\"")},
        {TEXT("J\xC3\xBCrgen"), TEXT("\"J\xC3\xBCrgen\""), TEXT("\"J\xC3\xBCrgen\"")},
        {TEXT("\xFF\xC3"), TEXT("\"\\xff\\xc3\""), TEXT("\"\\\\xff\\\\xc3\"")},
        {TEXT("\xED\xA0\x80"), TEXT("\"\\xed\\xa0\\x80\""), TEXT("\"\\\\xed\\\\xa0\\\\x80\"")},
        {TEXT("\xC2\x9B"), TEXT("\"\\xc2\\x9b\""), TEXT("\"\\\\xc2\\\\x9b\"")},
        {TEXT("\xE2\x80\xAE"), TEXT("\"\\xe2\\x80\\xae\""), TEXT("\"\\\\xe2\\\\x80\\\\xae\"")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char expected[200];
        start(LOG_FORMAT_LOGFMT, 0);
        LOG(INFO, CONFIG, F_STR("v", rows[i].value));
        int len =
            snprintf(expected, sizeof(expected), TS "level=info event=config gateway=gw-2 v=%.*s\n",
                     STR_ARG(rows[i].logfmt));
        ck_assert_str_is(written(), ((struct str){expected, (size_t)len}));
        start(LOG_FORMAT_JSON, 0);
        LOG(INFO, CONFIG, F_STR("v", rows[i].value));
        struct str line = written();
        len = snprintf(expected, sizeof(expected), ",\"v\":%.*s}\n", STR_ARG(rows[i].json));
        ck_assert_str_is(((struct str){line.ptr + line.len - len, (size_t)len}),
                         ((struct str){expected, (size_t)len}));
    }
}
END_TEST

START_TEST(only_the_levels_asked_for_are_written)
{
    start(LOG_FORMAT_LOGFMT, 0);
    LOG(DEBUG, CONFIG, F_NUM("n", 1));
    ck_assert_uint_eq(written().len, 0);
    log_set_level(LOG_LEVEL_DEBUG);
    LOG(DEBUG, CONFIG, F_NUM("n", 1));
    ck_assert_uint_eq(count_lines(written()), 1);
    log_set_level(LOG_LEVEL_ERROR);
    LOG(WARN, CONFIG, F_NUM("n", 1));
    ck_assert_uint_eq(written().len, 0);
    ck_assert(log_wants(LOG_LEVEL_ERROR) && !log_wants(LOG_LEVEL_WARN));
}
END_TEST

START_TEST(lines_over_the_rate_of_an_event_are_counted_and_told_in_the_next_second)
{
    start(LOG_FORMAT_LOGFMT, 3);
    for (int i = 0; i < 10; i++) {
        LOG(INFO, JOIN, F_NUM("i", i));
    }
    ck_assert_uint_eq(count_lines(written()), 3);
    LOG(INFO, LEAVE, F_NUM("i", 0)); /* each event has its own rate */
    ck_assert_uint_eq(count_lines(written()), 1);
    now_ms += 1000;
    LOG(INFO, LEAVE, F_NUM("i", 1)); /* whichever line comes first in the new second brings it */
    ck_assert_str_is(written(),
                     STR(TS "level=warn event=log_suppressed gateway=gw-2 of=join n=7\n" TS
                            "level=info event=leave gateway=gw-2 i=1\n"));
    LOG(INFO, JOIN, F_NUM("i", 11));
    ck_assert_uint_eq(count_lines(written()), 1); /* told once, and the count starts anew */
    for (int i = 0; i < 5; i++) {
        LOG(INFO, LEAVE, F_NUM("i", i));
    }
    (void)written();
    now_ms += 1000;
    LOG(INFO, JOIN, F_NUM("i", 12));
    ck_assert_str_is(written(),
                     STR(TS "level=warn event=log_suppressed gateway=gw-2 of=leave n=3\n" TS
                            "level=info event=join gateway=gw-2 i=12\n"));
}
END_TEST

START_TEST(without_a_rate_nothing_is_folded)
{
    start(LOG_FORMAT_LOGFMT, 0);
    for (int i = 0; i < 200; i++) {
        LOG(INFO, JOIN, F_NUM("i", i));
    }
    ck_assert_uint_eq(count_lines(written()), 200);
}
END_TEST

START_TEST(a_huge_value_is_cut_and_the_fields_behind_it_are_there)
{
    static char huge[100000];
    memset(huge, 'x', sizeof(huge));
    start(LOG_FORMAT_LOGFMT, 0);
    LOG(INFO, CONFIG, F_STR("v", ((struct str){huge, sizeof(huge)})), F_NUM("n", 5));
    struct str line = written();
    static const char end[] = "xx\xE2\x80\xA6 n=5\n";
    ck_assert_uint_lt(line.len, 2000);
    ck_assert_str_is(((struct str){line.ptr + line.len - strlen(end), strlen(end)}), str_from(end));
}
END_TEST

/* However long the values are and wherever the cut falls, a line is one line, complete, in UTF-8.
 */
START_TEST(no_line_is_longer_than_what_a_pipe_takes_at_once)
{
    static char huge[1200];
    start(LOG_FORMAT_LOGFMT, 0);
    static const char *const fillers[] = {"x", "\n", "\x01", "\xC3\xBC", "\xE2\x80\xAE", "\xFF"};
    for (size_t f = 0; f < ARRAY_LEN(fillers); f++) {
        size_t unit = strlen(fillers[f]);
        for (size_t i = 0; i + unit <= sizeof(huge); i += unit) {
            memcpy(huge + i, fillers[f], unit);
        }
        for (size_t len = 500; len <= sizeof(huge); len += 7) {
            struct str v = {huge, len};
            for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
                log_setup(STR("gw-2"), LOG_LEVEL_INFO, (enum log_format)format, 0, pipe_fds[1]);
                LOG(INFO, CONFIG, F_STR("a", v), F_STR("b", v), F_STR("c", v), F_STR("d", v),
                    F_STR("e", v), F_STR("f", v), F_NUM("n", UINT64_MAX), F_HEX("h", UINT64_MAX));
                struct str line = written();
                ck_assert_uint_le(line.len, LINE_MAX_BYTES);
                ck_assert_uint_eq(count_lines(line), 1);
                ck_assert(utf8_valid(line));
                ck_assert_int_eq(line.ptr[line.len - 1], '\n');
                ck_assert(format == LOG_FORMAT_LOGFMT || line.ptr[line.len - 2] == '}');
            }
        }
    }
}
END_TEST

START_TEST(a_sink_that_fails_changes_nothing_for_the_caller)
{
    signal(SIGPIPE, SIG_IGN); /* as main does */
    start(LOG_FORMAT_LOGFMT, 0);
    close(pipe_fds[0]);
    errno = ENOENT;
    LOG(ERROR, STOP, F_NUM("n", 1)); /* no reader */
    ck_assert_int_eq(errno, ENOENT);
    close(pipe_fds[1]);
    LOG(ERROR, STOP, F_NUM("n", 1)); /* no file */
    ck_assert_int_eq(errno, ENOENT);
    int full = open("/dev/full", O_WRONLY);
    ck_assert_int_ge(full, 0);
    log_setup(STR("gw-2"), LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, 0, full);
    LOG(ERROR, STOP, F_NUM("n", 1)); /* no space */
    ck_assert_int_eq(errno, ENOENT);
    close(full);
}
END_TEST

START_TEST(a_full_pipe_loses_whole_lines_and_does_not_block)
{
    start(LOG_FORMAT_LOGFMT, 0);
    for (int i = 0; i < 10000; i++) {
        LOG(INFO, CONFIG, F_NUM("i", i));
    }
    struct str text = written();
    ck_assert_uint_gt(text.len, LINE_MAX_BYTES);
    ck_assert_int_eq(text.ptr[text.len - 1], '\n');
}
END_TEST

START_TEST(a_long_gateway_name_is_cut_and_no_name_is_left_out)
{
    static char name[1000];
    memset(name, 'g', sizeof(name));
    start(LOG_FORMAT_LOGFMT, 0);
    log_setup((struct str){name, sizeof(name)}, LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, 0, pipe_fds[1]);
    LOG(INFO, START, F_NUM("n", 1));
    ck_assert_uint_lt(written().len, 200);
    log_setup((struct str){NULL, 0}, LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, 0, pipe_fds[1]);
    LOG(INFO, START, F_NUM("n", 1));
    ck_assert_str_is(written(), STR(TS "level=info event=start n=1\n"));
}
END_TEST

UNIT_MAIN("log", a_line_names_time_level_event_gateway_and_then_its_fields, json_lines_say_the_same,
          values_are_quoted_and_escaped_where_they_need_it, only_the_levels_asked_for_are_written,
          lines_over_the_rate_of_an_event_are_counted_and_told_in_the_next_second,
          without_a_rate_nothing_is_folded, a_huge_value_is_cut_and_the_fields_behind_it_are_there,
          no_line_is_longer_than_what_a_pipe_takes_at_once,
          a_sink_that_fails_changes_nothing_for_the_caller,
          a_full_pipe_loses_whole_lines_and_does_not_block,
          a_long_gateway_name_is_cut_and_no_name_is_left_out)
