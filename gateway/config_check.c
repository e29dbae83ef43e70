/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "gateway/files.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX_LEAST ((size_t)16 << 20) /* idle it is 8 to 10 MiB */

enum order { LESS, AT_MOST, AT_LEAST, MORE_THAN_TWICE };

static const char *const order_text[] = {
    [LESS] = "less than",
    [AT_MOST] = "at most",
    [AT_LEAST] = "at least",
    [MORE_THAN_TWICE] = "more than twice",
};

static const struct relation {
    const char *section, *key;
    enum order order;
    const char *other_section, *other_key;
    const char *why;
} relations[] = {
    {"client", "heartbeat_timeout", LESS, "client", "heartbeat",
     "a ping must be answered or given up before the next is due"},
    {"client", "backlog_soft", LESS, "client", "backlog_hard",
     "a slow client skips messages before it is closed"},
    {"client", "backlog_soft", AT_LEAST, "client", "max_message_bytes", "one message must fit"},
    {"redis", "publish_buffer", AT_LEAST, "client", "max_message_bytes", "one message must fit"},
    {"redis", "request_buffer", AT_LEAST, "client", "max_message_bytes", "one direct must fit"},
    {"redis", "reconnect_min", AT_MOST, "redis", "reconnect_max", "the wait only grows"},
    {"redis", "lease", MORE_THAN_TWICE, "redis", "tick",
     "one sign of life that comes late must not look like a death"},
};

static const struct config_setting *setting(const char *section, const char *key)
{
    const struct config_setting *s = config_settings;
    while (strcmp(s->section, section) != 0 || strcmp(s->key, key) != 0) {
        s++;
        assert(s < config_settings + config_setting_count);
    }
    return s;
}

static const struct config_origin *origin_of(const struct config_load *l,
                                             const struct config_setting *s)
{
    return &l->origins[s - config_settings];
}

static bool holds(uint64_t left, enum order order, uint64_t right)
{
    switch (order) {
    case LESS:
        return left < right;
    case AT_MOST:
        return left <= right;
    case AT_LEAST:
        return left >= right;
    case MORE_THAN_TWICE:
        return left > 2 * right;
    }
    return false;
}

static void check_relation(struct config_load *l, const struct relation *r)
{
    const struct config_setting *left = setting(r->section, r->key);
    const struct config_setting *right = setting(r->other_section, r->other_key);
    const struct config_origin *a = origin_of(l, left), *b = origin_of(l, right);
    if (a->bad || b->bad ||
        holds(config_value_number(l->config, left), r->order,
              config_value_number(l->config, right))) {
        return;
    }
    /* Whoever set one of the two last made the contradiction. */
    struct buf text = {NULL, 0, 0};
    buf_addf(&text, "%s.%s=", left->section, left->key);
    config_value_add(&text, l->config, left);
    buf_addf(&text, " must be %s %s.%s=", order_text[r->order], right->section, right->key);
    config_value_add(&text, l->config, right);
    config_error(l, b->rank > a->rank ? &b->place : &a->place, "%.*s: %s", STR_ARG(buf_str(&text)),
                 r->why);
    buf_fini(&text);
}

static size_t count_in(const struct config_list *list, const char *item)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        count += strcmp(list->items[i], item) == 0;
    }
    return count;
}

static void check_listeners(struct config_load *l)
{
    const struct config *c = l->config;
    const struct config_origin *server = origin_of(l, setting("server", "listen"));
    const struct config_origin *admin = origin_of(l, setting("admin", "listen"));
    if (server->bad || admin->bad) {
        return;
    }
    if (c->server.listen.count == 0) {
        config_error(l, &server->place, "server.listen needs at least one address");
    }
    for (size_t i = 0; i < c->server.listen.count; i++) {
        const char *item = c->server.listen.items[i];
        if (count_in(&c->server.listen, item) > 1) {
            config_error(l, &server->place, "server.listen has %s twice", item);
            return;
        }
        if (count_in(&c->admin.listen, item) > 0) {
            config_error(l, &admin->place, "admin.listen=%s is in server.listen, too", item);
        }
    }
    for (size_t i = 0; i < c->admin.listen.count; i++) {
        if (count_in(&c->admin.listen, c->admin.listen.items[i]) > 1) {
            config_error(l, &admin->place, "admin.listen has %s twice", c->admin.listen.items[i]);
            return;
        }
    }
}

static void check_origins(struct config_load *l)
{
    const struct config_origin *origin = origin_of(l, setting("client", "allowed_origins"));
    if (!origin->bad && count_in(&l->config->client.allowed_origins, "*") > 0) {
        config_warning(l, &origin->place,
                       "client.allowed_origins=*: pages of every site may connect");
    }
}

static void check_redis_url(struct config_load *l)
{
    const struct config_origin *url = origin_of(l, setting("redis", "url"));
    const struct config_origin *file = origin_of(l, setting("redis", "url_file"));
    if (url->rank == file->rank && url->rank != CONFIG_DEFAULT) {
        config_error(l, &file->place, "redis.url and redis.url_file are both set; keep one");
    }
}

static void check_max_connections(struct config_load *l)
{
    const struct config_origin *origin = origin_of(l, setting("client", "max_connections"));
    uint64_t limit = files_limit();
    unsigned most = files_max_connections(limit);
    if (!origin->bad && l->config->client.max_connections > most) {
        config_error(
            l, &origin->place,
            "client.max_connections=%u needs more than the %llu files that this process may "
            "open; at most %u, or raise the limit (ulimit -n, LimitNOFILE=)",
            l->config->client.max_connections, (unsigned long long)limit, most);
    }
}

/* Below that it would be over before anybody came. */
static void check_memory_max(struct config_load *l)
{
    const struct config_origin *origin = origin_of(l, setting("server", "memory_max"));
    size_t max = l->config->server.memory_max;
    if (!origin->bad && max > 0 && max < MEMORY_MAX_LEAST) {
        config_error(l, &origin->place,
                     "server.memory_max=%zu is less than a gateway needs by itself; at least 16m, "
                     "or 0 for no limit",
                     max);
    }
}

/* Several gateways, each with a health page of its own, are one cluster only through Redis. */
static void check_workers(struct config_load *l)
{
    const struct config *c = l->config;
    const struct config_origin *origin = origin_of(l, setting("server", "workers"));
    if (origin->bad || c->server.workers == 1) {
        return;
    }
    if (c->redis.url[0] == '\0') {
        config_error(l, &origin->place,
                     "server.workers=%u needs redis.url: without Redis each worker would have "
                     "rooms of its own",
                     c->server.workers);
    }
    for (size_t i = 0; i < c->admin.listen.count; i++) {
        if (strncmp(c->admin.listen.items[i], "fd:", 3) == 0) {
            config_error(l, &origin->place,
                         "admin.listen=%s cannot be shared by several workers; give an address",
                         c->admin.listen.items[i]);
        }
    }
}

void config_check(struct config_load *l)
{
    for (size_t i = 0; i < ARRAY_LEN(relations); i++) {
        check_relation(l, &relations[i]);
    }
    check_listeners(l);
    check_workers(l);
    check_origins(l);
    check_redis_url(l);
    check_max_connections(l);
    check_memory_max(l);
    config_kinds_check(l);
}

bool config_check_mixture(struct config *c, const struct config_report *report)
{
    struct config_load l = {.config = c, .report = report};
    l.origins = xcalloc(config_setting_count, sizeof(*l.origins));
    for (size_t i = 0; i < config_setting_count; i++) {
        l.origins[i].place.source = STR("without a restart");
    }
    for (size_t i = 0; i < ARRAY_LEN(relations); i++) {
        check_relation(&l, &relations[i]);
    }
    free(l.origins);
    return !l.failed;
}
