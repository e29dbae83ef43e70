/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_options.h"

#include "client/cli/tag.h"
#include "common/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS 1000000000.0
#define URL_DEFAULT "ws://127.0.0.1:8080"
#define COUNT_MAX 10000000u
#define SIZE_MAX_BYTES 60000u

struct option {
    const char *name;
    char letter; /* 0: none */
    bool (*set)(struct options *o, const struct option *option, const char *value);
    size_t offset;
    const char *value; /* how help shows it; NULL: it takes none */
    const char *help;
};

PRINTF_LIKE(1, 2) static bool wrong(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("parley bench: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("; see parley bench --help\n", stderr);
    va_end(args);
    return false;
}

/* ---- values */

#define FIELD(type, o, option) ((type *)(void *)((char *)(o) + (option)->offset))

static bool parse_number(const char *text, double *value, const char **unit)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    *unit = end;
    return errno == 0 && end != text && *value >= 0 && *value <= 1e12;
}

static bool set_count(struct options *o, const struct option *option, const char *text)
{
    double value;
    const char *unit;
    if (!parse_number(text, &value, &unit) || *unit != '\0' || value < 1 || value > COUNT_MAX ||
        value != (double)(unsigned)value) {
        return wrong("%s must be a whole number from 1 to %u, not \"%s\"", option->name, COUNT_MAX,
                     text);
    }
    *FIELD(unsigned, o, option) = (unsigned)value;
    return true;
}

static bool set_count_or_all(struct options *o, const struct option *option, const char *text)
{
    if (strcmp(text, "all") == 0) {
        *FIELD(unsigned, o, option) = 0;
        return true;
    }
    return set_count(o, option, text);
}

static bool set_rate(struct options *o, const struct option *option, const char *text)
{
    const char *unit;
    if (!parse_number(text, FIELD(double, o, option), &unit) || *unit != '\0') {
        return wrong("%s must be a number, not \"%s\"", option->name, text);
    }
    return true;
}

static bool set_duration(struct options *o, const struct option *option, const char *text)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"m", 60e9}, {"h", 3600e9}};
    double value;
    const char *unit;
    bool number = parse_number(text, &value, &unit);
    for (size_t i = 0; number && i < ARRAY_LEN(units); i++) {
        if (strcmp(unit, units[i].name) == 0 && value * units[i].ns < 1e16) {
            *FIELD(uint64_t, o, option) = (uint64_t)(value * units[i].ns);
            return true;
        }
    }
    return wrong("%s must be a duration (as 250ms, 5s, 2m), not \"%s\"", option->name, text);
}

static bool set_text(struct options *o, const struct option *option, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < ' ' || *p == '"' || *p == '\\' || *p == 0x7f) {
            return wrong("%s must not hold quotes, backslashes or control characters",
                         option->name);
        }
    }
    *FIELD(const char *, o, option) = text;
    return true;
}

static bool set_flag(struct options *o, const struct option *option, const char *text)
{
    (void)text;
    *FIELD(bool, o, option) = true;
    return true;
}

static bool add_url(struct endpoint *urls, unsigned *count, const char *name, const char *text)
{
    if (*count == OPTIONS_URLS_MAX) {
        return wrong("at most %d of %s", OPTIONS_URLS_MAX, name);
    }
    const char *why = endpoint_parse(&urls[(*count)++], text);
    return why == NULL || wrong("%s %s: %s", name, text, why);
}

static bool set_url(struct options *o, const struct option *option, const char *text)
{
    return add_url(o->urls, &o->url_count, option->name, text);
}

static bool set_publish_url(struct options *o, const struct option *option, const char *text)
{
    return add_url(o->publish_urls, &o->publish_url_count, option->name, text);
}

static bool add_process(struct options *o, const char *name, const char *text, bool aux)
{
    if (o->process_count == OPTIONS_PROCESSES_MAX) {
        return wrong("at most %d processes", OPTIONS_PROCESSES_MAX);
    }
    struct process *p = &o->processes[o->process_count++];
    if (!process_parse(p, text)) {
        return wrong("%s must be NAME=PID, not \"%s\"", name, text);
    }
    if (!process_sample(p->pid, &p->start)) {
        return wrong("%s %s: there is no such process", name, text);
    }
    p->aux = aux;
    return true;
}

static bool set_process(struct options *o, const struct option *option, const char *text)
{
    return add_process(o, option->name, text, false);
}

static bool set_aux(struct options *o, const struct option *option, const char *text)
{
    return add_process(o, option->name, text, true);
}

static bool set_adapter(struct options *o, const struct option *option, const char *text)
{
    o->adapter = adapter_find(text);
    return o->adapter != NULL || wrong("%s: there is no \"%s\"", option->name, text);
}

static bool set_workload(struct options *o, const struct option *option, const char *text)
{
    o->workload = workload_find(text);
    return o->workload != NULL || wrong("%s: there is no \"%s\"", option->name, text);
}

/* ---- the table */

#define AT(field) offsetof(struct options, field)
static const struct option table[] = {
    {"--url", 0, set_url, 0, "URL",
     "the server; repeat it to spread the members (" URL_DEFAULT ")"},
    {"--publish-url", 0, set_publish_url, 0, "URL",
     "publishers are no members and connect there instead"},
    {"--adapter", 0, set_adapter, 0, "NAME", "what the server speaks (parley)"},
    {"--workload", 0, set_workload, 0, "NAME", "see below; the other options change it (fanout)"},
    {"--connections", 'c', set_count, AT(connections), "N",
     "members in all, shared evenly by the rooms"},
    {"--rooms", 'r', set_count, AT(rooms), "N", "rooms"},
    {"--members", 0, set_count, AT(members), "N", "members of each room"},
    {"--publishers", 0, set_count_or_all, AT(publishers), "N|all", "publishers of each room"},
    {"--window", 0, set_count, AT(window), "N",
     "closed loop: messages that each publisher has in flight"},
    {"--rate", 0, set_rate, AT(rate), "R",
     "messages a second of all publishers together; 0: closed loop"},
    {"--size", 0, set_count, AT(size), "BYTES", "of each text (128)"},
    {"--warmup", 0, set_duration, AT(warmup_ns), "TIME", "load before the measuring begins (1s)"},
    {"--duration", 0, set_duration, AT(duration_ns), "TIME",
     "how long is measured, or held (5s; idle 10s, drops 30s)"},
    {"--seconds", 0, set_duration, AT(duration_ns), "N", "the same"},
    {"--drain", 0, set_duration, AT(drain_ns), "TIME",
     "at most this long for what is under way at the end (3s)"},
    {"--stall", 0, set_duration, AT(stall_ns), "TIME",
     "closed loop: a message under way this long is given up (2s)"},
    {"--concurrency", 0, set_count_or_all, AT(concurrency), "N|all",
     "connections that are being made at a time"},
    {"--setup-timeout", 0, set_duration, AT(setup_ns), "TIME",
     "for all connections together (60s)"},
    {"--drop-every", 0, set_duration, AT(drop_every_ns), "TIME",
     "drops: how long each link holds (8s)"},
    {"--drop-for", 0, set_duration, AT(drop_for_ns), "TIME", "drops: how long it is away (2s)"},
    {"--direct-rate", 0, set_rate, AT(direct_rate), "R", "direct: direct messages a second (200)"},
    {"--pid", 0, set_process, 0, "NAME=PID", "a process of the server: CPU time and memory"},
    {"--aux", 0, set_aux, 0, "NAME=PID", "the same of a helper such as Redis, counted apart"},
    {"--room-prefix", 0, set_text, AT(room_prefix), "TEXT",
     "rooms are TEXT0, TEXT1, … (a random one)"},
    {"--label", 0, set_text, AT(label), "TEXT", "repeated in the answer"},
    {"--strict", 0, set_flag, AT(strict), NULL, "parse each delivery, and compare room and text"},
    {"--spin", 0, set_flag, AT(spin), NULL,
     "poll without sleeping once all are connected; needs a processor of its own"},
    {"--json", 0, set_flag, AT(json), NULL, "answer with one line of JSON"},
    {"--help", 'h', set_flag, AT(help), NULL, "this text"},
};

void options_print_help(void)
{
    printf("parley bench: puts a room server under load, and checks what arrives\n\n"
           "Usage: parley bench [--option=value …]\n\nOptions\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct option *option = &table[i];
        struct buf name = {NULL, 0, 0};
        if (option->letter != 0) {
            buf_addf(&name, "-%c, ", option->letter);
        }
        buf_addf(&name, "%s%s%s", option->name, option->value != NULL ? "=" : "",
                 option->value != NULL ? option->value : "");
        printf("  %-22.*s %s\n", STR_ARG(buf_str(&name)), option->help);
        buf_fini(&name);
    }
    printf("\nWorkloads\n");
    for (size_t i = 0; i < workload_count; i++) {
        printf("  %-22s %s\n", workloads[i].name, workloads[i].help);
    }
    printf("\nAdapters\n");
    for (size_t i = 0; i < adapter_count; i++) {
        printf("  %-22s %s\n", adapters[i]->name, adapters[i]->help);
    }
    printf("\nA gateway under load needs --client.rate_messages=0 --client.rate_joins=0. What is\n"
           "measured and checked, and what a server must speak, is in client/cli/README.md.\n"
           "\nExit codes\n"
           "  0   every message came to every member once and in order\n"
           "  1   not so, or a connection failed\n"
           "  2   wrong usage\n"
           "  69  no connection could be made\n");
}

/* ---- the command line */

static const struct option *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char letter[] = {'-', table[i].letter};
        if (str_equal(name, str_from(table[i].name)) ||
            (table[i].letter != 0 && str_equal(name, (struct str){letter, 2}))) {
            return &table[i];
        }
    }
    return NULL;
}

/* One pass reads the workload, which the other options change, wherever it stands. */
static bool read_pass(struct options *o, int argc, char **argv, bool workload)
{
    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        struct str name = {argv[i], equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i])};
        const struct option *option = find(name);
        if (option == NULL) {
            return wrong("unknown option \"%.*s\"", STR_ARG(name));
        }
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (option->value == NULL && value != NULL) {
            return wrong("%s takes no value", option->name);
        }
        if (option->value != NULL && value == NULL) {
            value = argv[++i]; /* argv ends with NULL */
        }
        if (option->value != NULL && (value == NULL || *value == '\0')) {
            return wrong("%s needs a value", option->name);
        }
        if ((option->set == set_workload) == workload && !option->set(o, option, value)) {
            return false;
        }
    }
    return true;
}

static void start_from_workload(struct options *o)
{
    const struct workload *w = o->workload;
    o->duration_ns = (uint64_t)(w->seconds * SECOND_NS);
    o->publishers = w->publishers;
    o->window = w->window;
    o->rate = w->rate;
    o->concurrency = w->concurrency;
}

/* Of rooms, members and connections any may be given; the workload has the others. */
static bool size_rooms(struct options *o)
{
    const struct workload *w = o->workload;
    unsigned members = o->members != 0 ? o->members : w->members;
    assert(members > 0 && w->rooms > 0);
    if (o->connections == 0) {
        o->rooms = o->rooms != 0 ? o->rooms : w->rooms;
        if (o->rooms > COUNT_MAX / members) {
            return wrong("more than %u connections", COUNT_MAX);
        }
        o->connections = o->rooms * members;
    } else if (o->rooms == 0) {
        bool one_room = w->rooms == 1 && o->members == 0;
        o->rooms = one_room ? 1 : (o->connections + members - 1) / members;
    } else if (o->members != 0 && o->connections != o->rooms * o->members) {
        return wrong("%u rooms of %u are not %u connections", o->rooms, o->members, o->connections);
    }
    return true;
}

static bool complete(struct options *o)
{
    if (!size_rooms(o)) {
        return false;
    }
    assert(o->rooms > 0);
    if (o->connections < o->rooms) {
        return wrong("%u connections cannot fill %u rooms", o->connections, o->rooms);
    }
    if (o->publishers != PUBLISHERS_ALL && o->publishers > o->connections / o->rooms &&
        o->publish_url_count == 0) {
        return wrong("a room of %u has no %u publishers", o->connections / o->rooms, o->publishers);
    }
    if (o->size < TAG_LEN || o->size > SIZE_MAX_BYTES) {
        return wrong("--size must be from %d to %u", TAG_LEN, SIZE_MAX_BYTES);
    }
    if (o->publish_url_count > 0 && !o->adapter->ready_at_once) {
        return wrong("on %s whoever publishes is a member: no --publish-url", o->adapter->name);
    }
    if (o->publish_url_count > 0 && o->publishers == PUBLISHERS_ALL) {
        o->publishers = o->connections / o->rooms; /* as many as there are members */
    }
    if (o->workload->kind == WORKLOAD_DIRECT && o->adapter->direct == NULL) {
        return wrong("%s has no direct messages", o->adapter->name);
    }
    if (o->workload->kind == WORKLOAD_DIRECT && o->direct_rate <= 0) {
        return wrong("--direct-rate must be above 0");
    }
    if (o->workload->kind == WORKLOAD_DROPS && (o->rate <= 0 || o->drop_every_ns == 0)) {
        return wrong("drops needs a --rate and a --drop-every above 0");
    }
    return o->url_count > 0 || add_url(o->urls, &o->url_count, "--url", URL_DEFAULT);
}

bool options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){
        .workload = workload_find("fanout"),
        .adapter = adapter_find("parley"),
        .size = 128,
        .direct_rate = 200,
        .warmup_ns = (uint64_t)(1 * SECOND_NS),
        .drain_ns = (uint64_t)(3 * SECOND_NS),
        .stall_ns = (uint64_t)(2 * SECOND_NS),
        .setup_ns = (uint64_t)(60 * SECOND_NS),
        .drop_every_ns = (uint64_t)(8 * SECOND_NS),
        .drop_for_ns = (uint64_t)(2 * SECOND_NS),
        .label = "",
    };
    if (!read_pass(o, argc, argv, true)) {
        return false;
    }
    start_from_workload(o);
    return read_pass(o, argc, argv, false) && (o->help || complete(o));
}
