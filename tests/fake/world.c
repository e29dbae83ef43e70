/* SPDX-License-Identifier: MIT */
#include "tests/fake/world.h"

#include "gateway/chat/chat.h"
#include "tests/fake/bus.h"
#include "tests/fake/time.h"
#include "tests/fake/ws.h"
#include "tests/unit/unit.h"

static char gateway_name[] = "gw-1";

void world_start_context(struct world *w)
{
    *w = (struct world){.ctx = {.loop = fake_loop(), .wheel = fake_wheel(), .bus = fake_bus()}};
    w->ctx.config = &w->config;
    w->ctx.stats = &w->stats;
    w->config.server.gateway_name = gateway_name;
    w->config.client.join_timeout_ms = 60000;
    w->config.client.max_json_depth = 16;
    w->config.client.max_json_nodes = 256;
    w->config.client.max_rooms = 128;
    w->config.client.heartbeat_ms = 25000;
    w->config.room.presence = CONFIG_PRESENCE_FULL;
    w->config.room.presence_interval_ms = 250;
    w->config.room.rejoin_grace_ms = 3000;
    w->config.room_name_max_bytes = 128;
    w->config.redis.command_timeout_ms = 2000;
    fake_time_start();
    fake_bus_start();
}

void world_end_context(struct world *w)
{
    buf_fini(&w->ctx.text);
    fake_bus_end();
}

void world_start(struct world *w)
{
    struct ws_handlers handlers;
    struct bus_events events;
    world_start_context(w);
    w->chat = chat_new(&w->ctx);
    chat_ws_handlers(w->chat, &handlers);
    chat_bus_events(w->chat, &events);
    bus_start(w->ctx.bus, &events);
    w->ctx.ws = ws_new(w->ctx.loop, w->ctx.wheel, &w->config, &w->stats, &handlers);
}

void world_end(struct world *w)
{
    fake_ws_end_all(w->ctx.ws);
    fake_bus_settle();
    ck_assert_msg(!fake_bus_is_used(), "a room or user was not closed, or a call not completed");
    world_take_down(w);
}

void world_take_down(struct world *w)
{
    fake_ws_end_all(w->ctx.ws);
    fake_bus_drop();
    chat_free(w->chat);
    ws_free(w->ctx.ws);
    ck_assert_uint_eq(w->stats.connections, 0);
    ck_assert_uint_eq(w->stats.rooms, 0);
    ck_assert_uint_eq(w->stats.memberships, 0);
    ck_assert_uint_eq(w->stats.users, 0);
    ck_assert_uint_eq(w->stats.send_queue_bytes, 0);
    ck_assert_msg(!fake_timer_is_set(), "a timer outlives the chat");
    world_end_context(w);
}

struct ws_conn *world_join(struct world *w, const char *user, const char *room)
{
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    struct ws_conn *c = fake_ws_open(w->ctx.ws);
    char text[256];
    snprintf(text, sizeof(text), "{\"type\":\"join\",\"data\":{\"room\":\"%s\",\"user\":\"%s\"}}",
             room, user);
    fake_ws_say(c, text);
    fake_bus_complete(&state);
    fake_time_pass(w->config.room.presence_interval_ms);
    fake_bus_complete(&state);
    fake_time_pass(w->config.room.presence_interval_ms);
    ck_assert_str_ne(fake_ws_heard(c), "");
    return c;
}

void world_log(const char *room, char epoch, uint64_t first, uint64_t last)
{
    static char texts[32][24];
    struct str lines[32];
    const struct bus_position position = fake_position(epoch, last);
    size_t count = 0;
    for (uint64_t offset = first; offset <= last; offset++) {
        snprintf(texts[count], sizeof(texts[count]), "%llu", (unsigned long long)offset);
        lines[count] = str_from(texts[count]);
        count++;
    }
    fake_bus_events()->on_log(fake_bus_room(room), &position, first, lines, count);
}
