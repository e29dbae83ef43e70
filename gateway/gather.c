/* SPDX-License-Identifier: MIT */
#include "gateway/gather.h"

bool gather_waits(struct gather *g, unsigned idle_looks, uint64_t now_us)
{
    bool news = g->seen != g->arrived;
    bool began = g->since_us != 0;
    g->seen = g->arrived;
    g->idle = news ? 0 : g->idle + 1;
    g->since_us = began ? g->since_us : now_us;
    if ((news || began) && g->idle < idle_looks && now_us - g->since_us < GATHER_US) {
        return true;
    }
    g->since_us = 0;
    return false;
}
