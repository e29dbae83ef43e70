/* SPDX-License-Identifier: MIT */
#include "gateway/suggest.h"
#include "tests/unit/unit.h"

static const char *nearest(const char *asked)
{
    static const char *const words[] = {
        "listen", "path", "backlog", "heartbeat", "heartbeat_timeout", "allowed_origins"};
    struct suggestion s = {.asked = str_from(asked)};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        suggest_try(&s, str_from(words[i]), words[i]);
    }
    return s.best != NULL ? s.best : "";
}

START_TEST(slips_of_the_finger_find_their_word)
{
    static const struct {
        const char *asked, *best;
    } rows[] = {
        {"alowed_origins", "allowed_origins"}, /* one letter missing */
        {"allowed_orgins", "allowed_origins"},
        {"lsiten", "listen"},  /* neighbours swapped */
        {"listten", "listen"}, /* one letter too many */
        {"pach", "path"},      /* one letter wrong */
        {"hartbeat", "heartbeat"},
        {"heartbeat_timout", "heartbeat_timeout"},
        {"backlog", "backlog"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_str_eq(nearest(rows[i].asked), rows[i].best);
    }
}
END_TEST

START_TEST(another_word_is_not_guessed_at)
{
    static const char *const rows[] = {"", "x", "port", "colour", "beat", "originsallowed"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_str_eq(nearest(rows[i]), "");
    }
}
END_TEST

START_TEST(words_of_any_length_are_safe_to_ask)
{
    char asked[1000];
    memset(asked, 'a', sizeof(asked));
    for (size_t len = 60; len <= sizeof(asked); len++) {
        struct suggestion s = {.asked = {asked, len}};
        suggest_try(&s, (struct str){asked, len}, asked);
        ck_assert(len > 64 ? s.best == NULL : s.best == asked);
    }
}
END_TEST

UNIT_MAIN("suggest", slips_of_the_finger_find_their_word, another_word_is_not_guessed_at,
          words_of_any_length_are_safe_to_ask)
