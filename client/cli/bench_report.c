/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_run.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/version.h"

#include <stdio.h>

/* What is derived from the counts, for both forms of the answer. */
struct figures {
    double cpu_s, aux_cpu_s;
    uint64_t rss_bytes, rss_start_bytes; /* of the server's processes */
    uint64_t lost;
    uint64_t expected, missed; /* drops: of the members whose links were cut */
    double generator_cpu;      /* share of one core, without the polls that found nothing */
    bool ok;
};

static double ratio(double over, double under)
{
    return under > 0 ? over / under : 0;
}

static void add_up_processes(const struct bench *b, struct figures *f)
{
    for (unsigned i = 0; i < b->options.process_count; i++) {
        const struct process *p = &b->options.processes[i];
        if (p->aux) {
            f->aux_cpu_s += p->to.cpu_s - p->from.cpu_s;
        } else {
            f->cpu_s += p->to.cpu_s - p->from.cpu_s;
            f->rss_bytes += p->to.rss_bytes;
            f->rss_start_bytes += p->start.rss_bytes;
        }
    }
}

static struct figures derive(const struct bench *b)
{
    struct figures f = {0};
    const struct load_counts *c = load_counts(b->load);
    add_up_processes(b, &f);
    for (size_t i = 0; i < b->client_count; i++) {
        const struct client *client = &b->clients[i];
        uint64_t missing = load_missing(b->load, client);
        f.lost += missing;
        if (b->cuts > 0 && bench_drops_cuts(client)) {
            f.expected += load_sent_to(b->load, client);
            f.missed += missing;
        }
    }
    double spun_s = (double)(b->to.spun_ns - b->from.spun_ns) / 1e9;
    f.generator_cpu = ratio(b->own_cpu_s > spun_s ? b->own_cpu_s - spun_s : 0, b->window_s);
    f.ok = b->open + b->failed + b->closed > 0 && b->open == b->client_count && b->failed == 0 &&
           b->closed == 0 && f.lost == 0 && c->duplicates == 0 && c->reordered == 0 &&
           c->diverged == 0 && c->strays == 0 && c->malformed == 0 && c->stalls == 0 &&
           poller_counts(b->poller)->errors == 0;
    return f;
}

/* ---- JSON */

static void add_key(struct buf *out, const char *name)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '{' && out->ptr[out->len - 1] != '[') {
        buf_add_char(out, ',');
    }
    buf_addf(out, "\"%s\":", name);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    add_key(out, name);
    json_add_string(out, str_from(text));
}

static void add_count(struct buf *out, const char *name, uint64_t n)
{
    add_key(out, name);
    buf_add_u64(out, n);
}

static void add_number(struct buf *out, const char *name, double n)
{
    add_key(out, name);
    buf_addf(out, "%.10g", n);
}

static void add_latency(struct buf *out, const char *name, const struct histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}};
    add_key(out, name);
    buf_add_char(out, '{');
    add_count(out, "count", h->count);
    add_number(out, "mean", histogram_mean(h) / 1e3);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        add_number(out, quantiles[i].name, (double)histogram_at(h, quantiles[i].q) / 1e3);
    }
    add_number(out, "max", (double)h->max / 1e3);
    buf_add_char(out, '}');
}

static void add_options(struct buf *out, const struct bench *b)
{
    const struct options *o = &b->options;
    add_text(out, "bench", "parley " PARLEY_VERSION);
    add_text(out, "label", o->label);
    add_text(out, "workload", o->workload->name);
    add_text(out, "adapter", o->adapter->name);
    add_count(out, "urls", o->url_count);
    add_count(out, "connections", b->client_count);
    add_count(out, "rooms", o->rooms);
    add_count(out, "publishers", b->messages.count);
    add_count(out, "window", o->rate > 0 ? 0 : o->window);
    add_number(out, "rate", o->rate);
    add_count(out, "size", o->size);
}

static void add_setup(struct buf *out, const struct bench *b)
{
    double opened = (double)b->setup.count;
    add_key(out, "setup");
    buf_add_char(out, '{');
    add_count(out, "opened", b->setup.count);
    add_number(out, "seconds", b->setup_s);
    add_number(out, "per_s", ratio(opened, b->setup_s));
    add_number(out, "cpu_s", b->setup_cpu_s);
    add_number(out, "per_cpu_s", ratio(opened, b->setup_cpu_s));
    add_latency(out, "latency_us", &b->setup);
    buf_add_char(out, '}');
}

static void add_window(struct buf *out, const struct bench *b, const struct figures *f)
{
    const struct load_counts *c = load_counts(b->load);
    double deliveries = (double)c->window_deliveries;
    add_number(out, "seconds", b->window_s);
    add_count(out, "sent", c->window_sent);
    add_count(out, "deliveries", c->window_deliveries);
    add_number(out, "deliveries_per_s", ratio(deliveries, b->window_s));
    add_number(out, "deliveries_per_cpu_s", ratio(deliveries, f->cpu_s));
    add_number(out, "cpu_s", f->cpu_s);
    add_number(out, "aux_cpu_s", f->aux_cpu_s);
    add_latency(out, "latency_us", b->directs.count > 0 ? &b->direct : &b->latency);
    add_number(out, "generator_cpu", f->generator_cpu);
    add_count(out, "bytes", b->to.bytes - b->from.bytes);
    add_count(out, "reads", b->to.reads - b->from.reads);
    add_count(out, "heartbeats", b->to.heartbeats - b->from.heartbeats);
}

static void add_checks(struct buf *out, const struct bench *b, const struct figures *f)
{
    const struct load_counts *c = load_counts(b->load);
    const struct client_counts *p = poller_counts(b->poller);
    add_count(out, "lost", f->lost);
    add_count(out, "duplicates", c->duplicates);
    add_count(out, "reordered", c->reordered);
    add_count(out, "diverged", c->diverged);
    add_count(out, "strays", c->strays);
    add_count(out, "malformed", c->malformed);
    add_count(out, "stalls", c->stalls);
    add_count(out, "failed", b->failed);
    add_count(out, "closed", b->closed);
    add_count(out, "errors", p->errors);
    add_text(out, "why", b->why != NULL ? b->why : "");
}

static void add_special(struct buf *out, const struct bench *b, const struct figures *f)
{
    if (b->options.workload->kind == WORKLOAD_DIRECT) {
        add_latency(out, "quiet_latency_us", &b->quiet);
        add_latency(out, "flood_latency_us", &b->latency);
    }
    if (b->options.workload->kind == WORKLOAD_DROPS) {
        add_key(out, "drops");
        buf_add_char(out, '{');
        add_count(out, "cuts", b->cuts);
        add_count(out, "returns", b->returns);
        add_count(out, "recovered", b->recovered);
        add_count(out, "retries", b->retries);
        add_count(out, "expected", f->expected);
        add_count(out, "missed", f->missed);
        add_number(out, "delivered_percent",
                   100 * ratio((double)(f->expected - f->missed), (double)f->expected));
        buf_add_char(out, '}');
    }
}

static void add_processes(struct buf *out, const struct bench *b, const struct figures *f)
{
    add_count(out, "rss_bytes", f->rss_bytes);
    add_number(out, "rss_growth_per_connection",
               ratio((double)f->rss_bytes - (double)f->rss_start_bytes, (double)b->client_count));
    add_key(out, "processes");
    buf_add_char(out, '[');
    for (unsigned i = 0; i < b->options.process_count; i++) {
        const struct process *p = &b->options.processes[i];
        buf_add(out, i > 0 ? STR(",{") : STR("{"));
        add_key(out, "name");
        json_add_string(out, (struct str){p->name, (size_t)p->name_len});
        add_count(out, "pid", (uint64_t)p->pid);
        add_key(out, "aux");
        buf_add(out, p->aux ? STR("true") : STR("false"));
        add_number(out, "cpu_s", p->to.cpu_s - p->from.cpu_s);
        add_count(out, "rss_start_bytes", p->start.rss_bytes);
        add_count(out, "rss_bytes", p->to.rss_bytes);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void print_json(const struct bench *b, const struct figures *f)
{
    struct buf out = {NULL, 0, 0};
    buf_add_char(&out, '{');
    add_options(&out, b);
    add_window(&out, b, f);
    add_checks(&out, b, f);
    add_special(&out, b, f);
    add_setup(&out, b);
    add_processes(&out, b, f);
    add_key(&out, "ok");
    buf_add(&out, f->ok ? STR("true}\n") : STR("false}\n"));
    fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
}

/* ---- the table */

static void print_latency(const char *name, const struct histogram *h)
{
    if (h->count > 0) {
        printf("%-14s p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n", name,
               (double)histogram_at(h, 0.5) / 1e6, (double)histogram_at(h, 0.9) / 1e6,
               (double)histogram_at(h, 0.99) / 1e6, (double)histogram_at(h, 0.999) / 1e6,
               (double)h->max / 1e6);
    }
}

static void print_window(const struct bench *b, const struct figures *f)
{
    const struct load_counts *c = load_counts(b->load);
    double deliveries = (double)c->window_deliveries;
    printf("%-14s %.2f s, own share of a core %.0f %%%s\n", "measured", b->window_s,
           100 * f->generator_cpu, f->generator_cpu > 0.95 ? " (it was the bottleneck)" : "");
    if (b->messages.count > 0) {
        printf("%-14s %llu, %.0f/s\n", "sent", (unsigned long long)c->window_sent,
               ratio((double)c->window_sent, b->window_s));
        printf("%-14s %llu, %.0f/s\n", "deliveries", (unsigned long long)c->window_deliveries,
               ratio(deliveries, b->window_s));
    }
    if (f->cpu_s > 0 && deliveries > 0) {
        printf("%-14s %.0f a CPU second of the server\n", "", deliveries / f->cpu_s);
    }
    print_latency("latency", &b->latency);
    print_latency("direct, alone", &b->quiet);
    print_latency("direct, beside", &b->direct);
    printf("%-14s %llu answered\n", "heartbeats",
           (unsigned long long)(b->to.heartbeats - b->from.heartbeats));
}

static void print_drops(const struct bench *b, const struct figures *f)
{
    printf("%-14s %llu cut, %llu back, %llu of them recovered, %llu retries\n", "links",
           (unsigned long long)b->cuts, (unsigned long long)b->returns,
           (unsigned long long)b->recovered, (unsigned long long)b->retries);
    printf("%-14s %.3f %% of %llu to members whose links were cut\n", "delivered",
           100 * ratio((double)(f->expected - f->missed), (double)f->expected),
           (unsigned long long)f->expected);
}

static void print_processes(const struct bench *b, const struct figures *f)
{
    for (unsigned i = 0; i < b->options.process_count; i++) {
        const struct process *p = &b->options.processes[i];
        printf("%-14.*s %.2f CPU s, %.1f MB\n", p->name_len, p->name, p->to.cpu_s - p->from.cpu_s,
               (double)p->to.rss_bytes / 1e6);
    }
    if (b->options.process_count > 0) {
        printf("%-14s %.0f bytes of memory since the start\n", "a connection",
               ratio((double)f->rss_bytes - (double)f->rss_start_bytes, (double)b->client_count));
    }
}

static void print_table(const struct bench *b, const struct figures *f)
{
    const struct load_counts *c = load_counts(b->load);
    printf("%-14s %s, %s: %zu connections, %u rooms, %u publishers\n", "workload",
           b->options.workload->name, b->options.adapter->name, b->client_count, b->options.rooms,
           b->messages.count);
    printf("%-14s %.2f s, %.0f/s", "set-up", b->setup_s, ratio((double)b->setup.count, b->setup_s));
    printf(b->setup_cpu_s > 0 ? ", %.0f a CPU second\n" : "\n",
           ratio((double)b->setup.count, b->setup_cpu_s));
    print_latency("", &b->setup);
    if (b->window_s > 0) {
        print_window(b, f);
    }
    if (b->options.workload->kind == WORKLOAD_DROPS) {
        print_drops(b, f);
    }
    print_processes(b, f);
    printf("%-14s %llu lost, %llu duplicates, %llu reordered, %llu diverged, %llu strays, "
           "%llu malformed, %llu stalls\n",
           f->ok ? "ok" : "NOT OK", (unsigned long long)f->lost, (unsigned long long)c->duplicates,
           (unsigned long long)c->reordered, (unsigned long long)c->diverged,
           (unsigned long long)c->strays, (unsigned long long)c->malformed,
           (unsigned long long)c->stalls);
    printf("%-14s %llu failed, %llu closed, %llu errors\n", "connections",
           (unsigned long long)b->failed, (unsigned long long)b->closed,
           (unsigned long long)poller_counts(b->poller)->errors);
}

bool bench_report(struct bench *b)
{
    struct figures f = derive(b);
    if (poller_first_error(b->poller) != NULL) {
        fprintf(stderr, "parley bench: a server said %s\n", poller_first_error(b->poller));
    }
    if (b->closed > 0) {
        fprintf(stderr, "parley bench: %llu connections were closed: %s\n",
                (unsigned long long)b->closed, b->why);
    }
    if (b->options.json) {
        print_json(b, &f);
    } else {
        print_table(b, &f);
    }
    return f.ok;
}
