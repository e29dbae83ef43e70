/* SPDX-License-Identifier: MIT */
/* Reading a room's log. */
#include "gateway/bus/redis.h"

#include <hiredis/hiredis.h>

struct read_ask {
    struct ask ask;
    struct bus_call *call; /* borrowed until done */
    struct bus_room *room; /* ref */
    uint64_t from, to;
    char epoch[BUS_EPOCH_LEN];
};

static bool write_read(struct ask *a, struct args *out)
{
    const struct read_ask *r = container_of(a, struct read_ask, ask);
    ARGS_LIT(out, "FCALL");
    ARGS_LIT(out, "parley1_read");
    ARGS_LIT(out, "2");
    arg_sub(out, r->room->channel.name, ":meta", STR(""));
    arg_sub(out, r->room->channel.name, ":log", STR(""));
    ask_add_fence(a->redis, out);
    ask_add_ttls(&r->room->policy, out);
    args_add(out, (struct str){r->epoch, BUS_EPOCH_LEN});
    args_num(out, r->from);
    args_num(out, r->to);
    args_num(out, BUS_READ_MAX);
    return true;
}

/* The last run of consecutive valid messages in the answer: what is before a hole, or a line that
 * no client may see, counts as not kept. */
static void collect(struct ask *a, const redisReply *reply, struct bus_result *result,
                    struct str lines[BUS_READ_MAX])
{
    const struct read_ask *r = container_of(a, struct read_ask, ask);
    for (size_t i = 2; i + 1 < reply_count(reply); i += 2) {
        uint64_t offset;
        struct str line = reply_text_at(reply, i + 1);
        bool good = reply_u64_at(reply, i, &offset) && offset >= r->from && offset <= r->to &&
                    line.ptr != NULL && payload_line_valid(line, a->redis->limits.line_bytes) &&
                    line.ptr[0] == '{';
        if (!good || offset != result->first + result->line_count ||
            result->line_count == BUS_READ_MAX) {
            result->line_count = 0;
            result->first = good ? offset : 0;
        }
        if (good) {
            lines[result->line_count++] = line;
        }
    }
    if (result->line_count == 0) {
        result->first = r->from;
    }
    result->lines = lines;
}

static void answer_read(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct str lines[BUS_READ_MAX];
    struct bus_result result = {.err = err};
    struct str epoch = reply_text_at(reply, 0);
    if (err == BUS_OK && epoch.len == BUS_EPOCH_LEN &&
        reply_u64_at(reply, 1, &result.position.offset)) {
        memcpy(result.position.epoch, epoch.ptr, BUS_EPOCH_LEN);
        collect(a, reply, &result, lines);
    }
    bus_done(container_of(a, struct read_ask, ask)->call, &result);
}

static void clear_read(struct ask *a)
{
    room_unref(container_of(a, struct read_ask, ask)->room);
}

static const struct ask_kind read_kind = {
    .command = COMMAND_READ,
    .repeatable = true,
    .metered = true,
    .write = write_read,
    .answer = answer_read,
    .clear = clear_read,
};

void redis_read(struct bus *b, struct bus_room *room, const struct bus_range *range,
                struct bus_call *call)
{
    if (range->epoch.len != BUS_EPOCH_LEN) {
        bus_settle(b, call, BUS_OK);
        return;
    }
    struct read_ask *a;
    if (!ask_fits(redis_of(b), sizeof(*a), call)) {
        return;
    }
    a = ask_new(redis_of(b), &read_kind, sizeof(*a));
    a->call = call;
    a->room = room_ref(room);
    a->from = range->from;
    a->to = range->to;
    memcpy(a->epoch, range->epoch.ptr, BUS_EPOCH_LEN);
    ask_send(&a->ask);
}
