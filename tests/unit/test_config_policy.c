/* SPDX-License-Identifier: MIT */
/* Sections as [room "game:*"]: how they are read, what they leave to [room], which of them holds.
 */
#include "tests/unit/config_case.h"

#define PATTERN "the pattern must be a room's name, or the beginning of names and a * (as game:*)\n"

static const struct room_policy *policy(const char *room)
{
    return config_policy(&config, str_from(room));
}

START_TEST(a_kind_sets_every_key_of_a_policy)
{
    setup();
    ck_assert(load("[room \"game:*\"]\nhistory_size=1\nhistory_ttl=2s\npresence=count\n"
                   "presence_interval=3s\nrejoin_grace=4s\nmax_members=5\npublish=server\n"
                   "dedupe_ttl=6s\n"));
    expect_lines("");
    const struct room_policy *p = policy("game:chess");
    ck_assert_uint_eq(p->history_size, 1);
    ck_assert_uint_eq(p->history_ttl_ms, 2000);
    ck_assert_int_eq(p->presence, CONFIG_PRESENCE_COUNT);
    ck_assert_uint_eq(p->presence_interval_ms, 3000);
    ck_assert_uint_eq(p->rejoin_grace_ms, 4000);
    ck_assert_uint_eq(p->max_members, 5);
    ck_assert_int_eq(p->publish, CONFIG_PUBLISH_SERVER);
    ck_assert_uint_eq(p->dedupe_ttl_ms, 6000);
    ck_assert_ptr_eq(policy("general"), &config.room);
    ck_assert_uint_eq(config.room.history_size, 100);
    ck_assert_int_eq(config.room.publish, CONFIG_PUBLISH_MEMBERS);
    teardown();
}
END_TEST

START_TEST(what_a_kind_does_not_set_is_as_in_room_wherever_that_stands)
{
    setup();
    static char *env[] = {"PARLEY_ROOM_HISTORY_TTL=2m", NULL};
    static char *flags[] = {"--room.history_size=7", "--room.publish=server", NULL};
    ck_assert(load_all("[room \"a\"]\npublish=members\nmax_members=3\n"
                       "[room]\nhistory_size=5\nhistory_ttl=1m\nrejoin_grace=9s\n"
                       "[room \"b\"]\n",
                       env, flags));
    expect_lines("");
    for (unsigned i = 0; i < 2; i++) {
        const struct room_policy *p = policy(i == 0 ? "a" : "b");
        ck_assert_uint_eq(p->history_size, 7);
        ck_assert_uint_eq(p->history_ttl_ms, 120000);
        ck_assert_uint_eq(p->rejoin_grace_ms, 9000);
        ck_assert_uint_eq(p->max_members, i == 0 ? 3 : 0);
        ck_assert_int_eq(p->publish, i == 0 ? CONFIG_PUBLISH_MEMBERS : CONFIG_PUBLISH_SERVER);
    }
    teardown();
}
END_TEST

START_TEST(the_first_pattern_that_matches_holds)
{
    setup();
    static const struct {
        const char *room;
        unsigned history_size;
    } rows[] = {
        {"game:chess", 1}, {"game:chess2", 2}, {"game:", 2},        {"game", 100}, {"Game:a", 100},
        {"a \"b\\ #c", 3}, {"zz", 100},        {"\xc3\xa4rger", 4}, {"", 100},
    };
    ck_assert(load("[room \"game:chess\"]\nhistory_size=1\n"
                   "[ room \t\"game:*\" ] # comment ]\nhistory_size=2\n"
                   "[room \"a \\\"b\\\\ #c\"]\nhistory_size=3\n"
                   "[room\"\xc3\xa4*\"]\nhistory_size=4\n"));
    expect_lines("");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(policy(rows[i].room)->history_size == rows[i].history_size, "%s: %u",
                      rows[i].room, policy(rows[i].room)->history_size);
    }
    teardown();
}
END_TEST

START_TEST(a_pattern_for_everything_is_allowed)
{
    setup();
    ck_assert(load("[room \"a\"]\n[room \"*\"]\nhistory_size=1\n"));
    expect_lines("");
    ck_assert_uint_eq(policy("anything")->history_size, 1);
    teardown();
}
END_TEST

START_TEST(a_kind_that_cannot_be_read_says_where_and_why)
{
    setup();
    static const struct row rows[] = {
        {"[room game:*]\n", "parley.conf:1:1: the rooms that a section is for stand in quotes: "
                            "[room \"game:*\"]\n"},
        {"[room \"game:*]\n", "parley.conf:1:1: the rooms that a section is for stand in quotes: "
                              "[room \"game:*\"]\n"},
        {"[room \"a\" \"b\"]\n",
         "parley.conf:1:1: the rooms that a section is for stand in quotes: [room \"game:*\"]\n"},
        {"[room \"\"]\n", "parley.conf:1:1: [room \"\"]: " PATTERN},
        {"[room \"*a\"]\n", "parley.conf:1:1: [room \"*a\"]: " PATTERN},
        {"[room \"a*b*\"]\n", "parley.conf:1:1: [room \"a*b*\"]: " PATTERN},
        {"[room \"a{b\"]\n", "parley.conf:1:1: [room \"a{b\"]: " PATTERN},
        {"\n[room \"a\"]\nhistory_size=1\n[room \"a\"]\nhistory_size=1\n",
         "parley.conf:4:1: duplicate section [room \"a\"]; line 2 has it already\n"},
        {"[client \"a\"]\nheartbeat=x\n",
         "parley.conf:1:1: [client \"a\"]: only [room \"\xe2\x80\xa6\"] can be for some names "
         "alone\n"},
        {"[rooms \"a\"]\n",
         "parley.conf:1:1: unknown section [rooms \"a\"]; did you mean [room]?\n"},
        {"[room \"a\"]\nhistroy_size=1\n", "parley.conf:2:1: unknown key \"histroy_size\" in [room "
                                           "\"a\"]; did you mean \"history_size\"?\n"},
        {"[room \"a\"]\nheartbeat=1s\n",
         "parley.conf:2:1: unknown key \"heartbeat\" in [room \"a\"]; it belongs to [client]\n"},
        {"[room \"a\"]\nname_max_bytes=1\n",
         "parley.conf:2:1: \"name_max_bytes\" is the same for all rooms; it belongs to [room]\n"},
        {"[room \"a\"]\nname_pattern=1\n",
         "parley.conf:2:1: \"name_pattern\" in [room \"a\"] is not supported by this version\n"},
        {"[room \"a\"]\npresence=no\n",
         "parley.conf:2:10: room.presence must be full, count or off, not \"no\"\n"},
        {"[room \"a\"]\npresence=off\n[room \"b\"]\n[room]\npresence=off\npresence=off\n",
         "parley.conf:6:1: duplicate key \"presence\" in [room]; line 5 sets it already\n"},
        {"[room \"a\"]\npresence=off\npresence=off\n",
         "parley.conf:3:1: duplicate key \"presence\" in [room \"a\"]; line 2 sets it already\n"},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    teardown();
}
END_TEST

START_TEST(a_limit_of_members_needs_somebody_who_counts)
{
#define NOBODY_COUNTS                                                                          \
    "room.max_members=5 needs room.presence=full or count: with off nobody counts the members" \
    "\n"
    setup();
    static const struct row rows[] = {
        {"[room]\nmax_members=5\npresence=off\n", "parley.conf:3:10: " NOBODY_COUNTS},
        {"[room]\nmax_members=5\n[room \"a\"]\npresence=off\n", "parley.conf:4:10: " NOBODY_COUNTS},
        {"[room \"a\"]\nmax_members=5\n[room \"b\"]\n[room]\npresence=off\n",
         "parley.conf:2:13: " NOBODY_COUNTS},
    };
    expect_refused(rows, ARRAY_LEN(rows));
    ck_assert(load("[room]\nmax_members=5\n[room \"a\"]\npresence=off\nmax_members=0\n"));
    teardown();
}
END_TEST

START_TEST(a_kind_that_holds_for_no_room_is_a_warning)
{
    setup();
    ck_assert(
        load("[room \"game:*\"]\n[room \"game:chess\"]\n[room \"game:a*\"]\n[room \"gam*\"]\n"));
    expect_lines(
        "warning: parley.conf:2:1: [room \"game:chess\"] holds for no room: [room "
        "\"game:*\"] in line 1 comes first\n"
        "warning: parley.conf:3:1: [room \"game:a*\"] holds for no room: [room \"game:*\"] "
        "in line 1 comes first\n");
    teardown();
}
END_TEST

START_TEST(there_may_be_so_many_kinds)
{
    setup();
    struct buf text = {NULL, 0, 0};
    for (int i = 0; i <= CONFIG_KINDS_MAX; i++) {
        buf_addf(&text, "[room \"%d\"]\n", i);
    }
    buf_add_char(&text, '\0');
    ck_assert(!load(text.ptr));
    expect_lines("parley.conf:65:1: more than 64 sections [room \"\xe2\x80\xa6\"]\n");
    *strrchr(text.ptr, '[') = '#';
    ck_assert(load(text.ptr));
    ck_assert_uint_eq(config.kinds.count, 64);
    buf_fini(&text);
    teardown();
}
END_TEST

START_TEST(flags_and_variables_speak_for_room_alone)
{
    setup();
    static char *flags[] = {"--room.game:*.history_size=1", NULL};
    ck_assert(!load_all(NULL, NULL, flags));
    expect_lines("--room.game:*.history_size: unknown flag\n");
    teardown();
}
END_TEST

UNIT_MAIN("config_policy", a_kind_sets_every_key_of_a_policy,
          what_a_kind_does_not_set_is_as_in_room_wherever_that_stands,
          the_first_pattern_that_matches_holds, a_pattern_for_everything_is_allowed,
          a_kind_that_cannot_be_read_says_where_and_why,
          a_limit_of_members_needs_somebody_who_counts, a_kind_that_holds_for_no_room_is_a_warning,
          there_may_be_so_many_kinds, flags_and_variables_speak_for_room_alone)
