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
    X(gaps_filled, "parley_gaps_filled_total", "Messages read again from a room's log.")

#define STATS_GAUGES(X)                                                                      \
    X(connections, "parley_connections", "Client connections now open.")                     \
    X(rooms, "parley_rooms", "Rooms with at least one local member.")                        \
    X(memberships, "parley_memberships", "Local room memberships (connection, room pairs).") \
    X(users, "parley_users", "Distinct users with a local connection.")                      \
    X(send_queue_bytes, "parley_send_queue_bytes", "Bytes held for clients in logs.")        \
    X(gateways, "parley_cluster_gateways", "Gateways seen alive, this one included.")        \
    X(draining, "parley_draining", "1 while this gateway drains.")

/* Why a handshake was refused: label, HTTP status, error code and sentence of the JSON answer. */
#define STATS_REJECTS(X)                                                                        \
    X(PATH, "path", 404, "not_found", "there is no such page here")                             \
    X(METHOD, "method", 405, "method_not_allowed", "only GET is allowed here")                  \
    X(REQUEST, "request", 400, "bad_request", "not a valid WebSocket upgrade request")          \
    X(VERSION, "version", 426, "upgrade_required", "WebSocket version 13 is required")          \
    X(NO_UPGRADE, "no_upgrade", 426, "upgrade_required", "this page is a WebSocket; upgrade")   \
    X(ORIGIN, "origin", 403, "origin_not_allowed", "pages of this origin may not connect here") \
    X(FULL, "full", 503, "full", "the gateway holds its maximum of connections")                \
    X(DRAINING, "draining", 503, "draining", "the gateway is shutting down")

/* Why something that was to be delivered was not, or not live. */
#define STATS_DROPS(X)            \
    X(SLOW, "slow_consumer")      \
    X(BAD_PAYLOAD, "bad_payload") \
    X(STALE, "repeated")          \
    X(OVERFLOW, "overflow")

/* Commands of the bus, for errors by command. */
#define STATS_COMMANDS(X)   \
    X(PUBLISH, "publish")   \
    X(ROOM, "room")         \
    X(READ, "read")         \
    X(PRESENCE, "presence") \
    X(DIRECT, "direct")     \
    X(SIGNAL, "signal")     \
    X(MEMBERS, "members")   \
    X(LEASE, "lease")       \
    X(REAP, "reap")         \
    X(SUBSCRIBE, "subscribe")

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
enum stats_link { LINK_COMMAND, LINK_SUBSCRIBE, LINK_COUNT };

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
    uint64_t link_up[LINK_COUNT];           /* parley_redis_up{link} */
    uint64_t reconnects[LINK_COUNT];        /* parley_redis_reconnects_total{link} */
    struct stats_histogram relay_latency;   /* own beat through Redis, publish to receipt */
    struct stats_histogram command_latency; /* round trip of commands */
    struct stats_histogram loop_lag;
};

void stats_observe(struct stats_histogram *h, uint64_t us);
double stats_bucket_bound_s(size_t bucket); /* INFINITY for the last */

#endif
