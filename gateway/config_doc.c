/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/buf.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 44

static void put(struct buf *b)
{
    fwrite(b->ptr, 1, b->len, stdout);
    buf_fini(b);
}

static bool begins_section(const struct config_setting *s)
{
    return s == config_settings || strcmp(s[-1].section, s->section) != 0;
}

static const char *shown_default(const struct config_setting *s)
{
    return s->shown != NULL ? s->shown : s->value;
}

/* What the reader of config_file.c would misread as it stands, in quotes. */
static void add_line(struct buf *b, const char *key, struct str value)
{
    bool quote = value.len > 0 &&
                 (value.ptr[0] == '"' || value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ');
    for (size_t i = 0; i < value.len; i++) {
        quote = quote || value.ptr[i] == '#' || value.ptr[i] == ';';
    }
    buf_addf(b, "%s=", key);
    buf_add(b, quote ? STR("\"") : STR(""));
    for (size_t i = 0; i < value.len; i++) {
        if (quote && (value.ptr[i] == '"' || value.ptr[i] == '\\')) {
            buf_add_char(b, '\\');
        }
        buf_add_char(b, value.ptr[i]);
    }
    buf_add(b, quote ? STR("\"\n") : STR("\n"));
}

static void add_setting(struct buf *b, const struct config *c, const struct config_setting *s)
{
    struct buf value = {NULL, 0, 0};
    config_value_add(&value, c, s);
    add_line(b, s->key, buf_str(&value));
    buf_fini(&value);
}

static void add_kind(struct buf *b, const struct config *c, const struct room_kind *kind)
{
    struct config view = config_as_kind(c, kind);
    BUF_LIT(b, "\n[");
    config_kind_add_title(b, str_from(kind->pattern));
    BUF_LIT(b, "]\n");
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (config_is_policy(s)) {
            add_setting(b, &view, s);
        }
    }
}

/* Whether the table goes on with another section. */
static bool ends_section(const struct config_setting *s)
{
    const struct config_setting *end = config_settings + config_setting_count;
    return s + 1 == end || begins_section(s + 1);
}

static bool is_room(const struct config_setting *s)
{
    return strcmp(s->section, "room") == 0;
}

void config_print(const struct config *c)
{
    struct buf b = {NULL, 0, 0};
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (begins_section(s)) {
            buf_addf(&b, "%s[%s]\n", b.len > 0 ? "\n" : "", s->section);
        }
        if (s->kind != CONFIG_SECRET_FILE) {
            add_setting(&b, c, s);
        }
        for (size_t i = 0; is_room(s) && ends_section(s) && i < c->kinds.count; i++) {
            add_kind(&b, c, &c->kinds.list[i]);
        }
    }
    put(&b);
}

void config_print_help(void)
{
    struct buf b = {NULL, 0, 0};
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (begins_section(s) && s != config_settings) {
            BUF_LIT(&b, "\n");
        }
        size_t start = b.len;
        buf_addf(&b, "  --%s.%s=%s", s->section, s->key, shown_default(s));
        if (b.len - start > HELP_COLUMN - 2) {
            BUF_LIT(&b, "\n");
            start = b.len;
        }
        buf_addf(&b, "%*s%s\n", (int)(HELP_COLUMN - (b.len - start)), "", s->help);
        if (is_room(s) && ends_section(s)) {
            BUF_LIT(&b, "  A file may have sections as [room \"game:*\"], too: for those rooms "
                        "alone.\n");
        }
    }
    put(&b);
}

/* What stands behind the table of [room]. */
static void add_kinds_reference(struct buf *b)
{
    const char *between = "";
    BUF_LIT(b, "\n### [room \"game:*\"]\n\n"
               "The same for some rooms alone: those whose names begin so, or, without the `*`, "
               "the one room of that name. Of several sections the first that matches holds; what "
               "it does not set is as in `[room]`. Only the file can have such sections, up to ");
    buf_addf(b, "%d. Keys: ", CONFIG_KINDS_MAX);
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (config_is_policy(s)) {
            buf_addf(b, "%s`%s`", between, s->key);
            between = ", ";
        }
    }
    BUF_LIT(b, ".\n");
}

void config_print_reference(void)
{
    struct buf b = {NULL, 0, 0};
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (begins_section(s)) {
            buf_addf(&b,
                     "%s### [%s]\n\n| Key | Default | Allowed | Reloads | Meaning |\n"
                     "|---|---|---|---|---|\n",
                     s == config_settings ? "" : "\n", s->section);
        }
        const char *value = shown_default(s);
        buf_addf(&b, *value != '\0' ? "| `%s` | `%s` | " : "| `%s` |%s | ", s->key, value);
        config_value_add_allowed(&b, s);
        buf_addf(&b, " |%s | %s |\n", s->reloads ? " yes" : "", s->help);
        if (is_room(s) && ends_section(s)) {
            add_kinds_reference(&b);
        }
    }
    put(&b);
}
