/* SPDX-License-Identifier: MIT
 *
 * floor plain|coalesce PORT [REDIS_PORT]: what a server can cost at least on this machine.
 *
 * Two bare WebSocket room servers in one, epoll and send() and nothing else: no JSON, no history,
 * no presence. What a member sends is relayed to all members of its room, the sender too. The room
 * is the path of the upgrade request.
 *
 *   plain     one send() for each member and message: the least work of a server that does not
 *             coalesce
 *   coalesce  a turn of the loop appends its frames once, to one buffer for each room; at the
 *             turn's end every member gets all that came since its last send in one write
 *
 * With a Redis port coalesce relays through Redis' pub/sub, as several servers would that share
 * their rooms: a turn's frames of a room go out as one message, ready to be sent on, and what comes
 * back is appended to the room's buffer. Nothing is kept in Redis.
 *
 * Only the benchmark's generator talks to it: whole text frames, pings, closes (floor_wire.h).
 */
#include "floor_bytes.h"
#include "floor_redis.h"
#include "floor_wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
/* A reader that is so far behind is cut off; the generator never is. */
#define BACKLOG_BYTES (64u << 20)
#define ROOM_BUCKETS 16384
#define EVENTS 1024

struct room {
    char path[WIRE_PATH_MAX];
    struct room *next, *next_changed; /* in the bucket; among those with something to flush */
    struct room *next_heard;          /* among those with something to publish */
    struct member **members;
    size_t count, capacity;
    struct bytes log;   /* coalesce: what at least one member has not got yet */
    uint64_t base;      /* the position of the log's first byte */
    struct bytes heard; /* Redis: the turn's frames */
    bool changed, subscribed;
};

struct member {
    int fd;             /* -1: closed, freed at the end of the turn */
    struct room *place; /* NULL before the upgrade */
    size_t index;       /* in place->members */
    uint64_t cursor;    /* coalesce: the position in the room's log */
    struct bytes in;    /* the beginning of a frame or of a request */
    struct bytes out;   /* what the socket did not take: plain's frames, pongs */
    bool waits;         /* for EPOLLOUT */
    struct member *next_dead;
};

static bool coalesce, through_redis;
static struct redis redis;
static int epoll_fd;
static struct room *rooms[ROOM_BUCKETS], *changed, *heard;
static struct member *dead;

static struct room *room_of(const char *path)
{
    uint32_t hash = 2166136261u;
    for (const char *c = path; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    }
    struct room **bucket = &rooms[hash % ROOM_BUCKETS];
    for (struct room *r = *bucket; r; r = r->next) {
        if (strcmp(r->path, path) == 0) {
            return r;
        }
    }
    struct room *r = calloc(1, sizeof(*r));
    if (!r) {
        die("calloc");
    }
    snprintf(r->path, sizeof(r->path), "%s", path);
    r->next = *bucket;
    *bucket = r;
    return r;
}

static void room_enter(struct room *r, struct member *m)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 16;
        r->members = realloc(r->members, r->capacity * sizeof(*r->members));
        if (!r->members) {
            die("realloc");
        }
    }
    m->place = r;
    m->index = r->count;
    m->cursor = r->base + r->log.len;
    r->members[r->count++] = m;
    if (through_redis && !r->subscribed) {
        r->subscribed = true;
        redis_subscribe(&redis, r->path);
    }
}

static void member_close(struct member *m)
{
    if (m->fd < 0) {
        return;
    }
    close(m->fd);
    m->fd = -1;
    if (m->place) {
        struct room *r = m->place;
        r->members[m->index] = r->members[--r->count];
        r->members[m->index]->index = m->index;
    }
    m->next_dead = dead;
    dead = m;
}

static void wait_writable(struct member *m, bool wanted)
{
    if (m->waits == wanted) {
        return;
    }
    m->waits = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.ptr = m};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, m->fd, &event) < 0) {
        die("epoll_ctl");
    }
}

/* How many bytes the socket took; fewer than len only when it is full. Closes on an error. */
static size_t send_some(struct member *m, const uint8_t *at, size_t len)
{
    ssize_t sent = send(m->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        member_close(m);
        return 0;
    }
    size_t took = sent < 0 ? 0 : (size_t)sent;
    if (took < len) {
        wait_writable(m, true);
    }
    return took;
}

/* Bytes for this member alone: at once, or behind what already waits. */
static void member_send(struct member *m, const uint8_t *at, size_t len)
{
    size_t took = m->out.len ? 0 : send_some(m, at, len);
    if (m->fd < 0) {
        return;
    }
    if (took < len) {
        bytes_add(&m->out, at + took, len - took);
    }
    if (m->out.len > BACKLOG_BYTES) {
        member_close(m);
    }
}

/* Coalesce: everything of the room's log that this member has not got, in one write. */
static void member_catch_up(struct member *m)
{
    struct room *r = m->place;
    size_t from = (size_t)(m->cursor - r->base);
    if (from < r->log.len && !m->waits) {
        m->cursor += send_some(m, r->log.at + from, r->log.len - from);
    }
}

static void room_flush(struct room *r)
{
    uint64_t least = r->base + r->log.len;
    for (size_t i = r->count;
         i-- > 0;) { /* downwards: a member that is closed here leaves the array */
        struct member *m = r->members[i];
        member_catch_up(m);
        if (m->fd >= 0 && r->base + r->log.len - m->cursor > BACKLOG_BYTES) {
            member_close(m);
        }
        if (m->fd >= 0 && m->cursor < least) {
            least = m->cursor;
        }
    }
    bytes_drop(&r->log, (size_t)(least - r->base));
    r->base = least;
}

static void room_changed(struct room *r)
{
    if (!r->changed) {
        r->changed = true;
        r->next_changed = changed;
        changed = r;
    }
}

static void add_frame(struct bytes *to, const uint8_t *text, size_t len)
{
    uint8_t head[WIRE_HEAD_MAX];
    bytes_add(to, head, wire_head(head, 1, len));
    bytes_add(to, text, len);
}

static void room_relay(struct room *r, const uint8_t *text, size_t len)
{
    static struct bytes frame;
    if (through_redis) {
        if (r->heard.len == 0) {
            r->next_heard = heard;
            heard = r;
        }
        add_frame(&r->heard, text, len);
    } else if (coalesce) {
        add_frame(&r->log, text, len);
        room_changed(r);
    } else {
        frame.len = 0;
        add_frame(&frame, text, len);
        for (size_t i = r->count; i-- > 0;) {
            member_send(r->members[i], frame.at, frame.len);
        }
    }
}

/* A turn's frames of a room, back from Redis. */
static void on_message(const char *path, const uint8_t *at, size_t len)
{
    struct room *r = room_of(path);
    bytes_add(&r->log, at, len);
    room_changed(r);
}

static void on_frame(struct member *m, const struct wire_frame *frame)
{
    if (frame->opcode == 1) {
        room_relay(m->place, frame->payload, frame->len);
    } else if (frame->opcode == 8) {
        member_close(m);
    } else if (frame->opcode == 9 && frame->len < 126 && !m->waits) {
        /* Not while the socket is full: in the middle of a half-sent frame it would tear it. */
        uint8_t pong[127];
        size_t head_len = wire_head(pong, 10, frame->len);
        memcpy(pong + head_len, frame->payload, frame->len);
        member_send(m, pong, head_len + frame->len);
    }
}

/* Takes all whole frames; returns how many bytes they were. */
static size_t take_frames(struct member *m, uint8_t *at, size_t len)
{
    size_t used = 0;
    enum wire_verdict verdict = WIRE_WHOLE;
    while (verdict == WIRE_WHOLE && m->fd >= 0) {
        struct wire_frame frame;
        verdict = wire_frame(at + used, len - used, &frame);
        if (verdict == WIRE_WHOLE) {
            used += frame.used;
            on_frame(m, &frame);
        }
    }
    if (verdict == WIRE_BAD) {
        member_close(m);
    }
    return used;
}

/* Answers a whole upgrade request; returns its length, 0 when it is not whole. */
static size_t take_upgrade(struct member *m, const uint8_t *at, size_t len)
{
    struct wire_request request;
    enum wire_verdict verdict = wire_upgrade(at, len, &request);
    if (verdict == WIRE_BAD) {
        member_close(m);
    }
    if (verdict != WIRE_WHOLE) {
        return 0;
    }
    member_send(m, (const uint8_t *)request.answer, request.answer_len);
    if (m->fd >= 0) {
        room_enter(room_of(request.path), m);
    }
    return request.used;
}

static void on_bytes(struct member *m, uint8_t *at, size_t len)
{
    size_t used = 0;
    if (!m->place) {
        used = take_upgrade(m, at, len);
    }
    if (m->place) {
        used += take_frames(m, at + used, len - used);
    }
    if (m->fd < 0) {
        return;
    }
    if (at == m->in.at) {
        bytes_drop(&m->in, used);
    } else if (used < len) {
        bytes_add(&m->in, at + used, len - used);
    }
    if (m->in.len > READ_BYTES) {
        member_close(m);
    }
}

static void on_readable(struct member *m)
{
    static uint8_t buf[READ_BYTES];
    ssize_t len = recv(m->fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (len <= 0) {
        if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
            member_close(m);
        }
    } else if (m->in.len) {
        bytes_add(&m->in, buf, (size_t)len);
        on_bytes(m, m->in.at, m->in.len);
    } else {
        on_bytes(m, buf, (size_t)len);
    }
}

static void on_writable(struct member *m)
{
    wait_writable(m, false);
    if (m->out.len) {
        size_t took = send_some(m, m->out.at, m->out.len);
        bytes_drop(&m->out, took);
    }
    if (m->fd >= 0 && m->place && !m->out.len) {
        member_catch_up(m);
    }
    if (m->fd >= 0 && m->place && !m->waits && m->place->log.len && !m->place->changed) {
        room_flush(m->place); /* it may have been the one that held the log's beginning */
    }
}

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static void on_connections(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct member *m = calloc(1, sizeof(*m));
        if (!m) {
            die("calloc");
        }
        m->fd = fd;
        watch(fd, m);
    }
}

/* What was heard goes out first: Redis works on it while the members are sent to. */
static void end_of_turn(void)
{
    while (heard) {
        struct room *r = heard;
        heard = r->next_heard;
        redis_publish(&redis, r->path, &r->heard);
        r->heard.len = 0;
    }
    redis_flush(&redis);
    while (changed) {
        struct room *r = changed;
        changed = r->next_changed;
        r->changed = false;
        room_flush(r);
    }
    while (dead) {
        struct member *m = dead;
        dead = m->next_dead;
        bytes_fini(&m->in);
        bytes_fini(&m->out);
        free(m);
    }
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0) {
        die("listen");
    }
    watch(fd, NULL);
    return fd;
}

static void on_event(const struct epoll_event *event, int listener)
{
    struct member *m = event->data.ptr;
    if (!m) {
        on_connections(listener);
        return;
    }
    if (event->data.ptr == &redis) {
        redis_read(&redis, on_message);
        return;
    }
    if (m->fd >= 0 && (event->events & EPOLLOUT)) {
        on_writable(m);
    }
    if (m->fd >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        on_readable(m);
    }
}

/* 0: it is not one. */
static int port_from(const char *text)
{
    long port = strtol(text, NULL, 10);
    return port >= 1 && port <= 65535 ? (int)port : 0;
}

/* False: wrong usage. */
static bool read_arguments(int argc, char **argv, int *port, int *redis_port)
{
    if (argc < 3 || argc > 4) {
        return false;
    }
    coalesce = strcmp(argv[1], "coalesce") == 0;
    through_redis = argc == 4;
    *port = port_from(argv[2]);
    *redis_port = through_redis ? port_from(argv[3]) : 0;
    return (coalesce || (strcmp(argv[1], "plain") == 0 && !through_redis)) && *port > 0 &&
           (*redis_port > 0) == through_redis;
}

int main(int argc, char **argv)
{
    int port, redis_port;
    if (!read_arguments(argc, argv, &port, &redis_port)) {
        fprintf(stderr, "usage: floor plain|coalesce PORT, or floor coalesce PORT REDIS_PORT\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (through_redis) {
        redis_open(&redis, redis_port);
        watch(redis.fd, &redis);
    }
    int listener = listen_on(port);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            on_event(&events[i], listener);
        }
        end_of_turn();
    }
}
