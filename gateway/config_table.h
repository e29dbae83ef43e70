/* SPDX-License-Identifier: MIT */
/* config_table: what the config_*.c files share, and nobody else includes: the table of settings,
 * typed values, the reader of the file, and how problems are reported.
 *
 *   config.c         the table, the order of loading
 *   config_file.c    the INI reader
 *   config_source.c  from the file's sections and keys to settings
 *   config_env.c     from variables and flags to settings
 *   config_policy.c  [room "game:*"]: the policies of kinds of rooms
 *   config_reload.c  from one config to the next
 *   config_value.c   typed values from text
 *   config_show.c    typed values as text
 *   config_text.c    the syntax of addresses, origins, names, URLs
 *   config_check.c   what depends on several settings, or on the machine
 *   config_doc.c     help, reference, effective values */
#ifndef GATEWAY_CONFIG_TABLE_H
#define GATEWAY_CONFIG_TABLE_H

#include "gateway/config.h"

struct buf;

enum config_kind {
    CONFIG_TEXT,        /* char * */
    CONFIG_SECRET,      /* char *; never shown whole */
    CONFIG_SECRET_FILE, /* names a file whose first line is the value of the secret at offset */
    CONFIG_LIST,        /* struct config_list */
    CONFIG_BOOL,        /* bool */
    CONFIG_COUNT,       /* unsigned */
    CONFIG_SIZE,        /* size_t, bytes */
    CONFIG_DURATION,    /* uint64_t, milliseconds */
    CONFIG_RATE,        /* struct rate */
    CONFIG_WORD,        /* an enum whose values count from 0 in the order of words */
};

struct config_setting {
    const char *section, *key;
    enum config_kind kind;
    uint32_t offset;                /* of the field in struct config */
    const char *value;              /* the default as a file says it; NULL: computed when loading */
    bool reloads;                   /* may change in a running gateway */
    const char *help;               /* begins in lower case, without a full stop */
    uint64_t min, max;              /* counts, sizes, durations */
    const char *words[5];           /* CONFIG_WORD: NULL ends them */
    bool (*valid)(struct str item); /* texts, and each item of a list */
    const char *form;               /* what valid wants: finishes "must be …" */
    const char *shown;              /* how documents show the default; NULL: as value */
};

extern const struct config_setting config_settings[];
extern const size_t config_setting_count;

/* Settings that this version does not have, but its documents speak of: whoever sets one must learn
 * that it does nothing here. A NULL key stands for the whole section; a NULL section ends the
 * table. */
struct config_later {
    const char *section, *key;
};
extern const struct config_later config_later_settings[];

/* Where a text stood. line 0: source alone says it all (a flag, a variable). */
struct config_place {
    struct str source; /* borrowed from the caller of config_load; empty: nowhere, a default */
    unsigned line, column;
};

/* Sources in the order in which they win. */
enum config_rank { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

/* What is known of a setting's present value. */
struct config_origin {
    enum config_rank rank;
    struct config_place place; /* of the value */
    bool bad;                  /* was reported: no check that depends on it makes sense */
};

/* Of the section of a kind. */
struct config_kind_load {
    struct config_place at;
    struct config_origin *origins; /* owned; one for each setting; CONFIG_DEFAULT: as in [room] */
};

/* A load under way. */
struct config_load {
    struct config *config;                           /* borrowed */
    const struct config_report *report;              /* borrowed */
    struct config_origin *origins;                   /* owned; one for each setting */
    struct config_kind_load kinds[CONFIG_KINDS_MAX]; /* as config->kinds */
    bool failed;
};

void config_error(struct config_load *l, const struct config_place *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void config_warning(struct config_load *l, const struct config_place *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Gives s the value that text says, unless a higher source has given it one; reports a bad value.
 */
void config_assign(struct config_load *l, const struct config_setting *s, enum config_rank rank,
                   const struct config_place *at, struct str text);

/* config_source.c, config_env.c */
void config_load_file(struct config_load *l, const char *path);
void config_load_environment(struct config_load *l, char **envp);
void config_load_flags(struct config_load *l, int argc, char **argv);
void config_env_name(struct buf *b, const struct config_setting *s); /* PARLEY_SERVER_LISTEN */

/* config_policy.c. A policy's settings, those that a kind may set, are the ones in struct
 * room_policy. */
bool config_is_policy(const struct config_setting *s);
/* The section [room "…"] begins; arguments is what stands behind "room". NULL: reported. */
struct config_kind_load *config_kind_begin(struct config_load *l, const struct config_place *at,
                                           struct str arguments);
void config_kind_assign(struct config_load *l, struct config_kind_load *kind,
                        const struct config_setting *s, const struct config_place *at,
                        struct str text);
void config_kinds_inherit(struct config_load *l); /* after the last source */
void config_kinds_check(struct config_load *l);
void config_kinds_end(struct config_load *l);
void config_kinds_free(struct room_kinds *kinds);
void config_kind_add_title(struct buf *b, struct str pattern); /* room "game:*" */
/* c as a room of that kind sees it, for config_value_…: a shallow copy, not to be freed. */
struct config config_as_kind(const struct config *c, const struct room_kind *kind);

/* config_file.c. Texts are borrowed for the call; at has the file's name, line and column. */
struct config_entry {
    struct str key, value;
    struct config_place key_at, value_at;
};
struct config_file_events {
    void (*on_section)(void *ctx, const struct config_place *at, struct str name);
    void (*on_entry)(void *ctx, const struct config_entry *e);
    void (*on_error)(void *ctx, const struct config_place *at, const char *text);
};
void config_file_read(const char *path, const struct config_file_events *events, void *ctx);

/* A table of these ends with a NULL name. */
struct config_unit {
    const char *name;
    uint64_t factor;
};
extern const struct config_unit config_size_units[], config_duration_units[], config_rate_units[];

/* config_value.c. set: a list gets the words of text added; false: why is a whole sentence. */
bool config_value_set(struct config *c, const struct config_setting *s, struct str text,
                      struct buf *why) MUST_CHECK;
void config_value_clear(struct config *c, const struct config_setting *s);
size_t config_value_size(const struct config_setting *s); /* of its field; 0: it has none */
bool config_value_equal(const struct config *a, const struct config *b,
                        const struct config_setting *s);

/* config_show.c */
uint64_t config_value_number(const struct config *c, const struct config_setting *s);
void config_value_add(struct buf *b, const struct config *c, const struct config_setting *s);
void config_value_add_allowed(struct buf *b, const struct config_setting *s); /* "yes or no" */

/* config_text.c */
bool config_is_address(struct str item);
bool config_is_origin(struct str item);
bool config_is_proxy(struct str item);
bool config_is_path(struct str text);
bool config_is_name(struct str text);
bool config_is_prefix(struct str text);
bool config_is_redis_url(struct str text);
bool config_is_any(struct str text);

/* config_check.c */
void config_check(struct config_load *l);
/* The same of a config that is partly old and partly new. False: reported. */
bool config_check_mixture(struct config *c, const struct config_report *report) MUST_CHECK;

#endif
