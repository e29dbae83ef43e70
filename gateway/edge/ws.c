/* SPDX-License-Identifier: MIT */
#include "gateway/edge/ws.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/random.h"
#include "common/utf8.h"
#include "gateway/config.h"
#include "gateway/edge/ws_lws.h"
#include "gateway/loop.h"
#include "gateway/stats.h"
#include "gateway/wheel.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

/* How long a close frame of ours may wait for the peer's. */
#define CLOSE_WAIT_MS 2000
/* While every look at the sockets brings something new, the flush waits for the next look, for so
 * long at most. A look costs about a microsecond, a write five, and a room may have thousands of
 * members. */
#define GATHER_US 500
/* A connection that just became blocked is looked at after at most this time. */
#define BLOCKED_LOOK_MS 1000
/* Up to here a connection's own bytes and a room's run are copied together into one write. */
#define MERGE_MAX 16384
#define IP_MAX 46

/* A WebSocket PING (RFC 6455, section 5.5.2) and the message {"type":"ping"}, as one write: a
 * browser page answers the message, any other client at least the frame. The PING has a payload,
 * which its PONG repeats: libwebsockets does not tell of an empty PONG. */
static const unsigned char HEARTBEAT[] = "\x89\x01p\x81\x0f{\"type\":\"ping\"}";

struct ws {
    struct loop *loop; /* borrowed: outlives us, as the three below */
    struct wheel *wheel;
    const struct config *config;
    struct stats *stats;
    struct ws_handlers handlers;
    struct list conns;
    struct map by_id;        /* struct ws_conn */
    struct list dirty_logs;  /* struct outlog */
    struct list dirty_conns; /* struct ws_conn */
    struct loop_task *flush; /* owned */
    struct loop_timer *wait; /* owned; runs the flush when a log's wait is over */
    uint64_t appended, seen; /* messages in rooms' logs, now and at the last look */
    uint64_t gather_us;      /* when the flush began to wait for more; 0: it does not */
    uint64_t next_id;
};

struct ws_conn {
    struct ws *ws;   /* borrowed; NULL: not established */
    struct lws *wsi; /* borrowed: libwebsockets owns us both */
    void *session;   /* borrowed */
    uint64_t id;
    struct list in_conns, in_dirty;
    struct list readers; /* struct outlog_reader */
    struct wheel_timer timer;
    struct buf own;      /* frames for this connection alone, not written yet */
    struct buf incoming; /* a message of which more is to come */
    uint64_t seen_ms;    /* when anything last arrived */
    uint64_t blocked_ms; /* since when the socket takes nothing; 0: it does */
    uint64_t cut_bytes;  /* left out while blocked */
    struct ws_traffic traffic;
    unsigned fragments; /* frames of the message under way */
    enum close_reason reason;
    bool closing; /* the close frame is queued or written: nothing else goes out */
    bool broken;  /* a write failed */
    bool heartbeat_sent;
    bool tell_sent; /* the session waits for on_sent */
    char ip[IP_MAX];
};

static struct str id_key(const uint64_t *id)
{
    return (struct str){(const char *)id, sizeof(*id)};
}

static struct str id_of(const void *item)
{
    const struct ws_conn *c = item;
    return id_key(&c->id);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Ends a connection from outside of libwebsockets' callbacks. */
static void kill_conn(struct ws_conn *c)
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
static void write_bytes(struct ws_conn *c, struct str bytes)
{
    struct ws *ws = c->ws;
    assert(c->blocked_ms == 0);
    if (c->broken) {
        return;
    }
    /* LWS_WRITE_RAW does not change the bytes; its parameter lacks the const. */
    unsigned char *raw = (unsigned char *)(uintptr_t)bytes.ptr;
    if (lws_write(c->wsi, raw, bytes.len, LWS_WRITE_RAW) < 0) {
        kill_conn(c);
        return;
    }
    c->traffic.bytes_out += bytes.len;
    ws->stats->sends++;
    ws->stats->sent_bytes += bytes.len;
    if (lws_partial_buffered(c->wsi)) {
        on_blocked(c);
    }
}

static void write_own(struct ws_conn *c)
{
    if (c->own.len == 0 || c->blocked_ms != 0) {
        return;
    }
    write_bytes(c, buf_str(&c->own));
    buf_fini(&c->own);
}

static bool can_write(const struct ws_conn *c);

/* Whoever waits for it hears that nothing waits any more. */
static void notify_sent(struct ws_conn *c)
{
    if (c->tell_sent && c->own.len == 0 && can_write(c) && !c->closing) {
        c->tell_sent = false;
        c->ws->handlers.on_sent(c->session);
    }
}

static bool can_write(const struct ws_conn *c)
{
    return c->blocked_ms == 0 && !c->broken;
}

/* One run of a room's log, behind what is the connection's own: in one write when it is small. */
static void write_run(struct ws_conn *c, struct outlog_reader *r, struct str run)
{
    if (c->own.len > 0 && c->own.len + run.len <= MERGE_MAX) {
        buf_add(&c->own, run);
        write_own(c);
    } else {
        write_own(c);
        if (!can_write(c)) {
            return;
        }
        write_bytes(c, run);
    }
    uint64_t frames = outlog_advance(r);
    c->traffic.frames_out += frames;
    c->ws->stats->deliveries += frames;
}

static void write_reader(struct ws_conn *c, struct outlog_reader *r)
{
    while (can_write(c)) {
        struct str run = outlog_peek(r);
        if (run.len == 0) {
            return;
        }
        write_run(c, r, run);
    }
}

static void schedule(struct ws *ws)
{
    loop_task_soon(ws->flush);
}

static void add_own(struct ws_conn *c, struct str frames)
{
    buf_add(&c->own, frames);
    if (list_empty(&c->in_dirty)) {
        list_push(&c->ws->dirty_conns, &c->in_dirty);
    }
    schedule(c->ws);
}

static uint64_t backlog_of(const struct ws_conn *c)
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
    if (backlog_of(c) > ws->config->client.backlog_hard) {
        ws_close(c, CLOSE_SLOW);
        return;
    }
    if (outlog_backlog(r) > ws->config->client.backlog_soft) {
        c->cut_bytes += outlog_cut(r);
    }
}

/* The socket takes something again: each reader that was cut hears of it once, before what goes on.
 */
static void tell_cuts(struct ws_conn *c)
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
        write_reader(c, r);
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

static void flush(void *ctx)
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
        write_own(c);
        notify_sent(c);
    }
    if (more) {
        loop_task_next(ws->flush);
    } else if (due_us != UINT64_MAX) {
        uint64_t now_us = clock_now_us();
        loop_timer_start_us(ws->wait, due_us > now_us ? due_us - now_us : 0);
    }
}

static void send_heartbeat(struct ws_conn *c)
{
    c->heartbeat_sent = true;
    add_own(c, (struct str){(const char *)HEARTBEAT, sizeof(HEARTBEAT) - 1});
}

static void seen(struct ws_conn *c)
{
    c->seen_ms = loop_now_ms(c->ws->loop);
    c->heartbeat_sent = false;
}

/* One timer a connection: it is not moved when something arrives, it looks when it fires. */
static void on_timer(struct wheel_timer *t)
{
    struct ws_conn *c = container_of(t, struct ws_conn, timer);
    struct ws *ws = c->ws;
    uint64_t now = loop_now_ms(ws->loop);
    uint64_t silent = now - c->seen_ms;
    uint64_t beat = ws->config->client.heartbeat_ms;
    uint64_t limit = beat + ws->config->client.heartbeat_timeout_ms;
    uint64_t stuck = ws->config->client.stuck_ms;
    if (c->closing) {
        kill_conn(c);
        return;
    }
    if (c->blocked_ms != 0 && now - c->blocked_ms >= stuck) {
        ws_close(c, CLOSE_SLOW);
        return;
    }
    if (silent >= limit) {
        ws_close(c, CLOSE_HEARTBEAT);
        return;
    }
    if (silent >= beat && !c->heartbeat_sent) {
        send_heartbeat(c);
    }
    uint64_t wait = (silent >= beat ? limit : beat) - silent;
    if (c->blocked_ms != 0) {
        wait = min_u64(wait, c->blocked_ms + stuck - now);
    }
    wheel_start(ws->wheel, &c->timer, wait);
}

size_t ws_conn_size(void)
{
    return sizeof(struct ws_conn);
}

int ws_established(struct ws *ws, struct ws_conn *c, struct lws *wsi, struct str ip)
{
    int fd = lws_get_socket_fd(wsi);
    int size = (int)ws->config->client.send_buffer;
    int on = 1;
    size_t ip_len = ip.len < IP_MAX - 1 ? ip.len : IP_MAX - 1;

    /* Without a bound the kernel swallows megabytes and hides a slow reader. A unix socket has no
     * Nagle; so the second may fail, which changes nothing. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    c->ws = ws;
    c->wsi = wsi;
    c->id = ws->next_id++;
    c->reason = CLOSE_GONE;
    c->seen_ms = c->traffic.opened_ms = loop_now_ms(ws->loop);
    memcpy(c->ip, ip.ptr, ip_len);
    list_init(&c->in_dirty);
    list_init(&c->readers);
    list_push(&ws->conns, &c->in_conns);
    map_put(&ws->by_id, c);
    wheel_timer_init(&c->timer, on_timer);
    wheel_start(ws->wheel, &c->timer, ws->config->client.heartbeat_ms);
    ws->stats->connections++;
    ws->stats->connections_opened++;
    c->session = ws->handlers.on_open(ws->handlers.ctx, c);
    return 0;
}

static void deliver(struct ws_conn *c, struct str text)
{
    if (!utf8_valid(text)) {
        ws_close(c, CLOSE_UTF8);
        return;
    }
    c->traffic.messages_in++;
    c->ws->handlers.on_text(c->session, text);
}

/* The reason to end the connection for this piece of a message, or CLOSE_NORMAL when it is fine. */
static enum close_reason check_piece(struct ws_conn *c, size_t len)
{
    const struct config *config = c->ws->config;
    if (lws_frame_is_binary(c->wsi)) {
        return CLOSE_BINARY;
    }
    if (c->incoming.len + len + lws_remaining_packet_payload(c->wsi) >
        config->client.max_message_bytes) {
        return CLOSE_TOO_BIG;
    }
    if (lws_remaining_packet_payload(c->wsi) == 0 &&
        ++c->fragments > config->client.max_fragments) {
        return CLOSE_TOO_BIG;
    }
    return CLOSE_NORMAL;
}

int ws_receive(struct ws_conn *c, const char *in, size_t len)
{
    seen(c);
    c->traffic.bytes_in += len;
    c->ws->stats->received_bytes += len;
    if (c->closing) {
        return 0; /* RFC 6455, section 5.5.1: what comes after a close means nothing */
    }
    enum close_reason reason = check_piece(c, len);
    if (reason != CLOSE_NORMAL) {
        ws_close(c, reason);
        return 0;
    }
    bool whole = lws_is_final_fragment(c->wsi) && lws_remaining_packet_payload(c->wsi) == 0;
    if (whole && c->incoming.len == 0) {
        c->fragments = 0;
        deliver(c, (struct str){in, len});
        return 0;
    }
    buf_add(&c->incoming, (struct str){in, len});
    if (whole) {
        struct buf message = c->incoming;
        c->incoming = (struct buf){0};
        c->fragments = 0;
        deliver(c, buf_str(&message));
        buf_fini(&message);
    }
    return 0;
}

/* libwebsockets has sent what it held. */
int ws_writeable(struct ws_conn *c)
{
    if (c->broken) {
        return -1;
    }
    if (lws_partial_buffered(c->wsi)) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    c->blocked_ms = 0;
    if (!c->closing) {
        tell_cuts(c);
    }
    write_own(c);
    list_each (it, &c->readers) {
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_conn);
        if (c->closing || !can_write(c)) {
            break;
        }
        if (r->held == 0) {
            write_reader(c, r);
        }
    }
    if (c->blocked_ms == 0) {
        c->cut_bytes = 0;
    }
    notify_sent(c);
    return c->broken ? -1 : 0;
}

void ws_pong(struct ws_conn *c)
{
    seen(c);
}

/* RFC 6455, section 7.4: codes that may stand in a close frame. */
static bool close_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

int ws_peer_close(struct ws_conn *c, const unsigned char *payload, size_t len)
{
    static const unsigned char empty[] = {0x88, 0x00};
    unsigned code = len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 0;
    bool valid = len == 0 || (len >= 2 && close_code_valid(code) &&
                              utf8_valid((struct str){(const char *)payload + 2, len - 2}));
    if (!c->closing && c->blocked_ms == 0) {
        if (!valid) {
            code = 1002;
        }
        unsigned char echo[] = {0x88, 0x02, (unsigned char)(code >> 8), (unsigned char)code};
        bool bare = valid && len == 0;
        write_own(c);
        if (can_write(c)) {
            write_bytes(c, bare ? (struct str){(const char *)empty, sizeof(empty)}
                                : (struct str){(const char *)echo, sizeof(echo)});
        }
        c->closing = true;
        c->reason = valid ? CLOSE_NORMAL : CLOSE_PROTOCOL_1002;
    }
    return -1;
}

/* Either the socket is gone, or a close frame of libwebsockets' own follows, behind which nothing
 * may come (RFC 6455, section 5.5.1). It prepares one by itself only for frames that are wrong. */
void ws_dropped(struct ws_conn *c)
{
    if (c->ws == NULL || c->closing) {
        return;
    }
    c->closing = true;
    buf_fini(&c->own);
    if (lws_get_close_length(c->wsi) > 0) {
        c->reason = CLOSE_PROTOCOL_1002;
    }
    wheel_start(c->ws->wheel, &c->timer, CLOSE_WAIT_MS);
}

void ws_closed(struct ws_conn *c)
{
    struct ws *ws = c != NULL ? c->ws : NULL;
    if (ws == NULL) {
        return;
    }
    list_remove(&c->in_conns);
    map_remove(&ws->by_id, id_of(c));
    list_remove(&c->in_dirty);
    wheel_stop(&c->timer);
    ws->stats->connections--;
    ws->stats->closed[c->reason]++;
    ws->handlers.on_close(c->session, c->reason);
    assert(list_empty(&c->readers));
    buf_fini(&c->own);
    buf_fini(&c->incoming);
    c->ws = NULL;
}

struct ws *ws_new(struct loop *loop, struct wheel *wheel, const struct config *config,
                  struct stats *stats, const struct ws_handlers *handlers)
{
    struct ws *ws = xcalloc(1, sizeof(*ws));
    *ws = (struct ws){.loop = loop,
                      .wheel = wheel,
                      .config = config,
                      .stats = stats,
                      .handlers = *handlers,
                      .next_id = 1 + (random_u64() & 0xffffff)};
    list_init(&ws->conns);
    map_init(&ws->by_id, id_of);
    list_init(&ws->dirty_logs);
    list_init(&ws->dirty_conns);
    ws->flush = loop_task_new(loop, flush, ws);
    ws->wait = loop_timer_new(loop, flush, ws);
    return ws;
}

void ws_free(struct ws *ws)
{
    if (ws == NULL) {
        return;
    }
    assert(list_empty(&ws->conns) && list_empty(&ws->dirty_logs));
    loop_task_free(ws->flush);
    loop_timer_free(ws->wait);
    map_fini(&ws->by_id);
    free(ws);
}

void ws_send(struct ws_conn *c, struct str text)
{
    if (c->closing || c->broken) {
        return;
    }
    size_t most = c->ws->config->client.backlog_hard;
    if (c->own.len + text.len > most) {
        write_own(c); /* much in one turn is not slow: the socket may take it */
    }
    if (c->own.len > 0 && c->own.len + text.len > most) {
        ws_close(c, CLOSE_SLOW);
        return;
    }
    buf_reserve(&c->own, text.len + 10);
    c->own.len += outlog_frame((unsigned char *)c->own.ptr + c->own.len, text);
    c->traffic.frames_out++;
    add_own(c, (struct str){"", 0});
}

void ws_close(struct ws_conn *c, enum close_reason reason)
{
    if (c->closing) {
        return;
    }
    unsigned code = close_reason_code(reason);
    struct str word = str_from(close_reason_word(reason));
    unsigned char frame[4 + 123] = {0x88, (unsigned char)(2 + word.len), (unsigned char)(code >> 8),
                                    (unsigned char)code};
    memcpy(frame + 4, word.ptr, word.len);
    add_own(c, (struct str){(const char *)frame, 4 + word.len});
    c->closing = true;
    c->reason = reason;
    wheel_start(c->ws->wheel, &c->timer, CLOSE_WAIT_MS);
    if (reason == CLOSE_SLOW) {
        LOG(INFO, SLOW_CONSUMER, F_HEX("conn", c->id), F_STR("ip", ws_conn_ip(c)),
            F_NUM("backlog", backlog_of(c)));
    }
}

void ws_tell_sent(struct ws_conn *c)
{
    c->tell_sent = true;
    add_own(c, (struct str){"", 0});
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
    return str_from(c->ip);
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

void ws_hold(struct outlog_reader *reader)
{
    reader->held++;
}

void ws_release(struct outlog_reader *reader)
{
    struct ws_conn *c = reader->conn;
    assert(reader->held > 0);
    if (--reader->held > 0) {
        return;
    }
    /* Also where the log is to be flushed: the pass may have visited this reader, held, already. */
    if ((outlog_backlog(reader) > 0 || outlog_was_cut(reader)) && c->blocked_ms == 0) {
        lws_callback_on_writable(c->wsi);
    }
}

void ws_unfollow(struct outlog_reader *reader)
{
    if (reader->log == NULL) {
        return;
    }
    outlog_detach(reader);
    list_remove(&reader->in_conn);
}

void ws_relay(struct ws *ws, struct outlog *log, struct str text, uint64_t tag,
              struct outlog_reader *except)
{
    outlog_append(log, text, tag, except);
    ws->appended++;
    if (list_empty(&log->dirty)) {
        list_push(&ws->dirty_logs, &log->dirty);
        schedule(ws);
    }
}

void ws_forget(struct outlog *log)
{
    list_remove(&log->dirty);
}

void *ws_session(struct ws *ws, uint64_t id)
{
    struct ws_conn *c = map_get(&ws->by_id, id_key(&id));
    return c != NULL ? c->session : NULL;
}

void ws_each(struct ws *ws, void (*visit_session)(void *session, void *ctx), void *ctx)
{
    list_each_safe (it, &ws->conns) {
        visit_session(container_of(it, struct ws_conn, in_conns)->session, ctx);
    }
}
