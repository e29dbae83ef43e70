/* SPDX-License-Identifier: MIT */
#include "gateway/config_table.h"

#include "common/buf.h"

#include <assert.h>
#include <math.h>

static const void *const_field_of(const struct config *c, const struct config_setting *s)
{
    return (const char *)c + s->offset;
}

uint64_t config_value_number(const struct config *c, const struct config_setting *s)
{
    const void *field = const_field_of(c, s);
    if (s->kind == CONFIG_COUNT) {
        return *(const unsigned *)field;
    }
    if (s->kind == CONFIG_SIZE) {
        return *(const size_t *)field;
    }
    assert(s->kind == CONFIG_DURATION);
    return *(const uint64_t *)field;
}

static void add_scaled(struct buf *b, uint64_t n, const struct config_unit *units)
{
    const struct config_unit *best = units;
    for (const struct config_unit *u = units; n != 0 && u->name != NULL; u++) {
        if (n % u->factor == 0) {
            best = u;
        }
    }
    buf_add_u64(b, n / best->factor);
    if (n != 0) {
        buf_add(b, str_from(best->name));
    }
}

static void add_number(struct buf *b, enum config_kind kind, uint64_t n)
{
    if (kind == CONFIG_SIZE) {
        add_scaled(b, n, config_size_units);
    } else if (kind == CONFIG_DURATION) {
        add_scaled(b, n, config_duration_units);
    } else {
        buf_add_u64(b, n);
    }
}

/* The unit in which the rate is a whole number: amounts were divided by it when they were read. */
static void add_rate(struct buf *b, const struct rate *rate)
{
    const struct config_unit *unit = config_rate_units;
    double amount = rate->per_s;
    while (fabs(amount - round(amount)) > 1e-6 && unit[1].name != NULL) {
        unit++;
        amount = rate->per_s * (double)unit->factor;
    }
    if (rate->per_s > 0) {
        buf_addf(b, "%.0f/%s burst %.0f", amount, unit->name, rate->burst);
    } else {
        BUF_LIT(b, "0");
    }
}

/* A URL without user and password. A password may hold an @: the last one ends it. */
static void add_secret(struct buf *b, struct str url)
{
    const char *start = memmem(url.ptr, url.len, "://", 3);
    const char *at = memrchr(url.ptr, '@', url.len);
    if (start == NULL || at == NULL) {
        buf_add(b, url);
        return;
    }
    buf_add(b, (struct str){url.ptr, (size_t)(start + 3 - url.ptr)});
    BUF_LIT(b, "***");
    buf_add(b, (struct str){at, url.len - (size_t)(at - url.ptr)});
}

static void add_list(struct buf *b, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        buf_add(b, i > 0 ? STR(" ") : STR(""));
        buf_add(b, str_from(list->items[i]));
    }
}

void config_value_add(struct buf *b, const struct config *c, const struct config_setting *s)
{
    const void *field = const_field_of(c, s);
    unsigned word;
    switch (s->kind) {
    case CONFIG_TEXT:
        buf_add(b, str_from(*(char *const *)field));
        break;
    case CONFIG_SECRET:
        add_secret(b, str_from(*(char *const *)field));
        break;
    case CONFIG_SECRET_FILE:
        break; /* its content stands in the secret */
    case CONFIG_LIST:
        add_list(b, field);
        break;
    case CONFIG_BOOL:
        buf_add(b, *(const bool *)field ? STR("yes") : STR("no"));
        break;
    case CONFIG_COUNT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        add_number(b, s->kind, config_value_number(c, s));
        break;
    case CONFIG_RATE:
        add_rate(b, field);
        break;
    case CONFIG_WORD:
        memcpy(&word, field, sizeof(word));
        buf_add(b, str_from(s->words[word]));
        break;
    }
}

static void add_words(struct buf *b, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (i > 0) {
            buf_add(b, words[i + 1] == NULL ? STR(" or ") : STR(", "));
        }
        buf_add(b, str_from(words[i]));
    }
}

void config_value_add_allowed(struct buf *b, const struct config_setting *s)
{
    static const char *const begin[] = {[CONFIG_COUNT] = "a whole number",
                                        [CONFIG_SIZE] = "a size",
                                        [CONFIG_DURATION] = "a duration"};
    static const char *const end[] = {[CONFIG_COUNT] = "",
                                      [CONFIG_SIZE] = " (bytes, or as 64k or 1m)",
                                      [CONFIG_DURATION] = " (as 250ms, 5s, 2m or 1h)"};
    switch (s->kind) {
    case CONFIG_COUNT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        buf_addf(b, "%s from ", begin[s->kind]);
        add_number(b, s->kind, s->min);
        BUF_LIT(b, " to ");
        add_number(b, s->kind, s->max);
        buf_add(b, str_from(end[s->kind]));
        break;
    case CONFIG_BOOL:
        BUF_LIT(b, "yes or no");
        break;
    case CONFIG_RATE:
        BUF_LIT(b, "a rate (as 20/s, 10/min or 20/s burst 40), or 0 for no limit");
        break;
    case CONFIG_WORD:
        add_words(b, s->words);
        break;
    default:
        buf_add(b, str_from(s->form));
    }
}
