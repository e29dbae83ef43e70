/* SPDX-License-Identifier: MIT */
/* Sessions among rooms, users and the bus: joining, leaving, what a member hears, how it all ends.
 */
#include "gateway/chat/session.h"

#include "gateway/chat/chat.h"
#include "tests/fake/bus.h"
#include "tests/fake/time.h"
#include "tests/fake/world.h"
#include "tests/fake/ws.h"
#include "tests/unit/unit.h"

#define WELCOME(room, user, online, epoch, offset, connection)                                     \
    "\n{\"type\":\"welcome\",\"data\":{\"room\":\"" room "\",\"user\":\"" user                     \
    "\",\"online\":" #online ",\"epoch\":\"" epoch epoch epoch epoch epoch epoch epoch epoch       \
    "\",\"offset\":" #offset ",\"recovered\":false,\"heartbeat\":25,\"connection\":\"" #connection \
    "\",\"gateway\":\"gw-1\"}}"
#define UNAVAILABLE                                                                           \
    "\n{\"type\":\"error\",\"data\":{\"code\":\"unavailable\",\"message\":\"the message bus " \
    "cannot be reached; nothing was done\",\"retry_after\":1000}}"
#define DIGEST(online, joined, left)                                              \
    "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":" #online \
    ",\"joined\":[" joined "],\"left\":[" left "]}}"
#define GAP(epoch, from, to, why)                                                             \
    "\n{\"type\":\"gap\",\"data\":{\"room\":\"general\",\"epoch\":\"" epoch epoch epoch epoch \
        epoch epoch epoch epoch "\",\"from\":" #from ",\"to\":" #to ",\"why\":\"" why "\"}}"
#define JOIN(room, user) \
    "{\"type\":\"join\",\"data\":{\"room\":\"" room "\",\"user\":\"" user "\"}}"
#define LEAVE(room) "{\"type\":\"leave\",\"data\":{\"room\":\"" room "\"}}"
#define LEFT(room) "\n{\"type\":\"left\",\"data\":{\"room\":\"" room "\"}}"

static struct world world;

static const struct bus_room_state at_5 = {.position = {.epoch = "aaaaaaaaaaaaaaa", .offset = 5}};

static struct bus_room_state state_at(char epoch, uint64_t offset)
{
    return (struct bus_room_state){.position = fake_position(epoch, offset)};
}

static void opened(struct bus_call *call, char epoch, uint64_t offset)
{
    const struct bus_room_state state = state_at(epoch, offset);
    fake_bus_opened(call, &state);
}

static void synced(const char *room, char epoch, uint64_t offset)
{
    const struct bus_room_state state = state_at(epoch, offset);
    fake_bus_events()->on_synced(fake_bus_room(room), &state);
}

static void end(void)
{
    fake_bus_asked_nothing();
    world_end(&world);
}

START_TEST(a_join_waits_for_the_room_and_for_the_user)
{
    for (unsigned user_first = 0; user_first < 2; user_first++) {
        world_start(&world);
        struct ws_conn *c = fake_ws_open(world.ctx.ws);
        fake_ws_say(c, JOIN("general", "alice"));
        struct bus_call *user = fake_bus_asked("open-user alice");
        struct bus_call *room = fake_bus_asked("open general");
        if (user_first) {
            fake_bus_fail(user, BUS_OK);
        } else {
            opened(room, 'a', 5);
        }
        ck_assert_str_eq(fake_ws_heard(c), "");
        if (user_first) {
            opened(room, 'a', 5);
        } else {
            fake_bus_fail(user, BUS_OK);
        }
        ck_assert_str_eq(fake_ws_heard(c), WELCOME("general", "alice", 1, "aa", 5, 1));
        ck_assert_uint_eq(world.stats.rooms, 1);
        ck_assert_uint_eq(world.stats.users, 1);
        end();
    }
}
END_TEST

START_TEST(the_register_of_the_others_counts_in_the_welcome)
{
    static const struct bus_register registers[] = {{TEXT("b"), 3, 10}, {TEXT("c"), 9, 1}};
    struct bus_room_state state = state_at('a', 5);
    state.registers = registers;
    state.register_count = ARRAY_LEN(registers);
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_bus_complete(&state);
    ck_assert_str_eq(fake_ws_heard(c), WELCOME("general", "alice", 12, "aa", 5, 1));
    end();
}
END_TEST

START_TEST(a_second_member_joins_an_open_room_at_once)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *bob = fake_ws_open(world.ctx.ws);
    world_log("general", 'a', 6, 7);
    fake_ws_say(bob, JOIN("general", "bob"));
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_OK);
    world_log("general", 'a', 8, 8);
    ck_assert_str_eq(fake_ws_heard(alice), "\n6\n7\n8");
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME("general", "bob", 2, "aa", 7, 2) "\n8");
    end();
}
END_TEST

START_TEST(joining_again_is_a_fresh_welcome_at_what_was_read)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(alice), "\n6");
    world_log("general", 'a', 7, 8); /* not written yet */
    fake_ws_say(alice, JOIN("general", "alice"));
    ck_assert_str_eq(fake_ws_heard(alice), WELCOME("general", "alice", 1, "aa", 6, 1) "\n7\n8");
    fake_ws_say(alice,
                "{\"type\":\"join\",\"data\":{\"room\":\"general\"}}"); /* its user is known */
    ck_assert_str_eq(fake_ws_heard(alice), WELCOME("general", "alice", 1, "aa", 8, 1));
    ck_assert_uint_eq(world.stats.memberships, 1);
    end();
}
END_TEST

START_TEST(a_room_that_cannot_be_opened_is_unavailable_at_once)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_bus_fail(fake_bus_asked("open-user alice"), BUS_OK);
    fake_bus_fail(fake_bus_asked("open general"), BUS_UNAVAILABLE);
    ck_assert_str_eq(fake_ws_heard(c), UNAVAILABLE);
    fake_bus_asked("close general");
    fake_ws_say(c, JOIN("general", "alice")); /* and may be tried again */
    opened(fake_bus_asked("open general"), 'a', 5);
    ck_assert_str_eq(fake_ws_heard(c), WELCOME("general", "alice", 1, "aa", 5, 1));
    end();
}
END_TEST

START_TEST(a_join_waits_no_longer_than_a_command_may_take)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_bus_fail(fake_bus_asked("open-user alice"), BUS_OK);
    struct bus_call *room = fake_bus_asked("open general");
    fake_time_pass(1999);
    ck_assert_str_eq(fake_ws_heard(c), "");
    fake_time_pass(1);
    ck_assert_str_eq(fake_ws_heard(c), UNAVAILABLE);
    opened(room, 'a', 5); /* too late: nobody waits */
    ck_assert_str_eq(fake_ws_heard(c), "");
    fake_bus_asked("close general");
    end();
}
END_TEST

START_TEST(a_user_that_cannot_be_reached_is_tried_again_while_the_join_waits)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    struct bus_call *user = fake_bus_asked("open-user alice");
    opened(fake_bus_asked("open general"), 'a', 5);
    fake_bus_fail(user, BUS_UNAVAILABLE);
    fake_bus_asked("close-user alice");
    fake_time_pass(500);
    user = fake_bus_asked("open-user alice");
    world_log("general", 'a', 6, 6);
    fake_bus_fail(user, BUS_OK);
    ck_assert_str_eq(fake_ws_heard(c), WELCOME("general", "alice", 1, "aa", 6, 1));
    end();
}
END_TEST

START_TEST(two_joins_of_one_room_at_once_are_two_welcomes_and_one_member)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_ws_say(c, JOIN("general", "alice"));
    fake_bus_complete(&at_5);
    const char *heard = fake_ws_heard(c);
    ck_assert_ptr_nonnull(strstr(heard, "}}\n{\"type\":\"welcome\""));
    ck_assert_uint_eq(world.stats.memberships, 1);
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 1: 1=alice | +alice"), BUS_OK);
    fake_ws_say(c, LEAVE("general"));
    ck_assert_uint_eq(world.stats.memberships, 0);
    end();
}
END_TEST

START_TEST(leave_ends_a_join_that_waits)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_bus_fail(fake_bus_asked("open-user alice"), BUS_OK);
    struct bus_call *room = fake_bus_asked("open general");
    fake_ws_say(c, LEAVE("general"));
    ck_assert_str_eq(fake_ws_heard(c), UNAVAILABLE LEFT("general"));
    opened(room, 'a', 5);
    fake_bus_asked("close general");
    ck_assert_str_eq(fake_ws_heard(c), "");
    fake_time_pass(5000);
    ck_assert_str_eq(fake_ws_heard(c), "");
    end();
}
END_TEST

START_TEST(a_full_room_takes_nobody_but_its_members)
{
    world_start(&world);
    world.config.room.max_members = 1;
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *bob = fake_ws_open(world.ctx.ws);
    fake_ws_say(bob, JOIN("general", "bob"));
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_OK);
    ck_assert_str_eq(fake_ws_heard(bob), "\n{\"type\":\"error\",\"data\":{\"code\":\"room_full\","
                                         "\"message\":\"the room holds its maximum of members\"}}");
    fake_ws_say(alice, JOIN("general", "alice"));
    ck_assert_str_eq(fake_ws_heard(alice), WELCOME("general", "alice", 1, "aa", 5, 1));
    end();
}
END_TEST

START_TEST(who_joins_no_room_in_time_is_closed)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    struct ws_conn *member = world_join(&world, "alice", "general");
    fake_ws_say(c, "{\"type\":\"ping\"}");
    (void)fake_ws_heard(c);
    fake_time_pass(60000);
    ck_assert_str_eq(fake_ws_heard(c), "\nclose 4408");
    ck_assert_str_eq(fake_ws_heard(member), "");
    fake_ws_say(member, LEAVE("general"));
    fake_ws_say(c, JOIN("general", "bob")); /* it is closing: it becomes no member any more */
    fake_bus_complete(&at_5);
    ck_assert_uint_eq(world.stats.memberships, 0);
    end();
}
END_TEST

START_TEST(a_join_with_since_recovers_only_where_nothing_was_missed)
{
    static const struct {
        const char *since, *hears;
    } cases[] = {
        {"{\"epoch\":\"aaaaaaaaaaaaaaaa\",\"offset\":3}", GAP("aa", 4, 5, "history")},
        {"{\"epoch\":\"bbbbbbbbbbbbbbbb\",\"offset\":5}", GAP("aa", 0, 5, "reset")},
        {"{\"epoch\":\"short\",\"offset\":5}", GAP("aa", 0, 5, "reset")},
        {"{\"epoch\":\"aaaaaaaaaaaaaaaa\",\"offset\":-1}", GAP("aa", 0, 5, "reset")},
        {"{}", GAP("aa", 0, 5, "reset")},
    };
    world_start(&world);
    struct ws_conn *c = world_join(&world, "alice", "general");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[256], expected[512];
        snprintf(text, sizeof(text),
                 "{\"type\":\"join\",\"data\":{\"room\":\"general\",\"since\":%s}}",
                 cases[i].since);
        snprintf(expected, sizeof(expected), "%s%s", WELCOME("general", "alice", 1, "aa", 5, 1),
                 cases[i].hears);
        fake_ws_say(c, text);
        ck_assert_str_eq(fake_ws_heard(c), expected);
    }
    fake_ws_say(c, "{\"type\":\"join\",\"data\":{\"room\":\"general\",\"since\":"
                   "{\"epoch\":\"aaaaaaaaaaaaaaaa\",\"offset\":5}}}");
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(c), "\"offset\":5,\"recovered\":true,"));
    fake_ws_say(c, "{\"type\":\"join\",\"data\":{\"room\":\"general\",\"since\":null}}");
    ck_assert_str_eq(fake_ws_heard(c), WELCOME("general", "alice", 1, "aa", 5, 1));
    end();
}
END_TEST

START_TEST(members_hear_the_room_whatever_the_link_does)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    world_log("general", 'a', 6, 6);
    fake_bus_events()->on_lost(fake_bus_room("general"));
    struct ws_conn *bob = fake_ws_open(world.ctx.ws);
    fake_ws_say(bob, JOIN("general", "bob"));
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_OK);
    ck_assert_str_eq(fake_ws_heard(bob), ""); /* it waits */
    synced("general", 'a', 8);
    const struct str missed[] = {STR("7"), STR("8")};
    struct bus_call *read = fake_bus_asked("read general a 7..8");
    world_log("general", 'a', 9, 9);
    fake_bus_done(read, &(struct bus_result){.lines = missed, .line_count = 2, .first = 7});
    ck_assert_str_eq(fake_ws_heard(alice), "\n6\n7\n8\n9");
    ck_assert_str_eq(fake_ws_heard(bob), WELCOME("general", "bob", 2, "aa", 9, 2));
    fake_time_pass(250);
    /* The register was not in the state: everything is told anew. */
    fake_bus_fail(fake_bus_asked_like("presence general full 2: 1=alice 2=bob |"), BUS_OK);
    end();
}
END_TEST

START_TEST(a_new_epoch_is_told_to_members_and_stands_in_the_next_welcome)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    world_log("general", 'b', 4, 4);
    fake_bus_asked("sync general");
    synced("general", 'b', 4);
    ck_assert_str_eq(fake_ws_heard(alice), GAP("bb", 0, 3, "reset") "\n4");
    fake_ws_say(alice, JOIN("general", "alice"));
    ck_assert_str_eq(fake_ws_heard(alice), WELCOME("general", "alice", 1, "bb", 4, 1));
    end();
}
END_TEST

START_TEST(a_slow_member_is_told_which_messages_were_left_out)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    world_log("general", 'a', 6, 8);
    fake_ws_cut(alice);
    world_log("general", 'a', 9, 9);
    ck_assert_str_eq(fake_ws_heard(alice), GAP("aa", 6, 8, "slow") "\n9");
    fake_bus_events()->on_signal(fake_bus_room("general"), false, 0, STR("{}"));
    fake_ws_cut(alice); /* a signal alone is not worth a word */
    ck_assert_str_eq(fake_ws_heard(alice), "");
    end();
}
END_TEST

START_TEST(a_slow_member_is_told_of_a_new_epoch_that_was_left_out)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    world_log("general", 'a', 6, 6);
    world_log("general", 'b', 4, 4);
    fake_bus_asked("sync general");
    synced("general", 'b', 4);
    fake_ws_cut(alice);
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(alice), "\"from\":0,\"to\":4,\"why\":\"reset\""));
    world_log("general", 'b', 5, 5);
    fake_ws_cut(alice);
    ck_assert_str_eq(fake_ws_heard(alice), GAP("bb", 5, 5, "slow"));
    end();
}
END_TEST

START_TEST(after_leave_nothing_of_the_room_is_heard)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *bob = world_join(&world, "bob", "general");
    (void)fake_ws_heard(alice);
    world_log("general", 'a', 6, 6);
    fake_ws_say(alice, LEAVE("general"));
    world_log("general", 'a', 7, 7);
    ck_assert_str_eq(fake_ws_heard(alice), LEFT("general"));
    ck_assert_str_eq(fake_ws_heard(bob), "\n6\n7");
    fake_time_pass(250);
    fake_bus_fail(fake_bus_asked("presence general 1: 1= | -alice"), BUS_OK);
    ck_assert_str_eq(fake_ws_heard(bob), DIGEST(1, "", "\"alice\""));
    end();
}
END_TEST

START_TEST(a_room_closes_when_the_bus_knows_that_it_is_empty)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    fake_ws_say(alice, LEAVE("general"));
    fake_time_pass(250);
    struct bus_call *call = fake_bus_asked("presence general 0: 1= | -alice");
    world_log("general", 'a', 6, 6); /* for nobody */
    fake_bus_fail(call, BUS_OK);
    fake_bus_asked("close general");
    ck_assert_uint_eq(world.stats.rooms, 0);
    end();
}
END_TEST

START_TEST(a_room_that_is_about_to_close_may_be_joined_again)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    fake_ws_say(alice, LEAVE("general"));
    fake_time_pass(250);
    struct bus_call *call = fake_bus_asked("presence general 0: 1= | -alice");
    world_log("general", 'a', 6, 6);
    (void)fake_ws_heard(alice);
    fake_ws_say(alice, JOIN("general", "alice"));
    ck_assert_str_eq(fake_ws_heard(alice), WELCOME("general", "alice", 1, "aa", 6, 1));
    fake_bus_fail(call, BUS_OK);
    fake_time_pass(250);
    fake_bus_fail(fake_bus_asked("presence general 1: 1=alice | +alice"), BUS_OK);
    ck_assert_str_eq(fake_ws_heard(alice), DIGEST(1, "\"alice\"", ""));
    end();
}
END_TEST

START_TEST(a_room_whose_last_member_left_during_a_fill_closes_after_it)
{
    for (unsigned answered = 0; answered < 2; answered++) {
        world_start(&world);
        struct ws_conn *alice = world_join(&world, "alice", "general");
        world_log("general", 'a', 8, 8);
        struct bus_call *read = fake_bus_asked("read general a 6..7");
        fake_ws_end(alice, CLOSE_GONE);
        fake_bus_asked("close-user alice");
        fake_time_pass(250);
        fake_bus_fail(fake_bus_asked("presence general 0: 1= | ~alice"), BUS_OK);
        fake_bus_asked_nothing();
        fake_bus_fail(read, answered ? BUS_OK : BUS_UNAVAILABLE);
        if (!answered) {
            fake_bus_asked("sync general");
        }
        fake_bus_asked("close general");
        end();
    }
}
END_TEST

START_TEST(a_room_that_nobody_waits_for_any_more_closes_when_it_comes_alive)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    fake_ws_end(c, CLOSE_GONE);
    fake_bus_asked("open-user alice");
    struct bus_call *room = fake_bus_asked("open general");
    fake_bus_asked("close-user alice");
    fake_bus_asked_nothing();
    opened(room, 'a', 5);
    fake_bus_asked("close general");
    end();
}
END_TEST

START_TEST(a_lost_room_closes_with_the_last_join_that_waited)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *bob = fake_ws_open(world.ctx.ws);
    fake_bus_events()->on_lost(fake_bus_room("general"));
    fake_ws_say(bob, JOIN("general", "bob"));
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_OK);
    fake_ws_say(alice, LEAVE("general"));
    fake_time_pass(250);
    fake_bus_fail(fake_bus_asked("presence general 0: 1= | -alice"), BUS_OK);
    fake_bus_asked_nothing();
    fake_time_pass(1750);
    ck_assert_str_eq(fake_ws_heard(bob), UNAVAILABLE);
    fake_bus_asked("close general");
    end();
}
END_TEST

START_TEST(a_room_may_close_when_it_comes_alive_and_takes_nobody_who_waited)
{
    static const struct bus_register registers[] = {{TEXT("b"), 1, 7}};
    struct bus_room_state state = state_at('a', 5);
    state.registers = registers;
    state.register_count = 1;
    world_start(&world);
    world.config.room.max_members = 7;
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *others[2];
    fake_bus_events()->on_lost(fake_bus_room("general"));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        others[i] = fake_ws_open(world.ctx.ws);
        fake_ws_say(others[i], JOIN("general", "alice"));
    }
    fake_ws_say(alice, LEAVE("general"));
    fake_time_pass(250);
    fake_bus_fail(fake_bus_asked("presence general 0: 1= | -alice"), BUS_OK);
    fake_bus_events()->on_synced(fake_bus_room("general"), &state);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert_ptr_nonnull(strstr(fake_ws_heard(others[i]), "room_full"));
    }
    fake_bus_asked("close general");
    end();
}
END_TEST

START_TEST(under_a_new_identity_every_room_is_asserted_and_read_again)
{
    world_start(&world);
    (void)world_join(&world, "alice", "general");
    fake_bus_set_id("gw-new");
    fake_bus_events()->on_identity(fake_bus_events()->ctx);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    fake_time_pass(1500);
    fake_bus_asked("sync general");
    synced("general", 'a', 5);
    end();
}
END_TEST

START_TEST(an_empty_room_closes_when_its_register_went_with_the_old_identity)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    fake_ws_say(alice, LEAVE("general"));
    fake_bus_events()->on_identity(fake_bus_events()->ctx);
    fake_bus_fail(fake_bus_asked("presence general 0: 1= | -alice"), BUS_OK);
    fake_time_pass(250);
    fake_bus_asked("close general");
    end();
}
END_TEST

START_TEST(a_user_is_subscribed_with_the_first_connection_and_unsubscribed_with_the_last)
{
    world_start(&world);
    struct ws_conn *one = world_join(&world, "alice", "general");
    struct ws_conn *two = fake_ws_open(world.ctx.ws);
    fake_ws_say(two, JOIN("general", "alice"));
    ck_assert_uint_eq(world.stats.users, 1);
    fake_ws_end(one, CLOSE_GONE);
    fake_bus_asked_nothing();
    fake_ws_end(two, CLOSE_GONE);
    fake_bus_asked("close-user alice");
    ck_assert_uint_eq(world.stats.users, 0);
    end();
}
END_TEST

START_TEST(a_user_who_left_before_it_was_subscribed_may_come_back)
{
    world_start(&world);
    struct ws_conn *one = fake_ws_open(world.ctx.ws);
    fake_ws_say(one, JOIN("general", "alice"));
    struct bus_call *first = fake_bus_asked("open-user alice");
    fake_bus_asked_like("open general");
    fake_ws_end(one, CLOSE_GONE);
    fake_bus_asked("close-user alice");
    struct ws_conn *two = fake_ws_open(world.ctx.ws);
    fake_ws_say(two, JOIN("general", "alice"));
    struct bus_call *second = fake_bus_asked("open-user alice");
    fake_bus_fail(first, BUS_UNAVAILABLE); /* the closed one's */
    fake_bus_fail(second, BUS_OK);
    fake_bus_complete(&at_5);
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(two), "welcome"));
    end();
}
END_TEST

static unsigned emptied;

static void on_empty(void *ctx)
{
    ck_assert_ptr_eq(ctx, &world);
    emptied++;
}

START_TEST(a_drain_gives_each_connection_a_slot_and_closes_it_then)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *idle = fake_ws_open(world.ctx.ws);
    emptied = 0;
    chat_drain(world.chat, 10000, on_empty, &world);
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"bye\",\"data\":{\"reason\":\"drain\",\"reconnect_in\":5000}}");
    fake_ws_say(alice, JOIN("other", "alice"));
    ck_assert_str_eq(fake_ws_heard(alice), UNAVAILABLE);
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"still here\"}}");
    fake_bus_fail(fake_bus_asked_like("publish general"), BUS_OK);
    world_log("general", 'a', 6, 6);
    ck_assert_str_eq(fake_ws_heard(alice), "\n6");
    fake_time_pass(4999);
    ck_assert_str_eq(fake_ws_heard(alice), "");
    fake_time_pass(1);
    ck_assert_str_eq(fake_ws_heard(alice), "\nclose 4000");
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(idle), "\nclose 4000"));
    ck_assert_uint_eq(emptied, 0);
    fake_ws_end(alice, CLOSE_MOVED);
    fake_ws_end(idle, CLOSE_MOVED);
    fake_bus_asked("close-user alice");
    fake_time_pass(1000);
    ck_assert_uint_eq(emptied, 0); /* the bus has not been told, so far */
    fake_bus_fail(fake_bus_asked("presence general 0: 1= | ~alice"), BUS_OK);
    fake_bus_asked("close general");
    fake_time_pass(1000);
    ck_assert_uint_eq(emptied, 1);
    end();
}
END_TEST

START_TEST(a_join_that_waits_when_a_drain_begins_keeps_its_slot)
{
    world_start(&world);
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    fake_ws_say(c, JOIN("general", "alice"));
    chat_drain(world.chat, 1000, on_empty, &world);
    fake_bus_complete(&at_5);
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(c), "welcome"));
    fake_time_pass(500);
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(c), "\nclose 4000"));
    fake_bus_settle();
    end();
}
END_TEST

START_TEST(a_connection_that_opens_during_a_drain_is_sent_on)
{
    world_start(&world);
    emptied = 0;
    struct ws_conn *first = fake_ws_open(world.ctx.ws);
    chat_drain(world.chat, 1000, on_empty, &world);
    struct ws_conn *late = fake_ws_open(world.ctx.ws); /* its handshake was under way */
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(late), "\"type\":\"bye\""));
    fake_time_pass(1000);
    ck_assert_ptr_nonnull(strstr(fake_ws_heard(late), "close 4000"));
    fake_ws_end(first, CLOSE_MOVED);
    fake_ws_end(late, CLOSE_MOVED);
    fake_time_pass(100);
    ck_assert_uint_eq(emptied, 1);
    end();
}
END_TEST

START_TEST(a_session_in_many_rooms_ends_in_all_of_them)
{
    world_start(&world);
    struct ws_conn *c = world_join(&world, "alice", "one");
    fake_ws_say(c, JOIN("two", "alice"));
    fake_bus_complete(&at_5);
    fake_ws_say(c, JOIN("three", "alice")); /* waits */
    ck_assert_uint_eq(world.stats.memberships, 2);
    fake_ws_end(c, CLOSE_GONE);
    ck_assert_uint_eq(world.stats.memberships, 0);
    fake_bus_settle();
    end();
}
END_TEST

START_TEST(everything_can_be_taken_down_while_the_bus_has_yet_to_answer)
{
    world_start(&world);
    struct ws_conn *alice = world_join(&world, "alice", "general");
    struct ws_conn *bob = world_join(&world, "bob", "lobby");
    struct ws_conn *carl = fake_ws_open(world.ctx.ws);
    world_log("general", 'a', 8, 8);  /* a hole is being read */
    fake_ws_say(bob, LEAVE("lobby")); /* its register is being taken back */
    fake_time_pass(250);
    fake_ws_say(alice, JOIN("third", "alice"));
    fake_ws_say(alice, "{\"type\":\"chat\",\"id\":1,\"data\":{\"text\":\"a\"}}");
    fake_ws_say(carl, JOIN("lobby", "carl"));
    world_take_down(&world);
}
END_TEST

START_TEST(everything_can_be_taken_down_while_the_link_is_lost)
{
    world_start(&world);
    (void)world_join(&world, "alice", "general");
    struct ws_conn *bob = fake_ws_open(world.ctx.ws);
    fake_ws_say(bob, JOIN("lobby", "bob"));
    fake_bus_fail(fake_bus_asked("open-user bob"), BUS_UNAVAILABLE);
    fake_bus_asked("open lobby");
    fake_bus_asked("close-user bob");
    fake_bus_events()->on_lost(fake_bus_room("general"));
    world_take_down(&world);
}
END_TEST

UNIT_MAIN(
    "session", a_join_waits_for_the_room_and_for_the_user,
    the_register_of_the_others_counts_in_the_welcome, a_second_member_joins_an_open_room_at_once,
    joining_again_is_a_fresh_welcome_at_what_was_read,
    a_room_that_cannot_be_opened_is_unavailable_at_once,
    a_join_waits_no_longer_than_a_command_may_take,
    a_user_that_cannot_be_reached_is_tried_again_while_the_join_waits,
    two_joins_of_one_room_at_once_are_two_welcomes_and_one_member, leave_ends_a_join_that_waits,
    a_full_room_takes_nobody_but_its_members, who_joins_no_room_in_time_is_closed,
    a_join_with_since_recovers_only_where_nothing_was_missed,
    members_hear_the_room_whatever_the_link_does,
    a_new_epoch_is_told_to_members_and_stands_in_the_next_welcome,
    a_slow_member_is_told_which_messages_were_left_out,
    a_slow_member_is_told_of_a_new_epoch_that_was_left_out,
    after_leave_nothing_of_the_room_is_heard, a_room_closes_when_the_bus_knows_that_it_is_empty,
    a_room_that_is_about_to_close_may_be_joined_again,
    a_room_whose_last_member_left_during_a_fill_closes_after_it,
    a_room_that_nobody_waits_for_any_more_closes_when_it_comes_alive,
    a_lost_room_closes_with_the_last_join_that_waited,
    a_room_may_close_when_it_comes_alive_and_takes_nobody_who_waited,
    under_a_new_identity_every_room_is_asserted_and_read_again,
    an_empty_room_closes_when_its_register_went_with_the_old_identity,
    a_user_is_subscribed_with_the_first_connection_and_unsubscribed_with_the_last,
    a_user_who_left_before_it_was_subscribed_may_come_back,
    a_drain_gives_each_connection_a_slot_and_closes_it_then,
    a_join_that_waits_when_a_drain_begins_keeps_its_slot,
    a_connection_that_opens_during_a_drain_is_sent_on, a_session_in_many_rooms_ends_in_all_of_them,
    everything_can_be_taken_down_while_the_bus_has_yet_to_answer,
    everything_can_be_taken_down_while_the_link_is_lost)
