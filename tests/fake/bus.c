/* SPDX-License-Identifier: MIT */
#include "tests/fake/bus.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "tests/fake/time.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

struct note {
    struct list link;
    struct bus_call *call; /* NULL: none */
    char *line;            /* owned */
};

struct bus_room {
    struct list link;
    void *ctx;
    uint64_t version;
    char *name; /* owned */
};

struct bus_user {
    struct list link;
    void *ctx;
    char *name; /* owned */
};

struct bus {
    struct list notes, rooms, users;
    struct list calls; /* struct bus_call: asked and not completed */
    struct bus_events events;
    struct buf text;
    char id[32];
};

static struct bus bus;

void fake_bus_start(void)
{
    bus = (struct bus){.id = "gw"};
    list_init(&bus.notes);
    list_init(&bus.rooms);
    list_init(&bus.users);
    list_init(&bus.calls);
}

void fake_bus_end(void)
{
    fake_bus_asked_nothing();
    ck_assert_msg(list_empty(&bus.calls), "a call was not completed");
    ck_assert_msg(list_empty(&bus.rooms), "a room was not closed");
    ck_assert_msg(list_empty(&bus.users), "a user was not closed");
    buf_fini(&bus.text);
}

struct bus *fake_bus(void)
{
    return &bus;
}

void fake_bus_set_id(const char *id)
{
    snprintf(bus.id, sizeof(bus.id), "%s", id);
}

static struct bus_call *forget(struct note *n)
{
    struct bus_call *call = n->call;
    list_remove(&n->link);
    free(n->line);
    free(n);
    return call;
}

static struct note *oldest(const char *expected)
{
    ck_assert_msg(!list_empty(&bus.notes), "nothing was asked, not \"%s\"", expected);
    return container_of(bus.notes.next, struct note, link);
}

struct bus_call *fake_bus_asked(const char *line)
{
    struct note *n = oldest(line);
    ck_assert_str_eq(n->line, line);
    return forget(n);
}

struct bus_call *fake_bus_asked_like(const char *beginning)
{
    struct note *n = oldest(beginning);
    ck_assert_msg(str_starts(str_from(n->line), str_from(beginning)), "asked: %s", n->line);
    return forget(n);
}

void fake_bus_complete(const struct bus_room_state *state)
{
    while (!list_empty(&bus.calls)) {
        fake_bus_opened(container_of(bus.calls.next, struct bus_call, link), state);
    }
    while (!list_empty(&bus.notes)) {
        (void)forget(container_of(bus.notes.next, struct note, link));
    }
}

void fake_bus_settle(void)
{
    const struct bus_room_state state = {.position = fake_position('a', 0)};
    for (unsigned i = 0; i < 100; i++) {
        fake_bus_complete(&state);
        fake_time_pass(100);
    }
}

void fake_bus_asked_nothing(void)
{
    if (!list_empty(&bus.notes)) {
        ck_abort_msg("asked: %s", container_of(bus.notes.next, struct note, link)->line);
    }
}

void fake_bus_done(struct bus_call *call, const struct bus_result *result)
{
    bool found = false;
    list_each (it, &bus.calls) {
        found = found || it == &call->link;
    }
    ck_assert_msg(found, "the call is not under way");
    list_remove(&call->link);
    call->done(call, result);
}

void fake_bus_fail(struct bus_call *call, enum bus_err err)
{
    fake_bus_done(call, &(struct bus_result){.err = err});
}

void fake_bus_opened(struct bus_call *call, const struct bus_room_state *state)
{
    fake_bus_done(call, &(struct bus_result){.state = state, .position = state->position});
}

bool fake_bus_is_used(void)
{
    return !list_empty(&bus.calls) || !list_empty(&bus.rooms) || !list_empty(&bus.users);
}

void fake_bus_drop(void)
{
    while (!list_empty(&bus.calls)) {
        fake_bus_fail(container_of(bus.calls.next, struct bus_call, link), BUS_UNAVAILABLE);
    }
    while (!list_empty(&bus.rooms)) {
        bus_close_room(&bus, container_of(bus.rooms.next, struct bus_room, link));
    }
    while (!list_empty(&bus.users)) {
        bus_close_user(&bus, container_of(bus.users.next, struct bus_user, link));
    }
    while (!list_empty(&bus.notes)) {
        (void)forget(container_of(bus.notes.next, struct note, link));
    }
}

void *fake_bus_room(const char *name)
{
    list_each (it, &bus.rooms) {
        struct bus_room *room = container_of(it, struct bus_room, link);
        if (strcmp(room->name, name) == 0) {
            return room->ctx;
        }
    }
    ck_abort_msg("the room \"%s\" is not open", name);
}

void *fake_bus_user(const char *name)
{
    list_each (it, &bus.users) {
        struct bus_user *user = container_of(it, struct bus_user, link);
        if (strcmp(user->name, name) == 0) {
            return user->ctx;
        }
    }
    ck_abort_msg("the user \"%s\" is not open", name);
}

const struct bus_events *fake_bus_events(void)
{
    return &bus.events;
}

struct bus_position fake_position(char epoch, uint64_t offset)
{
    struct bus_position position = {.offset = offset};
    memset(position.epoch, epoch, BUS_EPOCH_LEN);
    return position;
}

/* Begins a line with its words; "-" for an empty one. */
static void begin(const char *verb, const struct str *words, size_t count)
{
    buf_clear(&bus.text);
    buf_add(&bus.text, str_from(verb));
    for (size_t i = 0; i < count; i++) {
        BUF_LIT(&bus.text, " ");
        buf_add(&bus.text, words[i].len > 0 ? words[i] : STR("-"));
    }
}

#define BEGIN(verb, ...) \
    begin((verb), (const struct str[]){__VA_ARGS__}, ARRAY_LEN(((const struct str[]){__VA_ARGS__})))

static void end(struct bus_call *call)
{
    struct note *n = xcalloc(1, sizeof(*n));
    n->call = call;
    n->line = str_dup(buf_str(&bus.text));
    list_push(&bus.notes, &n->link);
    if (call != NULL) {
        list_push(&bus.calls, &call->link);
    }
}

static struct str name_of(const struct bus_room *room)
{
    return str_from(room->name);
}

void bus_start(struct bus *b, const struct bus_events *events)
{
    b->events = *events;
}

struct str bus_gateway_id(const struct bus *b)
{
    return str_from(b->id);
}

struct bus_room *bus_open_room(struct bus *b, struct str name, void *room_ctx,
                               struct bus_call *call)
{
    struct bus_room *room = xcalloc(1, sizeof(*room));
    room->name = str_dup(name);
    room->ctx = room_ctx;
    list_push(&b->rooms, &room->link);
    BEGIN("open", name);
    end(call);
    return room;
}

void bus_close_room(struct bus *b, struct bus_room *room)
{
    (void)b;
    BEGIN("close", name_of(room));
    end(NULL);
    list_remove(&room->link);
    free(room->name);
    free(room);
}

void bus_sync_room(struct bus *b, struct bus_room *room)
{
    (void)b;
    BEGIN("sync", name_of(room));
    end(NULL);
}

struct bus_user *bus_open_user(struct bus *b, struct str name, void *user_ctx,
                               struct bus_call *call)
{
    struct bus_user *user = xcalloc(1, sizeof(*user));
    user->name = str_dup(name);
    user->ctx = user_ctx;
    list_push(&b->users, &user->link);
    BEGIN("open-user", name);
    end(call);
    return user;
}

void bus_close_user(struct bus *b, struct bus_user *user)
{
    (void)b;
    BEGIN("close-user", str_from(user->name));
    end(NULL);
    list_remove(&user->link);
    free(user->name);
    free(user);
}

void bus_publish(struct bus *b, struct bus_room *room, struct str user, struct str key,
                 struct str data, struct bus_call *call)
{
    (void)b;
    BEGIN("publish", name_of(room), user, key, data);
    end(call);
}

void bus_signal(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                struct bus_call *call)
{
    (void)b;
    BEGIN("signal", name_of(room));
    buf_addf(&bus.text, " %llu ", (unsigned long long)connection);
    buf_add(&bus.text, line);
    end(call);
}

void bus_direct(struct bus *b, struct str to, struct str from, struct str key, struct str line,
                struct bus_call *call)
{
    (void)b;
    BEGIN("direct", to, from, key, line);
    end(call);
}

void bus_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                  struct bus_call *call)
{
    (void)b;
    ck_assert_uint_gt(change->version, room->version);
    room->version = change->version;
    BEGIN("presence", name_of(room));
    buf_addf(&bus.text, " %s%llu:", change->full ? "full " : "", (unsigned long long)change->count);
    for (size_t i = 0; i < change->member_count; i++) {
        const struct bus_presence_member *m = &change->members[i];
        buf_addf(&bus.text, " %llu=%.*s", (unsigned long long)m->connection, STR_ARG(m->user));
    }
    BUF_LIT(&bus.text, " |");
    for (size_t i = 0; i < change->name_count; i++) {
        buf_addf(&bus.text, " %c%.*s", (char)change->names[i].mark, STR_ARG(change->names[i].user));
    }
    end(call);
}

void bus_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                 struct bus_call *call)
{
    (void)b;
    BEGIN("members", room, cursor);
    buf_addf(&bus.text, " %u", limit);
    end(call);
}

void bus_read(struct bus *b, struct bus_room *room, struct str epoch, uint64_t from, uint64_t to,
              struct bus_call *call)
{
    (void)b;
    BEGIN("read", name_of(room), (struct str){epoch.ptr, 1});
    buf_addf(&bus.text, " %llu..%llu", (unsigned long long)from, (unsigned long long)to);
    end(call);
}
