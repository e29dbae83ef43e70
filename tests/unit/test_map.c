/* SPDX-License-Identifier: MIT */
#include "common/map.h"

#include "common/alloc.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

struct item {
    char key[24];
    size_t key_len;
    bool in_map; /* the reference: what the map must say */
    bool visited;
};

static struct str key_of(const void *ptr)
{
    const struct item *item = ptr;
    return (struct str){item->key, item->key_len};
}

static struct item *items_new(size_t count)
{
    struct item *items = xcalloc(count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        int len = snprintf(items[i].key, sizeof(items[i].key), "room-%zu", i);
        items[i].key_len = (size_t)len;
    }
    return items;
}

/* A walk visits what the reference says, each item once. */
static void assert_walk(const struct map *m, struct item *items, size_t count)
{
    size_t visited = 0, at = 0, expected = 0;
    for (struct item *item; (item = map_next(m, &at)) != NULL; visited++) {
        ck_assert_quiet(item->in_map);
        ck_assert_quiet(!item->visited);
        item->visited = true;
    }
    for (size_t i = 0; i < count; i++) {
        expected += items[i].in_map;
        items[i].visited = false;
    }
    ck_assert_uint_eq(visited, expected);
    ck_assert_uint_eq(m->count, expected);
}

/* xorshift64: the same numbers at every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(an_empty_map_holds_nothing_and_no_memory)
{
    struct map m;
    size_t at = 0;
    map_init(&m, key_of);
    ck_assert_ptr_null(map_get(&m, STR("x")));
    ck_assert_ptr_null(map_remove(&m, STR("x")));
    ck_assert_ptr_null(map_next(&m, &at));
    ck_assert_ptr_null(m.items);
    map_fini(&m);
}
END_TEST

START_TEST(keys_are_bytes_of_any_length_and_value)
{
    static struct item items[] = {
        {"", 0, false, false},
        {"\0", 1, false, false},
        {"\0\0", 2, false, false},
        {"a", 1, false, false},
        {"a\0", 2, false, false},
        {"a\0b", 3, false, false},
        {"A", 1, false, false},
        {"12345678", 8, false, false},
        {"1234567", 7, false, false},
        {"123456789", 9, false, false},
        {"\xF0\x9F\x98\x80", 4, false, false},
    };
    struct map m;
    map_init(&m, key_of);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        ck_assert_ptr_null(map_get(&m, key_of(&items[i])));
        map_put(&m, &items[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        ck_assert_quiet(map_get(&m, key_of(&items[i])) == &items[i]);
    }
    ck_assert_ptr_eq(map_get(&m, (struct str){NULL, 0}), &items[0]);
    map_fini(&m);
}
END_TEST

START_TEST(it_agrees_with_a_reference_over_random_operations)
{
    enum { KEYS = 500, OPERATIONS = 300000 };
    uint64_t random = 88172645463325252u;
    for (size_t keys = 3; keys <= KEYS; keys = keys * 5 + 1) {
        struct item *items = items_new(keys);
        struct map m;
        map_init(&m, key_of);
        for (unsigned i = 0; i < OPERATIONS; i++) {
            uint64_t draw = next_random(&random);
            struct item *item = &items[draw % keys];
            void *expected = item->in_map ? item : NULL;
            ck_assert_quiet(map_get(&m, key_of(item)) == expected);
            /* Phases of mostly adding and mostly removing, so that it fills up and empties. */
            bool adding = (draw >> 32) % 10 < (i / 2000 % 2 == 0 ? 8 : 2);
            if (!adding) {
                ck_assert_quiet(map_remove(&m, key_of(item)) == expected);
                item->in_map = false;
            } else if (expected == NULL) {
                map_put(&m, item);
                item->in_map = true;
            }
            if (i % 1000 == 0) {
                assert_walk(&m, items, keys);
            }
        }
        map_fini(&m);
        free(items);
    }
}
END_TEST

START_TEST(a_hundred_thousand_items_come_and_go)
{
    enum { COUNT = 100000 };
    struct item *items = items_new(COUNT);
    struct map m;
    map_init(&m, key_of);
    for (size_t i = 0; i < COUNT; i++) {
        map_put(&m, &items[i]);
        items[i].in_map = true;
    }
    assert_walk(&m, items, COUNT);
    ck_assert_uint_le(m.count * 4, m.cap * 3);
    for (size_t i = 0; i < COUNT; i += 3) {
        ck_assert_quiet(map_remove(&m, key_of(&items[i])) == &items[i]);
        items[i].in_map = false;
    }
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_quiet(map_get(&m, key_of(&items[i])) == (items[i].in_map ? &items[i] : NULL));
    }
    assert_walk(&m, items, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        (void)map_remove(&m, key_of(&items[i]));
        items[i].in_map = false;
    }
    ck_assert_ptr_null(m.items); /* a crowd that left is not paid for */
    map_put(&m, &items[7]);
    ck_assert_quiet(map_get(&m, key_of(&items[7])) == &items[7]);
    map_fini(&m);
    free(items);
}
END_TEST

START_TEST(each_map_has_a_seed_of_its_own)
{
    struct map a, b;
    map_init(&a, key_of);
    map_init(&b, key_of);
    ck_assert(a.seed[0] != b.seed[0] && a.seed[1] != b.seed[1]);
}
END_TEST

/* Runs of full slots: with a hash that spreads, a table at its fullest has no long ones. */
START_TEST(similar_keys_are_spread_over_the_table)
{
    enum { COUNT = 98304 }; /* 3/4 of 2^17 */
    struct item *items = items_new(COUNT);
    struct map m;
    map_init(&m, key_of);
    for (size_t i = 0; i < COUNT; i++) {
        map_put(&m, &items[i]);
    }
    ck_assert_uint_eq(m.cap, 131072);
    size_t longest = 0, run = 0, before = 0;
    for (size_t at = 0; map_next(&m, &at) != NULL; before = at) {
        run = at == before + 1 ? run + 1 : 1;
        longest = run > longest ? run : longest;
    }
    ck_assert_uint_lt(longest, 1500); /* seen: about 200 */
    map_fini(&m);
    free(items);
}
END_TEST

static void put_one_key_twice(void)
{
    struct item twins[2] = {{"same", 4, false, false}, {"same", 4, false, false}};
    struct map m;
    map_init(&m, key_of);
    map_put(&m, &twins[0]);
    map_put(&m, &twins[1]);
}

START_TEST(two_items_of_one_key_are_our_bug)
{
    ck_assert(unit_aborts(put_one_key_twice));
}
END_TEST

UNIT_MAIN("map", an_empty_map_holds_nothing_and_no_memory, keys_are_bytes_of_any_length_and_value,
          it_agrees_with_a_reference_over_random_operations, a_hundred_thousand_items_come_and_go,
          each_map_has_a_seed_of_its_own, similar_keys_are_spread_over_the_table,
          two_items_of_one_key_are_our_bug)
