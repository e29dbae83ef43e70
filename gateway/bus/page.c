/* SPDX-License-Identifier: MIT */
#include "gateway/bus/page.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct page_user {
    struct list in_order;
    uint64_t connections;
    size_t name_len;
    char name[];
};

static struct str page_user_name(const void *item)
{
    const struct page_user *u = item;
    return (struct str){u->name, u->name_len};
}

void page_init(struct page *p)
{
    map_init(&p->users, page_user_name);
    list_init(&p->order);
    p->connections = 0;
    p->members = NULL;
}

void page_fini(struct page *p)
{
    struct list *it;
    while ((it = list_pop(&p->order)) != NULL) {
        free(container_of(it, struct page_user, in_order));
    }
    map_fini(&p->users);
    free(p->members);
}

void page_add(struct page *p, struct str user)
{
    assert(p->members == NULL);
    struct page_user *u = map_get(&p->users, user);
    if (u == NULL) {
        u = xmalloc(sizeof(*u) + user.len);
        u->connections = 0;
        u->name_len = user.len;
        memcpy(u->name, user.ptr, user.len);
        list_push(&p->order, &u->in_order);
        map_put(&p->users, u);
    }
    u->connections++;
    p->connections++;
}

const struct bus_member *page_members(struct page *p, size_t *count)
{
    assert(p->members == NULL);
    p->members = xcalloc(p->users.count + 1, sizeof(*p->members));
    *count = 0;
    list_each (it, &p->order) {
        const struct page_user *u = container_of(it, struct page_user, in_order);
        p->members[(*count)++] = (struct bus_member){page_user_name(u), u->connections};
    }
    return p->members;
}
