/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_run.h"

#include "common/random.h"

/* Whoever is due is looked for this often; a link is cut, or comes back, that much too late. */
#define LOOK_NS 5000000u

bool bench_drops_cuts(const struct client *c)
{
    return !c->publishes && c->tracks != NULL;
}

void bench_drops_begin(struct bench *b, uint64_t now_ns)
{
    for (size_t i = 0; i < b->member_count; i++) {
        b->clients[i].due_ns = now_ns + random_below(b->options.drop_every_ns);
    }
    b->dropping = true;
}

static void cut(struct bench *b, struct client *c, uint64_t now_ns)
{
    client_cut(c);
    c->due_ns = now_ns + b->options.drop_for_ns;
    b->open--;
    b->cuts++;
}

static void come_back(struct bench *b, struct client *c, uint64_t now_ns)
{
    c->due_ns = now_ns + b->options.drop_every_ns;
    client_open(b->poller, c);
}

uint64_t bench_drops_pump(struct bench *b, uint64_t now_ns)
{
    for (size_t i = 0; i < b->member_count; i++) {
        struct client *c = &b->clients[i];
        if (c->due_ns > now_ns) {
            continue;
        }
        if (c->state == CLIENT_CLOSED) {
            come_back(b, c, now_ns); /* publishers, too, where a server closed them */
        } else if (c->state == CLIENT_READY && b->dropping && bench_drops_cuts(c)) {
            cut(b, c, now_ns);
        }
    }
    return now_ns + LOOK_NS;
}

bool bench_drops_all_back(const struct bench *b)
{
    return b->open == b->client_count;
}
