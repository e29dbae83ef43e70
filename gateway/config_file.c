/* SPDX-License-Identifier: MIT */
/* The file, an INI dialect:
 *   - a line is [section], key = value, a comment, or blank; blanks around names and values do not
 * count;
 *   - # or ; begins a comment at the start of a line or after a blank, so redis://h/#x keeps its #;
 *   - "…" around a value keeps blanks and comment characters; \" and \\ stand for " and \ there;
 *   - lines end with LF or CR LF; a byte order mark and a missing last LF are fine. */
#include "gateway/config_table.h"

#include "common/alloc.h"
#include "common/buf.h"
#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define LINE_MAX_BYTES (64 * 1024)

struct reader {
    const struct config_file_events *events;
    void *ctx;
    struct config_place at; /* of the line; column 1 */
    const char *line;       /* where column 1 is */
    struct buf unquoted;    /* of the value of this line */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s = (struct str){s.ptr + 1, s.len - 1};
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

static struct config_place place_of(const struct reader *r, const char *ptr)
{
    struct config_place place = r->at;
    place.column = (unsigned)(ptr - r->line) + 1;
    return place;
}

static void fail(const struct reader *r, const char *ptr, const char *text)
{
    struct config_place place = place_of(r, ptr);
    r->events->on_error(r->ctx, &place, text);
}

static bool begins_comment(struct str s)
{
    return s.len > 0 && (s.ptr[0] == '#' || s.ptr[0] == ';');
}

/* Without a comment at its end, and without the blanks before that. */
static struct str cut_comment(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        struct str rest = {s.ptr + i, s.len - i};
        if (begins_comment(rest) && (i == 0 || is_blank(s.ptr[i - 1]))) {
            s.len = i;
        }
    }
    return trim(s);
}

/* text begins with a quote. False: reported. */
static bool unquote(struct reader *r, struct str text, struct str *value)
{
    buf_clear(&r->unquoted);
    size_t i = 1;
    for (; i < text.len && text.ptr[i] != '"'; i++) {
        bool escape = text.ptr[i] == '\\' && i + 1 < text.len &&
                      (text.ptr[i + 1] == '"' || text.ptr[i + 1] == '\\');
        i += escape;
        buf_add_char(&r->unquoted, text.ptr[i]);
    }
    if (i == text.len) {
        fail(r, text.ptr, "the closing quote is missing");
        return false;
    }
    struct str rest = cut_comment((struct str){text.ptr + i + 1, text.len - i - 1});
    if (rest.len > 0) {
        fail(r, rest.ptr, "nothing but a comment may follow the closing quote");
        return false;
    }
    *value = buf_str(&r->unquoted);
    return true;
}

static void read_entry(struct reader *r, struct str line)
{
    const char *equals = memchr(line.ptr, '=', line.len);
    if (equals == NULL) {
        fail(r, line.ptr, "expected \"key = value\" or \"[section]\"");
        return;
    }
    struct config_entry e;
    e.key = trim((struct str){line.ptr, (size_t)(equals - line.ptr)});
    if (e.key.len == 0) {
        fail(r, line.ptr, "there is no key before the \"=\"");
        return;
    }
    struct str text = {equals + 1, line.len - (size_t)(equals + 1 - line.ptr)};
    struct str shown = trim(text);
    e.value = cut_comment(text);
    e.key_at = place_of(r, line.ptr);
    e.value_at = place_of(r, shown.ptr);
    if (shown.len > 0 && shown.ptr[0] == '"' && !unquote(r, shown, &e.value)) {
        return;
    }
    r->events->on_entry(r->ctx, &e);
}

/* The same of a section's line: in the quotes of [room "a #b]"] no comment begins. */
static struct str cut_section_comment(struct str s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        struct str rest = {s.ptr + i, s.len - i};
        if (quoted && s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && begins_comment(rest) && is_blank(s.ptr[i - 1])) {
            s.len = i;
        }
    }
    return trim(s);
}

static void read_section(const struct reader *r, struct str line)
{
    line = cut_section_comment(line); /* whose last bracket counts: see there */
    if (line.ptr[line.len - 1] != ']') {
        fail(r, line.ptr, "a section's line ends with \"]\"");
        return;
    }
    struct config_place place = place_of(r, line.ptr);
    r->events->on_section(r->ctx, &place, trim((struct str){line.ptr + 1, line.len - 2}));
}

static bool check_characters(const struct reader *r, struct str line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            fail(r, line.ptr + i, "control characters are not allowed");
            return false;
        }
    }
    if (!utf8_valid(line)) {
        fail(r, line.ptr, "the line is not valid UTF-8");
        return false;
    }
    return true;
}

static void read_line(struct reader *r, struct str line)
{
    r->line = line.ptr;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len > LINE_MAX_BYTES) {
        fail(r, line.ptr, "the line is longer than 64 KiB");
        return;
    }
    if (!check_characters(r, line)) {
        return;
    }
    line = trim(line);
    if (line.len == 0 || begins_comment(line)) {
        return;
    }
    if (line.ptr[0] == '[') {
        read_section(r, line);
    } else {
        read_entry(r, line);
    }
}

/* The whole file, or NULL with the reason; one byte more than allowed is as good as all. */
static char *slurp(const char *path, size_t *len, const char **why)
{
    struct stat info;
    char *text = xmalloc(FILE_MAX_BYTES + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 0;
    *len = 0;
    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        got = -1;
    }
    while (got >= 0 && *len <= FILE_MAX_BYTES &&
           (got = read(fd, text + *len, FILE_MAX_BYTES + 1 - *len)) > 0) {
        *len += (size_t)got;
    }
    *why = got < 0 ? strerror(errno) : *len > FILE_MAX_BYTES ? "it is larger than 1 MiB" : NULL;
    if (fd >= 0) {
        close(fd);
    }
    if (*why != NULL) {
        free(text);
        return NULL;
    }
    return text;
}

void config_file_read(const char *path, const struct config_file_events *events, void *ctx)
{
    struct reader r = {.events = events, .ctx = ctx, .at = {str_from(path), 0, 0}};
    size_t len, from = 0;
    const char *why;
    char *text = slurp(path, &len, &why);
    if (text == NULL) {
        struct buf message = {NULL, 0, 0};
        buf_addf(&message, "cannot read the file: %s", why);
        buf_add_char(&message, '\0');
        events->on_error(ctx, &r.at, message.ptr);
        buf_fini(&message);
        return;
    }
    if (str_starts((struct str){text, len}, STR("\xef\xbb\xbf"))) {
        from = 3;
    }
    while (from < len) {
        const char *end = memchr(text + from, '\n', len - from);
        size_t line_len = end != NULL ? (size_t)(end - text) - from : len - from;
        r.at.line++;
        read_line(&r, (struct str){text + from, line_len});
        from += line_len + 1;
    }
    buf_fini(&r.unquoted);
    free(text);
}
