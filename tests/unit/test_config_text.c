/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"
#include "tests/unit/unit.h"

START_TEST(texts_have_a_syntax)
{
    static const struct {
        bool (*valid)(struct str text);
        const char *good[14], *bad[24];
    } rows[] = {
        {config_is_address,
         {"0.0.0.0:8080", "127.0.0.1:1", "[::]:65535", "[::1]:80", "unix:/run/a b", "fd:3", NULL},
         {"",
          "8080",
          ":8080",
          "0.0.0.0",
          "0.0.0.0:",
          "0.0.0.0:0",
          "0.0.0.0:65536",
          "0.0.0.0:abc",
          "0.0.0.0:80x",
          "1.2.3:80",
          "256.0.0.1:80",
          "::1:80",
          "[::1]",
          "[::1:80",
          "[::1]80",
          "[127.0.0.1]:80",
          "localhost:80",
          "unix:",
          "unix:/",
          "unix:run",
          "fd:2",
          "fd:",
          "fd:x",
          NULL}},
        {config_is_origin,
         {"*", "https://a", "https://A.example", "http://a:8080", "http://127.0.0.1:80",
          "http://[::1]:3000", "http://[::1]", "capacitor://localhost", NULL},
         {"", "null", "a.example", "https:/a", "https://", "https://a/", "https://a/b",
          "https://*.example", "https://a:0", "https://a:", "https://a:x", "https://u@a",
          "https://a?b", "https://a#b", "://a", "https://[::1", NULL}},
        {config_is_proxy,
         {"10.0.0.1", "10.0.0.0/8", "10.0.0.0/0", "::1", "fd00::/8", "fd00::/128", NULL},
         {"", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "[::1]", "proxy", "/8", NULL}},
        {config_is_path,
         {"/", "/ws", "/a/b-c_d.e~f", "/clients", NULL},
         {"", "ws", "/ws/", "//ws", "/a//b", "/../ws", "/.", "/w s", "/ws?x", "/%77s", "/client",
          "/client/ws", "/ws#", "/\xc3\xa4", NULL}},
        {config_is_name,
         {"a", "gw-1", "A.b_c-9", NULL},
         {"", "a b", "a/b", "a{b}", "\xc3\xa4", "a:b", NULL}},
        {config_is_prefix,
         {"parley", "a:b", NULL},
         {"", "{parley}", "par ley", "a*", "a?", "a[b]", "\xc3\xa4", NULL}},
        {config_is_redis_url,
         {"", "redis://localhost", "redis://127.0.0.1:6379", "redis://[::1]:6379/0",
          "redis://:secret@h", "redis://u:p%40s@s@h:1/15", "unix:///run/redis.sock",
          "unix:///run/redis.sock?db=3", "redis://h/", NULL},
         {"localhost",
          "redis:",
          "redis://",
          "redis://:6379",
          "redis://h:0",
          "redis://h:70000",
          "redis://h:x",
          "redis://h/x",
          "redis://h/0/1",
          "redis://h/-1",
          "http://h",
          "rediss://h",
          "redis+sentinel://h/m",
          "redis://h h",
          "redis://h\n",
          "unix:",
          "unix:/run",
          "unix://run",
          "unix:///",
          "unix:///a?db=",
          "redis://[::1",
          "redis://u@",
          " ",
          NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (const char *const *text = rows[i].good; *text != NULL; text++) {
            ck_assert_msg(rows[i].valid(str_from(*text)), "row %zu: %s", i, *text);
        }
        for (const char *const *text = rows[i].bad; *text != NULL; text++) {
            ck_assert_msg(!rows[i].valid(str_from(*text)), "row %zu: %s", i, *text);
        }
    }
}
END_TEST

START_TEST(a_name_has_at_most_64_bytes)
{
    char name[65];
    memset(name, 'a', sizeof(name));
    ck_assert(config_is_name((struct str){name, 64}));
    ck_assert(!config_is_name((struct str){name, 65}));
}
END_TEST

UNIT_MAIN("config_text", texts_have_a_syntax, a_name_has_at_most_64_bytes)
