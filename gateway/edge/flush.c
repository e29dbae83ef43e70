/* SPDX-License-Identifier: MIT */
/* The flush: at the end of a turn of the loop every connection gets all that it has to read. And
 * what happens when a socket does not take it. */
#include "common/clock.h"
#include "gateway/edge/ws_conn.h"

#include <assert.h>
#include <errno.h>

/* Looks without a message before the flush begins (gather.h). */
#define IDLE_LOOKS 1
/* A connection that just became blocked is looked at after at most this time. */
#define BLOCKED_LOOK_MS 1000
/* A larger room's pass ends with its writes, since its pace depends on how long they take. Several
 * smaller ones, which never wait, share a batch. */
#define SMALL_ROOM 64
/* Up to here a connection's own bytes and a room's run are copied together into one write. */
#define MERGE_MAX 16384
/* So many answers ahead a reader is asked for from memory; its connection, half as many. */
#define AHEAD 4

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

/* What the socket did not take goes to libwebsockets, which keeps it; then the connection is
 * blocked until WRITEABLE: nothing may be written before (it would be appended without a bound). */
static void hand_over(struct ws_conn *c, struct str rest)
{
    /* LWS_WRITE_RAW does not change the bytes; its parameter lacks the const. */
    unsigned char *raw = (unsigned char *)(uintptr_t)rest.ptr;
    if (lws_write(c->wsi, raw, rest.len, LWS_WRITE_RAW) < 0) {
        conn_kill(c);
        return;
    }
    if (lws_partial_buffered(c->wsi)) {
        on_blocked(c);
    }
}

/* The answer of a socket to bytes that were offered to it: how many it took, or -errno. */
static void offered(struct ws_conn *c, struct str bytes, ssize_t took)
{
    if (took < 0 && took != -EAGAIN) {
        conn_kill(c);
        return;
    }
    c->traffic.bytes_out += bytes.len;
    c->ws->stats->sends++;
    c->ws->stats->sent_bytes += bytes.len;
    size_t sent = took > 0 ? (size_t)took : 0;
    if (sent < bytes.len) {
        hand_over(c, (struct str){bytes.ptr + sent, bytes.len - sent});
    }
}

/* Whole frames go straight to the socket, unless libwebsockets holds bytes of its own (the pong to
 * a ping, for one) that must go before. */
void conn_write(struct ws_conn *c, struct str bytes)
{
    assert(c->blocked_ms == 0 && !c->in_batch);
    if (c->broken) {
        return;
    }
    offered(c, bytes, lws_partial_buffered(c->wsi) ? -EAGAIN : sender_send_one(c->fd, bytes));
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

/* What is the connection's own goes before a room's run: in one write with it when both are small.
 * The result is what to write for the run. */
static struct str with_own(struct ws_conn *c, struct str run)
{
    if (c->own.len > 0 && c->own.len + run.len <= MERGE_MAX) {
        buf_add(&c->own, run);
        return buf_str(&c->own);
    }
    conn_write_own(c);
    return run;
}

/* The reader's run was written, or what became of it is libwebsockets' matter. */
static void run_written(struct ws_conn *c, struct outlog_reader *r, struct str written)
{
    if (written.ptr == c->own.ptr) {
        buf_fini(&c->own);
    }
    uint64_t frames = outlog_advance(r);
    c->traffic.frames_out += frames;
    c->ws->stats->deliveries += frames;
}

/* False when there was nothing to write, or it cannot be written now. */
static bool write_run(struct ws_conn *c, struct outlog_reader *r)
{
    if (!conn_can_write(c)) {
        return false;
    }
    struct str run = outlog_peek(r);
    struct str bytes = run.len > 0 ? with_own(c, run) : run;
    if (bytes.len == 0 || !conn_can_write(c)) {
        return false;
    }
    conn_write(c, bytes);
    run_written(c, r, bytes);
    return true;
}

void conn_write_reader(struct ws_conn *c, struct outlog_reader *r)
{
    while (write_run(c, r)) {
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

/* The pass has done for r what could be done. */
static void leave(struct ws_conn *c, struct outlog_reader *r)
{
    outlog_keep(r);
    if (c->blocked_ms != 0 || r->held > 0) {
        check_backlog(c, r);
    }
}

/* The kernel's sends have driven the readers and connections of a large batch out of the caches. */
static void prefetch_answer(const struct batch *b, size_t i)
{
    if (i < b->count) {
        __builtin_prefetch(b->readers[i]);
        __builtin_prefetch(&((const struct ws_conn *)b->readers[i - AHEAD / 2]->conn)->own);
    }
}

static void write_batch(struct ws *ws)
{
    struct batch *b = &ws->batch;
    sender_send(b->sender, b->sends, b->count);
    for (size_t i = 0; i < b->count; i++) {
        struct outlog_reader *r = b->readers[i];
        struct ws_conn *c = r->conn;
        prefetch_answer(b, i + AHEAD);
        c->in_batch = false;
        offered(c, b->sends[i].bytes, b->sends[i].took);
        run_written(c, r, b->sends[i].bytes);
        while (outlog_in_pass(r) && write_run(c, r)) { /* a run ends where its chunk does */
        }
        leave(c, r);
    }
    b->count = 0;
}

static void add_to_batch(struct ws_conn *c, struct outlog_reader *r, struct str bytes)
{
    struct batch *b = &c->ws->batch;
    c->in_batch = true;
    b->sends[b->count] = (struct send){.fd = c->fd, .bytes = bytes};
    b->readers[b->count++] = r;
    if (b->count == SENDER_MOST) {
        write_batch(c->ws);
    }
}

/* Nothing that is in the batch changes until it is written: a reader that waits there holds its
 * chunk, and its connection gets nothing else. */
static void visit(struct outlog_reader *r)
{
    struct ws_conn *c = r->conn;
    if (c->in_batch) {
        write_batch(c->ws);
    }
    if (c->closing || c->broken) {
        (void)outlog_cut(r); /* it reads no more */
        return;
    }
    if (r->held > 0 || !conn_can_write(c)) {
        leave(c, r);
        return;
    }
    struct str run = lws_partial_buffered(c->wsi) ? (struct str){NULL, 0} : outlog_peek(r);
    struct str bytes = run.len > 0 ? with_own(c, run) : run;
    if (bytes.len > 0 && conn_can_write(c)) {
        add_to_batch(c, r, bytes);
    } else {
        conn_write_reader(c, r);
        leave(c, r);
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
static enum turn flush_log(struct ws *ws, struct outlog *log, uint64_t *due_us)
{
    if (!outlog_has_news(log)) {
        return TURN_DONE;
    }
    if (!outlog_pass_under_way(log) && !pass_is_due(log, due_us)) {
        return TURN_WAITS;
    }
    for (unsigned i = 0; i < ws->config->server.flush_budget; i++) {
        struct outlog_reader *r = outlog_pass_next(log);
        if (r == NULL) {
            if (log->reader_count > SMALL_ROOM) {
                write_batch(ws);
            }
            pace_end(&log->pace, clock_now_us(), log->frames);
            return outlog_has_news(log) ? TURN_MORE : TURN_DONE;
        }
        visit(r);
    }
    return TURN_MORE;
}

void flush_run(void *ctx)
{
    struct ws *ws = ctx;
    struct list turn;
    uint64_t due_us = UINT64_MAX;
    bool more = false;
    if (gather_waits(&ws->gather, IDLE_LOOKS, clock_now_us())) {
        loop_task_next(ws->flush);
        return;
    }
    list_init(&turn);
    list_splice(&turn, &ws->dirty_logs);
    for (struct list *it = list_pop(&turn); it != NULL; it = list_pop(&turn)) {
        struct outlog *log = container_of(it, struct outlog, dirty);
        enum turn result = flush_log(ws, log, &due_us);
        if (result != TURN_DONE && list_empty(&log->dirty)) {
            list_push(&ws->dirty_logs, &log->dirty);
        }
        more = more || result == TURN_MORE;
    }
    write_batch(ws);
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
