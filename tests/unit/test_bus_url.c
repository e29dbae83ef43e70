/* SPDX-License-Identifier: MIT */
#include "gateway/bus/url.h"

#include "tests/unit/unit.h"

static const struct {
    const char *text, *host, *path, *user, *password;
    int port;
    unsigned db;
} good[] = {
    {"redis://localhost", "localhost", NULL, NULL, NULL, 6379, 0},
    {"redis://10.0.0.1:7000", "10.0.0.1", NULL, NULL, NULL, 7000, 0},
    {"redis://host/", "host", NULL, NULL, NULL, 6379, 0},
    {"redis://host:1/15", "host", NULL, NULL, NULL, 1, 15},
    {"redis://bob:secret@host", "host", NULL, "bob", "secret", 6379, 0},
    {"redis://:secret@host", "host", NULL, NULL, "secret", 6379, 0},
    {"redis://secret@host", "host", NULL, NULL, "secret", 6379, 0},
    {"redis://b%6fb:p%40%2F%3a@host:1", "host", NULL, "bob", "p@/:", 1, 0},
    {"redis://bob:a@b@host", "host", NULL, "bob", "a@b", 6379, 0},
    {"redis://[::1]:7000/2", "::1", NULL, NULL, NULL, 7000, 2},
    {"redis://[::1]", "::1", NULL, NULL, NULL, 6379, 0},
    {"unix:///run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, 0, 0},
    {"unix:///run/redis.sock?db=3", NULL, "/run/redis.sock", NULL, NULL, 0, 3},
    {"unix:///run/a%20b", NULL, "/run/a b", NULL, NULL, 0, 0},
};

static void same(const char *got, const char *want)
{
    ck_assert((got == NULL) == (want == NULL));
    ck_assert(got == NULL || strcmp(got, want) == 0);
}

START_TEST(valid_urls_are_read)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct url u;
        char err[128] = "";
        ck_assert_msg(url_parse(&u, good[i].text, err, sizeof(err)), "%s: %s", good[i].text, err);
        same(u.host, good[i].host);
        same(u.path, good[i].path);
        same(u.user, good[i].user);
        same(u.password, good[i].password);
        ck_assert_int_eq(u.port, good[i].port);
        ck_assert_uint_eq(u.db, good[i].db);
        url_free(&u);
    }
}
END_TEST

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "redis.url: begins with redis:// or unix://"},
    {"localhost:6379", "redis.url: begins with redis:// or unix://"},
    {"http://x", "redis.url: begins with redis:// or unix://"},
    {"redis://", "redis.url: the host or port is not valid"},
    {"redis://:6379", "redis.url: the host or port is not valid"},
    {"redis://h:0", "redis.url: the host or port is not valid"},
    {"redis://h:65536", "redis.url: the host or port is not valid"},
    {"redis://h:", "redis.url: the host or port is not valid"},
    {"redis://h:6379x", "redis.url: the host or port is not valid"},
    {"redis://[::1", "redis.url: the host or port is not valid"},
    {"redis://[::1]x", "redis.url: the host or port is not valid"},
    {"redis://h/x", "redis.url: the database is not a number"},
    {"redis://h/-1", "redis.url: the database is not a number"},
    {"redis://h/99999", "redis.url: the database is not a number"},
    {"redis://u:%zz@h", "redis.url: a %-escape in the login is broken"},
    {"redis://u:a%4@h", "redis.url: a %-escape in the login is broken"},
    {"redis://u:%00@h", "redis.url: a %-escape in the login is broken"},
    {"unix://run/x", "redis.url: a unix URL is unix:///path?db=N"},
    {"unix:///", "redis.url: a unix URL is unix:///path?db=N"},
    {"unix:///x?y=1", "redis.url: the only parameter is db=N"},
    {"unix:///x?db=", "redis.url: the only parameter is db=N"},
    {"rediss://h", "redis.url: rediss:// is not supported yet"},
    {"redis+sentinel://h1,h2/m", "redis.url: redis+sentinel:// is not supported yet"},
    {"redis+cluster://h1,h2", "redis.url: redis+cluster:// is not supported yet"},
};

START_TEST(invalid_urls_are_refused_with_a_reason)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct url u;
        char err[128] = "";
        ck_assert_msg(!url_parse(&u, bad[i].text, err, sizeof(err)), "%s", bad[i].text);
        ck_assert_msg(strcmp(err, bad[i].why) == 0, "%s: %s", bad[i].text, err);
    }
}
END_TEST

UNIT_MAIN("bus_url", valid_urls_are_read, invalid_urls_are_refused_with_a_reason)
