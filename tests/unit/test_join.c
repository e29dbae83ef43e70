/* SPDX-License-Identifier: MIT */
/* Joins that want to hear what was said before: since, history, and what may happen meanwhile. */
#include "gateway/chat/join.h"

#include "gateway/chat/chat.h"
#include "tests/fake/bus.h"
#include "tests/fake/time.h"
#include "tests/fake/world.h"
#include "tests/fake/ws.h"
#include "tests/unit/unit.h"

#define SINCE(offset)                                                                            \
    "{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"bob\",\"since\":{\"epoch\":\"" \
    "aaaaaaaaaaaaaaaa\",\"offset\":" #offset "}}}"
#define HISTORY(count) \
    "{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"bob\",\"history\":" #count "}}"
#define EPOCH_A "aaaaaaaaaaaaaaaa"
#define EPOCH_B "bbbbbbbbbbbbbbbb"
#define WELCOME(offset, recovered) WELCOME_IN(EPOCH_A, #offset, #recovered)
#define WELCOME_IN(epoch, offset, recovered)                                                \
    "\n{\"type\":\"welcome\",\"data\":{\"room\":\"general\",\"user\":\"bob\",\"online\":2," \
    "\"epoch\":\"" epoch "\",\"offset\":" offset ",\"recovered\":" recovered                \
    ",\"heartbeat\":25,\"connection\":\"2\",\"gateway\":\"gw-1\"}}"
#define GAP(from, to)                                                                    \
    "\n{\"type\":\"gap\",\"data\":{\"room\":\"general\",\"epoch\":\"aaaaaaaaaaaaaaaa\"," \
    "\"from\":" #from ",\"to\":" #to ",\"why\":\"history\"}}"

#define UNAVAILABLE                                                                           \
    "\n{\"type\":\"error\",\"data\":{\"code\":\"unavailable\",\"message\":\"the message bus " \
    "cannot be reached; nothing was done\",\"retry_after\":1000}}"
#define RESET(to) RESET_TO(EPOCH_A, to)
#define RESET_TO(epoch, to)                                                       \
    "\n{\"type\":\"gap\",\"data\":{\"room\":\"general\",\"epoch\":\"" epoch "\"," \
    "\"from\":0,\"to\":" #to ",\"why\":\"reset\"}}"

static struct world world;
static struct ws_conn *alice, *bob;

/* alice is a member of general, which stands at 5; bob has said `join` and can be reached. */
static void start(const char *join)
{
    world_start(&world);
    world.config.room.history_size = 100;
    world.config.client.backlog_hard = 1 << 20;
    alice = world_join(&world, "alice", "general");
    bob = fake_ws_open(world.ctx.ws);
    fake_ws_say(bob, join);
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_OK);
}

static void end(void)
{
    fake_bus_settle();
    world_end(&world);
}

/* Completes a read with lines "m<offset>"; none when first > last. */
static void answer(struct bus_call *call, uint64_t first, uint64_t last)
{
    static char texts[16][8];
    struct str lines[16];
    struct bus_result result = {.lines = lines, .first = first};
    for (uint64_t offset = first; offset <= last; offset++) {
        size_t i = result.line_count++;
        snprintf(texts[i], sizeof(texts[i]), "m%llu", (unsigned long long)offset);
        lines[i] = str_from(texts[i]);
    }
    fake_bus_done(call, &result);
}

START_TEST(what_was_missed_comes_between_the_welcome_and_live_messages)
{
    start(SINCE(2));
    struct bus_call *read = fake_bus_asked("read general a 3..5");
    world_log("general", 'a', 6, 7); /* while the read is under way */
    ck_assert_str_eq(fake_ws_heard(bob), "");
    answer(read, 3, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm3\nm4\nm5\n6\n7");
    world_log("general", 'a', 8, 8);
    ck_assert_str_eq(fake_ws_heard(bob), "\n8");
    ck_assert_uint_eq(world.stats.replayed, 3);
    end();
}
END_TEST

START_TEST(pages_are_read_until_the_cut_is_reached)
{
    start(SINCE(0));
    answer(fake_bus_asked("read general a 1..5"), 1, 2);
    answer(fake_bus_asked("read general a 3..5"), 3, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm1\nm2\nm3\nm4\nm5");
    end();
}
END_TEST

START_TEST(a_gateway_that_has_heard_less_than_the_client_catches_up_first)
{
    start(SINCE(7)); /* the gateway it comes from had 6 and 7 already */
    fake_bus_asked("sync general");
    ck_assert_str_eq(fake_ws_heard(bob), "");
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(bob), "");
    const struct bus_room_state state = {.position = fake_position('a', 8)};
    fake_bus_events()->on_synced(fake_bus_room("general"), &state);
    answer(fake_bus_asked("read general a 7..8"), 7, 8);
    answer(fake_bus_asked("read general a 8..8"), 8, 8);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(8, true) "\nm8");
    ck_assert_str_eq(fake_ws_heard(alice), "\n6\nm7\nm8");
    end();
}
END_TEST

START_TEST(a_place_that_does_not_exist_is_told_as_a_reset_after_one_look)
{
    start(SINCE(7));
    fake_bus_asked("sync general");
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    fake_bus_events()->on_synced(fake_bus_room("general"), &state);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) RESET(5));
    fake_bus_asked_nothing();
    end();
}
END_TEST

START_TEST(a_large_page_is_handed_on_in_portions_under_the_hard_limit)
{
    start(SINCE(2));
    world.config.client.backlog_hard = 6; /* two lines of two bytes reach half of it */
    answer(fake_bus_asked("read general a 3..5"), 3, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm3\nm4");
    fake_bus_asked_nothing(); /* until the socket has taken it */
    fake_ws_drain(bob);
    answer(fake_bus_asked("read general a 5..5"), 5, 5);
    ck_assert_str_eq(fake_ws_heard(bob), "\nm5");
    end();
}
END_TEST

START_TEST(what_is_not_kept_any_more_is_a_gap_and_the_rest_follows)
{
    start(SINCE(1));
    answer(fake_bus_asked("read general a 2..5"), 4, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) GAP(2, 3) "\nm4\nm5");
    end();
}
END_TEST

START_TEST(when_nothing_is_kept_or_the_read_is_refused_all_of_it_is_a_gap)
{
    for (unsigned refused = 0; refused < 2; refused++) {
        start(SINCE(1));
        struct bus_call *read = fake_bus_asked("read general a 2..5");
        if (refused) {
            fake_bus_fail(read, BUS_REFUSED);
        } else {
            answer(read, 6, 5);
        }
        world_log("general", 'a', 6, 6);
        ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) GAP(2, 5) "\n6");
        end();
    }
}
END_TEST

START_TEST(what_cannot_be_read_for_now_is_no_gap_but_unavailable)
{
    start(SINCE(2));
    fake_bus_fail(fake_bus_asked("read general a 3..5"), BUS_UNAVAILABLE);
    ck_assert_str_eq(fake_ws_heard(bob), UNAVAILABLE);
    ck_assert_uint_eq(world.stats.memberships, 1);
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(bob), "");
    fake_ws_say(bob, SINCE(2));
    answer(fake_bus_asked("read general a 3..6"), 3, 6);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(6, true) "\nm3\nm4\nm5\nm6");
    end();
}
END_TEST

START_TEST(a_refused_join_takes_nothing_from_another_of_the_same_room)
{
    start(SINCE(2));
    struct bus_call *first = fake_bus_asked("read general a 3..5");
    fake_ws_say(bob, SINCE(4));
    struct bus_call *second = fake_bus_asked("read general a 5..5");
    fake_bus_fail(first, BUS_UNAVAILABLE);
    ck_assert_uint_eq(world.stats.memberships, 2);
    fake_bus_fail(second, BUS_UNAVAILABLE);
    ck_assert_str_eq(fake_ws_heard(bob), UNAVAILABLE UNAVAILABLE);
    ck_assert_uint_eq(world.stats.memberships, 1);
    fake_ws_say(bob, SINCE(2));
    first = fake_bus_asked("read general a 3..5");
    fake_ws_say(bob, SINCE(5)); /* it misses nothing: welcome at once */
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true));
    fake_bus_fail(first, BUS_UNAVAILABLE);
    ck_assert_str_eq(fake_ws_heard(bob), UNAVAILABLE);
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(bob), "\n6");
    ck_assert_uint_eq(world.stats.memberships, 2);
    end();
}
END_TEST

START_TEST(a_later_page_that_cannot_be_read_is_asked_for_again)
{
    start(SINCE(2));
    answer(fake_bus_asked("read general a 3..5"), 3, 4);
    fake_bus_fail(fake_bus_asked("read general a 5..5"), BUS_UNAVAILABLE);
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm3\nm4");
    fake_time_pass(1000);
    fake_bus_fail(fake_bus_asked_like("presence general"), BUS_OK);
    answer(fake_bus_asked("read general a 5..5"), 5, 5);
    ck_assert(strncmp(fake_ws_heard(bob), "\nm5\n6", 5) == 0);
    end();
}
END_TEST

START_TEST(an_epoch_that_is_over_is_a_gap_up_to_its_end_and_then_the_reset)
{
    start(SINCE(2));
    const struct bus_result over = {.first = 3, .other_epoch = true};
    struct bus_call *read = fake_bus_asked("read general a 3..5");
    world_log("general", 'a', 6, 6);
    fake_bus_done(read, &over);
    fake_bus_asked("sync general");
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) GAP(3, 5) "\n6");
    const struct bus_room_state state = {.position = fake_position('b', 7)};
    fake_bus_events()->on_synced(fake_bus_room("general"), &state);
    ck_assert_str_eq(fake_ws_heard(bob), RESET_TO(EPOCH_B, 7));
    end();
}
END_TEST

START_TEST(a_second_join_before_the_reset_was_sent_is_of_the_epoch_before)
{
    start(SINCE(2));
    struct bus_call *first = fake_bus_asked("read general a 3..5");
    world_log("general", 'a', 6, 6); /* waits for what is read */
    const struct bus_room_state state = {.position = fake_position('b', 7)};
    fake_bus_events()->on_synced(fake_bus_room("general"), &state);
    fake_ws_say(bob, SINCE(5));
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true));
    answer(first, 3, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm3\nm4\nm5\n6" RESET_TO(EPOCH_B, 7));
    fake_ws_say(bob, SINCE(5));
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME_IN(EPOCH_B, "7", "false") RESET_TO(EPOCH_B, 7));
    end();
}
END_TEST

START_TEST(history_gives_the_newest_and_tells_no_gap)
{
    start(HISTORY(3));
    answer(fake_bus_asked("read general a 3..5"), 4, 5); /* one of them is not kept any more */
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) "\nm4\nm5");
    end();
    start(HISTORY(1000));
    answer(fake_bus_asked("read general a 1..5"), 1, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) "\nm1\nm2\nm3\nm4\nm5");
    end();
    start(HISTORY(0));
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false));
    end();
}
END_TEST

START_TEST(who_leaves_while_it_is_read_hears_nothing_more_of_the_room)
{
    start(SINCE(2));
    struct bus_call *read = fake_bus_asked("read general a 3..5");
    fake_ws_say(bob, "{\"type\":\"leave\",\"data\":{\"room\":\"general\"}}");
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, false) "\n{\"type\":\"left\",\"data\":{"
                                                           "\"room\":\"general\"}}");
    answer(read, 3, 5);
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(bob), "");
    ck_assert_str_eq(fake_ws_heard(alice), "\n6");
    end();
}
END_TEST

START_TEST(a_connection_may_end_while_it_is_read)
{
    start(SINCE(2));
    struct bus_call *read = fake_bus_asked("read general a 3..5");
    fake_ws_end(bob, CLOSE_GONE);
    answer(read, 3, 5);
    ck_assert_uint_eq(world.stats.memberships, 1);
    end();
}
END_TEST

START_TEST(a_second_join_of_the_room_meanwhile_repeats_nothing_live)
{
    start(SINCE(2));
    struct bus_call *first = fake_bus_asked("read general a 3..5");
    fake_ws_say(bob, SINCE(4));
    struct bus_call *second = fake_bus_asked("read general a 5..5");
    world_log("general", 'a', 6, 6);
    answer(first, 3, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm3\nm4\nm5");
    answer(second, 5, 5);
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME(5, true) "\nm5\n6");
    ck_assert_uint_eq(world.stats.memberships, 2);
    end();
}
END_TEST

START_TEST(while_the_link_is_away_a_replay_that_did_not_begin_is_unavailable)
{
    start(SINCE(2));
    struct bus_call *read = fake_bus_asked("read general a 3..5");
    fake_bus_events()->on_lost(fake_bus_room("general"));
    fake_bus_fail(read, BUS_UNAVAILABLE);
    ck_assert_str_eq(fake_ws_heard(bob), UNAVAILABLE);
    ck_assert_uint_eq(world.stats.memberships, 1);
    end();
}
END_TEST

UNIT_MAIN("join", what_was_missed_comes_between_the_welcome_and_live_messages,
          pages_are_read_until_the_cut_is_reached,
          a_gateway_that_has_heard_less_than_the_client_catches_up_first,
          a_place_that_does_not_exist_is_told_as_a_reset_after_one_look,
          a_large_page_is_handed_on_in_portions_under_the_hard_limit,
          what_is_not_kept_any_more_is_a_gap_and_the_rest_follows,
          when_nothing_is_kept_or_the_read_is_refused_all_of_it_is_a_gap,
          what_cannot_be_read_for_now_is_no_gap_but_unavailable,
          a_refused_join_takes_nothing_from_another_of_the_same_room,
          a_later_page_that_cannot_be_read_is_asked_for_again,
          an_epoch_that_is_over_is_a_gap_up_to_its_end_and_then_the_reset,
          a_second_join_before_the_reset_was_sent_is_of_the_epoch_before,
          history_gives_the_newest_and_tells_no_gap,
          who_leaves_while_it_is_read_hears_nothing_more_of_the_room,
          a_connection_may_end_while_it_is_read,
          a_second_join_of_the_room_meanwhile_repeats_nothing_live,
          while_the_link_is_away_a_replay_that_did_not_begin_is_unavailable)
