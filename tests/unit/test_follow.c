/* SPDX-License-Identifier: MIT */
/* follow alone, on a fake bus: what it passes on is written down as one line of words. */
#include "gateway/chat/follow.h"

#include "tests/fake/bus.h"
#include "tests/fake/world.h"
#include "tests/unit/unit.h"

static struct world world;
static struct follow follow;
static struct buf noted;
static struct bus_call *opening;

static void on_message(void *owner, struct str line, uint64_t offset)
{
    ck_assert_ptr_eq(owner, &world);
    buf_addf(&noted, " %.*s@%llu", STR_ARG(line), (unsigned long long)offset);
}

static void on_gap(void *owner, const struct follow_gap *gap)
{
    (void)owner;
    buf_addf(&noted, " %s(%llu..%llu %c@%llu)", gap->reset ? "reset" : "gap",
             (unsigned long long)gap->from, (unsigned long long)gap->to, gap->position->epoch[0],
             (unsigned long long)gap->position->offset);
}

static void on_state(void *owner, const struct bus_room_state *state, bool link_was_lost)
{
    (void)owner;
    buf_addf(&noted, " state%llu%s", (unsigned long long)state->position.offset,
             link_was_lost ? "!" : "");
}

static void on_live(void *owner)
{
    (void)owner;
    ck_assert(follow_live(&follow));
    BUF_LIT(&noted, " live");
}

static void on_failed(void *owner)
{
    (void)owner;
    BUF_LIT(&noted, " failed");
}

static void on_idle(void *owner)
{
    (void)owner;
    ck_assert(!follow_busy(&follow));
    BUF_LIT(&noted, " idle");
}

static const struct follow_handlers handlers = {.on_message = on_message,
                                                .on_gap = on_gap,
                                                .on_state = on_state,
                                                .on_live = on_live,
                                                .on_failed = on_failed,
                                                .on_idle = on_idle};

/* What was noted since the last look. */
static void expect_noted(const char *words)
{
    buf_add_char(&noted, '\0');
    ck_assert_str_eq(noted.ptr, words);
    buf_clear(&noted);
}

static void log_lines(char epoch, uint64_t first, uint64_t last)
{
    static char texts[64][24];
    struct str lines[64];
    struct bus_position position = fake_position(epoch, last);
    size_t count = (size_t)(last - first + 1);
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%c%llu", epoch, (unsigned long long)(first + i));
        lines[i] = str_from(texts[i]);
    }
    follow_on_log(&follow, &position, first, lines, count);
    memset(texts, '?', sizeof(texts)); /* they were borrowed */
}

static void answer_read(struct bus_call *call, char epoch, uint64_t first, uint64_t last)
{
    static char texts[64][24];
    struct str lines[64];
    struct bus_result result = {.lines = lines, .first = first};
    for (uint64_t offset = first; offset <= last; offset++) {
        size_t i = result.line_count++;
        snprintf(texts[i], sizeof(texts[i]), "%c%llu", epoch, (unsigned long long)offset);
        lines[i] = str_from(texts[i]);
    }
    fake_bus_done(call, &result);
}

static void synced(char epoch, uint64_t offset)
{
    const struct bus_room_state state = {.position = fake_position(epoch, offset)};
    follow_on_synced(&follow, &state);
}

static void start(void)
{
    world_start_context(&world);
    follow_init(&follow, &world.ctx, &handlers, &world, STR("general"));
    follow_open(&follow);
    opening = fake_bus_asked("open general");
}

/* Live at epoch a, offset 5. */
static void start_live(void)
{
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    start();
    fake_bus_opened(opening, &state);
    expect_noted(" state5 live idle");
}

static void end(void)
{
    expect_noted("");
    ck_assert(!follow_busy(&follow));
    follow_fini(&follow);
    bus_close_room(fake_bus(), follow.bus);
    fake_bus_asked("close general");
    buf_fini(&noted);
    world_end_context(&world);
}

START_TEST(an_opened_room_goes_on_from_the_state_it_was_told)
{
    start();
    ck_assert(follow_busy(&follow));
    ck_assert(!follow_live(&follow));
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    fake_bus_opened(opening, &state);
    expect_noted(" state5 live idle");
    log_lines('a', 6, 6);
    log_lines('a', 7, 9);
    expect_noted(" a6@6 a7@7 a8@8 a9@9");
    ck_assert_uint_eq(follow.last.offset, 9);
    end();
}
END_TEST

START_TEST(a_repeated_batch_is_dropped_and_of_an_overlapping_one_the_new_part_passes)
{
    start_live();
    log_lines('a', 6, 8);
    expect_noted(" a6@6 a7@7 a8@8");
    log_lines('a', 6, 8);
    log_lines('a', 3, 4);
    expect_noted("");
    log_lines('a', 7, 10);
    expect_noted(" a9@9 a10@10");
    ck_assert_uint_eq(world.stats.dropped[DROP_STALE], 7);
    end();
}
END_TEST

START_TEST(a_hole_is_filled_before_anything_newer_passes)
{
    start_live();
    log_lines('a', 9, 9);
    struct bus_call *read = fake_bus_asked("read general a 6..8");
    ck_assert(follow_busy(&follow));
    log_lines('a', 10, 11);
    expect_noted("");
    answer_read(read, 'a', 6, 8);
    expect_noted(" a6@6 a7@7 a8@8 a9@9 a10@10 a11@11 live idle");
    ck_assert_uint_eq(world.stats.gaps_filled, 3);
    end();
}
END_TEST

START_TEST(a_read_that_brings_one_page_is_followed_by_the_next)
{
    start_live();
    log_lines('a', 12, 12);
    answer_read(fake_bus_asked("read general a 6..11"), 'a', 6, 8);
    expect_noted(" a6@6 a7@7 a8@8");
    answer_read(fake_bus_asked("read general a 9..11"), 'a', 9, 11);
    expect_noted(" a9@9 a10@10 a11@11 a12@12 live idle");
    end();
}
END_TEST

START_TEST(two_holes_are_filled_one_after_the_other)
{
    start_live();
    log_lines('a', 7, 7);
    log_lines('a', 9, 9);
    answer_read(fake_bus_asked("read general a 6..6"), 'a', 6, 6);
    expect_noted(" a6@6 a7@7");
    answer_read(fake_bus_asked("read general a 8..8"), 'a', 8, 8);
    expect_noted(" a8@8 a9@9 live idle");
    end();
}
END_TEST

START_TEST(what_the_history_does_not_have_any_more_is_told_as_a_gap)
{
    start_live();
    log_lines('a', 12, 12);
    answer_read(fake_bus_asked("read general a 6..11"), 'a', 9, 11);
    expect_noted(" gap(6..8 a@8) a9@9 a10@10 a11@11 a12@12 live idle");
    log_lines('a', 15, 15);
    answer_read(fake_bus_asked("read general a 13..14"), 'a', 1, 0);
    expect_noted(" gap(13..14 a@14) a15@15 live idle");
    end();
}
END_TEST

START_TEST(a_read_that_is_refused_ends_in_a_gap)
{
    start_live();
    log_lines('a', 8, 8);
    fake_bus_fail(fake_bus_asked("read general a 6..7"), BUS_REFUSED);
    expect_noted(" gap(6..7 a@7) a8@8 live idle");
    end();
}
END_TEST

START_TEST(a_read_that_fails_is_asked_again_after_the_room_was_synced)
{
    start_live();
    log_lines('a', 8, 8);
    fake_bus_fail(fake_bus_asked("read general a 6..7"), BUS_UNAVAILABLE);
    fake_bus_asked("sync general");
    ck_assert(!follow_live(&follow));
    expect_noted(" idle");
    log_lines('a', 9, 9); /* still in time */
    synced('a', 9);
    expect_noted(" state9");
    answer_read(fake_bus_asked("read general a 6..9"), 'a', 6, 9);
    expect_noted(" a6@6 a7@7 a8@8 a9@9 live idle");
    log_lines('a', 10, 10);
    expect_noted(" a10@10");
    end();
}
END_TEST

START_TEST(a_hole_of_an_epoch_that_is_over_is_told_as_the_reset_only)
{
    start_live();
    log_lines('a', 8, 8);
    const struct bus_result over = {.first = 6, .other_epoch = true};
    fake_bus_done(fake_bus_asked("read general a 6..7"), &over);
    fake_bus_asked("sync general");
    expect_noted(" idle");
    synced('b', 8);
    expect_noted(" state8 reset(0..8 b@8) live");
    log_lines('b', 9, 9);
    expect_noted(" b9@9");
    end();
}
END_TEST

START_TEST(a_lost_link_is_followed_by_a_fill_of_what_was_missed)
{
    start_live();
    follow_on_lost(&follow);
    ck_assert(!follow_live(&follow));
    synced('a', 8);
    expect_noted(" state8!");
    log_lines('a', 9, 9);
    answer_read(fake_bus_asked("read general a 6..8"), 'a', 6, 8);
    expect_noted(" a6@6 a7@7 a8@8 a9@9 live idle");
    end();
}
END_TEST

START_TEST(what_was_held_when_the_link_was_lost_is_not_trusted)
{
    start_live();
    log_lines('b', 2, 2); /* perhaps of a master that is master no more */
    fake_bus_asked("sync general");
    follow_on_lost(&follow);
    ck_assert_uint_eq(follow.held_bytes, 0);
    synced('b', 1);
    expect_noted(" state1! reset(0..1 b@1) live");
    end();
}
END_TEST

START_TEST(a_lost_link_during_which_nothing_was_said_costs_no_read)
{
    start_live();
    follow_on_lost(&follow);
    synced('a', 5);
    expect_noted(" state5! live");
    end();
}
END_TEST

START_TEST(an_answer_that_comes_after_the_link_was_lost_changes_nothing)
{
    start_live();
    log_lines('a', 8, 8);
    struct bus_call *read = fake_bus_asked("read general a 6..7");
    follow_on_lost(&follow);
    fake_bus_fail(read, BUS_UNAVAILABLE);
    expect_noted(" idle");
    synced('a', 8);
    answer_read(fake_bus_asked("read general a 6..8"), 'a', 6, 8);
    expect_noted(" state8! a6@6 a7@7 a8@8 live idle");
    end();
}
END_TEST

START_TEST(a_fill_waits_while_the_answer_of_an_earlier_one_is_under_way)
{
    start_live();
    log_lines('a', 8, 8);
    struct bus_call *read = fake_bus_asked("read general a 6..7");
    follow_on_lost(&follow);
    synced('a', 8); /* the fill would use the same call */
    fake_bus_asked("sync general");
    answer_read(read, 'a', 6, 7);
    expect_noted(" state8! idle");
    synced('a', 9);
    answer_read(fake_bus_asked("read general a 6..9"), 'a', 6, 9);
    expect_noted(" state9 a6@6 a7@7 a8@8 a9@9 live idle");
    end();
}
END_TEST

START_TEST(an_open_that_fails_comes_alive_when_the_link_does)
{
    start();
    fake_bus_fail(opening, BUS_UNAVAILABLE);
    expect_noted(" failed idle");
    ck_assert(!follow_live(&follow));
    synced('a', 3);
    expect_noted(" state3! live");
    log_lines('a', 4, 4);
    expect_noted(" a4@4");
    end();
}
END_TEST

START_TEST(a_new_epoch_begins_with_the_first_batch_of_it_that_was_seen)
{
    start_live();
    log_lines('b', 4, 5); /* redis came back with its log up to 3 */
    fake_bus_asked("sync general");
    log_lines('b', 6, 6);
    expect_noted("");
    synced('b', 6);
    expect_noted(" state6 reset(0..3 b@3) b4@4 b5@5 b6@6 live");
    end();
}
END_TEST

START_TEST(what_the_state_of_a_new_epoch_covers_and_was_not_held_is_read)
{
    start_live();
    log_lines('b', 4, 4);
    fake_bus_asked("sync general");
    synced('b', 6); /* 5 and 6 are under way to us: the bus drops them */
    expect_noted(" state6 reset(0..3 b@3) b4@4");
    ck_assert(!follow_live(&follow));
    answer_read(fake_bus_asked("read general b 5..6"), 'b', 5, 6);
    expect_noted(" b5@5 b6@6 live idle");
    end();
}
END_TEST

START_TEST(a_hole_in_what_was_held_of_a_new_epoch_is_filled_up_to_what_its_state_covers)
{
    start_live();
    log_lines('b', 4, 4);
    fake_bus_asked("sync general");
    log_lines('b', 6, 6);
    synced('b', 8);
    expect_noted(" state8 reset(0..3 b@3) b4@4");
    answer_read(fake_bus_asked("read general b 5..5"), 'b', 5, 5);
    expect_noted(" b5@5");
    answer_read(fake_bus_asked("read general b 6..8"), 'b', 6, 8);
    expect_noted(" b6@6 b7@7 b8@8 live idle");
    end();
}
END_TEST

START_TEST(a_new_epoch_seen_after_a_lost_link_begins_at_its_end)
{
    start_live();
    follow_on_lost(&follow);
    synced('b', 9);
    expect_noted(" state9! reset(0..9 b@9) live");
    log_lines('b', 10, 10);
    expect_noted(" b10@10");
    end();
}
END_TEST

START_TEST(a_batch_of_a_past_epoch_is_dropped_when_the_state_says_ours)
{
    start_live();
    log_lines('0', 7, 7);
    fake_bus_asked("sync general");
    log_lines('a', 6, 6);
    synced('a', 6);
    answer_read(fake_bus_asked("read general a 6..6"), 'a', 6, 6);
    expect_noted(" state6 a6@6 live idle");
    log_lines('a', 7, 7);
    expect_noted(" a7@7");
    end();
}
END_TEST

START_TEST(an_epoch_that_begins_while_a_hole_is_filled_is_not_taken_for_a_past_one)
{
    start_live();
    follow_on_lost(&follow);
    synced('a', 7);
    struct bus_call *read = fake_bus_asked("read general a 6..7");
    log_lines('b', 3, 3); /* after the state was read */
    answer_read(read, 'a', 1, 0);
    fake_bus_asked("sync general");
    expect_noted(" state7! gap(6..7 a@7) idle");
    synced('b', 3);
    expect_noted(" state3 reset(0..2 b@2) b3@3 live");
    end();
}
END_TEST

START_TEST(an_epoch_that_begins_while_the_state_is_read_is_asked_about_once_more)
{
    start_live();
    log_lines('b', 6, 6);
    fake_bus_asked("sync general");
    log_lines('c', 6, 6); /* the state may have been read before it */
    synced('b', 6);
    fake_bus_asked("sync general");
    expect_noted(" state6 reset(0..5 b@5) b6@6");
    synced('c', 6);
    expect_noted(" state6 reset(0..5 c@5) c6@6 live");
    end();
}
END_TEST

static char long_text[300 * 1024];

static void log_long(uint64_t offset, size_t len)
{
    struct bus_position position = fake_position('a', offset);
    struct str lines[2] = {{long_text, len / 2}, {long_text, len - len / 2}};
    follow_on_log(&follow, &position, offset - 1, lines, 2);
}

START_TEST(what_cannot_be_held_is_read_again)
{
    memset(long_text, 'x', sizeof(long_text));
    start_live();
    log_lines('a', 7, 7);
    struct bus_call *read = fake_bus_asked("read general a 6..6");
    log_long(9, 200 * 1024);
    log_long(11, 200 * 1024); /* too much */
    log_lines('a', 12, 12);
    answer_read(read, 'a', 6, 6);
    buf_clear(&noted);
    ck_assert_uint_eq(follow.last.offset, 9);
    answer_read(fake_bus_asked("read general a 10..11"), 'a', 10, 11);
    fake_bus_asked("sync general"); /* whether something behind it was dropped as well */
    expect_noted(" a10@10 a11@11 a12@12 idle");
    synced('a', 12);
    expect_noted(" state12 live");
    ck_assert_uint_eq(world.stats.dropped[DROP_OVERFLOW], 2);
    ck_assert_uint_eq(follow.held_bytes, 0);
    end();
}
END_TEST

START_TEST(a_batch_behind_a_hole_that_alone_is_too_large_to_hold_is_read_as_well)
{
    start_live();
    log_long(9, 300 * 1024);
    fake_bus_asked("sync general");
    synced('a', 9);
    answer_read(fake_bus_asked("read general a 6..9"), 'a', 6, 9);
    expect_noted(" state9 a6@6 a7@7 a8@8 a9@9 live idle");
    end();
}
END_TEST

START_TEST(a_state_that_presence_asked_for_is_filled_up_to_when_it_is_newer)
{
    start_live();
    synced('a', 5); /* nothing new */
    synced('a', 4);
    expect_noted(" state5 live state4 live");
    log_lines('a', 6, 6);
    synced('a', 8); /* what it covers is not sent any more */
    log_lines('a', 9, 9);
    expect_noted(" a6@6 state8");
    answer_read(fake_bus_asked("read general a 7..8"), 'a', 7, 8);
    expect_noted(" a7@7 a8@8 a9@9 live idle");
    end();
}
END_TEST

START_TEST(a_state_that_comes_during_a_fill_moves_its_end)
{
    start_live();
    log_lines('a', 8, 8);
    struct bus_call *read = fake_bus_asked("read general a 6..7");
    synced('a', 9);
    log_lines('a', 10, 10);
    expect_noted(" state9");
    answer_read(read, 'a', 1, 0); /* those two are gone: not what came behind them */
    expect_noted(" gap(6..7 a@7)");
    answer_read(fake_bus_asked("read general a 8..9"), 'a', 8, 9);
    expect_noted(" a8@8 a9@9 a10@10 live idle");
    end();
}
END_TEST

START_TEST(an_epoch_that_a_state_tells_during_a_fill_ends_it)
{
    start_live();
    log_lines('a', 8, 8);
    struct bus_call *read = fake_bus_asked("read general a 6..7");
    synced('b', 3);
    expect_noted(" state3 reset(0..3 b@3)");
    fake_bus_asked("sync general"); /* what is held may be newer than that state */
    answer_read(read, 'a', 6, 7);   /* too late */
    expect_noted(" idle");
    synced('b', 3);
    expect_noted(" state3 live");
    log_lines('b', 4, 4);
    expect_noted(" b4@4");
    end();
}
END_TEST

START_TEST(held_batches_are_freed_with_the_room)
{
    start_live();
    log_lines('b', 6, 6);
    fake_bus_asked("sync general");
    log_lines('b', 7, 7);
    end();
}
END_TEST

UNIT_MAIN("follow", an_opened_room_goes_on_from_the_state_it_was_told,
          a_repeated_batch_is_dropped_and_of_an_overlapping_one_the_new_part_passes,
          a_hole_is_filled_before_anything_newer_passes,
          a_read_that_brings_one_page_is_followed_by_the_next,
          two_holes_are_filled_one_after_the_other,
          what_the_history_does_not_have_any_more_is_told_as_a_gap,
          a_read_that_is_refused_ends_in_a_gap,
          a_read_that_fails_is_asked_again_after_the_room_was_synced,
          a_hole_of_an_epoch_that_is_over_is_told_as_the_reset_only,
          a_lost_link_is_followed_by_a_fill_of_what_was_missed,
          what_was_held_when_the_link_was_lost_is_not_trusted,
          a_lost_link_during_which_nothing_was_said_costs_no_read,
          an_answer_that_comes_after_the_link_was_lost_changes_nothing,
          a_fill_waits_while_the_answer_of_an_earlier_one_is_under_way,
          an_open_that_fails_comes_alive_when_the_link_does,
          a_new_epoch_begins_with_the_first_batch_of_it_that_was_seen,
          what_the_state_of_a_new_epoch_covers_and_was_not_held_is_read,
          a_hole_in_what_was_held_of_a_new_epoch_is_filled_up_to_what_its_state_covers,
          a_new_epoch_seen_after_a_lost_link_begins_at_its_end,
          a_batch_of_a_past_epoch_is_dropped_when_the_state_says_ours,
          an_epoch_that_begins_while_a_hole_is_filled_is_not_taken_for_a_past_one,
          an_epoch_that_begins_while_the_state_is_read_is_asked_about_once_more,
          what_cannot_be_held_is_read_again,
          a_batch_behind_a_hole_that_alone_is_too_large_to_hold_is_read_as_well,
          a_state_that_presence_asked_for_is_filled_up_to_when_it_is_newer,
          a_state_that_comes_during_a_fill_moves_its_end,
          an_epoch_that_a_state_tells_during_a_fill_ends_it, held_batches_are_freed_with_the_room)
