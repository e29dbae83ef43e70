/* SPDX-License-Identifier: MIT */
#include "gateway/edge/addresses.h"

#include "common/alloc.h"
#include "common/map.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define NETWORK_BYTES 8 /* a /64 */

/* IPv4: four bytes; IPv6: those of its network. */
struct key {
    unsigned char bytes[NETWORK_BYTES];
    unsigned char len;
};

struct address {
    struct key key;
    unsigned count;
};

struct addresses {
    struct map map; /* of struct address, owned */
};

static struct str key_text(const struct key *key)
{
    return (struct str){(const char *)key->bytes, key->len};
}

static struct str key_of(const void *item)
{
    const struct address *a = item;
    return key_text(&a->key);
}

static bool read_key(struct str text, struct key *key)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr six;
    if (text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, key->bytes) == 1) {
        key->len = sizeof(struct in_addr);
        return true;
    }
    if (inet_pton(AF_INET6, copy, &six) == 1) {
        memcpy(key->bytes, six.s6_addr, NETWORK_BYTES);
        key->len = NETWORK_BYTES;
        return true;
    }
    return false;
}

struct addresses *addresses_new(void)
{
    struct addresses *a = xcalloc(1, sizeof(*a));
    map_init(&a->map, key_of);
    return a;
}

void addresses_free(struct addresses *a)
{
    if (a == NULL) {
        return;
    }
    size_t at = 0;
    for (void *item = map_next(&a->map, &at); item != NULL; item = map_next(&a->map, &at)) {
        free(item);
    }
    map_fini(&a->map);
    free(a);
}

void addresses_add(struct addresses *a, struct str text)
{
    struct key key;
    if (!read_key(text, &key)) {
        return;
    }
    struct address *item = map_get(&a->map, key_text(&key));
    if (item == NULL) {
        item = xcalloc(1, sizeof(*item));
        item->key = key;
        map_put(&a->map, item);
    }
    item->count++;
}

void addresses_remove(struct addresses *a, struct str text)
{
    struct key key;
    struct address *item = read_key(text, &key) ? map_get(&a->map, key_text(&key)) : NULL;
    if (item != NULL && --item->count == 0) {
        free(map_remove(&a->map, key_text(&key)));
    }
}

unsigned addresses_count(const struct addresses *a, struct str text)
{
    struct key key;
    const struct address *item = read_key(text, &key) ? map_get(&a->map, key_text(&key)) : NULL;
    return item != NULL ? item->count : 0;
}
