/* SPDX-License-Identifier: MIT */
/* random: unpredictable bytes from the kernel (getrandom). */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include "common/base.h"

void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
uint64_t random_below(uint64_t n);         /* 0 … n-1 without bias; n > 0 */
void random_hex(char *out, size_t digits); /* lower case, not NUL-terminated */

#endif
