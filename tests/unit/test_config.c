/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"
#include "tests/unit/config_case.h"

START_TEST(defaults_are_as_documented)
{
    setup();
    ck_assert(load(NULL));
    expect_lines("");
    ck_assert_uint_eq(config.server.listen.count, 1);
    ck_assert_str_eq(config.server.listen.items[0], "0.0.0.0:8080");
    ck_assert_str_eq(config.server.path, "/ws");
    ck_assert_str_eq(config.admin.listen.items[0], "127.0.0.1:9080");
    ck_assert_uint_eq(config.client.allowed_origins.count, 0);
    ck_assert_uint_eq(config.client.max_message_bytes, 16384);
    ck_assert(config.client.allow_no_origin);
    ck_assert(config.client.rate_messages.per_s == 20 && config.client.rate_messages.burst == 40);
    ck_assert(config.client.rate_joins.per_s == 5 && config.client.rate_joins.burst == 128);
    ck_assert(config.client.rate_errors.per_s == 10.0 / 60 &&
              config.client.rate_errors.burst == 10);
    ck_assert_uint_eq(config.client.heartbeat_ms, 25000);
    ck_assert_uint_eq(config.client.backlog_soft, 262144);
    ck_assert_uint_eq(config.client.backlog_hard, 1048576);
    ck_assert_int_eq(config.room.presence, CONFIG_PRESENCE_FULL);
    ck_assert_uint_eq(config.room.dedupe_ttl_ms, 300000);
    ck_assert_str_eq(config.redis.url, "");
    ck_assert_uint_eq(config.redis.lease_ms, 5000);
    ck_assert_int_eq(config.log.level, LOG_LEVEL_INFO);
    ck_assert_int_eq(config.log.format, LOG_FORMAT_LOGFMT);
    ck_assert(config.metrics.enabled);
    ck_assert_uint_eq(config.shutdown.drain_ms, 60000);
    teardown();
}
END_TEST

START_TEST(the_default_name_is_a_valid_one_and_tells_the_process)
{
    setup();
    char pid[32];
    ck_assert(load(NULL));
    ck_assert(config_is_name(str_from(config.server.gateway_name)));
    snprintf(pid, sizeof(pid), "-%ld", (long)getpid());
    const char *dash = strrchr(config.server.gateway_name, '-');
    ck_assert_ptr_nonnull(dash);
    ck_assert_str_eq(dash, pid);
    teardown();
}
END_TEST

START_TEST(the_file_sets_every_kind_of_value)
{
    setup();
    ck_assert(load("[server]\n"
                   "listen = 127.0.0.1:8081 [::1]:8081\n"
                   "listen = unix:/run/parley.sock\n"
                   "path = /chat/ws\n"
                   "backlog=1\n"
                   "[client]\n"
                   "allow_no_origin = Off\n"
                   "max_message_bytes = 64k\n"
                   "rate_messages = 100/min burst 7\n"
                   "rate_joins = 0\n"
                   "rate_errors = 3/s\n"
                   "heartbeat = 2m\n"
                   "[room]\n"
                   "presence = count\n"
                   "[redis]\n"
                   "url = redis://:pa#ss@redis.example:6380/2\n"));
    expect_lines("");
    ck_assert_uint_eq(config.server.listen.count, 3);
    ck_assert_str_eq(config.server.listen.items[0], "127.0.0.1:8081");
    ck_assert_str_eq(config.server.listen.items[1], "[::1]:8081");
    ck_assert_str_eq(config.server.listen.items[2], "unix:/run/parley.sock");
    ck_assert_str_eq(config.server.path, "/chat/ws");
    ck_assert_uint_eq(config.server.backlog, 1);
    ck_assert(!config.client.allow_no_origin);
    ck_assert_uint_eq(config.client.max_message_bytes, 65536);
    ck_assert(config.client.rate_messages.per_s == 100.0 / 60);
    ck_assert(config.client.rate_messages.burst == 7);
    ck_assert(config.client.rate_joins.per_s == 0);
    ck_assert(config.client.rate_errors.per_s == 3 && config.client.rate_errors.burst == 3);
    ck_assert_uint_eq(config.client.heartbeat_ms, 120000);
    ck_assert_int_eq(config.room.presence, CONFIG_PRESENCE_COUNT);
    ck_assert_str_eq(config.redis.url, "redis://:pa#ss@redis.example:6380/2");
    teardown();
}
END_TEST

START_TEST(comments_blanks_quotes_and_line_ends_are_read_as_documented)
{
    setup();
    static const struct {
        const char *text, *static_dir;
    } rows[] = {
        {"[server]\nstatic_dir=/a\n", "/a"},
        {"# c\n; c\n  # c\n\n  [ server ]  # c\n  static_dir  =  /a b  # c\n", "/a b"},
        {"[server]\nstatic_dir=/a#b;c\n", "/a#b;c"},
        {"[server]\nstatic_dir=/a ;c # d\n", "/a"},
        {"[server]\nstatic_dir=\n", ""},
        {"[server]\nstatic_dir= # nothing\n", ""},
        {"[server]\nstatic_dir=\"\"\n", ""},
        {"[server]\nstatic_dir=\" /a # b \" ; c\n", " /a # b "},
        {"[server]\nstatic_dir=\"a\\\"b\\\\c\\n\"\n", "a\"b\\c\\n"},
        {"[server]\nstatic_dir=a=b\n", "a=b"},
        {"[server]\r\nstatic_dir=/a\r\n", "/a"},
        {"\xef\xbb\xbf[server]\nstatic_dir=/a", "/a"},
        {"[server]\n[log]\n[server]\nstatic_dir=/a\n", "/a"},
        {"[server]\nstatic_dir=/\xc3\xa4\n", "/\xc3\xa4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool good = load(rows[i].text);
        expect_lines("");
        ck_assert(good);
        ck_assert_str_eq(config.server.static_dir, rows[i].static_dir);
    }
    teardown();
}
END_TEST

START_TEST(a_line_that_cannot_be_read_says_where_and_why)
{
    setup();
    static const struct row rows[] = {
        {"[server]\nlisten\n", "parley.conf:2:1: expected \"key = value\" or \"[section]\"\n"},
        {"[server]\n  =x\n", "parley.conf:2:3: there is no key before the \"=\"\n"},
        {"\n[server\n", "parley.conf:2:1: a section's line ends with \"]\"\n"},
        {"[server] x\n", "parley.conf:1:1: a section's line ends with \"]\"\n"},
        {"path=/ws\n", "parley.conf:1:1: \"path\" stands before the first [section]\n"},
        {"[server]\npath=\"/ws\n", "parley.conf:2:6: the closing quote is missing\n"},
        {"[server]\npath=\"/ws\" x\n",
         "parley.conf:2:12: nothing but a comment may follow the closing quote\n"},
        {"[server]\npath=/w\x01s\n", "parley.conf:2:8: control characters are not allowed\n"},
        {"[server]\rpath=/ws\r", "parley.conf:1:9: control characters are not allowed\n"},
        {"[server]\nstatic_dir=\xff\n", "parley.conf:2:1: the line is not valid UTF-8\n"},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    teardown();
}
END_TEST

START_TEST(unknown_names_say_what_was_meant)
{
    setup();
    static const struct row rows[] = {
        {"[client]\nalowed_origins=*\n", "parley.conf:2:1: unknown key \"alowed_origins\" in "
                                         "[client]; did you mean \"allowed_origins\"?\n"},
        {"[client]\n  backlog=5\n",
         "parley.conf:2:3: unknown key \"backlog\" in [client]; it belongs to [server]\n"},
        {"[client]\ncolour=5\n", "parley.conf:2:1: unknown key \"colour\" in [client]\n"},
        {"[client]\nHeartbeat=5s\n",
         "parley.conf:2:1: unknown key \"Heartbeat\" in [client]; did you mean \"heartbeat\"?\n"},
        {"[clinet]\nheartbeat=x\n",
         "parley.conf:1:1: unknown section [clinet]; did you mean [client]?\n"},
        {"[]\n", "parley.conf:1:1: unknown section []\n"},
        {"[auth]\nmode=jwt\n",
         "parley.conf:1:1: section [auth] is not supported by this version\n"},
        {"[room]\nname_pattern=x\n",
         "parley.conf:2:1: \"name_pattern\" in [room] is not supported by this version\n"},
        {"[admin]\nkey_file=/k\n",
         "parley.conf:2:1: \"key_file\" in [admin] is not supported by this version\n"},
        {"[server]\nworkers=4\n",
         "parley.conf:2:9: server.workers=4 needs redis.url: without Redis each worker would have "
         "rooms of its own\n"},
        {"[server]\npath=/a\n\npath=/b\n",
         "parley.conf:4:1: duplicate key \"path\" in [server]; line 2 sets it already\n"},
        {"[server]\npath=/a\n[log]\n[server]\npath=/a\n",
         "parley.conf:5:1: duplicate key \"path\" in [server]; line 2 sets it already\n"},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    teardown();
}
END_TEST

#define COUNT_OF(min, max) "must be a whole number from " min " to " max ", not "
#define SIZE_OF(min, max) "must be a size from " min " to " max " (bytes, or as 64k or 1m), not "
#define TIME_OF(min, max) \
    "must be a duration from " min " to " max " (as 250ms, 5s, 2m or 1h), not "
#define RATE_IS "must be a rate (as 20/s, 10/min or 20/s burst 40), or 0 for no limit, not "

START_TEST(a_bad_value_says_what_is_allowed)
{
    setup();
    static const struct row rows[] = {
        {"[server]\nbacklog = 0\n",
         "parley.conf:2:11: server.backlog " COUNT_OF("1", "65535") "\"0\"\n"},
        {"[server]\nbacklog=65536\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"65536\"\n"},
        {"[server]\nbacklog=-1\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"-1\"\n"},
        {"[server]\nbacklog=1e9\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"1e9\"\n"},
        {"[server]\nbacklog=10k\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"10k\"\n"},
        {"[server]\nbacklog=18446744073709551617\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"18446744073709551617\"\n"},
        {"[server]\nbacklog=\n",
         "parley.conf:2:9: server.backlog " COUNT_OF("1", "65535") "\"\"\n"},
        {"[client]\nmax_message_bytes=0\n",
         "parley.conf:2:19: client.max_message_bytes " SIZE_OF("256", "16m") "\"0\"\n"},
        {"[client]\nmax_message_bytes=17179869184g\n",
         "parley.conf:2:19: client.max_message_bytes " SIZE_OF("256", "16m") "\"17179869184g\"\n"},
        {"[client]\nmax_message_bytes=64kb\n",
         "parley.conf:2:19: client.max_message_bytes " SIZE_OF("256", "16m") "\"64kb\"\n"},
        {"[client]\nheartbeat=25\n",
         "parley.conf:2:11: client.heartbeat " TIME_OF("100ms", "1h") "\"25\"\n"},
        {"[client]\nheartbeat=2h\n",
         "parley.conf:2:11: client.heartbeat " TIME_OF("100ms", "1h") "\"2h\"\n"},
        {"[client]\nheartbeat=1.5s\n",
         "parley.conf:2:11: client.heartbeat " TIME_OF("100ms", "1h") "\"1.5s\"\n"},
        {"[client]\nrate_joins=5\n", "parley.conf:2:12: client.rate_joins " RATE_IS "\"5\"\n"},
        {"[client]\nrate_joins=5/day\n",
         "parley.conf:2:12: client.rate_joins " RATE_IS "\"5/day\"\n"},
        {"[client]\nrate_joins=5/s burst 0\n",
         "parley.conf:2:12: client.rate_joins " RATE_IS "\"5/s burst 0\"\n"},
        {"[client]\nrate_joins=5/s burst\n",
         "parley.conf:2:12: client.rate_joins " RATE_IS "\"5/s burst\"\n"},
        {"[client]\nrate_joins=5/s 10\n",
         "parley.conf:2:12: client.rate_joins " RATE_IS "\"5/s 10\"\n"},
        {"[client]\nallow_no_origin=maybe\n",
         "parley.conf:2:17: client.allow_no_origin must be yes or no, not \"maybe\"\n"},
        {"[log]\nlevel=loud\n",
         "parley.conf:2:7: log.level must be error, warn, info or debug, not \"loud\"\n"},
        {"[room]\nname_max_bytes=129\n",
         "parley.conf:2:16: room.name_max_bytes " COUNT_OF("1", "128") "\"129\"\n"},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    teardown();
}
END_TEST

START_TEST(a_long_bad_value_is_cut_between_characters)
{
    setup();
    struct buf text = {NULL, 0, 0};
    BUF_LIT(&text, "[log]\nlevel=x");
    for (int i = 0; i < 100; i++) {
        BUF_LIT(&text, "\xc3\xa4");
    }
    buf_add_char(&text, '\0');
    ck_assert(!load(text.ptr));
    buf_clear(&text);
    BUF_LIT(&text, "parley.conf:2:7: log.level must be error, warn, info or debug, not \"x");
    for (int i = 0; i < 31; i++) {
        BUF_LIT(&text, "\xc3\xa4");
    }
    BUF_LIT(&text, "\xe2\x80\xa6\"\n");
    ck_assert_str_is(buf_str(&lines), buf_str(&text));
    buf_fini(&text);
    teardown();
}
END_TEST

START_TEST(every_problem_is_reported_at_once)
{
    setup();
    ck_assert(!load("[server]\npath=ws\nx=1\n[clients]\n[log]\nlevel=loud\nformat=xml\n"
                    "[redis]\nlease=1s\ntick=500ms\n"));
    expect_lines(
        "parley.conf:2:6: server.path must be a path that begins with / and has only letters, "
        "digits and . _ ~ - / in it (not /client, which holds the web client's files), not \"ws\"\n"
        "parley.conf:3:1: unknown key \"x\" in [server]\n"
        "parley.conf:4:1: unknown section [clients]; did you mean [client]?\n"
        "parley.conf:6:7: log.level must be error, warn, info or debug, not \"loud\"\n"
        "parley.conf:7:8: log.format must be logfmt or json, not \"xml\"\n"
        "parley.conf:9:7: redis.lease=1s must be more than twice redis.tick=500ms: one sign of "
        "life "
        "that comes late must not look like a death\n");
    teardown();
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
    setup();
    static const struct config_report report = {note_line, NULL};
    static char *nothing[] = {NULL};
    struct config_sources sources = {.file = "absent.conf", .envp = nothing};
    ck_assert(!config_load(&config, &sources, &report));
    expect_lines("absent.conf: cannot read the file: No such file or directory\n");
    buf_clear(&lines);
    sources.file = "/";
    ck_assert(!config_load(&config, &sources, &report));
    expect_lines("/: cannot read the file: Is a directory\n");
    buf_clear(&lines);
    sources.file = "/dev/zero";
    ck_assert(!config_load(&config, &sources, &report));
    expect_lines("/dev/zero: cannot read the file: it is larger than 1 MiB\n");
    teardown();
}
END_TEST

static void load_filled(const char *begin, size_t fill)
{
    struct buf text = {NULL, 0, 0};
    buf_add(&text, str_from(begin));
    buf_reserve(&text, fill);
    memset(text.ptr + text.len, 'x', fill);
    text.len += fill;
    buf_add_char(&text, '\0');
    bool good = load(text.ptr);
    ck_assert(good == (lines.len == 0));
    buf_fini(&text);
}

START_TEST(lines_of_up_to_64_kib_are_read)
{
    setup();
    load_filled("#", 65535);
    expect_lines("");
    load_filled("#", 65536);
    expect_lines("parley.conf:1:1: the line is longer than 64 KiB\n");
    load_filled("\n#", 2000000);
    expect_lines("parley.conf: cannot read the file: it is larger than 1 MiB\n");
    teardown();
}
END_TEST

START_TEST(no_prefix_of_a_file_breaks_the_reader)
{
    setup();
    static const char text[] = "\xef\xbb\xbf# c\r\n[server]\nlisten = \"fd:3\" ; c\n"
                               "path=/w\\s\n[room \"x\"]\n=\n[\n]\n\"\n\x01\xff\n";
    for (size_t len = 0; len < sizeof(text); len++) {
        char *part = strndup(text, len); /* of its own, so that reading past it is seen */
        bool good = load(part);
        ck_assert(good == (lines.len == 0));
        free(part);
    }
    teardown();
}
END_TEST

START_TEST(a_list_has_at_most_64_items)
{
    setup();
    struct buf text = {NULL, 0, 0};
    BUF_LIT(&text, "[server]\nlisten=fd:3\n");
    for (int i = 4; i < 67; i++) {
        buf_addf(&text, "listen=fd:%d\n", i);
    }
    buf_add_char(&text, '\0');
    ck_assert(load(text.ptr));
    ck_assert_uint_eq(config.server.listen.count, CONFIG_LIST_MAX);
    text.len--;
    buf_addf(&text, "listen=fd:67\n");
    buf_add_char(&text, '\0');
    ck_assert(!load(text.ptr));
    expect_lines("parley.conf:66:8: server.listen has more than 64 items\n");
    buf_fini(&text);
    teardown();
}
END_TEST

UNIT_MAIN("config", defaults_are_as_documented,
          the_default_name_is_a_valid_one_and_tells_the_process, the_file_sets_every_kind_of_value,
          comments_blanks_quotes_and_line_ends_are_read_as_documented,
          a_line_that_cannot_be_read_says_where_and_why, unknown_names_say_what_was_meant,
          a_bad_value_says_what_is_allowed, a_long_bad_value_is_cut_between_characters,
          every_problem_is_reported_at_once, a_file_that_cannot_be_read_is_an_error,
          lines_of_up_to_64_kib_are_read, no_prefix_of_a_file_breaks_the_reader,
          a_list_has_at_most_64_items)
