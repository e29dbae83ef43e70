/* SPDX-License-Identifier: MIT */
#include "gateway/edge/origin.h"

#include "gateway/config.h"
#include "tests/unit/unit.h"

/* list holds its items with a space between. */
static bool allowed(const char *list, const char *origin, const char *host)
{
    struct config_list items = {.count = 0};
    char text[256];
    ck_assert_uint_lt(strlen(list), sizeof(text));
    memcpy(text, list, strlen(list) + 1);
    for (char *at = text; *at != '\0';) {
        char *end = strchrnul(at, ' ');
        bool more = *end != '\0';
        *end = '\0';
        items.items[items.count++] = at;
        at = more ? end + 1 : end;
    }
    return origin_allowed(&items, str_from(origin), str_from(host));
}

static const struct {
    const char *list, *origin, *host;
    bool allowed;
} rows[] = {
    /* An empty list: the same host and port. */
    {"", "http://chat.example", "chat.example", true},
    {"", "https://chat.example", "chat.example", true},
    {"", "https://chat.example:443", "chat.example", true},
    {"", "https://chat.example", "chat.example:443", true},
    {"", "http://chat.example", "chat.example:80", true},
    {"", "http://chat.example:8080", "chat.example:8080", true},
    {"", "http://CHAT.example:8080", "chat.Example:8080", true},
    {"", "http://[::1]:8080", "[::1]:8080", true},
    {"", "http://127.0.0.1:8080", "127.0.0.1:8080", true},
    {"", "http://my_host-1:8080", "my_host-1:8080", true},
    {"", "http://chat.example:81", "chat.example", false},
    {"", "http://chat.example", "chat.example:81", false},
    {"", "https://chat.example", "chat.example:80", false},
    {"", "http://evil.example", "chat.example", false},
    {"", "http://chat.example.evil", "chat.example", false},
    {"", "http://evilchat.example", "chat.example", false},
    {"", "http://chat.example", "", false},
    {"", "http://localhost:8080", "127.0.0.1:8080", false},
    {"", "chrome-extension://abcdef", "abcdef", false}, /* no default port: never the same host */
    /* A list: scheme, host and port. */
    {"https://good.example", "https://good.example", "x", true},
    {"https://good.example", "HTTPS://Good.Example", "x", true},
    {"https://good.example", "https://good.example:443", "x", true},
    {"https://good.example:443", "https://good.example", "x", true},
    {"http://a https://b:8443", "https://b:8443", "x", true},
    {"chrome-extension://abcdef", "chrome-extension://abcdef", "x", true},
    {"https://good.example", "http://good.example", "x", false},
    {"https://good.example", "https://good.example:81", "x", false},
    {"https://good.example", "https://good.example.evil", "x", false},
    {"https://good.example", "https://sub.good.example", "x", false},
    {"https://good.example", "http://chat.example", "chat.example",
     false}, /* host counts no more */
    {"null", "null", "x", false},
    {"*", "https://anything.example", "x", true},
    {"*", "null", "x", true},
    /* What is no origin. */
    {"", "null", "null", false},
    {"", "", "", false},
    {"", "chat.example", "chat.example", false},
    {"", "://chat.example", "chat.example", false},
    {"", "1http://chat.example", "chat.example", false},
    {"", "http:/chat.example", "chat.example", false},
    {"", "http://", "", false},
    {"", "http://chat.example/", "chat.example", false},
    {"", "http://chat.example/ws", "chat.example", false},
    {"", "http://chat.example?", "chat.example", false},
    {"", "http://user@chat.example", "chat.example", false},
    {"", "http://evil.example@chat.example", "chat.example", false},
    {"", "http://chat.example ", "chat.example", false},
    {"", " http://chat.example", "chat.example", false},
    {"", "http://chat.example, http://evil.example", "chat.example", false},
    {"", "http://chat.example http://evil.example", "chat.example", false},
    {"", "http://chat.example:", "chat.example", false},
    {"", "http://chat.example:0", "chat.example:0", false},
    {"", "http://chat.example:65536", "chat.example:65536", false},
    {"", "http://chat.example:080a", "chat.example", false},
    {"", "http://chat.example:000080", "chat.example", false},
    {"", "http://[::1", "[::1", false},
    {"", "http://[::1]x", "[::1]x", false},
    {"", "http://chat.example\x7f", "chat.example", false},
    {"", "http://chat\xc3\xa4.example", "chat\xc3\xa4.example", false}, /* browsers send punycode */
};

START_TEST(only_the_listed_or_the_same_origin_may_connect)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(allowed(rows[i].list, rows[i].origin, rows[i].host) == rows[i].allowed,
                      "list \"%s\" origin \"%s\" host \"%s\"", rows[i].list, rows[i].origin,
                      rows[i].host);
    }
}
END_TEST

START_TEST(a_nul_ends_no_origin_early)
{
    struct config_list items = {.count = 0};
    struct str origin = STR("http://chat.example\0.evil");
    ck_assert(!origin_allowed(&items, origin, STR("chat.example")));
}
END_TEST

UNIT_MAIN("origin", only_the_listed_or_the_same_origin_may_connect, a_nul_ends_no_origin_early)
