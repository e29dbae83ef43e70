/* SPDX-License-Identifier: MIT */
#include "gateway/edge/ws.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/random.h"
#include "common/utf8.h"
#include "gateway/edge/ws_conn.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

/* How long a close frame of ours may wait for the peer's; and for that of one who is silent anyway.
 */
#define CLOSE_WAIT_MS 2000
#define SILENT_CLOSE_WAIT_MS 250

/* A WebSocket PING (RFC 6455, section 5.5.2) and the message {"type":"ping"}, as one write: a
 * browser page answers the message, any other client at least the frame. The PING has a payload,
 * which its PONG repeats: libwebsockets does not tell of an empty PONG. */
static const unsigned char HEARTBEAT[] = "\x89\x01p\x81\x0f{\"type\":\"ping\"}";

static struct str id_key(const uint64_t *id)
{
    return (struct str){(const char *)id, sizeof(*id)};
}

static struct str id_of(const void *item)
{
    const struct ws_conn *c = item;
    return id_key(&c->id);
}

static void send_heartbeat(struct ws_conn *c)
{
    c->heartbeat_sent = true;
    conn_add_own(c, (struct str){(const char *)HEARTBEAT, sizeof(HEARTBEAT) - 1});
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
        conn_kill(c);
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

    /* Without a bound the kernel swallows megabytes and hides a slow reader. A unix socket has no
     * Nagle; so the second may fail, which changes nothing. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    c->ws = ws;
    c->wsi = wsi;
    c->fd = fd;
    c->id = ws->next_id++;
    c->reason = CLOSE_GONE;
    c->seen_ms = c->traffic.opened_ms = loop_now_ms(ws->loop);
    proxies_pack(ip, &c->ip);
    list_init(&c->in_dirty);
    list_init(&c->readers);
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

/* The pieces of a message mostly come in a row, so nearly every message is put together in one
 * buffer that all connections share. Who is in the middle of one when another connection's begins
 * goes on in a buffer of its own. */
static struct buf *assembly_of(struct ws_conn *c)
{
    return c->ws->assembling == c ? &c->ws->message : c->incoming;
}

static size_t assembled(struct ws_conn *c)
{
    const struct buf *message = assembly_of(c);
    return message != NULL ? message->len : 0;
}

static struct buf *take_assembly(struct ws_conn *c)
{
    struct ws *ws = c->ws;
    if (assembly_of(c) == NULL) {
        if (ws->assembling != NULL) {
            ws->assembling->incoming = xmalloc(sizeof(struct buf));
            *ws->assembling->incoming = ws->message;
            ws->message = (struct buf){0};
        }
        ws->assembling = c;
    }
    return assembly_of(c);
}

/* The message is whole and was used, or its connection goes. */
static void end_assembly(struct ws_conn *c)
{
    struct ws *ws = c->ws;
    if (ws->assembling == c) {
        ws->assembling = NULL;
        buf_clear(&ws->message);
    }
    if (c->incoming != NULL) {
        buf_fini(c->incoming);
        free(c->incoming);
        c->incoming = NULL;
    }
}

/* The reason to end the connection for this piece of a message, or CLOSE_NORMAL when it is fine. */
static enum close_reason check_piece(struct ws_conn *c, size_t len)
{
    const struct config *config = c->ws->config;
    if (lws_frame_is_binary(c->wsi)) {
        return CLOSE_BINARY;
    }
    if (assembled(c) + len + lws_remaining_packet_payload(c->wsi) >
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
    if (whole && assembled(c) == 0) {
        c->fragments = 0;
        deliver(c, (struct str){in, len});
        return 0;
    }
    struct buf *message = take_assembly(c);
    buf_add(message, (struct str){in, len});
    if (whole) {
        c->fragments = 0;
        deliver(c, buf_str(message));
        end_assembly(c);
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
        conn_tell_cuts(c);
    }
    conn_write_own(c);
    list_each (it, &c->readers) {
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_conn);
        if (c->closing || !conn_can_write(c)) {
            break;
        }
        if (r->held == 0) {
            conn_write_reader(c, r);
        }
    }
    if (c->blocked_ms == 0) {
        c->cut_bytes = 0;
    }
    conn_notify_sent(c);
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
        conn_write_own(c);
        if (conn_can_write(c)) {
            conn_write(c, bare ? (struct str){(const char *)empty, sizeof(empty)}
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
    map_remove(&ws->by_id, id_of(c));
    list_remove(&c->in_dirty);
    wheel_stop(&c->timer);
    ws->stats->connections--;
    ws->stats->closed[c->reason]++;
    ws->handlers.on_close(c->session, c->reason);
    assert(list_empty(&c->readers));
    buf_fini(&c->own);
    end_assembly(c);
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
    map_init(&ws->by_id, id_of);
    list_init(&ws->dirty_logs);
    list_init(&ws->dirty_conns);
    ws->batch.sender = sender_new(config->server.io_uring);
    ws->flush = loop_task_new(loop, flush_run, ws);
    ws->wait = loop_timer_new(loop, flush_run, ws);
    return ws;
}

void ws_free(struct ws *ws)
{
    if (ws == NULL) {
        return;
    }
    assert(ws->by_id.count == 0 && list_empty(&ws->dirty_logs));
    loop_task_free(ws->flush);
    loop_timer_free(ws->wait);
    map_fini(&ws->by_id);
    buf_fini(&ws->message);
    sender_free(ws->batch.sender);
    free(ws);
}

void ws_send(struct ws_conn *c, struct str text)
{
    if (c->closing || c->broken) {
        return;
    }
    size_t most = c->ws->config->client.backlog_hard;
    if (c->own.len + text.len > most) {
        conn_write_own(c); /* much in one turn is not slow: the socket may take it */
    }
    if (c->own.len > 0 && c->own.len + text.len > most) {
        ws_close(c, CLOSE_SLOW);
        return;
    }
    buf_reserve(&c->own, text.len + 10);
    c->own.len += outlog_frame((unsigned char *)c->own.ptr + c->own.len, text);
    c->traffic.frames_out++;
    conn_add_own(c, (struct str){"", 0});
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
    conn_add_own(c, (struct str){(const char *)frame, 4 + word.len});
    c->closing = true;
    c->reason = (uint8_t)reason;
    wheel_start(c->ws->wheel, &c->timer,
                reason == CLOSE_HEARTBEAT ? SILENT_CLOSE_WAIT_MS : CLOSE_WAIT_MS);
    if (reason == CLOSE_SLOW) {
        LOG(INFO, SLOW_CONSUMER, F_HEX("conn", c->id), F_STR("ip", ws_conn_ip(c)),
            F_NUM("backlog", conn_backlog(c)));
    }
}

void ws_tell_sent(struct ws_conn *c)
{
    c->tell_sent = true;
    conn_add_own(c, (struct str){"", 0});
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
    if (c->ws == NULL) {
        return STR("");
    }
    proxies_unpack(&c->ip, c->ws->ip);
    return str_from(c->ws->ip);
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
    ws->gather.arrived++;
    if (list_empty(&log->dirty)) {
        list_push(&ws->dirty_logs, &log->dirty);
        flush_schedule(ws);
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
    size_t at = 0;
    const struct ws_conn *c;
    while ((c = map_next(&ws->by_id, &at)) != NULL) {
        visit_session(c->session, ctx);
    }
}
