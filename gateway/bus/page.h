/* SPDX-License-Identifier: MIT */
/* page: one page of a room's members while it is put together: connections in, users with their
 * number of connections out. */
#ifndef GATEWAY_BUS_PAGE_H
#define GATEWAY_BUS_PAGE_H

#include "common/map.h"
#include "gateway/bus/bus.h"

struct page {
    struct map users;           /* of struct page_user */
    struct list order;          /* of struct page_user: as first seen; owns them */
    size_t connections;         /* added so far */
    struct bus_member *members; /* owned; made by page_members */
};

void page_init(struct page *p);
void page_fini(struct page *p);

void page_add(struct page *p, struct str user); /* one connection of user; user is copied */

/* All users; *count of them; borrowed from the page, which takes no more. */
const struct bus_member *page_members(struct page *p, size_t *count);

#endif
