/* SPDX-License-Identifier: MIT */
#include "gateway/bus/payload.h"

#include "common/buf.h"
#include "common/names.h"
#include "common/span.h"
#include "common/utf8.h"

#include <assert.h>

/* Offsets, versions and counts pass through Lua's doubles. */
#define WHOLE_MAX ((uint64_t)1 << 53)
#define VERSION_MAX (WHOLE_MAX / 2) /* as in parley.lua */

/* A line that a gateway made of the largest client message fits, whatever was escaped in it, and so
 * it does when gateways of a rolling upgrade differ in client.max_message_bytes by this factor. */
#define LINE_FACTOR 4
#define LINE_MIN ((size_t)65536)

struct payload_limits payload_limits_of(const struct config *config)
{
    size_t message = config->client.max_message_bytes;
    size_t line = message * LINE_FACTOR;
    return (struct payload_limits){
        .line_bytes = line > LINE_MIN ? line : LINE_MIN,
        .outsider_bytes = message,
        .json = {config->client.max_json_depth, config->client.max_json_nodes},
    };
}

bool payload_u64(struct str digits, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9' || i == 16) {
            return false;
        }
        n = n * 10 + (uint64_t)(digits.ptr[i] - '0');
    }
    *out = n;
    return digits.len > 0 && n <= WHOLE_MAX;
}

bool payload_cursor(struct str digits, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)digits.ptr[i] - '0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return digits.len > 0;
}

bool payload_hex(struct str digits, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit == 16 || i == 16) {
            return false;
        }
        n = n << 4 | digit;
    }
    *out = n;
    return digits.len > 0;
}

bool payload_gateway_valid(struct str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return id.len > 0 && id.len < BUS_ID_MAX;
}

bool payload_line_valid(struct str line, size_t max_bytes)
{
    return line.len > 0 && line.len <= max_bytes && span_no_control(line) == line.len &&
           utf8_valid(line);
}

bool payload_register(struct str text, struct bus_register *out)
{
    const char *colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    struct str version = {text.ptr, (size_t)(colon - text.ptr)};
    struct str count = {colon + 1, text.len - version.len - 1};
    return payload_u64(version, &out->version) && out->version <= VERSION_MAX &&
           payload_u64(count, &out->count);
}

/* Takes what is before the first c off *rest; false when c is not there: then all of it. */
static bool take(struct str *rest, char c, struct str *out)
{
    const char *at = rest->len > 0 ? memchr(rest->ptr, c, rest->len) : NULL;
    *out = (struct str){rest->ptr, at == NULL ? rest->len : (size_t)(at - rest->ptr)};
    size_t used = out->len + (at == NULL ? 0 : 1);
    *rest = (struct str){rest->len > used ? rest->ptr + used : "", rest->len - used};
    return at != NULL;
}

static const char *read_log(struct payload *p, struct str head, struct str rest,
                            const struct payload_limits *limits)
{
    struct str epoch;
    uint64_t ignored;
    take(&head, ' ', &epoch);
    if (epoch.len != BUS_EPOCH_LEN || !payload_hex(epoch, &ignored) ||
        !payload_u64(head, &p->first) || p->first == 0) {
        return "head of a log";
    }
    memcpy(p->position.epoch, epoch.ptr, BUS_EPOCH_LEN);
    while (rest.len > 0) {
        struct str line;
        take(&rest, '\n', &line);
        if (p->line_count == PAYLOAD_LINES_MAX || !payload_line_valid(line, limits->line_bytes) ||
            line.ptr[0] != '{' || line.ptr[line.len - 1] != '}') {
            return "line of a log";
        }
        p->lines[p->line_count++] = line;
    }
    p->position.offset = p->first + p->line_count - 1;
    p->kind = PAYLOAD_LOG;
    return p->line_count == 0 || p->position.offset > WHOLE_MAX ? "length of a log" : NULL;
}

static bool read_name(struct bus_name *name, struct str line)
{
    if (line.len == 0) {
        return false;
    }
    switch (line.ptr[0]) {
    case BUS_JOINED:
    case BUS_LEFT:
    case BUS_LOST:
        *name = (struct bus_name){(enum bus_mark)line.ptr[0], {line.ptr + 1, line.len - 1}};
        return name_valid(name->user, NAMES_USER_MAX_BYTES);
    case BUS_MORE:
        *name = (struct bus_name){BUS_MORE, {"", 0}};
        return line.len == 1;
    default:
        return false;
    }
}

static const char *read_digest(struct payload *p, struct str head, struct str rest,
                               const struct payload_limits *limits)
{
    (void)limits;
    struct str version;
    take(&head, ' ', &p->reg.gateway);
    take(&head, ' ', &version);
    if (!payload_gateway_valid(p->reg.gateway) || !payload_u64(version, &p->reg.version) ||
        !payload_u64(head, &p->reg.count)) {
        return "head of a digest";
    }
    while (rest.len > 0) {
        struct str line;
        take(&rest, '\n', &line);
        if (p->name_count == PAYLOAD_NAMES_MAX || !read_name(&p->names[p->name_count], line)) {
            return "name in a digest";
        }
        p->name_count++;
    }
    p->kind = PAYLOAD_DIGEST;
    return NULL;
}

static const char *read_signal(struct payload *p, struct str head, struct str rest,
                               const struct payload_limits *limits)
{
    take(&head, ' ', &p->reg.gateway);
    if (!payload_gateway_valid(p->reg.gateway) || !payload_hex(head, &p->connection)) {
        return "head of a signal";
    }
    if (!payload_line_valid(rest, limits->line_bytes) || rest.ptr[0] != '{') {
        return "line of a signal";
    }
    p->lines[p->line_count++] = rest;
    p->kind = PAYLOAD_SIGNAL;
    return NULL;
}

/* What an outsider may say, and the member of data that makes it complete. */
struct outsider_type {
    struct str type;
    const char *needs;
};
static const struct outsider_type room_types[] = {
    {{"chat", 4}, "text"},
    {{"signal", 6}, "kind"},
};
static const struct outsider_type user_types[] = {{{"direct", 6}, "text"}};

static bool has_type(const struct json *root, const struct outsider_type *types, size_t count)
{
    struct str type = json_string(json_member(root, "type"));
    for (size_t i = 0; i < count; i++) {
        if (str_equal(type, types[i].type)) {
            const struct json *data = json_member(root, "data");
            return json_is_object(data) && json_string(json_member(data, types[i].needs)).len > 0;
        }
    }
    return false;
}

/* Valid JSON on one line, of one of the types, without an offset. */
static bool outsider_valid(struct str text, const struct payload_limits *limits,
                           const struct outsider_type *types, size_t count)
{
    if (!payload_line_valid(text, limits->outsider_bytes)) {
        return false;
    }
    struct json *root;
    if (json_parse(text, &limits->json, &root, NULL) != JSON_OK) {
        return false;
    }
    bool valid = has_type(root, types, count) && json_member(root, "offset") == NULL;
    json_free(root);
    return valid;
}

static const struct {
    struct str word;
    const char *(*read)(struct payload *p, struct str head, struct str rest,
                        const struct payload_limits *limits);
} heads[] = {
    {{"log", 3}, read_log},
    {{"pres", 4}, read_digest},
    {{"sig", 3}, read_signal},
};

void payload_read(struct payload *p, struct str text, const struct payload_limits *limits)
{
    p->kind = PAYLOAD_BAD;
    p->line_count = p->name_count = 0;
    if (text.len > 0 && text.ptr[0] == '{') {
        p->why = "an outsider's message";
        if (outsider_valid(text, limits, room_types, ARRAY_LEN(room_types))) {
            p->kind = PAYLOAD_OUTSIDER;
            p->lines[p->line_count++] = text;
        }
        return;
    }
    struct str head;
    struct str word;
    take(&text, '\n', &head);
    take(&head, ' ', &word);
    p->why = "head";
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        if (str_equal(word, heads[i].word)) {
            p->why = heads[i].read(p, head, text, limits);
            p->kind = p->why == NULL ? p->kind : PAYLOAD_BAD;
            return;
        }
    }
}

/* What a chat is longer than its data. */
#define CHAT_OVERHEAD 64

void payload_chats(struct buf *out, struct str *lines, size_t count, uint64_t first)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += lines[i].len + CHAT_OVERHEAD;
    }
    buf_clear(out);
    buf_reserve(out, bytes); /* at once: the lines point into it */
    for (size_t i = 0; i < count; i++) {
        size_t start = out->len;
        bus_add_chat(out, first + i, lines[i]);
        lines[i] = (struct str){out->ptr + start, out->len - start};
    }
}

bool payload_is_direct(struct str text, const struct payload_limits *limits)
{
    /* A gateway's direct message is a client's with from, to and ts added: as large as a line. */
    struct payload_limits wide = *limits;
    wide.outsider_bytes = limits->line_bytes;
    wide.json.nodes *= LINE_FACTOR;
    return outsider_valid(text, &wide, user_types, ARRAY_LEN(user_types));
}

void payload_add_names(struct buf *out, const struct bus_name *names, size_t count)
{
    assert(count <= PAYLOAD_NAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_add_char(out, '\n');
        }
        buf_add_char(out, (char)names[i].mark);
        buf_add(out, names[i].user);
    }
}
