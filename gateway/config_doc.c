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

void config_print(const struct config *c)
{
    struct buf b = {NULL, 0, 0}, value = {NULL, 0, 0};
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (begins_section(s)) {
            buf_addf(&b, "%s[%s]\n", b.len > 0 ? "\n" : "", s->section);
        }
        if (s->kind != CONFIG_SECRET_FILE) {
            buf_clear(&value);
            config_value_add(&value, c, s);
            add_line(&b, s->key, buf_str(&value));
        }
    }
    buf_fini(&value);
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
    }
    put(&b);
}

void config_print_reference(void)
{
    struct buf b = {NULL, 0, 0};
    for (const struct config_setting *s = config_settings;
         s < config_settings + config_setting_count; s++) {
        if (begins_section(s)) {
            buf_addf(&b, "%s### [%s]\n\n| Key | Default | Allowed | Meaning |\n|---|---|---|---|\n",
                     s == config_settings ? "" : "\n", s->section);
        }
        const char *value = shown_default(s);
        buf_addf(&b, *value != '\0' ? "| `%s` | `%s` | " : "| `%s` |%s | ", s->key, value);
        config_value_add_allowed(&b, s);
        buf_addf(&b, " | %s |\n", s->help);
    }
    put(&b);
}
