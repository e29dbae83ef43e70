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
    args_add(out, link_fence(a->redis->commands));
    args_num(out, r->room->policy.history_ttl_ms);
    args_add(out, (struct str){r->epoch, BUS_EPOCH_LEN});
    args_num(out, r->from);
    args_num(out, r->to);
    args_num(out, BUS_READ_MAX);
    return true;
}

/* The last run of consecutive messages in the answer, as far as they were asked for: what is before
 * a hole, or a batch with a line that no client may see, counts as not kept. */
static void collect(struct ask *a, const redisReply *reply, struct bus_result *result,
                    struct str lines[BUS_READ_MAX])
{
    const struct read_ask *r = container_of(a, struct read_ask, ask);
    struct payload *p = &a->redis->payload;
    for (size_t i = 1; i < reply_count(reply) && result->line_count < BUS_READ_MAX; i++) {
        payload_read(p, reply_text_at(reply, i), &a->redis->limits);
        if (p->kind != PAYLOAD_LOG) {
            result->line_count = 0;
            continue;
        }
        for (size_t k = 0; k < p->line_count && result->line_count < BUS_READ_MAX; k++) {
            uint64_t offset = p->first + k;
            if (offset < r->from || offset > r->to) {
                continue;
            }
            if (offset != result->first + result->line_count) {
                result->first = offset;
                result->line_count = 0;
            }
            lines[result->line_count++] = p->lines[k];
        }
    }
    if (result->line_count == 0) {
        result->first = r->from;
    }
    payload_chats(&a->redis->chats, lines, result->line_count, result->first);
    result->lines = lines;
}

static void answer_read(struct ask *a, enum bus_err err, const redisReply *reply)
{
    struct str lines[BUS_READ_MAX];
    struct bus_result result = {.err = err};
    uint64_t same_epoch = 0;
    if (err == BUS_OK && !reply_u64_at(reply, 0, &same_epoch)) {
        result.err = BUS_REFUSED;
    } else if (err == BUS_OK) {
        result.other_epoch = same_epoch == 0;
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
