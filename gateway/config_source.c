/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/buf.h"
#include "gateway/suggest.h"

struct file_load {
    struct config_load *load;
    const char *section; /* of the table; NULL before the first and after an unknown one */
    struct config_kind_load *kind; /* in [room "…"], where section is room; NULL: in a plain one */
    struct buf title;              /* as the file writes the section */
    bool skipping;                 /* in a section that was reported: its keys say nothing new */
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
    return false;
}

static const char *find_section(struct str name)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (str_equal(name, str_from(config_settings[i].section))) {
            return config_settings[i].section;
        }
    }
    return NULL;
}

/* Splits room "game:*" behind its first word; what follows is empty in most sections. */
static struct str take_word(struct str *name)
{
    struct str word = {name->ptr, 0};
    while (word.len < name->len && memchr(" \t\"", word.ptr[word.len], 3) == NULL) {
        word.len++;
    }
    *name = (struct str){name->ptr + word.len, name->len - word.len};
    while (name->len > 0 && (name->ptr[0] == ' ' || name->ptr[0] == '\t')) {
        *name = (struct str){name->ptr + 1, name->len - 1};
    }
    return word;
}

static void report_unknown_section(struct file_load *f, const struct config_place *at,
                                   struct str name, struct str word)
{
    if (is_later_section(word)) {
        config_error(f->load, at, "section [%.*s] is not supported by this version", STR_ARG(name));
        return;
    }
    struct buf hint = {NULL, 0, 0};
    suggest_section(&hint, word);
    config_error(f->load, at, "unknown section [%.*s]%.*s", STR_ARG(name), STR_ARG(buf_str(&hint)));
    buf_fini(&hint);
}

static void on_section(void *ctx, const struct config_place *at, struct str name)
{
    struct file_load *f = ctx;
    struct str arguments = name, word = take_word(&arguments);
    f->section = find_section(word);
    f->kind = NULL;
    buf_clear(&f->title);
    buf_add(&f->title, name);
    if (f->section == NULL) {
        report_unknown_section(f, at, name, word);
    } else if (arguments.len > 0 && strcmp(f->section, "room") != 0) {
        config_error(f->load, at, "[%.*s]: only [room \"…\"] can be for some names alone",
                     STR_ARG(name));
        f->section = NULL;
    } else if (arguments.len > 0) {
        f->kind = config_kind_begin(f->load, at, arguments);
        f->section = f->kind != NULL ? f->section : NULL;
    }
    f->skipping = f->section == NULL;
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
        config_error(f->load, &e->key_at, "\"%.*s\" in [%.*s] is not supported by this version",
                     STR_ARG(e->key), STR_ARG(buf_str(&f->title)));
        return;
    }
    struct buf hint = {NULL, 0, 0};
    suggest_key(&hint, f->section, e->key);
    config_error(f->load, &e->key_at, "unknown key \"%.*s\" in [%.*s]%.*s", STR_ARG(e->key),
                 STR_ARG(buf_str(&f->title)), STR_ARG(buf_str(&hint)));
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
    const struct config_origin *origins = f->kind != NULL ? f->kind->origins : f->load->origins;
    const struct config_origin *origin = &origins[s - config_settings];
    if (origin->rank == CONFIG_FILE && s->kind != CONFIG_LIST) {
        config_error(f->load, &e->key_at, "duplicate key \"%s\" in [%.*s]; line %u sets it already",
                     s->key, STR_ARG(buf_str(&f->title)), origin->place.line);
    } else if (f->kind == NULL) {
        config_assign(f->load, s, CONFIG_FILE, &e->value_at, e->value);
    } else if (config_is_policy(s)) {
        config_kind_assign(f->load, f->kind, s, &e->value_at, e->value);
    } else {
        config_error(f->load, &e->key_at, "\"%s\" is the same for all rooms; it belongs to [room]",
                     s->key);
    }
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
    buf_fini(&f.title);
}
