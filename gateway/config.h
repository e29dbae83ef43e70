/* SPDX-License-Identifier: MIT */
/* config: every setting, once. The table in config.c is the parser of the file, the flags and the
 * environment names, the --help text, and the reference in deploy/README.md.
 *
 * Order of precedence: flag, environment, file, default.
 *
 * One struct config lives as long as the gateway, and everybody borrows it as const. Its owner
 * (serve.c) alone changes it, with config_reload: in place, from a handler of the loop, so while
 * nobody else is running. Hence the rule for all others: read a setting where it is used, and keep
 * no pointer into the config past the present callback. What is made from a setting that reloads (a
 * room's policy, the list of proxies) is a copy, and its maker has a function that makes it anew
 * (chat_reload, bus_reload, server_reload). */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "common/base.h"
#include "common/bucket.h"
#include "common/log.h"

#define CONFIG_LIST_MAX 64
#define CONFIG_WORKERS_MAX 1024
#define CONFIG_KINDS_MAX 64

struct buf;

/* A list setting: repeated keys, or several words in one value. Texts are owned by the config. */
struct config_list {
    char *items[CONFIG_LIST_MAX]; /* owned, NUL-terminated */
    size_t count;
};

enum config_presence { CONFIG_PRESENCE_FULL, CONFIG_PRESENCE_COUNT, CONFIG_PRESENCE_OFF };
enum config_publish { CONFIG_PUBLISH_MEMBERS, CONFIG_PUBLISH_SERVER };

/* What holds of a room. Plain values: may be copied. */
struct room_policy {
    unsigned history_size; /* messages; 0: none */
    uint64_t history_ttl_ms;
    enum config_presence presence;
    uint64_t presence_interval_ms;
    uint64_t rejoin_grace_ms;
    unsigned max_members; /* 0: no limit */
    enum config_publish publish;
    uint64_t dedupe_ttl_ms; /* that of [room] holds for direct messages, too */
};

/* A section [room "game:*"]: what it does not set is as in [room]. */
struct room_kind {
    char *pattern; /* owned; a room's whole name, or the beginning of names and a * */
    struct room_policy policy;
};
struct room_kinds {
    struct room_kind list[CONFIG_KINDS_MAX]; /* in the order of the file */
    size_t count;
};

struct config {
    struct {
        struct config_list listen; /* 0.0.0.0:8080, [::]:8080, unix:/path, fd:3 */
        char *path;                /* where the WebSocket lives */
        char *gateway_name;        /* [A-Za-z0-9._-]{1,64} */
        unsigned workers;          /* gateways on this machine; 0: one a processor */
        unsigned backlog;
        char *static_dir; /* "" serves no files */
        size_t max_header_bytes;
        unsigned flush_budget; /* sends per room and turn */
        bool io_uring;         /* where the kernel has it */
        size_t memory_max;     /* resident bytes; 0: no limit */
        struct config_list trusted_proxies;
    } server;
    struct {
        struct config_list listen;
    } admin;
    struct {
        struct config_list allowed_origins; /* empty: the same host */
        bool allow_no_origin;
        unsigned max_connections; /* 0: from the limit of open files */
        unsigned max_per_ip;      /* 0: no limit */
        struct rate connect_rate;
        uint64_t join_timeout_ms;
        size_t max_message_bytes;
        unsigned max_json_depth, max_json_nodes;
        unsigned max_rooms;
        unsigned max_fragments;
        struct rate rate_messages, rate_joins;
        struct rate rate_errors;  /* malformed messages, then close 4500 */
        struct rate rate_refused; /* answers rate_limited, then close 4429 */
        uint64_t heartbeat_ms, heartbeat_timeout_ms;
        size_t backlog_soft, backlog_hard;
        uint64_t stuck_ms;
        size_t send_buffer;
    } client;
    struct room_policy room; /* [room]: of the rooms that no kind matches */
    struct room_kinds kinds;
    unsigned room_name_max_bytes;
    struct {
        char *url; /* "": the embedded memory bus */
        char *prefix;
        uint64_t connect_timeout_ms, command_timeout_ms;
        uint64_t reconnect_min_ms, reconnect_max_ms;
        uint64_t tick_ms, lease_ms;
        size_t publish_buffer, request_buffer;
    } redis;
    struct {
        enum log_level level;
        enum log_format format;
        bool access;
        unsigned rate_limit;
    } log;
    struct {
        bool enabled;
    } metrics;
    struct {
        uint64_t grace_ms; /* not ready, still serving: the balancer stops sending */
        uint64_t drain_ms; /* byes and closes are spread over this time */
    } shutdown;
};

/* One problem or warning as its reader sees it: "parley.conf:12:1: unknown key …". */
struct config_report {
    void (*line)(void *ctx, bool is_error, const char *text);
    void *ctx;
};

/* Where settings come from. Borrowed. */
struct config_sources {
    const char *file; /* NULL: none */
    char **envp;      /* as environ */
    char **flags;     /* "--section.key=value" */
    int flag_count;
};

/* Reads the file, then the environment, then the flags, then checks what depends on several
 * settings. False: at least one error was reported; *c is freed. True: *c is whole (config_free).
 */
bool config_load(struct config *c, const struct config_sources *sources,
                 const struct config_report *report) MUST_CHECK;
/* Reads the sources again. False: at least one error was reported, and *c is as it was. True: what
 * can change in a running gateway has its new value. Names of settings, with a blank between, are
 * added to applied (they changed) and restart (they would, after a restart). */
bool config_reload(struct config *c, const struct config_sources *sources,
                   const struct config_report *report, struct buf *applied,
                   struct buf *restart) MUST_CHECK;
void config_free(struct config *c);

/* What holds of the room of that name: the first kind that matches it, else [room]. */
const struct room_policy *config_policy(const struct config *c, struct str room);

void config_print(const struct config *c); /* effective values as a file, on stdout */
void config_print_help(void);              /* the settings part of --help */
void config_print_reference(void);         /* Markdown tables, for deploy/README.md */

#endif
