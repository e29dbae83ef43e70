/* SPDX-License-Identifier: MIT */
#include "common/map.h"

#include "common/alloc.h"
#include "common/random.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAP ((size_t)8)

/* A map that empties gives back a table above this, so that one crowd does not stay paid for. */
#define KEEP_CAP ((size_t)1024)

/* The hash is kept: most probes differ in it and ask for no key, and growing hashes nothing anew.
 * 32 bits of it are enough for both. Hashes stand behind the items, in the same block: an array of
 * pairs would take 4 bytes more a slot. */
static uint32_t *hashes(const struct map *m)
{
    return (uint32_t *)(m->items + m->cap);
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotated(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotated(s->v1, 13) ^ s->v0;
    s->v0 = rotated(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotated(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotated(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotated(s->v1, 17) ^ s->v2;
    s->v2 = rotated(s->v2, 32);
}

/* The words are read in the machine's own byte order: the hash never leaves the process. */
static uint32_t sip_hash(const uint64_t seed[2], struct str key)
{
    struct sip s = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                    seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t word;
    size_t at = 0;
    for (; key.len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, key.ptr + at, sizeof(word));
        s.v3 ^= word;
        sip_round(&s);
        s.v0 ^= word;
    }
    word = (uint64_t)key.len << 56; /* the last word: the length, and the bytes that are left */
    for (unsigned shift = 0; at < key.len; at++, shift += 8) {
        word |= (uint64_t)(unsigned char)key.ptr[at] << shift;
    }
    s.v3 ^= word;
    sip_round(&s);
    s.v0 ^= word;
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return (uint32_t)(s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}

/* The slot that holds key, or the free one where its run ends. The table has a free slot. */
static size_t find(const struct map *m, struct str key, uint32_t hash)
{
    size_t at = hash & (m->cap - 1);
    while (m->items[at] != NULL) {
        if (hashes(m)[at] == hash && str_equal(m->key_of(m->items[at]), key)) {
            break;
        }
        at = (at + 1) & (m->cap - 1);
    }
    return at;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.cap == 0 ? FIRST_CAP : old.cap * 2;
    m->items = xcalloc(m->cap, sizeof(*m->items) + sizeof(*hashes(m)));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.items[i] == NULL) {
            continue;
        }
        size_t at = hashes(&old)[i] & (m->cap - 1);
        while (m->items[at] != NULL) {
            at = (at + 1) & (m->cap - 1);
        }
        m->items[at] = old.items[i];
        hashes(m)[at] = hashes(&old)[i];
    }
    free(old.items);
}

/* Frees a slot without a tombstone: each later slot of the run moves back when the gap lies on the
 * way from its home to where it is (Knuth, volume 3, section 6.4, algorithm R). */
static void close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1;
    for (size_t at = (gap + 1) & mask; m->items[at] != NULL; at = (at + 1) & mask) {
        size_t home = hashes(m)[at] & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            m->items[gap] = m->items[at];
            hashes(m)[gap] = hashes(m)[at];
            gap = at;
        }
    }
    m->items[gap] = NULL;
}

void map_init(struct map *m, struct str (*key_of)(const void *item))
{
    *m = (struct map){.key_of = key_of};
    random_bytes(m->seed, sizeof(m->seed));
}

void map_fini(struct map *m)
{
    free(m->items);
    m->items = NULL;
    m->count = m->cap = 0;
}

void *map_get(const struct map *m, struct str key)
{
    if (m->count == 0) {
        return NULL;
    }
    return m->items[find(m, key, sip_hash(m->seed, key))];
}

void map_put(struct map *m, void *item)
{
    assert(item != NULL);
    if ((m->count + 1) * 4 > m->cap * 3) {
        grow(m);
    }
    struct str key = m->key_of(item);
    uint32_t hash = sip_hash(m->seed, key);
    size_t at = find(m, key, hash);
    assert(m->items[at] == NULL); /* the caller looks first: two items of one key are its bug */
    m->items[at] = item;
    hashes(m)[at] = hash;
    m->count++;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0) {
        return NULL;
    }
    size_t at = find(m, key, sip_hash(m->seed, key));
    void *item = m->items[at];
    if (item == NULL) {
        return NULL;
    }
    close_gap(m, at);
    m->count--;
    if (m->count == 0 && m->cap > KEEP_CAP) {
        map_fini(m);
    }
    return item;
}

void *map_next(const struct map *m, size_t *at)
{
    while (*at < m->cap) {
        void *item = m->items[(*at)++];
        if (item != NULL) {
            return item;
        }
    }
    return NULL;
}
