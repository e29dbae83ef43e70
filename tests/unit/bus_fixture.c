/* SPDX-License-Identifier: MIT */
#include "tests/unit/bus_fixture.h"

#include "common/clock.h"
#include "common/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MORE_MAX 16

static void run_server(const struct server *s, const char *const *extra)
{
    char socket_path[96];
    char log[96];
    snprintf(socket_path, sizeof(socket_path), "%s/redis.sock", s->dir);
    snprintf(log, sizeof(log), "%s/log", s->dir);
    const char *argv[16 + MORE_MAX] = {
        "redis-server", "--port", "0", "--unixsocket", socket_path, "--dir",
        s->dir,         "--save", "",  "--logfile",    log,         "--enable-debug-command",
        "yes"};
    size_t n = 13;
    for (size_t i = 0; extra != NULL && extra[i] != NULL && i < MORE_MAX; i++) {
        argv[n++] = extra[i];
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool answers(struct server *s)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/redis.sock", s->dir);
    redisContext *c = redisConnectUnix(path);
    redisReply *reply = c == NULL || c->err != 0 ? NULL : redisCommand(c, "PING");
    bool pong = reply != NULL && strncmp(reply->str, "LOADING", 7) != 0; /* NOAUTH is an answer */
    freeReplyObject(reply);
    redisFree(c);
    return pong;
}

void server_start(struct server *s, const char *const *extra)
{
    s->pid = fork();
    ck_assert_int_ge(s->pid, 0);
    if (s->pid == 0) {
        run_server(s, extra);
    }
    uint64_t until_ms = clock_now_ms() + patience_ms();
    while (!answers(s)) {
        ck_assert_msg(clock_now_ms() < until_ms, "redis-server does not answer: %s/log", s->dir);
        usleep(5000);
    }
}

void server_open(struct server *s, const char *const *extra)
{
    signal(SIGPIPE, SIG_IGN); /* as main does */
    memset(s, 0, sizeof(*s));
    snprintf(s->dir, sizeof(s->dir), "/tmp/parley-redis-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    snprintf(s->url, sizeof(s->url), "unix://%s/redis.sock", s->dir);
    server_start(s, extra);
}

void server_kill(struct server *s)
{
    redisFree(s->client);
    s->client = NULL;
    if (s->pid != 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

void server_close(struct server *s)
{
    server_kill(s);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", s->dir);
    ck_assert_int_eq(system(command), 0);
}

void server_freeze(struct server *s)
{
    kill(s->pid, SIGSTOP);
}

void server_thaw(struct server *s)
{
    kill(s->pid, SIGCONT);
}

redisReply *server_ask(struct server *s, const char *words)
{
    if (s->client == NULL) {
        s->client = redisConnectUnix(s->url + strlen("unix://"));
        ck_assert(s->client != NULL && s->client->err == 0);
    }
    char copy[4096];
    const char *argv[256];
    int argc = 0;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *at = copy; at != NULL && argc < 256;) {
        argv[argc++] = strsep(&at, " ");
    }
    redisReply *reply = redisCommandArgv(s->client, argc, argv, NULL);
    ck_assert_ptr_nonnull(reply);
    return reply;
}

void server_do(struct server *s, const char *words)
{
    redisReply *reply = server_ask(s, words);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", words, reply->str);
    freeReplyObject(reply);
}

long long server_int(struct server *s, const char *words)
{
    redisReply *reply = server_ask(s, words);
    ck_assert_msg(reply->type == REDIS_REPLY_INTEGER, "%s", words);
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}

static void add_text(char *out, size_t size, const redisReply *reply)
{
    size_t len = strlen(out);
    switch (reply->type) {
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            add_text(out, size, reply->element[i]);
        }
        break;
    case REDIS_REPLY_INTEGER:
        snprintf(out + len, size - len, "%lld ", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        snprintf(out + len, size - len, "(nil) ");
        break;
    default:
        snprintf(out + len, size - len, "%s ", reply->str);
        break;
    }
}

const char *server_text(struct server *s, const char *words)
{
    static char text[1 << 16];
    redisReply *reply = server_ask(s, words);
    text[0] = '\0';
    add_text(text, sizeof(text), reply);
    freeReplyObject(reply);
    return text;
}

static void PRINTF_LIKE(2, 3) note(struct station *st, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(st->heard + st->heard_len, sizeof(st->heard) - st->heard_len, fmt, args);
    va_end(args);
    ck_assert(n >= 0 && st->heard_len + (size_t)n < sizeof(st->heard));
    st->heard_len += (size_t)n;
}

static void on_log(void *room_ctx, const struct bus_position *position, uint64_t first,
                   const struct str *lines, size_t count)
{
    struct place *p = room_ctx;
    ck_assert_uint_eq(position->offset, first + count - 1);
    note(p->station, "log %s %llu+%zu", p->name, (unsigned long long)first, count);
    for (size_t i = 0; i < count; i++) {
        note(p->station, " %.*s", STR_ARG(lines[i]));
    }
    note(p->station, "\n");
}

static void on_digest(void *room_ctx, const struct bus_register *reg, const struct bus_name *names,
                      size_t count)
{
    struct place *p = room_ctx;
    note(p->station, "digest %s %.*s %llu:%llu", p->name, STR_ARG(reg->gateway),
         (unsigned long long)reg->version, (unsigned long long)reg->count);
    for (size_t i = 0; i < count; i++) {
        note(p->station, " %c%.*s", (char)names[i].mark, STR_ARG(names[i].user));
    }
    note(p->station, "\n");
}

static void on_reaped(void *room_ctx, bool former)
{
    struct place *p = room_ctx;
    note(p->station, "reaped %s %s\n", p->name, former ? "former" : "present");
}

static void on_signal(void *room_ctx, bool own, uint64_t connection, struct str line)
{
    struct place *p = room_ctx;
    note(p->station, "signal %s %s %llu %.*s\n", p->name, own ? "own" : "other",
         (unsigned long long)connection, STR_ARG(line));
}

static void on_lost(void *room_ctx)
{
    struct place *p = room_ctx;
    note(p->station, "lost %s\n", p->name);
}

static void write_state(char *out, size_t size, const struct bus_room_state *state)
{
    int n = snprintf(out, size, "%.16s %llu", state->position.epoch,
                     (unsigned long long)state->position.offset);
    for (size_t i = 0; i < state->register_count; i++) {
        const struct bus_register *r = &state->registers[i];
        n += snprintf(out + n, size - (size_t)n, " %.*s=%llu:%llu", STR_ARG(r->gateway),
                      (unsigned long long)r->version, (unsigned long long)r->count);
    }
}

static void on_synced(void *room_ctx, const struct bus_room_state *state)
{
    struct place *p = room_ctx;
    write_state(p->state, sizeof(p->state), state);
    note(p->station, "synced %s %s\n", p->name, p->state);
}

static void on_check(void *room_ctx, const struct bus_check *check)
{
    struct place *p = room_ctx;
    ck_assert(check->members_known);
    note(p->station, "check %s %llu of", p->name, (unsigned long long)check->members);
    for (size_t i = 0; i < check->register_count; i++) {
        const struct bus_register *r = &check->registers[i];
        note(p->station, " %.*s=%llu:%llu", STR_ARG(r->gateway), (unsigned long long)r->version,
             (unsigned long long)r->count);
    }
    note(p->station, "\n");
}

static void on_direct(void *user_ctx, struct str line)
{
    struct place *p = user_ctx;
    note(p->station, "direct %s %.*s\n", p->name, STR_ARG(line));
}

static void on_identity(void *ctx)
{
    struct station *st = ctx;
    note(st, "identity %.*s\n", STR_ARG(bus_gateway_id(st->bus)));
}

bool heard(const struct station *st, const char *text)
{
    return strstr(st->heard, text) != NULL;
}

size_t heard_times(const struct station *st, const char *text)
{
    size_t times = 0;
    for (const char *at = st->heard; (at = strstr(at, text)) != NULL; at++) {
        times++;
    }
    return times;
}

void forget(struct station *st)
{
    st->heard[0] = '\0';
    st->heard_len = 0;
}

static char *constant(const char *text)
{
    return (char *)(uintptr_t)text; /* config owns its texts; ours are never freed through it */
}

void station_open(struct station *st, struct loop *loop, const char *url, const char *name)
{
    memset(st, 0, sizeof(*st));
    log_set_level(LOG_LEVEL_ERROR);
    st->loop = loop;
    st->config.server.gateway_name = constant(name);
    st->config.room.history_size = 100;
    st->config.room.history_ttl_ms = 3600000;
    st->config.room.dedupe_ttl_ms = 300000;
    st->config.client.max_message_bytes = 16384;
    st->config.client.max_json_depth = 16;
    st->config.client.max_json_nodes = 256;
    st->config.redis.url = constant(url == NULL ? "" : url);
    st->config.redis.prefix = constant("parley");
    st->config.redis.connect_timeout_ms = 2000;
    st->config.redis.command_timeout_ms = 1000;
    st->config.redis.reconnect_min_ms = 20;
    st->config.redis.reconnect_max_ms = 200;
    st->config.redis.tick_ms = 500;
    st->config.redis.lease_ms = 5000;
    st->config.redis.publish_buffer = st->config.redis.request_buffer = 1 << 20;
    if (url == NULL) {
        st->bus = bus_memory_new(loop, &st->config, &st->stats);
    } else {
        char err[128] = "";
        st->bus = bus_redis_new(loop, &st->config, &st->stats, err, sizeof(err));
        ck_assert_msg(st->bus != NULL, "%s", err);
    }
    struct bus_events events = {on_log,    on_digest, on_reaped, on_signal,   on_lost,
                                on_synced, on_check,  on_direct, on_identity, st};
    bus_start(st->bus, &events);
}

void station_free(struct station *st)
{
    bus_free(st->bus);
    st->bus = NULL;
}

static void on_done(struct bus_call *call, const struct bus_result *result)
{
    struct waiter *w = container_of(call, struct waiter, call);
    size_t len = 0;
    w->times++;
    w->err = result->err;
    w->position = result->position;
    w->first = result->first;
    w->count = result->line_count + result->member_count;
    w->other_epoch = result->other_epoch;
    for (size_t i = 0; i < result->line_count; i++) {
        len += (size_t)snprintf(w->text + len, sizeof(w->text) - len, "%.*s ",
                                STR_ARG(result->lines[i]));
    }
    for (size_t i = 0; i < result->member_count; i++) {
        len += (size_t)snprintf(w->text + len, sizeof(w->text) - len, "%.*s=%llu ",
                                STR_ARG(result->members[i].user),
                                (unsigned long long)result->members[i].connections);
    }
    if (result->state != NULL) {
        write_state(w->text, sizeof(w->text), result->state);
    }
    snprintf(w->cursor, sizeof(w->cursor), "%.*s", STR_ARG(result->cursor));
}

struct bus_call *waiting(struct waiter *w)
{
    memset(w, 0, sizeof(*w));
    w->call.done = on_done;
    return &w->call;
}

static void place_init(struct place *p, struct station *st, const char *name)
{
    memset(p, 0, sizeof(*p));
    p->station = st;
    snprintf(p->name, sizeof(p->name), "%s", name);
}

void place_open(struct place *p, struct station *st, const char *name)
{
    static struct waiter w;
    place_init(p, st, name);
    p->room = bus_open_room(st->bus, str_from(p->name), p, waiting(&w));
    UNTIL(st->loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    snprintf(p->state, sizeof(p->state), "%.2000s", w.text);
}

void place_open_user(struct place *p, struct station *st, const char *name)
{
    static struct waiter w;
    place_init(p, st, name);
    p->user = bus_open_user(st->bus, str_from(p->name), p, waiting(&w));
    UNTIL(st->loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}

enum bus_err say(struct place *p, const char *user, const char *key, const char *text,
                 struct bus_position *position)
{
    static struct waiter w;
    char data[4096];
    snprintf(data, sizeof(data), "{\"text\":\"%s\"}", text);
    bus_publish(p->station->bus, p->room, str_from(user), str_from(key), str_from(data),
                waiting(&w));
    UNTIL(p->station->loop, w.times == 1);
    if (position != NULL) {
        *position = w.position;
    }
    return w.err;
}

enum bus_err be_present(struct place *p, uint64_t version, uint64_t connection, const char *user)
{
    static struct waiter w;
    struct bus_presence_member member = {connection, str_from(user)};
    struct bus_name name = {user[0] == '\0' ? BUS_LEFT : BUS_JOINED,
                            user[0] == '\0' ? STR("somebody") : str_from(user)};
    struct bus_presence change = {.version = version,
                                  .count = user[0] == '\0' ? 0 : 1,
                                  .members = &member,
                                  .member_count = 1,
                                  .names = &name,
                                  .name_count = 1};
    bus_presence(p->station->bus, p->room, &change, waiting(&w));
    UNTIL(p->station->loop, w.times == 1);
    return w.err;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

void turn(struct loop *loop)
{
    struct loop_timer *t = loop_timer_new(loop, stop, loop);
    loop_timer_start(t, 1);
    loop_run(loop);
    loop_timer_free(t);
}

uint64_t patience_ms(void)
{
    return 10000;
}

void let_run(struct loop *loop, uint64_t for_ms)
{
    uint64_t until_ms = clock_now_ms() + for_ms;
    while (clock_now_ms() < until_ms) {
        turn(loop);
    }
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    int passed = srunner_ntests_run(runner) - failed;
    srunner_free(runner);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
