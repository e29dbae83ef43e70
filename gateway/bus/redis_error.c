/* SPDX-License-Identifier: MIT */
/* What Redis's error replies mean, and the account of them: of each command the log is told once
 * that it is refused, once for each other kind of error, and once that all is well again, however
 * many calls fail between. Health does not wait for that: it is over with the first one that
 * passes. */
#include "common/log.h"
#include "gateway/bus/redis.h"

#include <stdio.h>

/* An error's text is told up to here: the code, and not the arguments that some errors repeat. */
#define TEXT_BYTES 60

/* A command that was not refused for so long is well again. */
#define CALM_MS 5000

static const char *const command_names[COMMAND_COUNT] = {
#define X(id, label) [COMMAND_##id] = label,
    STATS_COMMANDS(X)
#undef X
};

/* With all of them nothing was done. whole: Redis refuses everything then, so whatever passes shows
 * that it is over; else the same command must. unready: new clients are better off with another
 * gateway, or none; what all gateways share and only writing suffers from is not among these. drop:
 * this connection will not do any more. */
static const struct {
    enum bus_err err;
    bool unready, drop, whole;
} meanings[REFUSAL_COUNT] = {
    [REFUSAL_LOADING] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_BUSY] = {BUS_UNAVAILABLE, true, false, true},
    [REFUSAL_READONLY] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_MASTERDOWN] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_NOAUTH] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_WRONGPASS] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_NOPERM] = {BUS_UNAVAILABLE, true, false, false},
    [REFUSAL_OOM] = {BUS_UNAVAILABLE, false, false, false},
    [REFUSAL_MISCONF] = {BUS_UNAVAILABLE, false, false, false},
    [REFUSAL_NOREPLICAS] = {BUS_UNAVAILABLE, false, false, false},
    [REFUSAL_MOVED] = {BUS_UNAVAILABLE, true, false, false},
    [REFUSAL_CLUSTER] = {BUS_UNAVAILABLE, true, false, false},
    [REFUSAL_TRYAGAIN] = {BUS_UNAVAILABLE, false, false, false},
    [REFUSAL_WRONGTYPE] = {BUS_REFUSED, false, false, false},
    [REFUSAL_NO_FUNCTION] = {BUS_REFUSED, true, false, false},
    [REFUSAL_CLIENTS] = {BUS_UNAVAILABLE, true, true, true},
    [REFUSAL_OTHER] = {BUS_REFUSED, false, false, false},
};

static bool in_trouble(const struct redis_trouble *t)
{
    return t->count > 0;
}

enum bus_err error_note(struct redis *s, enum stats_command command, const char *text)
{
    enum stats_refusal refusal = stats_refusal_of(text);
    struct redis_trouble *t = &s->troubles[command];
    int len = (int)strnlen(text, TEXT_BYTES);
    s->base.stats->command_errors[command]++;
    s->base.stats->refusals[refusal]++;
    if ((t->told & 1u << refusal) == 0) {
        t->told |= 1u << refusal;
        LOG(WARN, REDIS_ERROR, F_TEXT("command", command_names[command]),
            F_STR("error", ((struct str){text, (size_t)len})));
    }
    t->count++;
    t->last_ms = redis_now_ms(s);
    t->newest = refusal;
    t->over = false;
    s->refused = true;
    snprintf(t->word, sizeof(t->word), "%s is refused: %.*s", command_names[command], len, text);
    return meanings[refusal].err;
}

void error_passed(struct redis *s, enum stats_command command)
{
    if (!s->refused) {
        return;
    }
    s->refused = false;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        struct redis_trouble *t = &s->troubles[i];
        if (in_trouble(t) && (i == command || meanings[t->newest].whole)) {
            t->over = true;
        }
        s->refused = s->refused || (in_trouble(t) && !t->over);
    }
}

bool error_drops_link(const char *text)
{
    return meanings[stats_refusal_of(text)].drop;
}

static void calm(struct redis_trouble *t, const char *command)
{
    LOG(INFO, REDIS_CALM, F_TEXT("command", command), F_NUM("refused", t->count));
    *t = (struct redis_trouble){0};
}

void error_tick(struct redis *s)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        struct redis_trouble *t = &s->troubles[i];
        if (in_trouble(t) && redis_now_ms(s) - t->last_ms >= CALM_MS) {
            calm(t, command_names[i]);
        }
    }
}

const char *error_word(const struct redis *s, bool *unready)
{
    const struct redis_trouble *worst = NULL;
    *unready = false;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct redis_trouble *t = &s->troubles[i];
        bool stands = in_trouble(t) && !t->over;
        bool bad = stands && meanings[t->newest].unready;
        if (stands && (worst == NULL || (bad && !*unready) ||
                       (bad == *unready && t->last_ms > worst->last_ms))) {
            worst = t;
            *unready = bad;
        }
    }
    return worst == NULL ? NULL : worst->word;
}
