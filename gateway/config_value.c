/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/alloc.h"
#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define RATE_MAX 1000000
#define SECRET_MAX_BYTES 4096
#define SHOWN_MAX_BYTES 64 /* of a bad value, in the message about it */

/* From small to large; the largest that divides a value writes it. */
const struct config_unit config_size_units[] = {
    {"", 1}, {"k", 1024}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}};
const struct config_unit config_duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {NULL, 0}};
const struct config_unit config_rate_units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {NULL, 0}};

static const struct {
    const char *word;
    bool value;
} bool_words[] = {{"yes", true}, {"no", false},  {"true", true}, {"false", false},
                  {"on", true},  {"off", false}, {"1", true},    {"0", false}};

_Static_assert(sizeof(enum config_presence) == sizeof(unsigned) &&
                   sizeof(enum log_level) == sizeof(unsigned) &&
                   sizeof(enum log_format) == sizeof(unsigned) &&
                   sizeof(enum config_publish) == sizeof(unsigned),
               "CONFIG_WORD writes an unsigned");

static void *field_of(struct config *c, const struct config_setting *s)
{
    return (char *)c + s->offset;
}

/* Takes the digits that text begins with. False: none, or more than 64 bits hold. */
static bool take_number(struct str *text, uint64_t *out)
{
    size_t at = 0;
    uint64_t n = 0;
    for (; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(text->ptr[at] - '0'), &n)) {
            return false;
        }
    }
    *text = (struct str){text->ptr + at, text->len - at};
    *out = n;
    return at > 0;
}

static bool find_unit(struct str name, const struct config_unit *units, uint64_t *factor)
{
    for (const struct config_unit *u = units; u->name != NULL; u++) {
        if (str_equal(name, str_from(u->name))) {
            *factor = u->factor;
            return true;
        }
    }
    return false;
}

/* "64k", "250ms"; a plain 0 needs no unit. */
static bool parse_scaled(struct str text, const struct config_unit *units, uint64_t *out)
{
    uint64_t n, factor = 1;
    if (!take_number(&text, &n)) {
        return false;
    }
    if (!find_unit(text, units, &factor) && (n != 0 || text.len != 0)) {
        return false;
    }
    return !__builtin_mul_overflow(n, factor, out);
}

static void skip_blanks(struct str *text)
{
    while (text->len > 0 && (text->ptr[0] == ' ' || text->ptr[0] == '\t')) {
        *text = (struct str){text->ptr + 1, text->len - 1};
    }
}

/* "20/s", "10/min burst 50", "0". Without a burst the whole amount may come at once. */
static bool parse_rate(struct str text, struct rate *out)
{
    uint64_t n, burst, factor;
    if (!take_number(&text, &n) || n > RATE_MAX) {
        return false;
    }
    if (text.len == 0 && n == 0) {
        *out = (struct rate){0, 0};
        return true;
    }
    if (text.len == 0 || text.ptr[0] != '/') {
        return false;
    }
    text = (struct str){text.ptr + 1, text.len - 1};
    size_t unit_len = 0;
    while (unit_len < text.len && text.ptr[unit_len] != ' ' && text.ptr[unit_len] != '\t') {
        unit_len++;
    }
    if (!find_unit((struct str){text.ptr, unit_len}, config_rate_units, &factor)) {
        return false;
    }
    text = (struct str){text.ptr + unit_len, text.len - unit_len};
    skip_blanks(&text);
    burst = n;
    if (text.len > 0) {
        if (!str_starts(text, STR("burst"))) {
            return false;
        }
        text = (struct str){text.ptr + 5, text.len - 5};
        skip_blanks(&text);
        if (!take_number(&text, &burst) || text.len != 0 || burst < 1 || burst > RATE_MAX) {
            return false;
        }
    }
    *out = (struct rate){(double)n / (double)factor, n == 0 ? 0 : (double)burst};
    return true;
}

static bool set_number(struct config *c, const struct config_setting *s, uint64_t n)
{
    if (n < s->min || n > s->max) {
        return false;
    }
    void *field = field_of(c, s);
    if (s->kind == CONFIG_COUNT) {
        *(unsigned *)field = (unsigned)n;
    } else if (s->kind == CONFIG_SIZE) {
        *(size_t *)field = (size_t)n;
    } else {
        *(uint64_t *)field = n;
    }
    return true;
}

static bool set_count(struct config *c, const struct config_setting *s, struct str text)
{
    uint64_t n;
    return take_number(&text, &n) && text.len == 0 && set_number(c, s, n);
}

static bool set_size(struct config *c, const struct config_setting *s, struct str text)
{
    uint64_t n;
    return parse_scaled(text, config_size_units, &n) && set_number(c, s, n);
}

static bool set_duration(struct config *c, const struct config_setting *s, struct str text)
{
    uint64_t n;
    return parse_scaled(text, config_duration_units, &n) && set_number(c, s, n);
}

static bool set_rate(struct config *c, const struct config_setting *s, struct str text)
{
    return parse_rate(text, field_of(c, s));
}

static bool set_bool(struct config *c, const struct config_setting *s, struct str text)
{
    for (size_t i = 0; i < ARRAY_LEN(bool_words); i++) {
        struct str word = str_from(bool_words[i].word);
        if (word.len == text.len && strncasecmp(word.ptr, text.ptr, word.len) == 0) {
            *(bool *)field_of(c, s) = bool_words[i].value;
            return true;
        }
    }
    return false;
}

static bool set_word(struct config *c, const struct config_setting *s, struct str text)
{
    for (unsigned i = 0; s->words[i] != NULL; i++) {
        if (str_equal(text, str_from(s->words[i]))) {
            memcpy(field_of(c, s), &i, sizeof(i));
            return true;
        }
    }
    return false;
}

static bool set_text(struct config *c, const struct config_setting *s, struct str text)
{
    char **field = field_of(c, s);
    if (!s->valid(text)) {
        return false;
    }
    free(*field);
    *field = str_dup(text);
    return true;
}

/* Adds the words of text. *bad is the first that is not valid. */
static bool set_list(struct config *c, const struct config_setting *s, struct str text,
                     struct str *bad)
{
    struct config_list *list = field_of(c, s);
    for (skip_blanks(&text); text.len > 0; skip_blanks(&text)) {
        struct str word = {text.ptr, 0};
        while (word.len < text.len && text.ptr[word.len] != ' ' && text.ptr[word.len] != '\t') {
            word.len++;
        }
        text = (struct str){text.ptr + word.len, text.len - word.len};
        *bad = word;
        if (!s->valid(word) || list->count == CONFIG_LIST_MAX) {
            return false;
        }
        list->items[list->count++] = str_dup(word);
    }
    return true;
}

/* Reads the first line of a file that only its owner and group may read. False: why says. */
static bool read_secret(const char *path, char *out, struct str *secret, struct buf *why)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = -1;
    if (fd >= 0 && fstat(fd, &info) == 0 && (info.st_mode & S_IROTH) != 0) {
        buf_addf(why, "\"%s\" can be read by everybody on this machine; chmod o-r it", path);
    } else if (fd < 0 || (got = read(fd, out, SECRET_MAX_BYTES)) < 0) {
        buf_addf(why, "\"%s\" cannot be read: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    size_t len = 0;
    while (got > 0 && len < (size_t)got && out[len] != '\n' && out[len] != '\r') {
        len++;
    }
    *secret = (struct str){out, len};
    return got >= 0;
}

static bool set_secret_file(struct config *c, const struct config_setting *s, struct str text,
                            struct buf *why)
{
    char content[SECRET_MAX_BYTES];
    struct str secret;
    char *path = str_dup(text);
    buf_addf(why, "%s.%s=", s->section, s->key);
    bool good = read_secret(path, content, &secret, why);
    if (good && !set_text(c, s, secret)) {
        buf_addf(why, "\"%s\" does not hold %s in its first line", path, s->form);
        good = false;
    }
    free(path);
    explicit_bzero(content, sizeof(content));
    return good;
}

/* Never more of a bad value than fits a line, and nothing of it that moves a terminal's cursor. */
static void add_shown(struct buf *b, struct str text)
{
    size_t len = text.len <= SHOWN_MAX_BYTES ? text.len : SHOWN_MAX_BYTES;
    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) {
        len--; /* not in the middle of a character */
    }
    for (size_t i = 0; i < len; i++) {
        bool plain = (unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
        buf_add_char(b, plain ? text.ptr[i] : '?');
    }
    if (len < text.len) {
        BUF_LIT(b, "…");
    }
}

typedef bool set_value(struct config *c, const struct config_setting *s, struct str text);

static set_value *const set_by_kind[] = {
    [CONFIG_TEXT] = set_text,   [CONFIG_SECRET] = set_text, [CONFIG_BOOL] = set_bool,
    [CONFIG_COUNT] = set_count, [CONFIG_SIZE] = set_size,   [CONFIG_DURATION] = set_duration,
    [CONFIG_RATE] = set_rate,   [CONFIG_WORD] = set_word,
};

bool config_value_set(struct config *c, const struct config_setting *s, struct str text,
                      struct buf *why)
{
    struct str bad = text;
    if (s->kind == CONFIG_SECRET_FILE) {
        return set_secret_file(c, s, text, why);
    }
    if (s->kind == CONFIG_LIST ? set_list(c, s, text, &bad) : set_by_kind[s->kind](c, s, text)) {
        return true;
    }
    if (s->kind == CONFIG_LIST && s->valid(bad)) {
        buf_addf(why, "%s.%s has more than %d items", s->section, s->key, CONFIG_LIST_MAX);
        return false;
    }
    buf_addf(why, "%s.%s must be ", s->section, s->key);
    config_value_add_allowed(why, s);
    if (s->kind != CONFIG_SECRET) {
        BUF_LIT(why, ", not \"");
        add_shown(why, bad);
        BUF_LIT(why, "\"");
    }
    return false;
}

void config_value_clear(struct config *c, const struct config_setting *s)
{
    if (s->kind == CONFIG_LIST) {
        struct config_list *list = field_of(c, s);
        while (list->count > 0) {
            free(list->items[--list->count]);
        }
    } else if (s->kind == CONFIG_TEXT || s->kind == CONFIG_SECRET) {
        char **field = field_of(c, s);
        free(*field);
        *field = NULL;
    }
}

size_t config_value_size(const struct config_setting *s)
{
    static const size_t sizes[] = {
        [CONFIG_TEXT] = sizeof(char *),
        [CONFIG_SECRET] = sizeof(char *),
        [CONFIG_SECRET_FILE] = 0,
        [CONFIG_LIST] = sizeof(struct config_list),
        [CONFIG_BOOL] = sizeof(bool),
        [CONFIG_COUNT] = sizeof(unsigned),
        [CONFIG_SIZE] = sizeof(size_t),
        [CONFIG_DURATION] = sizeof(uint64_t),
        [CONFIG_RATE] = sizeof(struct rate),
        [CONFIG_WORD] = sizeof(unsigned),
    };
    return sizes[s->kind];
}

static bool lists_equal(const struct config_list *a, const struct config_list *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        equal = strcmp(a->items[i], b->items[i]) == 0;
    }
    return equal;
}

bool config_value_equal(const struct config *a, const struct config *b,
                        const struct config_setting *s)
{
    const void *left = (const char *)a + s->offset, *right = (const char *)b + s->offset;
    switch (s->kind) {
    case CONFIG_TEXT:
    case CONFIG_SECRET:
        return strcmp(*(char *const *)left, *(char *const *)right) == 0;
    case CONFIG_LIST:
        return lists_equal(left, right);
    default: /* plain values, without a hole in them */
        return memcmp(left, right, config_value_size(s)) == 0;
    }
}
