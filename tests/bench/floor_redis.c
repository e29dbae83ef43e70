/* SPDX-License-Identifier: MIT */
#include "floor_redis.h"

#include "floor_wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define HEAD_BYTES (WIRE_PATH_MAX + 64)

/* An element of a push: a text, or a number, which has no text. */
struct item {
    const uint8_t *at;
    size_t len;
};

static _Noreturn void unexpected(const char *what)
{
    fprintf(stderr, "floor: Redis: %s\n", what);
    exit(1);
}

/* Redis reads whatever else it does, so that a blocking write always comes to an end. */
static void write_all(struct redis *r)
{
    size_t done = 0;
    while (done < r->out.len) {
        ssize_t sent = send(r->fd, r->out.at + done, r->out.len - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            die("Redis: send");
        }
        done += sent > 0 ? (size_t)sent : 0;
    }
    r->out.len = 0;
}

static void say(struct redis *r, const char *text)
{
    bytes_add(&r->out, text, strlen(text));
}

/* RESP3, and no replies from now on. What answers HELLO, a map, is skipped up to PING's. */
static void greet(struct redis *r)
{
    static const char pong[] = "+PONG\r\n";
    const size_t pong_len = sizeof(pong) - 1;
    say(r, "HELLO 3\r\nPING\r\n");
    write_all(r);
    while (r->in.len < pong_len || memcmp(r->in.at + r->in.len - pong_len, pong, pong_len) != 0) {
        ssize_t got = recv(r->fd, bytes_reserve(&r->in, READ_BYTES), READ_BYTES, 0);
        if (got <= 0) {
            die("Redis: recv");
        }
        r->in.len += (size_t)got;
        if (r->in.at[0] == '-') {
            unexpected("it does not speak RESP3 (version 6 or newer is needed)");
        }
    }
    r->in.len = 0;
    say(r, "CLIENT REPLY OFF\r\n");
    write_all(r);
}

void redis_open(struct redis *r, int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *r = (struct redis){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (r->fd < 0 || connect(r->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        die("Redis");
    }
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    greet(r);
}

void redis_subscribe(struct redis *r, const char *channel)
{
    char head[HEAD_BYTES];
    snprintf(head, sizeof(head), "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(channel),
             channel);
    say(r, head);
}

void redis_publish(struct redis *r, const char *channel, const struct bytes *message)
{
    char head[HEAD_BYTES];
    snprintf(head, sizeof(head), "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(channel),
             channel, message->len);
    say(r, head);
    bytes_add(&r->out, message->at, message->len);
    say(r, "\r\n");
}

void redis_flush(struct redis *r)
{
    if (r->out.len > 0) {
        write_all(r);
    }
}

/* Reads "<mark><number>\r\n"; false: not all of it is there. */
static bool take_number(const struct bytes *in, size_t *used, char mark, size_t *number)
{
    const uint8_t *from = in->at + *used;
    const uint8_t *end = memchr(from, '\n', in->len - *used);
    if (end == NULL) {
        return false;
    }
    if (*from != (uint8_t)mark) {
        unexpected("it said something else than a message");
    }
    *number = strtoul((const char *)from + 1, NULL, 10);
    *used += (size_t)(end - from) + 1;
    return true;
}

static bool take_item(const struct bytes *in, size_t *used, struct item *item)
{
    if (*used < in->len && in->at[*used] == ':') {
        size_t number;
        *item = (struct item){NULL, 0};
        return take_number(in, used, ':', &number);
    }
    if (!take_number(in, used, '$', &item->len) || in->len - *used < item->len + 2) {
        return false;
    }
    item->at = in->at + *used;
    *used += item->len + 2;
    return true;
}

void redis_read(struct redis *r,
                void (*on_message)(const char *channel, const uint8_t *at, size_t len))
{
    ssize_t got = recv(r->fd, bytes_reserve(&r->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        die("Redis: recv");
    }
    r->in.len += got > 0 ? (size_t)got : 0;
    size_t done = 0, used = 0, count;
    struct item kind, name, message;
    /* A push: what it is, the channel, and the message; of a subscription, its number. */
    while (take_number(&r->in, &used, '>', &count) && take_item(&r->in, &used, &kind) &&
           take_item(&r->in, &used, &name) && take_item(&r->in, &used, &message)) {
        if (message.at != NULL) {
            char channel[WIRE_PATH_MAX];
            snprintf(channel, sizeof(channel), "%.*s", (int)name.len, (const char *)name.at);
            on_message(channel, message.at, message.len);
        }
        done = used;
    }
    bytes_drop(&r->in, done);
}
