/* SPDX-License-Identifier: MIT */
#include "tests/unit/config_case.h"

#include <sys/resource.h>
#include <sys/stat.h>

START_TEST(settings_that_contradict_each_other_are_refused)
{
    setup();
    static const struct row rows[] = {
        {"[client]\nheartbeat=5s\nheartbeat_timeout=5s\n",
         "parley.conf:3:19: client.heartbeat_timeout=5s must be less than client.heartbeat=5s: a "
         "ping must be answered or given up before the next is due\n"},
        {"[client]\nheartbeat=5s\n",
         "parley.conf:2:11: client.heartbeat_timeout=10s must be less "
         "than client.heartbeat=5s: a ping must be answered or given up "
         "before the next is due\n"},
        {"[client]\nbacklog_soft=1m\n",
         "parley.conf:2:14: client.backlog_soft=1m must be less than "
         "client.backlog_hard=1m: a slow client skips messages "
         "before it is closed\n"},
        {"[client]\nmax_message_bytes=512k\n",
         "parley.conf:2:19: client.backlog_soft=256k must be at least "
         "client.max_message_bytes=512k: one message must fit\n"},
        {"[redis]\npublish_buffer=4k\n",
         "parley.conf:2:16: redis.publish_buffer=4k must be at least "
         "client.max_message_bytes=16k: one message must fit\n"},
        {"[redis]\nreconnect_min=2s\n", "parley.conf:2:15: redis.reconnect_min=2s must be at most "
                                        "redis.reconnect_max=1s: the wait only grows\n"},
        {"[redis]\ntick=2500ms\n",
         "parley.conf:2:6: redis.lease=5s must be more than twice redis.tick=2500ms: one sign of "
         "life that comes late must not look like a death\n"},
        {"[server]\nlisten=\n", "parley.conf:2:8: server.listen needs at least one address\n"},
        {"[server]\nlisten=0.0.0.0:1 0.0.0.0:1\n",
         "parley.conf:2:8: server.listen has 0.0.0.0:1 twice\n"},
        {"[server]\nlisten=127.0.0.1:9080\n",
         "admin.listen=127.0.0.1:9080 is in server.listen, too\n"},
        {"[admin]\nlisten=fd:3 fd:3\n", "parley.conf:2:8: admin.listen has fd:3 twice\n"},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    teardown();
}
END_TEST

START_TEST(a_contradiction_with_a_bad_value_is_not_reported_twice)
{
    setup();
    ck_assert(!load("[client]\nheartbeat=x\nheartbeat_timeout=1h\n"));
    expect_lines("parley.conf:2:11: client.heartbeat "
                 "must be a duration from 100ms to 1h (as 250ms, 5s, 2m or 1h), not \"x\"\n");
    teardown();
}
END_TEST

START_TEST(more_connections_than_open_files_are_refused)
{
    setup();
    struct rlimit limit = {256, 256};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert(load("[client]\nmax_connections=192\n"));
    ck_assert(!load("[client]\nmax_connections=193\n"));
    expect_lines(
        "parley.conf:2:17: client.max_connections=193 needs more than the 256 files that "
        "this process may open; at most 192, or raise the limit (ulimit -n, LimitNOFILE=)\n");
    teardown();
}
END_TEST

START_TEST(a_memory_limit_that_no_gateway_fits_in_is_refused)
{
    setup();
    ck_assert(load("[server]\nmemory_max=0\n"));
    ck_assert(load("[server]\nmemory_max=16m\n"));
    ck_assert(!load("[server]\nmemory_max=64\n"));
    expect_lines("parley.conf:2:12: server.memory_max=64 is less than a gateway needs by itself; "
                 "at least 16m, or 0 for no limit\n");
    teardown();
}
END_TEST

START_TEST(an_origin_of_everybody_is_a_warning)
{
    setup();
    ck_assert(load("[client]\nallowed_origins=*\n"));
    expect_lines("warning: parley.conf:2:17: client.allowed_origins=*: pages of every site may "
                 "connect\n");
    teardown();
}
END_TEST

START_TEST(a_flag_beats_the_environment_which_beats_the_file)
{
    setup();
    static char *env[] = {"HOME=/", "PARLEY_SERVER_PATH=/env", "PARLEY_SERVER_BACKLOG=2",
                          "PARLEY_LOG_LEVEL=", NULL};
    static char *flags[] = {"--server.path=/flag", NULL};
    ck_assert(load_all("[server]\npath=/file\nbacklog=1\nflush_budget=9\n[log]\nlevel=debug\n", env,
                       flags));
    expect_lines("");
    ck_assert_str_eq(config.server.path, "/flag");
    ck_assert_uint_eq(config.server.backlog, 2);
    ck_assert_uint_eq(config.server.flush_budget, 9);
    ck_assert_int_eq(config.log.level, LOG_LEVEL_DEBUG); /* an empty variable is not set */
    teardown();
}
END_TEST

START_TEST(a_higher_source_replaces_a_whole_list)
{
    setup();
    static const char text[] = "[server]\nlisten=fd:3\nlisten=fd:4\n";
    static char *env[] = {"PARLEY_SERVER_LISTEN=fd:5 fd:6", NULL};
    static char *flags[] = {"--server.listen=fd:7", "--server.listen=fd:8 fd:9", NULL};
    static char *none[] = {"--admin.listen=", NULL};
    ck_assert(load(text));
    ck_assert_uint_eq(config.server.listen.count, 2);
    ck_assert(load_all(text, env, NULL));
    ck_assert_uint_eq(config.server.listen.count, 2);
    ck_assert_str_eq(config.server.listen.items[1], "fd:6");
    ck_assert(load_all(text, env, flags));
    ck_assert_uint_eq(config.server.listen.count, 3);
    ck_assert_str_eq(config.server.listen.items[0], "fd:7");
    ck_assert(load_all(text, env, none));
    ck_assert_uint_eq(config.admin.listen.count, 0);
    teardown();
}
END_TEST

START_TEST(the_last_of_two_equal_flags_counts)
{
    setup();
    static char *flags[] = {"--log.level=debug", "--log.level=warn", NULL};
    ck_assert(load_all(NULL, NULL, flags));
    ck_assert_int_eq(config.log.level, LOG_LEVEL_WARN);
    teardown();
}
END_TEST

START_TEST(flags_are_checked_like_the_file)
{
    setup();
    static char *flags[] = {
        "--server.lisen=fd:3", "--log.level=loud",    "--server.path",         "--auth.mode=jwt",
        "--nonsense=1",        "--redis.prefix=\xff", "--client.heartbeat=5s", NULL};
    ck_assert(!load_all(NULL, NULL, flags));
    expect_lines(
        "--server.lisen: unknown flag; did you mean --server.listen?\n"
        "--log.level: log.level must be error, warn, info or debug, not \"loud\"\n"
        "--server.path: a value is missing; write --server.path=\xe2\x80\xa6\n"
        "--auth.mode: not supported by this version\n"
        "--nonsense: unknown flag\n"
        "--redis.prefix: the value is not valid UTF-8\n"
        "--client.heartbeat: client.heartbeat_timeout=10s must be less than client.heartbeat=5s: a "
        "ping must be answered or given up before the next is due\n");
    teardown();
}
END_TEST

START_TEST(unknown_variables_are_warnings_and_service_links_are_not_ours)
{
    setup();
    static char *env[] = {"PARLEY_SERVICE_HOST=10.0.0.1",
                          "PARLEY_SERVICE_PORT_HTTP=80",
                          "PARLEY_PORT=tcp://10.0.0.1:80",
                          "PARLEY_PORT_80_TCP_ADDR=10.0.0.1",
                          "PARLEY_REDIS_SERVICE_HOST=10.0.0.2",
                          "PARLEY_REDIS_PORT_6379_TCP=tcp://10.0.0.2:6379",
                          "PARLEYX=1",
                          "PARLEY_SERVER_PATH=/ws",
                          "PARLEY_CLIENT_HEARTBEET=5s",
                          "PARLEY_NONSENSE=1",
                          "PARLEY_EMPTY=",
                          NULL};
    ck_assert(load_all(NULL, env, NULL));
    expect_lines("warning: PARLEY_CLIENT_HEARTBEET: unknown variable; did you mean "
                 "PARLEY_CLIENT_HEARTBEAT?\n"
                 "warning: PARLEY_NONSENSE: unknown variable\n");
    teardown();
}
END_TEST

START_TEST(variables_are_checked_like_the_file)
{
    setup();
    static char *env[] = {"PARLEY_LOG_LEVEL=loud", "PARLEY_AUTH_MODE=jwt",
                          "PARLEY_SERVER_TLS_KEY=/k", NULL};
    ck_assert(!load_all(NULL, env, NULL));
    expect_lines("PARLEY_LOG_LEVEL: log.level must be error, warn, info or debug, not \"loud\"\n"
                 "PARLEY_AUTH_MODE: not supported by this version\n"
                 "PARLEY_SERVER_TLS_KEY: not supported by this version\n");
    teardown();
}
END_TEST

START_TEST(the_redis_url_may_stand_in_a_secret_file)
{
    setup();
    static char *flags[] = {"--redis.url=redis://flag", NULL};
    write_file("secret", "redis://:p@h:1\r\nmore\n", 21);
    ck_assert_int_eq(chmod("secret", 0640), 0);
    ck_assert(load("[redis]\nurl_file=secret\n"));
    ck_assert_str_eq(config.redis.url, "redis://:p@h:1");
    ck_assert(load_all("[redis]\nurl_file=secret\n", NULL, flags));
    ck_assert_str_eq(config.redis.url, "redis://flag");
    static const struct row both[] = {
        {"[redis]\nurl=redis://h\nurl_file=secret\n",
         "parley.conf:3:10: redis.url and redis.url_file are both set; keep one\n"}};
    expect_refused(both, 1);
    ck_assert_int_eq(chmod("secret", 0644), 0);
    static const struct row bad[] = {{"[redis]\nurl_file=secret\n",
                                      "parley.conf:2:10: redis.url_file=\"secret\" can be read by "
                                      "everybody on this machine; chmod o-r it\n"},
                                     {"[redis]\nurl_file=absent\n",
                                      "parley.conf:2:10: redis.url_file=\"absent\" cannot be read: "
                                      "No such file or directory\n"}};
    expect_refused(bad, 2);
    write_file("secret", "hunter2", 7);
    ck_assert_int_eq(chmod("secret", 0600), 0);
    static const struct row wrong[] = {
        {"[redis]\nurl_file=secret\n",
         "parley.conf:2:10: redis.url_file=\"secret\" does not hold a "
         "Redis URL in its first line\n"}};
    expect_refused(wrong, 1);
    teardown();
}
END_TEST

START_TEST(a_bad_secret_is_not_shown)
{
    setup();
    ck_assert(!load("[redis]\nurl=hunter2\n"));
    expect_lines(
        "parley.conf:2:5: redis.url must be redis://[user:password@]host[:port][/database] "
        "or unix:///path[?db=N] (this version speaks no TLS, Sentinel or Cluster to Redis)\n");
    teardown();
}
END_TEST

static struct buf printed_config(void)
{
    struct buf out = {NULL, 0, 0};
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen("printed", "w+", stdout));
    config_print(&config);
    fflush(stdout);
    rewind(stdout);
    buf_reserve(&out, 65536);
    out.len = fread(out.ptr, 1, 65535, stdout);
    buf_add_char(&out, '\0');
    fflush(stdout);
    ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
    close(saved);
    unlink("printed");
    return out;
}

START_TEST(printed_settings_are_a_file_that_sets_the_same)
{
    setup();
    ck_assert(load("[server]\nlisten=fd:3\nlisten=[::1]:80\nstatic_dir=\" a#\\\"b\\\\;c \"\n"
                   "gateway_name=gw-1\nmax_header_bytes=1025\n"
                   "[client]\nrate_messages=7/h burst 3\nrate_joins=0\nheartbeat=90s\n"
                   "backlog_hard=3m\n[room]\npresence=off\nrejoin_grace=0\n"
                   "[room \"a\\\"*\"]\nhistory_size=7\npublish=server\n[log]\nformat=json\n"));
    struct buf first = printed_config();
    ck_assert_ptr_nonnull(strstr(first.ptr, "\nrate_messages=7/h burst 3\n"));
    ck_assert_ptr_nonnull(strstr(first.ptr, "\nheartbeat=90s\n"));
    ck_assert_ptr_nonnull(strstr(first.ptr, "\nrejoin_grace=0\n"));
    ck_assert_ptr_nonnull(strstr(first.ptr, "\nmax_header_bytes=1025\n"));
    ck_assert(load(first.ptr));
    expect_lines("");
    ck_assert_str_eq(config.server.static_dir, " a#\"b\\;c ");
    const struct room_policy *policy = config_policy(&config, STR("a\"b"));
    ck_assert(policy != &config.room);
    ck_assert_uint_eq(policy->history_size, 7);
    ck_assert_int_eq(policy->presence, CONFIG_PRESENCE_OFF);
    struct buf second = printed_config();
    ck_assert_str_eq(first.ptr, second.ptr);
    buf_fini(&first);
    buf_fini(&second);
    teardown();
}
END_TEST

START_TEST(a_printed_url_has_no_password)
{
    setup();
    ck_assert(load("[redis]\nurl=redis://me:hunter2@er2@h:1/2\n"));
    struct buf printed = printed_config();
    ck_assert_ptr_nonnull(strstr(printed.ptr, "\nurl=redis://***@h:1/2\n"));
    ck_assert_ptr_null(strstr(printed.ptr, "er2"));
    buf_fini(&printed);
    teardown();
}
END_TEST

UNIT_MAIN("config_source", settings_that_contradict_each_other_are_refused,
          a_contradiction_with_a_bad_value_is_not_reported_twice,
          more_connections_than_open_files_are_refused,
          a_memory_limit_that_no_gateway_fits_in_is_refused, an_origin_of_everybody_is_a_warning,
          a_flag_beats_the_environment_which_beats_the_file, a_higher_source_replaces_a_whole_list,
          the_last_of_two_equal_flags_counts, flags_are_checked_like_the_file,
          unknown_variables_are_warnings_and_service_links_are_not_ours,
          variables_are_checked_like_the_file, the_redis_url_may_stand_in_a_secret_file,
          a_bad_secret_is_not_shown, printed_settings_are_a_file_that_sets_the_same,
          a_printed_url_has_no_password)
