/* SPDX-License-Identifier: MIT */
#include "gateway/bus/link.h"

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"

#include <assert.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEPALIVE_S 15

/* The run_id of Redis: 40 hex digits. */
#define RUN_ID_MAX 64

/* Functions (FCALL) came with Redis 7. */
#define REDIS_MAJOR 7

/* Replies that Redis sends us are small; a stranger at that port may claim anything. */
#define ELEMENTS_MAX ((long long)1 << 22)

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
    redisContextFuncs funcs; /* its functions once it subscribes */
    struct list under_way;   /* of struct link_request, as sent */
    struct args args;        /* the hand-shake's */
    struct link_request auth, select, info;
    struct backoff backoff;
    struct loop_timer *timer;        /* owned; the phase says what for */
    struct loop_task *fall;          /* owned */
    struct loop_task *look;          /* owned */
    const struct link_request *late; /* what was overdue before the sockets were looked at again */
    uint64_t up_since_ms;
    bool was_up;    /* on_down is due when it falls */
    bool told_down; /* the log has a line of this outage already */
    bool ever_up;
    char run_id[RUN_ID_MAX];
    char state[96];
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

/* The connection is gone, or no use any more. What follows from it waits for the end of the turn,
 * so that nobody is called back from inside a call of theirs. */
static void lose(struct link *l, const char *why)
{
    if (l->phase != LINK_CONNECTING && l->phase != LINK_UP) {
        return;
    }
    set_state(l, why);
    if (l->phase == LINK_UP && loop_now_ms(l->options.loop) - l->up_since_ms >=
                                   l->options.config->redis.reconnect_max_ms) {
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

static void fall(void *ctx)
{
    struct link *l = ctx;
    bool was_up = l->was_up;
    l->was_up = false;
    l->phase = LINK_WAITING;
    loop_timer_start(l->timer, backoff_next_ms(&l->backoff, random_u64()));
    if (!l->told_down) {
        l->told_down = true;
        LOG(WARN, REDIS_DOWN, F_TEXT("link", link_names[l->options.which]),
            F_TEXT("why", l->state + strlen("down: ")));
    }
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
        lose(l, status == REDIS_OK || ac->errstr == NULL ? "closed" : ac->errstr);
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
        lose(l, "no reply in time");
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
        lose(l, "no connection in time");
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

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct link *l = ac->data;
    if (l == NULL || reply == NULL) {
        return; /* fallen: the requests get their NULL from us, in order */
    }
    struct link_request *r = privdata;
    list_remove(&r->link);
    uint64_t took_us = clock_now_us() - r->sent_us;
    stats_observe(&l->options.stats->command_latency, took_us);
    r->done(r, reply);
}

static void send_args(struct link *l, struct args *args, struct link_request *r)
{
    r->sent_us = clock_now_us();
    bool first = list_empty(&l->under_way);
    list_push(&l->under_way, &r->link);
    args_words(args);
    if (redisAsyncCommandArgv(l->ac, on_reply, r, (int)args->count, args->words, args->lens) !=
        REDIS_OK) {
        lose(l, "cannot send");
        return;
    }
    if (first && l->phase == LINK_UP) {
        watch(l);
    }
}

void link_send(struct link *l, struct args *args, struct link_request *r)
{
    assert(l->phase == LINK_UP);
    send_args(l, args, r);
}

/* Replies of the subscriber link, read without hiredis's own dispatch: that looks each channel up
 * in a table of its own (half of the cost of a message), and believes what it gets: a stranger who
 * says `subscribe` in an odd shape crashes it. */
static void read_pushes(redisAsyncContext *ac)
{
    struct link *l = ac->data;
    if (l == NULL) {
        return;
    }
    if (redisBufferRead(&ac->c) != REDIS_OK) {
        lose(l, ac->c.errstr);
        return;
    }
    while (l->ac == ac) { /* else it was lost by what was read, and ac is gone */
        void *reply;
        if (redisGetReplyFromReader(&ac->c, &reply) != REDIS_OK) {
            lose(l, ac->c.errstr);
            return;
        }
        if (reply == NULL) {
            return;
        }
        l->events.on_push(l->events.ctx, reply);
        freeReplyObject(reply);
    }
}

void link_subscribe(struct link *l, struct args *args)
{
    assert(l->phase == LINK_UP && list_empty(&l->under_way));
    if (l->funcs.async_read != read_pushes) {
        l->funcs = *l->ac->c.funcs;
        l->funcs.async_read = read_pushes;
    }
    l->ac->c.funcs = &l->funcs;
    char *command;
    args_words(args);
    long long len = redisFormatCommandArgv(&command, (int)args->count, args->words, args->lens);
    if (len < 0 || redisAppendFormattedCommand(&l->ac->c, command, (size_t)len) != REDIS_OK) {
        lose(l, "cannot send");
    } else {
        l->ac->ev.addWrite(l->ac->ev.data);
    }
    if (len >= 0) {
        redisFreeCommand(command);
    }
}

/* True when the step went well; a NULL reply is the link's fall, which is under way already. */
static bool step_passed(struct link *l, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        lose(l, reply->str);
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

static void on_info(struct link_request *r, const redisReply *reply)
{
    struct link *l = container_of(r, struct link, info);
    if (!step_passed(l, reply) || l->phase != LINK_CONNECTING) {
        return;
    }
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_VERB) {
        lose(l, "not a Redis server");
        return;
    }
    struct str run_id = info_value(reply, "run_id:");
    if (run_id.len == 0 || run_id.len >= sizeof(l->run_id)) {
        lose(l, "not a Redis server");
        return;
    }
    if (strtol(info_value(reply, "redis_version:").ptr, NULL, 10) < REDIS_MAJOR) {
        lose(l, "Redis is older than version 7");
        return;
    }
    memcpy(l->run_id, run_id.ptr, run_id.len);
    l->run_id[run_id.len] = '\0';
    l->phase = LINK_UP;
    l->was_up = true;
    l->told_down = false;
    l->up_since_ms = loop_now_ms(l->options.loop);
    loop_timer_stop(l->timer);
    snprintf(l->state, sizeof(l->state), "ok");
    l->options.stats->link_up[l->options.which] = 1;
    l->options.stats->reconnects[l->options.which] += l->ever_up ? 1 : 0;
    l->ever_up = true;
    LOG(INFO, REDIS_UP, F_TEXT("link", link_names[l->options.which]),
        F_STR("version", info_value(reply, "redis_version:")));
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
        ARGS_LIT(&l->args, "server");
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
        lose(l, ac->errstr);
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
        lose(l, l->ac == NULL ? "out of memory" : l->ac->errstr);
        return;
    }
    l->ac->data = l;
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
    l->backoff = (struct backoff){options->config->redis.reconnect_min_ms,
                                  options->config->redis.reconnect_max_ms, 0};
    l->timer = loop_timer_new(options->loop, on_timer, l);
    l->fall = loop_task_new(options->loop, fall, l);
    l->look = loop_task_new(options->loop, look, l);
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

struct str link_run_id(const struct link *l)
{
    return str_from(l->run_id);
}

void link_drop(struct link *l, const char *why)
{
    lose(l, why);
}
