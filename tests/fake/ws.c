/* SPDX-License-Identifier: MIT */
#include "tests/fake/ws.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "gateway/stats.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

struct ws {
    struct stats *stats;
    struct ws_handlers handlers;
    struct list conns;
    struct list logs; /* dirty: struct outlog */
    uint64_t last_id;
};

struct ws_conn {
    struct ws *ws;
    struct list in_ws;
    struct list readers; /* struct outlog_reader */
    struct buf heard, shown;
    struct ws_traffic traffic;
    void *session;
    uint64_t id;
    bool closing;
    bool tell_sent;
};

static void hear(struct ws_conn *c, struct str text)
{
    BUF_LIT(&c->heard, "\n");
    buf_add(&c->heard, text);
}

static size_t frame_text(struct str run, struct str *text)
{
    const unsigned char *p = (const unsigned char *)run.ptr;
    size_t header = p[1] < 126 ? 2 : p[1] == 126 ? 4 : 10;
    size_t len = p[1];
    for (size_t i = 2, bytes = 0; i < header; i++) {
        bytes = bytes << 8 | p[i];
        len = bytes;
    }
    *text = (struct str){run.ptr + header, len};
    return header + len;
}

static void read_log(struct ws_conn *c, struct outlog_reader *r)
{
    for (struct str run = outlog_peek(r); run.len > 0; run = outlog_peek(r)) {
        for (size_t at = 0; at < run.len;) {
            struct str text;
            at += frame_text((struct str){run.ptr + at, run.len - at}, &text);
            if (!c->closing) {
                hear(c, text);
            }
        }
        (void)outlog_advance(r);
    }
}

static void flush(struct ws *ws)
{
    for (struct list *it = list_pop(&ws->logs); it != NULL; it = list_pop(&ws->logs)) {
        struct outlog *log = container_of(it, struct outlog, dirty);
        outlog_pass_begin(log);
        for (struct outlog_reader *r = outlog_pass_next(log); r != NULL;
             r = outlog_pass_next(log)) {
            if (r->held == 0) {
                read_log(r->conn, r);
            }
            outlog_keep(r);
        }
    }
}

struct ws_conn *fake_ws_open(struct ws *ws)
{
    struct ws_conn *c = xcalloc(1, sizeof(*c));
    c->ws = ws;
    c->id = ++ws->last_id;
    list_init(&c->readers);
    list_push(&ws->conns, &c->in_ws);
    ws->stats->connections++;
    c->session = ws->handlers.on_open(ws->handlers.ctx, c);
    return c;
}

void fake_ws_say(struct ws_conn *c, const char *text)
{
    /* A copy of exactly this size: a sanitizer sees whoever reads on behind it, or later. */
    struct str len = str_from(text);
    char *copy = xmalloc(len.len + (len.len == 0));
    memcpy(copy, text, len.len);
    c->ws->handlers.on_text(c->session, (struct str){copy, len.len});
    free(copy);
}

const char *fake_ws_heard(struct ws_conn *c)
{
    flush(c->ws);
    struct buf shown = c->shown;
    c->shown = c->heard;
    buf_add_char(&c->shown, '\0');
    buf_fini(&shown);
    c->heard = (struct buf){0};
    return c->shown.ptr;
}

void fake_ws_cut(struct ws_conn *c)
{
    list_each (it, &c->readers) {
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_conn);
        struct outlog_cut cut;
        (void)outlog_cut(r);
        if (outlog_take_cut(r, &cut)) {
            c->ws->handlers.on_cut(r, &cut);
        }
    }
}

void fake_ws_drain(struct ws_conn *c)
{
    ck_assert(c->tell_sent);
    c->tell_sent = false;
    c->ws->handlers.on_sent(c->session);
}

void fake_ws_end(struct ws_conn *c, enum close_reason reason)
{
    list_remove(&c->in_ws);
    c->ws->stats->connections--;
    c->ws->handlers.on_close(c->session, reason);
    ck_assert(list_empty(&c->readers));
    buf_fini(&c->heard);
    buf_fini(&c->shown);
    free(c);
}

void fake_ws_end_all(struct ws *ws)
{
    list_each_safe (it, &ws->conns) {
        fake_ws_end(container_of(it, struct ws_conn, in_ws), CLOSE_GONE);
    }
    flush(ws);
}

struct ws *ws_new(struct loop *loop, struct wheel *wheel, const struct config *config,
                  struct stats *stats, const struct ws_handlers *handlers)
{
    struct ws *ws = xcalloc(1, sizeof(*ws));
    (void)loop;
    (void)wheel;
    (void)config;
    ws->stats = stats;
    ws->handlers = *handlers;
    list_init(&ws->conns);
    list_init(&ws->logs);
    return ws;
}

void ws_free(struct ws *ws)
{
    ck_assert(list_empty(&ws->conns) && list_empty(&ws->logs));
    free(ws);
}

void ws_send(struct ws_conn *c, struct str text)
{
    if (!c->closing) {
        hear(c, text);
    }
}

void ws_close(struct ws_conn *c, enum close_reason reason)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    BUF_LIT(&c->heard, "\nclose ");
    buf_add_u64(&c->heard, close_reason_code(reason));
}

bool ws_closing(const struct ws_conn *c)
{
    return c->closing;
}

uint64_t ws_conn_id(const struct ws_conn *c)
{
    return c->id;
}

struct str ws_conn_ip(const struct ws_conn *c)
{
    (void)c;
    return STR("192.0.2.1");
}

const struct ws_traffic *ws_conn_traffic(const struct ws_conn *c)
{
    return &c->traffic;
}

void ws_follow(struct ws_conn *c, struct outlog *log, struct outlog_reader *reader)
{
    outlog_attach(log, reader);
    reader->conn = c;
    reader->held = 0;
    list_push(&c->readers, &reader->in_conn);
}

void ws_tell_sent(struct ws_conn *c)
{
    c->tell_sent = true;
}

void ws_hold(struct outlog_reader *reader)
{
    reader->held++;
}

void ws_release(struct outlog_reader *reader)
{
    if (--reader->held == 0) {
        read_log(reader->conn, reader);
    }
}

void ws_unfollow(struct outlog_reader *reader)
{
    if (reader->log != NULL) {
        outlog_detach(reader);
        list_remove(&reader->in_conn);
    }
}

void ws_relay(struct ws *ws, struct outlog *log, struct str text, uint64_t tag,
              struct outlog_reader *except)
{
    outlog_append(log, text, tag, except);
    list_remove(&log->dirty);
    list_push(&ws->logs, &log->dirty);
}

void ws_forget(struct outlog *log)
{
    list_remove(&log->dirty);
}

void *ws_session(struct ws *ws, uint64_t id)
{
    list_each (it, &ws->conns) {
        struct ws_conn *c = container_of(it, struct ws_conn, in_ws);
        if (c->id == id) {
            return c->session;
        }
    }
    return NULL;
}

void ws_each(struct ws *ws, void (*visit)(void *session, void *ctx), void *ctx)
{
    list_each_safe (it, &ws->conns) {
        visit(container_of(it, struct ws_conn, in_ws)->session, ctx);
    }
}
