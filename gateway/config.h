/* SPDX-License-Identifier: MIT */
/* config: every setting, once. The table in config.c is the parser of the file, the flags and the
 * environment names, the --help text, and the reference in deploy/README.md.
 *
 * Order of precedence: flag, environment, file, default. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "common/base.h"
#include "common/bucket.h"
#include "common/log.h"

#define CONFIG_LIST_MAX 64
#define CONFIG_WORKERS_MAX 1024

/* A list setting: repeated keys, or several words in one value. Texts are owned by the config. */
struct config_list {
    char *items[CONFIG_LIST_MAX]; /* owned, NUL-terminated */
    size_t count;
};

enum config_presence { CONFIG_PRESENCE_FULL, CONFIG_PRESENCE_COUNT, CONFIG_PRESENCE_OFF };

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
        struct config_list trusted_proxies;
    } server;
    struct {
        struct config_list listen;
    } admin;
    struct {
        struct config_list allowed_origins; /* empty: the same host */
        bool allow_no_origin;
        unsigned max_connections; /* 0: from the limit of open files */
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
    struct {
        unsigned history_size;
        uint64_t history_ttl_ms;
        enum config_presence presence;
        uint64_t presence_interval_ms;
        uint64_t rejoin_grace_ms;
        unsigned max_members; /* 0: no limit */
        unsigned name_max_bytes;
        uint64_t dedupe_ttl_ms;
    } room;
    struct {
        char *url; /* "": the embedded memory bus */
        char *prefix;
        uint64_t connect_timeout_ms, command_timeout_ms;
        uint64_t reconnect_min_ms, reconnect_max_ms;
        uint64_t tick_ms, lease_ms;
        size_t publish_buffer;
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

/* Reads file (NULL: none), then the environment (envp as in environ), then the flags
 * ("--section.key=value" in argv[0 … argc-1]), then checks what depends on several settings. False:
 * at least one error was reported; *c is freed. True: *c is whole (config_free). */
bool config_load(struct config *c, const char *file, char **envp, int argc, char **argv,
                 const struct config_report *report) MUST_CHECK;
void config_free(struct config *c);

void config_print(const struct config *c); /* effective values as a file, on stdout */
void config_print_help(void);              /* the settings part of --help */
void config_print_reference(void);         /* Markdown tables, for deploy/README.md */

#endif
