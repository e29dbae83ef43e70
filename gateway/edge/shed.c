/* SPDX-License-Identifier: MIT */
#include "gateway/edge/shed.h"

#include "gateway/edge/ws_conn.h"

/* Backlogs below this are not worth a gap. */
#define WORTH_BYTES 4096
/* A good reader is blocked for milliseconds, however much has just been said; slow is who has taken
 * nothing for so long. */
#define SLOW_MS 1000
/* Who has taken nothing for so long may be closed, so many at one look. */
#define IDLE_MS 2000
#define CLOSED_PER_LOOK 64

static bool is_blocked(const struct ws_conn *c, uint64_t for_ms)
{
    return c->blocked_ms != 0 && loop_now_ms(c->ws->loop) - c->blocked_ms >= for_ms &&
           !c->closing && !c->broken;
}

static uint64_t in_logs(const struct ws_conn *c)
{
    uint64_t bytes = 0;
    list_each (it, &c->readers) {
        bytes += outlog_backlog(container_of(it, struct outlog_reader, in_conn));
    }
    return bytes;
}

/* What c can give: all that is its own, or all that it has not read of rooms. */
static uint64_t to_give(const struct ws_conn *c)
{
    if (!is_blocked(c, SLOW_MS)) {
        return 0;
    }
    uint64_t logs = in_logs(c);
    return c->own.len > logs ? c->own.len : logs;
}

static uint64_t biggest(const struct ws *ws)
{
    uint64_t most = 0;
    size_t at = 0;
    const struct ws_conn *c;
    while ((c = map_next(&ws->by_id, &at)) != NULL) {
        uint64_t held = to_give(c);
        most = held > most ? held : most;
    }
    return most;
}

/* Nothing more reaches it: what waits is let go at once, a close frame would only wait behind it.
 */
static void give_up(struct ws_conn *c)
{
    buf_fini(&c->own);
    ws_close(c, CLOSE_SLOW);
    conn_kill(c);
}

static void skip_all(struct ws_conn *c)
{
    list_each (it, &c->readers) {
        struct outlog_reader *r = container_of(it, struct outlog_reader, in_conn);
        c->cut_bytes += outlog_backlog(r) > 0 ? outlog_cut(r) : 0;
    }
}

/* Everybody who holds at least so much. A log's bytes go when its last reader has let them go; so
 * they are counted in the log. */
static uint64_t shed_from(struct ws *ws, uint64_t least)
{
    uint64_t freed = 0, before = ws->stats->send_queue_bytes;
    size_t at = 0;
    struct ws_conn *c;
    while ((c = map_next(&ws->by_id, &at)) != NULL) {
        if (to_give(c) < least) {
            continue;
        }
        if (c->own.len >= least) {
            freed += c->own.len;
            give_up(c);
        } else {
            skip_all(c);
        }
    }
    return freed + before - ws->stats->send_queue_bytes;
}

static void close_idle(struct ws *ws)
{
    unsigned closed = 0;
    size_t at = 0;
    struct ws_conn *c;
    while ((c = map_next(&ws->by_id, &at)) != NULL) {
        if (is_blocked(c, IDLE_MS) && closed < CLOSED_PER_LOOK) {
            give_up(c);
            closed++;
        }
    }
}

uint64_t ws_shed(struct ws *ws, uint64_t wanted)
{
    uint64_t freed = 0, most = biggest(ws);
    while (freed < wanted && most >= WORTH_BYTES) {
        freed += shed_from(ws, most / 2);
        most = biggest(ws);
    }
    if (freed < wanted) {
        close_idle(ws);
    }
    return freed;
}
