/* SPDX-License-Identifier: MIT */
#include "gateway/edge/server.h"

#include "common/alloc.h"
#include "common/log.h"
#include "gateway/config.h"
#include "gateway/edge/addresses.h"
#include "gateway/edge/evlib.h"
#include "gateway/edge/handshake.h"
#include "gateway/edge/herd.h"
#include "gateway/edge/http_lws.h"
#include "gateway/edge/listener.h"
#include "gateway/edge/proxies.h"
#include "gateway/edge/ws.h"
#include "gateway/edge/ws_lws.h"
#include "gateway/files.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Longest time for the request to be complete, and for an idle connection to send its next one. */
#define HANDSHAKE_TIMEOUT_S 10
#define KEEPALIVE_TIMEOUT_S 5
/* libwebsockets allocates this much for each WebSocket, and hands messages up in pieces of it. */
#define RECEIVE_PIECE 128
/* One send is cut at this size, and the rest is kept as if the socket were full. */
#define SEND_PIECE (LWS_PRE + 131072)
#define SERVICE_BUFFER 4096
#define HEADER_BYTES_MAX 65535
#define FORWARDED_FOR_MAX 1024

/* One kind of listener, and what it serves: a virtual host of libwebsockets. */
struct endpoint {
    struct server *server;        /* borrowed */
    const struct http_site *site; /* borrowed */
    const char *path;             /* borrowed; where the WebSocket lives; NULL: nowhere here */
    struct lws_vhost *vhost;      /* borrowed: the context owns it */
    struct listener *listeners[CONFIG_LIST_MAX]; /* owned */
    size_t listener_count;
};

struct server {
    struct loop *loop; /* borrowed: outlives us, as the three below */
    const struct config *config;
    struct stats *stats;
    struct ws *ws;
    struct proxies *proxies;     /* owned */
    struct addresses *addresses; /* owned; of the WebSockets */
    struct evlib *evlib;         /* owned */
    struct lws_context *context; /* owned */
    struct endpoint public, admin;
    struct guest *adopting; /* see adopt() */
    struct herd herd;
    uint64_t max_connections;
    bool draining;
};

/* What a connection is before it becomes a WebSocket, if it ever does: so a WebSocket does not
 * carry it. */
struct guest {
    struct endpoint *endpoint;         /* borrowed */
    char address[PROXIES_ADDRESS_MAX]; /* the peer's, or of the client it speaks for */
    struct http_exchange exchange;
};

static void guest_free(struct guest *g)
{
    http_exchange_fini(&g->exchange);
    free(g);
}

static struct guest *guest_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

/* The guest is gone: a WebSocket now, or closed. */
static void forget_guest(struct lws *wsi)
{
    struct guest *g = guest_of(wsi);
    if (g != NULL) {
        lws_set_opaque_user_data(wsi, NULL);
        if (g->endpoint->server->adopting == g) {
            g->endpoint->server->adopting = NULL;
        }
        guest_free(g);
    }
}

static void find_client(struct lws *wsi, struct guest *g)
{
    char text[FORWARDED_FOR_MAX];
    struct str hops = http_header(wsi, WSI_TOKEN_X_FORWARDED_FOR, text, sizeof(text));
    proxies_client(g->endpoint->server->proxies, hops, g->address);
}

static int refuse(struct lws *wsi, const struct guest *g, const struct handshake_request *r,
                  const struct refusal *why)
{
    g->endpoint->server->stats->rejected[why->reason]++;
    LOG(INFO, CONN_REJECT, F_TEXT("ip", g->address), F_NUM("status", why->status),
        F_TEXT("code", why->code), F_STR("path", r->path),
        F_STR("origin", r->fields[FIELD_ORIGIN].text));
    return http_refuse(wsi, why, !str_equal(r->method, STR("HEAD")));
}

/* The client's address is known. */
static struct handshake_door door_of(const struct guest *g)
{
    const struct server *s = g->endpoint->server;
    unsigned most = s->config->client.max_per_ip;
    return (struct handshake_door){
        .config = s->config,
        .path = g->endpoint->path,
        .draining = s->draining,
        .full = s->stats->connections >= s->max_connections,
        .no_memory = s->stats->memory_over != 0,
        .crowded = most > 0 && addresses_count(s->addresses, str_from(g->address)) >= most,
    };
}

static struct refusal too_fast(const struct server *s)
{
    struct refusal why = refusal_of(REJECT_RATE);
    why.spread_s = herd_spread_s(&s->herd, &s->config->client.connect_rate);
    return why;
}

static int on_upgrade(struct lws *wsi)
{
    struct guest *g = guest_of(wsi);
    if (g == NULL) {
        return -1;
    }
    struct server *s = g->endpoint->server;
    struct http_reader reader;
    struct refusal why;
    http_read(wsi, &reader);
    find_client(wsi, g);
    struct handshake_door door = door_of(g);
    if (!handshake_check(&reader.request, &door, &why)) {
        return refuse(wsi, g, &reader.request, &why);
    }
    if (!herd_admit(&s->herd, &s->config->client.connect_rate, loop_now_ms(s->loop))) {
        why = too_fast(s);
        return refuse(wsi, g, &reader.request, &why);
    }
    return 0;
}

/* A page whose socket was refused cannot see the status; it can ask for it with a plain request. */
static struct refusal why_no_socket(const struct guest *g)
{
    const struct server *s = g->endpoint->server;
    const struct handshake_door door = door_of(g);
    struct refusal why;
    if (!handshake_is_open(&door, &why)) {
        return why;
    }
    if (herd_is_full(&s->herd, &s->config->client.connect_rate, loop_now_ms(s->loop))) {
        return too_fast(s);
    }
    return refusal_of(REJECT_NO_UPGRADE);
}

static int on_request(struct lws *wsi)
{
    struct guest *g = guest_of(wsi);
    if (g == NULL) {
        return -1;
    }
    struct http_reader reader;
    const struct handshake_request *r = &reader.request;
    struct refusal why;
    http_read(wsi, &reader);
    if (!handshake_check_plain(r, &why)) {
        find_client(wsi, g);
        return refuse(wsi, g, r, &why);
    }
    if (g->endpoint->path != NULL && str_equal(r->path, str_from(g->endpoint->path))) {
        find_client(wsi, g);
        why = why_no_socket(g);
        return refuse(wsi, g, r, &why);
    }
    return http_serve(wsi, &g->exchange, g->endpoint->site, r);
}

/* Not a request of HTTP at all (TLS, a PROXY line, the preface of HTTP/2), or CONNECT, which
 * libwebsockets would turn into a tunnel. */
static int on_nonsense(struct lws *wsi)
{
    struct guest *g = guest_of(wsi);
    if (g == NULL) {
        return -1;
    }
    struct handshake_request nothing = {.method = STR(""), .path = STR("")};
    nothing.fields[FIELD_ORIGIN].text = STR("");
    struct refusal why = refusal_of(REJECT_REQUEST);
    return refuse(wsi, g, &nothing, &why);
}

static int on_established(struct lws *wsi, struct ws_conn *c)
{
    struct guest *g = guest_of(wsi);
    if (g == NULL) {
        return -1;
    }
    struct server *s = g->endpoint->server;
    addresses_add(s->addresses, str_from(g->address));
    int result = ws_established(s->ws, c, wsi, str_from(g->address));
    forget_guest(wsi);
    return result;
}

/* Also of a refused upgrade, which was never established: it has no address. */
static int on_closed(struct lws *wsi, struct ws_conn *c)
{
    if (c != NULL) {
        const struct endpoint *e = lws_vhost_user(lws_get_vhost(wsi));
        addresses_remove(e->server->addresses, ws_conn_ip(c));
        ws_closed(c);
    }
    return 0;
}

static int on_writeable(struct lws *wsi)
{
    struct guest *g = guest_of(wsi);
    return g == NULL ? -1 : http_writeable(wsi, &g->exchange);
}

/* Not handled on purpose: LWS_CALLBACK_HTTP_CONFIRM_UPGRADE (CVE-2025-11677). */
static int on_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writeable(wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return on_upgrade(wsi);
    case LWS_CALLBACK_RAW_ADOPT:
        return on_nonsense(wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return on_established(wsi, user);
    case LWS_CALLBACK_RECEIVE:
        return ws_receive(user, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return ws_writeable(user);
    case LWS_CALLBACK_RECEIVE_PONG:
        ws_pong(user);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return ws_peer_close(user, in, len);
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        ws_dropped(user); /* never without a user */
        return 0;
    case LWS_CALLBACK_CLOSED:
        return on_closed(wsi, user);
    case LWS_CALLBACK_WSI_DESTROY:
        forget_guest(wsi);
        return 0;
    default:
        return 0;
    }
}

/* libwebsockets closes fd when it cannot take it, and may or may not have made a connection out of
 * it by then, whose end frees the guest; server.adopting tells which. */
static void adopt(void *ctx, int fd, const struct sockaddr_storage *peer)
{
    struct endpoint *e = ctx;
    struct server *s = e->server;
    struct guest *g = xcalloc(1, sizeof(*g));
    g->endpoint = e;
    proxies_peer(peer, g->address);
    lws_adopt_desc_t how = {
        .vh = e->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
        .fd = {.sockfd = fd},
        .opaque = g,
    };
    s->adopting = g;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&how);
    if (wsi == NULL && s->adopting != NULL) {
        guest_free(g);
    }
    s->adopting = NULL;
}

static bool open_all(struct endpoint *e, const struct config_list *addresses, const char *setting,
                     char *err, size_t err_size)
{
    struct listener_options options = {
        .loop = e->server->loop,
        .stats = e->server->stats,
        .setting = setting,
        .backlog = e->server->config->server.backlog,
        .on_accept = adopt,
        .ctx = e,
    };
    for (size_t i = 0; i < addresses->count; i++) {
        struct listener *l = listener_open(&options, addresses->items[i], err, err_size);
        if (l == NULL) {
            return false;
        }
        e->listeners[e->listener_count++] = l;
    }
    return true;
}

static void close_all(struct endpoint *e)
{
    while (e->listener_count > 0) {
        listener_close(e->listeners[--e->listener_count]);
    }
}

/* libwebsockets' errors, nearly always about one bad request, go to our log, which bounds their
 * rate. Its own date and level come first in the line: "[2026/11/22 21:36:17:0051] E: …". */
static void on_library_log(int level, const char *line)
{
    (void)level;
    const char *bracket = line[0] == '[' ? strstr(line, "] E: ") : NULL;
    struct str text = str_from(bracket == NULL ? line : bracket + 5);
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' ')) {
        text.len--;
    }
    LOG(WARN, ACCEPT, F_TEXT("library", "libwebsockets"), F_STR("msg", text));
}

/* The first is what a request is bound to until it names a protocol, and what an upgrade gets that
 * names none. libwebsockets copies the array for each virtual host. */
static void fill_protocols(struct lws_protocols protocols[2])
{
    memset(protocols, 0, 2 * sizeof(*protocols));
    protocols[0] = (struct lws_protocols){
        .name = "parley.v1",
        .callback = on_callback,
        .per_session_data_size = ws_conn_size(),
        .rx_buffer_size = RECEIVE_PIECE,
        .tx_packet_size = SEND_PIECE,
    };
}

static bool add_endpoint(struct endpoint *e, struct server *s, const char *name,
                         struct lws_context_creation_info *info)
{
    e->server = s;
    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->vhost_name = name;
    info->user = e;
    e->vhost = lws_create_vhost(s->context, info);
    return e->vhost != NULL;
}

static bool create_context(struct server *s)
{
    /* Zeroed: no ping and no hang-up timer of libwebsockets' own for each connection. */
    static const lws_retry_bo_t no_timers;
    struct lws_protocols protocols[2];
    fill_protocols(protocols);
    size_t header_bytes = s->config->server.max_header_bytes;
    struct lws_context_creation_info info = {
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
        .retry_and_idle_policy = &no_timers,
        .timeout_secs = HANDSHAKE_TIMEOUT_S,
        .keepalive_timeout = KEEPALIVE_TIMEOUT_S,
        .pt_serv_buf_size = SERVICE_BUFFER,
        .max_http_header_data =
            (unsigned short)(header_bytes < HEADER_BYTES_MAX ? header_bytes : HEADER_BYTES_MAX),
    };
    evlib_prepare(s->evlib, &info);
    lws_set_log_level(LLL_ERR, on_library_log);
    s->context = lws_create_context(&info);
    return s->context != NULL && add_endpoint(&s->public, s, "public", &info) &&
           add_endpoint(&s->admin, s, "admin", &info);
}

static uint64_t connection_limit(const struct config *config)
{
    uint64_t most = files_max_connections(files_limit());
    return config->client.max_connections > 0 ? config->client.max_connections : most;
}

/* Wiring: each layer below us, once. NOLINTNEXTLINE(readability-function-size) */
struct server *server_new(struct loop *loop, const struct config *config, struct stats *stats,
                          struct ws *ws, const struct http_site *public_site,
                          const struct http_site *admin_site, char *err, size_t err_size)
{
    struct proxies *proxies = proxies_new(&config->server.trusted_proxies, err, err_size);
    if (proxies == NULL) {
        return NULL;
    }
    struct server *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->config = config;
    s->stats = stats;
    s->ws = ws;
    s->proxies = proxies;
    s->addresses = addresses_new();
    s->public.site = public_site;
    s->public.path = config->server.path;
    s->admin.site = admin_site;
    s->max_connections = connection_limit(config);
    s->evlib = evlib_new(loop);
    if (!create_context(s)) {
        (void)snprintf(err, err_size, "libwebsockets cannot start; its reason is in the log");
        server_free(s);
        return NULL;
    }
    evlib_start(s->evlib, s->context);
    return s;
}

bool server_listen(struct server *s, char *err, size_t err_size)
{
    return open_all(&s->public, &s->config->server.listen, "server.listen", err, err_size) &&
           open_all(&s->admin, &s->config->admin.listen, "admin.listen", err, err_size);
}

void server_reload(struct server *s)
{
    char err[128];
    struct proxies *fresh = proxies_new(&s->config->server.trusted_proxies, err, sizeof(err));
    if (fresh == NULL) {
        LOG(ERROR, CONFIG, F_TEXT("setting", "server.trusted_proxies"), F_TEXT("msg", err));
        return;
    }
    proxies_free(s->proxies);
    s->proxies = fresh;
}

void server_drain(struct server *s)
{
    s->draining = true;
}

void server_stop_listening(struct server *s)
{
    close_all(&s->public);
}

void server_free(struct server *s)
{
    if (s == NULL) {
        return;
    }
    close_all(&s->public);
    close_all(&s->admin);
    evlib_stop(s->evlib);
    if (s->context != NULL) {
        lws_context_destroy(s->context);
    }
    evlib_free(s->evlib);
    proxies_free(s->proxies);
    addresses_free(s->addresses);
    free(s);
}

const char *edge_library_version(void)
{
    return LWS_LIBRARY_VERSION;
}
