/* SPDX-License-Identifier: MIT */
/* bus_fixture: what the tests of the bus share: a private redis-server, and stations: a bus each,
 * with a record of what it was told. A test process that ends in any way takes its server with it.
 */
#ifndef TESTS_UNIT_BUS_FIXTURE_H
#define TESTS_UNIT_BUS_FIXTURE_H

#include "common/clock.h"
#include "gateway/bus/bus.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <check.h>
#include <hiredis/hiredis.h>
#include <sys/types.h>

struct server {
    pid_t pid; /* 0: not running */
    char dir[64];
    char url[128];
    redisContext *client; /* owned; NULL until it is used */
};

void server_open(struct server *s, const char *const *extra); /* extra: NULL-terminated, or NULL */
void server_close(struct server *s);
void server_start(struct server *s, const char *const *extra); /* again, after server_kill */
void server_kill(struct server *s);
void server_freeze(struct server *s);
void server_thaw(struct server *s);

/* One command, words split at spaces; the reply is the caller's (freeReplyObject). */
redisReply *server_ask(struct server *s, const char *words);
void server_do(struct server *s, const char *words); /* it must not fail */
long long server_int(struct server *s, const char *words);
/* The text of the reply, in a static buffer; arrays joined with spaces. */
const char *server_text(struct server *s, const char *words);

struct station {
    struct loop *loop; /* borrowed */
    struct bus *bus;   /* owned */
    struct config config;
    struct stats stats;
    char heard[1 << 18]; /* the events, a line each; see on_… in the .c */
    size_t heard_len;
    bool closed;
};

struct place { /* what stands behind a room_ctx or user_ctx */
    struct station *station;
    char name[64];
    struct bus_room *room;
    struct bus_user *user;
    char state[2048]; /* of the open: "epoch offset gateway=version:count …" */
};

/* url NULL: the memory bus. */
void station_open(struct station *st, struct loop *loop, const char *url, const char *name);
void station_free(struct station *st);
bool heard(const struct station *st, const char *text);
void forget(struct station *st); /* empties the record */
size_t heard_times(const struct station *st, const char *text);

/* A call and what came of it. */
struct waiter {
    struct bus_call call;
    unsigned times; /* completions */
    enum bus_err err;
    struct bus_position position;
    uint64_t first;
    size_t count; /* lines, or members */
    bool other_epoch;
    char text[65536]; /* lines, "user=connections" or state, with a space after each */
    char cursor[256];
};
struct bus_call *waiting(struct waiter *w); /* clears it and returns its call */

void place_open(struct place *p, struct station *st, const char *name); /* waits for it */
void place_open_user(struct place *p, struct station *st, const char *name);
/* Publishes {"text":…} and waits. */
enum bus_err say(struct place *p, const char *user, const char *key, const char *text,
                 struct bus_position *position);
enum bus_err be_present(struct place *p, uint64_t version, uint64_t connection, const char *user);

void turn(struct loop *loop); /* lets the loop run for about a millisecond */
uint64_t patience_ms(void);   /* how long a test waits for anything */

#define UNTIL(loop, condition)                                    \
    do {                                                          \
        uint64_t until_ms_ = clock_now_ms() + patience_ms();      \
        while (!(condition) && clock_now_ms() < until_ms_) {      \
            turn(loop);                                           \
        }                                                         \
        ck_assert_msg(condition, "did not come: %s", #condition); \
    } while (0)

/* Lets the loop run for so long. For "nothing happens" only. */
void let_run(struct loop *loop, uint64_t for_ms);

/* Runs the suite and prints its line; what main returns. */
int run_suite(Suite *suite);

#endif
