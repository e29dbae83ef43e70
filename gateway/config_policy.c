/* SPDX-License-Identifier: MIT */
/* Kinds of rooms: sections as [room "game:*"], which hold for some rooms alone. Only a file has
 * them: a flag or a variable speaks for [room]. */
#include "gateway/config_table.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/names.h"

#include <assert.h>
#include <stdlib.h>

#define PATTERN_FORM "a room's name, or the beginning of names and a * (as game:*)"

static bool is_prefix(struct str pattern)
{
    return pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*';
}

/* Whether every room that inner names is named by outer, too. A room's own name is a pattern. */
static bool covers(struct str outer, struct str inner)
{
    return is_prefix(outer) ? str_starts(inner, (struct str){outer.ptr, outer.len - 1})
                            : str_equal(outer, inner);
}

/* A prefix is valid where it can be the beginning of a name; the * stands for the rest of it. */
static bool pattern_valid(struct str pattern)
{
    size_t stars = 0;
    for (size_t i = 0; i < pattern.len; i++) {
        stars += pattern.ptr[i] == '*';
    }
    return name_valid(pattern, NAMES_ROOM_MAX_BYTES) && stars == (is_prefix(pattern) ? 1 : 0);
}

bool config_is_policy(const struct config_setting *s)
{
    const size_t begin = offsetof(struct config, room);
    return s->offset >= begin && s->offset < begin + sizeof(struct room_policy);
}

void config_kind_add_title(struct buf *b, struct str pattern)
{
    BUF_LIT(b, "room \"");
    for (size_t i = 0; i < pattern.len; i++) {
        buf_add(b, pattern.ptr[i] == '"' || pattern.ptr[i] == '\\' ? STR("\\") : STR(""));
        buf_add_char(b, pattern.ptr[i]);
    }
    BUF_LIT(b, "\"");
}

struct config config_as_kind(const struct config *c, const struct room_kind *kind)
{
    struct config view = *c;
    view.room = kind->policy;
    return view;
}

/* quoted is "…" as a whole, with \" and \\ for " and \ in it. False: it is not. */
static bool unquote(struct str quoted, struct buf *out)
{
    size_t i = 1;
    if (quoted.len < 2 || quoted.ptr[0] != '"') {
        return false;
    }
    for (; i < quoted.len && quoted.ptr[i] != '"'; i++) {
        bool escape = quoted.ptr[i] == '\\' && i + 1 < quoted.len &&
                      (quoted.ptr[i + 1] == '"' || quoted.ptr[i + 1] == '\\');
        i += escape;
        buf_add_char(out, quoted.ptr[i]);
    }
    return i == quoted.len - 1;
}

/* False: reported. */
static bool check_new(struct config_load *l, const struct config_place *at, struct str pattern)
{
    const struct room_kinds *kinds = &l->config->kinds;
    if (!pattern_valid(pattern)) {
        config_error(l, at, "[room \"%.*s\"]: the pattern must be " PATTERN_FORM, STR_ARG(pattern));
        return false;
    }
    for (size_t i = 0; i < kinds->count; i++) {
        if (str_equal(str_from(kinds->list[i].pattern), pattern)) {
            config_error(l, at, "duplicate section [room \"%.*s\"]; line %u has it already",
                         STR_ARG(pattern), l->kinds[i].at.line);
            return false;
        }
    }
    if (kinds->count == CONFIG_KINDS_MAX) {
        config_error(l, at, "more than %d sections [room \"…\"]", CONFIG_KINDS_MAX);
        return false;
    }
    return true;
}

struct config_kind_load *config_kind_begin(struct config_load *l, const struct config_place *at,
                                           struct str arguments)
{
    struct room_kinds *kinds = &l->config->kinds;
    struct config_kind_load *kind = NULL;
    struct buf pattern = {NULL, 0, 0};
    if (!unquote(arguments, &pattern)) {
        config_error(l, at, "the rooms that a section is for stand in quotes: [room \"game:*\"]");
    } else if (check_new(l, at, buf_str(&pattern))) {
        kind = &l->kinds[kinds->count];
        kind->at = *at;
        kind->origins = xcalloc(config_setting_count, sizeof(*kind->origins));
        kinds->list[kinds->count].pattern = str_dup(buf_str(&pattern));
        kinds->count++;
    }
    buf_fini(&pattern);
    return kind;
}

void config_kind_assign(struct config_load *l, struct config_kind_load *kind,
                        const struct config_setting *s, const struct config_place *at,
                        struct str text)
{
    struct room_kind *target = &l->config->kinds.list[kind - l->kinds];
    struct config view = config_as_kind(l->config, target);
    struct buf why = {NULL, 0, 0};
    assert(config_is_policy(s));
    bool good = config_value_set(&view, s, text, &why);
    if (good) {
        target->policy = view.room;
    } else {
        config_error(l, at, "%.*s", STR_ARG(buf_str(&why)));
    }
    kind->origins[s - config_settings] = (struct config_origin){CONFIG_FILE, *at, !good};
    buf_fini(&why);
}

/* The policy as the config's [room] has it, but for what the kind set. */
static struct room_policy inherited(const struct config_load *l, size_t kind)
{
    struct config own = config_as_kind(l->config, &l->config->kinds.list[kind]);
    struct config view = *l->config;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *s = &config_settings[i];
        if (l->kinds[kind].origins[i].rank != CONFIG_DEFAULT) {
            memcpy((char *)&view + s->offset, (const char *)&own + s->offset, config_value_size(s));
        }
    }
    return view.room;
}

void config_kinds_inherit(struct config_load *l)
{
    for (size_t i = 0; i < l->config->kinds.count; i++) {
        l->config->kinds.list[i].policy = inherited(l, i);
    }
}

static bool is_later(const struct config_origin *a, const struct config_origin *b)
{
    return a->rank != b->rank ? a->rank > b->rank : a->place.line > b->place.line;
}

/* Where presence or max_members was set last; NULL: neither was. */
static const struct config_place *place_of(const struct config_origin *origins)
{
    const struct config_origin *last = NULL;
    for (size_t i = 0; i < config_setting_count; i++) {
        size_t field = config_settings[i].offset;
        bool counts = field == offsetof(struct config, room.presence) ||
                      field == offsetof(struct config, room.max_members);
        if (counts && origins[i].rank != CONFIG_DEFAULT &&
            (last == NULL || is_later(&origins[i], last))) {
            last = &origins[i];
        }
    }
    return last == NULL ? NULL : &last->place;
}

/* A limit needs somebody who counts. */
static void check_limit(struct config_load *l, const struct room_policy *policy,
                        const struct config_place *at)
{
    if (at != NULL && policy->presence == CONFIG_PRESENCE_OFF && policy->max_members > 0) {
        config_error(l, at,
                     "room.max_members=%u needs room.presence=full or count: with off nobody "
                     "counts the members",
                     policy->max_members);
    }
}

static void check_reachable(struct config_load *l, size_t kind)
{
    const struct room_kind *kinds = l->config->kinds.list;
    for (size_t i = 0; i < kind; i++) {
        if (covers(str_from(kinds[i].pattern), str_from(kinds[kind].pattern))) {
            config_warning(l, &l->kinds[kind].at,
                           "[room \"%s\"] holds for no room: [room \"%s\"] in line %u comes first",
                           kinds[kind].pattern, kinds[i].pattern, l->kinds[i].at.line);
            return;
        }
    }
}

void config_kinds_check(struct config_load *l)
{
    check_limit(l, &l->config->room, place_of(l->origins));
    for (size_t i = 0; i < l->config->kinds.count; i++) {
        check_limit(l, &l->config->kinds.list[i].policy, place_of(l->kinds[i].origins));
        check_reachable(l, i);
    }
}

void config_kinds_end(struct config_load *l)
{
    for (size_t i = 0; i < l->config->kinds.count; i++) {
        free(l->kinds[i].origins);
    }
}

void config_kinds_free(struct room_kinds *kinds)
{
    while (kinds->count > 0) {
        free(kinds->list[--kinds->count].pattern);
    }
}

const struct room_policy *config_policy(const struct config *c, struct str room)
{
    for (size_t i = 0; i < c->kinds.count; i++) {
        if (covers(str_from(c->kinds.list[i].pattern), room)) {
            return &c->kinds.list[i].policy;
        }
    }
    return &c->room;
}
