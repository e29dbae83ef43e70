/* SPDX-License-Identifier: MIT */
#include "gateway/loop.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/list.h"

#include <assert.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

/* Often enough for a lag histogram, and all that an idle gateway wakes for by itself. */
#define LAG_CHECK_MS 500

/* The time of the turn is a cache: it is filled through a const loop, so it lies outside of it. */
struct turn_time {
    bool known;
    uint64_t ms;
};

struct loop_signal {
    struct event *event; /* owned; NULL while nobody wants this signal */
    void (*on_signal)(int signo, void *ctx);
    void *ctx;
};

struct loop {
    struct event_base *base; /* owned */
    struct turn_time *time;  /* owned */
    struct list soon, next;  /* of struct loop_task */
    uint64_t turn;           /* counts from 1 */
    bool running, stopping;
    struct loop_timer *lag_timer; /* owned */
    uint64_t lag_due_us, lag_us;
    void (*on_lag)(void *ctx, uint64_t us); /* NULL: nobody asked */
    void *on_lag_ctx;
    struct loop_signal signals[NSIG];
};

struct loop_task {
    struct list link;  /* in soon or in next; on neither while it waits for nothing */
    struct loop *loop; /* borrowed: outlives us */
    uint64_t ran_turn; /* the last turn it ran in */
    void (*run)(void *ctx);
    void *ctx;
};

struct loop_timer {
    struct event *event; /* owned */
    void (*fire)(void *ctx);
    void *ctx;
};

static void start_lag_check(struct loop *l)
{
    /* libevent counts a timer from the time it noted when this turn began; the check must count
     * from now, or a long turn would hide its own length. */
    event_base_update_cache_time(l->base);
    l->lag_due_us = clock_now_us() + LAG_CHECK_MS * 1000;
    loop_timer_start(l->lag_timer, LAG_CHECK_MS);
}

static void check_lag(void *ctx)
{
    struct loop *l = ctx;
    uint64_t now = clock_now_us();
    l->lag_us = now > l->lag_due_us ? now - l->lag_due_us : 0;
    start_lag_check(l);
    if (l->on_lag != NULL) {
        l->on_lag(l->on_lag_ctx, l->lag_us);
    }
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    assert(config != NULL);
    /* PRECISE_TIMER: else libevent reads a clock of 4 ms steps. It costs one timerfd_settime a
     * turn, 0.8 us measured. EPOLL_USE_CHANGELIST stays off: it saves nothing where events are
     * added once, and it loses events of duplicated descriptors. */
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    assert(base != NULL); /* no epoll descriptor: nothing can run */
    event_config_free(config);
    return base;
}

struct loop *loop_new(void)
{
    /* libevent's own answer to running out of memory is an event that does not exist. */
    event_set_mem_functions(xmalloc, xrealloc, free);
    struct loop *l = xcalloc(1, sizeof(*l));
    l->base = new_base();
    l->time = xcalloc(1, sizeof(*l->time));
    list_init(&l->soon);
    list_init(&l->next);
    l->turn = 1;
    l->lag_timer = loop_timer_new(l, check_lag, l);
    start_lag_check(l);
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    assert(!l->running && list_empty(&l->soon) && list_empty(&l->next));
    for (size_t i = 0; i < ARRAY_LEN(l->signals); i++) {
        if (l->signals[i].event != NULL) {
            event_free(l->signals[i].event);
        }
    }
    loop_timer_free(l->lag_timer);
    event_base_free(l->base);
    free(l->time);
    free(l);
}

/* A task runs at most once a turn (loop_task_soon sees to it), so this ends. */
static void run_tasks(struct loop *l)
{
    struct list *first;
    while ((first = list_pop(&l->soon)) != NULL) {
        struct loop_task *t = container_of(first, struct loop_task, link);
        t->ran_turn = l->turn;
        t->run(t->ctx); /* t may be gone after this */
    }
}

/* libevent 2.1 has no hook at the end of a pass, so each turn is one call of its loop: it waits
 * (unless tasks do), runs all that is ready, and returns. */
static void run_turn(struct loop *l)
{
    l->turn++;
    l->time->known = false;
    list_splice(&l->soon, &l->next);
    event_base_loop(l->base, EVLOOP_ONCE | (list_empty(&l->soon) ? 0 : EVLOOP_NONBLOCK));
    run_tasks(l);
}

void loop_run(struct loop *l)
{
    assert(!l->running);
    l->running = true;
    while (!l->stopping) {
        run_turn(l);
    }
    l->running = l->stopping = false;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

uint64_t loop_now_ms(const struct loop *l)
{
    /* Between turns (start-up, shutdown) nothing would make the cached time old. */
    if (!l->time->known || !l->running) {
        l->time->ms = clock_now_ms();
        l->time->known = true;
    }
    return l->time->ms;
}

struct loop_task *loop_task_new(struct loop *l, void (*run)(void *ctx), void *ctx)
{
    struct loop_task *t = xcalloc(1, sizeof(*t));
    list_init(&t->link);
    t->loop = l;
    t->run = run;
    t->ctx = ctx;
    return t;
}

void loop_task_free(struct loop_task *t)
{
    if (t != NULL) {
        list_remove(&t->link);
        free(t);
    }
}

void loop_task_soon(struct loop_task *t)
{
    /* What ran in this turn waits for the next one: tasks that schedule themselves, or each other,
     * must not keep the loop from its sockets. */
    if (t->ran_turn == t->loop->turn) {
        loop_task_next(t);
        return;
    }
    list_remove(&t->link);
    list_push(&t->loop->soon, &t->link);
}

void loop_task_next(struct loop_task *t)
{
    if (list_empty(&t->link)) {
        list_push(&t->loop->next, &t->link);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *t = arg;
    t->fire(t->ctx); /* t may be gone after this */
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    struct loop_timer *t = xcalloc(1, sizeof(*t));
    t->fire = fire;
    t->ctx = ctx;
    t->event = evtimer_new(l->base, on_timer, t);
    assert(t->event != NULL);
    return t;
}

void loop_timer_free(struct loop_timer *t)
{
    if (t != NULL) {
        event_free(t->event);
        free(t);
    }
}

void loop_timer_start(struct loop_timer *t, uint64_t after_ms)
{
    loop_timer_start_us(t, 1000 * after_ms);
}

void loop_timer_start_us(struct loop_timer *t, uint64_t after_us)
{
    struct timeval after = {(time_t)(after_us / 1000000), (suseconds_t)(after_us % 1000000)};
    event_add(t->event, &after);
}

void loop_timer_stop(struct loop_timer *t)
{
    event_del(t->event);
}

static void on_signal_event(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    const struct loop_signal *s = arg;
    s->on_signal((int)signo, s->ctx);
}

void loop_on_signal(struct loop *l, int signo, void (*on_signal)(int signo, void *ctx), void *ctx)
{
    assert(signo > 0 && (size_t)signo < ARRAY_LEN(l->signals));
    struct loop_signal *s = &l->signals[signo];
    assert(s->event == NULL);
    s->on_signal = on_signal;
    s->ctx = ctx;
    s->event = evsignal_new(l->base, signo, on_signal_event, s);
    assert(s->event != NULL);
    event_add(s->event, NULL);
}

void loop_on_lag(struct loop *l, void (*on_lag)(void *ctx, uint64_t us), void *ctx)
{
    l->on_lag = on_lag;
    l->on_lag_ctx = ctx;
}

uint64_t loop_lag_us(const struct loop *l)
{
    return l->lag_us;
}
