/* SPDX-License-Identifier: MIT */
#include "gateway/edge/http.h"

#include "common/random.h"
#include "gateway/edge/http_lws.h"

#include <strings.h>
#include <sys/socket.h>

/* Bodies are written in pieces of this size, so that one large file never fills a socket's buffer.
 */
#define PIECE 16384
#define PATH_MAX_BYTES 1024
#define FIELD_MAX_BYTES 512
/* A piece that its reader does not take within this time ends the connection. */
#define WRITE_TIMEOUT_S 10
#define DRAIN_INPUT_BYTES 65536

static const struct {
    enum lws_token_indexes token;
    struct str name;
} methods[] = {
    {WSI_TOKEN_GET_URI, {"GET", 3}},         {WSI_TOKEN_HEAD_URI, {"HEAD", 4}},
    {WSI_TOKEN_POST_URI, {"POST", 4}},       {WSI_TOKEN_PUT_URI, {"PUT", 3}},
    {WSI_TOKEN_PATCH_URI, {"PATCH", 5}},     {WSI_TOKEN_DELETE_URI, {"DELETE", 6}},
    {WSI_TOKEN_OPTIONS_URI, {"OPTIONS", 7}},
};

static const enum lws_token_indexes tokens[] = {
    [FIELD_HTTP_VERSION] = WSI_TOKEN_HTTP,
    [FIELD_HOST] = WSI_TOKEN_HOST,
    [FIELD_CONNECTION] = WSI_TOKEN_CONNECTION,
    [FIELD_UPGRADE] = WSI_TOKEN_UPGRADE,
    [FIELD_KEY] = WSI_TOKEN_KEY,
    [FIELD_WS_VERSION] = WSI_TOKEN_VERSION,
    [FIELD_PROTOCOL] = WSI_TOKEN_PROTOCOL,
    [FIELD_EXTENSIONS] = WSI_TOKEN_EXTENSIONS,
    [FIELD_ORIGIN] = WSI_TOKEN_ORIGIN,
    [FIELD_CONTENT_LENGTH] = WSI_TOKEN_HTTP_CONTENT_LENGTH,
    [FIELD_TRANSFER_ENCODING] = WSI_TOKEN_HTTP_TRANSFER_ENCODING,
    [FIELD_PROXY_LINE] = WSI_TOKEN_PROXY,
};

struct str http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
    int len = lws_hdr_copy(wsi, out, (int)size, token);
    return (struct str){out, len > 0 ? (size_t)len : 0};
}

static struct str take(struct lws *wsi, struct http_reader *reader, enum lws_token_indexes token,
                       size_t max)
{
    size_t left = sizeof(reader->text) - reader->used;
    if (left == 0) {
        return STR(""); /* seen as too long */
    }
    struct str text = http_header(wsi, token, reader->text + reader->used, left < max ? left : max);
    reader->used += text.len + 1;
    return text;
}

static struct handshake_value read_field(struct lws *wsi, struct http_reader *reader,
                                         enum lws_token_indexes token)
{
    struct handshake_value v = {{"", 0}, VALUE_ABSENT};
    if (lws_hdr_total_length(wsi, token) == 0) {
        return v;
    }
    /* Each further line of the same name is a further fragment; it begins with a space of
     * libwebsockets' own, so it is never empty. */
    if (lws_hdr_fragment_length(wsi, token, 1) > 0) {
        v.state = VALUE_REPEATED;
    }
    v.text = take(wsi, reader, token, FIELD_MAX_BYTES);
    if (v.text.len == 0) {
        v.state = VALUE_TOO_LONG;
    } else if (v.state == VALUE_ABSENT) {
        v.state = VALUE_ONE;
    }
    return v;
}

void http_read(struct lws *wsi, struct http_reader *reader)
{
    struct handshake_request *r = &reader->request;
    reader->used = 0;
    r->method = r->path = STR("");
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (lws_hdr_total_length(wsi, methods[i].token) > 0) {
            r->method = methods[i].name;
            r->path = take(wsi, reader, methods[i].token, PATH_MAX_BYTES);
            break;
        }
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        r->fields[i] = read_field(wsi, reader, tokens[i]);
    }
}

static const struct {
    unsigned status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {426, "Upgrade Required"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

/* Fields that belong to a status. */
static const struct {
    unsigned status;
    const char *fields;
} status_fields[] = {
    {405, "Allow: GET, HEAD\r\n"},
    {426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
};

static const char *reason_of(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Status";
}

static void add_head(struct buf *head, const struct http_answer *a, size_t body_len, bool keep)
{
    buf_addf(head, "HTTP/1.1 %u %s\r\n", a->status, reason_of(a->status));
    if (a->status != 304) {
        buf_addf(head, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->content_type, body_len);
    }
    if (a->etag != NULL) {
        buf_addf(head, "ETag: %s\r\n", a->etag);
    }
    if (a->csp != NULL) {
        buf_addf(head, "Content-Security-Policy: %s\r\n", a->csp);
    }
    if (a->retry_after_s > 0) {
        buf_addf(head, "Retry-After: %u\r\n", a->retry_after_s);
    }
    for (size_t i = 0; i < ARRAY_LEN(status_fields); i++) {
        if (status_fields[i].status == a->status) {
            buf_addf(head, "%s", status_fields[i].fields);
        }
    }
    const char *connection = keep ? "keep-alive" : a->status == 426 ? "Upgrade, close" : "close";
    buf_addf(head,
             "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
             "Referrer-Policy: no-referrer\r\nConnection: %s\r\n\r\n",
             connection);
}

/* libwebsockets keeps what the socket does not take, and writes it before anything else. */
static bool write_bytes(struct lws *wsi, struct str bytes)
{
    unsigned char piece[LWS_PRE + PIECE];
    if (bytes.ptr == NULL) {
        return true; /* nothing is to be written */
    }
    memcpy(piece + LWS_PRE, bytes.ptr, bytes.len);
    return lws_write(wsi, piece + LWS_PRE, bytes.len, LWS_WRITE_HTTP) == (int)bytes.len;
}

/* Input that nobody reads makes the kernel answer close() with a reset, which can overtake the
 * answer on its way; so what has already come is thrown away. */
static void discard_input(struct lws *wsi)
{
    char scratch[4096];
    for (size_t i = 0; i < DRAIN_INPUT_BYTES / sizeof(scratch); i++) {
        if (recv(lws_get_socket_fd(wsi), scratch, sizeof(scratch), MSG_DONTWAIT) <= 0) {
            break;
        }
    }
}

static int finish(struct lws *wsi, struct http_exchange *x)
{
    bool keep = x->keep;
    http_exchange_fini(x);
    if (!keep) {
        discard_input(wsi);
        return -1;
    }
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* Writes the next piece; head comes before it in the same write when it fits. */
static int write_more(struct lws *wsi, struct http_exchange *x, struct buf *head)
{
    size_t room = head->len < PIECE ? PIECE - head->len : 0;
    struct str piece = {x->rest.ptr, x->rest.len < room ? x->rest.len : room};
    buf_add(head, piece);
    if (!write_bytes(wsi, buf_str(head))) {
        return -1;
    }
    x->rest = (struct str){x->rest.ptr + piece.len, x->rest.len - piece.len};
    if (x->rest.len == 0) {
        return finish(wsi, x);
    }
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, WRITE_TIMEOUT_S);
    lws_callback_on_writable(wsi);
    return 0;
}

static int send_answer(struct lws *wsi, struct http_exchange *x, struct http_answer *a,
                       bool with_body)
{
    x->own = a->body; /* ours now, also when the shared one is sent */
    x->rest = a->shared_body.ptr != NULL ? a->shared_body : buf_str(&x->own);
    x->busy = true;
    struct buf head = {0};
    add_head(&head, a, x->rest.len, x->keep);
    if (!with_body || a->status == 304) {
        x->rest.len = 0;
    }
    int result = write_more(wsi, x, &head);
    buf_fini(&head);
    return result;
}

void http_answer_error(struct http_answer *answer, unsigned status, const char *code,
                       const char *message)
{
    answer->status = status;
    answer->content_type = "application/json";
    answer->shared_body = (struct str){NULL, 0};
    buf_clear(&answer->body);
    buf_addf(&answer->body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);
}

static bool route_fits(const struct http_route *route, struct str path)
{
    struct str pattern = str_from(route->path);
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
        return str_starts(path, (struct str){pattern.ptr, pattern.len - 1});
    }
    return str_equal(pattern, path);
}

static void route(const struct http_site *site, const struct http_request *request,
                  struct http_answer *answer)
{
    for (size_t i = 0; i < site->route_count; i++) {
        if (route_fits(&site->routes[i], request->path)) {
            site->routes[i].serve(site->ctx, request, answer);
            return;
        }
    }
    struct refusal why = refusal_of(REJECT_PATH);
    http_answer_error(answer, why.status, why.code, why.message);
}

/* If-None-Match holds this tag, or *, possibly among others (RFC 9110, section 13.1.2). */
static bool is_known_to_client(struct str if_none_match, const char *etag)
{
    return etag != NULL && if_none_match.len > 0 &&
           (str_equal(if_none_match, STR("*")) ||
            memmem(if_none_match.ptr, if_none_match.len, etag, strlen(etag)) != NULL);
}

/* Only what is certainly kept alive on both sides is. */
static bool wants_to_stay(const struct handshake_request *r)
{
    struct str connection = r->fields[FIELD_CONNECTION].text;
    return str_equal(r->fields[FIELD_HTTP_VERSION].text, STR("HTTP/1.1")) &&
           (connection.len == 0 ||
            (connection.len == 10 && strncasecmp(connection.ptr, "keep-alive", 10) == 0));
}

int http_serve(struct lws *wsi, struct http_exchange *x, const struct http_site *site,
               const struct handshake_request *request)
{
    char none_match[FIELD_MAX_BYTES];
    struct http_request r = {.method = request->method, .path = request->path};
    r.if_none_match =
        http_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, none_match, sizeof(none_match));
    struct http_answer a = {.status = 200, .content_type = "application/json"};
    route(site, &r, &a);
    if (a.status == 200 && is_known_to_client(r.if_none_match, a.etag)) {
        a.status = 304;
    }
    http_exchange_fini(x);
    x->keep = wants_to_stay(request);
    return send_answer(wsi, x, &a, !str_equal(request->method, STR("HEAD")));
}

int http_writeable(struct lws *wsi, struct http_exchange *x)
{
    if (!x->busy) {
        return 0;
    }
    struct buf none = {0};
    int result = write_more(wsi, x, &none);
    buf_fini(&none);
    return result;
}

int http_refuse(struct lws *wsi, const struct refusal *why, bool with_body)
{
    struct http_exchange x = {.keep = false};
    struct http_answer a = {.content_type = "application/json"};
    http_answer_error(&a, why->status, why->code, why->message);
    if (why->spread_s > 0) {
        a.retry_after_s = 1 + (unsigned)random_below(why->spread_s);
    }
    (void)send_answer(wsi, &x, &a, with_body);
    http_exchange_fini(&x);
    return -1;
}

void http_exchange_fini(struct http_exchange *x)
{
    buf_fini(&x->own);
    x->rest = (struct str){NULL, 0};
    x->busy = false;
}
