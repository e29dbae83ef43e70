/* SPDX-License-Identifier: MIT */
#include "gateway/files.h"
#include "tests/unit/unit.h"

#include <sys/resource.h>

START_TEST(raising_sets_the_soft_limit_to_the_hard_one)
{
    struct rlimit limit = {64, 200};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(files_limit(), 200);
    ck_assert_uint_eq(files_raise_limit(), 200);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 200);
}
END_TEST

START_TEST(a_limit_is_never_more_than_the_tables_of_libraries_can_bear)
{
    ck_assert_uint_le(files_limit(), FILES_MAX);
    ck_assert_uint_le(files_raise_limit(), FILES_MAX);
}
END_TEST

START_TEST(some_files_are_kept_from_connections)
{
    ck_assert_uint_eq(files_max_connections(1024), 1024 - FILES_RESERVED);
    ck_assert_uint_eq(files_max_connections(FILES_RESERVED + 1), 1);
    ck_assert_uint_eq(files_max_connections(FILES_RESERVED), 0);
    ck_assert_uint_eq(files_max_connections(0), 0);
}
END_TEST

UNIT_MAIN("files", raising_sets_the_soft_limit_to_the_hard_one,
          a_limit_is_never_more_than_the_tables_of_libraries_can_bear,
          some_files_are_kept_from_connections)
