/* SPDX-License-Identifier: MIT */
#include "gateway/suggest.h"

#define WORD_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static size_t distance_between(struct str a, struct str b)
{
    size_t rows[3][WORD_MAX + 1]; /* row i is rows[i % 3]: a swap looks two rows back */
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, change);
            bool swapped =
                i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1];
            if (swapped && rows[(i - 2) % 3][j - 2] + 1 < row[j]) {
                row[j] = rows[(i - 2) % 3][j - 2] + 1;
            }
        }
    }
    return rows[a.len % 3][b.len];
}

/* One slip in three letters is a typing error; more is another word. */
static size_t farthest(size_t len)
{
    return len < 3 ? 1 : len / 3;
}

void suggest_try(struct suggestion *s, struct str word, const void *item)
{
    if (s->asked.len > WORD_MAX || word.len > WORD_MAX) {
        return;
    }
    size_t distance = distance_between(s->asked, word);
    if (distance <= farthest(word.len) && (s->best == NULL || distance < s->distance)) {
        s->best = item;
        s->distance = distance;
    }
}
