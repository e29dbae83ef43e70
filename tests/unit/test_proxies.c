/* SPDX-License-Identifier: MIT */
#include "gateway/edge/proxies.h"

#include "gateway/config.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>

static struct proxies *trusting(const char *one, const char *two)
{
    char texts[2][64];
    struct config_list list = {.count = 0};
    const char *const given[] = {one, two};
    for (size_t i = 0; i < 2; i++) {
        if (given[i] != NULL) {
            memcpy(texts[i], given[i], strlen(given[i]) + 1);
            list.items[list.count++] = texts[i];
        }
    }
    char err[160] = "";
    struct proxies *p = proxies_new(&list, err, sizeof(err));
    ck_assert_msg(p != NULL, "%s", err);
    return p;
}

static const struct {
    const char *one, *two, *peer, *hops, *client;
} rows[] = {
    /* Nobody is trusted: the header says nothing. */
    {NULL, NULL, "203.0.113.9", "1.2.3.4", "203.0.113.9"},
    {"10.0.0.0/8", NULL, "203.0.113.9", "1.2.3.4", "203.0.113.9"},
    /* One trusted proxy: the right-most hop, whatever the client wrote before it. */
    {"10.0.0.0/8", NULL, "10.1.2.3", "198.51.100.7", "198.51.100.7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "6.6.6.6, 198.51.100.7", "198.51.100.7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "junk,\t198.51.100.7 ", "198.51.100.7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "", "10.1.2.3"},
    /* A chain of trusted proxies. */
    {"10.0.0.0/8", "192.0.2.1", "10.1.2.3", "6.6.6.6,198.51.100.7,192.0.2.1,10.9.9.9",
     "198.51.100.7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "10.7.7.7", "10.7.7.7"},
    /* A hop that is no address ends the search. */
    {"10.0.0.0/8", NULL, "10.1.2.3", "1.2.3.4, unknown", "10.1.2.3"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "1.2.3.4,", "10.1.2.3"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "1.2.3.4, 1.2.3", "10.1.2.3"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "1.2.3.4, unix", "10.1.2.3"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "[::1", "10.1.2.3"},
    {"10.0.0.0/8", NULL, "10.1.2.3",
     "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", "10.1.2.3"},
    /* Forms of hops. */
    {"10.0.0.0/8", NULL, "10.1.2.3", "198.51.100.7:4711", "198.51.100.7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "2001:db8::7", "2001:db8::7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "[2001:DB8:0::7]:4711", "2001:db8::7"},
    {"10.0.0.0/8", NULL, "10.1.2.3", "::ffff:198.51.100.7", "198.51.100.7"},
    /* Blocks. */
    {"10.1.2.3", NULL, "10.1.2.4", "1.2.3.4", "10.1.2.4"},
    {"10.1.2.3/31", NULL, "10.1.2.2", "1.2.3.4", "1.2.3.4"},
    {"10.1.2.3/31", NULL, "10.1.2.4", "1.2.3.4", "10.1.2.4"},
    {"0.0.0.0/0", NULL, "9.9.9.9", "1.2.3.4", "1.2.3.4"},
    {"0.0.0.0/0", NULL, "2001:db8::1", "1.2.3.4", "2001:db8::1"},
    {"::/0", NULL, "2001:db8::1", "1.2.3.4", "1.2.3.4"},
    {"2001:db8::/33", NULL, "2001:db8:7fff::1", "1.2.3.4", "1.2.3.4"},
    {"2001:db8::/33", NULL, "2001:db8:8000::1", "1.2.3.4", "2001:db8:8000::1"},
    {"::ffff:10.0.0.0/104", NULL, "10.9.9.9", "1.2.3.4", "1.2.3.4"},
    /* A unix socket's peer. */
    {NULL, NULL, PROXIES_UNIX, "6.6.6.6, 1.2.3.4", "1.2.3.4"},
    {NULL, NULL, PROXIES_UNIX, "", PROXIES_UNIX},
};

START_TEST(the_client_is_the_right_most_hop_that_nobody_vouches_for)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxies *p = trusting(rows[i].one, rows[i].two);
        char address[PROXIES_ADDRESS_MAX];
        memcpy(address, rows[i].peer, strlen(rows[i].peer) + 1);
        proxies_client(p, str_from(rows[i].hops), address);
        ck_assert_msg(strcmp(address, rows[i].client) == 0, "row %zu: got %s, not %s", i, address,
                      rows[i].client);
        proxies_free(p);
    }
}
END_TEST

START_TEST(an_entry_that_is_no_block_is_named)
{
    static const char *const bad[] = {"",           "example.com", "10.0.0.0/33", "10.0.0.0/",
                                      "10.0.0.0/x", "::/129",      "10.0.0.0/-1", "10.0.0",
                                      "10.0.0.0/ 8"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[32];
        char err[160] = "";
        memcpy(text, bad[i], strlen(bad[i]) + 1);
        struct config_list list = {.items = {text}, .count = 1};
        ck_assert_msg(proxies_new(&list, err, sizeof(err)) == NULL, "\"%s\" passed", bad[i]);
        ck_assert_msg(strstr(err, bad[i]) != NULL && strstr(err, "server.trusted_proxies") != NULL,
                      "%s", err);
    }
}
END_TEST

START_TEST(peers_have_the_address_of_their_socket)
{
    char address[PROXIES_ADDRESS_MAX];
    struct sockaddr_storage peer = {.ss_family = AF_INET};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    ck_assert_int_eq(inet_pton(AF_INET, "203.0.113.9", &v4.sin_addr), 1);
    memcpy(&peer, &v4, sizeof(v4));
    proxies_peer(&peer, address);
    ck_assert_str_eq(address, "203.0.113.9");

    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::9", &v6.sin6_addr), 1);
    memcpy(&peer, &v6, sizeof(v6));
    proxies_peer(&peer, address);
    ck_assert_str_eq(address, "2001:db8::9");

    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:203.0.113.9", &v6.sin6_addr), 1);
    memcpy(&peer, &v6, sizeof(v6));
    proxies_peer(&peer, address);
    ck_assert_str_eq(address, "203.0.113.9");

    peer.ss_family = AF_UNIX;
    proxies_peer(&peer, address);
    ck_assert_str_eq(address, PROXIES_UNIX);
}
END_TEST

START_TEST(an_address_survives_being_packed)
{
    static const char *const texts[] = {"192.0.2.1", "255.255.255.255", "2001:db8::1",
                                        "::1",       PROXIES_UNIX,      "fe80:1:2:3:4:5:6:7"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct in6_addr packed;
        char text[PROXIES_ADDRESS_MAX];
        proxies_pack(str_from(texts[i]), &packed);
        proxies_unpack(&packed, text);
        ck_assert_str_eq(text, texts[i]);
    }
}
END_TEST

UNIT_MAIN("proxies", the_client_is_the_right_most_hop_that_nobody_vouches_for,
          an_entry_that_is_no_block_is_named, peers_have_the_address_of_their_socket,
          an_address_survives_being_packed)
