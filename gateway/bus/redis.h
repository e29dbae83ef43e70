/* SPDX-License-Identifier: MIT */
/* redis: the inside of the Redis bus, shared by the files redis*.c and reap.c. One subject each:
 *   redis.c           the table of functions, start, close, health
 *   redis_ask.c       commands: waiting for the link, deadlines, repeats
 *   redis_error.c     what Redis's error replies mean; the account of them
 *   redis_channel.c   subscriptions: what is wanted against what Redis has confirmed
 *   redis_room.c      rooms: opening, reading their state, passing payloads up
 *   redis_publish.c   group commit
 *   redis_presence.c  registers and digests
 *   redis_members.c   pages of members
 *   redis_user.c      users and direct messages
 *   redis_read.c      reading a room's log
 *   redis_lease.c     the tick: who this gateway is, its lease, its beat
 *   redis_others.c    the judgement of the other gateways
 *   redis_reap.c      the leaves of dead gateways
 *   redis_check.c     the background check: ghosts, and what somebody altered by hand */
#ifndef GATEWAY_BUS_REDIS_H
#define GATEWAY_BUS_REDIS_H

#include "gateway/bus/args.h"
#include "gateway/bus/impl.h"
#include "gateway/bus/lease.h"
#include "gateway/bus/link.h"
#include "gateway/bus/payload.h"
#include "gateway/bus/url.h"
#include "gateway/gather.h"

struct redis;
struct redisReply;

struct ask;
struct ask_kind {
    enum stats_command command;
    /* May be sent again when the link fell before the reply. */
    bool repeatable;
    /* Is part of proving that this gateway is alive: the others wait for that. */
    bool proof;
    /* Is made for a client's request: together they may hold redis.request_buffer. */
    bool metered;
    /* Puts the command together, when it is sent. False: nothing is left to send; the ask is freed.
     */
    bool (*write)(struct ask *a, struct args *out);
    /* reply is Redis's (borrowed) when err is BUS_OK, else NULL. Called once; the ask is freed
     * after. */
    void (*answer)(struct ask *a, enum bus_err err, const struct redisReply *reply);
    /* Frees what is in it; NULL: nothing. */
    void (*clear)(struct ask *a);
};

/* Embedded as the first member of what is asked, from xcalloc; owned by the asks. */
struct ask {
    struct link_request request;
    struct list in_waiting;
    const struct ask_kind *kind;
    struct redis *redis;
    uint64_t seq;         /* order of asking, kept through repeats */
    uint64_t deadline_ms; /* unsent by then: BUS_UNAVAILABLE */
    size_t size;          /* as given to ask_new */
    bool loaded;          /* repeated once after FUNCTION LOAD */
};

/* size: of the struct around, and of what hangs on it behind. */
void *ask_new(struct redis *s, const struct ask_kind *kind, size_t size);
/* Before ask_new of a metered kind. False: too much is asked for already; call is settled. */
bool ask_fits(struct redis *s, size_t size, struct bus_call *call);
void ask_send(struct ask *a);
void ask_init_all(struct redis *s);
void ask_fini_all(struct redis *s);
void ask_pump(struct redis *s);            /* sends what may be sent */
void ask_watch_deadlines(struct redis *s); /* something waits now: an ask, a message, an open */
void ask_fail_waiting(struct redis *s);    /* all that wait: BUS_UNAVAILABLE */

/* One command was refused, with this text: what that means for who asked. */
enum bus_err error_note(struct redis *s, enum stats_command command, const char *text);
/* One command was done: what that shows of those that were refused before. */
void error_passed(struct redis *s, enum stats_command command);
bool error_drops_link(const char *text); /* what says this is no use as long as it is connected */
void error_tick(struct redis *s);        /* at every tick */
/* What is refused, in words, or NULL; unready: so that the gateway is not ready. */
const char *error_word(const struct redis *s, bool *unready);

/* Words that many functions take: fence and epoch candidate; history_ttl and dedupe_ttl. */
void ask_add_fence(struct redis *s, struct args *out);
void ask_add_ttls(const struct room_policy *policy, struct args *out);

/* Replies of strange shapes (R13): {NULL,0} and 0 where the type is another. */
struct str reply_text(const struct redisReply *r);
struct str reply_text_at(const struct redisReply *r, size_t i);
size_t reply_count(const struct redisReply *r);
bool reply_u64_at(const struct redisReply *r, size_t i, uint64_t *out);
bool reply_u64(const struct redisReply *r, uint64_t *out);

void key_room(const struct redis *s, struct buf *out, struct str room);  /* …room:{general} */
void key_user(const struct redis *s, struct buf *out, struct str user);  /* …user:{bob} */
void key_gateway(const struct redis *s, struct buf *out, struct str id); /* …gateway:<id> */
/* <prefix>:<name> as a word */
void arg_key(const struct redis *s, struct args *out, const char *name);
void arg_gateway(const struct redis *s, struct args *out, struct str id, const char *suffix);
/* <base><suffix><tail> as a word; base is a room's or user's channel name */
void arg_sub(struct args *out, struct str base, const char *suffix, struct str tail);
/* The dedupe key below base: base:key:<bytes of user>:<user>:<key>. */
void arg_dedupe(struct args *out, struct str base, struct str user, struct str key);

struct channel;
struct channel_kind {
    void (*on_fed)(struct channel *c);  /* Redis has confirmed: payloads come from now on */
    void (*on_lost)(struct channel *c); /* the link fell; on_fed comes again when it is back */
    void (*on_payload)(struct channel *c, struct str payload);
    void (*on_gone)(struct channel *c); /* unwanted and unsubscribed: may be freed */
};

/* Embedded as the first member of a room, a user, or the own channel. */
struct channel {
    const struct channel_kind *kind;
    struct redis *redis;
    struct list in_dirty; /* what is wanted and what was sent differ; or in a list of the moment */
    unsigned unconfirmed; /* commands whose confirmation is not here yet */
    bool wanted;
    bool sent;             /* the last command sent for it was SUBSCRIBE */
    bool fed;              /* wanted, and confirmed */
    struct bus_call *call; /* of the open under way, which it holds with a deadline; or NULL */
    struct str name;       /* the channel's whole name; owned with the struct around */
};

void channel_init(struct channel *c, struct redis *s, const struct channel_kind *kind);
void channel_want(struct channel *c);
void channel_drop(struct channel *c);                           /* c may be gone after this */
void channel_opening(struct channel *c, struct bus_call *call); /* call waits, with a deadline */
void channel_opened(struct channel *c, const struct bus_result *result); /* completes it, if any */
void channel_settle(struct channel *c, enum bus_err err); /* the same at the end of the turn */
void channel_expire(struct redis *s, uint64_t now_ms);
void channel_link_up(struct redis *s);
void channel_link_down(struct redis *s);
void channel_flush(void *redis); /* task: sends what differs */
void channel_push(struct redis *s, const struct redisReply *reply);
void channel_free_all(struct redis *s);
struct channel *channel_find(struct redis *s, struct str name);

enum room_read { ROOM_READ_NONE, ROOM_READ_QUEUED, ROOM_READ_SENT };

struct bus_room {
    struct channel channel;
    void *ctx;
    struct room_policy policy; /* a copy: the config may change */
    unsigned refs;             /* asks that know it */
    bool open;                 /* between bus_open_room and bus_close_room */
    bool alive;                /* its state was told, payloads go up */
    enum room_read read;
    bool read_again; /* something changed since the read was sent */
    struct list in_reads;
    struct bus_position floor; /* state told: what is at or below it is not repeated */
    struct list held;          /* payloads that came before the state; owned */
    size_t held_bytes;
    bool held_over;        /* some did not fit */
    struct list in_linger; /* closed, still subscribed */
    uint64_t linger_ms;
    struct list pending; /* of struct message: to be published */
    bool publishing;     /* a publish is under way, or comes with the next wave */
    struct list in_publishing;
    bool in_set;           /* of the gateway's set of rooms */
    struct list in_checks; /* open rooms, the one that is to be checked next first */
    uint64_t members_seen; /* fields of our hash of members, by the check under way */
    uint64_t presences;    /* changes of the register asked for so far */
    uint64_t version;      /* of the last one */
    size_t name_len;
    char name[]; /* then the channel's name */
};

extern const struct channel_kind room_channel;
struct bus_room *room_ref(struct bus_room *r);
void room_unref(struct bus_room *r);
struct str bus_room_name(const struct bus_room *r);
/* Fills registers, an array with room for half of HGETALL's elements; foreign fields are left out.
 */
size_t room_registers(const struct redisReply *online, struct bus_register *registers);
void room_reads_pump(struct redis *s);
void room_retry(struct redis *s); /* at every tick: reads that failed */
void room_linger(void *redis);    /* timer */
/* A new id: no room is in its set. Adds the names of the rooms where the old one may have written
 * its register. */
void room_forget_set(struct redis *s, struct args *rooms);
void room_reload_all(struct redis *s); /* the config was changed: their policies */

void publish_expire(struct redis *s, uint64_t now_ms);
void publish_flush(void *redis); /* task */

/* Sets of rooms of gateways: plain commands. */
void presence_set_remove(struct redis *s, struct str gateway, struct str room);

void lease_start(struct redis *s);
void lease_tick(void *redis);
void lease_link_up(struct redis *s);
void lease_link_down(struct redis *s);
void lease_late(struct redis *s);  /* a reply came late: nothing can be judged from it */
bool lease_clear(struct redis *s); /* this gateway is known to be alive: others' commands may go */
void lease_close(struct redis *s, void (*done)(struct redis *s));
bool lease_beat_is_fresh(const struct redis *s);
bool lease_was_ours(const struct redis *s, struct str id); /* an id that was given up */

void others_read(struct redis *s);          /* their counters */
void others_read_channels(struct redis *s); /* who subscribes to theirs */
void others_read_leftovers(struct redis *s);
void others_look(void *redis); /* timer */
void others_sentence(struct redis *s, const char *id, uint64_t counter);

void reap_start(struct redis *s, struct str gateway); /* sentenced, now or before */
/* An id that was ours leaves these rooms, and then those of its set. Takes what is in rooms. */
void reap_former(struct redis *s, struct str id, struct args *rooms);
/* Not among the living, but found in that room (empty: with a set of rooms): it leaves that room,
 * then those of its set. False: it is being reaped already. */
bool reap_ghost(struct redis *s, struct str gateway, struct str room);
void reap_fini(struct redis *s);
bool reap_idle(const struct redis *s);
void reap_leftovers(struct redis *s, const struct redisReply *reaping); /* HGETALL of it */

void check_rooms(struct redis *s, unsigned ticks); /* so many ticks after the last time */
void check_sets(struct redis *s);
void check_suspects(struct redis *s); /* at every tick */
void check_fini(struct redis *s);

/* Ids that were given up: digests of them may still come. */
#define FORMER_IDS 4

/* Who this gateway is in Redis, and what it knows of the others (redis_lease.c). */
struct redis_identity {
    struct channel *channel; /* the own one: owned until it is gone */
    uint64_t start;          /* the counter's random beginning */
    uint64_t counter;        /* the last that Redis confirmed */
    uint64_t uncertain;      /* renewals that were sent and never answered: they may count or not */
    bool registered;         /* the entry in <prefix>:gateways is ours */
    bool clear;              /* renewed over this link */
    bool renewing;
    bool announce;  /* on_identity is due once registered */
    uint64_t nonce; /* of the beat under way; 0: none */
    uint64_t nonce_us, beat_ms, beat_sent_ms;
    uint64_t tick_ms; /* when the last tick ran */
    unsigned ticks;
    char former[FORMER_IDS][BUS_ID_MAX]; /* NUL-terminated; empty: none */
    unsigned former_next;
    void (*closed)(struct redis *s);
};

/* Errors of one command since the last time that it was well (redis_error.c). */
struct redis_trouble {
    uint64_t count; /* 0: it is well */
    uint64_t last_ms;
    bool over;     /* something passed since: it is only not told of yet */
    uint32_t told; /* a bit for each kind of error that the log was told */
    enum stats_refusal newest;
    char word[96];
};

struct redis {
    struct bus base;
    struct url url;
    struct link *commands, *subscriber; /* owned */
    struct payload_limits limits;
    struct args args;       /* scratch of the moment */
    struct payload payload; /* scratch of the moment */
    struct buf chats;       /* scratch of the moment */

    struct list waiting; /* of struct ask, by seq */
    uint64_t seq;
    size_t under_way;
    size_t request_bytes; /* of asks that are metered */
    struct redis_trouble troubles[COMMAND_COUNT];
    bool refused;              /* one of them is not over */
    bool loading;              /* FUNCTION LOAD is under way */
    struct loop_timer *expiry; /* owned */
    bool expiring;             /* it runs */

    struct map channels;         /* of struct channel */
    struct list dirty;           /* of struct channel */
    struct list opening;         /* of struct bus_call, whose holders are channels */
    size_t unconfirmed;          /* channels of commands whose confirmation is not here yet */
    uint64_t confirmed_ms;       /* when the last one came, or the first was asked for */
    struct loop_task *subscribe; /* owned */

    struct list reads;  /* of struct bus_room: to be read */
    struct list failed; /* of struct bus_room: read failed, again at the next tick */
    size_t reads_under_way;
    struct list lingering;     /* of struct bus_room, by linger_ms */
    struct loop_timer *linger; /* owned */

    struct list messages; /* of struct message that wait, by deadline */
    size_t wave;          /* publishes under way */
    struct gather gather; /* messages, for the next wave */
    size_t publish_bytes;
    struct list publishing;    /* of struct bus_room (ref): the next wave */
    struct loop_task *publish; /* owned */

    struct redis_identity me;
    struct lease lease;
    struct loop_timer *tick, *look; /* owned */
    bool looking;
    struct list reaps;     /* of struct reap; owned */
    struct list leftovers; /* of struct leftover; owned */
    uint64_t others_ms; /* when the last answered reading of the others' counters was asked for */
    uint64_t reap_look_ms; /* after this `reaping` is to be looked at; 0: not */

    struct list checks; /* of struct bus_room */
    size_t check_count;
    size_t check_credit;  /* rooms times ticks, not used up yet */
    struct list suspects; /* of struct suspect; owned */
    size_t suspect_count;
    uint64_t scan; /* SCAN's cursor */

    struct loop_timer *closing; /* owned */
    bool is_closing;
};

static inline struct redis *redis_of(struct bus *b)
{
    return container_of(b, struct redis, base);
}

static inline uint64_t redis_now_ms(const struct redis *s)
{
    return loop_now_ms(s->base.loop);
}

/* The functions of the table (impl.h). */
struct bus_room *redis_open_room(struct bus *b, struct str name, void *ctx, struct bus_call *call);
void redis_close_room(struct bus *b, struct bus_room *room);
void redis_sync_room(struct bus *b, struct bus_room *room);
struct bus_user *redis_open_user(struct bus *b, struct str name, void *ctx, struct bus_call *call);
void redis_close_user(struct bus *b, struct bus_user *user);
void redis_publish(struct bus *b, struct bus_room *room, const struct bus_message *message,
                   struct bus_call *call);
void redis_signal(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                  struct bus_call *call);
void redis_direct(struct bus *b, const struct bus_note *note, struct bus_call *call);
void redis_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                    struct bus_call *call);
void redis_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                   struct bus_call *call);
void redis_read(struct bus *b, struct bus_room *room, const struct bus_range *range,
                struct bus_call *call);

#endif
