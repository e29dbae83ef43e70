/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_run.h"
#include "common/clock.h"

#include <stdio.h>

/* New connections are asked for in portions, so that answers are read meanwhile. */
#define PORTION 64

/* How long a member waits whose return failed, or whom the server closed. */
#define RETRY_NS 200000000u

static double server_cpu_s(const struct bench *b)
{
    double sum = 0;
    for (unsigned i = 0; i < b->options.process_count; i++) {
        struct process_sample sample;
        const struct process *p = &b->options.processes[i];
        sum += !p->aux && process_sample(p->pid, &sample) ? sample.cpu_s : 0;
    }
    return sum;
}

static void open_some(struct bench *b)
{
    unsigned most = b->options.concurrency;
    for (int i = 0; i < PORTION && b->next_to_open < b->client_count &&
                    (most == CONCURRENCY_ALL || b->opening < most);
         i++) {
        b->opening++;
        client_open(b->poller, &b->clients[b->next_to_open++]);
    }
}

/* ---- what clients tell */

static void on_opened(void *ctx, struct client *c, bool recovered)
{
    struct bench *b = ctx;
    b->open++;
    if (c->connected_once) {
        b->returns++;
        b->recovered += recovered;
        return;
    }
    c->connected_once = true;
    b->opening--;
    histogram_add(&b->setup, clock_now_ns() - c->opened_ns);
}

static void on_delivery(void *ctx, struct client *c, struct tag tag, struct str text,
                        uint64_t now_ns)
{
    const struct bench *b = ctx;
    load_delivered(b->load, c, tag, text, now_ns);
    if (c->member.position != NULL) {
        b->options.adapter->note(&c->member, text);
    }
}

/* Whoever is to come back does (bench_drops.c); all others stay away, and what they miss is lost.
 */
static void on_closed(void *ctx, struct client *c, bool was_ready)
{
    struct bench *b = ctx;
    b->why = b->why != NULL ? b->why : c->why;
    c->due_ns = clock_now_ns() + RETRY_NS;
    if (!c->connected_once) {
        b->opening--;
        b->failed++;
    } else if (was_ready) {
        b->open--;
        b->closed++;
    } else {
        b->retries++;
    }
}

const struct client_events bench_events = {on_opened, on_delivery, on_closed};

/* ---- all of them */

bool bench_set_up(struct bench *b)
{
    uint64_t start_ns = clock_now_ns(), end_ns = start_ns + b->options.setup_ns, now_ns;
    double cpu_s = server_cpu_s(b);
    do {
        open_some(b);
        now_ns = clock_now_ns();
        bool more =
            b->next_to_open < b->client_count &&
            (b->options.concurrency == CONCURRENCY_ALL || b->opening < b->options.concurrency);
        poller_turn(b->poller, more ? now_ns : end_ns);
    } while ((b->next_to_open < b->client_count || b->opening > 0) && now_ns < end_ns &&
             !poller_interrupted(b->poller));
    b->setup_s = (double)(clock_now_ns() - start_ns) / 1e9;
    b->setup_cpu_s = server_cpu_s(b) - cpu_s;
    if (b->open < b->client_count) {
        fprintf(stderr, "parley bench: %zu of %zu connections are not in their room%s%s\n",
                b->client_count - b->open, b->client_count, b->why != NULL ? ": " : " in time",
                b->why != NULL ? b->why : "");
        return false;
    }
    return true;
}
