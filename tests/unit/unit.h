/* SPDX-License-Identifier: MIT */
/* unit: the frame of a unit test program. Its tests are Check's, each in a process of its own; the
 * program ends with the line `N passed, N failed`, and with 1 when something failed. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "common/base.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT_TIMEOUT_S 50 /* under sanitizers, on a slow machine; what hangs is killed */

static inline int unit_main(const char *module, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(module);
    TCase *cases = tcase_create(module);
    tcase_set_timeout(cases, UNIT_TIMEOUT_S);
    for (size_t i = 0; i < count; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    int passed = srunner_ntests_run(runner) - failed;
    srunner_free(runner);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

/* The program's main: UNIT_MAIN("room", a_sentence, another_sentence). A test that is not named
 * here is an unused variable, which the compiler refuses. */
#define UNIT_MAIN(module, ...)                             \
    int main(void)                                         \
    {                                                      \
        const TTest *const tests[] = {__VA_ARGS__};        \
        return unit_main(module, tests, ARRAY_LEN(tests)); \
    }

/* Whether run() ends its process by abort: what a failed assert does. */
static inline bool unit_aborts(void (*run)(void))
{
    pid_t child = fork();
    ck_assert(child >= 0);
    if (child == 0) {
        ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
        signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* STR() for a static table, where a compound literal is no constant. */
#define TEXT(literal)                   \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

/* ck_assert tells its parent process each time, which is a system call; this one only on failure,
 * for loops of millions. */
#define ck_assert_quiet(condition)                    \
    do {                                              \
        if (!(condition)) {                           \
            ck_abort_msg("not true: %s", #condition); \
        }                                             \
    } while (0)

#define ck_assert_str_is(actual, expected)                                            \
    do {                                                                              \
        struct str unit_got_ = (actual), unit_want_ = (expected);                     \
        ck_assert_msg(str_equal(unit_got_, unit_want_), "got \"%.*s\", not \"%.*s\"", \
                      STR_ARG(unit_got_), STR_ARG(unit_want_));                       \
    } while (0)

#endif
