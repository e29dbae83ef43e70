/* SPDX-License-Identifier: MIT */
#include "gateway/edge/static.h"

#include "common/log.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static char dir[] = "/tmp/parley-static-XXXXXX";

static void write_file(const char *name, const char *text, size_t len)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static void make_folder(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(mkdir(path, 0755), 0);
}

/* Each test runs in a process of its own, so each has a folder of its own. */
static struct static_site *new_site(void)
{
    char err[256] = "";
    struct static_site *s = static_site_new(dir, err, sizeof(err));
    ck_assert_msg(s != NULL, "%s", err);
    return s;
}

static void begin(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_setup(STR("test"), LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT, 0, null);
    make_folder("web");
    make_folder("js");
    write_file("web/index.html", "<p>hello", 8);
    write_file("js/parley.js", "let a;", 6);
}

static void end(void)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* As http does: the first route that fits. */
static struct http_answer get(const struct static_site *s, const char *path)
{
    const struct http_site *site = static_site_http(s);
    struct http_request request = {.method = STR("GET"), .path = str_from(path)};
    struct http_answer answer = {.status = 200};
    for (size_t i = 0; i < site->route_count; i++) {
        size_t len = strlen(site->routes[i].path);
        bool is_prefix = site->routes[i].path[len - 1] == '*';
        if (is_prefix ? strncmp(path, site->routes[i].path, len - 1) == 0
                      : strcmp(path, site->routes[i].path) == 0) {
            site->routes[i].serve(site->ctx, &request, &answer);
            return answer;
        }
    }
    answer.status = 404;
    return answer;
}

static unsigned status_of(const struct static_site *s, const char *path)
{
    struct http_answer a = get(s, path);
    unsigned status = a.status;
    buf_fini(&a.body);
    return status;
}

START_TEST(the_index_and_the_files_are_served_with_type_tag_and_policy)
{
    begin();
    struct static_site *s = new_site();
    struct http_answer a = get(s, "/");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "text/html; charset=utf-8");
    ck_assert_str_is(a.shared_body, STR("<p>hello"));
    ck_assert_uint_eq(strlen(a.etag), 18);
    ck_assert_ptr_nonnull(strstr(a.csp, "default-src 'self'"));
    ck_assert_ptr_nonnull(strstr(a.csp, "frame-ancestors 'none'"));
    struct http_answer js = get(s, "/client/js/parley.js");
    ck_assert_str_eq(js.content_type, "text/javascript; charset=utf-8");
    ck_assert_str_is(js.shared_body, STR("let a;"));
    ck_assert_str_ne(js.etag, a.etag);
    ck_assert_uint_eq(status_of(s, "/client/web/index.html"), 200);
    static_site_free(s);
    end();
}
END_TEST

START_TEST(a_tag_changes_with_the_content_only)
{
    begin();
    char before[32];
    struct static_site *s = new_site();
    (void)snprintf(before, sizeof(before), "%s", get(s, "/").etag);
    static_site_free(s);
    s = new_site();
    ck_assert_str_eq(get(s, "/").etag, before);
    static_site_free(s);
    write_file("web/index.html", "<p>hellp", 8);
    s = new_site();
    ck_assert_str_ne(get(s, "/").etag, before);
    static_site_free(s);
    end();
}
END_TEST

START_TEST(nothing_but_known_files_below_the_folder_is_served)
{
    begin();
    write_file("js/secret.pem", "key", 3);
    write_file("js/.hidden.js", "x", 1);
    write_file("js/backup.js~", "x", 1);
    make_folder(".git");
    write_file(".git/config.txt", "x", 1);
    struct static_site *s = new_site();
    static const char *const paths[] = {
        "/client/",
        "/client/js",
        "/client/js/",
        "/client/js/none.js",
        "/client/js/secret.pem",
        "/client/js/.hidden.js",
        "/client/js/backup.js~",
        "/client/.git/config.txt",
        "/client/../js/parley.js",
        "/client//js/parley.js",
        "/client/js/../js/parley.js",
        "/client/js%2fparley.js",
        "/client//etc/passwd",
        "/client/js/parley.js/",
        "/client/JS/parley.js",
        "/js/parley.js",
        "/index.html",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ck_assert_msg(status_of(s, paths[i]) == 404, "%s", paths[i]);
    }
    static_site_free(s);
    end();
}
END_TEST

START_TEST(every_known_kind_has_its_type)
{
    static const struct {
        const char *name, *type;
    } kinds[] = {
        {"a.html", "text/html; charset=utf-8"},
        {"a.css", "text/css; charset=utf-8"},
        {"a.svg", "image/svg+xml"},
        {"a.png", "image/png"},
        {"a.ico", "image/x-icon"},
        {"a.json", "application/json"},
        {"a.js.map", "application/json"},
        {"a.d.ts", "text/plain; charset=utf-8"},
        {"a.txt", "text/plain; charset=utf-8"},
        {"a.woff2", "font/woff2"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        write_file(kinds[i].name, "", 0);
    }
    struct static_site *s = new_site();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/client/%s", kinds[i].name);
        struct http_answer a = get(s, path);
        ck_assert_uint_eq(a.status, 200);
        ck_assert_str_eq(a.content_type, kinds[i].type);
        ck_assert_uint_eq(a.shared_body.len, 0);
        ck_assert_ptr_nonnull(a.shared_body.ptr);
    }
    static_site_free(s);
    end();
}
END_TEST

START_TEST(what_is_too_large_is_left_out)
{
    begin();
    size_t len = 1024 * 1024;
    char *large = calloc(1, len + 1);
    write_file("js/limit.js", large, len);
    write_file("js/large.js", large, len + 1);
    free(large);
    struct static_site *s = new_site();
    ck_assert_uint_eq(get(s, "/client/js/limit.js").shared_body.len, len);
    ck_assert_uint_eq(status_of(s, "/client/js/large.js"), 404);
    static_site_free(s);
    end();
}
END_TEST

START_TEST(links_in_a_circle_end)
{
    begin();
    char from[256];
    (void)snprintf(from, sizeof(from), "%s/js/again", dir);
    ck_assert_int_eq(symlink("..", from), 0);
    struct static_site *s = new_site();
    ck_assert_uint_eq(status_of(s, "/client/js/parley.js"), 200);
    static_site_free(s);
    end();
}
END_TEST

START_TEST(no_folder_serves_nothing_and_a_missing_one_is_an_error)
{
    char err[256] = "";
    struct static_site *s = static_site_new("", err, sizeof(err));
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(status_of(s, "/"), 404);
    static_site_free(s);
    ck_assert_ptr_null(static_site_new("/nonexistent/parley", err, sizeof(err)));
    ck_assert_ptr_nonnull(strstr(err, "server.static_dir=/nonexistent/parley: No such file"));
}
END_TEST

UNIT_MAIN("static", the_index_and_the_files_are_served_with_type_tag_and_policy,
          a_tag_changes_with_the_content_only, nothing_but_known_files_below_the_folder_is_served,
          every_known_kind_has_its_type, what_is_too_large_is_left_out, links_in_a_circle_end,
          no_folder_serves_nothing_and_a_missing_one_is_an_error)
