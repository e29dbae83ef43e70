/* SPDX-License-Identifier: MIT */
#include "common/list.h"

#include "tests/unit/unit.h"

#define ITEMS 8

struct item {
    int number;
    struct list link;
};

/* Not the first member, so that container_of has something to do. */
static struct item items[ITEMS];
static struct list head;

static void start(size_t count)
{
    list_init(&head);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].number = (int)i;
        list_init(&items[i].link);
        if (i < count) {
            list_push(&head, &items[i].link);
        }
    }
}

static void assert_order(struct list *l, const int *numbers, size_t count)
{
    size_t at = 0;
    list_each (it, l) {
        ck_assert_uint_lt(at, count);
        ck_assert_int_eq(container_of(it, struct item, link)->number, numbers[at++]);
        ck_assert_ptr_eq(it->next->prev, it);
    }
    ck_assert_uint_eq(at, count);
}

#define ASSERT_ORDER(l, ...) \
    assert_order((l), (const int[]){__VA_ARGS__}, ARRAY_LEN(((const int[]){__VA_ARGS__})))

START_TEST(elements_stand_in_the_order_they_were_pushed)
{
    start(4);
    ck_assert(!list_empty(&head));
    ASSERT_ORDER(&head, 0, 1, 2, 3);
}
END_TEST

START_TEST(an_element_leaves_from_anywhere_and_can_come_back)
{
    start(4);
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    list_remove(&items[3].link);
    ASSERT_ORDER(&head, 1);
    ck_assert(list_empty(&items[2].link));
    list_remove(&items[2].link); /* on no list: nothing happens */
    list_push(&head, &items[2].link);
    ASSERT_ORDER(&head, 1, 2);
    list_remove(&items[1].link);
    list_remove(&items[2].link);
    ck_assert(list_empty(&head));
}
END_TEST

START_TEST(pop_takes_the_first_until_there_is_none)
{
    start(3);
    for (int i = 0; i < 3; i++) {
        struct list *first = list_pop(&head);
        ck_assert_ptr_nonnull(first);
        ck_assert_int_eq(container_of(first, struct item, link)->number, i);
        ck_assert(list_empty(first));
    }
    ck_assert_ptr_null(list_pop(&head));
    ck_assert(list_empty(&head));
}
END_TEST

START_TEST(splice_moves_all_in_order_and_leaves_the_source_empty)
{
    struct list from;
    list_init(&from);
    start(2);
    list_splice(&head, &from);
    ASSERT_ORDER(&head, 0, 1);
    list_push(&from, &items[5].link);
    list_push(&from, &items[6].link);
    list_splice(&head, &from);
    ck_assert(list_empty(&from));
    ASSERT_ORDER(&head, 0, 1, 5, 6);
    list_splice(&from, &head);
    ck_assert(list_empty(&head));
    ASSERT_ORDER(&from, 0, 1, 5, 6);
}
END_TEST

START_TEST(a_safe_walk_may_remove_its_own_element)
{
    start(6);
    list_each_safe (it, &head) {
        if (container_of(it, struct item, link)->number % 2 == 0) {
            list_remove(it);
        }
    }
    ASSERT_ORDER(&head, 1, 3, 5);
}
END_TEST

UNIT_MAIN("list", elements_stand_in_the_order_they_were_pushed,
          an_element_leaves_from_anywhere_and_can_come_back,
          pop_takes_the_first_until_there_is_none,
          splice_moves_all_in_order_and_leaves_the_source_empty,
          a_safe_walk_may_remove_its_own_element)
