/* SPDX-License-Identifier: MIT */
#include "gateway/bus/url.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define REDIS_PORT 6379

static bool starts(struct str *s, const char *prefix)
{
    struct str p = str_from(prefix);
    if (!str_starts(*s, p)) {
        return false;
    }
    *s = (struct str){s->ptr + p.len, s->len - p.len};
    return true;
}

/* Cuts s before the first c: s keeps what is before it, the rest (without c) is returned; {NULL,0}
 * when there is none. */
static struct str cut(struct str *s, char c)
{
    const char *at = s->len > 0 ? memchr(s->ptr, c, s->len) : NULL;
    if (at == NULL) {
        return (struct str){NULL, 0};
    }
    struct str rest = {at + 1, (size_t)(s->ptr + s->len - at - 1)};
    s->len = (size_t)(at - s->ptr);
    return rest;
}

static bool number(struct str s, unsigned max, unsigned *out)
{
    unsigned long n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || i == 9) {
            return false;
        }
        n = n * 10 + (unsigned long)(s.ptr[i] - '0');
    }
    *out = (unsigned)n;
    return s.len > 0 && n <= max;
}

/* The value of a hex digit, or -1. */
static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    char lower = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    const char *at = memchr(digits, lower, 16);
    return at == NULL ? -1 : (int)(at - digits);
}

/* A NUL-terminated copy with %xx resolved; NULL when an escape is broken or stands for NUL. */
static char *decoded(struct str s)
{
    char *copy = str_dup(s);
    char *to = copy;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            *to++ = s.ptr[i];
            continue;
        }
        bool whole = i + 2 < s.len;
        int high = whole ? hex_value(s.ptr[i + 1]) : -1;
        int low = whole ? hex_value(s.ptr[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            free(copy);
            return NULL;
        }
        *to++ = (char)(high * 16 + low);
        i += 2;
    }
    *to = '\0';
    return copy;
}

/* user:password; a password alone (":password", or no colon at all) is for Redis's default user. */
static bool parse_login(struct url *u, struct str login)
{
    struct str user = login;
    struct str password = cut(&user, ':');
    if (password.ptr == NULL) {
        password = user;
        user.len = 0;
    }
    u->password = decoded(password);
    if (user.len > 0) {
        u->user = decoded(user);
    }
    return u->password != NULL && (user.len == 0 || u->user != NULL);
}

static bool parse_host(struct url *u, struct str host)
{
    struct str port = {NULL, 0};
    unsigned n = REDIS_PORT;
    if (host.len > 0 && host.ptr[0] == '[') { /* [::1]:6379 */
        host = (struct str){host.ptr + 1, host.len - 1};
        struct str rest = cut(&host, ']');
        if (rest.ptr == NULL || (rest.len > 0 && rest.ptr[0] != ':')) {
            return false;
        }
        if (rest.len > 0) {
            port = (struct str){rest.ptr + 1, rest.len - 1};
        }
    } else {
        port = cut(&host, ':');
    }
    if (port.ptr != NULL && (!number(port, 65535, &n) || n == 0)) {
        return false;
    }
    u->port = (int)n;
    u->host = str_dup(host);
    return host.len > 0;
}

static const char *parse_tcp(struct url *u, struct str s)
{
    struct str db = cut(&s, '/');
    /* The last @ ends the login: a password may hold others. */
    const char *at = s.len > 0 ? memrchr(s.ptr, '@', s.len) : NULL;
    if (at != NULL) {
        if (!parse_login(u, (struct str){s.ptr, (size_t)(at - s.ptr)})) {
            return "a %-escape in the login is broken";
        }
        s = (struct str){at + 1, (size_t)(s.ptr + s.len - at - 1)};
    }
    if (!parse_host(u, s)) {
        return "the host or port is not valid";
    }
    if (db.len > 0 && !number(db, 65535, &u->db)) {
        return "the database is not a number";
    }
    return NULL;
}

static const char *parse_unix(struct url *u, struct str s)
{
    struct str query = cut(&s, '?');
    if (s.len < 2 || s.ptr[0] != '/') {
        return "a unix URL is unix:///path?db=N";
    }
    if (query.ptr != NULL && (!starts(&query, "db=") || !number(query, 65535, &u->db))) {
        return "the only parameter is db=N";
    }
    u->path = decoded(s);
    return u->path == NULL ? "a %-escape in the path is broken" : NULL;
}

static const struct {
    const char *scheme;
    const char *(*parse)(struct url *u, struct str rest); /* NULL: not supported yet */
} schemes[] = {
    {"redis://", parse_tcp},     {"unix://", parse_unix},    {"rediss://", NULL},
    {"redis+sentinel://", NULL}, {"redis+cluster://", NULL},
};

bool url_parse(struct url *u, const char *text, char *err, size_t err_size)
{
    *u = (struct url){0};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct str rest = str_from(text);
        if (!starts(&rest, schemes[i].scheme)) {
            continue;
        }
        if (schemes[i].parse == NULL) {
            snprintf(err, err_size, "redis.url: %s is not supported yet", schemes[i].scheme);
            return false;
        }
        const char *why = schemes[i].parse(u, rest);
        if (why != NULL) {
            url_free(u);
            snprintf(err, err_size, "redis.url: %s", why);
        }
        return why == NULL;
    }
    snprintf(err, err_size, "redis.url: begins with redis:// or unix://");
    return false;
}

void url_free(struct url *u)
{
    free(u->host);
    free(u->path);
    free(u->user);
    free(u->password);
    *u = (struct url){0};
}
