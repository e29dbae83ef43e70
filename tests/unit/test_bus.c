/* SPDX-License-Identifier: MIT */
/* One suite, two buses: everything bus.h promises that does not need a Redis to go wrong. */
#include "gateway/bus/bus.h"

#include "tests/unit/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static struct server server;
static struct loop *loop;
static struct station gw;
static struct place general;
static struct waiter w, w2;

static void setup_memory(void)
{
    loop = loop_new();
    station_open(&gw, loop, NULL, "gw");
}

static void setup_redis(void)
{
    server_open(&server, NULL);
    loop = loop_new();
    station_open(&gw, loop, server.url, "gw");
}

static void teardown(void)
{
    station_free(&gw);
    loop_free(loop);
    if (server.pid != 0) {
        server_close(&server);
    }
}

static struct str text_of(const char *text)
{
    return (struct str){text, strlen(text)};
}

START_TEST(a_new_room_has_an_epoch_and_no_messages)
{
    place_open(&general, &gw, "general");
    ck_assert_uint_eq(strlen(general.state), strlen("0123456789abcdef 0"));
    ck_assert_str_eq(general.state + BUS_EPOCH_LEN, " 0");
}
END_TEST

START_TEST(a_call_never_completes_inside_itself)
{
    struct place p = {.station = &gw, .name = "p"};
    p.room = bus_open_room(gw.bus, STR("p"), &p, waiting(&w));
    ck_assert_uint_eq(w.times, 0);
    UNTIL(loop, w.times == 1);
    bus_publish(gw.bus, p.room, STR("bob"), STR(""), STR("{}"), waiting(&w));
    ck_assert_uint_eq(w.times, 0);
    UNTIL(loop, w.times == 1);
    bus_direct(gw.bus, STR("x"), STR("y"), STR(""), STR("{}"), waiting(&w));
    ck_assert_uint_eq(w.times, 0);
    UNTIL(loop, w.times == 1);
    let_run(loop, 20);
    ck_assert_uint_eq(w.times, 1);
}
END_TEST

START_TEST(a_publish_gets_the_next_offset_and_comes_down_as_one_line)
{
    struct bus_position position;
    place_open(&general, &gw, "general");
    ck_assert_int_eq(say(&general, "bob", "", "hi", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 1);
    ck_assert(memcmp(position.epoch, general.state, BUS_EPOCH_LEN) == 0);
    UNTIL(loop, heard(&gw, "log general 1+1 "
                           "{\"type\":\"chat\",\"offset\":1,\"data\":{\"text\":\"hi\"}}\n"));
    ck_assert_int_eq(say(&general, "bob", "", "again", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 2);
    ck_assert_uint_eq(gw.stats.published, 2);
}
END_TEST

START_TEST(publishes_of_one_turn_are_one_batch_in_order)
{
    static struct waiter many[100];
    place_open(&general, &gw, "general");
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        char data[48];
        snprintf(data, sizeof(data), "{\"n\":%zu}", i);
        bus_publish(gw.bus, general.room, STR("bob"), STR(""), text_of(data), waiting(&many[i]));
    }
    UNTIL(loop, many[99].times == 1);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        ck_assert_int_eq(many[i].err, BUS_OK);
        ck_assert_uint_eq(many[i].position.offset, i + 1);
    }
    UNTIL(loop, heard(&gw, "\"offset\":100,\"data\":{\"n\":99}"));
    ck_assert(heard(&gw, "log general 1+100 "));
}
END_TEST

START_TEST(more_than_a_batch_goes_in_several_and_in_order)
{
    static struct waiter many[300];
    place_open(&general, &gw, "general");
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        bus_publish(gw.bus, general.room, STR("bob"), STR(""), STR("{}"), waiting(&many[i]));
    }
    UNTIL(loop, many[299].times == 1 && heard(&gw, "\"offset\":300,"));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        ck_assert_uint_eq(many[i].position.offset, i + 1);
    }
    ck_assert(heard(&gw, "log general 1+128 "));
    ck_assert(heard(&gw, "log general 129+128 "));
    ck_assert(heard(&gw, "log general 257+44 "));
}
END_TEST

START_TEST(a_key_makes_a_publish_idempotent_for_its_user_alone)
{
    struct bus_position first, second, other;
    place_open(&general, &gw, "general");
    ck_assert_int_eq(say(&general, "bob", "k", "one", &first), BUS_OK);
    ck_assert_int_eq(say(&general, "bob", "k", "one", &second), BUS_OK);
    ck_assert_int_eq(say(&general, "eve", "k", "two", &other), BUS_OK);
    ck_assert_mem_eq(&first, &second, sizeof(first));
    ck_assert_uint_eq(other.offset, 2);
    UNTIL(loop, heard(&gw, "\"offset\":2,"));
    ck_assert_uint_eq(heard_times(&gw, "\"one\""), 1);
}
END_TEST

START_TEST(a_repeat_in_one_batch_finds_the_first)
{
    static struct waiter three[3];
    place_open(&general, &gw, "general");
    for (size_t i = 0; i < 3; i++) {
        bus_publish(gw.bus, general.room, STR("bob"), i == 1 ? STR("") : STR("k"), STR("{}"),
                    waiting(&three[i]));
    }
    UNTIL(loop, three[2].times == 1 && heard(&gw, "log general 1+2"));
    ck_assert_uint_eq(three[0].position.offset, 1);
    ck_assert_uint_eq(three[1].position.offset, 2);
    ck_assert_uint_eq(three[2].position.offset, 1);
}
END_TEST

START_TEST(names_and_keys_with_colons_do_not_meet)
{
    struct bus_position a, b;
    place_open(&general, &gw, "general");
    ck_assert_int_eq(say(&general, "a:b", "c", "1", &a), BUS_OK);
    ck_assert_int_eq(say(&general, "a", "b:c", "2", &b), BUS_OK);
    ck_assert_uint_eq(a.offset, 1);
    ck_assert_uint_eq(b.offset, 2);
}
END_TEST

START_TEST(texts_full_of_format_characters_pass_unchanged)
{
    place_open(&general, &gw, "%s%n%b");
    ck_assert_int_eq(say(&general, "%s", "%d%b", "%s %b %n 100%", NULL), BUS_OK);
    UNTIL(loop, heard(&gw, "{\"text\":\"%s %b %n 100%\"}"));
}
END_TEST

START_TEST(a_signal_reaches_the_room_and_tells_that_it_is_own)
{
    place_open(&general, &gw, "general");
    bus_signal(gw.bus, general.room, 0xabcdef0123456789, STR("{\"type\":\"signal\"}"), waiting(&w));
    UNTIL(loop, w.times == 1 && heard(&gw, "signal "));
    ck_assert_int_eq(w.err, BUS_OK);
    ck_assert(heard(&gw, "signal general own 12379813738877118345 {\"type\":\"signal\"}\n"));
}
END_TEST

static const char note_text[] =
    "{\"type\":\"direct\",\"data\":{\"from\":\"eve\",\"text\":\"psst\"}}";

START_TEST(a_direct_message_reaches_its_user_once)
{
    struct place bob;
    place_open_user(&bob, &gw, "bob");
    for (int i = 0; i < 2; i++) {
        bus_direct(gw.bus, STR("bob"), STR("eve"), STR("k"), text_of(note_text), waiting(&w));
        UNTIL(loop, w.times == 1);
        ck_assert_int_eq(w.err, BUS_OK);
    }
    bus_direct(gw.bus, STR("bob"), STR("eve"), STR(""),
               STR("{\"type\":\"direct\",\"data\":{\"text\":\"end\"}}"), waiting(&w));
    UNTIL(loop, heard(&gw, "\"end\""));
    ck_assert_uint_eq(heard_times(&gw, "direct bob"), 2);
}
END_TEST

START_TEST(a_user_who_is_nowhere_is_not_online)
{
    struct place bob;
    bus_direct(gw.bus, STR("bob"), STR("eve"), STR("k"), text_of(note_text), waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_NOT_ONLINE);
    place_open_user(&bob, &gw, "bob");
    bus_direct(gw.bus, STR("bob"), STR("eve"), STR("k"), text_of(note_text), waiting(&w));
    UNTIL(loop, w.times == 1 && heard(&gw, "direct bob"));
    ck_assert_int_eq(w.err, BUS_OK);
    bus_close_user(gw.bus, bob.user);
    for (w.err = BUS_OK; w.err != BUS_NOT_ONLINE;) { /* the unsubscription is on its way */
        bus_direct(gw.bus, STR("bob"), STR("eve"), STR(""), text_of(note_text), waiting(&w));
        UNTIL(loop, w.times == 1);
    }
}
END_TEST

START_TEST(a_user_closed_and_opened_in_one_turn_is_there)
{
    struct place bob;
    place_open_user(&bob, &gw, "bob");
    bus_close_user(gw.bus, bob.user);
    bob.user = bus_open_user(gw.bus, STR("bob"), &bob, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    bus_direct(gw.bus, STR("bob"), STR("eve"), STR(""), text_of(note_text), waiting(&w));
    UNTIL(loop, heard(&gw, "direct bob"));
}
END_TEST

START_TEST(state_tells_the_position_and_the_own_register)
{
    char want[128];
    place_open(&general, &gw, "general");
    ck_assert_int_eq(be_present(&general, 1, 7, "bob"), BUS_OK);
    ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    bus_sync_room(gw.bus, general.room);
    snprintf(want, sizeof(want), "%.16s 1 %.*s=1:1\n", general.state,
             STR_ARG(bus_gateway_id(gw.bus)));
    UNTIL(loop, heard(&gw, want));
}
END_TEST

START_TEST(several_syncs_at_once_are_one)
{
    place_open(&general, &gw, "general");
    for (int i = 0; i < 5; i++) {
        bus_sync_room(gw.bus, general.room);
    }
    UNTIL(loop, heard(&gw, "synced general"));
    let_run(loop, 50);
    ck_assert_uint_ge(2, heard_times(&gw, "synced general"));
}
END_TEST

static void list_members(struct str cursor, unsigned limit)
{
    static char copy[256];
    snprintf(copy, sizeof(copy), "%.*s", STR_ARG(cursor));
    bus_members(gw.bus, STR("general"), text_of(copy), limit, waiting(&w));
    UNTIL(loop, w.times == 1);
}

START_TEST(members_of_a_room_are_counted_by_user)
{
    const struct bus_presence_member three[] = {{1, STR("bob")}, {2, STR("bob")}, {3, STR("eve")}};
    const struct bus_presence_member left[] = {{1, STR("")}};
    place_open(&general, &gw, "general");
    bus_presence(
        gw.bus, general.room,
        &(struct bus_presence){.version = 1, .count = 3, .members = three, .member_count = 3},
        waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    list_members(STR(""), 100);
    ck_assert_uint_eq(w.count, 2);
    ck_assert(strstr(w.text, "bob=2 ") != NULL && strstr(w.text, "eve=1 ") != NULL);
    ck_assert_str_eq(w.cursor, "");
    bus_presence(
        gw.bus, general.room,
        &(struct bus_presence){.version = 2, .count = 2, .members = left, .member_count = 1},
        waiting(&w));
    UNTIL(loop, w.times == 1);
    list_members(STR(""), 100);
    ck_assert(strstr(w.text, "bob=1 ") != NULL && strstr(w.text, "eve=1 ") != NULL);
    bus_presence(
        gw.bus, general.room,
        &(struct bus_presence){
            .full = true, .version = 3, .count = 1, .members = &three[2], .member_count = 1},
        waiting(&w));
    UNTIL(loop, w.times == 1);
    list_members(STR(""), 100);
    ck_assert_str_eq(w.text, "eve=1 ");
    ck_assert_int_eq(be_present(&general, 4, 3, ""), BUS_OK);
    list_members(STR(""), 100);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

/* Small hashes and large ones are stored differently in Redis, and HSCAN gives the small ones
 * whole. */
static const size_t crowds[] = {1, 7, 100, 1500};

START_TEST(pages_of_members_give_everyone_once)
{
    size_t crowd = crowds[_i];
    struct bus_presence_member *all = calloc(crowd, sizeof(*all));
    char(*names)[32] = calloc(crowd, sizeof(*names));
    for (size_t i = 0; i < crowd; i++) {
        snprintf(names[i], sizeof(names[i]), "user%zu", i);
        all[i] = (struct bus_presence_member){i + 1, text_of(names[i])};
    }
    place_open(&general, &gw, "general");
    bus_presence(
        gw.bus, general.room,
        &(struct bus_presence){.version = 1, .count = crowd, .members = all, .member_count = crowd},
        waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    size_t seen = 0;
    struct str cursor = STR("");
    unsigned limit = 1;
    do { /* any limit with any cursor */
        limit = limit * 7 % 257;
        list_members(cursor, limit);
        ck_assert_int_eq(w.err, BUS_OK);
        ck_assert_uint_le(w.count, limit);
        seen += w.count;
        cursor = text_of(w.cursor);
    } while (cursor.len > 0 && seen <= crowd);
    ck_assert_uint_eq(seen, crowd);
    free(all);
    free(names);
}
END_TEST

START_TEST(a_nonsense_cursor_is_an_error)
{
    static const char *const nonsense[] = {
        "x",
        "/",
        "//",
        "gw/0",
        "gw//0",
        "gw/0/",
        "gw/0/99999999999999999999",
        "../../0/0",
        "gw/-1/0",
        "gw/18446744073709551616/0",
        "\n/0/0",
        "fffffffffffffffffffffff",
        "%s/%n/0",
    };
    place_open(&general, &gw, "general");
    ck_assert_int_eq(be_present(&general, 1, 7, "bob"), BUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        list_members(text_of(nonsense[i]), 10);
        ck_assert_msg(w.err == BUS_BAD_CURSOR && w.count == 0 && w.cursor[0] == '\0', "%s",
                      nonsense[i]);
    }
}
END_TEST

START_TEST(members_of_a_room_nobody_knows_are_none)
{
    bus_members(gw.bus, STR("nowhere"), STR(""), 10, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

static void read_range(const char *epoch, uint64_t from, uint64_t to)
{
    bus_read(gw.bus, general.room, (struct str){epoch, BUS_EPOCH_LEN}, from, to, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}

START_TEST(the_log_can_be_read_as_far_as_it_is_kept)
{
    place_open(&general, &gw, "general");
    for (int i = 1; i <= 5; i++) {
        ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    }
    read_range(general.state, 2, 4);
    ck_assert_uint_eq(w.first, 2);
    ck_assert_uint_eq(w.count, 3);
    ck_assert_ptr_nonnull(strstr(w.text, "\"offset\":2,"));
    ck_assert_ptr_nonnull(strstr(w.text, "\"offset\":4,"));
    read_range(general.state, 5, 99);
    ck_assert_uint_eq(w.first, 5);
    ck_assert_uint_eq(w.count, 1);
    read_range(general.state, 6, 99);
    ck_assert_uint_eq(w.count, 0);
    read_range(general.state, 4, 3);
    ck_assert_uint_eq(w.count, 0);
    ck_assert(!w.other_epoch);
    read_range("ffffffffffffffff", 1, 5);
    ck_assert_uint_eq(w.count, 0);
    ck_assert(w.other_epoch);
    read_range(general.state, 0, 1);
    ck_assert_uint_eq(w.first, 1);
    ck_assert_uint_eq(w.count, 1);
}
END_TEST

START_TEST(a_read_gives_at_most_256_messages)
{
    static struct waiter many[300];
    gw.config.room.history_size = 1000;
    place_open(&general, &gw, "general");
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        bus_publish(gw.bus, general.room, STR("bob"), STR(""), STR("{}"), waiting(&many[i]));
    }
    UNTIL(loop, many[299].times == 1);
    read_range(general.state, 1, 300);
    ck_assert_uint_eq(w.first + w.count - 1 <= 300 && w.count > 0 && w.count <= 256, true);
}
END_TEST

START_TEST(without_a_log_offsets_still_count)
{
    struct bus_position position;
    station_free(&gw); /* one with another setting */
    station_open(&gw, loop, server.pid == 0 ? NULL : server.url, "gw");
    gw.config.room.history_size = 0;
    place_open(&general, &gw, "nolog");
    ck_assert_int_eq(say(&general, "bob", "", "x", &position), BUS_OK);
    ck_assert_int_eq(say(&general, "bob", "", "x", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 2);
}
END_TEST

static void read_from(const struct place *p, uint64_t from, uint64_t to)
{
    bus_read(gw.bus, p->room, (struct str){p->state, BUS_EPOCH_LEN}, from, to, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}

/* Rooms whose names begin with "kind:" have a policy of their own. */
static void start_with_kind(const struct room_policy *policy)
{
    static char pattern[] = "kind:*";
    gw.config.kinds.list[0] = (struct room_kind){pattern, *policy};
    gw.config.kinds.count = 1;
}

START_TEST(a_log_is_kept_as_the_policy_of_its_room_says)
{
    static struct place other;
    struct room_policy policy = gw.config.room;
    policy.history_size = 0;
    start_with_kind(&policy);
    place_open(&general, &gw, "general");
    place_open(&other, &gw, "kind:a");
    ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    ck_assert_int_eq(say(&other, "bob", "", "x", NULL), BUS_OK);
    read_from(&general, 1, 1);
    ck_assert_uint_eq(w.count, 1);
    read_from(&other, 1, 1);
    ck_assert_uint_eq(w.count, 0);
}
END_TEST

START_TEST(a_key_counts_as_long_as_the_policy_of_its_room_says)
{
    static struct place other;
    struct bus_position position;
    struct room_policy policy = gw.config.room;
    policy.dedupe_ttl_ms = 50;
    start_with_kind(&policy);
    place_open(&general, &gw, "general");
    place_open(&other, &gw, "kind:a");
    ck_assert_int_eq(say(&general, "bob", "k", "x", NULL), BUS_OK);
    ck_assert_int_eq(say(&other, "bob", "k", "x", NULL), BUS_OK);
    let_run(loop, 100);
    ck_assert_int_eq(say(&general, "bob", "k", "x", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 1);
    ck_assert_int_eq(say(&other, "bob", "k", "x", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 2);
}
END_TEST

START_TEST(a_room_that_is_open_follows_a_reload_from_the_next_message_on)
{
    struct bus_position position;
    place_open(&general, &gw, "general");
    ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    gw.config.room.history_size = 0;
    bus_reload(gw.bus);
    ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    read_from(&general, 2, 2);
    ck_assert_uint_eq(w.count, 0);
    gw.config.room.history_size = 100;
    gw.config.room.dedupe_ttl_ms = 50;
    bus_reload(gw.bus);
    ck_assert_int_eq(say(&general, "bob", "k", "x", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 3);
    read_from(&general, 1, 3);
    ck_assert_uint_eq(w.first, 3); /* and not one that was said before under a wrong offset */
    ck_assert_uint_eq(w.count, 1);
    ck_assert_ptr_nonnull(strstr(w.text, "\"offset\":3,"));
    let_run(loop, 100);
    ck_assert_int_eq(say(&general, "bob", "k", "x", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 4);
}
END_TEST

START_TEST(a_room_keeps_its_log_while_nobody_follows_it)
{
    struct bus_position position;
    char epoch[BUS_EPOCH_LEN];
    place_open(&general, &gw, "general");
    ck_assert_int_eq(say(&general, "bob", "", "x", NULL), BUS_OK);
    memcpy(epoch, general.state, sizeof(epoch));
    bus_close_room(gw.bus, general.room);
    let_run(loop, 10);
    forget(&gw);
    place_open(&general, &gw, "general");
    ck_assert_mem_eq(epoch, general.state, sizeof(epoch));
    ck_assert_str_eq(general.state + BUS_EPOCH_LEN, " 1");
    ck_assert_int_eq(say(&general, "bob", "", "y", &position), BUS_OK);
    ck_assert_uint_eq(position.offset, 2);
    UNTIL(loop, heard(&gw, "log general 2+1"));
    ck_assert(!heard(&gw, "\"offset\":1,"));
}
END_TEST

START_TEST(a_closed_room_hears_nothing)
{
    place_open(&general, &gw, "general");
    bus_publish(gw.bus, general.room, STR("bob"), STR(""), STR("{}"), waiting(&w));
    bus_close_room(gw.bus, general.room);
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    let_run(loop, 50);
    ck_assert_str_eq(gw.heard, "");
}
END_TEST

START_TEST(closing_a_room_that_is_opening_completes_the_open)
{
    general = (struct place){.station = &gw, .name = "general"};
    general.room = bus_open_room(gw.bus, STR("general"), &general, waiting(&w));
    bus_close_room(gw.bus, general.room);
    ck_assert_uint_eq(w.times, 0);
    general.room = bus_open_room(gw.bus, STR("general"), &general, waiting(&w2));
    UNTIL(loop, w.times == 1 && w2.times == 1);
    ck_assert_int_eq(w.err, BUS_UNAVAILABLE);
    ck_assert_int_eq(w2.err, BUS_OK);
    let_run(loop, 20);
    ck_assert_uint_eq(w.times + w2.times, 2);
}
END_TEST

START_TEST(freeing_the_bus_completes_what_is_under_way)
{
    static struct waiter all[6];
    place_open(&general, &gw, "general");
    bus_publish(gw.bus, general.room, STR("b"), STR(""), STR("{}"), waiting(&all[0]));
    bus_signal(gw.bus, general.room, 1, STR("{}"), waiting(&all[1]));
    bus_direct(gw.bus, STR("b"), STR("e"), STR(""), STR("{}"), waiting(&all[2]));
    bus_members(gw.bus, STR("general"), STR(""), 5, waiting(&all[3]));
    bus_read(gw.bus, general.room, STR("0123456789abcdef"), 1, 2, waiting(&all[4]));
    struct place p = {.station = &gw, .name = "p"};
    p.room = bus_open_room(gw.bus, STR("p"), &p, waiting(&all[5]));
    station_free(&gw);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        ck_assert_uint_eq(all[i].times, 1);
        ck_assert(all[i].err == BUS_UNAVAILABLE || all[i].err == BUS_UNKNOWN);
    }
}
END_TEST

static void note_closed(void *ctx)
{
    ((struct station *)ctx)->closed = true;
}

START_TEST(closing_the_bus_says_so_once_from_the_loop)
{
    place_open(&general, &gw, "general");
    ck_assert_int_eq(be_present(&general, 1, 7, "bob"), BUS_OK);
    bus_close(gw.bus, 2000, note_closed, &gw);
    ck_assert(!gw.closed);
    UNTIL(loop, gw.closed);
    if (server.pid != 0) { /* nothing of this gateway is left */
        ck_assert_str_eq(server_text(&server, "KEYS *gateway*"), "");
        ck_assert_str_eq(server_text(&server, "KEYS *online"), "");
        ck_assert_str_eq(server_text(&server, "KEYS *members*"), "");
        ck_assert_str_eq(server_text(&server, "KEYS *reaping*"), "");
    }
}
END_TEST

START_TEST(a_healthy_bus_is_ready)
{
    struct bus_health health;
    do {
        turn(loop);
        bus_health(gw.bus, &health);
    } while (!health.ready);
    ck_assert_str_eq(health.publish, "ok");
    ck_assert_str_eq(health.subscribe, "ok");
}
END_TEST

static TCase *cases(const char *name, void (*setup)(void))
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 30);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_new_room_has_an_epoch_and_no_messages);
    tcase_add_test(t, a_call_never_completes_inside_itself);
    tcase_add_test(t, a_publish_gets_the_next_offset_and_comes_down_as_one_line);
    tcase_add_test(t, publishes_of_one_turn_are_one_batch_in_order);
    tcase_add_test(t, more_than_a_batch_goes_in_several_and_in_order);
    tcase_add_test(t, a_key_makes_a_publish_idempotent_for_its_user_alone);
    tcase_add_test(t, a_repeat_in_one_batch_finds_the_first);
    tcase_add_test(t, names_and_keys_with_colons_do_not_meet);
    tcase_add_test(t, texts_full_of_format_characters_pass_unchanged);
    tcase_add_test(t, a_signal_reaches_the_room_and_tells_that_it_is_own);
    tcase_add_test(t, a_direct_message_reaches_its_user_once);
    tcase_add_test(t, a_user_who_is_nowhere_is_not_online);
    tcase_add_test(t, a_user_closed_and_opened_in_one_turn_is_there);
    tcase_add_test(t, state_tells_the_position_and_the_own_register);
    tcase_add_test(t, several_syncs_at_once_are_one);
    tcase_add_test(t, members_of_a_room_are_counted_by_user);
    tcase_add_loop_test(t, pages_of_members_give_everyone_once, 0, (int)ARRAY_LEN(crowds));
    tcase_add_test(t, a_nonsense_cursor_is_an_error);
    tcase_add_test(t, members_of_a_room_nobody_knows_are_none);
    tcase_add_test(t, the_log_can_be_read_as_far_as_it_is_kept);
    tcase_add_test(t, a_read_gives_at_most_256_messages);
    tcase_add_test(t, without_a_log_offsets_still_count);
    tcase_add_test(t, a_log_is_kept_as_the_policy_of_its_room_says);
    tcase_add_test(t, a_key_counts_as_long_as_the_policy_of_its_room_says);
    tcase_add_test(t, a_room_that_is_open_follows_a_reload_from_the_next_message_on);
    tcase_add_test(t, a_room_keeps_its_log_while_nobody_follows_it);
    tcase_add_test(t, a_closed_room_hears_nothing);
    tcase_add_test(t, closing_a_room_that_is_opening_completes_the_open);
    tcase_add_test(t, freeing_the_bus_completes_what_is_under_way);
    tcase_add_test(t, closing_the_bus_says_so_once_from_the_loop);
    tcase_add_test(t, a_healthy_bus_is_ready);
    return t;
}

int main(void)
{
    Suite *s = suite_create("bus");
    suite_add_tcase(s, cases("memory", setup_memory));
    suite_add_tcase(s, cases("redis", setup_redis));
    return run_suite(s);
}
