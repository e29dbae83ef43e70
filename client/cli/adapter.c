/* SPDX-License-Identifier: MIT */
#include "client/cli/adapter.h"

#include "client/cli/adapter_plain.h"
#include "client/cli/adapter_socketio.h"
#include "client/cli/adapter_tutorial.h"
#include "common/buf.h"
#include "common/json.h"

const struct adapter *const adapters[] = {
    &adapter_parley, &adapter_ws, &adapter_socketio, &adapter_nchan, &adapter_floor,
};
const size_t adapter_count = ARRAY_LEN(adapters);

const struct adapter *adapter_find(const char *name)
{
    for (size_t i = 0; i < adapter_count; i++) {
        if (strcmp(adapters[i]->name, name) == 0) {
            return adapters[i];
        }
    }
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The value that begins at p. */
static struct str value_at(const char *p, const char *end)
{
    if (p < end && *p == '"') {
        const char *quote = memchr(p + 1, '"', (size_t)(end - p) - 1);
        return quote != NULL ? (struct str){p + 1, (size_t)(quote - p) - 1} : (struct str){NULL, 0};
    }
    const char *from = p;
    while (p < end && !is_space(*p) && *p != ',' && *p != '}' && *p != ']') {
        p++;
    }
    return (struct str){from, (size_t)(p - from)};
}

struct str adapter_value(struct str json, const char *key)
{
    const char *p = json.ptr, *end = json.ptr + json.len;
    size_t len = strlen(key);
    while (p < end && (p = memmem(p, (size_t)(end - p), key, len)) != NULL) {
        const char *after = p + len;
        bool quoted = p > json.ptr && p[-1] == '"' && after < end && *after == '"';
        p = after;
        if (!quoted) {
            continue;
        }
        for (after++; after < end && is_space(*after); after++) {
        }
        if (after < end && *after == ':') {
            for (after++; after < end && is_space(*after); after++) {
            }
            return value_at(after, end);
        }
    }
    return (struct str){NULL, 0};
}

void adapter_keep(char *field, size_t size, struct str text)
{
    if (text.len > 0 && text.len < size) {
        memcpy(field, text.ptr, text.len);
        field[text.len] = '\0';
    }
}

bool adapter_sound_object(struct str json, const char *data, struct str room, struct str text)
{
    static const struct json_limits limits = {.depth = 16, .nodes = 256};
    struct json *root = NULL;
    if (json_parse(json, &limits, &root, NULL) != JSON_OK) {
        return false;
    }
    const struct json *object = data != NULL ? json_member(root, data) : root;
    bool sound = str_equal(json_string(json_member(object, "room")), room) &&
                 str_equal(json_string(json_member(object, "text")), text);
    json_free(root);
    return sound;
}

void adapter_add_user(struct buf *say, uint32_t user)
{
    buf_add_char(say, 'm');
    buf_add_u64(say, user);
}
