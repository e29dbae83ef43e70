/* SPDX-License-Identifier: MIT */
#include "gateway/edge/pace.h"

/* The first wait of a room that was quick, and what is too short to be a wait. */
#define FIRST_WAIT_US 200
#define LEAST_WAIT_US 50

static uint32_t bounded(const struct pace *p, uint64_t wait_us)
{
    if (p->limit_us < PACE_PASS_MIN_US || wait_us < LEAST_WAIT_US) {
        return 0;
    }
    return wait_us < p->limit_us ? (uint32_t)wait_us : p->limit_us;
}

uint64_t pace_wait_us(struct pace *p, uint64_t now_us, uint64_t frames)
{
    if (p->wait_us == 0) {
        return 0;
    }
    if (p->since_us == 0) {
        p->since_us = p->gained_us = now_us;
    } else if (frames != p->frames) {
        p->gained_us = now_us;
    }
    p->frames = frames;
    uint64_t due_us = p->since_us + p->wait_us;
    return now_us < due_us ? due_us - now_us : 0;
}

void pace_begin(struct pace *p, uint64_t now_us, uint64_t frames)
{
    p->waited_us = p->wait_us;
    if (p->since_us != 0) {
        uint64_t useful_us = p->gained_us - p->since_us;
        p->wait_us = bounded(p, useful_us > 0 ? 2 * useful_us + LEAST_WAIT_US : p->wait_us / 2);
        p->since_us = 0;
    }
    p->pass_us = now_us;
    p->frames = frames;
}

void pace_end(struct pace *p, uint64_t now_us, uint64_t frames)
{
    uint64_t took_us = now_us - p->pass_us;
    p->limit_us = (uint32_t)(took_us < PACE_WAIT_MAX_US ? took_us : PACE_WAIT_MAX_US);
    if (frames != p->frames) {
        uint64_t longer_us = 2ull * p->waited_us; /* that long was not enough */
        p->wait_us = bounded(p, longer_us > FIRST_WAIT_US ? longer_us : FIRST_WAIT_US);
    } else {
        p->wait_us = bounded(p, p->wait_us);
    }
}
