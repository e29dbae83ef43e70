/* SPDX-License-Identifier: MIT */
/* From one config to the next, in place. What reloads is exchanged between the running config and
 * one that was read and checked as at the start; the rest of it only tells what a restart would
 * change. */
#include "gateway/config_table.h"

#include "common/buf.h"

static void add_name(struct buf *names, struct str name)
{
    buf_add(names, names->len > 0 ? STR(" ") : STR(""));
    buf_add(names, name);
}

static void add_setting(struct buf *names, const struct config_setting *s)
{
    struct buf name = {NULL, 0, 0};
    buf_addf(&name, "%s.%s", s->section, s->key);
    add_name(names, buf_str(&name));
    buf_fini(&name);
}

/* The place of the kind with that pattern; count: there is none. */
static size_t find_kind(const struct room_kinds *kinds, const char *pattern)
{
    size_t i = 0;
    while (i < kinds->count && strcmp(kinds->list[i].pattern, pattern) != 0) {
        i++;
    }
    return i;
}

static bool kinds_equal(const struct config *a, size_t i, const struct config *b, size_t k)
{
    struct config left = config_as_kind(a, &a->kinds.list[i]);
    struct config right = config_as_kind(b, &b->kinds.list[k]);
    bool equal = true;
    for (const struct config_setting *s = config_settings;
         equal && s < config_settings + config_setting_count; s++) {
        equal = !config_is_policy(s) || config_value_equal(&left, &right, s);
    }
    return equal;
}

static void add_kind(struct buf *names, const struct room_kind *kind)
{
    struct buf title = {NULL, 0, 0};
    config_kind_add_title(&title, str_from(kind->pattern));
    add_name(names, buf_str(&title));
    buf_fini(&title);
}

/* Kinds that are new, gone, have another policy, or another place among as many. */
static void name_kinds(const struct config *old, const struct config *fresh, struct buf *names)
{
    for (size_t i = 0; i < fresh->kinds.count; i++) {
        size_t was = find_kind(&old->kinds, fresh->kinds.list[i].pattern);
        bool moved = old->kinds.count == fresh->kinds.count && was != i;
        if (was == old->kinds.count || moved || !kinds_equal(old, was, fresh, i)) {
            add_kind(names, &fresh->kinds.list[i]);
        }
    }
    for (size_t i = 0; i < old->kinds.count; i++) {
        if (find_kind(&fresh->kinds, old->kinds.list[i].pattern) == fresh->kinds.count) {
            add_kind(names, &old->kinds.list[i]);
        }
    }
}

static void name_changes(const struct config *old, const struct config *fresh, struct buf *applied,
                         struct buf *restart)
{
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (config_value_size(s) > 0 && !config_value_equal(old, fresh, s)) {
            add_setting(s->reloads ? applied : restart, s);
        }
    }
    name_kinds(old, fresh, applied);
}

static void exchange_bytes(void *a, void *b, size_t size)
{
    char kept[sizeof(struct room_kinds)];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

/* Everything that reloads; doing it twice changes nothing. */
static void exchange(struct config *a, struct config *b)
{
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (s->reloads) {
            exchange_bytes((char *)a + s->offset, (char *)b + s->offset, config_value_size(s));
        }
    }
    exchange_bytes(&a->kinds, &b->kinds, sizeof(a->kinds));
}

bool config_reload(struct config *c, const struct config_sources *sources,
                   const struct config_report *report, struct buf *applied, struct buf *restart)
{
    struct config fresh;
    if (!config_load(&fresh, sources, report)) {
        return false;
    }
    exchange(c, &fresh);
    bool good = config_check_mixture(c, report);
    exchange(c, &fresh);
    if (good) {
        name_changes(c, &fresh, applied, restart);
        exchange(c, &fresh);
    }
    config_free(&fresh);
    return good;
}
