/* SPDX-License-Identifier: MIT */
/* Every test runs twice: with io_uring (where this kernel allows it) and with send(2). */
#include "gateway/edge/sender.h"

#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PAIRS 200

static int ours[PAIRS], theirs[PAIRS];

static void open_pairs(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int fds[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        ours[i] = fds[0];
        theirs[i] = fds[1];
    }
}

static void each_way(void (*run)(struct sender *s))
{
    for (int ring = 0; ring < 2; ring++) {
        struct sender *s = sender_new(ring == 1);
        run(s);
        sender_free(s);
    }
}

static void many(struct sender *s)
{
    struct send sends[PAIRS];
    char texts[PAIRS][8];
    open_pairs(PAIRS);
    for (size_t i = 0; i < PAIRS; i++) {
        int len = snprintf(texts[i], sizeof(texts[i]), "n%zu", i);
        sends[i] = (struct send){.fd = ours[i], .bytes = {texts[i], (size_t)len}};
    }
    for (int round = 0; round < 3; round++) {
        sender_send(s, sends, PAIRS);
        for (size_t i = 0; i < PAIRS; i++) {
            char got[8] = "";
            ck_assert_int_eq(sends[i].took, (ssize_t)sends[i].bytes.len);
            ck_assert_int_eq(read(theirs[i], got, sizeof(got)), sends[i].took);
            ck_assert_mem_eq(got, texts[i], sends[i].bytes.len);
        }
    }
}

START_TEST(each_socket_gets_its_own_bytes)
{
    each_way(many);
}
END_TEST

/* Between two that take everything: a full socket, one that takes a part, and one that is gone. */
static void mixed(struct sender *s)
{
    static char much[4 << 20];
    open_pairs(5);
    while (send(ours[1], much, sizeof(much), MSG_DONTWAIT) > 0) {
    }
    close(theirs[3]);
    struct send sends[] = {{.fd = ours[0], .bytes = STR("first")},
                           {.fd = ours[1], .bytes = STR("full")},
                           {.fd = ours[2], .bytes = {much, sizeof(much)}},
                           {.fd = ours[3], .bytes = STR("gone")},
                           {.fd = ours[4], .bytes = STR("last")}};
    sender_send(s, sends, ARRAY_LEN(sends));
    ck_assert_int_eq(sends[0].took, 5);
    ck_assert_int_eq(sends[1].took, -EAGAIN);
    ck_assert_int_gt(sends[2].took, 0);
    ck_assert_int_lt(sends[2].took, (ssize_t)sizeof(much));
    ck_assert_int_eq(sends[3].took, -EPIPE);
    ck_assert_int_eq(sends[4].took, 4);
    ck_assert_int_eq(sender_send_one(ours[3], STR("gone")), -EPIPE);
    ck_assert_int_eq(sender_send_one(ours[1], STR("full")), -EAGAIN);
}

START_TEST(what_one_socket_answers_concerns_no_other)
{
    each_way(mixed);
}
END_TEST

static void nothing(struct sender *s)
{
    sender_send(s, NULL, 0);
}

START_TEST(no_sends_are_no_work)
{
    each_way(nothing);
}
END_TEST

/* The ring's descriptor among this process' open ones; -1: none. */
static int find_ring(void)
{
    int found = -1;
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[300], target[64] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "io_uring")) {
            found = (int)strtol(entry->d_name, NULL, 10);
        }
    }
    closedir(dir);
    return found;
}

START_TEST(a_ring_that_fails_loses_nothing)
{
    struct sender *s = sender_new(true);
    ck_assert_int_eq(sender_has_ring(s), find_ring() >= 0);
    if (sender_has_ring(s)) {
        int null = open("/dev/null", O_RDONLY);
        ck_assert_int_ge(dup2(null, find_ring()), 0);
        close(null);
    }
    many(s);
    ck_assert(!sender_has_ring(s));
    sender_free(s);
}
END_TEST

START_TEST(a_ring_is_only_made_when_wanted)
{
    struct sender *s = sender_new(false);
    ck_assert(!sender_has_ring(s));
    ck_assert_int_eq(find_ring(), -1);
    sender_free(s);
}
END_TEST

UNIT_MAIN("sender", each_socket_gets_its_own_bytes, what_one_socket_answers_concerns_no_other,
          no_sends_are_no_work, a_ring_that_fails_loses_nothing, a_ring_is_only_made_when_wanted)
