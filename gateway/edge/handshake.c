/* SPDX-License-Identifier: MIT */
#include "gateway/edge/handshake.h"

#include "gateway/config.h"
#include "gateway/edge/origin.h"

#include <strings.h>

#define KEY_LEN 24 /* 16 bytes in base64 (RFC 6455, section 4.1): 22 characters and two fillers */
/* Past 255 characters libwebsockets drops the connection without an answer. */
#define EXTENSIONS_MAX 250

static const struct refusal refusals[] = {
#define X(id, label, status, code, text) \
    [REJECT_##id] = {REJECT_##id, status, code, text, (status) == 503 ? HANDSHAKE_SPREAD_S : 0},
    STATS_REJECTS(X)
#undef X
};

typedef bool check(const struct handshake_request *r, const struct handshake_door *door);

static bool equal_case(struct str a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.ptr, b, a.len) == 0;
}

static const struct handshake_value *value(const struct handshake_request *r,
                                           enum handshake_field field)
{
    return &r->fields[field];
}

static bool path_is_ours(const struct handshake_request *r, const struct handshake_door *door)
{
    return door->path != NULL && str_equal(r->path, str_from(door->path));
}

static bool method_is_get(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    return str_equal(r->method, STR("GET"));
}

static bool method_reads(const struct handshake_request *r, const struct handshake_door *door)
{
    return method_is_get(r, door) || str_equal(r->method, STR("HEAD"));
}

/* A line of the PROXY protocol is no part of HTTP; libwebsockets takes it for a header field, and
 * who sends it believes that it is believed. */
static bool no_proxy_line(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    return value(r, FIELD_PROXY_LINE)->state == VALUE_ABSENT;
}

static bool http_is_known(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *v = value(r, FIELD_HTTP_VERSION);
    return v->state == VALUE_ONE &&
           (str_equal(v->text, STR("HTTP/1.1")) || str_equal(v->text, STR("HTTP/1.0")));
}

static bool http_is_1_1(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    return str_equal(value(r, FIELD_HTTP_VERSION)->text, STR("HTTP/1.1"));
}

/* A request of HTTP/1.1 has exactly one Host (RFC 9112, section 3.2). */
static bool host_is_one(const struct handshake_request *r, const struct handshake_door *door)
{
    const struct handshake_value *v = value(r, FIELD_HOST);
    return v->state == VALUE_ONE || (v->state == VALUE_ABSENT && !http_is_1_1(r, door));
}

/* A request for an upgrade has no body: its bytes would be read as frames. */
static bool has_no_body(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *length = value(r, FIELD_CONTENT_LENGTH);
    return value(r, FIELD_TRANSFER_ENCODING)->state == VALUE_ABSENT &&
           (length->state == VALUE_ABSENT ||
            (length->state == VALUE_ONE && str_equal(length->text, STR("0"))));
}

static bool asks_no_upgrade(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    return value(r, FIELD_UPGRADE)->state == VALUE_ABSENT;
}

static bool upgrade_is_websocket(const struct handshake_request *r,
                                 const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *v = value(r, FIELD_UPGRADE);
    return v->state == VALUE_ONE && equal_case(v->text, "websocket");
}

static bool connection_has_upgrade(const struct handshake_request *r,
                                   const struct handshake_door *door)
{
    (void)door;
    struct str rest = value(r, FIELD_CONNECTION)->text;
    while (rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        struct str token = {rest.ptr, comma == NULL ? rest.len : (size_t)(comma - rest.ptr)};
        size_t taken = token.len + (comma == NULL ? 0 : 1);
        rest = (struct str){rest.ptr + taken, rest.len - taken};
        while (token.len > 0 && (*token.ptr == ' ' || *token.ptr == '\t')) {
            token = (struct str){token.ptr + 1, token.len - 1};
        }
        while (token.len > 0 && strchr(" \t", token.ptr[token.len - 1]) != NULL) {
            token.len--;
        }
        if (equal_case(token, "upgrade")) {
            return true;
        }
    }
    return false;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool key_is_valid(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *v = value(r, FIELD_KEY);
    if (v->state != VALUE_ONE || v->text.len != KEY_LEN ||
        memcmp(v->text.ptr + KEY_LEN - 2, "==", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < KEY_LEN - 2; i++) {
        if (!is_base64(v->text.ptr[i])) {
            return false;
        }
    }
    return true;
}

static bool version_is_13(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *v = value(r, FIELD_WS_VERSION);
    return v->state == VALUE_ONE && str_equal(v->text, STR("13"));
}

static bool offers_are_sane(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)door;
    const struct handshake_value *v = value(r, FIELD_EXTENSIONS);
    return v->state == VALUE_ABSENT || (v->state == VALUE_ONE && v->text.len <= EXTENSIONS_MAX);
}

static bool origin_is_allowed(const struct handshake_request *r, const struct handshake_door *door)
{
    const struct handshake_value *v = value(r, FIELD_ORIGIN);
    if (v->state == VALUE_ABSENT) {
        return door->config->client.allow_no_origin;
    }
    return v->state == VALUE_ONE && origin_allowed(&door->config->client.allowed_origins, v->text,
                                                   value(r, FIELD_HOST)->text);
}

static bool is_not_draining(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)r;
    return !door->draining;
}

static bool has_room(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)r;
    return !door->full;
}

static bool has_memory(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)r;
    return !door->no_memory;
}

static bool address_has_room(const struct handshake_request *r, const struct handshake_door *door)
{
    (void)r;
    return !door->crowded;
}

struct rule {
    check *holds;
    enum stats_reject reason;
    unsigned status; /* 0: the reason's own */
};

/* In this order; the first that does not hold is the answer. */
static const struct rule upgrade_rules[] = {
    {path_is_ours, REJECT_PATH, 0},
    {method_is_get, REJECT_METHOD, 0},
    {no_proxy_line, REJECT_REQUEST, 0},
    {http_is_known, REJECT_REQUEST, 505},
    {http_is_1_1, REJECT_REQUEST, 0},
    {host_is_one, REJECT_REQUEST, 0},
    {has_no_body, REJECT_REQUEST, 0},
    {upgrade_is_websocket, REJECT_REQUEST, 0},
    {connection_has_upgrade, REJECT_REQUEST, 0},
    {key_is_valid, REJECT_REQUEST, 0},
    {version_is_13, REJECT_VERSION, 0},
    {offers_are_sane, REJECT_REQUEST, 0},
    {origin_is_allowed, REJECT_ORIGIN, 0},
};

/* Then these, in which the request itself has no part. */
static const struct rule door_rules[] = {
    {is_not_draining, REJECT_DRAINING, 0},
    {has_room, REJECT_FULL, 0},
    {has_memory, REJECT_MEMORY, 0},
    {address_has_room, REJECT_ADDRESS, 0},
};

static const struct rule plain_rules[] = {
    {no_proxy_line, REJECT_REQUEST, 0}, {http_is_known, REJECT_REQUEST, 505},
    {method_reads, REJECT_METHOD, 0},   {host_is_one, REJECT_REQUEST, 0},
    {has_no_body, REJECT_REQUEST, 0},   {asks_no_upgrade, REJECT_REQUEST, 0},
};

static bool follow(const struct rule *rules, size_t count, const struct handshake_request *r,
                   const struct handshake_door *door, struct refusal *why)
{
    for (size_t i = 0; i < count; i++) {
        if (!rules[i].holds(r, door)) {
            *why = refusals[rules[i].reason];
            if (rules[i].status != 0) {
                why->status = rules[i].status;
            }
            return false;
        }
    }
    return true;
}

struct refusal refusal_of(enum stats_reject reason)
{
    return refusals[reason];
}

bool handshake_check(const struct handshake_request *r, const struct handshake_door *door,
                     struct refusal *why)
{
    return follow(upgrade_rules, ARRAY_LEN(upgrade_rules), r, door, why) &&
           handshake_is_open(door, why);
}

bool handshake_is_open(const struct handshake_door *door, struct refusal *why)
{
    return follow(door_rules, ARRAY_LEN(door_rules), NULL, door, why);
}

bool handshake_check_plain(const struct handshake_request *r, struct refusal *why)
{
    return follow(plain_rules, ARRAY_LEN(plain_rules), r, NULL, why);
}
