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
 */
struct map_slot {
    uint64_t hash;
    void *item; /* borrowed; NULL: the slot is free */
};

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
static uint64_t sip_hash(const uint64_t seed[2], struct str key)
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
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The slot that holds key, or the free one where its run ends. The table has a free slot. */
static size_t find(const struct map *m, struct str key, uint64_t hash)
{
    size_t at = hash & (m->cap - 1);
    while (m->slots[at].item != NULL) {
        if (m->slots[at].hash == hash && str_equal(m->key_of(m->slots[at].item), key)) {
            break;
        }
        at = (at + 1) & (m->cap - 1);
    }
    return at;
}

static void grow(struct map *m)
{
    struct map_slot *old = m->slots;
    size_t old_cap = m->cap;
    m->cap = old_cap == 0 ? FIRST_CAP : old_cap * 2;
    m->slots = xcalloc(m->cap, sizeof(*m->slots));
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].item == NULL) {
            continue;
        }
        size_t at = old[i].hash & (m->cap - 1);
        while (m->slots[at].item != NULL) {
            at = (at + 1) & (m->cap - 1);
        }
        m->slots[at] = old[i];
    }
    free(old);
}

/* Frees a slot without a tombstone: each later slot of the run moves back when the gap lies on the
 * way from its home to where it is (Knuth, volume 3, section 6.4, algorithm R). */
static void close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1;
    for (size_t at = (gap + 1) & mask; m->slots[at].item != NULL; at = (at + 1) & mask) {
        size_t home = m->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            m->slots[gap] = m->slots[at];
            gap = at;
        }
    }
    m->slots[gap].item = NULL;
}

void map_init(struct map *m, struct str (*key_of)(const void *item))
{
    *m = (struct map){.key_of = key_of};
    random_bytes(m->seed, sizeof(m->seed));
}

void map_fini(struct map *m)
{
    free(m->slots);
    m->slots = NULL;
    m->count = m->cap = 0;
}

void *map_get(const struct map *m, struct str key)
{
    if (m->count == 0) {
        return NULL;
    }
    return m->slots[find(m, key, sip_hash(m->seed, key))].item;
}

void map_put(struct map *m, void *item)
{
    assert(item != NULL);
    if ((m->count + 1) * 4 > m->cap * 3) {
        grow(m);
    }
    struct str key = m->key_of(item);
    uint64_t hash = sip_hash(m->seed, key);
    size_t at = find(m, key, hash);
    assert(m->slots[at].item ==
           NULL); /* the caller looks first: two items of one key are its bug */
    m->slots[at] = (struct map_slot){hash, item};
    m->count++;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0) {
        return NULL;
    }
    size_t at = find(m, key, sip_hash(m->seed, key));
    void *item = m->slots[at].item;
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
        void *item = m->slots[(*at)++].item;
        if (item != NULL) {
            return item;
        }
    }
    return NULL;
}
