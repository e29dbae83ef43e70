/* SPDX-License-Identifier: MIT */
#include "gateway/bus/impl.h"

#include "common/buf.h"
#include "common/random.h"

#include <assert.h>
#include <stdio.h>

static void settle(void *ctx)
{
    struct bus *b = ctx;
    struct list now;
    list_init(&now);
    list_splice(&now, &b->settled);
    struct list *it;
    while ((it = list_pop(&now)) != NULL) {
        struct bus_call *call = container_of(it, struct bus_call, link);
        bus_done_err(call, (enum bus_err)call->kind);
    }
    if (b->closed && b->on_closed != NULL) {
        void (*on_closed)(void *ctx) = b->on_closed;
        b->on_closed = NULL;
        on_closed(b->closed_ctx); /* the bus may be gone after this */
    }
}

void bus_base_init(struct bus *b, const struct bus_ops *ops, struct loop *loop,
                   const struct config *config, struct stats *stats)
{
    b->ops = ops;
    b->loop = loop;
    b->config = config;
    b->stats = stats;
    list_init(&b->settled);
    b->settle = loop_task_new(loop, settle, b);
}

void bus_base_fini(struct bus *b)
{
    b->on_closed = NULL;
    while (!list_empty(&b->settled)) {
        settle(b);
    }
    loop_task_free(b->settle);
}

void bus_settle(struct bus *b, struct bus_call *call, enum bus_err err)
{
    if (call != NULL) {
        call->kind = (uint8_t)err;
        list_push(&b->settled, &call->link);
        loop_task_soon(b->settle);
    }
}

void bus_done(struct bus_call *call, const struct bus_result *result)
{
    if (call != NULL) {
        call->done(call, result);
    }
}

void bus_done_err(struct bus_call *call, enum bus_err err)
{
    bus_done(call, &(struct bus_result){.err = err});
}

void bus_closed(struct bus *b)
{
    b->closed = true;
    loop_task_soon(b->settle);
}

void bus_add_chat(struct buf *out, uint64_t offset, struct str data)
{
    BUF_LIT(out, "{\"type\":\"chat\",\"offset\":");
    buf_add_u64(out, offset);
    BUF_LIT(out, ",\"data\":");
    buf_add(out, data);
    buf_add_char(out, '}');
}

struct str bus_put(char **at, struct str s)
{
    struct str copy = {*at, s.len};
    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
    }
    *at += s.len;
    return copy;
}

void bus_id_make(char id[BUS_ID_MAX], const char *gateway_name)
{
    char digits[8];
    random_hex(digits, sizeof(digits));
    snprintf(id, BUS_ID_MAX, "%.64s-%.8s", gateway_name, digits);
}

void bus_start(struct bus *b, const struct bus_events *events)
{
    b->events = *events;
    b->ops->start(b);
}

void bus_reload(struct bus *b)
{
    b->ops->reload(b);
}

void bus_close(struct bus *b, uint64_t deadline_ms, void (*on_closed)(void *ctx), void *ctx)
{
    assert(b->on_closed == NULL && !b->closed);
    b->on_closed = on_closed;
    b->closed_ctx = ctx;
    b->ops->close(b, deadline_ms);
}

void bus_free(struct bus *b)
{
    if (b != NULL) {
        b->ops->free(b);
    }
}

struct str bus_gateway_id(const struct bus *b)
{
    return str_from(b->id);
}

void bus_health(const struct bus *b, struct bus_health *out)
{
    b->ops->health(b, out);
}

struct bus_room *bus_open_room(struct bus *b, struct str name, void *room_ctx,
                               struct bus_call *call)
{
    return b->ops->open_room(b, name, room_ctx, call);
}

void bus_close_room(struct bus *b, struct bus_room *room)
{
    b->ops->close_room(b, room);
}

void bus_sync_room(struct bus *b, struct bus_room *room)
{
    b->ops->sync_room(b, room);
}

struct bus_user *bus_open_user(struct bus *b, struct str name, void *user_ctx,
                               struct bus_call *call)
{
    return b->ops->open_user(b, name, user_ctx, call);
}

void bus_close_user(struct bus *b, struct bus_user *user)
{
    b->ops->close_user(b, user);
}

void bus_publish(struct bus *b, struct bus_room *room, struct str user, struct str key,
                 struct str data, struct bus_call *call)
{
    /* A line break would end the message's line in the payload and begin another of data's
     * choosing. */
    assert(memchr(data.ptr, '\n', data.len) == NULL);
    b->ops->publish(b, room, &(struct bus_message){user, key, data}, call);
}

void bus_signal(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                struct bus_call *call)
{
    assert(memchr(line.ptr, '\n', line.len) == NULL);
    b->ops->signal(b, room, connection, line, call);
}

void bus_direct(struct bus *b, struct str to, struct str from, struct str key, struct str line,
                struct bus_call *call)
{
    assert(memchr(line.ptr, '\n', line.len) == NULL);
    b->ops->direct(b, &(struct bus_note){to, from, key, line}, call);
}

void bus_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                  struct bus_call *call)
{
    b->ops->presence(b, room, change, call);
}

void bus_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                 struct bus_call *call)
{
    limit = limit == 0 ? 1 : limit > BUS_PAGE_MAX ? BUS_PAGE_MAX : limit;
    b->ops->members(b, room, cursor, limit, call);
}

void bus_read(struct bus *b, struct bus_room *room, struct str epoch, uint64_t from, uint64_t to,
              struct bus_call *call)
{
    b->ops->read(b, room, &(struct bus_range){epoch, from, to}, call);
}
