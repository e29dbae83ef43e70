/* SPDX-License-Identifier: MIT */
/* loop: the one event loop of the process. The only place that starts libevent; libwebsockets
 * (gateway/edge) and hiredis (gateway/bus) are guests on its event_base.
 *
 * A turn of the loop is: wait, then run everything that became ready, then the tasks scheduled
 * meanwhile. So work that many events of one turn add to (the flush of rooms, a batch of commands)
 * is a task: scheduled by each, run once. */
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H

#include "common/base.h"

struct event;
struct event_base;
struct loop;
struct loop_task;
struct loop_timer;

struct loop *loop_new(void);
void loop_free(struct loop *l); /* every task and timer was freed before */

void loop_run(struct loop *l);  /* returns after loop_stop */
void loop_stop(struct loop *l); /* at the end of this turn */

struct event_base *loop_base(struct loop *l);

/* Monotonic milliseconds as of this turn: free to ask, and the same for everything in the turn. */
uint64_t loop_now_ms(const struct loop *l);

/* A task runs once per scheduling, however often it was scheduled: at the end of this turn (soon),
 * or after the loop has looked at its sockets again (next). A task may schedule itself again. */
struct loop_task *loop_task_new(struct loop *l, void (*run)(void *ctx), void *ctx);
void loop_task_free(struct loop_task *t); /* also when scheduled; NULL is fine */
void loop_task_soon(struct loop_task *t);
void loop_task_next(struct loop_task *t);

/* A timer fires once per start. Few modules may have one: connections use the wheel. */
struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx);
void loop_timer_free(struct loop_timer *t);
void loop_timer_start(struct loop_timer *t, uint64_t after_ms); /* replaces an earlier start */
void loop_timer_start_us(struct loop_timer *t, uint64_t after_us);
void loop_timer_stop(struct loop_timer *t);

/* Calls on_signal(signo, ctx) from the loop. At most one handler per signal. */
void loop_on_signal(struct loop *l, int signo, void (*on_signal)(int signo, void *ctx), void *ctx);

/* Calls on_lag with each new measure of loop_lag_us. */
void loop_on_lag(struct loop *l, void (*on_lag)(void *ctx, uint64_t us), void *ctx);

/* How late the loop ran its last self-check (every 500 ms), in microseconds: its lag under load. */
uint64_t loop_lag_us(const struct loop *l);

#endif
