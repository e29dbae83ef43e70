/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_client.h"

#include "client/cli/endpoint.h"
#include "client/cli/upgrade.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/random.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Large enough for what a socket gathers between two turns, small enough to stay in the cache. */
#define READ_BYTES (128 * 1024)
#define FRAME_MAX_BYTES (READ_BYTES / 2)
#define BATCH 512
/* A poll that finds nothing takes less than this; in the rest of the time somebody else ran. */
#define SPIN_MAX_NS 2000u

struct poller {
    int epoll, signals;
    const struct adapter *adapter;      /* borrowed */
    const struct client_events *events; /* borrowed */
    void *ctx;
    char *input;               /* owned; READ_BYTES */
    struct epoll_event *batch; /* owned; BATCH */
    struct list outgoing;      /* of client.outgoing */
    struct buf say;            /* what an adapter composes */
    size_t tag_at;             /* where the last delivery had its tag */
    uint64_t mask;             /* state of the generator of masks */
    bool spins, interrupted;
    struct client_counts counts;
    char *first_error; /* owned */
};

/* SIGINT and SIGTERM become events, so that they end what is measured and not the answer. */
static void catch_signals(struct poller *p)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    p->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    assert(p->signals >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int result = epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->signals, &event);
    assert(result == 0);
}

struct poller *poller_new(const struct adapter *adapter, const struct client_events *events,
                          void *ctx)
{
    struct poller *p = xcalloc(1, sizeof(*p));
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert(p->epoll >= 0);
    p->adapter = adapter;
    p->events = events;
    p->ctx = ctx;
    p->input = xmalloc(READ_BYTES);
    p->batch = xcalloc(BATCH, sizeof(p->batch[0]));
    p->mask = random_u64() | 1;
    list_init(&p->outgoing);
    catch_signals(p);
    return p;
}

void poller_free(struct poller *p)
{
    close(p->signals);
    close(p->epoll);
    free(p->input);
    free(p->batch);
    buf_fini(&p->say);
    free(p->first_error);
    free(p);
}

bool poller_interrupted(const struct poller *p)
{
    return p->interrupted;
}

void poller_resume(struct poller *p)
{
    p->interrupted = false;
}

void poller_spin(struct poller *p, bool spins)
{
    p->spins = spins;
}

const struct client_counts *poller_counts(const struct poller *p)
{
    return &p->counts;
}

const char *poller_first_error(const struct poller *p)
{
    return p->first_error;
}

void client_init(struct client *c)
{
    *c = (struct client){.state = CLIENT_CLOSED, .fd = -1};
    list_init(&c->outgoing);
}

void client_fini(struct client *c)
{
    assert(c->state == CLIENT_CLOSED);
    buf_fini(&c->out);
    buf_fini(&c->rest);
}

static void close_socket(struct client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    list_remove(&c->outgoing);
    c->fd = -1;
    c->state = CLIENT_CLOSED;
    buf_fini(&c->out);
    buf_fini(&c->rest);
    c->out_sent = 0;
}

void client_cut(struct client *c)
{
    if (c->state != CLIENT_CLOSED) {
        const struct linger now = {.l_onoff = 1,
                                   .l_linger = 0}; /* a reset: unsent data is dropped */
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close_socket(c);
    }
}

/* Marks the client; its end is told at the end of the turn, when nobody is in the middle of it. */
static void fail(struct poller *p, struct client *c, const char *why)
{
    if (!c->failed) {
        c->failed = true;
        c->why = why;
        list_remove(&c->outgoing);
        list_push(&p->outgoing, &c->outgoing);
    }
}

static void queue(struct poller *p, struct client *c)
{
    if (list_empty(&c->outgoing) && !c->wants_write) {
        list_push(&p->outgoing, &c->outgoing);
    }
}

static void say_frame(struct poller *p, struct client *c, enum wsframe_opcode opcode,
                      struct str text)
{
    /* xorshift64: masks need not be secret here, only not all the same. */
    p->mask ^= p->mask << 13;
    p->mask ^= p->mask >> 7;
    p->mask ^= p->mask << 17;
    wsframe_add(&c->out, opcode, text, (uint32_t)p->mask);
    queue(p, c);
}

void client_say(struct poller *p, struct client *c, struct str text)
{
    if (c->state >= CLIENT_JOINING) {
        say_frame(p, c, WSFRAME_TEXT, text);
    }
}

static void watch(struct poller *p, struct client *c, int operation, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
    int failed = epoll_ctl(p->epoll, operation, c->fd, &event);
    assert(failed == 0);
    (void)failed;
    c->wants_write = write;
}

static void write_out(struct poller *p, struct client *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) {
                fail(p, c, strerror(errno));
            } else if (!c->wants_write) {
                watch(p, c, EPOLL_CTL_MOD, true);
            }
            return;
        }
        c->out_sent += (size_t)n;
    }
    buf_clear(&c->out);
    c->out_sent = 0;
    if (c->wants_write) {
        watch(p, c, EPOLL_CTL_MOD, false);
    }
}

void client_close(struct poller *p, struct client *c)
{
    static const char normal[] = {1000 >> 8, (char)(1000 & 0xff)};
    if (c->state >= CLIENT_JOINING) {
        say_frame(p, c, WSFRAME_CLOSE, (struct str){normal, sizeof(normal)});
        write_out(p, c);
    }
    if (c->state != CLIENT_CLOSED) {
        close_socket(c);
    }
}

/* ---- from a socket to a room */

/* One address can hold only as many connections to a port as there are ephemeral ports, so many
 * clients come from many addresses of the loopback network: 127.0.1.1, 127.0.1.2, … */
static bool bind_source(const struct client *c)
{
    const int yes = 1;
    const struct sockaddr_in from = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x100u + c->source - 1),
    };
    return setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes)) == 0 &&
           bind(c->fd, (const struct sockaddr *)&from, sizeof(from)) == 0;
}

static void connected(struct poller *p, struct client *c)
{
    c->state = CLIENT_UPGRADING;
    struct str path = c->url->path.len > 0 ? c->url->path : p->adapter->path;
    upgrade_request(&c->out, c->url->host, path, c->member.room);
    write_out(p, c);
}

void client_open(struct poller *p, struct client *c)
{
    assert(c->state == CLIENT_CLOSED);
    const int yes = 1;
    c->failed = false;
    c->member.step = 0;
    c->opened_ns = clock_now_ns();
    c->state = CLIENT_CONNECTING;
    c->fd = socket(c->url->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail(p, c, strerror(errno));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (c->source > 0 && c->url->loopback_v4 && !bind_source(c)) {
        fail(p, c, strerror(errno));
        return;
    }
    int result = connect(c->fd, (const struct sockaddr *)&c->url->address, c->url->address_len);
    if (result < 0 && errno != EINPROGRESS) {
        fail(p, c, strerror(errno));
        return;
    }
    watch(p, c, EPOLL_CTL_ADD, result < 0);
    if (result == 0) {
        connected(p, c);
    }
}

static void remember_error(struct poller *p, struct str text)
{
    p->counts.errors++;
    if (p->first_error == NULL) {
        p->first_error = str_dup((struct str){text.ptr, text.len < 200 ? text.len : 200});
    }
}

static void joined(struct poller *p, struct client *c, bool recovered)
{
    if (c->state == CLIENT_JOINING) {
        c->state = CLIENT_READY;
        p->events->on_opened(p->ctx, c, recovered);
    }
}

static void take_control_text(struct poller *p, struct client *c, struct str text)
{
    buf_clear(&p->say);
    enum adapter_verdict verdict = p->adapter->heard(&c->member, text, &p->say);
    if (p->say.len > 0) {
        p->counts.heartbeats += c->state == CLIENT_READY;
        client_say(p, c, buf_str(&p->say));
    }
    if (verdict == ADAPTER_ERROR) {
        remember_error(p, text);
        if (c->state == CLIENT_JOINING) {
            fail(p, c, "the server refused the join");
        }
    } else if (verdict != ADAPTER_NOTHING) {
        joined(p, c, verdict == ADAPTER_RECOVERED);
    }
}

static void upgraded(struct poller *p, struct client *c)
{
    c->state = CLIENT_JOINING;
    if (p->adapter->opened != NULL) {
        buf_clear(&p->say);
        p->adapter->opened(&c->member, &p->say);
        client_say(p, c, buf_str(&p->say));
    }
    if (p->adapter->ready_at_once) {
        joined(p, c, false);
    }
}

/* ---- what arrives */

static void take_other_frame(struct poller *p, struct client *c, const struct wsframe *frame)
{
    switch (frame->opcode) {
    case WSFRAME_PING:
        p->counts.heartbeats++;
        say_frame(p, c, WSFRAME_PONG, frame->payload);
        break;
    case WSFRAME_PONG:
        break;
    case WSFRAME_CLOSE:
        fail(p, c, "the server closed it");
        break;
    default:
        fail(p, c, "a frame of a kind that no server here sends");
    }
}

/* Handles every whole frame; returns how many bytes they had. */
static size_t take_frames(struct poller *p, struct client *c, struct str input)
{
    size_t used = 0;
    struct wsframe frame;
    struct tag tag;
    uint64_t now_ns = clock_now_ns();
    while (!c->failed && c->state >= CLIENT_JOINING) {
        struct str ahead = {input.ptr + used, input.len - used};
        enum wsframe_result result = wsframe_read(ahead, FRAME_MAX_BYTES, &frame);
        if (result != WSFRAME_WHOLE) {
            if (result == WSFRAME_BAD) {
                fail(p, c, "a frame that is fragmented, masked or too long");
            }
            break;
        }
        used += frame.size;
        p->counts.frames++;
        if (frame.opcode != WSFRAME_TEXT) {
            take_other_frame(p, c, &frame);
        } else if (tag_find(frame.payload, &p->tag_at, &tag)) {
            p->events->on_delivery(p->ctx, c, tag, frame.payload, now_ns);
        } else {
            take_control_text(p, c, frame.payload);
        }
    }
    return used;
}

static size_t take_upgrade(struct poller *p, struct client *c, struct str input)
{
    size_t used = 0;
    switch (upgrade_read(input, &used)) {
    case UPGRADE_OPEN:
        upgraded(p, c);
        break;
    case UPGRADE_PART:
        break;
    case UPGRADE_REFUSED:
        fail(p, c, "the server refused the upgrade");
        break;
    case UPGRADE_BAD:
        fail(p, c, "the answer to the upgrade is not one");
        break;
    }
    return used;
}

static void keep_rest(struct client *c, struct str rest)
{
    buf_clear(&c->rest);
    if (rest.len > 0) {
        buf_add(&c->rest, rest);
    }
}

static void read_in(struct poller *p, struct client *c)
{
    size_t had = c->rest.len;
    if (had > 0) {
        memcpy(p->input, c->rest.ptr, had);
    }
    ssize_t n = recv(c->fd, p->input + had, READ_BYTES - had, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            fail(p, c, n == 0 ? "the server hung up" : strerror(errno));
        }
        return;
    }
    p->counts.reads++;
    p->counts.bytes += (uint64_t)n;
    struct str input = {p->input, had + (size_t)n};
    if (c->state == CLIENT_UPGRADING) {
        size_t used = take_upgrade(p, c, input);
        input = (struct str){input.ptr + used, input.len - used};
    }
    size_t used = take_frames(p, c, input);
    if (c->state != CLIENT_CLOSED) {
        keep_rest(c, (struct str){input.ptr + used, input.len - used});
    }
}

/* ---- the turn */

static void on_signal(struct poller *p)
{
    struct signalfd_siginfo info;
    while (read(p->signals, &info, sizeof(info)) > 0) {
        p->interrupted = true;
    }
}

static void on_event(struct poller *p, struct client *c, uint32_t events)
{
    if (c->state == CLIENT_CLOSED || c->failed) {
        return; /* cut by a handler earlier in this batch */
    }
    if (c->state == CLIENT_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            fail(p, c, strerror(error));
            return;
        }
        connected(p, c);
    } else if ((events & EPOLLOUT) != 0) {
        write_out(p, c);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !c->failed) {
        read_in(p, c);
    }
}

/* Writes, and tells who is closed; true: somebody is, and what follows from it may be due now. */
static bool settle(struct poller *p)
{
    bool told = false;
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &p->outgoing);
    struct list *link;
    while ((link = list_pop(&batch)) != NULL) {
        struct client *c = container_of(link, struct client, outgoing);
        if (!c->failed) {
            write_out(p, c);
        } else {
            bool was_ready = c->state == CLIENT_READY;
            close_socket(c);
            c->failed = false;
            p->events->on_closed(p->ctx, c, was_ready);
            told = true;
        }
    }
    return told;
}

void poller_turn(struct poller *p, uint64_t until_ns)
{
    bool at_once = settle(p) || !list_empty(&p->outgoing);
    uint64_t now_ns = clock_now_ns();
    uint64_t wait_ns = until_ns > now_ns && !at_once && !p->spins ? until_ns - now_ns : 0;
    const struct timespec timeout = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    int n = epoll_pwait2(p->epoll, p->batch, BATCH, &timeout, NULL);
    if (n == 0 && p->spins) {
        uint64_t spun_ns = clock_now_ns() - now_ns;
        p->counts.spun_ns += spun_ns < SPIN_MAX_NS ? spun_ns : SPIN_MAX_NS;
    }
    for (int i = 0; i < n; i++) {
        struct client *c = p->batch[i].data.ptr;
        if (c != NULL) {
            on_event(p, c, p->batch[i].events);
        } else {
            on_signal(p);
        }
    }
}
