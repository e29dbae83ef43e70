/* SPDX-License-Identifier: MIT */
#include "gateway/loop.h"

#include "common/buf.h"
#include "common/clock.h"
#include "tests/unit/unit.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop *loop;
static struct buf trace; /* one letter for everything that ran */
static struct loop_task *a, *b;
static int pipe_fds[2];

static void say(char c)
{
    buf_add_char(&trace, c);
}

static void expect_trace(const char *expected)
{
    ck_assert_str_is(buf_str(&trace), str_from(expected));
}

static void stop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

/* Ends a test that hangs, and keeps the loop from waiting for ever. */
static struct loop_timer *deadline;

static void too_late(void *ctx)
{
    (void)ctx;
    ck_abort_msg("the loop waited for something that never came");
}

static void setup(void)
{
    loop = loop_new();
    deadline = loop_timer_new(loop, too_late, NULL);
    loop_timer_start(deadline, 20000);
    a = b = NULL;
    ck_assert_int_eq(pipe(pipe_fds), 0);
}

static void teardown(void)
{
    loop_task_free(a);
    loop_task_free(b);
    loop_timer_free(deadline);
    loop_free(loop);
    buf_fini(&trace);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void run_a(void *ctx)
{
    (void)ctx;
    say('a');
}

static void run_b(void *ctx)
{
    (void)ctx;
    say('b');
}

static void run_b_and_stop(void *ctx)
{
    (void)ctx;
    say('b');
    loop_stop(loop);
}

START_TEST(a_task_scheduled_many_times_runs_once)
{
    setup();
    a = loop_task_new(loop, run_a, NULL);
    b = loop_task_new(loop, run_b_and_stop, NULL);
    loop_task_soon(a);
    loop_task_soon(a);
    loop_task_next(a);
    loop_task_soon(b);
    loop_run(loop);
    expect_trace("ab");
    teardown();
}
END_TEST

static void run_a_stops_and_schedules_b_soon(void *ctx)
{
    (void)ctx;
    say('a');
    loop_stop(loop);
    loop_task_soon(b);
}

START_TEST(soon_from_another_task_runs_in_the_same_turn)
{
    setup();
    a = loop_task_new(loop, run_a_stops_and_schedules_b_soon, NULL);
    b = loop_task_new(loop, run_b, NULL);
    loop_task_soon(a);
    loop_run(loop);
    expect_trace("ab");
    teardown();
}
END_TEST

START_TEST(a_task_moves_from_next_to_soon_and_runs_once)
{
    setup();
    a = loop_task_new(loop, run_a, NULL);
    b = loop_task_new(loop, run_b_and_stop, NULL);
    loop_task_next(a);
    loop_task_soon(a);
    loop_task_soon(b);
    loop_run(loop);
    loop_task_soon(b);
    loop_run(loop);
    expect_trace("abb");
    teardown();
}
END_TEST

static unsigned rounds;

static void run_self_soon(void *ctx)
{
    (void)ctx;
    rounds++;
    loop_task_soon(a);
}

static void run_a_and_b_soon(void *ctx)
{
    (void)ctx;
    rounds++;
    loop_task_soon(b);
}

static void run_b_and_a_soon(void *ctx)
{
    (void)ctx;
    loop_task_soon(a);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    char byte;
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    say(byte);
    loop_stop(loop);
}

static void expect_socket_served_beside_tasks(void)
{
    struct event *readable =
        event_new(loop_base(loop), pipe_fds[0], EV_READ | EV_PERSIST, on_readable, NULL);
    event_add(readable, NULL);
    rounds = 0;
    loop_task_soon(a);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    loop_run(loop);
    event_free(readable);
    expect_trace("x");
    ck_assert_uint_eq(rounds, 1);
}

START_TEST(a_task_that_schedules_itself_does_not_starve_sockets)
{
    setup();
    a = loop_task_new(loop, run_self_soon, NULL);
    expect_socket_served_beside_tasks();
    teardown();
}
END_TEST

START_TEST(two_tasks_that_schedule_each_other_do_not_starve_sockets)
{
    setup();
    a = loop_task_new(loop, run_a_and_b_soon, NULL);
    b = loop_task_new(loop, run_b_and_a_soon, NULL);
    expect_socket_served_beside_tasks();
    teardown();
}
END_TEST

static void on_readable_schedules_a(evutil_socket_t fd, short what, void *arg)
{
    on_readable(fd, what, arg);
    loop_task_soon(a);
}

START_TEST(tasks_run_after_all_that_became_ready)
{
    setup();
    int more[2];
    ck_assert_int_eq(pipe(more), 0);
    struct event *first =
        event_new(loop_base(loop), pipe_fds[0], EV_READ, on_readable_schedules_a, NULL);
    struct event *second =
        event_new(loop_base(loop), more[0], EV_READ, on_readable_schedules_a, NULL);
    event_add(first, NULL);
    event_add(second, NULL);
    a = loop_task_new(loop, run_a, NULL);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    ck_assert_int_eq(write(more[1], "x", 1), 1);
    loop_run(loop);
    event_free(first);
    event_free(second);
    close(more[0]);
    close(more[1]);
    expect_trace("xxa");
    teardown();
}
END_TEST

static void on_readable_then_a(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    char byte;
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    say(byte);
}

static void run_a_writes_then_b_next(void *ctx)
{
    (void)ctx;
    say('a');
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    loop_task_next(b);
}

START_TEST(next_runs_after_the_sockets_were_looked_at)
{
    setup();
    struct event *readable =
        event_new(loop_base(loop), pipe_fds[0], EV_READ, on_readable_then_a, NULL);
    event_add(readable, NULL);
    a = loop_task_new(loop, run_a_writes_then_b_next, NULL);
    b = loop_task_new(loop, run_b_and_stop, NULL);
    loop_task_soon(a);
    loop_run(loop);
    event_free(readable);
    expect_trace("axb");
    teardown();
}
END_TEST

static void run_a_hundred_times(void *ctx)
{
    (void)ctx;
    if (++rounds < 100) {
        loop_task_next(a);
    } else {
        loop_stop(loop);
    }
}

START_TEST(the_loop_does_not_sleep_while_a_task_waits)
{
    setup();
    a = loop_task_new(loop, run_a_hundred_times, NULL);
    rounds = 0;
    uint64_t start = clock_now_us();
    loop_task_next(a);
    loop_run(loop);
    ck_assert_uint_lt(clock_now_us() - start, 5000000); /* a sleep each time takes 50 s */
    teardown();
}
END_TEST

static void run_a_frees_itself_and_b(void *ctx)
{
    (void)ctx;
    say('a');
    loop_task_free(b);
    loop_task_free(a);
    a = b = NULL;
    loop_stop(loop);
}

START_TEST(a_task_may_free_itself_and_one_that_is_scheduled)
{
    setup();
    a = loop_task_new(loop, run_a_frees_itself_and_b, NULL);
    b = loop_task_new(loop, run_b_and_stop, NULL);
    loop_task_soon(a);
    loop_task_soon(b);
    loop_run(loop);
    expect_trace("a");
    teardown();
}
END_TEST

START_TEST(timers_fire_once_and_in_the_order_of_their_times)
{
    setup();
    struct loop_timer *late = loop_timer_new(loop, run_b_and_stop, NULL);
    struct loop_timer *early = loop_timer_new(loop, run_a, NULL);
    struct loop_timer *stopped = loop_timer_new(loop, too_late, NULL);
    loop_timer_start(late, 10000);
    loop_timer_start(late, 30); /* replaces the start before */
    loop_timer_start(early, 5);
    loop_timer_start(stopped, 10);
    loop_timer_stop(stopped);
    uint64_t start = clock_now_us();
    loop_run(loop);
    ck_assert_uint_ge(clock_now_us() - start, 30000);
    expect_trace("ab");
    loop_timer_free(late);
    loop_timer_free(early);
    loop_timer_free(stopped);
    teardown();
}
END_TEST

static struct loop_timer *own_timer;

static void free_own_timer(void *ctx)
{
    (void)ctx;
    loop_timer_free(own_timer);
    own_timer = NULL;
    loop_stop(loop);
}

START_TEST(a_timer_may_free_itself_when_it_fires)
{
    setup();
    own_timer = loop_timer_new(loop, free_own_timer, NULL);
    loop_timer_start(own_timer, 0);
    loop_run(loop);
    ck_assert_ptr_null(own_timer);
    teardown();
}
END_TEST

static uint64_t seen_ms[2];

static void note_time(void *ctx)
{
    uint64_t *seen = ctx;
    *seen = loop_now_ms(loop);
    uint64_t start = clock_now_us();
    while (clock_now_us() - start < 3000) {
        /* a turn that takes long */
    }
}

START_TEST(everything_in_one_turn_sees_the_same_time)
{
    setup();
    a = loop_task_new(loop, note_time, &seen_ms[0]);
    b = loop_task_new(loop, note_time, &seen_ms[1]);
    struct loop_task *last = loop_task_new(loop, stop, NULL);
    loop_task_soon(a);
    loop_task_soon(b);
    loop_task_soon(last);
    loop_run(loop);
    ck_assert_uint_eq(seen_ms[0], seen_ms[1]);
    loop_task_soon(a);
    loop_task_soon(last);
    loop_run(loop);
    ck_assert_uint_gt(seen_ms[0], seen_ms[1]);
    loop_task_free(last);
    teardown();
}
END_TEST

static void on_signal(int signo, void *ctx)
{
    *(int *)ctx = signo;
    loop_stop(loop);
}

START_TEST(signals_arrive_in_the_loop)
{
    setup();
    int term = 0, hup = 0;
    loop_on_signal(loop, SIGTERM, on_signal, &term);
    loop_on_signal(loop, SIGHUP, on_signal, &hup);
    ck_assert_int_eq(raise(SIGTERM), 0);
    ck_assert_int_eq(term, 0);
    loop_run(loop);
    ck_assert_int_eq(term, SIGTERM);
    ck_assert_int_eq(hup, 0);
    ck_assert_int_eq(raise(SIGHUP), 0);
    loop_run(loop);
    ck_assert_int_eq(hup, SIGHUP);
    teardown();
}
END_TEST

static void block_the_loop(void *ctx)
{
    (void)ctx;
    uint64_t start = clock_now_us();
    while (clock_now_us() - start < 600000) {
        /* longer than the time between two self-checks */
    }
}

static void stop_when_lag_was_seen(void *ctx)
{
    if (loop_lag_us(loop) >= 50000) {
        loop_stop(loop);
    } else {
        loop_timer_start(*(struct loop_timer **)ctx, 10);
    }
}

START_TEST(a_blocked_loop_shows_its_lag)
{
    setup();
    struct loop_timer *poll_lag = NULL;
    poll_lag = loop_timer_new(loop, stop_when_lag_was_seen, &poll_lag);
    a = loop_task_new(loop, block_the_loop, NULL);
    ck_assert_uint_eq(loop_lag_us(loop), 0);
    loop_task_soon(a);
    loop_timer_start(poll_lag, 0);
    loop_run(loop);
    ck_assert_uint_lt(loop_lag_us(loop), 5000000);
    loop_timer_free(poll_lag);
    teardown();
}
END_TEST

#define MANY 100000
static unsigned fired;

static void count_fired(void *ctx)
{
    (void)ctx;
    if (++fired == MANY) {
        loop_stop(loop);
    }
}

START_TEST(a_hundred_thousand_timers_all_fire)
{
    setup();
    struct loop_timer **timers = calloc(MANY, sizeof(struct loop_timer *));
    for (unsigned i = 0; i < MANY; i++) {
        timers[i] = loop_timer_new(loop, count_fired, NULL);
        loop_timer_start(timers[i], i % 97);
    }
    loop_run(loop);
    ck_assert_uint_eq(fired, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        loop_timer_free(timers[i]);
    }
    free((void *)timers);
    teardown();
}
END_TEST

UNIT_MAIN("loop", a_task_scheduled_many_times_runs_once,
          soon_from_another_task_runs_in_the_same_turn,
          a_task_moves_from_next_to_soon_and_runs_once,
          a_task_that_schedules_itself_does_not_starve_sockets,
          two_tasks_that_schedule_each_other_do_not_starve_sockets,
          tasks_run_after_all_that_became_ready, next_runs_after_the_sockets_were_looked_at,
          the_loop_does_not_sleep_while_a_task_waits,
          a_task_may_free_itself_and_one_that_is_scheduled,
          timers_fire_once_and_in_the_order_of_their_times, a_timer_may_free_itself_when_it_fires,
          everything_in_one_turn_sees_the_same_time, signals_arrive_in_the_loop,
          a_blocked_loop_shows_its_lag, a_hundred_thousand_timers_all_fire)
