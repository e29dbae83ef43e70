/* SPDX-License-Identifier: MIT */
#include "gateway/edge/origin.h"

#include "gateway/config.h"

#include <strings.h>

struct origin {
    struct str scheme, host;
    unsigned port;
};

static const struct {
    struct str scheme;
    unsigned port;
} default_ports[] = {
    {{"http", 4}, 80},
    {{"https", 5}, 443},
    {{"ws", 2}, 80},
    {{"wss", 3}, 443},
};

static bool equal_case(struct str a, struct str b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static unsigned default_port(struct str scheme)
{
    for (size_t i = 0; i < ARRAY_LEN(default_ports); i++) {
        if (equal_case(scheme, default_ports[i].scheme)) {
            return default_ports[i].port;
        }
    }
    return 0;
}

/* The characters of names, IPv4 addresses and, in brackets, IPv6 addresses; whatever else (a slash,
 * an
 * @, a space, a comma, a control) makes the text something that is not one host. */
static bool is_host_char(char c, bool in_brackets)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.') {
        return true;
    }
    return in_brackets ? c == ':' : c == '-' || c == '_';
}

/* host[:port]; port 0 where none is given. */
static bool parse_authority(struct str text, struct str *host, unsigned *port)
{
    bool brackets = text.len > 0 && text.ptr[0] == '[';
    size_t i = brackets ? 1 : 0;
    while (i < text.len && is_host_char(text.ptr[i], brackets)) {
        i++;
    }
    if (brackets && (i >= text.len || text.ptr[i++] != ']')) {
        return false;
    }
    *host = (struct str){text.ptr, i};
    *port = 0;
    if (i == 0 || i == text.len) {
        return i > 0;
    }
    size_t digits = text.len - i - 1;
    if (text.ptr[i] != ':' || digits == 0 || digits > 5) {
        return false;
    }
    while (++i < text.len) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *port = *port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return *port >= 1 && *port <= 65535;
}

static bool is_scheme_char(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        return true;
    }
    return !first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.');
}

/* scheme://host[:port] and nothing else (browser extensions have schemes of their own). */
static bool parse_origin(struct str text, struct origin *out)
{
    size_t i = 0;
    while (i < text.len && is_scheme_char(text.ptr[i], i == 0)) {
        i++;
    }
    struct str rest = {text.ptr + i, text.len - i};
    if (i == 0 || !str_starts(rest, STR("://"))) {
        return false;
    }
    out->scheme = (struct str){text.ptr, i};
    rest = (struct str){rest.ptr + 3, rest.len - 3};
    if (!parse_authority(rest, &out->host, &out->port)) {
        return false;
    }
    if (out->port == 0) {
        out->port = default_port(out->scheme);
    }
    return true;
}

static bool same_host(const struct origin *o, struct str host)
{
    struct str name;
    unsigned port;
    if (!parse_authority(host, &name, &port)) {
        return false;
    }
    if (port == 0) {
        port = default_port(o->scheme);
    }
    return equal_case(o->host, name) && o->port == port && port != 0;
}

bool origin_allowed(const struct config_list *allowed, struct str origin, struct str host)
{
    struct origin o, other;
    bool valid = parse_origin(origin, &o);
    for (size_t i = 0; i < allowed->count; i++) {
        struct str item = str_from(allowed->items[i]);
        if (str_equal(item, STR("*"))) {
            return true;
        }
        if (valid && parse_origin(item, &other) && equal_case(o.scheme, other.scheme) &&
            equal_case(o.host, other.host) && o.port == other.port) {
            return true;
        }
    }
    return valid && allowed->count == 0 && same_host(&o, host);
}
