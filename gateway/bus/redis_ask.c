/* SPDX-License-Identifier: MIT */
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "gateway/bus/parley_lua.h"
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* hiredis's output buffer has no bound of its own. */
#define UNDER_WAY_MAX 4096

/* How exactly deadlines of what waits are kept. */
#define EXPIRY_STEP_MS 50

static void ask_free(struct ask *a)
{
    if (a->kind->metered) {
        a->redis->request_bytes -= a->size;
    }
    if (a->kind->clear != NULL) {
        a->kind->clear(a);
    }
    free(a);
}

static void finish(struct ask *a, enum bus_err err, const redisReply *reply)
{
    a->kind->answer(a, err, reply);
    ask_free(a);
}

void ask_watch_deadlines(struct redis *s)
{
    if (!s->expiring) {
        s->expiring = true;
        loop_timer_start(s->expiry, EXPIRY_STEP_MS);
    }
}

/* What waits is kept in the order of asking: a repeat goes before what was asked later. */
static void wait_in_order(struct ask *a)
{
    struct redis *s = a->redis;
    struct list *before = s->waiting.next;
    while (before != &s->waiting && container_of(before, struct ask, in_waiting)->seq < a->seq) {
        before = before->next;
    }
    list_push(before, &a->in_waiting);
    ask_watch_deadlines(s);
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void on_loaded(struct link_request *r, const redisReply *reply)
{
    struct ask *load = container_of(r, struct ask, request);
    struct redis *s = load->redis;
    free(load);
    s->loading = false;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        strstr(reply->str, "already exists") == NULL) {
        (void)error_note(s, COMMAND_LOAD, reply->str);
    }
    ask_pump(s);
}

/* A library of our number that is there already is as good: nobody replaces it. */
static void load_functions(struct redis *s)
{
    struct ask *load = xcalloc(1, sizeof(*load));
    load->redis = s;
    load->request.done = on_loaded;
    s->loading = true;
    args_clear(&s->args);
    ARGS_LIT(&s->args, "FUNCTION");
    ARGS_LIT(&s->args, "LOAD");
    args_add(&s->args, (struct str){parley_lua, parley_lua_len});
    link_send(s->commands, &s->args, &load->request);
}

static void on_error(struct ask *a, const redisReply *reply)
{
    struct redis *s = a->redis;
    if (begins(reply->str, "ERR Function not found") && !a->loaded) {
        a->loaded = true;
        a->deadline_ms = redis_now_ms(s) + s->base.config->redis.command_timeout_ms;
        wait_in_order(a);
        if (!s->loading && link_is_up(s->commands)) {
            load_functions(s);
        }
        return;
    }
    enum bus_err err = error_note(s, a->kind->command, reply->str);
    if (!error_drops_link(reply->str)) {
        finish(a, err, NULL);
        return;
    }
    /* What serves both links has another part to play, or is not ours any more: look again. */
    link_drop(s->commands, LOSS_ERROR, reply->str);
    link_drop(s->subscriber, LOSS_ERROR, reply->str);
    if (!a->kind->proof && redis_now_ms(s) < a->deadline_ms) {
        wait_in_order(a);
    } else {
        finish(a, err, NULL);
    }
}

static void on_reply(struct link_request *r, const redisReply *reply)
{
    struct ask *a = container_of(r, struct ask, request);
    struct redis *s = a->redis;
    s->under_way--;
    if (reply == NULL) {
        if (a->kind->repeatable && redis_now_ms(s) < a->deadline_ms) {
            wait_in_order(a);
        } else {
            finish(a, a->kind->repeatable ? BUS_UNAVAILABLE : BUS_UNKNOWN, NULL);
        }
        return;
    }
    if (clock_now_us() - r->sent_us > LEASE_LATE_MS * 1000) {
        lease_late(s);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        on_error(a, reply);
    } else {
        error_passed(s, a->kind->command);
        finish(a, BUS_OK, reply);
    }
    if (!list_empty(&s->waiting)) {
        ask_pump(s);
    }
}

static bool may_send(struct redis *s, const struct ask *a)
{
    if (a->kind->proof) {
        return link_is_up(s->commands);
    }
    return link_is_up(s->commands) && !s->loading && s->under_way < UNDER_WAY_MAX && lease_clear(s);
}

static void send_now(struct ask *a)
{
    struct redis *s = a->redis;
    args_clear(&s->args);
    if (!a->kind->write(a, &s->args)) {
        ask_free(a);
        return;
    }
    s->under_way++;
    link_send(s->commands, &s->args, &a->request);
}

void ask_pump(struct redis *s)
{
    while (!list_empty(&s->waiting)) {
        struct ask *a = container_of(s->waiting.next, struct ask, in_waiting);
        if (!may_send(s, a)) {
            return;
        }
        list_remove(&a->in_waiting);
        send_now(a);
    }
}

void *ask_new(struct redis *s, const struct ask_kind *kind, size_t size)
{
    struct ask *a = xcalloc(1, size);
    a->kind = kind;
    a->redis = s;
    a->size = size;
    s->request_bytes += kind->metered ? size : 0;
    a->request.done = on_reply;
    list_init(&a->in_waiting);
    return a;
}

bool ask_fits(struct redis *s, size_t size, struct bus_call *call)
{
    bool fits = s->request_bytes + size <= s->base.config->redis.request_buffer;
    if (!fits) {
        bus_settle(&s->base, call, BUS_UNAVAILABLE);
    }
    return fits;
}

void ask_send(struct ask *a)
{
    struct redis *s = a->redis;
    a->seq = ++s->seq;
    a->deadline_ms = redis_now_ms(s) + s->base.config->redis.command_timeout_ms;
    if ((a->kind->proof || list_empty(&s->waiting)) && may_send(s, a)) {
        send_now(a);
        return;
    }
    list_push(&s->waiting, &a->in_waiting);
    ask_watch_deadlines(s);
}

static void expire(void *ctx)
{
    struct redis *s = ctx;
    uint64_t now_ms = redis_now_ms(s);
    s->expiring = false;
    struct list late;
    list_init(&late);
    list_each_safe (it, &s->waiting) {
        if (container_of(it, struct ask, in_waiting)->deadline_ms <= now_ms) {
            list_remove(it);
            list_push(&late, it);
        }
    }
    struct list *it;
    while ((it = list_pop(&late)) != NULL) {
        finish(container_of(it, struct ask, in_waiting), BUS_UNAVAILABLE, NULL);
    }
    publish_expire(s, now_ms);
    channel_expire(s, now_ms);
    if (!list_empty(&s->waiting) || !list_empty(&s->messages) || !list_empty(&s->opening) ||
        s->unconfirmed > 0) {
        ask_watch_deadlines(s);
    }
}

void ask_fail_waiting(struct redis *s)
{
    struct list *it;
    while ((it = list_pop(&s->waiting)) != NULL) {
        finish(container_of(it, struct ask, in_waiting), BUS_UNAVAILABLE, NULL);
    }
}

void ask_init_all(struct redis *s)
{
    list_init(&s->waiting);
    s->expiry = loop_timer_new(s->base.loop, expire, s);
}

void ask_fini_all(struct redis *s)
{
    loop_timer_free(s->expiry);
}

void ask_add_fence(struct redis *s, struct args *out)
{
    char epoch[BUS_EPOCH_LEN];
    random_hex(epoch, sizeof(epoch));
    args_add(out, link_fence(s->commands));
    args_add(out, (struct str){epoch, sizeof(epoch)});
}

void ask_add_ttls(const struct room_policy *policy, struct args *out)
{
    args_num(out, policy->history_ttl_ms);
    args_num(out, policy->dedupe_ttl_ms);
}

struct str reply_text(const redisReply *r)
{
    bool text = r != NULL && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);
    return text ? (struct str){r->str, r->len} : (struct str){NULL, 0};
}

size_t reply_count(const redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

struct str reply_text_at(const redisReply *r, size_t i)
{
    return i < reply_count(r) ? reply_text(r->element[i]) : (struct str){NULL, 0};
}

bool reply_u64(const redisReply *r, uint64_t *out)
{
    if (r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer >= 0) {
        *out = (uint64_t)r->integer;
        return true;
    }
    struct str text = reply_text(r);
    return text.ptr != NULL && payload_u64(text, out);
}

bool reply_u64_at(const redisReply *r, size_t i, uint64_t *out)
{
    return i < reply_count(r) && reply_u64(r->element[i], out);
}

static void add_name(const struct redis *s, struct buf *out, const char *what, struct str name)
{
    buf_add(out, str_from(s->base.config->redis.prefix));
    buf_add(out, str_from(what));
    buf_add(out, name);
}

void key_room(const struct redis *s, struct buf *out, struct str room)
{
    add_name(s, out, ":room:{", room);
    buf_add_char(out, '}');
}

void key_user(const struct redis *s, struct buf *out, struct str user)
{
    add_name(s, out, ":user:{", user);
    buf_add_char(out, '}');
}

void key_gateway(const struct redis *s, struct buf *out, struct str id)
{
    add_name(s, out, ":gateway:", id);
}

void arg_key(const struct redis *s, struct args *out, const char *name)
{
    add_name(s, &out->text, ":", str_from(name));
    args_end(out);
}

void arg_gateway(const struct redis *s, struct args *out, struct str id, const char *suffix)
{
    key_gateway(s, &out->text, id);
    buf_add(&out->text, str_from(suffix));
    args_end(out);
}

void arg_sub(struct args *out, struct str base, const char *suffix, struct str tail)
{
    buf_add(&out->text, base);
    buf_add(&out->text, str_from(suffix));
    buf_add(&out->text, tail);
    args_end(out);
}

void arg_dedupe(struct args *out, struct str base, struct str user, struct str key)
{
    buf_add(&out->text, base);
    BUF_LIT(&out->text, ":key:");
    buf_add_u64(&out->text, user.len);
    buf_add_char(&out->text, ':');
    buf_add(&out->text, user);
    buf_add_char(&out->text, ':');
    buf_add(&out->text, key);
    args_end(out);
}
