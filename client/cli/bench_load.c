/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_load.h"

#include "client/cli/bench_options.h"
#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

/* How long load_pump lets the poller sleep when nothing is due: messages that are lost are given
 * up, and clients are cut, at such a time. */
#define PULSE_NS 100000000u

struct slot {
    uint64_t due_ns;
    uint32_t number;
    uint32_t left; /* members that it has not come to */
};

struct publisher {
    struct client *client; /* borrowed */
    struct bench_room *room;
    struct load_schedule *schedule; /* borrowed */
    uint32_t number;                /* in tags */
    uint32_t to_user;
    uint32_t next, oldest; /* the next message's number; closed loop: the first under way */
    uint32_t mask;
    struct slot *slots; /* owned; mask + 1, indexed by the message's number */
    struct list ready;  /* on the load's list while its window has room */
};

struct load {
    const struct options *options; /* borrowed */
    struct poller *poller;         /* borrowed */
    struct publisher *publishers;  /* owned */
    uint32_t publisher_count, publisher_cap;
    struct bench_room **rooms; /* owned */
    size_t room_count;
    struct list ready;
    uint64_t outstanding; /* deliveries that are still to come */
    uint64_t from_ns, to_ns, pulse_ns;
    struct load_counts counts;
    char *text; /* owned; options->size bytes, begins with a tag */
    struct buf say;
};

struct load *load_new(const struct options *o, struct poller *poller)
{
    struct load *l = xcalloc(1, sizeof(*l));
    l->options = o;
    l->poller = poller;
    l->from_ns = UINT64_MAX;
    l->text = xmalloc(o->size);
    memset(l->text, 'x', o->size);
    list_init(&l->ready);
    return l;
}

void load_free(struct load *l)
{
    for (uint32_t i = 0; i < l->publisher_count; i++) {
        free(l->publishers[i].slots);
    }
    for (size_t i = 0; i < l->room_count; i++) {
        check_order_fini(&l->rooms[i]->order);
        free(l->rooms[i]->text);
        free(l->rooms[i]);
    }
    free((void *)l->rooms);
    free(l->publishers);
    free(l->text);
    buf_fini(&l->say);
    free(l);
}

struct bench_room *load_add_room(struct load *l, struct str name, uint32_t receivers)
{
    if ((l->room_count & (l->room_count - 1)) == 0) {
        size_t cap = l->room_count == 0 ? 1 : 2 * l->room_count;
        l->rooms = xrealloc((void *)l->rooms, cap * sizeof(struct bench_room *));
    }
    struct bench_room *room = xcalloc(1, sizeof(*room));
    room->text = str_dup(name);
    room->name = (struct str){room->text, name.len};
    room->receivers = receivers;
    room->first_publisher = l->publisher_count;
    l->rooms[l->room_count++] = room;
    return room;
}

static uint32_t power_of_two(size_t least)
{
    uint32_t n = 16;
    while (n < least) {
        n *= 2;
    }
    return n;
}

void load_add_publisher(struct load *l, struct client *c, struct load_schedule *s, uint32_t to_user,
                        size_t slots)
{
    if (l->publisher_count == l->publisher_cap) {
        /* They hold list nodes, which must not move later: load_start links the first of them. */
        assert(list_empty(&l->ready));
        l->publisher_cap = l->publisher_cap == 0 ? 16 : 2 * l->publisher_cap;
        l->publishers = xrealloc(l->publishers, l->publisher_cap * sizeof(l->publishers[0]));
    }
    struct bench_room *room = c->room;
    uint32_t count = power_of_two(slots);
    l->publishers[l->publisher_count] = (struct publisher){
        .client = c,
        .room = room,
        .schedule = s,
        .number = l->publisher_count,
        .to_user = to_user,
        .mask = count - 1,
        .slots = xcalloc(count, sizeof(struct slot)),
    };
    assert(l->publisher_count == room->first_publisher + room->publishers);
    c->publishes = true;
    l->publisher_count++;
    room->publishers++;
    s->count++;
}

void load_add_member(struct load *l, struct client *c)
{
    (void)l;
    size_t count = c->room->publishers > 0 ? c->room->publishers : 1;
    c->tracks = xcalloc(count, sizeof(c->tracks[0]));
    c->place = 0;
}

static void prepare_orders(struct load *l)
{
    for (size_t i = 0; i < l->room_count; i++) {
        struct bench_room *room = l->rooms[i];
        room->ordered = room->publishers > 1;
        if (room->ordered && room->order.ring == NULL) {
            /* The slowest member may be as far behind as all messages that are still timed. */
            size_t slots = (size_t)l->publishers[room->first_publisher].mask + 1;
            check_order_init(&room->order, slots * room->publishers);
        }
    }
}

/* ---- sending */

static void send_message(struct load *l, struct publisher *p, uint64_t due_ns)
{
    struct slot *slot = &p->slots[p->next & p->mask];
    *slot = (struct slot){due_ns, p->next, p->room->receivers};
    tag_write(l->text, (struct tag){p->number, p->next});
    struct str text = {l->text, l->options->size};
    buf_clear(&l->say);
    if (p->to_user != UINT32_MAX) {
        l->options->adapter->direct(&p->client->member, p->to_user, text, &l->say);
    } else {
        l->options->adapter->chat(&p->client->member, text, &l->say);
    }
    client_say(l->poller, p->client, buf_str(&l->say));
    p->next++;
    l->counts.sent++;
    l->outstanding += p->room->receivers;
}

static bool window_has_room(const struct publisher *p)
{
    return p->schedule->running && p->next - p->oldest < p->schedule->window;
}

static void make_ready(struct load *l, struct publisher *p)
{
    if (list_empty(&p->ready) && window_has_room(p)) {
        list_push(&l->ready, &p->ready);
    }
}

/* Moves the window past everything that has come. */
static void advance(struct load *l, struct publisher *p)
{
    while (p->oldest != p->next && p->slots[p->oldest & p->mask].left == 0) {
        p->oldest++;
    }
    make_ready(l, p);
}

void load_start(struct load *l, struct load_schedule *s, uint64_t now_ns)
{
    prepare_orders(l);
    s->running = true;
    s->start_ns = now_ns;
    s->sent = 0;
    for (uint32_t i = s->first; i < s->first + s->count; i++) {
        struct publisher *p = &l->publishers[i];
        list_init(&p->ready);
        if (s->rate <= 0) {
            make_ready(l, p);
        }
    }
}

void load_stop(struct load_schedule *s)
{
    s->running = false;
}

static uint64_t due_at(const struct load_schedule *s, uint64_t n)
{
    return s->start_ns + (uint64_t)((double)n * (1e9 / s->rate));
}

static uint64_t send_due(struct load *l, struct load_schedule *s, uint64_t now_ns)
{
    uint64_t due_ns;
    while ((due_ns = due_at(s, s->sent)) <= now_ns) {
        send_message(l, &l->publishers[s->first + s->sent % s->count], due_ns);
        s->sent++;
    }
    return due_ns;
}

/* A message that was lost would hold its publisher's window for ever. */
static void give_up_stalled(struct load *l, const struct load_schedule *s, uint64_t now_ns)
{
    for (uint32_t i = s->first; i < s->first + s->count; i++) {
        struct publisher *p = &l->publishers[i];
        bool gave_up = false;
        while (p->oldest != p->next &&
               p->slots[p->oldest & p->mask].due_ns + l->options->stall_ns <= now_ns) {
            l->counts.stalls += p->slots[p->oldest & p->mask].left > 0;
            p->oldest++;
            gave_up = true;
        }
        if (gave_up) {
            advance(l, p);
        }
    }
}

uint64_t load_pump(struct load *l, struct load_schedule *const *schedules, size_t count,
                   uint64_t now_ns)
{
    bool pulse = now_ns >= l->pulse_ns;
    if (pulse) {
        l->pulse_ns = now_ns + PULSE_NS;
    }
    uint64_t wake_ns = l->pulse_ns;
    for (size_t i = 0; i < count; i++) {
        struct load_schedule *s = schedules[i];
        if (!s->running || s->count == 0) {
            continue;
        }
        if (s->rate > 0) {
            uint64_t due_ns = send_due(l, s, now_ns);
            wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
        } else if (pulse) {
            give_up_stalled(l, s, now_ns);
        }
    }
    struct list *link;
    while ((link = list_pop(&l->ready)) != NULL) {
        struct publisher *p = container_of(link, struct publisher, ready);
        while (window_has_room(p)) {
            send_message(l, p, now_ns);
        }
    }
    return wake_ns;
}

/* ---- deliveries */

void load_measure(struct load *l, uint64_t now_ns)
{
    l->from_ns = now_ns;
    l->to_ns = UINT64_MAX;
    l->counts.window_sent = l->counts.sent;
    l->counts.window_deliveries = l->counts.deliveries;
}

void load_measure_end(struct load *l, uint64_t now_ns)
{
    l->to_ns = now_ns;
    l->counts.window_sent = l->counts.sent - l->counts.window_sent;
    l->counts.window_deliveries = l->counts.deliveries - l->counts.window_deliveries;
}

static void check_strictly(struct load *l, const struct client *c, struct tag tag,
                           struct str delivery)
{
    tag_write(l->text, tag);
    struct str text = {l->text, l->options->size};
    l->counts.malformed += !l->options->adapter->sound(&c->member, delivery, text);
}

void load_delivered(struct load *l, struct client *c, struct tag tag, struct str delivery,
                    uint64_t now_ns)
{
    struct bench_room *room = c->room;
    uint32_t local = tag.publisher - room->first_publisher;
    if (local >= room->publishers || c->tracks == NULL) {
        l->counts.strays++;
        return;
    }
    struct publisher *p = &l->publishers[tag.publisher];
    if (tag.number >= p->next) {
        l->counts.strays++; /* was never sent */
        return;
    }
    enum check_verdict verdict = check_number(&c->tracks[local], tag.number);
    if (verdict == CHECK_REPEATED) {
        l->counts.duplicates++;
        return;
    }
    l->counts.reordered += verdict == CHECK_LATE;
    l->counts.deliveries++;
    l->outstanding--;
    struct slot *slot = &p->slots[tag.number & p->mask];
    bool first = false;
    if (slot->number == tag.number && slot->left > 0) {
        first = slot->left == room->receivers;
        if (slot->due_ns >= l->from_ns && slot->due_ns < l->to_ns) {
            histogram_add(p->schedule->latency, now_ns > slot->due_ns ? now_ns - slot->due_ns : 0);
        }
        if (--slot->left == 0 && p->schedule->rate <= 0) {
            advance(l, p);
        }
    }
    if (room->ordered) {
        uint64_t id = (uint64_t)tag.publisher << 32 | tag.number;
        l->counts.diverged += !check_order_met(&room->order, &c->place, id, first);
    }
    if (l->options->strict && p->to_user == UINT32_MAX) {
        check_strictly(l, c, tag, delivery);
    }
}

/* ---- answers */

const struct load_counts *load_counts(const struct load *l)
{
    return &l->counts;
}

bool load_all_arrived(const struct load *l)
{
    return l->outstanding == 0;
}

uint64_t load_missing(const struct load *l, const struct client *c)
{
    uint64_t missing = 0;
    for (uint32_t i = 0; c->tracks != NULL && i < c->room->publishers; i++) {
        missing += check_missing(&c->tracks[i], l->publishers[c->room->first_publisher + i].next);
    }
    return missing;
}

uint64_t load_sent_to(const struct load *l, const struct client *c)
{
    uint64_t sent = 0;
    for (uint32_t i = 0; c->tracks != NULL && i < c->room->publishers; i++) {
        sent += l->publishers[c->room->first_publisher + i].next;
    }
    return sent;
}
