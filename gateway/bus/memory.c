/* SPDX-License-Identifier: MIT */
/* The memory bus: one gateway, nothing else needed. A request is a job in a queue, each room's own,
 * and the queues are worked off at the end of the loop's turn; so completions come later, as from
 * Redis, and the publishes of one turn come down as one batch. */
#include "gateway/bus/bus.h"

#include "common/alloc.h"
#include "gateway/bus/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* How often what has expired is looked for. */
#define SWEEP_MS 60000

/* A room nobody follows is forgotten, with its epoch, this long after its last message can have
 * expired; the same margin as the room's `meta` has in Redis. */
#define FORGET_MARGIN_MS 3600000

struct bus_user {
    void *ctx;
    bool alive;
    size_t name_len;
    char name[];
};

/* Requests that belong to no open room. */
enum errand_kind { ERRAND_USER, ERRAND_DIRECT, ERRAND_MEMBERS };
struct errand {
    struct list link;
    enum errand_kind kind;
    struct bus_call *call; /* borrowed until done */
    unsigned limit;
    struct bus_note note; /* to is also the user opened and the room asked for; in text */
    char text[];
};

static struct memory *self(struct bus *b)
{
    return container_of(b, struct memory, base);
}

static struct str user_name(const void *item)
{
    const struct bus_user *u = item;
    return (struct str){u->name, u->name_len};
}

static struct errand *add_errand(struct memory *m, enum errand_kind kind,
                                 const struct bus_note *note, struct bus_call *call)
{
    struct errand *e =
        xcalloc(1, sizeof(*e) + note->to.len + note->from.len + note->key.len + note->line.len);
    char *at = e->text;
    e->kind = kind;
    e->call = call;
    e->note.to = bus_put(&at, note->to);
    e->note.from = bus_put(&at, note->from);
    e->note.key = bus_put(&at, note->key);
    e->note.line = bus_put(&at, note->line);
    list_push(&m->errands, &e->link);
    loop_task_soon(m->work);
    return e;
}

static void pass_direct(struct memory *m, const struct errand *e)
{
    uint64_t now_ms = loop_now_ms(m->base.loop);
    struct dedupe_name name = {e->note.to, e->note.from, e->note.key};
    struct bus_user *u = map_get(&m->users, e->note.to);
    if (dedupe_find(&m->directs, &name, now_ms) != NULL) {
        bus_done_err(e->call, BUS_OK);
    } else if (u == NULL) {
        bus_done_err(e->call, BUS_NOT_ONLINE);
    } else {
        dedupe_add(&m->directs, &name, &(struct bus_position){{0}, 0}, now_ms);
        if (u->alive) {
            m->base.events.on_direct(u->ctx, e->note.line);
        }
        bus_done_err(e->call, BUS_OK);
    }
}

/* The cursor is the last connection told, in hex. It comes back from a client: it may be nonsense.
 */
static bool cursor_read(struct str cursor, uint64_t *after)
{
    *after = 0;
    for (size_t i = 0; i < cursor.len; i++) {
        const char *hex = "0123456789abcdef";
        const char *digit = memchr(hex, cursor.ptr[i], 16);
        if (digit == NULL || i == 16) {
            return false;
        }
        *after = *after << 4 | (uint64_t)(digit - hex);
    }
    return true;
}

static void list_members(struct memory *m, const struct errand *e)
{
    struct page page;
    struct bus_result result = {.err = BUS_OK};
    char cursor[17];
    uint64_t after;
    const struct bus_room *r = map_get(&m->rooms, e->note.to);
    if (!cursor_read(e->note.key, &after)) {
        bus_done_err(e->call, BUS_BAD_CURSOR);
        return;
    }
    page_init(&page);
    if (r != NULL && topic_page(&r->topic, &after, e->limit, &page)) {
        snprintf(cursor, sizeof(cursor), "%llx", (unsigned long long)after);
        result.cursor = str_from(cursor);
    }
    result.members = page_members(&page, &result.member_count);
    bus_done(e->call, &result);
    page_fini(&page);
}

static void run_errand(struct memory *m, const struct errand *e)
{
    struct bus_user *u;
    switch (e->kind) {
    case ERRAND_USER:
        u = map_get(&m->users, e->note.to);
        if (u != NULL) {
            u->alive = true;
        }
        bus_done_err(e->call, u != NULL ? BUS_OK : BUS_UNAVAILABLE);
        break;
    case ERRAND_DIRECT:
        pass_direct(m, e);
        break;
    case ERRAND_MEMBERS:
        list_members(m, e);
        break;
    }
}

/* Runs what is queued now; what that leads to comes in the next turn. */
static void work(void *ctx)
{
    struct memory *m = ctx;
    struct list dirty;
    struct list errands;
    list_init(&dirty);
    list_init(&errands);
    list_splice(&dirty, &m->dirty);
    list_splice(&errands, &m->errands);
    struct list *it;
    while ((it = list_pop(&dirty)) != NULL) {
        struct bus_room *r = container_of(it, struct bus_room, in_dirty);
        memory_room_work(r);
    }
    while ((it = list_pop(&errands)) != NULL) {
        struct errand *e = container_of(it, struct errand, link);
        run_errand(m, e);
        free(e);
    }
}

static void room_free(struct memory *m, struct bus_room *r)
{
    map_remove(&m->rooms, memory_room_name(r));
    topic_fini(&r->topic);
    dedupe_fini(&r->seen);
    free(r);
}

static bool forgettable(const struct bus_room *r, uint64_t now_ms)
{
    uint64_t history_ms = r->policy.history_ttl_ms, keys_ms = r->policy.dedupe_ttl_ms;
    uint64_t keep_ms = history_ms > keys_ms ? history_ms : keys_ms;
    return !r->open && list_empty(&r->jobs) && history_ms > 0 &&
           now_ms - r->closed_ms >= keep_ms + FORGET_MARGIN_MS;
}

static void sweep(void *ctx)
{
    struct memory *m = ctx;
    uint64_t now_ms = loop_now_ms(m->base.loop);
    struct list forgotten; /* by in_dirty, which is free in a room without jobs */
    list_init(&forgotten);
    size_t at = 0;
    struct bus_room *r;
    while ((r = map_next(&m->rooms, &at)) != NULL) {
        const struct topic_limits limits = memory_room_limits(r);
        topic_expire(&r->topic, &limits, now_ms);
        dedupe_expire(&r->seen, now_ms);
        if (forgettable(r, now_ms)) {
            list_push(&forgotten, &r->in_dirty);
        }
    }
    struct list *it;
    while ((it = list_pop(&forgotten)) != NULL) {
        room_free(m, container_of(it, struct bus_room, in_dirty));
    }
    dedupe_expire(&m->directs, now_ms);
    loop_timer_start(m->sweep, SWEEP_MS);
}

static void memory_start(struct bus *b)
{
    loop_timer_start(self(b)->sweep, SWEEP_MS);
    b->stats->gateways = 1;
}

static void memory_reload(struct bus *b)
{
    struct memory *m = self(b);
    size_t at = 0;
    struct bus_room *r;
    while ((r = map_next(&m->rooms, &at)) != NULL) {
        r->policy = *config_policy(b->config, memory_room_name(r));
        dedupe_set_ttl(&r->seen, r->policy.dedupe_ttl_ms);
    }
    dedupe_set_ttl(&m->directs, b->config->room.dedupe_ttl_ms);
}

static void memory_close(struct bus *b, uint64_t deadline_ms)
{
    (void)deadline_ms;
    bus_closed(b);
}

static void memory_free(struct bus *b)
{
    struct memory *m = self(b);
    struct list *it;
    while ((it = list_pop(&m->errands)) != NULL) {
        struct errand *e = container_of(it, struct errand, link);
        bus_settle(b, e->call, BUS_UNAVAILABLE);
        free(e);
    }
    size_t at = 0;
    struct bus_room *r;
    while ((r = map_next(&m->rooms, &at)) != NULL) {
        memory_room_drop(r);
    }
    bus_base_fini(b);
    at = 0;
    while ((r = map_next(&m->rooms, &at)) != NULL) {
        topic_fini(&r->topic);
        dedupe_fini(&r->seen);
        free(r);
    }
    at = 0;
    struct bus_user *u;
    while ((u = map_next(&m->users, &at)) != NULL) {
        free(u);
    }
    map_fini(&m->rooms);
    map_fini(&m->users);
    dedupe_fini(&m->directs);
    buf_fini(&m->text);
    loop_task_free(m->work);
    loop_timer_free(m->sweep);
    free(m);
}

static void memory_health(const struct bus *b, struct bus_health *out)
{
    (void)b;
    *out = (struct bus_health){true, "ok", "ok"};
}

static struct bus_room *memory_open_room(struct bus *b, struct str name, void *ctx,
                                         struct bus_call *call)
{
    struct memory *m = self(b);
    struct bus_room *r = map_get(&m->rooms, name);
    if (r == NULL) {
        r = xcalloc(1, sizeof(*r) + name.len);
        topic_init(&r->topic);
        r->memory = m;
        r->policy = *config_policy(b->config, name);
        dedupe_init(&r->seen, r->policy.dedupe_ttl_ms);
        list_init(&r->jobs);
        list_init(&r->in_dirty);
        r->name_len = name.len;
        memcpy(r->name, name.ptr, name.len);
        map_put(&m->rooms, r);
    }
    assert(!r->open);
    r->open = true;
    r->ctx = ctx;
    r->generation++;
    memory_job_new(r, JOB_OPEN, 0, call);
    return r;
}

static void memory_close_room(struct bus *b, struct bus_room *room)
{
    assert(room->open);
    room->open = room->alive = false;
    room->ctx = NULL;
    room->closed_ms = loop_now_ms(b->loop);
}

static void memory_sync_room(struct bus *b, struct bus_room *room)
{
    (void)b;
    list_each (it, &room->jobs) {
        if (container_of(it, struct job, link)->kind == JOB_SYNC) {
            return;
        }
    }
    memory_job_new(room, JOB_SYNC, 0, NULL);
}

static struct bus_user *memory_open_user(struct bus *b, struct str name, void *ctx,
                                         struct bus_call *call)
{
    struct memory *m = self(b);
    struct bus_user *u = xcalloc(1, sizeof(*u) + name.len);
    u->ctx = ctx;
    u->name_len = name.len;
    memcpy(u->name, name.ptr, name.len);
    map_put(&m->users, u);
    add_errand(m, ERRAND_USER, &(struct bus_note){.to = name}, call);
    return u;
}

static void memory_close_user(struct bus *b, struct bus_user *user)
{
    map_remove(&self(b)->users, user_name(user));
    free(user);
}

static void memory_publish(struct bus *b, struct bus_room *room, const struct bus_message *message,
                           struct bus_call *call)
{
    (void)b;
    struct job *j = memory_job_new(room, JOB_PUBLISH,
                                   message->user.len + message->key.len + message->data.len, call);
    char *at = j->text;
    j->message.user = bus_put(&at, message->user);
    j->message.key = bus_put(&at, message->key);
    j->message.data = bus_put(&at, message->data);
}

static void memory_signal(struct bus *b, struct bus_room *room, uint64_t connection,
                          struct str line, struct bus_call *call)
{
    (void)b;
    struct job *j = memory_job_new(room, JOB_SIGNAL, line.len, call);
    char *at = j->text;
    j->connection = connection;
    j->line = bus_put(&at, line);
}

static void memory_direct(struct bus *b, const struct bus_note *note, struct bus_call *call)
{
    add_errand(self(b), ERRAND_DIRECT, note, call);
}

static void memory_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                            struct bus_call *call)
{
    (void)b;
    topic_presence(&room->topic, change);
    memory_job_new(room, JOB_PRESENCE, 0, call);
}

static void memory_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                           struct bus_call *call)
{
    struct bus_note asked = {.to = room, .key = cursor};
    add_errand(self(b), ERRAND_MEMBERS, &asked, call)->limit = limit;
}

static void memory_read(struct bus *b, struct bus_room *room, const struct bus_range *range,
                        struct bus_call *call)
{
    (void)b;
    struct job *j = memory_job_new(room, JOB_READ, range->epoch.len, call);
    char *at = j->text;
    j->range = (struct bus_range){bus_put(&at, range->epoch), range->from, range->to};
}

static const struct bus_ops memory_ops = {
    .start = memory_start,
    .reload = memory_reload,
    .close = memory_close,
    .free = memory_free,
    .health = memory_health,
    .open_room = memory_open_room,
    .close_room = memory_close_room,
    .sync_room = memory_sync_room,
    .open_user = memory_open_user,
    .close_user = memory_close_user,
    .publish = memory_publish,
    .signal = memory_signal,
    .direct = memory_direct,
    .presence = memory_presence,
    .members = memory_members,
    .read = memory_read,
};

struct bus *bus_memory_new(struct loop *loop, const struct config *config, struct stats *stats)
{
    struct memory *m = xcalloc(1, sizeof(*m));
    bus_base_init(&m->base, &memory_ops, loop, config, stats);
    map_init(&m->rooms, memory_room_name);
    map_init(&m->users, user_name);
    list_init(&m->dirty);
    list_init(&m->errands);
    dedupe_init(&m->directs, config->room.dedupe_ttl_ms);
    m->work = loop_task_new(loop, work, m);
    m->sweep = loop_timer_new(loop, sweep, m);
    bus_id_make(m->base.id, config->server.gateway_name);
    return &m->base;
}
