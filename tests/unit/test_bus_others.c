/* SPDX-License-Identifier: MIT */
/* Gateways that judge each other, and what is left of those that are gone. */
#include "tests/unit/bus_fixture.h"

#include <stdio.h>
#include <string.h>

static struct server server;
static struct loop *loop;
static struct station one, two;
static struct place here, there;
static struct waiter w;

static bool ready(const struct station *st)
{
    struct bus_health health;
    bus_health(st->bus, &health);
    return health.ready;
}

static void setup(void)
{
    server_open(&server, NULL);
    loop = loop_new();
    station_open(&one, loop, server.url, "one");
    station_open(&two, loop, server.url, "two");
    UNTIL(loop, ready(&one) && ready(&two) && one.stats.gateways == 2 && two.stats.gateways == 2);
}

static void teardown(void)
{
    station_free(&one);
    station_free(&two);
    loop_free(loop);
    server_close(&server);
}

static const char *id_of(const struct station *st)
{
    static char ids[4][96];
    static unsigned next;
    char *id = ids[next++ % 4];
    snprintf(id, 96, "%.*s", STR_ARG(bus_gateway_id(st->bus)));
    return id;
}

static void open_both(void)
{
    place_open(&here, &one, "general");
    place_open(&there, &two, "general");
}

START_TEST(a_frozen_redis_makes_nobody_reap_anybody)
{
    one.config.redis.lease_ms = two.config.redis.lease_ms = 5000;
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&there, 1, 1, "eve"), BUS_OK);
    forget(&one);
    forget(&two);
    server_freeze(&server);
    bus_publish(one.bus, here.room, STR("bob"), STR(""), STR("{}"), waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_UNKNOWN);
    let_run(loop, 5000);
    server_thaw(&server);
    UNTIL(loop, ready(&one) && ready(&two));
    let_run(loop, 7000);
    ck_assert(!heard(&one, "identity") && !heard(&two, "identity"));
    ck_assert(!heard(&one, "digest") && !heard(&two, "digest"));
    ck_assert_int_eq(server_int(&server, "HLEN parley:room:{general}:online"), 2);
}
END_TEST

START_TEST(a_dead_gateways_members_leave_in_time)
{
    char want[256];
    open_both();
    ck_assert_int_eq(be_present(&there, 1, 1, "eve"), BUS_OK);
    UNTIL(loop, heard(&one, "+eve"));
    /* At any phase of the rotation. */
    let_run(loop, one.config.redis.lease_ms + (uint64_t)_i * 250);
    snprintf(want, sizeof(want), "digest general %s 2:0 -eve\n", id_of(&two));
    uint64_t died_ms = clock_now_ms();
    station_free(&two); /* as kill -9: its sockets close, nothing else */
    UNTIL(loop, heard(&one, want));
    uint64_t took_ms = clock_now_ms() - died_ms;
    printf("leaves after %llu ms\n", (unsigned long long)took_ms);
    ck_assert_uint_lt(took_ms, 1950);
    ck_assert_int_eq(server_int(&server, "EXISTS parley:room:{general}:online"), 0);
    UNTIL(loop, server_int(&server, "HLEN parley:gateways") == 1);
    UNTIL(loop, server_int(&server, "EXISTS parley:reaping") == 0);
    ck_assert_str_eq(server_text(&server, "KEYS *:rooms"), "");
    ck_assert_str_eq(server_text(&server, "KEYS *members*"), "");
    ck_assert_uint_eq(one.stats.gateways, 1);
}
END_TEST

START_TEST(a_frozen_gateway_is_reaped_and_comes_back_as_another)
{
    struct loop *own_loop = loop_new(); /* that of a gateway which can stand still */
    static struct station zombie;
    static struct place place;
    station_open(&zombie, own_loop, server.url, "zombie");
    UNTIL(own_loop, ready(&zombie));
    place_open(&place, &zombie, "general");
    ck_assert_int_eq(be_present(&place, 1, 1, "zoe"), BUS_OK);
    place_open(&here, &one, "general");
    const char *was = id_of(&zombie);
    UNTIL(loop, heard(&one, "-zoe")); /* its loop does not run: it is frozen */
    forget(&zombie);
    bus_publish(zombie.bus, place.room, STR("zoe"), STR(""), STR("{}"), waiting(&w));
    UNTIL(own_loop, heard(&zombie, "identity zombie-") && w.times == 1);
    ck_assert(heard(&zombie, "reaped general ")); /* before its new id counts */
    ck_assert(strstr(zombie.heard, "reaped general ") < strstr(zombie.heard, "identity zombie-"));
    ck_assert_str_ne(was, id_of(&zombie));
    ck_assert_int_eq(be_present(&place, 2, 1, "zoe"), BUS_OK);
    UNTIL(loop, heard(&one, "+zoe"));
    station_free(&zombie);
    loop_free(own_loop);
}
END_TEST

/* A change that is made between the loss and the next renewal is written under the id that is lost,
 * and the room is in no set. */
START_TEST(what_was_written_under_a_lost_id_goes_with_it)
{
    char former[96];
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    snprintf(former, sizeof(former), "%s", id_of(&one));
    server_do(&server, "FLUSHALL");
    ck_assert_int_eq(be_present(&here, 2, 2, "tom"), BUS_OK);
    ck_assert_str_eq(id_of(&one), former);
    ck_assert_int_eq(server_int(&server, "EXISTS parley:room:{general}:online"), 1);
    UNTIL(loop, heard(&one, "identity one-"));
    UNTIL(loop, server_int(&server, "EXISTS parley:room:{general}:online") == 0);
    UNTIL(loop, heard(&two, "digest general ") && heard(&two, " 3:0\n"));
    UNTIL(loop, server_int(&server, "EXISTS parley:reaping") == 0);
    ck_assert_str_eq(server_text(&server, "KEYS *members*"), "");
    ck_assert(!heard(&two, "-bob") && !heard(&two, "-tom")); /* they did not leave */
    ck_assert_uint_eq(one.stats.ghosts + two.stats.ghosts, 0);
}
END_TEST

START_TEST(what_was_left_half_reaped_is_finished_by_another)
{
    server_do(&server, "HSET parley:reaping ghost-12345678 1");
    server_do(&server, "SADD parley:gateway:ghost-12345678:rooms general");
    server_do(&server, "HSET parley:room:{general}:online ghost-12345678 3:1");
    server_do(&server, "HSET parley:room:{general}:members:ghost-12345678 1 casper");
    one.config.redis.tick_ms = two.config.redis.tick_ms = 100; /* the rotation takes 2 s so */
    place_open(&here, &one, "general");
    UNTIL(loop, heard(&one, "digest general ghost-12345678 4:0 -casper"));
    UNTIL(loop, server_int(&server, "EXISTS parley:reaping") == 0);
}
END_TEST

/* So that the background check takes seconds where it takes minutes: a round of rooms every 2.4 s.
 */
static void hurry(void)
{
    one.config.redis.tick_ms = two.config.redis.tick_ms = 20;
    one.config.redis.lease_ms = two.config.redis.lease_ms = 400;
}

START_TEST(the_background_check_tells_what_redis_holds)
{
    char want[256];
    open_both();
    ck_assert_int_eq(be_present(&here, 5, 0xab, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&there, 7, 0xab, "eve"), BUS_OK);
    hurry();
    snprintf(want, sizeof(want), "check general 1 of %s=5:1 %s=7:1\n", id_of(&one), id_of(&two));
    UNTIL(loop, heard(&one, want));
    snprintf(want, sizeof(want), "HDEL parley:room:{general}:members:%s ab", id_of(&one));
    server_do(&server, want);
    snprintf(want, sizeof(want), "HSET parley:room:{general}:online %s 999:3", id_of(&one));
    server_do(&server, want);
    snprintf(want, sizeof(want), "check general 0 of %s=999:3", id_of(&one));
    UNTIL(loop, heard(&one, want));
    server_do(&server, "DEL parley:room:{general}:online");
    UNTIL(loop, heard(&one, "check general 0 of\n") && heard(&two, "check general 1 of\n"));
    bus_close_room(one.bus, here.room);
    let_run(loop, 100);
    forget(&one);
    let_run(loop, 3000);
    ck_assert(!heard(&one, "check"));
}
END_TEST

START_TEST(a_register_whose_gateway_is_gone_is_removed_a_lease_later)
{
    open_both();
    ck_assert_int_eq(be_present(&there, 7, 0xab, "eve"), BUS_OK);
    server_do(&server, "HSET parley:room:{general}:online ghost-12345678 3:1");
    server_do(&server, "HSET parley:room:{general}:members:ghost-12345678 1 casper");
    hurry();
    UNTIL(loop, heard(&one, "digest general ghost-12345678 4:0 -casper"));
    size_t looks =
        heard_times(&one, "ghost-12345678=3:1") + heard_times(&two, "ghost-12345678=3:1");
    ck_assert_uint_ge(looks, 1);
    ck_assert_int_eq(server_int(&server, "EXISTS parley:room:{general}:members:ghost-12345678"), 0);
    ck_assert_int_eq(server_int(&server, "HLEN parley:room:{general}:online"), 1);
    UNTIL(loop, one.stats.ghosts + two.stats.ghosts == 1);
    ck_assert_uint_eq(one.stats.reaps + two.stats.reaps, 0);
    let_run(loop, 3000);
    ck_assert_uint_eq(heard_times(&one, "ghost-12345678 4:0"), 1);
}
END_TEST

START_TEST(a_set_of_rooms_whose_gateway_is_gone_is_worked_off)
{
    server_do(&server, "SADD parley:gateway:ghost-12345678:rooms general empty a{b");
    server_do(&server, "SADD parley:gateway:gh/ost:rooms general"); /* none of ours */
    server_do(&server, "HSET parley:room:{general}:online ghost-12345678 3:1");
    server_do(&server, "HSET parley:room:{general}:members:ghost-12345678 1 casper");
    hurry();
    UNTIL(loop, server_int(&server, "EXISTS parley:gateway:ghost-12345678:rooms") == 0);
    ck_assert_int_eq(server_int(&server, "EXISTS parley:room:{general}:online"), 0);
    UNTIL(loop, server_int(&server, "EXISTS parley:reaping") == 0);
    ck_assert_str_eq(server_text(&server, "KEYS *:rooms"), "parley:gateway:gh/ost:rooms ");
}
END_TEST

START_TEST(nobody_who_lives_is_taken_for_a_ghost)
{
    open_both();
    ck_assert_int_eq(be_present(&here, 5, 1, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&there, 7, 1, "eve"), BUS_OK);
    hurry();
    static struct station three;
    static struct place third;
    station_open(&three, loop, server.url, "three"); /* not known to the others at its first word */
    UNTIL(loop, ready(&three));
    place_open(&third, &three, "general");
    ck_assert_int_eq(be_present(&third, 1, 1, "tom"), BUS_OK);
    UNTIL(loop, heard_times(&one, "three-") >= 2 && heard_times(&two, "check general") >= 2);
    let_run(loop, 1000);
    ck_assert_int_eq(server_int(&server, "HLEN parley:room:{general}:online"), 3);
    ck_assert_uint_eq(one.stats.ghosts + two.stats.ghosts + three.stats.ghosts, 0);
    ck_assert(!heard(&one, "identity") && !heard(&two, "identity"));
    station_free(&three);
}
END_TEST

START_TEST(gateways_of_one_name_do_not_harm_each_other)
{
    static struct station twin;
    static struct place place;
    station_open(&twin, loop, server.url, "one");
    UNTIL(loop, ready(&twin) && one.stats.gateways == 3);
    ck_assert_str_ne(id_of(&twin), id_of(&one));
    open_both();
    place_open(&place, &twin, "general");
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&place, 1, 1, "eve"), BUS_OK);
    let_run(loop, 2000);
    ck_assert_int_eq(server_int(&server, "HLEN parley:room:{general}:online"), 2);
    ck_assert(!heard(&one, "identity") && !heard(&twin, "identity"));
    station_free(&twin); /* as kill -9 */
    UNTIL(loop, heard(&one, "-eve"));
    ck_assert(!heard(&one, "identity"));
    ck_assert_int_eq(server_int(&server, "HLEN parley:room:{general}:online"), 1);
}
END_TEST

START_TEST(a_gateway_killed_soon_after_the_start_is_seen_soon)
{
    /* The lease of 5 s is not over yet, but both have shown that they live. */
    open_both();
    ck_assert_int_eq(be_present(&there, 1, 1, "eve"), BUS_OK);
    UNTIL(loop, heard(&one, "+eve"));
    let_run(loop, 2000);
    uint64_t died_ms = clock_now_ms();
    station_free(&two);
    UNTIL(loop, heard(&one, "-eve"));
    ck_assert_uint_lt(clock_now_ms() - died_ms, 1950);
    ck_assert_uint_eq(one.stats.reaps, 1);
}
END_TEST

START_TEST(an_idle_gateway_costs_four_monitor_lines_a_second)
{
    redisContext *monitor = redisConnectUnix(server.url + strlen("unix://"));
    open_both();
    let_run(loop, 7000); /* at the start the others are looked at more often */
    redisReply *reply = redisCommand(monitor, "MONITOR");
    ck_assert_int_eq(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    let_run(loop, 24000); /* one round of the chores, the rooms' check among them */
    redisSetTimeout(monitor, (struct timeval){0, 1000});
    size_t lines = 0;
    while (redisGetReply(monitor, (void **)&reply) == REDIS_OK) {
        freeReplyObject(reply);
        lines++;
    }
    redisFree(monitor);
    printf("%zu lines in 24 s of two gateways\n", lines);
    ck_assert_uint_gt(lines, 50);
    ck_assert_uint_le(lines, 2 * (4 * 24 + 2)); /* and the tick at the edge */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bus_others");
    TCase *t = tcase_create("redis");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_frozen_redis_makes_nobody_reap_anybody);
    tcase_add_loop_test(t, a_dead_gateways_members_leave_in_time, 0, 4);
    tcase_add_test(t, a_frozen_gateway_is_reaped_and_comes_back_as_another);
    tcase_add_test(t, what_was_written_under_a_lost_id_goes_with_it);
    tcase_add_test(t, what_was_left_half_reaped_is_finished_by_another);
    tcase_add_test(t, the_background_check_tells_what_redis_holds);
    tcase_add_test(t, a_register_whose_gateway_is_gone_is_removed_a_lease_later);
    tcase_add_test(t, a_set_of_rooms_whose_gateway_is_gone_is_worked_off);
    tcase_add_test(t, nobody_who_lives_is_taken_for_a_ghost);
    tcase_add_test(t, gateways_of_one_name_do_not_harm_each_other);
    tcase_add_test(t, a_gateway_killed_soon_after_the_start_is_seen_soon);
    tcase_add_test(t, an_idle_gateway_costs_four_monitor_lines_a_second);
    suite_add_tcase(s, t);
    return run_suite(s);
}
