/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include <arpa/inet.h>

#define PORT_MAX 65535
#define SOCKET_PATH_MAX 107 /* sun_path holds 108 bytes with its NUL */
#define FD_MIN 3            /* 0, 1 and 2 are the standard files */
#define FD_MAX 1048576
#define DATABASE_MAX 65535
#define NAME_MAX_BYTES 64
#define PATH_MAX_BYTES 128

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char digits[] = "0123456789";

static struct str rest_of(struct str text, size_t from)
{
    return (struct str){text.ptr + from, text.len - from};
}

static struct str head_of(struct str text, size_t len)
{
    return (struct str){text.ptr, len};
}

/* Where c stands first, or the length of text. */
static size_t find(struct str text, char c)
{
    const char *at = text.len > 0 ? memchr(text.ptr, c, text.len) : NULL;
    return at != NULL ? (size_t)(at - text.ptr) : text.len;
}

/* Whether text is one or more of these characters. */
static bool made_of(struct str text, const char *these, const char *and_these)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\0' || (strchr(these, c) == NULL && strchr(and_these, c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

/* A decimal number of at most seven digits: no port, prefix length or descriptor has more. */
static bool is_number(struct str text, unsigned min, unsigned max)
{
    unsigned n = 0;
    if (text.len > 7 || !made_of(text, digits, "")) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        n = n * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return n >= min && n <= max;
}

static bool is_ip(int family, struct str text)
{
    char address[INET6_ADDRSTRLEN] = {0};
    unsigned char binary[16];
    if (text.len >= sizeof(address)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(address, text.ptr, text.len);
    }
    return inet_pton(family, address, binary) == 1;
}

/* Splits "host:port" or "[ipv6]:port" (host then without brackets). A missing port is {NULL, 0}. */
static bool split_port(struct str text, struct str *host, struct str *port, bool *ipv6)
{
    *ipv6 = text.len > 0 && text.ptr[0] == '[';
    size_t end = find(text, *ipv6 ? ']' : ':');
    if (*ipv6 && end == text.len) {
        return false;
    }
    *host = *ipv6 ? (struct str){text.ptr + 1, end - 1} : head_of(text, end);
    struct str after = rest_of(text, *ipv6 ? end + 1 : end);
    *port = after.len > 0 ? rest_of(after, 1) : (struct str){NULL, 0};
    return after.len == 0 || after.ptr[0] == ':';
}

bool config_is_address(struct str item)
{
    struct str host, port;
    bool ipv6;
    if (str_starts(item, STR("unix:"))) {
        struct str path = rest_of(item, 5);
        return path.len > 1 && path.len <= SOCKET_PATH_MAX && path.ptr[0] == '/';
    }
    if (str_starts(item, STR("fd:"))) {
        return is_number(rest_of(item, 3), FD_MIN, FD_MAX);
    }
    return split_port(item, &host, &port, &ipv6) && is_ip(ipv6 ? AF_INET6 : AF_INET, host) &&
           is_number(port, 1, PORT_MAX);
}

/* An origin as in the Origin header (RFC 6454, 6.2): never a path. */
bool config_is_origin(struct str item)
{
    struct str host, port;
    bool ipv6;
    if (str_equal(item, STR("*"))) {
        return true;
    }
    size_t colon = find(item, ':');
    struct str scheme = head_of(item, colon), after = rest_of(item, colon);
    return made_of(scheme, letters, "0123456789+.-") && str_starts(after, STR("://")) &&
           split_port(rest_of(after, 3), &host, &port, &ipv6) &&
           (ipv6 ? is_ip(AF_INET6, host) : made_of(host, letters, "0123456789.-_")) &&
           (port.ptr == NULL || is_number(port, 1, PORT_MAX));
}

bool config_is_proxy(struct str item)
{
    size_t slash = find(item, '/');
    struct str address = head_of(item, slash);
    bool ipv4 = is_ip(AF_INET, address);
    return (ipv4 || is_ip(AF_INET6, address)) &&
           (slash == item.len || is_number(rest_of(item, slash + 1), 0, ipv4 ? 32 : 128));
}

/* The request's path is compared byte by byte, so only characters that nobody escapes. */
bool config_is_path(struct str text)
{
    bool whole = text.len <= PATH_MAX_BYTES && made_of(text, letters, "0123456789/._~-") &&
                 text.ptr[0] == '/' && (text.len == 1 || text.ptr[text.len - 1] != '/');
    return whole && memmem(text.ptr, text.len, "//", 2) == NULL &&
           memmem(text.ptr, text.len, "/.", 2) == NULL && !str_equal(text, STR("/client")) &&
           !str_starts(text, STR("/client/"));
}

bool config_is_name(struct str text)
{
    return text.len <= NAME_MAX_BYTES && made_of(text, letters, "0123456789._-");
}

/* No braces: they mark the part of a key that Redis Cluster hashes. No pattern characters. */
bool config_is_prefix(struct str text)
{
    return text.len <= NAME_MAX_BYTES && made_of(text, letters, "0123456789._:-");
}

static bool is_visible(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool is_database(struct str text)
{
    return is_number(text, 0, DATABASE_MAX);
}

static bool is_redis_socket(struct str where)
{
    size_t question = find(where, '?');
    struct str query = rest_of(where, question);
    return question > 1 && question <= SOCKET_PATH_MAX && where.ptr[0] == '/' &&
           (query.len == 0 || (str_starts(query, STR("?db=")) && is_database(rest_of(query, 4))));
}

static bool is_redis_host(struct str where)
{
    struct str host, port;
    bool ipv6;
    size_t slash = find(where, '/');
    struct str database = rest_of(where, slash), server = head_of(where, slash);
    const char *at = server.len > 0 ? memrchr(server.ptr, '@', server.len) : NULL;
    if (at != NULL) {
        server = rest_of(server, (size_t)(at - server.ptr) + 1);
    }
    return split_port(server, &host, &port, &ipv6) &&
           (ipv6 ? is_ip(AF_INET6, host) : made_of(host, letters, "0123456789._-")) &&
           (port.ptr == NULL || is_number(port, 1, PORT_MAX)) &&
           (database.len <= 1 || is_database(rest_of(database, 1)));
}

bool config_is_redis_url(struct str text)
{
    struct str redis = STR("redis://"), local = STR("unix://");
    if (!is_visible(text)) {
        return false;
    }
    if (str_starts(text, redis)) {
        return is_redis_host(rest_of(text, redis.len));
    }
    if (str_starts(text, local)) {
        return is_redis_socket(rest_of(text, local.len));
    }
    return text.len == 0;
}

bool config_is_any(struct str text)
{
    return memchr(text.ptr != NULL ? text.ptr : "", '\0', text.len) == NULL;
}
