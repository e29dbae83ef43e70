/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_run.h"

#include "common/alloc.h"
#include "common/random.h"

#include <stdlib.h>

/* Pairs of users that send each other direct messages; each has a room of its own. */
#define DIRECT_PAIRS 10

/* A fixed rate knows no window: so many seconds of messages can be under way and still be timed. */
#define SLOTS_S 20
#define SLOTS_MAX 65536

/* Connections from one address to one port. Linux first tries ephemeral ports of one parity, about
 * 14,000; beyond those every connect() walks through all of them in vain, for milliseconds. */
#define SOURCE_CONNECTIONS 10000

static struct client *add_client(struct bench *b, struct bench_room *room,
                                 const struct endpoint *urls, unsigned url_count, size_t number)
{
    struct client *c = &b->clients[b->client_count];
    client_init(c);
    c->url = &urls[number % url_count];
    if (b->options.connections / url_count > SOURCE_CONNECTIONS) {
        c->source = 1 + (uint32_t)(number / url_count / SOURCE_CONNECTIONS);
    }
    c->room = room;
    c->member = (struct adapter_member){.room = room->name, .user = (uint32_t)b->client_count};
    b->client_count++;
    return c;
}

static size_t slots_for(const struct load_schedule *s, size_t publishers)
{
    double under_way = s->rate > 0 ? s->rate * SLOTS_S / (double)publishers : s->window;
    return under_way < SLOTS_MAX ? (size_t)under_way + 1 : SLOTS_MAX;
}

static unsigned publishers_of(const struct options *o, unsigned room)
{
    return o->publishers == PUBLISHERS_ALL ? options_room_size(o, room) : o->publishers;
}

static struct bench_room *add_room(struct bench *b, const char *prefix, size_t number,
                                   uint32_t receivers)
{
    struct buf name = {NULL, 0, 0};
    buf_add(&name, str_from(prefix));
    buf_add_u64(&name, number);
    struct bench_room *room = load_add_room(b->load, buf_str(&name), receivers);
    buf_fini(&name);
    return room;
}

static void add_members(struct bench *b, struct bench_room **rooms)
{
    const struct options *o = &b->options;
    for (unsigned r = 0; r < o->rooms; r++) {
        for (unsigned i = 0; i < options_room_size(o, r); i++) {
            /* Rooms begin at different servers, so that small rooms spread evenly, too. */
            add_client(b, rooms[r], o->urls, o->url_count, b->client_count + r);
        }
    }
    b->member_count = b->client_count;
}

/* The first members of each room publish; or connections beside them, of their own. */
static void add_publishers(struct bench *b, struct bench_room **rooms)
{
    const struct options *o = &b->options;
    size_t first_member = 0,
           slots = slots_for(&b->messages, (size_t)publishers_of(o, 0) * o->rooms);
    for (unsigned r = 0; r < o->rooms; r++) {
        rooms[r]->first_publisher = b->messages.count;
        for (unsigned i = 0; i < publishers_of(o, r); i++) {
            struct client *c =
                o->publish_url_count == 0
                    ? &b->clients[first_member + i]
                    : add_client(b, rooms[r], o->publish_urls, o->publish_url_count, (size_t)r + i);
            load_add_publisher(b->load, c, &b->messages, UINT32_MAX, slots);
        }
        first_member += options_room_size(o, r);
    }
}

static void add_pairs(struct bench *b, const char *prefix)
{
    const struct options *o = &b->options;
    b->directs.first = b->messages.count;
    size_t slots = slots_for(&b->directs, DIRECT_PAIRS);
    for (unsigned i = 0; i < DIRECT_PAIRS; i++) {
        struct bench_room *room = add_room(b, prefix, o->rooms + i, 1);
        struct client *to = add_client(b, room, o->urls, o->url_count, i);
        struct client *from = add_client(b, room, o->urls, o->url_count, i + 1);
        load_add_publisher(b->load, from, &b->directs, to->member.user, slots);
        load_add_member(b->load, to);
    }
}

/* Members that are to go on where their link was cut. */
static void add_positions(struct bench *b)
{
    b->positions = xcalloc(b->member_count, sizeof(b->positions[0]));
    for (size_t i = 0; i < b->member_count; i++) {
        b->clients[i].member.position = &b->positions[i];
    }
}

void bench_cast(struct bench *b)
{
    const struct options *o = &b->options;
    char random[] = "bench-......-";
    random_hex(random + 6, 6);
    const char *prefix = o->room_prefix != NULL ? o->room_prefix : random;
    size_t apart = o->publish_url_count > 0 ? (size_t)o->rooms * o->publishers : 0;
    bool direct = o->workload->kind == WORKLOAD_DIRECT;
    b->messages =
        (struct load_schedule){.rate = o->rate, .window = o->window, .latency = &b->latency};
    b->directs = (struct load_schedule){.rate = o->direct_rate, .latency = &b->quiet};
    b->schedules[0] = &b->messages;
    b->schedules[1] = &b->directs;
    b->clients =
        xcalloc(o->connections + apart + (direct ? 2 * DIRECT_PAIRS : 0), sizeof(b->clients[0]));

    struct bench_room **rooms = xcalloc(o->rooms, sizeof(struct bench_room *));
    for (unsigned r = 0; r < o->rooms; r++) {
        rooms[r] = add_room(b, prefix, r, options_room_size(o, r));
    }
    add_members(b, rooms);
    if (o->workload->kind != WORKLOAD_SETUP && o->workload->kind != WORKLOAD_IDLE) {
        add_publishers(b, rooms);
        for (size_t i = 0; i < b->member_count; i++) {
            load_add_member(b->load, &b->clients[i]);
        }
    }
    if (direct) {
        add_pairs(b, prefix);
    }
    if (o->workload->kind == WORKLOAD_DROPS && o->adapter->note != NULL) {
        add_positions(b);
    }
    free((void *)rooms);
}

void bench_cast_free(struct bench *b)
{
    for (size_t i = 0; i < b->client_count; i++) {
        struct client *c = &b->clients[i];
        client_close(b->poller, c);
        for (uint32_t t = 0; c->tracks != NULL && t < c->room->publishers; t++) {
            check_track_fini(&c->tracks[t]);
        }
        free(c->tracks);
        client_fini(c);
    }
    free(b->clients);
    free(b->positions);
}
