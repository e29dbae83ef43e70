/* SPDX-License-Identifier: MIT */
#include "gateway/edge/addresses.h"

#include "tests/unit/unit.h"

START_TEST(each_address_is_counted_by_itself)
{
    struct addresses *a = addresses_new();
    addresses_add(a, STR("10.0.0.1"));
    addresses_add(a, STR("10.0.0.1"));
    addresses_add(a, STR("10.0.0.2"));
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.1")), 2);
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.2")), 1);
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.3")), 0);
    addresses_remove(a, STR("10.0.0.1"));
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.1")), 1);
    addresses_remove(a, STR("10.0.0.1"));
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.1")), 0);
    ck_assert_uint_eq(addresses_count(a, STR("10.0.0.2")), 1);
    addresses_free(a);
}
END_TEST

START_TEST(a_network_of_ipv6_counts_as_one)
{
    struct addresses *a = addresses_new();
    addresses_add(a, STR("2001:db8:1:2::1"));
    addresses_add(a, STR("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    addresses_add(a, STR("2001:db8:1:3::1"));
    ck_assert_uint_eq(addresses_count(a, STR("2001:db8:1:2::77")), 2);
    ck_assert_uint_eq(addresses_count(a, STR("2001:db8:1:3::")), 1);
    /* Its bytes begin as those of 32.1.13.184. */
    ck_assert_uint_eq(addresses_count(a, STR("32.1.13.184")), 0);
    addresses_free(a);
}
END_TEST

START_TEST(what_is_no_address_is_not_counted)
{
    static const struct str texts[] = {
        TEXT("unix"),
        TEXT(""),
        TEXT("10.0.0"),
        TEXT("2001:db8:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6"),
    };
    struct addresses *a = addresses_new();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        addresses_add(a, texts[i]);
        ck_assert_uint_eq(addresses_count(a, texts[i]), 0);
        addresses_remove(a, texts[i]);
    }
    addresses_free(a);
}
END_TEST

START_TEST(many_come_and_go)
{
    struct addresses *a = addresses_new();
    char text[32];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            int len = snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
            addresses_add(a, (struct str){text, (size_t)len});
        }
        for (int i = 0; i < 5000; i++) {
            int len = snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
            struct str address = {text, (size_t)len};
            ck_assert_uint_eq(addresses_count(a, address), 1);
            addresses_remove(a, address);
            ck_assert_uint_eq(addresses_count(a, address), 0);
        }
    }
    addresses_free(a);
}
END_TEST

UNIT_MAIN("addresses", each_address_is_counted_by_itself, a_network_of_ipv6_counts_as_one,
          what_is_no_address_is_not_counted, many_come_and_go)
