/* SPDX-License-Identifier: MIT */
/* clock: what time it is. Durations use the monotonic clock only; the wall clock stamps messages.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include "common/base.h"

uint64_t clock_now_ms(void);  /* monotonic milliseconds */
uint64_t clock_now_us(void);  /* monotonic microseconds */
uint64_t clock_now_ns(void);  /* monotonic nanoseconds */
uint64_t clock_wall_s(void);  /* Unix time, whole seconds */
uint64_t clock_wall_ms(void); /* Unix time, milliseconds */

#endif
