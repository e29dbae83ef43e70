/* SPDX-License-Identifier: MIT */
#include "gateway/chat/room.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/map.h"
#include "gateway/chat/context.h"
#include "gateway/chat/follow.h"
#include "gateway/chat/message.h"
#include "gateway/config.h"
#include "gateway/edge/ws.h"
#include "gateway/stats.h"
#include "gateway/wheel.h"

#include <assert.h>
#include <stdlib.h>

/* After new identities were taken, the others' registers are read again when they had time to
 * assert. */
#define RESYNC_MS 1500

struct rooms {
    struct chat_context *ctx; /* borrowed */
    struct room_handlers handlers;
    struct map by_name;
    struct wheel_timer resync;
};

struct room {
    struct rooms *rooms;
    struct room_policy policy; /* a copy: the config may change */
    struct list waiters;
    struct outlog log;
    struct follow follow;
    struct presence presence;
    bool guard;                    /* its waiters are being visited: not to be freed */
    uint64_t reset_at;             /* the log's place of the last `gap` `reset` */
    char epoch_was[BUS_EPOCH_LEN]; /* before that */
    size_t name_len;
    char name[];
};

static struct str name_of(const void *item)
{
    return room_name(item);
}

static struct room_member *member_of(struct outlog_reader *reader)
{
    return container_of(reader, struct room_member, reader);
}

static void room_free(struct room *room)
{
    ws_forget(&room->log);
    follow_fini(&room->follow);
    presence_fini(&room->presence);
    outlog_fini(&room->log);
    free(room);
}

static void maybe_close(struct room *room)
{
    if (room->guard || room->presence.count > 0 || !list_empty(&room->waiters) ||
        !presence_settled(&room->presence) || follow_busy(&room->follow)) {
        return;
    }
    map_remove(&room->rooms->by_name, room_name(room));
    bus_close_room(room->rooms->ctx->bus, room->follow.bus);
    room_free(room);
}

static void relay(struct room *room, struct str text, uint64_t tag)
{
    if (room->log.reader_count > 0) {
        ws_relay(room->rooms->ctx->ws, &room->log, text, tag, NULL);
    } else if (tag != OUTLOG_NO_TAG) {
        outlog_set_tag(&room->log, tag);
    }
}

static void on_message(void *owner, struct str line, uint64_t offset)
{
    relay(owner, line, offset);
}

static void on_gap(void *owner, const struct follow_gap *gap)
{
    struct room *room = owner;
    struct chat_context *ctx = room->rooms->ctx;
    struct message_gap m = {.room = room_name(room),
                            .epoch = bus_epoch(gap->position),
                            .from = gap->from,
                            .to = gap->to,
                            .why = gap->reset ? GAP_RESET : GAP_HISTORY};
    if (gap->reset) {
        LOG(INFO, EPOCH, F_STR("room", room_name(room)), F_STR("epoch", m.epoch),
            F_NUM("offset", gap->to));
        /* Who is not there yet will not have it cut from its log. */
        room->reset_at = room->log.reader_count > 0 ? room->log.end + 1 : room->reset_at;
        memcpy(room->epoch_was, gap->epoch_was, BUS_EPOCH_LEN);
    }
    message_gap(&ctx->text, &m);
    relay(room, buf_str(&ctx->text), gap->position->offset);
}

static void on_follow_state(void *owner, const struct bus_room_state *state, bool link_was_lost)
{
    struct room *room = owner;
    presence_on_state(&room->presence, state, link_was_lost);
}

/* May free the room, when nobody became a member. */
static void visit_waiters(struct room *room, void (*visit)(struct room_waiter *w))
{
    room->guard = true;
    list_each_safe (it, &room->waiters) {
        visit(container_of(it, struct room_waiter, in_room));
    }
    room->guard = false;
    maybe_close(room);
}

static void on_follow_live(void *owner)
{
    struct room *room = owner;
    if (!outlog_has_news(&room->log)) {
        outlog_set_tag(&room->log, room->follow.last.offset);
    }
    visit_waiters(room, room->rooms->handlers.on_live);
}

static void on_follow_failed(void *owner)
{
    struct room *room = owner;
    visit_waiters(room, room->rooms->handlers.on_failed);
}

static void on_follow_idle(void *owner)
{
    maybe_close(owner);
}

static const struct follow_handlers follow_handlers = {.on_message = on_message,
                                                       .on_gap = on_gap,
                                                       .on_state = on_follow_state,
                                                       .on_live = on_follow_live,
                                                       .on_failed = on_follow_failed,
                                                       .on_idle = on_follow_idle};

static void relay_digest(void *owner, struct str text)
{
    relay(owner, text, OUTLOG_NO_TAG);
}

static void on_presence_settled(void *owner)
{
    maybe_close(owner);
}

static const struct presence_handlers presence_handlers = {.relay = relay_digest,
                                                           .on_settled = on_presence_settled};

static struct room *room_new(struct rooms *rooms, struct str name)
{
    struct room *room = xcalloc(1, sizeof(*room) + name.len);
    room->rooms = rooms;
    room->name_len = name.len;
    memcpy(room->name, name.ptr, name.len);
    room->policy = *config_policy(rooms->ctx->config, room_name(room));
    list_init(&room->waiters);
    outlog_init(&room->log, &rooms->ctx->stats->send_queue_bytes);
    presence_init(&room->presence, rooms->ctx, &presence_handlers, room, room_name(room));
    room->presence.policy = &room->policy;
    follow_init(&room->follow, rooms->ctx, &follow_handlers, room, room_name(room));
    map_put(&rooms->by_name, room);
    follow_open(&room->follow);
    room->presence.bus = room->follow.bus;
    return room;
}

static void on_bus_log(void *room_ctx, const struct bus_position *position, uint64_t first,
                       const struct str *lines, size_t count)
{
    struct room *room = room_ctx;
    follow_on_log(&room->follow, position, first, lines, count);
}

static void on_bus_digest(void *room_ctx, const struct bus_register *reg,
                          const struct bus_name *names, size_t count)
{
    struct room *room = room_ctx;
    presence_on_digest(&room->presence, reg, names, count);
}

static void on_bus_reaped(void *room_ctx, bool former)
{
    struct room *room = room_ctx;
    presence_on_reaped(&room->presence, former);
}

static void on_bus_signal(void *room_ctx, bool own, uint64_t connection, struct str line)
{
    struct room *room = room_ctx;
    const struct room_handlers *h = &room->rooms->handlers;
    struct room_member *sender = own ? h->find_member(h->ctx, connection, room) : NULL;
    if (room->log.reader_count > 0) {
        ws_relay(room->rooms->ctx->ws, &room->log, line, OUTLOG_NO_TAG,
                 sender != NULL ? &sender->reader : NULL);
    }
}

static void on_bus_lost(void *room_ctx)
{
    struct room *room = room_ctx;
    presence_on_lost(&room->presence);
    follow_on_lost(&room->follow);
}

static void on_bus_synced(void *room_ctx, const struct bus_room_state *state)
{
    struct room *room = room_ctx;
    follow_on_synced(&room->follow, state);
}

static void on_bus_check(void *room_ctx, const struct bus_check *check)
{
    struct room *room = room_ctx;
    presence_on_check(&room->presence, check);
}

void rooms_events(struct bus_events *events)
{
    events->on_log = on_bus_log;
    events->on_digest = on_bus_digest;
    events->on_reaped = on_bus_reaped;
    events->on_signal = on_bus_signal;
    events->on_lost = on_bus_lost;
    events->on_synced = on_bus_synced;
    events->on_check = on_bus_check;
}

static void on_resync(struct wheel_timer *t)
{
    struct rooms *rooms = container_of(t, struct rooms, resync);
    size_t at = 0;
    for (struct room *room = map_next(&rooms->by_name, &at); room != NULL;
         room = map_next(&rooms->by_name, &at)) {
        presence_on_lost(&room->presence);
        bus_sync_room(rooms->ctx->bus, room->follow.bus);
    }
}

void rooms_on_identity(struct rooms *rooms)
{
    size_t at = 0;
    for (struct room *room = map_next(&rooms->by_name, &at); room != NULL;
         room = map_next(&rooms->by_name, &at)) {
        presence_assert(&room->presence);
    }
    wheel_start(rooms->ctx->wheel, &rooms->resync, RESYNC_MS);
}

void rooms_reload(struct rooms *rooms)
{
    size_t at = 0;
    for (struct room *room = map_next(&rooms->by_name, &at); room != NULL;
         room = map_next(&rooms->by_name, &at)) {
        enum config_presence was = room->policy.presence;
        room->policy = *config_policy(rooms->ctx->config, room_name(room));
        presence_on_policy(&room->presence, was);
    }
}

struct rooms *rooms_new(struct chat_context *ctx, const struct room_handlers *handlers)
{
    struct rooms *rooms = xcalloc(1, sizeof(*rooms));
    rooms->ctx = ctx;
    rooms->handlers = *handlers;
    map_init(&rooms->by_name, name_of);
    wheel_timer_init(&rooms->resync, on_resync);
    return rooms;
}

void rooms_free(struct rooms *rooms)
{
    if (rooms == NULL) {
        return;
    }
    size_t at = 0;
    for (struct room *room = map_next(&rooms->by_name, &at); room != NULL;
         room = map_next(&rooms->by_name, &at)) {
        room_free(room); /* empty; only its presence could not be taken back in time */
    }
    wheel_stop(&rooms->resync);
    map_fini(&rooms->by_name);
    free(rooms);
}

struct room *room_wait(struct rooms *rooms, struct str name, struct room_waiter *w)
{
    struct room *room = map_get(&rooms->by_name, name);
    if (room == NULL) {
        room = room_new(rooms, name);
    }
    w->room = room;
    list_push(&room->waiters, &w->in_room);
    return room;
}

void room_wait_end(struct room_waiter *w)
{
    struct room *room = w->room;
    if (room == NULL) {
        return;
    }
    list_remove(&w->in_room);
    w->room = NULL;
    maybe_close(room);
}

void room_join(struct room *room, struct room_member *m, struct ws_conn *conn, struct str user)
{
    struct stats *stats = room->rooms->ctx->stats;
    assert(m->room == NULL && room_live(room));
    m->room = room;
    m->presence = (struct presence_member){.connection = ws_conn_id(conn), .user = user};
    list_init(&m->presence.in_presence);
    list_init(&m->presence.in_arrivals);
    ws_follow(conn, &room->log, &m->reader);
    stats->rooms += room->presence.count == 0 ? 1 : 0;
    stats->memberships++;
    presence_join(&room->presence, &m->presence);
}

void room_leave(struct room_member *m, enum bus_mark mark)
{
    struct room *room = m->room;
    struct stats *stats = room->rooms->ctx->stats;
    ws_unfollow(&m->reader);
    presence_leave(&room->presence, &m->presence, mark);
    m->room = NULL;
    stats->rooms -= room->presence.count == 0 ? 1 : 0;
    stats->memberships--;
    maybe_close(room);
}

bool room_live(const struct room *room)
{
    return follow_live(&room->follow);
}

struct str room_name(const struct room *room)
{
    return (struct str){room->name, room->name_len};
}

uint64_t room_online(const struct room *room)
{
    return presence_online(&room->presence);
}

struct bus_room *room_bus(const struct room *room)
{
    return room->follow.bus;
}

bool room_reaches(struct room *room, const struct bus_position *place, uint64_t *asked)
{
    const struct follow *f = &room->follow;
    if (!str_equal(bus_epoch(place), bus_epoch(&f->last)) || place->offset <= f->last.offset) {
        return true;
    }
    if (*asked == 0) {
        *asked = f->states + 1;
        bus_sync_room(room->rooms->ctx->bus, f->bus);
    }
    return f->states >= *asked;
}

struct bus_position room_position(const struct room_member *m)
{
    const struct room *room = m->room;
    struct bus_position position = room->follow.last;
    position.offset = outlog_reader_tag(&m->reader);
    if (room->log.end - outlog_backlog(&m->reader) < room->reset_at) {
        memcpy(position.epoch, room->epoch_was, BUS_EPOCH_LEN);
    }
    return position;
}

void room_doubt_epoch(struct room *room)
{
    bus_sync_room(room->rooms->ctx->bus, room->follow.bus);
}

const struct room_policy *room_policy(const struct room *room)
{
    return &room->policy;
}

void room_flush_presence(struct room *room)
{
    presence_flush(&room->presence);
}

bool rooms_settled(const struct rooms *rooms)
{
    return rooms->by_name.count == 0;
}

void room_on_cut(struct outlog_reader *reader, const struct outlog_cut *cut)
{
    struct room_member *m = member_of(reader);
    struct room *room = m->room;
    struct chat_context *ctx = room->rooms->ctx;
    bool reset = cut->at < room->reset_at;
    if (!reset && cut->first > cut->last) {
        return; /* only signals and digests were left out */
    }
    struct message_gap gap = {.room = room_name(room),
                              .epoch = bus_epoch(&room->follow.last),
                              .from = reset ? 0 : cut->first,
                              .to = cut->last,
                              .why = reset ? GAP_RESET : GAP_SLOW};
    message_gap(&ctx->text, &gap);
    ws_send(reader->conn, buf_str(&ctx->text));
}
