/* SPDX-License-Identifier: MIT */
/* args: the words of one Redis command while it is put together. One is used for command after
 * command, so a command allocates nothing once the buffers have grown. */
#ifndef GATEWAY_BUS_ARGS_H
#define GATEWAY_BUS_ARGS_H

#include "common/buf.h"

struct args {
    struct buf text; /* all words, end to end; a word may be added to here until args_end */
    size_t *ends;    /* owned; where each word ends in text */
    size_t count, cap;
    struct buf wire; /* see args_wire */
};

void args_fini(struct args *a);
void args_clear(struct args *a);

void args_add(struct args *a, struct str word);
void args_num(struct args *a, uint64_t word);
void args_end(struct args *a); /* what was added to text since the last word is the next one */

#define ARGS_LIT(a, literal) args_add((a), STR(literal))

struct str args_word(const struct args *a, size_t i); /* borrowed until the next change */

/* The command as it goes over the wire: an array of bulk strings (RESP). Borrowed until the next
 * change. */
struct str args_wire(struct args *a);

#endif
