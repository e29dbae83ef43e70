/* SPDX-License-Identifier: MIT */
#include "gateway/chat/presence.h"

#include "common/alloc.h"
#include "common/log.h"
#include "gateway/chat/context.h"
#include "gateway/chat/message.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <assert.h>
#include <stdlib.h>

/* Names in one digest, up and down; what is more is told by `more`. */
#define NAMES_MAX 50
/* A change that the bus did not take is sent again after this time. */
#define RETRY_MS 1000
/* So many members double the interval: a digest goes to each of them. */
#define MEMBERS_PER_INTERVAL 2000

struct departure {
    struct list link;
    uint64_t connection;
    enum bus_mark mark;
    size_t len;
    char user[];
};

/* What happened to a name since the last digest: joined when above 0, left when below. */
struct name_news {
    struct list in_order;
    int64_t change;
    size_t len;
    char name[];
};

struct held_name {
    struct list in_order; /* by due_ms */
    uint64_t due_ms;
    int64_t connections;
    size_t len;
    char name[];
};

static struct str news_key(const void *item)
{
    const struct name_news *n = item;
    return (struct str){n->name, n->len};
}

static struct str held_key(const void *item)
{
    const struct held_name *h = item;
    return (struct str){h->name, h->len};
}

static enum config_presence mode(const struct presence *p)
{
    return p->policy->presence;
}

/* What the own register says. */
static uint64_t registered(const struct presence *p)
{
    return mode(p) == CONFIG_PRESENCE_OFF ? 0 : p->count;
}

static uint64_t now_ms(const struct presence *p)
{
    return loop_now_ms(p->ctx->loop);
}

static uint64_t interval_ms(const struct presence *p)
{
    uint64_t base = p->policy->presence_interval_ms;
    return base + base * presence_online(p) / MEMBERS_PER_INTERVAL;
}

/* Something is to be told: at once where the last digest is an interval old. */
static void touch(struct presence *p)
{
    uint64_t now = now_ms(p);
    uint64_t due = p->told_ms + interval_ms(p);
    if (wheel_timer_set(&p->timer) && list_empty(&p->held_order)) {
        return; /* set for no later; only a held name may have set it for later */
    }
    wheel_start(p->ctx->wheel, &p->timer, due > now ? due - now : 0);
}

static void drop_news(struct presence *p, struct name_news *n)
{
    map_remove(&p->news, news_key(n));
    list_remove(&n->in_order);
    free(n);
}

static void drop_all_news(struct presence *p)
{
    while (!list_empty(&p->news_order)) {
        drop_news(p, container_of(p->news_order.next, struct name_news, in_order));
    }
    map_fini(&p->news); /* most rooms have none for a long time */
}

static void add_news(struct presence *p, struct str name, int64_t change)
{
    if (p->count == 0) {
        return; /* nobody here to be told */
    }
    struct name_news *n = map_get(&p->news, name);
    if (n != NULL) {
        n->change += change;
        if (n->change == 0) {
            drop_news(p, n);
        }
        return;
    }
    if (p->news.count >= 2 * (size_t)NAMES_MAX) {
        p->more = true;
        return;
    }
    n = xmalloc(sizeof(*n) + name.len);
    *n = (struct name_news){.change = change, .len = name.len};
    memcpy(n->name, name.ptr, name.len);
    list_push(&p->news_order, &n->in_order);
    map_put(&p->news, n);
}

static void drop_held(struct presence *p, struct held_name *h)
{
    map_remove(&p->held, held_key(h));
    list_remove(&h->in_order);
    free(h);
    if (p->held.count == 0) {
        map_fini(&p->held); /* as above */
    }
}

static void drop_all_held(struct presence *p)
{
    while (!list_empty(&p->held_order)) {
        drop_held(p, container_of(p->held_order.next, struct held_name, in_order));
    }
}

static void hold_name(struct presence *p, struct str name)
{
    struct held_name *h = map_get(&p->held, name);
    if (h == NULL) {
        h = xmalloc(sizeof(*h) + name.len);
        *h = (struct held_name){.len = name.len};
        memcpy(h->name, name.ptr, name.len);
        list_init(&h->in_order);
        map_put(&p->held, h);
    }
    h->connections++;
    h->due_ms = now_ms(p) + p->policy->rejoin_grace_ms;
    list_remove(&h->in_order);
    list_push(&p->held_order, &h->in_order);
}

static void tell_joined(struct presence *p, struct str name)
{
    struct held_name *h = map_get(&p->held, name);
    if (h == NULL) {
        add_news(p, name, 1);
        return;
    }
    if (--h->connections == 0) {
        drop_held(p, h);
    }
}

static void tell(struct presence *p, enum bus_mark mark, struct str name)
{
    if (mode(p) != CONFIG_PRESENCE_FULL) {
        return;
    }
    switch (mark) {
    case BUS_JOINED:
        tell_joined(p, name);
        break;
    case BUS_LEFT:
        add_news(p, name, -1);
        break;
    case BUS_LOST:
        hold_name(p, name);
        break;
    case BUS_MORE:
        p->more = true;
        break;
    }
}

static void release_held(struct presence *p)
{
    uint64_t now = now_ms(p);
    while (!list_empty(&p->held_order)) {
        struct held_name *h = container_of(p->held_order.next, struct held_name, in_order);
        if (h->due_ms > now) {
            return;
        }
        add_news(p, held_key(h), -h->connections);
        drop_held(p, h);
    }
}

/* Takes up to NAMES_MAX names of one direction, each once per connection. */
static size_t take_names(struct presence *p, struct str out[NAMES_MAX], int direction)
{
    size_t count = 0;
    list_each (it, &p->news_order) {
        const struct name_news *n = container_of(it, struct name_news, in_order);
        for (int64_t left = n->change * direction; left > 0; left--) {
            if (count == NAMES_MAX) {
                p->more = true;
                return count;
            }
            out[count++] = news_key(n);
        }
    }
    return count;
}

static void send_digest(struct presence *p)
{
    struct str joined[NAMES_MAX];
    struct str left[NAMES_MAX];
    uint64_t online = presence_online(p);
    bool news = !list_empty(&p->news_order) || p->more || online != p->told_online;
    if (mode(p) != CONFIG_PRESENCE_OFF && news && p->count > 0) {
        struct message_presence m = {
            .room = p->room, .online = online, .joined = joined, .left = left};
        m.joined_count = take_names(p, joined, 1);
        m.left_count = take_names(p, left, -1);
        m.more = p->more;
        message_presence(&p->ctx->text, &m);
        p->handlers->relay(p->owner, buf_str(&p->ctx->text));
        p->told_online = online;
    }
    drop_all_news(p);
    p->more = false;
    p->told_ms = now_ms(p);
}

static void free_departures(struct presence *p)
{
    for (struct list *it = list_pop(&p->departures); it != NULL; it = list_pop(&p->departures)) {
        free(container_of(it, struct departure, link));
    }
}

/* The change as arrays; texts stay in members and departures. */
struct change {
    struct bus_presence_member *members;
    size_t member_count;
    struct bus_name names[NAMES_MAX + 1];
    size_t name_count;
};

static void add_name(struct change *c, enum bus_mark mark, struct str user)
{
    if (c->name_count < NAMES_MAX) {
        c->names[c->name_count++] = (struct bus_name){mark, user};
    } else if (c->name_count == NAMES_MAX) {
        c->names[c->name_count++] = (struct bus_name){BUS_MORE, {NULL, 0}};
    }
}

static void add_member(struct change *c, uint64_t connection, struct str user)
{
    c->members[c->member_count++] = (struct bus_presence_member){connection, user};
}

static size_t list_length(const struct list *head)
{
    size_t n = 0;
    list_each (it, head) {
        n++;
    }
    return n;
}

static void collect(struct presence *p, struct change *c)
{
    size_t most = p->full ? p->count : list_length(&p->arrivals) + list_length(&p->departures);
    c->members = xcalloc(most + 1, sizeof(*c->members));
    c->member_count = c->name_count = 0;
    list_each (it, &p->departures) {
        const struct departure *d = container_of(it, struct departure, link);
        struct str user = {d->user, d->len};
        add_name(c, d->mark, user);
        if (!p->full) {
            add_member(c, d->connection, (struct str){NULL, 0});
        }
    }
    list_each (it, &p->arrivals) {
        const struct presence_member *m = container_of(it, struct presence_member, in_arrivals);
        add_name(c, BUS_JOINED, m->user);
        if (!p->full) {
            add_member(c, m->connection, m->user);
        }
    }
    if (p->full) {
        list_each (it, &p->members) {
            const struct presence_member *m = container_of(it, struct presence_member, in_presence);
            add_member(c, m->connection, m->user);
        }
    }
}

static void on_done(struct bus_call *call, const struct bus_result *result)
{
    struct presence *p = container_of(call, struct presence, call);
    p->calling = false;
    if (result->err != BUS_OK) {
        p->full = true;
        wheel_start(p->ctx->wheel, &p->timer, RETRY_MS);
        return;
    }
    if (!list_empty(&p->arrivals) || !list_empty(&p->departures) || p->full) {
        touch(p);
    } else {
        p->handlers->on_settled(p->owner);
    }
}

static bool has_changes(const struct presence *p)
{
    return p->full || !list_empty(&p->arrivals) || !list_empty(&p->departures);
}

void presence_flush(struct presence *p)
{
    if (p->calling || p->bus == NULL || !has_changes(p)) {
        return;
    }
    struct change c;
    collect(p, &c);
    bool names = mode(p) == CONFIG_PRESENCE_FULL;
    struct bus_presence change = {.full = p->full,
                                  .version = ++p->version,
                                  .count = registered(p),
                                  .members = c.members,
                                  .member_count = names ? c.member_count : 0,
                                  .names = c.names,
                                  .name_count = names ? c.name_count : 0};
    p->calling = true;
    p->call.done = on_done;
    bus_presence(p->ctx->bus, p->bus, &change, &p->call);
    free(c.members);
    free_departures(p);
    while (list_pop(&p->arrivals) != NULL) {
    }
    p->full = false;
}

static void on_timer(struct wheel_timer *t)
{
    struct presence *p = container_of(t, struct presence, timer);
    release_held(p);
    send_digest(p);
    presence_flush(p);
    if (!list_empty(&p->held_order) && !wheel_timer_set(&p->timer)) {
        const struct held_name *h = container_of(p->held_order.next, struct held_name, in_order);
        wheel_start(p->ctx->wheel, &p->timer, h->due_ms - now_ms(p));
    }
    if (presence_settled(p)) {
        p->handlers->on_settled(p->owner); /* p may be gone */
    }
}

void presence_init(struct presence *p, struct chat_context *ctx,
                   const struct presence_handlers *handlers, void *owner, struct str room)
{
    *p = (struct presence){.ctx = ctx, .handlers = handlers, .owner = owner, .room = room};
    list_init(&p->members);
    list_init(&p->arrivals);
    list_init(&p->departures);
    list_init(&p->news_order);
    list_init(&p->held_order);
    map_init(&p->news, news_key);
    map_init(&p->held, held_key);
    wheel_timer_init(&p->timer, on_timer);
    /* Higher than any of an earlier life of this room here: changes are rarer than microseconds. */
    p->version = 1000 * now_ms(p);
}

void presence_fini(struct presence *p)
{
    assert(list_empty(&p->members) && !p->calling);
    wheel_stop(&p->timer);
    free_departures(p);
    drop_all_news(p);
    drop_all_held(p);
    registers_fini(&p->others);
    map_fini(&p->news);
    map_fini(&p->held);
}

void presence_join(struct presence *p, struct presence_member *m)
{
    p->count++;
    list_push(&p->members, &m->in_presence);
    if (mode(p) == CONFIG_PRESENCE_OFF) {
        return;
    }
    list_push(&p->arrivals, &m->in_arrivals);
    tell(p, BUS_JOINED, m->user);
    touch(p);
}

void presence_leave(struct presence *p, struct presence_member *m, enum bus_mark mark)
{
    p->count--;
    list_remove(&m->in_presence);
    bool known = list_empty(&m->in_arrivals);
    list_remove(&m->in_arrivals);
    if (mode(p) == CONFIG_PRESENCE_OFF) {
        return;
    }
    if (known) {
        struct departure *d = xmalloc(sizeof(*d) + m->user.len);
        *d = (struct departure){.connection = m->connection, .mark = mark, .len = m->user.len};
        memcpy(d->user, m->user.ptr, m->user.len);
        list_push(&p->departures, &d->link);
    }
    tell(p, mark, m->user);
    touch(p);
}

uint64_t presence_online(const struct presence *p)
{
    return mode(p) == CONFIG_PRESENCE_OFF ? 0 : p->count + p->others.online;
}

bool presence_settled(const struct presence *p)
{
    return !p->calling && !has_changes(p);
}

/* Names that no digest told: clients ask. Before the first digest nobody was told anything. */
static void note_missed(struct presence *p)
{
    if (p->others.missed && p->told_ms != 0 && mode(p) == CONFIG_PRESENCE_FULL) {
        p->more = true;
        touch(p);
    }
    p->others.missed = false;
}

void presence_on_digest(struct presence *p, const struct bus_register *reg,
                        const struct bus_name *names, size_t count)
{
    if (!registers_set(&p->others, reg, now_ms(p))) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tell(p, names[i].mark, names[i].user);
    }
    note_missed(p);
    if (count > 0 || presence_online(p) != p->told_online) {
        touch(p);
    }
}

void presence_on_lost(struct presence *p)
{
    registers_doubt(&p->others);
}

void presence_on_state(struct presence *p, const struct bus_room_state *state, bool link_was_lost)
{
    struct str self = bus_gateway_id(p->ctx->bus);
    registers_on_state(&p->others, state, self, now_ms(p));
    note_missed(p);
    const struct bus_register *own = registers_find(state->registers, state->register_count, self);
    uint64_t version = own != NULL ? own->version : 0;
    uint64_t count = own != NULL ? own->count : 0;
    if (link_was_lost && presence_settled(p) && (version != p->version || count != registered(p)) &&
        (registered(p) > 0 || count > 0)) {
        p->full = true;
    }
    if (presence_online(p) != p->told_online || p->full) {
        touch(p);
    }
}

static void check_own(struct presence *p, const struct bus_check *check)
{
    const struct bus_register *own =
        registers_find(check->registers, check->register_count, bus_gateway_id(p->ctx->bus));
    uint64_t version = own != NULL ? own->version : 0;
    uint64_t members = mode(p) == CONFIG_PRESENCE_FULL ? p->count : 0;
    bool listed = !check->members_known || check->members == members;
    bool there =
        own != NULL ? version == p->version && own->count == registered(p) : registered(p) == 0;
    if (!presence_settled(p) || (there && listed)) {
        return;
    }
    LOG(WARN, RESTORED, F_STR("room", p->room), F_NUM("count", registered(p)));
    p->ctx->stats->restored++;
    p->version = version > p->version ? version : p->version;
    p->full = true;
    touch(p);
}

void presence_on_check(struct presence *p, const struct bus_check *check)
{
    registers_on_check(&p->others, check, bus_gateway_id(p->ctx->bus), now_ms(p));
    note_missed(p);
    check_own(p, check);
    if (presence_online(p) != p->told_online) {
        touch(p);
    }
}

/* So that the next change names them. */
static void name_everybody(struct presence *p)
{
    list_each (it, &p->members) {
        struct presence_member *m = container_of(it, struct presence_member, in_presence);
        if (list_empty(&m->in_arrivals)) {
            list_push(&p->arrivals, &m->in_arrivals);
        }
    }
    free_departures(p); /* whoever told that everybody left, named them */
}

void presence_on_reaped(struct presence *p, bool former)
{
    if (former) {
        name_everybody(p);
        /* The bus has all of them already: who leaves before the change is sent, and the departures
         * that were not, are taken from its list by writing all of it. */
        p->full = mode(p) != CONFIG_PRESENCE_OFF;
        touch(p);
    } else {
        p->reaped = true;
    }
}

/* Nobody counts any more: so that clients do not go on showing the last number. */
static void tell_off(struct presence *p)
{
    struct message_presence m = {.room = p->room};
    p->told_online = 0;
    if (p->count > 0) {
        message_presence(&p->ctx->text, &m);
        p->handlers->relay(p->owner, buf_str(&p->ctx->text));
    }
}

void presence_on_policy(struct presence *p, enum config_presence was)
{
    if (mode(p) == was) {
        return;
    }
    if (mode(p) == CONFIG_PRESENCE_FULL) {
        p->more = true; /* names that no digest told: clients ask */
    } else {
        drop_all_news(p);
        drop_all_held(p);
    }
    if (mode(p) == CONFIG_PRESENCE_OFF) {
        tell_off(p);
    }
    p->full = true;
    touch(p);
}

void presence_assert(struct presence *p)
{
    p->full = registered(p) > 0;
    if (p->reaped) {
        name_everybody(p);
        p->reaped = false;
    }
    presence_flush(p);
    touch(p);
}
