/* SPDX-License-Identifier: MIT */
/* stats: what every layer counts. Plain numbers in one struct, created in main and handed down;
 * gateway/ops only shows them (metrics page). Each table is the one list of its labels. */
#ifndef GATEWAY_STATS_H
#define GATEWAY_STATS_H

#include "common/base.h"
#include "common/protocol.h"

/* field, metric name, help */
#define STATS_COUNTERS(X)                                                                      \
    X(connections_opened, "parley_connections_opened_total", "Accepted WebSocket handshakes.") \
    X(received_bytes, "parley_received_bytes_total", "Message bytes read from clients.")       \
    X(sent_bytes, "parley_sent_bytes_total", "Bytes of frames written to clients.")            \
    X(deliveries, "parley_deliveries_total", "Frames of rooms' logs written to members.")      \
    X(sends, "parley_sends_total", "Write calls to client sockets.")                           \
    X(published, "parley_published_total", "Messages the bus took into a room's log.")         \
    X(accept_paused, "parley_accept_paused_total", "Times accepting paused (no descriptors).") \
    X(replayed, "parley_replayed_total", "Messages read from a room's log for who joined.")    \
    X(gaps_filled, "parley_gaps_filled_total", "Messages read again from a room's log.")       \
    X(reaps, "parley_gateways_reaped_total", "Other gateways that this one found dead.")       \
    X(ghosts, "parley_ghosts_removed_total", "Registers found whose gateway was gone.")        \
    X(restored, "parley_registers_restored_total", "Own registers found altered in Redis.")    \
    X(memory_given_up, "parley_memory_given_up_bytes_total",                                   \
      "Backlogs of slow readers given up for server.memory_max.")

#define STATS_GAUGES(X)                                                                      \
    X(connections, "parley_connections", "Client connections now open.")                     \
    X(rooms, "parley_rooms", "Rooms with at least one local member.")                        \
    X(memberships, "parley_memberships", "Local room memberships (connection, room pairs).") \
    X(users, "parley_users", "Distinct users with a local connection.")                      \
    X(send_queue_bytes, "parley_send_queue_bytes", "Bytes held for clients in logs.")        \
    X(gateways, "parley_cluster_gateways", "Gateways seen alive, this one included.")        \
    X(draining, "parley_draining", "1 while this gateway drains.")                           \
    X(memory_over, "parley_memory_over", "1 while it holds more than server.memory_max.")    \
    X(config_loaded_s, "parley_config_last_reload_success_timestamp_seconds",                \
      "Unix time when the settings in force were read.")

/* Why a handshake was refused: label, HTTP status, error code and sentence of the JSON answer. */
#define STATS_REJECTS(X)                                                                        \
    X(PATH, "path", 404, "not_found", "there is no such page here")                             \
    X(METHOD, "method", 405, "method_not_allowed", "only GET is allowed here")                  \
    X(REQUEST, "request", 400, "bad_request", "not a valid WebSocket upgrade request")          \
    X(VERSION, "version", 426, "upgrade_required", "WebSocket version 13 is required")          \
    X(NO_UPGRADE, "no_upgrade", 426, "upgrade_required", "this page is a WebSocket; upgrade")   \
    X(ORIGIN, "origin", 403, "origin_not_allowed", "pages of this origin may not connect here") \
    X(FULL, "full", 503, "full", "the gateway holds its maximum of connections")                \
    X(DRAINING, "draining", 503, "draining", "the gateway is shutting down")                    \
    X(MEMORY, "memory", 503, "no_memory", "the gateway holds as much as it may")                \
    X(ADDRESS, "address", 503, "too_many", "too many connections come from this address")       \
    X(RATE, "connect_rate", 503, "too_fast", "too many connect at the same time")

/* Why something that was to be delivered was not, or not live. */
#define STATS_DROPS(X)            \
    X(SLOW, "slow_consumer")      \
    X(BAD_PAYLOAD, "bad_payload") \
    X(STALE, "repeated")          \
    X(OVERFLOW, "overflow")

/* Commands of the bus, for errors by command. */
#define STATS_COMMANDS(X)     \
    X(PUBLISH, "publish")     \
    X(ROOM, "room")           \
    X(READ, "read")           \
    X(PRESENCE, "presence")   \
    X(DIRECT, "direct")       \
    X(SIGNAL, "signal")       \
    X(MEMBERS, "members")     \
    X(LEASE, "lease")         \
    X(REAP, "reap")           \
    X(CHECK, "check")         \
    X(SUBSCRIBE, "subscribe") \
    X(LOAD, "load")

/* Error replies of Redis: what they begin with, and the label. The last is any other. */
#define STATS_REFUSALS(X)                                   \
    X(LOADING, "LOADING ", "loading")                       \
    X(BUSY, "BUSY ", "busy")                                \
    X(READONLY, "READONLY ", "readonly")                    \
    X(MASTERDOWN, "MASTERDOWN ", "masterdown")              \
    X(NOAUTH, "NOAUTH ", "noauth")                          \
    X(WRONGPASS, "WRONGPASS ", "wrongpass")                 \
    X(NOPERM, "NOPERM ", "noperm")                          \
    X(OOM, "OOM ", "oom")                                   \
    X(MISCONF, "MISCONF ", "misconf")                       \
    X(NOREPLICAS, "NOREPLICAS ", "noreplicas")              \
    X(MOVED, "MOVED ", "moved")                             \
    X(CLUSTER, "CLUSTERDOWN ", "clusterdown")               \
    X(TRYAGAIN, "TRYAGAIN ", "tryagain")                    \
    X(WRONGTYPE, "WRONGTYPE ", "wrongtype")                 \
    X(NO_FUNCTION, "ERR Function not found", "no_function") \
    X(CLIENTS, "ERR max number of clients", "maxclients")   \
    X(OTHER, "", "other")

/* What ended a link to Redis. */
#define STATS_LOSSES(X)                                                   \
    X(CONNECT, "connect")   /* it could not be made, or not in time */    \
    X(CLOSED, "closed")     /* by the other end, or on the way */         \
    X(TIMEOUT, "timeout")   /* no reply in redis.command_timeout */       \
    X(BEAT, "beat")         /* the own beat did not come back */          \
    X(ERROR, "error")       /* an error reply after which it is no use */ \
    X(PROTOCOL, "protocol") /* not what a Redis says, or not a Redis for us */

enum stats_reject {
#define X(id, label, status, code, text) REJECT_##id,
    STATS_REJECTS(X)
#undef X
        REJECT_COUNT
};
enum stats_drop {
#define X(id, label) DROP_##id,
    STATS_DROPS(X)
#undef X
        DROP_COUNT
};
enum stats_command {
#define X(id, label) COMMAND_##id,
    STATS_COMMANDS(X)
#undef X
        COMMAND_COUNT
};
enum stats_refusal {
#define X(id, prefix, label) REFUSAL_##id,
    STATS_REFUSALS(X)
#undef X
        REFUSAL_COUNT
};
enum stats_loss {
#define X(id, label) LOSS_##id,
    STATS_LOSSES(X)
#undef X
        LOSS_COUNT
};
enum stats_link { LINK_COMMAND, LINK_SUBSCRIBE, LINK_COUNT };
enum stats_reload { RELOAD_OK, RELOAD_FAILED, RELOAD_COUNT };

#define STATS_BUCKETS 12 /* upper bounds are in stats.c; the last is +Inf */
struct stats_histogram {
    uint64_t buckets[STATS_BUCKETS];
    uint64_t count, sum_us;
};

struct stats {
#define X(field, name, help) uint64_t field;
    STATS_COUNTERS(X)
    STATS_GAUGES(X)
#undef X
    uint64_t received[REQUEST_COUNT];       /* parley_messages_received_total{type} */
    uint64_t errors[ERROR_COUNT];           /* parley_client_errors_total{code} */
    uint64_t closed[CLOSE_COUNT];           /* parley_connections_closed_total{code,reason} */
    uint64_t rejected[REJECT_COUNT];        /* parley_handshakes_rejected_total{reason} */
    uint64_t dropped[DROP_COUNT];           /* parley_messages_dropped_total{reason} */
    uint64_t command_errors[COMMAND_COUNT]; /* parley_redis_command_errors_total{command} */
    uint64_t refusals[REFUSAL_COUNT];       /* parley_redis_errors_total{error} */
    uint64_t losses[LOSS_COUNT];            /* parley_redis_lost_total{why} */
    uint64_t link_up[LINK_COUNT];           /* parley_redis_up{link} */
    uint64_t reconnects[LINK_COUNT];        /* parley_redis_reconnects_total{link} */
    uint64_t reloads[RELOAD_COUNT];         /* parley_config_reloads_total{result} */
    struct stats_histogram relay_latency;   /* own beat through Redis, publish to receipt */
    struct stats_histogram command_latency; /* round trip of commands */
    struct stats_histogram loop_lag;
};

void stats_observe(struct stats_histogram *h, uint64_t us);
double stats_bucket_bound_s(size_t bucket);             /* INFINITY for the last */
enum stats_refusal stats_refusal_of(const char *error); /* of an error reply's text */

#endif
