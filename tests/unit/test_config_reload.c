/* SPDX-License-Identifier: MIT */
/* From one config to the next: what changes at once, what only a restart would change. */
#include "tests/unit/config_case.h"

static struct buf applied, restart;

/* The running config becomes what the file says now, with the same flags. */
static bool reload_with(const char *text, char **flags)
{
    static const struct config_report report = {note_line, NULL};
    static char *nothing[] = {NULL};
    struct config_sources sources = {.file = FILE_NAME, .envp = nothing, .flags = flags};
    while (flags != NULL && flags[sources.flag_count] != NULL) {
        sources.flag_count++;
    }
    buf_clear(&lines);
    buf_clear(&applied);
    buf_clear(&restart);
    write_file(FILE_NAME, text, strlen(text));
    return config_reload(&config, &sources, &report, &applied, &restart);
}

static bool reload(const char *text)
{
    return reload_with(text, NULL);
}

static void expect_changes(const char *now, const char *later)
{
    ck_assert_str_is(buf_str(&applied), str_from(now));
    ck_assert_str_is(buf_str(&restart), str_from(later));
}

static void end(void)
{
    buf_fini(&applied);
    buf_fini(&restart);
    teardown();
}

START_TEST(what_reloads_has_its_new_value_and_the_rest_its_old_one)
{
    setup();
    ck_assert(load("[client]\nrate_messages=1/s\nheartbeat=20s\nallowed_origins=http://a\n"
                   "[redis]\nurl=redis://:secret@a\n"));
    ck_assert(
        reload("[client]\nrate_messages=2/s\nheartbeat=30s\nallowed_origins=http://b http://c\n"
               "[redis]\nurl=redis://:other@a\n[server]\npath=/x\n[log]\nlevel=debug\n"));
    expect_lines("");
    expect_changes("client.allowed_origins client.rate_messages log.level",
                   "server.path client.heartbeat redis.url");
    ck_assert(config.client.rate_messages.per_s == 2);
    ck_assert_uint_eq(config.client.allowed_origins.count, 2);
    ck_assert_str_eq(config.client.allowed_origins.items[1], "http://c");
    ck_assert_int_eq(config.log.level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(config.client.heartbeat_ms, 20000);
    ck_assert_str_eq(config.redis.url, "redis://:secret@a");
    ck_assert_str_eq(config.server.path, "/ws");
    end();
}
END_TEST

START_TEST(a_file_that_says_the_same_changes_nothing)
{
    setup();
    static const char text[] = "[client]\nallowed_origins=http://a http://b\nmax_rooms=9\n"
                               "[room \"a\"]\npresence=off\n[room \"b*\"]\nhistory_size=3\n";
    ck_assert(load(text));
    ck_assert(reload(text));
    expect_changes("", "");
    ck_assert_uint_eq(config.kinds.count, 2);
    end();
}
END_TEST

START_TEST(a_broken_file_leaves_everything_as_it_was)
{
    setup();
    ck_assert(load("[client]\nmax_rooms=9\n[room \"a\"]\nhistory_size=3\n"));
    ck_assert(!reload("[client]\nmax_rooms=8\nmax_romms=7\n[room \"a\"]\nhistory_size=x\n"));
    expect_lines("parley.conf:3:1: unknown key \"max_romms\" in [client]; did you mean "
                 "\"max_rooms\"?\n"
                 "parley.conf:5:14: room.history_size must be a whole number from 0 to 100000, not "
                 "\"x\"\n");
    expect_changes("", "");
    ck_assert_uint_eq(config.client.max_rooms, 9);
    ck_assert_uint_eq(config_policy(&config, STR("a"))->history_size, 3);
    unlink(FILE_NAME);
    static const struct config_report report = {note_line, NULL};
    static char *nothing[] = {NULL};
    struct config_sources sources = {.file = FILE_NAME, .envp = nothing};
    buf_clear(&lines);
    ck_assert(!config_reload(&config, &sources, &report, &applied, &restart));
    expect_lines("parley.conf: cannot read the file: No such file or directory\n");
    ck_assert_uint_eq(config.client.max_rooms, 9);
    end();
}
END_TEST

START_TEST(new_settings_must_go_together_with_old_ones_that_stay)
{
    setup();
    ck_assert(load("[client]\nmax_message_bytes=64k\n"));
    ck_assert(!reload("[client]\nmax_message_bytes=1k\nbacklog_soft=2k\nbacklog_hard=4k\n"));
    expect_lines("without a restart: client.backlog_soft=2k must be at least "
                 "client.max_message_bytes=64k: one message must fit\n");
    expect_changes("", "");
    ck_assert_uint_eq(config.client.backlog_soft, 262144);
    end();
}
END_TEST

START_TEST(kinds_come_change_and_go)
{
    setup();
    ck_assert(load("[room \"a\"]\nhistory_size=1\n[room \"b\"]\nhistory_size=2\n"));
    ck_assert(reload("[room \"a\"]\nhistory_size=3\n[room \"c\\\"\"]\n"));
    expect_changes("room \"a\" room \"c\\\"\" room \"b\"", "");
    ck_assert_uint_eq(config_policy(&config, STR("a"))->history_size, 3);
    ck_assert_ptr_eq(config_policy(&config, STR("b")), &config.room);
    ck_assert(reload("[room \"c\\\"\"]\n[room \"a\"]\nhistory_size=3\n"));
    expect_changes("room \"c\\\"\" room \"a\"", ""); /* which comes first can matter */
    ck_assert(reload("[room]\ndedupe_ttl=1s\n"));
    expect_changes("room.dedupe_ttl room \"c\\\"\" room \"a\"", "");
    ck_assert_uint_eq(config.kinds.count, 0);
    end();
}
END_TEST

START_TEST(a_flag_wins_in_a_reload_too)
{
    setup();
    static char *flags[] = {"--client.max_rooms=5", NULL};
    ck_assert(load_all("[client]\nmax_rooms=9\n", NULL, flags));
    ck_assert(reload_with("[client]\nmax_rooms=8\n", flags));
    expect_changes("", "");
    ck_assert_uint_eq(config.client.max_rooms, 5);
    end();
}
END_TEST

UNIT_MAIN("config_reload", what_reloads_has_its_new_value_and_the_rest_its_old_one,
          a_file_that_says_the_same_changes_nothing, a_broken_file_leaves_everything_as_it_was,
          new_settings_must_go_together_with_old_ones_that_stay, kinds_come_change_and_go,
          a_flag_wins_in_a_reload_too)
