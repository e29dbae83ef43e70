/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/buf.h"
#include "common/utf8.h"
#include "gateway/suggest.h"

#include <string.h>

#define ENV_PREFIX "PARLEY_"

static void add_upper(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        bool small = *text >= 'a' && *text <= 'z';
        buf_add_char(b, small ? (char)(*text - 'a' + 'A') : *text);
    }
}

static void add_env_name(struct buf *b, const char *section, const char *key)
{
    BUF_LIT(b, ENV_PREFIX);
    add_upper(b, section);
    BUF_LIT(b, "_");
    add_upper(b, key);
}

void config_env_name(struct buf *b, const struct config_setting *s)
{
    add_env_name(b, s->section, s->key);
}

static void add_flag_name(struct buf *b, const char *section, const char *key)
{
    buf_addf(b, "--%s.%s", section, key);
}

/* How a source writes a setting's name: --server.path or PARLEY_SERVER_PATH. */
typedef void add_name(struct buf *b, const char *section, const char *key);

static const struct config_setting *find_by_name(struct str name, add_name *add)
{
    struct buf candidate = {NULL, 0, 0};
    const struct config_setting *found = NULL;
    for (size_t i = 0; found == NULL && i < config_setting_count; i++) {
        buf_clear(&candidate);
        add(&candidate, config_settings[i].section, config_settings[i].key);
        found = str_equal(name, buf_str(&candidate)) ? &config_settings[i] : NULL;
    }
    buf_fini(&candidate);
    return found;
}

static bool is_later_name(struct str name, add_name *add)
{
    struct buf candidate = {NULL, 0, 0};
    bool found = false;
    for (const struct config_later *l = config_later_settings; !found && l->section != NULL; l++) {
        buf_clear(&candidate);
        add(&candidate, l->section, l->key != NULL ? l->key : "");
        found = l->key != NULL ? str_equal(name, buf_str(&candidate))
                               : str_starts(name, buf_str(&candidate));
    }
    buf_fini(&candidate);
    return found;
}

/* "; did you mean --server.path?", or nothing. */
static void add_suggested_name(struct buf *b, struct str name, add_name *add)
{
    struct buf candidate = {NULL, 0, 0};
    struct suggestion suggestion = {.asked = name};
    for (size_t i = 0; i < config_setting_count; i++) {
        buf_clear(&candidate);
        add(&candidate, config_settings[i].section, config_settings[i].key);
        suggest_try(&suggestion, buf_str(&candidate), &config_settings[i]);
    }
    if (suggestion.best != NULL) {
        const struct config_setting *s = suggestion.best;
        BUF_LIT(b, "; did you mean ");
        add(b, s->section, s->key);
        BUF_LIT(b, "?");
    }
    buf_fini(&candidate);
}

/* A Kubernetes service named parley, or parley-something, puts such names into every container. */
static bool is_service_link(struct str name)
{
    return memmem(name.ptr, name.len, "_SERVICE_", strlen("_SERVICE_")) != NULL ||
           memmem(name.ptr, name.len, "_PORT", strlen("_PORT")) != NULL;
}

static void assign(struct config_load *l, const struct config_setting *s, enum config_rank rank,
                   const struct config_place *at, const char *value)
{
    if (!utf8_valid(str_from(value))) {
        config_error(l, at, "the value is not valid UTF-8");
        return;
    }
    config_assign(l, s, rank, at, str_from(value));
}

static void report_unknown_variable(struct config_load *l, const struct config_place *at)
{
    if (is_later_name(at->source, add_env_name)) {
        config_error(l, at, "not supported by this version");
        return;
    }
    struct buf hint = {NULL, 0, 0};
    add_suggested_name(&hint, at->source, add_env_name);
    config_warning(l, at, "unknown variable%.*s", STR_ARG(buf_str(&hint)));
    buf_fini(&hint);
}

void config_load_environment(struct config_load *l, char **envp)
{
    for (; *envp != NULL; envp++) {
        const char *equals = strchr(*envp, '=');
        if (!str_starts(str_from(*envp), STR(ENV_PREFIX)) || equals == NULL || equals[1] == '\0') {
            continue; /* an empty variable counts as one that is not set */
        }
        struct config_place at = {.source = {*envp, (size_t)(equals - *envp)}};
        const struct config_setting *s = find_by_name(at.source, add_env_name);
        if (s != NULL) {
            assign(l, s, CONFIG_ENVIRONMENT, &at, equals + 1);
        } else if (!is_service_link(at.source)) {
            report_unknown_variable(l, &at);
        }
    }
}

static void report_unknown_flag(struct config_load *l, const struct config_place *at)
{
    if (is_later_name(at->source, add_flag_name)) {
        config_error(l, at, "not supported by this version");
        return;
    }
    struct buf hint = {NULL, 0, 0};
    add_suggested_name(&hint, at->source, add_flag_name);
    config_error(l, at, "unknown flag%.*s", STR_ARG(buf_str(&hint)));
    buf_fini(&hint);
}

/* Of a flag that comes twice the last one counts, so that a script's flags can be overridden; lists
 * take them all. */
void config_load_flags(struct config_load *l, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        struct config_place at = {.source = str_from(argv[i])};
        if (equals != NULL) {
            at.source.len = (size_t)(equals - argv[i]);
        }
        const struct config_setting *s = find_by_name(at.source, add_flag_name);
        if (s == NULL) {
            report_unknown_flag(l, &at);
        } else if (equals == NULL) {
            config_error(l, &at, "a value is missing; write --%s.%s=…", s->section, s->key);
        } else {
            assign(l, s, CONFIG_FLAG, &at, equals + 1);
        }
    }
}
