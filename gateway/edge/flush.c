/* SPDX-License-Identifier: MIT */
/* The flush: at the end of a turn of the loop every connection gets all that it has to read. And
 * what happens when a socket does not take it. */
#include "common/clock.h"
#include "gateway/edge/ws_conn.h"

#include <assert.h>

/* While every look at the sockets brings something new, the flush waits for the next look, for so
 * long at most. A look costs about a microsecond, a write five, and a room may have thousands of
 * members. */
#define GATHER_US 500
/* A connection that just became blocked is looked at after at most this time. */
#define BLOCKED_LOOK_MS 1000
/* Up to here a connection's own bytes and a room's run are copied together into one write. */
#define MERGE_MAX 16384

/* Ends a connection from outside of libwebsockets' callbacks. */
void conn_kill(struct ws_conn *c)
{
    c->broken = true;
    lws_callback_on_writable(c->wsi); /* ends it there, where the socket still takes something */
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void on_blocked(struct ws_conn *c)
{
    struct ws *ws = c->ws;
    c->blocked_ms = loop_now_ms(ws->loop);
    lws_callback_on_writable(c->wsi);
    if (!c->closing) {
        wheel_start(ws->wheel, &c->timer, min_u64(ws->config->client.stuck_ms, BLOCKED_LOOK_MS));
    }
}

/* One write of whole frames. libwebsockets sends them as they are, and keeps what the socket does
 * not take; then the connection is blocked until WRITEABLE: nothing may be written before (it would
 * be appended without a bound). */
void conn_write(struct ws_conn *c, struct str bytes)
{
    struct ws *ws = c->ws;
    assert(c->blocked_ms == 0);
    if (c->broken) {
        return;
    }
    /* LWS_WRITE_RAW does not change the bytes; its parameter lacks the const. */
    unsigned char *raw = (unsigned char *)(uintptr_t)bytes.ptr;
    if (lws_write(c->wsi, raw, bytes.len, LWS_WRITE_RAW) < 0) {
        conn_kill(c);
        return;
    }
    c->traffic.bytes_out += bytes.len;
    ws->stats->sends++;
    ws->stats->sent_bytes += bytes.len;
    if (lws_partial_buffered(c->wsi)) {
        on_blocked(c);
    }
}

void conn_write_own(struct ws_conn *c)
{
    if (c->own.len == 0 || c->blocked_ms != 0) {
        return;
    }
    conn_write(c, buf_str(&c->own));
    buf_fini(&c->own);
}

/* Whoever waits for it hears that nothing waits any more. */
void conn_notify_sent(struct ws_conn *c)
{
    if (c->tell_sent && c->own.len == 0 && conn_can_write(c) && !c->closing) {
        c->tell_sent = false;
        c->ws->handlers.on_sent(c->session);
    }
}

bool conn_can_write(const struct ws_conn *c)
{
    return c->blocked_ms == 0 && !c->broken;
}

/* One run of a room's log, behind what is the connection's own: in one write when it is small. */
static void write_run(struct ws_conn *c, struct outlog_reader *r, struct str run)
{
    if (c->own.len > 0 && c->own.len + run.len <= MERGE_MAX) {
        buf_add(&c->own, run);
        conn_write_own(c);
    } else {
        conn_write_own(c);
        if (!conn_can_write(c)) {
            return;
        }
        conn_write(c, run);
    }
    uint64_t frames = outlog_advance(r);
    c->traffic.frames_out += frames;
    c->ws->stats->deliveries += frames;
}

void conn_write_reader(struct ws_conn *c, struct outlog_reader *r)
{
    while (conn_can_write(c)) {
        struct str run = outlog_peek(r);
        if (run.len == 0) {
            return;
        }
        write_run(c, r, run);
    }
}

void flush_schedule(struct ws *ws)
{
    loop_task_soon(ws->flush);
}

void conn_add_own(struct ws_conn *c, struct str frames)
{
    buf_add(&c->own, frames);
    if (list_empty(&c->in_dirty)) {
        list_push(&c->ws->dirty_conns, &c->in_dirty);
    }
    flush_schedule(c->ws);
}

uint64_t conn_backlog(const struct ws_conn *c)
{
    uint64_t bytes = c->own.len + c->cut_bytes;
    list_each (it, &c->readers) {
        bytes += outlog_backlog(container_of(it, struct outlog_reader, in_conn));
    }
    return bytes;
}

/* A reader whose connection is blocked falls behind: past the soft limit its cursor jumps to the
 * log's end, past the hard one (what was cut counts) the connection ends. */
static void check_backlog(struct ws_conn *c, struct outlog_reader *r)
{
    struct ws *ws = c->ws;
    if (conn_backlog(c) > ws->config->client.backlog_hard) {
        ws_close(c, CLOSE_SLOW);
        return;
    }
    if (outlog_backlog(r) > ws->config->client.backlog_soft) {
        c->cut_bytes += outlog_cut(r);
    }
}

/* The socket takes something again: each reader that was cut hears of it once, before what goes on.
 */
void conn_tell_cuts(struct ws_conn *c)
{
    struct ws *ws = c->ws;
    list_each (it, &c->readers) {
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_conn);
        struct outlog_cut cut;
        if (r->held == 0 && outlog_take_cut(r, &cut)) {
            ws->stats->dropped[DROP_SLOW] += cut.last >= cut.first ? cut.last - cut.first + 1 : 0;
            ws->handlers.on_cut(r, &cut);
        }
    }
}

static void visit(struct outlog_reader *r)
{
    struct ws_conn *c = r->conn;
    if (c->closing || c->broken) {
        (void)outlog_cut(r); /* it reads no more */
        return;
    }
    if (r->held == 0) {
        conn_write_reader(c, r);
    }
    outlog_keep(r);
    if (c->blocked_ms != 0 || r->held > 0) {
        check_backlog(c, r);
    }
}

/* True when the log's next pass is to begin now; else *due_us may come down to when it is. */
static bool pass_is_due(struct outlog *log, uint64_t *due_us)
{
    uint64_t now_us = clock_now_us();
    uint64_t wait_us = pace_wait_us(&log->pace, now_us, log->frames);
    if (wait_us > 0) {
        *due_us = min_u64(*due_us, now_us + wait_us);
        return false;
    }
    pace_begin(&log->pace, now_us, log->frames);
    outlog_pass_begin(log);
    return true;
}

enum turn { TURN_DONE, TURN_MORE, TURN_WAITS };

/* A log's turn: as many readers as the budget allows. */
static enum turn flush_log(struct outlog *log, unsigned budget, uint64_t *due_us)
{
    if (!outlog_has_news(log)) {
        return TURN_DONE;
    }
    if (!outlog_pass_under_way(log) && !pass_is_due(log, due_us)) {
        return TURN_WAITS;
    }
    for (unsigned i = 0; i < budget; i++) {
        struct outlog_reader *r = outlog_pass_next(log);
        if (r == NULL) {
            pace_end(&log->pace, clock_now_us(), log->frames);
            return outlog_has_news(log) ? TURN_MORE : TURN_DONE;
        }
        visit(r);
    }
    return TURN_MORE;
}

/* True when the sockets are to be looked at once more before anything is written: what has arrived
 * behind the news at hand then goes out in the same writes. News that never stop wait only once:
 * until a look brings nothing, the flush goes on. */
static bool look_again(struct ws *ws)
{
    bool news = ws->appended != ws->seen;
    ws->seen = ws->appended;
    if (!news) {
        ws->gather_us = 0;
        return false;
    }
    uint64_t now = clock_now_us();
    if (ws->gather_us == 0) {
        ws->gather_us = now;
    }
    return now - ws->gather_us < GATHER_US;
}

void flush_run(void *ctx)
{
    struct ws *ws = ctx;
    struct list turn;
    uint64_t due_us = UINT64_MAX;
    bool more = false;
    if (look_again(ws)) {
        loop_task_next(ws->flush);
        return;
    }
    list_init(&turn);
    list_splice(&turn, &ws->dirty_logs);
    for (struct list *it = list_pop(&turn); it != NULL; it = list_pop(&turn)) {
        struct outlog *log = container_of(it, struct outlog, dirty);
        enum turn result = flush_log(log, ws->config->server.flush_budget, &due_us);
        if (result != TURN_DONE && list_empty(&log->dirty)) {
            list_push(&ws->dirty_logs, &log->dirty);
        }
        more = more || result == TURN_MORE;
    }
    list_splice(&turn, &ws->dirty_conns);
    for (struct list *it = list_pop(&turn); it != NULL; it = list_pop(&turn)) {
        struct ws_conn *c = container_of(it, struct ws_conn, in_dirty);
        conn_write_own(c);
        conn_notify_sent(c);
    }
    if (more) {
        loop_task_next(ws->flush);
    } else if (due_us != UINT64_MAX) {
        uint64_t now_us = clock_now_us();
        loop_timer_start_us(ws->wait, due_us > now_us ? due_us - now_us : 0);
    }
}
