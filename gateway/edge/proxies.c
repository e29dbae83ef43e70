/* SPDX-License-Identifier: MIT */
#include "gateway/edge/proxies.h"

#include "common/alloc.h"
#include "gateway/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* IPv4 is kept as ::ffff:a.b.c.d, so that there is one kind of address and one comparison. */
struct block {
    struct in6_addr address;
    unsigned bits;
};

struct proxies {
    struct block blocks[CONFIG_LIST_MAX];
    size_t count;
};

#define MAPPED_BITS 96 /* the length of the prefix ::ffff: */

/* text is an address without port or brackets. */
static bool parse_address(const char *text, struct in6_addr *out, bool *is_ipv4)
{
    struct in_addr v4;
    *is_ipv4 = inet_pton(AF_INET, text, &v4) == 1;
    if (!*is_ipv4) {
        return inet_pton(AF_INET6, text, out) == 1;
    }
    memset(out, 0, sizeof(*out));
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(&out->s6_addr[12], &v4, sizeof(v4));
    return true;
}

static void address_text(const struct in6_addr *address, char out[PROXIES_ADDRESS_MAX])
{
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        (void)inet_ntop(AF_INET, &address->s6_addr[12], out, PROXIES_ADDRESS_MAX);
    } else {
        (void)inet_ntop(AF_INET6, address, out, PROXIES_ADDRESS_MAX);
    }
}

static bool parse_block(const char *text, struct block *out)
{
    char address[PROXIES_ADDRESS_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    if (len >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, len);
    address[len] = '\0';
    bool is_ipv4;
    if (!parse_address(address, &out->address, &is_ipv4)) {
        return false;
    }
    out->bits = 128;
    if (slash != NULL) {
        char *end = NULL;
        unsigned long bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > (is_ipv4 ? 32 : 128)) {
            return false;
        }
        out->bits = (unsigned)bits + (is_ipv4 ? MAPPED_BITS : 0);
    }
    return true;
}

static bool in_block(const struct block *b, const struct in6_addr *address)
{
    size_t whole = b->bits / 8;
    unsigned rest = b->bits % 8;
    if (memcmp(&b->address, address, whole) != 0) {
        return false;
    }
    return rest == 0 || ((b->address.s6_addr[whole] ^ address->s6_addr[whole]) >> (8 - rest)) == 0;
}

static bool is_trusted(const struct proxies *p, const char *text)
{
    struct in6_addr address;
    bool is_ipv4;
    if (strcmp(text, PROXIES_UNIX) == 0) {
        return true;
    }
    if (!parse_address(text, &address, &is_ipv4)) {
        return false;
    }
    for (size_t i = 0; i < p->count; i++) {
        if (in_block(&p->blocks[i], &address)) {
            return true;
        }
    }
    return false;
}

/* A hop as proxies write it: 192.0.2.1, 192.0.2.1:1234, 2001:db8::1, [2001:db8::1]:1234. The result
 * is written anew, never copied. */
static bool parse_hop(struct str hop, char out[PROXIES_ADDRESS_MAX])
{
    char text[PROXIES_ADDRESS_MAX + sizeof("[]:65535")];
    if (hop.len == 0 || hop.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, hop.ptr, hop.len);
    text[hop.len] = '\0';
    char *begin = text;
    char *end = NULL; /* where the address ends, when a port may follow */
    if (text[0] == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        if (end == NULL) {
            return false;
        }
    } else if (strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
    }
    if (end != NULL) {
        *end = '\0';
    }
    struct in6_addr address;
    bool is_ipv4;
    if (!parse_address(begin, &address, &is_ipv4)) {
        return false;
    }
    address_text(&address, out);
    return true;
}

/* Takes the right-most hop off the list. False: there is none. */
static bool last_hop(struct str *list, struct str *hop)
{
    if (list->ptr == NULL || list->len == 0) {
        return false;
    }
    const char *comma = memrchr(list->ptr, ',', list->len);
    const char *begin = comma == NULL ? list->ptr : comma + 1;
    const char *end = list->ptr + list->len;
    list->len = comma == NULL ? 0 : (size_t)(comma - list->ptr);
    while (begin < end && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    while (begin < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *hop = (struct str){begin, (size_t)(end - begin)};
    return true;
}

struct proxies *proxies_new(const struct config_list *trusted, char *err, size_t err_size)
{
    struct proxies *p = xcalloc(1, sizeof(*p));
    for (size_t i = 0; i < trusted->count; i++) {
        if (!parse_block(trusted->items[i], &p->blocks[p->count++])) {
            (void)snprintf(err, err_size,
                           "server.trusted_proxies: \"%s\" is neither an address nor a block like "
                           "10.0.0.0/8",
                           trusted->items[i]);
            free(p);
            return NULL;
        }
    }
    return p;
}

void proxies_free(struct proxies *p)
{
    free(p);
}

void proxies_peer(const struct sockaddr_storage *peer, char address[PROXIES_ADDRESS_MAX])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    switch (peer->ss_family) {
    case AF_INET:
        memcpy(&v4, peer, sizeof(v4));
        (void)inet_ntop(AF_INET, &v4.sin_addr, address, PROXIES_ADDRESS_MAX);
        break;
    case AF_INET6:
        memcpy(&v6, peer, sizeof(v6));
        address_text(&v6.sin6_addr, address);
        break;
    default:
        memcpy(address, PROXIES_UNIX, sizeof(PROXIES_UNIX));
    }
}

void proxies_pack(struct str text, struct in6_addr *out)
{
    char copy[PROXIES_ADDRESS_MAX];
    size_t len = text.len < sizeof(copy) ? text.len : sizeof(copy) - 1;
    bool is_ipv4;
    memcpy(copy, text.ptr, len);
    copy[len] = '\0';
    if (!parse_address(copy, out, &is_ipv4)) {
        memset(out, 0, sizeof(*out));
    }
}

void proxies_unpack(const struct in6_addr *packed, char address[PROXIES_ADDRESS_MAX])
{
    if (IN6_IS_ADDR_UNSPECIFIED(packed)) {
        memcpy(address, PROXIES_UNIX, sizeof(PROXIES_UNIX));
    } else {
        address_text(packed, address);
    }
}

void proxies_client(const struct proxies *p, struct str forwarded_for,
                    char address[PROXIES_ADDRESS_MAX])
{
    struct str hop;
    char text[PROXIES_ADDRESS_MAX];
    while (is_trusted(p, address) && last_hop(&forwarded_for, &hop) && parse_hop(hop, text)) {
        memcpy(address, text, sizeof(text));
    }
}
