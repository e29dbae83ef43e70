/* SPDX-License-Identifier: MIT */
#include "client/cli/bench.h"

#include "client/cli/bench_run.h"
#include "common/alloc.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>

#define EXIT_USAGE 2

/* Of the limit of open files, for all that is no connection. */
#define FILES_RESERVED 32

/* The loop looks up this often, so that an end is met where nothing is due. */
#define LOOK_NS 50000000u

/* Nobody is left, or the user is tired of it. */
static bool over(const struct bench *b)
{
    return poller_interrupted(b->poller) ||
           (b->open == 0 && b->options.workload->kind != WORKLOAD_DROPS);
}

void bench_run_until(struct bench *b, uint64_t end_ns)
{
    bool drops = b->options.workload->kind == WORKLOAD_DROPS;
    uint64_t now_ns;
    while ((now_ns = clock_now_ns()) < end_ns && !over(b)) {
        uint64_t wake_ns = load_pump(b->load, b->schedules, ARRAY_LEN(b->schedules), now_ns);
        if (drops) {
            uint64_t due_ns = bench_drops_pump(b, now_ns);
            wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
        }
        poller_turn(b->poller, wake_ns < end_ns ? wake_ns : end_ns);
    }
}

static void run_for(struct bench *b, uint64_t for_ns)
{
    bench_run_until(b, clock_now_ns() + for_ns);
}

static void sample_processes(struct bench *b, bool end)
{
    for (unsigned i = 0; i < b->options.process_count; i++) {
        struct process *p = &b->options.processes[i];
        if (!process_sample(p->pid, end ? &p->to : &p->from)) {
            fprintf(stderr, "parley bench: %.*s (process %d) has ended\n", p->name_len, p->name,
                    p->pid);
        }
    }
}

/* What happens in it is what the answer is about. */
static void measure(struct bench *b)
{
    double own_cpu_s = process_own_cpu_s();
    sample_processes(b, false);
    b->from = *poller_counts(b->poller);
    uint64_t start_ns = clock_now_ns();
    load_measure(b->load, start_ns);
    run_for(b, b->options.duration_ns);
    uint64_t end_ns = clock_now_ns();
    load_measure_end(b->load, end_ns);
    b->window_s = (double)(end_ns - start_ns) / 1e9;
    sample_processes(b, true);
    b->own_cpu_s = process_own_cpu_s() - own_cpu_s;
    b->to = *poller_counts(b->poller);
    poller_resume(b->poller); /* what was sent shall still arrive */
}

/* Nothing new is sent; waits for what is under way. */
static void drain(struct bench *b)
{
    load_stop(&b->messages);
    load_stop(&b->directs);
    uint64_t end_ns = clock_now_ns() + b->options.drain_ns, now_ns;
    while (!load_all_arrived(b->load) && (now_ns = clock_now_ns()) < end_ns && !over(b)) {
        uint64_t look_ns = now_ns + LOOK_NS;
        bench_run_until(b, look_ns < end_ns ? look_ns : end_ns);
    }
}

/* ---- the workloads */

static void run_load(struct bench *b)
{
    load_start(b->load, &b->messages, clock_now_ns());
    run_for(b, b->options.warmup_ns);
    measure(b);
    drain(b);
}

/* Connecting was all there is to see. */
static void run_setup(struct bench *b)
{
    for (unsigned i = 0; i < b->options.process_count; i++) {
        b->options.processes[i].from = b->options.processes[i].start;
    }
    sample_processes(b, true);
}

static void run_idle(struct bench *b)
{
    measure(b);
}

static void run_drops(struct bench *b)
{
    load_start(b->load, &b->messages, clock_now_ns());
    run_for(b, b->options.warmup_ns);
    bench_drops_begin(b, clock_now_ns());
    measure(b);
    b->dropping = false;
    load_stop(&b->messages);
    uint64_t end_ns = clock_now_ns() + b->options.drop_for_ns + b->options.drain_ns, now_ns;
    while (!bench_drops_all_back(b) && !over(b) && (now_ns = clock_now_ns()) < end_ns) {
        bench_run_until(b, now_ns + LOOK_NS);
    }
    drain(b);
}

/* First the direct messages alone, then beside the flood. */
static void run_direct(struct bench *b)
{
    load_start(b->load, &b->directs, clock_now_ns());
    run_for(b, b->options.warmup_ns);
    measure(b);
    b->directs.latency = &b->direct;
    load_start(b->load, &b->messages, clock_now_ns());
    run_for(b, b->options.warmup_ns);
    measure(b);
    drain(b);
}

static void (*const phases[])(struct bench *b) = {
    [WORKLOAD_LOAD] = run_load,   [WORKLOAD_SETUP] = run_setup,   [WORKLOAD_IDLE] = run_idle,
    [WORKLOAD_DROPS] = run_drops, [WORKLOAD_DIRECT] = run_direct,
};

/* ---- the command */

/* False: reported. */
static bool raise_files(size_t connections)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (connections + FILES_RESERVED <= limit.rlim_max) {
        return true;
    }
    fprintf(stderr, "parley bench: %zu connections need more open files than the limit of %llu\n",
            connections, (unsigned long long)limit.rlim_max);
    return false;
}

static int run(struct bench *b)
{
    bench_cast(b);
    if (!raise_files(b->client_count)) {
        return EX_UNAVAILABLE;
    }
    bool all = bench_set_up(b);
    if (b->open == 0) {
        return EX_UNAVAILABLE;
    }
    if (all) {
        poller_spin(b->poller, b->options.spin);
        phases[b->options.workload->kind](b);
    }
    return bench_report(b) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int bench_main(int argc, char **argv)
{
    struct bench *b = xcalloc(1, sizeof(*b)); /* its histograms are too large for a stack */
    int code = EXIT_USAGE;
    if (!options_read(&b->options, argc, argv)) {
        free(b);
        return code;
    }
    if (b->options.help) {
        options_print_help();
        code = EXIT_SUCCESS;
    } else {
        b->poller = poller_new(b->options.adapter, &bench_events, b);
        b->load = load_new(&b->options, b->poller);
        code = run(b);
        bench_cast_free(b);
        load_free(b->load);
        poller_free(b->poller);
    }
    free(b);
    return code;
}
