/* SPDX-License-Identifier: MIT */
/* presence alone, on a fake bus and in invented time. */
#include "gateway/chat/presence.h"

#include "common/alloc.h"
#include "tests/fake/bus.h"
#include "tests/fake/time.h"
#include "tests/fake/world.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#define INTERVAL_MS 250
#define GRACE_MS 3000

static struct world world;
static struct presence presence;
static struct buf told;
static unsigned settled;
static struct presence_member people[300];

static void relay(void *owner, struct str text)
{
    ck_assert_ptr_eq(owner, &world);
    BUF_LIT(&told, "\n");
    buf_add(&told, text);
}

static void on_settled(void *owner)
{
    (void)owner;
    ck_assert(presence_settled(&presence));
    settled++;
}

static const struct presence_handlers handlers = {.relay = relay, .on_settled = on_settled};

/* The digests since the last look. */
static void expect_told(const char *text)
{
    buf_add_char(&told, '\0');
    ck_assert_str_eq(told.ptr, text);
    buf_clear(&told);
}

#define DIGEST(online, joined, left)                                              \
    "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":" #online \
    ",\"joined\":[" joined "],\"left\":[" left "]}}"
#define DIGEST_MORE(online, joined, left)                                         \
    "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":" #online \
    ",\"joined\":[" joined "],\"left\":[" left "],\"more\":true}}"

static void on_opened(struct bus_call *call, const struct bus_result *result)
{
    ck_assert(list_empty(&call->link));
    ck_assert_int_eq(result->err, BUS_OK);
}

static void start(void)
{
    static struct bus_call open = {.done = on_opened};
    world_start_context(&world);
    presence_init(&presence, &world.ctx, &handlers, &world, STR("general"));
    presence.policy = &world.config.room;
    presence.bus = bus_open_room(fake_bus(), STR("general"), &presence, &open);
    fake_bus_fail(fake_bus_asked("open general"), BUS_OK);
}

static void leave_all(void)
{
    while (!list_empty(&presence.members)) {
        presence_leave(&presence,
                       container_of(presence.members.next, struct presence_member, in_presence),
                       BUS_LEFT);
    }
}

static void end(void)
{
    fake_bus_asked_nothing();
    leave_all();
    fake_bus_settle();
    ck_assert(presence_settled(&presence));
    presence_fini(&presence);
    bus_close_room(fake_bus(), presence.bus);
    fake_bus_asked("close general");
    buf_fini(&told);
    world_end_context(&world);
}

static void join(unsigned connection, const char *user)
{
    struct presence_member *m = &people[connection];
    *m = (struct presence_member){.connection = connection, .user = str_from(user)};
    list_init(&m->in_presence);
    list_init(&m->in_arrivals);
    presence_join(&presence, m);
}

static void leave(unsigned connection, enum bus_mark mark)
{
    presence_leave(&presence, &people[connection], mark);
}

/* alice is here, and everybody knows. */
static void start_with_alice(void)
{
    start();
    join(1, "alice");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 1: 1=alice | +alice"), BUS_OK);
    expect_told(DIGEST(1, "\"alice\"", ""));
    fake_time_pass(INTERVAL_MS);
    expect_told("");
}

/* A digest of another gateway: names as "+bob -carl ~dave *". */
static void digest(const char *gateway, uint64_t version, uint64_t count, const char *names)
{
    struct bus_register reg = {str_from(gateway), version, count};
    struct bus_name list[64];
    size_t n = 0;
    for (const char *at = names; *at != '\0';) {
        size_t len = strcspn(at, " ");
        list[n++] = (struct bus_name){(enum bus_mark)at[0], {at + 1, len - 1}};
        at += len + (at[len] == ' ');
    }
    presence_on_digest(&presence, &reg, list, n);
}

static void state(const struct bus_register *registers, size_t count, bool link_was_lost)
{
    const struct bus_room_state s = {
        .position = fake_position('a', 1), .registers = registers, .register_count = count};
    presence_on_state(&presence, &s, link_was_lost);
}

#define STATE(link_was_lost, ...)                     \
    state((const struct bus_register[]){__VA_ARGS__}, \
          ARRAY_LEN(((const struct bus_register[]){__VA_ARGS__})), (link_was_lost))

START_TEST(online_is_the_own_members_and_every_register)
{
    start_with_alice();
    STATE(false, {STR("b"), 3, 10}, {STR("c"), 1, 5}, {STR("gw"), 9, 77});
    ck_assert_uint_eq(presence_online(&presence), 16); /* not the own register */
    digest("b", 4, 11, "+bob");
    ck_assert_uint_eq(presence_online(&presence), 17);
    digest("c", 2, 0, "-carl");
    ck_assert_uint_eq(presence_online(&presence), 12);
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST_MORE(12, "\"bob\"", "\"carl\"")); /* 15 whom no digest named */
    end();
}
END_TEST

/* As parley1_reap tells of an id: first by the version that Redis has, then by the highest. */
START_TEST(who_is_reaped_goes_though_redis_forgot_how_new_he_was)
{
    start_with_alice();
    digest("b", 9, 2, "+bob +carl");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(3, "\"bob\",\"carl\"", ""));
    presence_on_lost(&presence);
    STATE(true, {STR("b"), 4, 1}, {STR("gw"), presence.version, 1}); /* rolled back */
    digest("b", 5, 0, "-bob");
    ck_assert_uint_eq(presence_online(&presence), 3);
    digest("b", UINT64_C(1) << 52, 0, "");
    ck_assert_uint_eq(presence_online(&presence), 1);
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST_MORE(1, "", "")); /* who they were, only a question tells */
    end();
}
END_TEST

START_TEST(who_is_reaped_in_order_makes_nobody_ask)
{
    start_with_alice();
    digest("b", 9, 1, "+bob");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(2, "\"bob\"", ""));
    digest("b", 10, 0, "-bob");
    digest("b", UINT64_C(1) << 52, 0, "");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(1, "", "\"bob\""));
    digest("c", UINT64_C(1) << 52, 0, ""); /* nobody knew it */
    fake_time_pass(INTERVAL_MS);
    expect_told("");
    end();
}
END_TEST

START_TEST(a_digest_that_was_missed_makes_clients_ask)
{
    start_with_alice();
    digest("b", 5, 1, "+bob");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(2, "\"bob\"", ""));
    digest("b", 7, 2, "+carl -dave"); /* 6 named dave, and somebody else perhaps */
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST_MORE(3, "\"carl\"", "\"dave\""));
    digest("b", 8, 0, "-bob -carl");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(1, "", "\"bob\",\"carl\""));
    digest("b", 5000, 1, "+bob"); /* closed and opened there since: versions began anew */
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(2, "\"bob\"", ""));
    end();
}
END_TEST

START_TEST(a_lower_version_never_replaces_a_higher_one)
{
    start_with_alice();
    digest("b", 7, 2, "+bob +carl");
    digest("b", 6, 9, "+dave");
    digest("b", 7, 9, "+dave");
    STATE(false, {STR("b"), 5, 1});
    ck_assert_uint_eq(presence_online(&presence), 3);
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(3, "\"bob\",\"carl\"", ""));
    end();
}
END_TEST

START_TEST(a_state_that_was_read_before_a_gateway_left_does_not_bring_it_back)
{
    start_with_alice();
    digest("b", 7, 2, "+bob +carl");
    digest("b", 8, 0, "-bob -carl");
    STATE(false, {STR("b"), 7, 2});
    ck_assert_uint_eq(presence_online(&presence), 1);
    end();
}
END_TEST

START_TEST(a_gateway_that_the_state_does_not_have_is_forgotten_unless_its_digest_is_newer)
{
    start_with_alice();
    STATE(false, {STR("b"), 3, 10}, {STR("c"), 1, 5});
    presence_on_lost(&presence);
    digest("c", 2, 6, "+carl");
    STATE(true, {STR("d"), 1, 1}, {STR("gw"), presence.version, 1});
    ck_assert_uint_eq(presence_online(&presence), 8); /* alice, c, d */
    end();
}
END_TEST

START_TEST(what_happens_within_an_interval_is_one_change_and_one_digest)
{
    start_with_alice();
    join(2, "bob");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 2: 2=bob | +bob"), BUS_OK);
    expect_told(DIGEST(2, "\"bob\"", ""));
    join(3, "carl");
    fake_time_pass(100);
    join(4, "dave");
    leave(1, BUS_LEFT);
    fake_time_pass(INTERVAL_MS - 101);
    fake_bus_asked_nothing();
    expect_told("");
    fake_time_pass(1);
    fake_bus_fail(fake_bus_asked("presence general 3: 1= 3=carl 4=dave | -alice +carl +dave"),
                  BUS_OK);
    expect_told(DIGEST(3, "\"carl\",\"dave\"", "\"alice\""));
    end();
}
END_TEST

START_TEST(a_member_that_comes_and_goes_within_an_interval_leaves_no_trace)
{
    start_with_alice();
    join(2, "bob");
    leave(2, BUS_LEFT);
    ck_assert(presence_settled(&presence));
    fake_time_pass(INTERVAL_MS);
    expect_told("");
    end();
}
END_TEST

START_TEST(a_change_waits_for_the_one_under_way)
{
    start_with_alice();
    join(2, "bob");
    fake_time_pass(0);
    struct bus_call *call = fake_bus_asked("presence general 2: 2=bob | +bob");
    join(3, "carl");
    fake_time_pass(10 * INTERVAL_MS);
    fake_bus_asked_nothing();
    leave(2, BUS_LEFT); /* the bus is being told that it is there: so it must hear this */
    fake_time_pass(10 * INTERVAL_MS);
    fake_bus_fail(call, BUS_OK);
    ck_assert(!presence_settled(&presence));
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general 2: 2= 3=carl | -bob +carl"), BUS_OK);
    ck_assert(presence_settled(&presence));
    ck_assert_uint_gt(settled, 0);
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(a_change_that_failed_is_sent_again_with_the_whole_register)
{
    static const enum bus_err errors[] = {BUS_UNAVAILABLE, BUS_UNKNOWN, BUS_REFUSED};
    start_with_alice();
    for (unsigned i = 0; i < ARRAY_LEN(errors); i++) {
        join(2, "bob");
        fake_time_pass(INTERVAL_MS);
        fake_bus_fail(fake_bus_asked("presence general 2: 2=bob | +bob"), errors[i]);
        ck_assert(!presence_settled(&presence));
        fake_time_pass(999);
        fake_bus_asked_nothing();
        fake_time_pass(1);
        fake_bus_fail(fake_bus_asked("presence general full 2: 1=alice 2=bob |"), BUS_OK);
        leave(2, BUS_LEFT);
        fake_time_pass(INTERVAL_MS);
        fake_bus_fail(fake_bus_asked("presence general 1: 2= | -bob"), BUS_OK);
    }
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(the_last_one_to_leave_settles_the_room_when_the_bus_knows)
{
    start_with_alice();
    settled = 0;
    leave(1, BUS_LOST);
    ck_assert(!presence_settled(&presence));
    fake_time_pass(INTERVAL_MS);
    struct bus_call *call = fake_bus_asked("presence general 0: 1= | ~alice");
    ck_assert_uint_eq(settled, 0);
    fake_bus_fail(call, BUS_OK);
    ck_assert_uint_eq(settled, 1);
    fake_time_pass(2 * GRACE_MS);
    expect_told(""); /* nobody is there to be told */
    end();
}
END_TEST

START_TEST(a_presence_request_does_not_wait_for_the_interval)
{
    start_with_alice();
    fake_time_pass(0);
    join(2, "bob");
    presence_flush(&presence);
    struct bus_call *call = fake_bus_asked("presence general 2: 2=bob | +bob");
    join(3, "carl");
    presence_flush(&presence); /* one at a time */
    fake_bus_asked_nothing();
    fake_bus_fail(call, BUS_OK);
    presence_flush(&presence);
    fake_bus_fail(fake_bus_asked("presence general 3: 3=carl | +carl"), BUS_OK);
    presence_flush(&presence);
    end();
}
END_TEST

START_TEST(a_change_names_fifty_at_most_and_says_that_there_were_more)
{
    static char names[120][8];
    struct buf line = {0}, digest_line = {0};
    start_with_alice();
    BUF_LIT(&line, "presence general 61:");
    for (unsigned i = 0; i < 60; i++) {
        snprintf(names[i], sizeof(names[i]), "u%02u", i);
        join(10 + i, names[i]);
        buf_addf(&line, " %u=u%02u", 10 + i, i);
    }
    BUF_LIT(&line, " |");
    BUF_LIT(&digest_line,
            "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":61,\"joined\":[");
    for (unsigned i = 0; i < 50; i++) {
        buf_addf(&line, " +u%02u", i);
        buf_addf(&digest_line, "%s\"u%02u\"", i > 0 ? "," : "", i);
    }
    BUF_LIT(&line, " *");
    buf_add_char(&line, '\0');
    BUF_LIT(&digest_line, "],\"left\":[],\"more\":true}}");
    buf_add_char(&digest_line, '\0');
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked(line.ptr), BUS_OK);
    expect_told(digest_line.ptr);
    fake_time_pass(INTERVAL_MS);
    expect_told(""); /* said once */
    buf_fini(&line);
    buf_fini(&digest_line);
    end();
}
END_TEST

START_TEST(the_own_register_is_asserted_when_a_link_comes_back_without_it)
{
    start_with_alice();
    uint64_t version = presence.version;
    STATE(true, {STR("gw"), version, 1});
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    STATE(true, {STR("b"), 1, 0});
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    STATE(true, {STR("gw"), version, 4}); /* a change was lost on its way */
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    end();
}
END_TEST

static void start_with_three(void)
{
    start_with_alice();
    join(2, "bob");
    join(3, "carl");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked_like("presence general 3:"), BUS_OK);
    buf_clear(&told);
}

START_TEST(under_a_new_identity_everybody_is_asserted_and_only_news_are_named)
{
    start_with_three();
    leave(3, BUS_LEFT);
    fake_bus_set_id("gw2");
    presence_assert(&presence);
    fake_bus_fail(fake_bus_asked("presence general full 2: 1=alice 2=bob | -carl"), BUS_OK);
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    expect_told(DIGEST(2, "", "\"carl\""));
    end();
}
END_TEST

START_TEST(who_was_told_to_have_left_with_the_gateway_is_named_again)
{
    start_with_three();
    leave(3, BUS_LEFT); /* whoever reaped named him, too */
    presence_on_reaped(&presence, false);
    fake_time_pass(0);
    fake_bus_set_id("gw2");
    presence_assert(&presence);
    fake_bus_fail(fake_bus_asked("presence general full 2: 1=alice 2=bob | +alice +bob"), BUS_OK);
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    expect_told(DIGEST(2, "", "\"carl\""));
    end();
}
END_TEST

START_TEST(who_is_reaped_only_after_the_new_identity_is_named_then)
{
    start_with_three();
    fake_bus_set_id("gw2");
    presence_assert(&presence);
    fake_bus_fail(fake_bus_asked_like("presence general full 3:"), BUS_OK);
    presence_on_reaped(&presence, true);
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(
        fake_bus_asked_like("presence general full 3: 1=alice 2=bob 3=carl | +alice +bob +carl"),
        BUS_OK);
    expect_told("");
    end();
}
END_TEST

/* The bus has them as members of the new identity already. */
START_TEST(who_leaves_around_the_reaping_is_no_member_of_the_new_identity)
{
    start_with_three();
    fake_bus_set_id("gw2");
    presence_assert(&presence);
    struct bus_call *asserted = fake_bus_asked_like("presence general full 3:");
    leave(2, BUS_LEFT);
    presence_on_reaped(&presence, true);
    leave(3, BUS_LEFT);
    fake_bus_fail(asserted, BUS_OK);
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice | +alice"), BUS_OK);
    expect_told(DIGEST(1, "", "\"bob\",\"carl\""));
    end();
}
END_TEST

START_TEST(a_room_that_became_empty_settles_under_a_new_identity)
{
    start_with_alice();
    settled = 0;
    leave(1, BUS_LEFT);
    presence_assert(&presence);
    fake_bus_fail(fake_bus_asked("presence general 0: 1= | -alice"), BUS_OK);
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    ck_assert_uint_gt(settled, 0);
    end();
}
END_TEST

START_TEST(a_join_and_a_leave_of_one_name_cancel)
{
    start_with_alice();
    digest("b", 1, 1, "+bob");
    digest("b", 2, 0, "-bob");
    fake_time_pass(INTERVAL_MS);
    expect_told("");
    digest("b", 3, 1, "+bob");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(2, "\"bob\"", ""));
    digest("b", 4, 0, "-bob");
    digest("c", 1, 1, "+bob"); /* on another gateway */
    fake_time_pass(INTERVAL_MS);
    expect_told("");
    end();
}
END_TEST

START_TEST(a_name_is_told_once_for_each_connection)
{
    start_with_alice();
    digest("b", 1, 3, "+bob +bob +carl");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(4, "\"bob\",\"bob\",\"carl\"", ""));
    end();
}
END_TEST

START_TEST(who_said_leave_is_told_at_once_who_was_lost_after_the_grace)
{
    start_with_alice();
    digest("b", 1, 2, "+bob +carl");
    fake_time_pass(INTERVAL_MS);
    buf_clear(&told);
    digest("b", 2, 0, "-bob ~carl");
    fake_time_pass(0);
    expect_told(DIGEST(1, "", "\"bob\""));
    fake_time_pass(GRACE_MS - 1);
    expect_told("");
    fake_time_pass(1);
    expect_told(DIGEST(1, "", "\"carl\""));
    fake_time_pass(2 * GRACE_MS);
    expect_told("");
    end();
}
END_TEST

START_TEST(who_comes_back_within_the_grace_on_any_gateway_is_not_told_of)
{
    start_with_alice();
    digest("b", 1, 2, "+bob +carl");
    fake_time_pass(INTERVAL_MS);
    buf_clear(&told);
    digest("b", 2, 0, "~bob ~carl");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(1, "", "")); /* the number is the truth at once */
    digest("c", 1, 1, "+bob");
    join(2, "carl");
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general 2: 2=carl | +carl"), BUS_OK);
    expect_told(DIGEST(3, "", ""));
    fake_time_pass(2 * GRACE_MS);
    expect_told("");
    end();
}
END_TEST

START_TEST(of_two_lost_connections_of_a_name_one_comes_back)
{
    start_with_alice();
    digest("b", 1, 2, "+bob +bob");
    fake_time_pass(INTERVAL_MS);
    buf_clear(&told);
    digest("b", 2, 0, "~bob ~bob");
    digest("c", 1, 1, "+bob");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(2, "", ""));
    fake_time_pass(GRACE_MS);
    expect_told(DIGEST(2, "", "\"bob\""));
    end();
}
END_TEST

START_TEST(an_own_connection_that_is_lost_is_told_as_such)
{
    start_with_alice();
    join(2, "bob");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked_like("presence general 2:"), BUS_OK);
    buf_clear(&told);
    leave(2, BUS_LOST);
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general 1: 2= | ~bob"), BUS_OK);
    expect_told(DIGEST(1, "", ""));
    fake_time_pass(GRACE_MS);
    expect_told(DIGEST(1, "", "\"bob\""));
    end();
}
END_TEST

START_TEST(a_list_that_another_gateway_cut_is_told_as_cut)
{
    start_with_alice();
    digest("b", 1, 70, "+bob *");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST_MORE(71, "\"bob\"", ""));
    digest("b", 2, 71, "+carl");
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(72, "\"carl\"", ""));
    end();
}
END_TEST

START_TEST(names_beyond_what_is_kept_are_told_as_more)
{
    char names[64][8];
    struct bus_name list[2];
    start_with_alice();
    for (unsigned i = 0; i < 400; i++) {
        char *name = names[i % 64];
        snprintf(name, sizeof(names[0]), "n%u", i);
        struct bus_register reg = {STR("b"), 1 + i, 1 + i};
        list[0] = (struct bus_name){BUS_JOINED, str_from(name)};
        presence_on_digest(&presence, &reg, list, 1);
        ck_assert_uint_le(presence.news.count, 100);
    }
    fake_time_pass(INTERVAL_MS);
    buf_add_char(&told, '\0');
    ck_assert_ptr_nonnull(strstr(told.ptr, "\"n49\"],\"left\":[],\"more\":true}}"));
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(an_empty_room_is_told_nothing)
{
    start();
    digest("b", 1, 2, "+bob ~carl *");
    fake_time_pass(2 * GRACE_MS);
    expect_told("");
    ck_assert_uint_eq(presence_online(&presence), 2);
    join(1, "alice");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 1: 1=alice | +alice"), BUS_OK);
    expect_told(DIGEST(3, "\"alice\"", ""));
    end();
}
END_TEST

START_TEST(the_interval_grows_with_the_room)
{
    start_with_alice();
    digest("b", 1, 7999, "");
    fake_time_pass(4 * INTERVAL_MS);
    buf_clear(&told);
    digest("b", 2, 8000, "+bob");
    fake_time_pass(5 * INTERVAL_MS - 1); /* 8,001 members: 4 times more, and one */
    expect_told("");
    fake_time_pass(1);
    expect_told(DIGEST(8001, "\"bob\"", ""));
    end();
}
END_TEST

static void checked(uint64_t members, const struct bus_register *registers, size_t count)
{
    presence_on_check(&presence, &(struct bus_check){.registers = registers,
                                                     .register_count = count,
                                                     .members_known = true,
                                                     .members = members});
}

#define CHECKED(members, ...)                                      \
    checked((members), (const struct bus_register[]){__VA_ARGS__}, \
            ARRAY_LEN(((const struct bus_register[]){__VA_ARGS__})))

START_TEST(a_room_may_count_without_naming)
{
    start();
    world.config.room.presence = CONFIG_PRESENCE_COUNT;
    join(1, "alice");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 1: |"), BUS_OK);
    expect_told(DIGEST(1, "", ""));
    digest("b", 1, 2, "+bob +carol"); /* of a gateway with other settings */
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST(3, "", ""));
    CHECKED(0, {STR("gw"), presence.version, 1}, {STR("b"), 1, 2});
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing(); /* nobody is listed, and nobody is to be */
    end();
}
END_TEST

START_TEST(a_room_may_say_nothing_of_who_is_there)
{
    start();
    world.config.room.presence = CONFIG_PRESENCE_OFF;
    join(1, "alice");
    join(2, "bob");
    ck_assert(presence_settled(&presence));
    digest("b", 1, 1, "+carol");
    fake_time_pass(2 * GRACE_MS);
    leave(2, BUS_LOST);
    presence_assert(&presence);
    fake_time_pass(2 * GRACE_MS);
    fake_bus_asked_nothing();
    expect_told("");
    ck_assert_uint_eq(presence_online(&presence), 0);
    end();
}
END_TEST

static void change_policy(enum config_presence to)
{
    enum config_presence was = world.config.room.presence;
    world.config.room.presence = to;
    presence_on_policy(&presence, was);
    fake_time_pass(INTERVAL_MS);
}

START_TEST(a_room_that_counts_no_more_takes_its_register_back)
{
    start_with_alice();
    digest("b", 1, 1, "+bob");
    fake_time_pass(INTERVAL_MS);
    buf_clear(&told);
    leave(1, BUS_LOST); /* not told yet: it never will be */
    join(2, "carol");
    change_policy(CONFIG_PRESENCE_OFF);
    fake_bus_fail(fake_bus_asked("presence general full 0: |"), BUS_UNAVAILABLE);
    fake_time_pass(1000);
    fake_bus_fail(fake_bus_asked("presence general full 0: |"), BUS_OK);
    ck_assert(presence_settled(&presence));
    expect_told(DIGEST(0, "", ""));
    change_policy(CONFIG_PRESENCE_COUNT);
    fake_bus_fail(fake_bus_asked("presence general full 1: |"), BUS_OK);
    expect_told(DIGEST(2, "", ""));
    end();
}
END_TEST

START_TEST(a_room_that_begins_to_name_lists_everybody)
{
    start();
    world.config.room.presence = CONFIG_PRESENCE_COUNT;
    join(1, "alice");
    fake_time_pass(0);
    fake_bus_fail(fake_bus_asked("presence general 1: |"), BUS_OK);
    buf_clear(&told);
    change_policy(CONFIG_PRESENCE_FULL);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    ck_assert_ptr_nonnull(memmem(told.ptr, told.len, "\"more\":true", 11)); /* clients ask */
    buf_clear(&told);
    change_policy(CONFIG_PRESENCE_COUNT);
    fake_bus_fail(fake_bus_asked("presence general full 1: |"), BUS_OK);
    end();
}
END_TEST

START_TEST(a_register_that_somebody_altered_is_written_again)
{
    start_with_alice();
    CHECKED(1, {STR("gw"), presence.version, 1});
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    CHECKED(1, {STR("b"), 1, 1}); /* deleted */
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    CHECKED(1, {STR("gw"), presence.version, 7}); /* another count */
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    CHECKED(0, {STR("gw"), presence.version, 1}); /* a member is missing */
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    uint64_t high = presence.version + 1000;
    CHECKED(1, {STR("gw"), high, 1}); /* a version that ours would not replace */
    fake_time_pass(INTERVAL_MS);
    fake_bus_fail(fake_bus_asked("presence general full 1: 1=alice |"), BUS_OK);
    ck_assert_uint_gt(presence.version, high);
    ck_assert_uint_eq(world.stats.restored, 4);
    buf_clear(&told); /* of b */
    end();
}
END_TEST

START_TEST(a_check_that_meets_a_change_under_way_alters_nothing)
{
    start_with_alice();
    join(2, "bob");
    CHECKED(1, {STR("gw"), presence.version, 1}); /* not told yet */
    fake_time_pass(0);
    struct bus_call *call = fake_bus_asked("presence general 2: 2=bob | +bob");
    CHECKED(1, {STR("gw"), presence.version, 1}); /* on its way */
    fake_bus_fail(call, BUS_OK);
    fake_time_pass(INTERVAL_MS);
    fake_bus_asked_nothing();
    ck_assert_uint_eq(world.stats.restored, 0);
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(a_check_makes_up_for_digests_that_were_lost)
{
    start_with_alice();
    digest("b", 5, 3, "");
    digest("c", 5, 4, "");
    CHECKED(1, {STR("gw"), presence.version, 1}, {STR("b"), 6, 2}); /* c: written only now? */
    ck_assert_uint_eq(presence_online(&presence), 7);
    CHECKED(1, {STR("gw"), presence.version, 1}, {STR("b"), 6, 2});
    ck_assert_uint_eq(presence_online(&presence), 3); /* c is gone */
    fake_time_pass(INTERVAL_MS);
    expect_told(DIGEST_MORE(3, "", "")); /* whoever it was: clients ask */
    digest("c", 6, 1, "");
    CHECKED(1, {STR("gw"), presence.version, 1}, {STR("b"), 6, 2});
    digest("c", 7, 1, ""); /* it lives */
    CHECKED(1, {STR("gw"), presence.version, 1}, {STR("b"), 6, 2});
    ck_assert_uint_eq(presence_online(&presence), 4);
    fake_time_pass(INTERVAL_MS);
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(nothing_grows_with_the_gateways_that_ever_were)
{
    char id[32];
    start_with_alice();
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "gw-%u", i);
        digest(id, 1, 5, "+bob");
        digest(id, 2, 0, "-bob");
        fake_time_pass(1000);
        ck_assert_uint_le(presence.others.count, 12);
    }
    ck_assert_uint_eq(presence_online(&presence), 1);
    buf_clear(&told);
    end();
}
END_TEST

static unsigned frames;
static size_t frame_bytes;

static void count_frames(void *owner, struct str text)
{
    (void)owner;
    frames++;
    frame_bytes += text.len;
}

/* Ten thousand come back within ten seconds: 2,000 here, 8,000 on four other gateways, each of
 * which tells of its own once in its interval. */
START_TEST(ten_thousand_who_come_back_cost_each_member_tens_of_frames)
{
    static const struct presence_handlers counting = {.relay = count_frames,
                                                      .on_settled = on_settled};
    static struct presence_member crowd[2000];
    static char names[2000][8];
    struct bus_name told_names[51];
    char gateway[8];
    uint64_t digests = 0;
    const struct bus_room_state nothing = {.position = fake_position('a', 0)};
    start_with_alice();
    presence.handlers = &counting;
    frames = 0;
    frame_bytes = 0;
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(names[i], sizeof(names[i]), "u%u", i);
        crowd[i] = (struct presence_member){.connection = 1000 + i, .user = str_from(names[i])};
        list_init(&crowd[i].in_presence);
        list_init(&crowd[i].in_arrivals);
        presence_join(&presence, &crowd[i]);
        fake_time_pass(5);
        fake_bus_complete(&nothing);
        for (unsigned g = 0; g < 4 && i % 50 == 49; g++, digests++) {
            snprintf(gateway, sizeof(gateway), "gw-%u", g);
            for (unsigned n = 0; n < 50; n++) {
                told_names[n] = (struct bus_name){BUS_JOINED, str_from(names[(i - n) % 2000])};
            }
            told_names[50] = (struct bus_name){BUS_MORE, {NULL, 0}};
            presence_on_digest(&presence, &(struct bus_register){str_from(gateway), i + 1, i + 1},
                               told_names, 51);
        }
    }
    ck_assert_uint_eq(presence_online(&presence), 10001);
    for (unsigned i = 0; i < 10; i++) {
        fake_time_pass(1000);
        fake_bus_complete(&nothing);
    }
    printf("%u frames, %zu bytes for each member, from %u joins and %u digests\n", frames,
           frame_bytes, 2000U, (unsigned)digests);
    ck_assert_uint_le(frames, 40);
    ck_assert_uint_le(frame_bytes, 40 * 1024);
    presence.handlers = &handlers;
    for (unsigned i = 0; i < 2000; i++) {
        presence_leave(&presence, &crowd[i], BUS_LEFT);
    }
    fake_time_pass(5000);
    fake_bus_complete(&nothing);
    buf_clear(&told);
    end();
}
END_TEST

START_TEST(a_name_that_is_lost_again_and_again_is_held_once)
{
    start_with_alice();
    for (unsigned i = 0; i < 100; i++) {
        digest("b", 2 * i + 1, 1, "+bob");
        digest("b", 2 * i + 2, 0, "~bob");
        fake_time_pass(INTERVAL_MS);
        ck_assert_uint_eq(presence.held.count, 1);
    }
    buf_clear(&told);
    fake_time_pass(GRACE_MS);
    ck_assert_uint_eq(presence.held.count, 0);
    expect_told(DIGEST(1, "", "\"bob\""));
    end();
}
END_TEST

UNIT_MAIN(
    "presence", online_is_the_own_members_and_every_register,
    who_is_reaped_goes_though_redis_forgot_how_new_he_was, who_is_reaped_in_order_makes_nobody_ask,
    a_digest_that_was_missed_makes_clients_ask, a_lower_version_never_replaces_a_higher_one,
    a_state_that_was_read_before_a_gateway_left_does_not_bring_it_back,
    a_gateway_that_the_state_does_not_have_is_forgotten_unless_its_digest_is_newer,
    what_happens_within_an_interval_is_one_change_and_one_digest,
    a_member_that_comes_and_goes_within_an_interval_leaves_no_trace,
    a_change_waits_for_the_one_under_way,
    a_change_that_failed_is_sent_again_with_the_whole_register,
    the_last_one_to_leave_settles_the_room_when_the_bus_knows,
    a_presence_request_does_not_wait_for_the_interval,
    a_change_names_fifty_at_most_and_says_that_there_were_more,
    the_own_register_is_asserted_when_a_link_comes_back_without_it,
    under_a_new_identity_everybody_is_asserted_and_only_news_are_named,
    who_was_told_to_have_left_with_the_gateway_is_named_again,
    who_is_reaped_only_after_the_new_identity_is_named_then,
    who_leaves_around_the_reaping_is_no_member_of_the_new_identity,
    a_room_that_became_empty_settles_under_a_new_identity, a_join_and_a_leave_of_one_name_cancel,
    a_name_is_told_once_for_each_connection,
    who_said_leave_is_told_at_once_who_was_lost_after_the_grace,
    who_comes_back_within_the_grace_on_any_gateway_is_not_told_of,
    of_two_lost_connections_of_a_name_one_comes_back,
    an_own_connection_that_is_lost_is_told_as_such, a_list_that_another_gateway_cut_is_told_as_cut,
    names_beyond_what_is_kept_are_told_as_more, an_empty_room_is_told_nothing,
    the_interval_grows_with_the_room, a_room_may_count_without_naming,
    a_room_may_say_nothing_of_who_is_there, a_room_that_counts_no_more_takes_its_register_back,
    a_room_that_begins_to_name_lists_everybody, a_name_that_is_lost_again_and_again_is_held_once,
    a_register_that_somebody_altered_is_written_again,
    a_check_that_meets_a_change_under_way_alters_nothing,
    a_check_makes_up_for_digests_that_were_lost, nothing_grows_with_the_gateways_that_ever_were,
    ten_thousand_who_come_back_cost_each_member_tens_of_frames)
