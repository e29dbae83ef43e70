/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/buf.h"
#include "gateway/suggest.h"

struct file_load {
    struct config_load *load;
    const char *section; /* of the table; NULL before the first and after an unknown one */
    bool skipping;       /* in a section that was reported: its keys say nothing new */
};

static void suggest_section(struct buf *b, struct str name)
{
    struct suggestion suggestion = {.asked = name};
    for (size_t i = 0; i < config_setting_count; i++) {
        const char *section = config_settings[i].section;
        suggest_try(&suggestion, str_from(section), section);
    }
    if (suggestion.best != NULL) {
        buf_addf(b, "; did you mean [%s]?", (const char *)suggestion.best);
    }
}

static bool is_later_section(struct str name)
{
    for (const struct config_later *l = config_later_settings; l->section != NULL; l++) {
        if (l->key == NULL && str_equal(name, str_from(l->section))) {
            return true;
        }
    }
    return str_starts(name, STR("room ")); /* [room "game:*"]: settings of some rooms alone */
}

static void on_section(void *ctx, const struct config_place *at, struct str name)
{
    struct file_load *f = ctx;
    f->section = NULL;
    for (size_t i = 0; f->section == NULL && i < config_setting_count; i++) {
        if (str_equal(name, str_from(config_settings[i].section))) {
            f->section = config_settings[i].section;
        }
    }
    f->skipping = f->section == NULL;
    if (!f->skipping) {
        return;
    }
    if (is_later_section(name)) {
        config_error(f->load, at, "section [%.*s] is not supported by this version", STR_ARG(name));
        return;
    }
    struct buf hint = {NULL, 0, 0};
    suggest_section(&hint, name);
    config_error(f->load, at, "unknown section [%.*s]%.*s", STR_ARG(name), STR_ARG(buf_str(&hint)));
    buf_fini(&hint);
}

static const struct config_setting *find_key(const char *section, struct str key)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *s = &config_settings[i];
        if (strcmp(s->section, section) == 0 && str_equal(key, str_from(s->key))) {
            return s;
        }
    }
    return NULL;
}

/* The nearest key of the section, or else the section where exactly this key belongs. */
static void suggest_key(struct buf *b, const char *section, struct str key)
{
    struct suggestion suggestion = {.asked = key};
    const char *elsewhere = NULL;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *s = &config_settings[i];
        if (strcmp(s->section, section) == 0) {
            suggest_try(&suggestion, str_from(s->key), s->key);
        } else if (str_equal(key, str_from(s->key))) {
            elsewhere = s->section;
        }
    }
    if (suggestion.best != NULL) {
        buf_addf(b, "; did you mean \"%s\"?", (const char *)suggestion.best);
    } else if (elsewhere != NULL) {
        buf_addf(b, "; it belongs to [%s]", elsewhere);
    }
}

static bool is_later_key(const char *section, struct str key)
{
    for (const struct config_later *l = config_later_settings; l->section != NULL; l++) {
        if (l->key != NULL && strcmp(l->section, section) == 0 &&
            str_equal(key, str_from(l->key))) {
            return true;
        }
    }
    return false;
}

static void report_unknown_key(struct file_load *f, const struct config_entry *e)
{
    if (is_later_key(f->section, e->key)) {
        config_error(f->load, &e->key_at, "\"%.*s\" in [%s] is not supported by this version",
                     STR_ARG(e->key), f->section);
        return;
    }
    struct buf hint = {NULL, 0, 0};
    suggest_key(&hint, f->section, e->key);
    config_error(f->load, &e->key_at, "unknown key \"%.*s\" in [%s]%.*s", STR_ARG(e->key),
                 f->section, STR_ARG(buf_str(&hint)));
    buf_fini(&hint);
}

static void on_entry(void *ctx, const struct config_entry *e)
{
    struct file_load *f = ctx;
    if (f->skipping) {
        return;
    }
    if (f->section == NULL) {
        config_error(f->load, &e->key_at, "\"%.*s\" stands before the first [section]",
                     STR_ARG(e->key));
        return;
    }
    const struct config_setting *s = find_key(f->section, e->key);
    if (s == NULL) {
        report_unknown_key(f, e);
        return;
    }
    const struct config_origin *origin = &f->load->origins[s - config_settings];
    if (origin->rank == CONFIG_FILE && s->kind != CONFIG_LIST) {
        config_error(f->load, &e->key_at, "duplicate key \"%s\" in [%s]; line %u sets it already",
                     s->key, s->section, origin->place.line);
        return;
    }
    config_assign(f->load, s, CONFIG_FILE, &e->value_at, e->value);
}

static void on_error(void *ctx, const struct config_place *at, const char *text)
{
    struct file_load *f = ctx;
    config_error(f->load, at, "%s", text);
}

void config_load_file(struct config_load *l, const char *path)
{
    static const struct config_file_events events = {on_section, on_entry, on_error};
    struct file_load f = {.load = l};
    config_file_read(path, &events, &f);
}
