/* SPDX-License-Identifier: MIT */
/* config_case: what the tests of config share: a folder of its own for each test, one load, and
 * what it reported. */
#ifndef TESTS_UNIT_CONFIG_CASE_H
#define TESTS_UNIT_CONFIG_CASE_H

#include "common/buf.h"
#include "gateway/config.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define FILE_NAME "parley.conf"

static struct config config;
static struct buf lines; /* what was reported, a line each; warnings begin with "warning: " */
static char folder[] = "/tmp/parley-test-config-XXXXXX";

static inline void note_line(void *ctx, bool is_error, const char *text)
{
    (void)ctx;
    buf_addf(&lines, "%s%s\n", is_error ? "" : "warning: ", text);
}

static inline void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static inline void teardown(void)
{
    config_free(&config);
    buf_fini(&lines);
    unlink(FILE_NAME);
    unlink("secret");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

static inline void write_file(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

/* Any source may be NULL. args ends with NULL. Loads anew, whatever was loaded before. */
static inline bool load_all(const char *text, char **envp, char **args)
{
    static const struct config_report report = {note_line, NULL};
    static char *nothing[] = {NULL};
    struct config_sources sources = {.file = text != NULL ? FILE_NAME : NULL,
                                     .envp = envp != NULL ? envp : nothing,
                                     .flags = args};
    config_free(&config);
    buf_clear(&lines);
    if (text != NULL) {
        write_file(FILE_NAME, text, strlen(text));
    }
    while (args != NULL && args[sources.flag_count] != NULL) {
        sources.flag_count++;
    }
    return config_load(&config, &sources, &report);
}

static inline bool load(const char *text)
{
    return load_all(text, NULL, NULL);
}

static inline void expect_lines(const char *expected)
{
    ck_assert_str_is(buf_str(&lines), str_from(expected));
}

struct row {
    const char *text, *reported;
};

static inline void expect_refused(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool good = load(rows[i].text);
        expect_lines(rows[i].reported);
        ck_assert(!good);
    }
}

#endif
