/* SPDX-License-Identifier: MIT */
#include "gateway/edge/herd.h"

#include "tests/unit/unit.h"

#define START_MS 1000000
#define HERD 2000

START_TEST(without_a_rate_everybody_comes_in)
{
    const struct rate none = {0, 0};
    struct herd h = {0};
    for (unsigned i = 0; i < 10000; i++) {
        ck_assert(!herd_is_full(&h, &none, START_MS));
        ck_assert(herd_admit(&h, &none, START_MS));
    }
    ck_assert_uint_eq(herd_spread_s(&h, &none), HERD_SPREAD_MIN_S);
}
END_TEST

START_TEST(asking_takes_no_place)
{
    const struct rate rate = {.per_s = 10, .burst = 1};
    struct herd h = {0};
    for (unsigned i = 0; i < 100; i++) {
        ck_assert(!herd_is_full(&h, &rate, START_MS));
    }
    ck_assert(herd_admit(&h, &rate, START_MS));
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert(herd_is_full(&h, &rate, START_MS));
    }
    ck_assert_uint_eq(herd_spread_s(&h, &rate), HERD_SPREAD_MIN_S);
    ck_assert(!herd_is_full(&h, &rate, START_MS + 101));
}
END_TEST

START_TEST(the_longer_the_queue_the_later_they_are_told_to_come)
{
    const struct rate rate = {.per_s = 10, .burst = 10};
    struct herd h = {0};
    for (unsigned i = 0; i < 10; i++) {
        ck_assert(herd_admit(&h, &rate, START_MS));
    }
    for (unsigned i = 0; i < 200; i++) {
        ck_assert(!herd_admit(&h, &rate, START_MS));
    }
    ck_assert_uint_eq(herd_spread_s(&h, &rate), 21);
    for (unsigned i = 0; i < 5000; i++) {
        ck_assert(!herd_admit(&h, &rate, START_MS));
    }
    ck_assert_uint_eq(herd_spread_s(&h, &rate), HERD_SPREAD_MAX_S);
    /* It is forgotten at the rate at which they come in. */
    ck_assert(herd_admit(&h, &rate, START_MS + 500000));
    ck_assert_uint_eq(herd_spread_s(&h, &rate), 21);
    ck_assert(herd_admit(&h, &rate, START_MS + 600000));
    ck_assert_uint_eq(herd_spread_s(&h, &rate), HERD_SPREAD_MIN_S);
}
END_TEST

static uint64_t dice(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

/* One millisecond of all who still want in; the result is how many came in. */
static unsigned step(struct herd *h, const struct rate *rate, uint64_t now, uint64_t due[HERD],
                     uint64_t *state)
{
    unsigned in = 0;
    for (unsigned i = 0; i < HERD; i++) {
        if (due[i] != now) {
            continue;
        }
        if (herd_admit(h, rate, now)) {
            in++;
        } else {
            due[i] = now + 1000 * (1 + dice(state) % herd_spread_s(h, rate)) + dice(state) % 1000;
        }
    }
    return in;
}

START_TEST(a_herd_is_in_not_long_after_the_rate_allows_and_never_faster)
{
    const struct rate rate = {.per_s = 100, .burst = 50};
    struct herd h = {0};
    uint64_t due[HERD], state = 7, now = START_MS;
    unsigned in = 0, last_second = 0;
    for (unsigned i = 0; i < HERD; i++) {
        due[i] = now + dice(&state) % 1000;
    }
    for (; in < HERD && now < START_MS + 60000; now++) {
        unsigned came = step(&h, &rate, now, due, &state);
        in += came;
        last_second = (now - START_MS) % 1000 == 0 ? came : last_second + came;
        ck_assert_uint_le(last_second, 150);
    }
    ck_assert_uint_eq(in, HERD);
    ck_assert_uint_ge(now - START_MS, 19500);
    ck_assert_uint_le(now - START_MS, 40000);
}
END_TEST

UNIT_MAIN("herd", without_a_rate_everybody_comes_in, asking_takes_no_place,
          the_longer_the_queue_the_later_they_are_told_to_come,
          a_herd_is_in_not_long_after_the_rate_allows_and_never_faster)
