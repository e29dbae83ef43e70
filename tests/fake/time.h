/* SPDX-License-Identifier: MIT */
/* time: instead of gateway/loop, gateway/wheel, common/clock and common/random: time passes when a
 * test says so, and chance always draws the middle. */
#ifndef TESTS_FAKE_TIME_H
#define TESTS_FAKE_TIME_H

#include "common/base.h"

#define FAKE_START_MS 1000000u
#define FAKE_WALL_S 1700000000u /* at FAKE_START_MS */

struct loop;
struct wheel;

void fake_time_start(void); /* back to FAKE_START_MS; every timer is forgotten */
struct loop *fake_loop(void);
struct wheel *fake_wheel(void);

void fake_time_pass(uint64_t ms); /* fires what falls due, in order, each at its time */
bool fake_timer_is_set(void);     /* any */

#endif
