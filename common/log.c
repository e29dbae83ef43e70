/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include "common/clock.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* PIPE_BUF on Linux: a write of at most this many bytes to a pipe is never torn or interleaved. */
#define LINE_BYTES 4096

/* What always fits behind the fields: the mark of a cut value, its quote, and the end of the line.
 */
#define TAIL_BYTES 8

/* One value takes no more than this, so that the fields behind a huge one are still there. */
#define VALUE_BYTES 1024

#define GATEWAY_BYTES 64

/* U+2026 stands where the rest of a value was left out. */
#define CUT_MARK "\xE2\x80\xA6"

struct line {
    char text[LINE_BYTES];
    size_t len;
    size_t limit; /* what may be filled now; TAIL_BYTES less than the array, or a value's end */
    enum log_format format;
};

/* The one mutable state of the process outside main.c: where lines go and what was folded. */
static struct {
    char gateway[GATEWAY_BYTES];
    size_t gateway_len;
    enum log_level level;
    enum log_format format;
    unsigned rate_per_s;
    int fd;
    uint64_t second; /* which second of the monotonic clock the counters are of */
    bool folded;     /* some `suppressed` is not 0 */
    unsigned written[LOG_EV_COUNT];
    uint64_t suppressed[LOG_EV_COUNT];
} state = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_LOGFMT, .fd = STDERR_FILENO};

static const char *const event_names[] = {
#define X(id, name) [LOG_EV_##id] = name,
    LOG_EVENTS(X)
#undef X
};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static size_t room(const struct line *l)
{
    return l->limit > l->len ? l->limit - l->len : 0; /* a tail may have gone past the limit */
}

/* Adds text whole or not at all: half an escape sequence would be worse than a missing one. */
static bool add(struct line *l, struct str text)
{
    if (text.len > room(l)) {
        return false;
    }
    memcpy(l->text + l->len, text.ptr, text.len);
    l->len += text.len;
    return true;
}

/* For the line's own punctuation, which the reserve at the tail always has room for. */
static void add_tail(struct line *l, struct str text)
{
    memcpy(l->text + l->len, text.ptr, text.len);
    l->len += text.len;
}

static bool add_hex_byte(struct line *l, const char *prefix, unsigned char byte)
{
    char escape[8];
    int len = snprintf(escape, sizeof(escape), "%s%02x", prefix, byte);
    return add(l, (struct str){escape, (size_t)len});
}

/* A byte that is not UTF-8, or part of a character that nobody sees. JSON has no \x, so there the
 * backslash itself is escaped and the reader gets the same text as from logfmt. */
static bool add_byte_escape(struct line *l, unsigned char byte)
{
    return add_hex_byte(l, l->format == LOG_FORMAT_JSON ? "\\\\x" : "\\x", byte);
}

static bool add_ascii(struct line *l, unsigned char c)
{
    static const char specials[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *special = c == '\0' ? NULL : strchr(specials, c);
    if (special != NULL) {
        const char escape[] = {'\\', letters[special - specials]};
        return add(l, (struct str){escape, sizeof(escape)});
    }
    if (c < 0x20 || c == 0x7F) {
        return l->format == LOG_FORMAT_JSON ? add_hex_byte(l, "\\u00", c) : add_byte_escape(l, c);
    }
    return add(l, (struct str){(const char *)&c, 1});
}

/* The first character of text; *used is its bytes. False: it does not fit. */
static bool add_character(struct line *l, struct str text, size_t *used)
{
    uint32_t code_point;
    *used = utf8_decode(text, &code_point);
    if (*used == 1) {
        return add_ascii(l, (unsigned char)text.ptr[0]);
    }
    if (*used == 0) { /* no UTF-8: this one byte, and on from the next */
        *used = 1;
        return add_byte_escape(l, (unsigned char)text.ptr[0]);
    }
    if (!utf8_hidden(code_point)) {
        return add(l, (struct str){text.ptr, *used});
    }
    size_t before = l->len;
    for (size_t i = 0; i < *used; i++) {
        if (!add_byte_escape(l, (unsigned char)text.ptr[i])) {
            l->len = before;
            return false;
        }
    }
    return true;
}

static bool needs_quotes(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        /* Past ASCII there may be something to escape, and escapes are read in quotes only. */
        if (c <= ' ' || c == '=' || c == '"' || c == '\\' || c >= 0x7F) {
            return true;
        }
    }
    return value.len == 0;
}

static void add_value(struct line *l, struct str value)
{
    bool quotes = l->format == LOG_FORMAT_JSON || needs_quotes(value);
    size_t line_limit = l->limit;
    if (room(l) > VALUE_BYTES) {
        l->limit = l->len + VALUE_BYTES;
    }
    if (quotes) {
        (void)add(l, STR("\""));
    }
    bool whole = true;
    for (size_t at = 0, used; whole && at < value.len; at += used) {
        whole = add_character(l, (struct str){value.ptr + at, value.len - at}, &used);
    }
    if (!whole) {
        add_tail(l, STR(CUT_MARK));
    }
    if (quotes) {
        add_tail(l, STR("\""));
    }
    l->limit = line_limit;
}

/* Begins a field. False when not even its name and a short value fit: then the line ends before it.
 */
static bool add_key(struct line *l, const char *key)
{
    struct str name = str_from(key);
    if (room(l) < name.len + 32) { /* separators, and 20 digits with their quotes */
        return false;
    }
    bool json = l->format == LOG_FORMAT_JSON;
    if (l->len > 0) {
        (void)add(l, json ? STR(",\"") : STR(" "));
    } else if (json) {
        (void)add(l, STR("{\""));
    }
    (void)add(l, name);
    (void)add(l, json ? STR("\":") : STR("="));
    return true;
}

static void add_number(struct line *l, const struct log_field *field)
{
    char digits[24];
    bool hex = field->kind == LOG_FIELD_HEX;
    int len =
        snprintf(digits, sizeof(digits), hex ? "%llx" : "%llu", (unsigned long long)field->num);
    struct str text = {digits, (size_t)len};
    if (hex) { /* an id: never a number to JSON's readers */
        add_value(l, text);
    } else {
        (void)add(l, text);
    }
}

static void add_field(struct line *l, const struct log_field *field)
{
    if (!add_key(l, field->key)) {
        return;
    }
    if (field->kind == LOG_FIELD_TEXT) {
        add_value(l, field->text);
    } else {
        add_number(l, field);
    }
}

static void add_time(struct line *l)
{
    uint64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[40];
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(text + len, sizeof(text) - len, ".%03uZ", (unsigned)(wall_ms % 1000));
    add_field(l, &F_STR("ts", ((struct str){text, len + (size_t)more})));
}

/* One write a line. What cannot be written is lost: the log never stops the process. */
static void send_line(const struct line *l)
{
    ssize_t written;
    do {
        written = write(state.fd, l->text, l->len);
    } while (written < 0 && errno == EINTR);
}

static void write_line(enum log_level level, enum log_event event, const struct log_field *fields,
                       size_t count)
{
    struct line l;
    l.len = 0;
    l.limit = LINE_BYTES - TAIL_BYTES;
    l.format = state.format;
    add_time(&l);
    add_field(&l, &F_TEXT("level", level_names[level]));
    add_field(&l, &F_TEXT("event", event_names[event]));
    if (state.gateway_len > 0) {
        add_field(&l, &F_STR("gateway", ((struct str){state.gateway, state.gateway_len})));
    }
    for (size_t i = 0; i < count; i++) {
        add_field(&l, &fields[i]);
    }
    add_tail(&l, l.format == LOG_FORMAT_JSON ? STR("}\n") : STR("\n"));
    send_line(&l);
}

/* Says how many lines of each event the second that ended kept back. */
static void write_suppressed(void)
{
    for (size_t i = 0; i < LOG_EV_COUNT; i++) {
        if (state.suppressed[i] > 0) {
            const struct log_field fields[] = {F_TEXT("of", event_names[i]),
                                               F_NUM("n", state.suppressed[i])};
            state.suppressed[i] = 0;
            write_line(LOG_LEVEL_WARN, LOG_EV_SUPPRESSED, fields, ARRAY_LEN(fields));
        }
    }
    state.folded = false;
}

/* Counts the line; true when it is over its event's rate in this second. */
static bool fold(enum log_event event)
{
    uint64_t second = clock_now_ms() / 1000;
    if (second != state.second) {
        state.second = second;
        memset(state.written, 0, sizeof(state.written));
        if (state.folded) {
            write_suppressed();
        }
    }
    if (state.written[event] < state.rate_per_s) {
        state.written[event]++;
        return false;
    }
    state.suppressed[event]++;
    state.folded = true;
    return true;
}

void log_setup(struct str gateway, enum log_level level, enum log_format format,
               unsigned rate_per_s, int fd)
{
    state.gateway_len = gateway.len < GATEWAY_BYTES ? gateway.len : GATEWAY_BYTES;
    if (state.gateway_len > 0) {
        memcpy(state.gateway, gateway.ptr, state.gateway_len);
    }
    state.level = level;
    state.format = format;
    state.rate_per_s = rate_per_s;
    state.fd = fd;
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

bool log_wants(enum log_level level)
{
    return level <= state.level;
}

void log_write(enum log_level level, enum log_event event, const struct log_field *fields,
               size_t count)
{
    int kept_errno = errno; /* a caller logs a failure and then still looks at why */
    if (state.rate_per_s == 0 || !fold(event)) {
        write_line(level, event, fields, count);
    }
    errno = kept_errno;
}
