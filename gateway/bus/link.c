/* SPDX-License-Identifier: MIT */
#include "gateway/bus/link.h"

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/bus/payload.h"

#include <assert.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEPALIVE_S 15

/* A run_id and a replication id, 40 hex digits each, and a dot between. */
#define FENCE_MAX 96

/* Functions (FCALL) came with Redis 7. */
#define REDIS_MAJOR 7

/* Replies that Redis sends us are small; a stranger at that port may claim anything. The longest
 * arrays are hashes read whole; the longest replies are pages of a log and what somebody publishes
 * by hand. The longest string of ours is a batch in one payload; one that says it is longer ends
 * the link before any of it is kept. */
#define ELEMENTS_MAX ((long long)1 << 17)
#define REPLY_MIN_BYTES ((size_t)32 << 20)
#define LINES_PER_REPLY 512

/* hiredis frees replies by recursion, and nests them without end; and it looks for the end of a
 * line from its beginning, each time that more of it comes. */
#define DEPTH_MAX 8
#define LINE_MAX_BYTES 65536

/* A link that falls before it was up for so long is told of as one that is down. Other causes of
 * the same outage are told at once up to TELL_FREELY, and later ones when the last was told so long
 * ago.
 */
#define STEADY_MS 5000
#define TELL_FREELY 3

enum link_phase {
    LINK_IDLE,       /* not started, or freed */
    LINK_CONNECTING, /* until the hand-shake is through */
    LINK_UP,
    LINK_FALLEN, /* the connection is gone; on_down and the NULLs come at the end of the turn */
    LINK_WAITING /* for the next try */
};

struct link {
    struct link_options options;
    struct link_events events;
    enum link_phase phase;
    redisAsyncContext *ac;   /* owned by hiredis; NULL when there is none */
    redisContextFuncs funcs; /* its functions, but for the reading */
    size_t unread;           /* bytes of a reply that has not arrived whole */
    size_t reply_bytes;      /* no reply may be longer */
    size_t bulk_bytes;       /* nor may one string of it */
    bool subscribed;         /* what comes answers no request */
    struct list under_way;   /* of struct link_request, as sent */
    struct args args;        /* the hand-shake's */
    struct link_request auth, select, info;
    struct backoff backoff;
    struct loop_timer *timer;        /* owned; the phase says what for */
    struct loop_task *fall;          /* owned */
    struct loop_task *look;          /* owned */
    struct loop_task *write;         /* owned */
    const struct link_request *late; /* what was overdue before the sockets were looked at again */
    uint64_t up_since_ms;
    bool was_up;   /* on_down is due when it falls */
    bool told_up;  /* the log's last line of this link says that it is up */
    bool flapping; /* the last connection did not last */
    bool ever_up;
    char fence[FENCE_MAX];
    char version[24];
    char state[96];
    char told_down[96]; /* the last state that the log was told */
    unsigned tellings;  /* of this outage */
    uint64_t told_ms;
};

static const char *const link_names[LINK_COUNT] = {
    [LINK_COMMAND] = "command",
    [LINK_SUBSCRIBE] = "subscribe",
};

static void set_state(struct link *l, const char *why)
{
    snprintf(l->state, sizeof(l->state), "down: %s", why);
    for (char *c = l->state; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20) {
            *c = ' ';
        }
    }
}

static bool has_lasted(const struct link *l, uint64_t for_ms)
{
    return loop_now_ms(l->options.loop) - l->up_since_ms >= for_ms;
}

/* The connection is gone, or no use any more. What follows from it waits for the end of the turn,
 * so that nobody is called back from inside a call of theirs. */
static void lose(struct link *l, enum stats_loss loss, const char *why)
{
    if (l->phase != LINK_CONNECTING && l->phase != LINK_UP) {
        return;
    }
    set_state(l, why);
    l->options.stats->losses[loss]++;
    if (l->phase == LINK_UP) {
        l->flapping = !has_lasted(l, STEADY_MS);
    }
    if (l->phase == LINK_UP && has_lasted(l, l->options.config->redis.reconnect_max_ms)) {
        backoff_reset(&l->backoff); /* a link that falls at once again and again backs off */
    }
    if (l->ac != NULL) {
        redisAsyncContext *ac = l->ac;
        l->ac = NULL;
        ac->data = NULL; /* what hiredis still says of it is not for us */
        redisAsyncFree(ac);
    }
    loop_timer_stop(l->timer);
    l->options.stats->link_up[l->options.which] = 0;
    l->phase = LINK_FALLEN;
    loop_task_soon(l->fall);
}

static void answer_all(struct link *l)
{
    struct list fallen;
    list_init(&fallen);
    list_splice(&fallen, &l->under_way);
    struct list *it;
    while ((it = list_pop(&fallen)) != NULL) {
        struct link_request *r = container_of(it, struct link_request, link);
        r->done(r, NULL);
    }
}

/* One line a change: of a link that comes up and falls at once, again and again, the log says only
 * that it is down, and why when that changes. */
static void tell_down(struct link *l)
{
    uint64_t now_ms = loop_now_ms(l->options.loop);
    bool other = strcmp(l->told_down, l->state) != 0 &&
                 (l->tellings < TELL_FREELY || now_ms - l->told_ms >= STEADY_MS);
    if (l->told_up || other) {
        memcpy(l->told_down, l->state, sizeof(l->told_down));
        l->told_up = false;
        l->told_ms = now_ms;
        l->tellings++;
        LOG(WARN, REDIS_DOWN, F_TEXT("link", link_names[l->options.which]),
            F_TEXT("why", l->state + strlen("down: ")));
    }
}

static void tell_up(struct link *l)
{
    if (!l->told_up && (!l->flapping || has_lasted(l, STEADY_MS))) {
        l->told_up = true;
        l->tellings = 0;
        LOG(INFO, REDIS_UP, F_TEXT("link", link_names[l->options.which]),
            F_TEXT("version", l->version));
    }
}

static void fall(void *ctx)
{
    struct link *l = ctx;
    bool was_up = l->was_up;
    l->was_up = false;
    l->phase = LINK_WAITING;
    loop_timer_start(l->timer, backoff_next_ms(&l->backoff, random_u64()));
    tell_down(l);
    if (was_up) {
        l->events.on_down(l->events.ctx);
    }
    answer_all(l);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct link *l = ac->data;
    if (l != NULL) {
        l->ac = NULL; /* hiredis frees it behind this call */
        lose(l, LOSS_CLOSED, status == REDIS_OK || ac->errstr == NULL ? "closed" : ac->errstr);
    }
}

static uint64_t timeout_us(const struct link *l)
{
    return l->options.config->redis.command_timeout_ms * 1000;
}

static const struct link_request *oldest(const struct link *l)
{
    return list_empty(&l->under_way) ? NULL
                                     : container_of(l->under_way.next, struct link_request, link);
}

/* Watches the oldest request: replies come in order, so it is the first to be overdue. */
static void watch(struct link *l)
{
    const struct link_request *r = oldest(l);
    if (r == NULL) {
        loop_timer_stop(l->timer);
        return;
    }
    uint64_t age_us = clock_now_us() - r->sent_us;
    uint64_t left_us = age_us < timeout_us(l) ? timeout_us(l) - age_us : 0;
    loop_timer_start(l->timer, left_us / 1000 + 1);
}

static void look(void *ctx)
{
    struct link *l = ctx;
    if (l->phase != LINK_UP) {
        return;
    }
    const struct link_request *r = oldest(l);
    if (r != NULL && r == l->late) {
        lose(l, LOSS_TIMEOUT, "no reply in time");
        return;
    }
    watch(l);
}

static void connect_now(struct link *l);

static void on_timer(void *ctx)
{
    struct link *l = ctx;
    switch (l->phase) {
    case LINK_CONNECTING:
        lose(l, LOSS_CONNECT, "no connection in time");
        break;
    case LINK_WAITING:
        connect_now(l);
        break;
    case LINK_UP:
        /* If this process itself stood still, the reply lies in the socket: read first, then judge.
         */
        l->late = oldest(l);
        if (l->late != NULL && clock_now_us() - l->late->sent_us >= timeout_us(l)) {
            loop_task_next(l->look);
        } else {
            watch(l);
        }
        break;
    case LINK_IDLE:
    case LINK_FALLEN:
        break;
    }
}

static void lose_by_error(struct link *l, const char *text)
{
    l->options.stats->refusals[stats_refusal_of(text)]++;
    lose(l, LOSS_ERROR, text);
}

static void take_reply(struct link *l, const redisReply *reply)
{
    if (l->subscribed) {
        l->events.on_push(l->events.ctx, reply);
    } else if (!list_empty(&l->under_way)) {
        struct link_request *r = container_of(list_pop(&l->under_way), struct link_request, link);
        stats_observe(&l->options.stats->command_latency, clock_now_us() - r->sent_us);
        r->done(r, reply);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        lose_by_error(l, reply->str); /* a farewell: too many clients, shutting down */
    } else {
        lose(l, LOSS_PROTOCOL, "a reply to nothing");
    }
}

static void take_replies(struct link *l, redisAsyncContext *ac)
{
    while (l->ac == ac) { /* else it was lost by what was read, and ac is gone */
        void *reply;
        if (redisGetReplyFromReader(&ac->c, &reply) != REDIS_OK) {
            lose(l, LOSS_PROTOCOL, ac->c.errstr);
            return;
        }
        if (reply == NULL) {
            return;
        }
        l->unread = ac->c.reader->len - ac->c.reader->pos;
        take_reply(l, reply);
        freeReplyObject(reply);
    }
}

/* How long the string that is under way says it is; 0: there is none. hiredis has taken the byte
 * that says that it is one, and takes the length, which comes next, with the whole string only. */
static size_t announced(const redisReader *reader, const char *rest)
{
    if (reader->ridx < 0 || reader->task[reader->ridx]->type != REDIS_REPLY_STRING) {
        return 0;
    }
    long long len = strtoll(rest, NULL, 10);
    return len > 0 ? (size_t)len : 0;
}

/* Why what is there of the next reply will not become one; NULL: it may. */
static const char *endless(const struct link *l, const redisReader *reader)
{
    const char *rest = reader->buf + reader->pos;
    if (l->unread > l->reply_bytes) {
        return "a reply without end";
    }
    if (announced(reader, rest) > l->bulk_bytes) {
        return "a string too long";
    }
    if (reader->ridx >= DEPTH_MAX) {
        return "a reply too deep";
    }
    bool long_rest = reader->len - reader->pos > LINE_MAX_BYTES;
    return long_rest && memchr(rest, '\n', LINE_MAX_BYTES) == NULL ? "a line without end" : NULL;
}

/* Replies are read without hiredis's own dispatch: of a subscription it looks each channel up in a
 * table of its own (half of the cost of a message), and believes what it gets: a stranger who says
 * `subscribe` in an odd shape crashes it. And it reads for ever what does not end. */
static void read_replies(redisAsyncContext *ac)
{
    struct link *l = ac->data;
    if (l == NULL) {
        return;
    }
    size_t before = ac->c.reader->len;
    if (redisBufferRead(&ac->c) != REDIS_OK) {
        lose(l, LOSS_CLOSED, ac->c.errstr);
        return;
    }
    l->unread += ac->c.reader->len - before;
    take_replies(l, ac);
    const char *why = l->ac == ac ? endless(l, ac->c.reader) : NULL;
    if (why != NULL) {
        lose(l, LOSS_PROTOCOL, why);
    } else if (l->phase == LINK_UP) {
        tell_up(l);
    }
}

static void append(struct link *l, struct args *args)
{
    struct str wire = args_wire(args);
    if (redisAppendFormattedCommand(&l->ac->c, wire.ptr, wire.len) != REDIS_OK) {
        lose(l, LOSS_CLOSED, "cannot send");
    } else {
        loop_task_soon(l->write);
    }
}

/* At the end of the turn, all at once. The socket nearly always takes it, and is watched only when
 * it does not: libevent's adapter would ask the kernel four times for each write. */
static void write_out(void *ctx)
{
    struct link *l = ctx;
    if (l->ac != NULL && l->phase != LINK_FALLEN) {
        redisAsyncHandleWrite(l->ac);
    }
}

static void send_args(struct link *l, struct args *args, struct link_request *r)
{
    r->sent_us = clock_now_us();
    bool first = list_empty(&l->under_way);
    list_push(&l->under_way, &r->link);
    append(l, args);
    if (first && l->phase == LINK_UP) {
        watch(l);
    }
}

void link_send(struct link *l, struct args *args, struct link_request *r)
{
    assert(l->phase == LINK_UP && !l->subscribed);
    send_args(l, args, r);
}

void link_subscribe(struct link *l, struct args *args)
{
    assert(l->phase == LINK_UP && list_empty(&l->under_way));
    l->subscribed = true;
    append(l, args);
}

/* True when the step went well; a NULL reply is the link's fall, which is under way already. */
static bool step_passed(struct link *l, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        lose_by_error(l, reply->str);
    }
    return reply != NULL && reply->type != REDIS_REPLY_ERROR;
}

static void on_auth(struct link_request *r, const redisReply *reply)
{
    (void)step_passed(container_of(r, struct link, auth), reply);
}

static void on_select(struct link_request *r, const redisReply *reply)
{
    (void)step_passed(container_of(r, struct link, select), reply);
}

/* The value behind name ("run_id:") in INFO's answer. */
static struct str info_value(const redisReply *info, const char *name)
{
    const char *at = strstr(info->str, name);
    if (at == NULL) {
        return (struct str){"", 0};
    }
    at += strlen(name);
    return (struct str){at, strcspn(at, "\r\n")};
}

static bool info_says(const redisReply *info, const char *name, const char *value)
{
    return str_equal(info_value(info, name), str_from(value));
}

/* Why what says this of itself is no Redis for us, or not now; NULL: it is. */
static const char *unfit(const redisReply *info)
{
    if (info->type != REDIS_REPLY_STRING && info->type != REDIS_REPLY_VERB) {
        return "not a Redis server";
    }
    size_t len = info_value(info, "run_id:").len;
    if (len == 0 || len >= FENCE_MAX / 2) {
        return "not a Redis server";
    }
    if (strtol(info_value(info, "redis_version:").ptr, NULL, 10) < REDIS_MAJOR) {
        return "Redis is older than version 7";
    }
    if (info_says(info, "redis_mode:", "cluster")) {
        return "a node of a Redis Cluster, which needs another URL";
    }
    if (info_says(info, "\nloading:", "1")) {
        return "LOADING Redis reads its data";
    }
    return info_says(info, "\nrole:", "slave") ? "READONLY a replica, not the master" : NULL;
}

/* The run_id tells one start of Redis from the next. Of a Redis that was a replica and became the
 * master while it ran, the replication id which it took then is added: its data are another's. */
static void read_fence(struct link *l, const redisReply *info)
{
    struct str run_id = info_value(info, "run_id:");
    struct str before = info_value(info, "master_replid2:");
    struct str now = info_value(info, "master_replid:");
    bool promoted = strspn(before.ptr, "0") < before.len && now.len < FENCE_MAX / 2;
    snprintf(l->fence, sizeof(l->fence), "%.*s%s%.*s", STR_ARG(run_id), promoted ? "." : "",
             promoted ? (int)now.len : 0, now.ptr);
}

static void on_info(struct link_request *r, const redisReply *reply)
{
    struct link *l = container_of(r, struct link, info);
    if (!step_passed(l, reply) || l->phase != LINK_CONNECTING) {
        return;
    }
    const char *why = unfit(reply);
    if (why != NULL && stats_refusal_of(why) != REFUSAL_OTHER) {
        lose_by_error(l, why);
        return;
    }
    if (why != NULL) {
        lose(l, LOSS_PROTOCOL, why);
        return;
    }
    read_fence(l, reply);
    snprintf(l->version, sizeof(l->version), "%.*s", STR_ARG(info_value(reply, "redis_version:")));
    l->phase = LINK_UP;
    l->was_up = true;
    l->up_since_ms = loop_now_ms(l->options.loop);
    loop_timer_stop(l->timer);
    snprintf(l->state, sizeof(l->state), "ok");
    l->options.stats->link_up[l->options.which] = 1;
    l->options.stats->reconnects[l->options.which] += l->ever_up ? 1 : 0;
    l->ever_up = true;
    tell_up(l);
    l->events.on_up(l->events.ctx);
}

static void shake_hands(struct link *l)
{
    const struct url *url = l->options.url;
    if (url->password != NULL) {
        args_clear(&l->args);
        ARGS_LIT(&l->args, "AUTH");
        if (url->user != NULL) {
            args_add(&l->args, str_from(url->user));
        }
        args_add(&l->args, str_from(url->password));
        send_args(l, &l->args, &l->auth);
    }
    if (url->db != 0 && l->phase == LINK_CONNECTING) {
        args_clear(&l->args);
        ARGS_LIT(&l->args, "SELECT");
        args_num(&l->args, url->db);
        send_args(l, &l->args, &l->select);
    }
    if (l->phase == LINK_CONNECTING) {
        args_clear(&l->args);
        ARGS_LIT(&l->args, "INFO");
        send_args(l, &l->args, &l->info);
    }
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct link *l = ac->data;
    if (l == NULL) {
        return;
    }
    if (status != REDIS_OK) {
        l->ac = NULL; /* hiredis frees it behind this call */
        lose(l, LOSS_CONNECT, ac->errstr);
        return;
    }
    shake_hands(l);
}

static void tune(struct link *l)
{
    redisContext *c = &l->ac->c;
    c->reader->maxelements = ELEMENTS_MAX;
    if (l->options.url->host != NULL) {
        /* hiredis sets TCP_NODELAY itself. Without the user timeout a cut cable goes unseen for as
         * long as the kernel retransmits: a quarter of an hour. */
        redisEnableKeepAliveWithInterval(c, KEEPALIVE_S);
        redisSetTcpUserTimeout(c, (unsigned)l->options.config->redis.command_timeout_ms);
    }
}

static void connect_now(struct link *l)
{
    const struct url *url = l->options.url;
    redisOptions options = {0};
    if (url->host != NULL) {
        REDIS_OPTIONS_SET_TCP(&options, url->host, url->port);
    } else {
        REDIS_OPTIONS_SET_UNIX(&options, url->path);
    }
    l->phase = LINK_CONNECTING;
    l->ac = redisAsyncConnectWithOptions(&options);
    if (l->ac == NULL || l->ac->err != 0 ||
        redisLibeventAttach(l->ac, loop_base(l->options.loop)) != REDIS_OK) {
        lose(l, LOSS_CONNECT, l->ac == NULL ? "out of memory" : l->ac->errstr);
        return;
    }
    l->ac->data = l;
    l->funcs = *l->ac->c.funcs;
    l->funcs.async_read = read_replies;
    l->ac->c.funcs = &l->funcs;
    l->unread = 0;
    l->subscribed = false;
    redisAsyncSetConnectCallback(l->ac, on_connect);
    redisAsyncSetDisconnectCallback(l->ac, on_disconnect);
    tune(l);
    loop_timer_start(l->timer, l->options.config->redis.connect_timeout_ms);
}

struct link *link_new(const struct link_options *options, const struct link_events *events)
{
    struct link *l = xcalloc(1, sizeof(*l));
    l->options = *options;
    l->events = *events;
    list_init(&l->under_way);
    l->auth.done = on_auth;
    l->select.done = on_select;
    l->info.done = on_info;
    size_t line_bytes = payload_limits_of(options->config).line_bytes;
    l->reply_bytes = LINES_PER_REPLY * line_bytes;
    l->reply_bytes = l->reply_bytes > REPLY_MIN_BYTES ? l->reply_bytes : REPLY_MIN_BYTES;
    l->bulk_bytes = BUS_BATCH_MAX * line_bytes;
    l->backoff = (struct backoff){options->config->redis.reconnect_min_ms,
                                  options->config->redis.reconnect_max_ms, 0};
    l->timer = loop_timer_new(options->loop, on_timer, l);
    l->fall = loop_task_new(options->loop, fall, l);
    l->look = loop_task_new(options->loop, look, l);
    l->write = loop_task_new(options->loop, write_out, l);
    snprintf(l->state, sizeof(l->state), "connecting");
    return l;
}

void link_free(struct link *l)
{
    if (l == NULL) {
        return;
    }
    l->phase = LINK_IDLE;
    if (l->ac != NULL) {
        l->ac->data = NULL;
        redisAsyncFree(l->ac);
    }
    answer_all(l);
    loop_timer_free(l->timer);
    loop_task_free(l->fall);
    loop_task_free(l->look);
    loop_task_free(l->write);
    args_fini(&l->args);
    free(l);
}

void link_start(struct link *l)
{
    assert(l->phase == LINK_IDLE);
    connect_now(l);
}

bool link_is_up(const struct link *l)
{
    return l != NULL && l->phase == LINK_UP;
}

const char *link_state(const struct link *l)
{
    return l->state;
}

struct str link_fence(const struct link *l)
{
    return str_from(l->fence);
}

void link_drop(struct link *l, enum stats_loss loss, const char *why)
{
    lose(l, loss, why);
}
